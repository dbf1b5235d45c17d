"""How large the installation is, from facts: which criteria make sense for it, and which level is a sensible target."""

from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Rates, Server
from checks.evidence.evidence import Evidence
from checks.figures import bytes_in_words, seconds_in_words

SMALL_BYTES = 10 * 10**9
LARGE_BYTES = 500 * 10**9
MEDIUM_WRITES_PER_S = 100
LARGE_WRITES_PER_S = 2_000
_TARGETS = {"S": 2, "M": 3, "L": 4}


class Scale(msgspec.Struct, frozen=True):
    """`profile` S, M or L, "" if nothing tells; `basis` says from what: with one look from the size alone."""

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
    """S below 10 GB and 100 write transactions a second, L above 500 GB or 2,000 (thresholds of ours)."""
    server, rates = evidence.find(Server), evidence.find(Rates)
    if server is None or server.size_bytes is None:
        return Scale("", "the size of the database is not known")
    size, writes = server.size_bytes, rates.write_transactions_per_s if rates else None
    profile = "S" if size < SMALL_BYTES and (writes or 0) < MEDIUM_WRITES_PER_S else "M"
    if size > LARGE_BYTES or (writes or 0) > LARGE_WRITES_PER_S:
        profile = "L"
    words = f"its size of {bytes_in_words(size)}"
    if rates is None or writes is None:
        return Scale(profile, f"inferred from {words}")
    return Scale(
        profile, f"from {words} and {writes:.0f} write transactions/s, watched for {seconds_in_words(rates.seconds)}"
    )
