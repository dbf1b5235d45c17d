"""How large the installation is, from facts: which criteria make sense for it, and which level is a sensible target."""

from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Server
from checks.evidence.evidence import Evidence
from checks.figures import bytes_in_words

SMALL_BYTES = 10 * 10**9
LARGE_BYTES = 500 * 10**9
_TARGETS = {"S": 2, "M": 3, "L": 4}


class Scale(msgspec.Struct, frozen=True):
    """`profile` S, M or L, "" if nothing tells; `basis` says from what. With one look it is inferred from the size alone."""

    profile: str
    basis: str

    @property
    def target(self) -> int | None:
        """The level that is enough for this size."""
        return _TARGETS.get(self.profile)

    def reaches(self, smallest: str) -> bool:
        """Whether criteria asked from `smallest` on are asked here. Without a known size they are."""
        return not self.profile or "SML".index(self.profile) >= "SML".index(smallest)


def scale_of(evidence: Evidence) -> Scale:
    """S below 10 GB, L above 500 GB (thresholds of ours)."""
    server = evidence.find(Server)
    if server is None or server.size_bytes is None:
        return Scale("", "the size of the database is not known")
    profile = "S" if server.size_bytes < SMALL_BYTES else "L" if server.size_bytes > LARGE_BYTES else "M"
    return Scale(profile, f"inferred from its size of {bytes_in_words(server.size_bytes)}")
