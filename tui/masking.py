"""Names that a room full of people need not see, replaced on the screen: hosts, database, repository, roles, people.

Only what is shown is masked. What is exported or copied is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from checks.evidence.database.facts import Server, Settings
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository

SHORTEST = 3
MOST = 500
_ADDRESSES = re.compile(
    r"(?P<email>[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,6})"
    r"|(?P<host>\b(?:\d{1,3}\.){3}\d{1,3}\b|\b[\w-]{1,63}(?:\.[\w-]{1,63}){0,6}\.(?:com|net|org|io|dev|app|cloud|internal|local)\b)"
)
_COMMON = frozenset({"public", "postgres", "main", "test", "demo", "user", "root"})


class Mask:
    """Replaces each name by its kind and a number, the same one everywhere: database-1, role-2, person-1."""

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        counted: dict[str, int] = {}
        self._stands_for: dict[str, str] = {}
        for kind, name in names:
            known = name.strip()
            if len(known) < SHORTEST or known.lower() in _COMMON or known.lower() in self._stands_for:
                continue
            counted[kind] = counted.get(kind, 0) + 1
            self._stands_for[known.lower()] = f"{kind}-{counted[kind]}"
            if len(self._stands_for) >= MOST:
                break
        longest_first = sorted(self._stands_for, key=len, reverse=True)
        words = "|".join(re.escape(name) for name in longest_first)
        self._pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])", re.IGNORECASE) if words else None

    def __call__(self, text: str) -> str:
        masked = _ADDRESSES.sub(lambda match: f"{match.lastgroup}-…", text)
        if self._pattern is None:
            return masked
        return self._pattern.sub(lambda match: self._stands_for[match.group().lower()], masked)


def names_of(evidence: Evidence, people: Iterable[str]) -> Iterable[tuple[str, str]]:
    """What to mask of a review, as kind and name."""
    server, settings, repository = evidence.find(Server), evidence.find(Settings), evidence.find(Repository)
    for replica in evidence.replicas:
        yield "node", replica.name
    if server is not None:
        yield "database", server.database
        yield "role", server.user
    if repository is not None:
        yield "repository", repository.name
    for role in settings.login_roles if settings is not None else ():
        yield "role", role
    for person in people:
        yield "person", person
