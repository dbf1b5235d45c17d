"""The vocabulary of a review: what a check concludes, and about what."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from checks.keywords import RESERVED
from checks.proofs import Proof


class Area(StrEnum):
    """The six areas, in the order in which every report lists them."""

    SCHEMA = "schema"
    INDEXING = "indexing"
    PLANS = "plans"
    REPLICATION = "replication"
    OBSERVABILITY = "observability"
    HYBRID = "hybrid"


class Severity(StrEnum):
    """Impact if the finding is true, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for critical to 4 for note, to sort by."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Confidence(StrEnum):
    """How a fact is known, strongest first."""

    MEASURED = "measured"
    INFERRED = "inferred"
    STATED = "stated"


class Outcome(StrEnum):
    PASSED = "passed"
    FOUND = "found"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not_applicable"
    ERROR = "error"


class Reason(StrEnum):
    """Why something is unknown (CONTRACT.md lists the same words)."""

    NOT_PERMITTED = "not_permitted"
    EXTENSION_MISSING = "extension_missing"
    SERVER_VERSION = "server_version"
    MANAGED_SERVICE_HIDES = "managed_service_hides"
    WINDOW_TOO_SHORT = "window_too_short"
    REPLICA_NOT_REACHABLE = "replica_not_reachable"
    REPO_NOT_GIVEN = "repo_not_given"
    DATABASE_NOT_GIVEN = "database_not_given"
    NEEDS_ANSWER = "needs_answer"
    STALE_ANSWER = "stale_answer"
    NOT_OPTED_IN = "not_opted_in"
    NOT_RUN = "not_run"
    TARGET_BUSY = "target_busy"
    CALLS_USER_CODE = "calls_user_code"
    NEEDS_DIRECT_CONNECTION = "needs_direct_connection"
    NOT_PARSED = "not_parsed"
    CONNECTION_LOST = "connection_lost"
    NO_SHADOW = "no_shadow"
    CHECK_ERROR = "check_error"
    TIMED_OUT = "timed_out"


class Unobserved(msgspec.Struct, frozen=True, tag=True):
    """A fact that could not be observed: why, and the one line (GRANT, setting, option) that would change that."""

    reason: Reason
    unlock: str = ""


_PLAIN_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")


def quote_identifier(name: str) -> str:
    """`name` as PostgreSQL's quote_ident() prints it: quoted only where it has to be."""
    if _PLAIN_IDENTIFIER.fullmatch(name) and name not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def qualified_name(*path: str) -> str:
    """The identifiers of `path`, quoted and joined with dots, for messages and for SQL."""
    return ".".join(quote_identifier(part) for part in path)


class Subject(msgspec.Struct, frozen=True):
    """What a finding is about. `path` holds raw identifiers, outermost first, as CONTRACT.md lists them by kind."""

    kind: str
    path: tuple[str, ...]

    @property
    def name(self) -> str:
        """For people. Kinds whose path is not made of SQL identifiers are shown as they are."""
        if self.kind in {"statement", "file", "session", "setting", "node"}:
            return ":".join(self.path)
        if self.kind == "function":
            return f"{qualified_name(*self.path[:2])}({self.path[2]})"
        return qualified_name(*self.path)


class Location(msgspec.Struct, frozen=True, order=True):
    """A place in the repository: path relative to its root with `/`, line from 1."""

    path: str
    line: int


class Fix(msgspec.Struct, frozen=True):
    """What to do about a finding. Nothing of it is ever executed on the target.

    `lock` is the strongest lock that `sql` takes, in PostgreSQL's words; `rewrites` says whether it rewrites the table;
    `undo` is SQL or a sentence. `rewritten` are other texts for statements, by query id or `file:line`.
    """

    summary: str
    sql: str | None = None
    lock: str | None = None
    rewrites: bool = False
    undo: str | None = None
    rewritten: tuple[tuple[str, str], ...] = ()


class Finding(msgspec.Struct, frozen=True):
    """One thing a check found. `check`, `area`, `why` and `proof` are filled in by the checklist."""

    subject: Subject
    title: str
    fix: Fix
    severity: Severity | None = None
    confidence: Confidence = Confidence.MEASURED
    observed: Mapping[str, Any] = {}
    related: tuple[Subject, ...] = ()
    locations: tuple[Location, ...] = ()
    discriminator: str = ""
    check: str = ""
    why: str = ""
    proof: Proof | None = None

    @property
    def area(self) -> Area:
        return Area(self.check.partition(".")[0])

    @property
    def id(self) -> str:
        """The fingerprint: of the check and the subject, never of words, so that it is the same in every review."""
        parts = [self.check, self.subject.kind, *self.subject.path]
        if self.discriminator:
            parts.append(self.discriminator)
        return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


class Examined(msgspec.Struct, frozen=True):
    """How much a check looked at, out of how much there is; `gap` says why the rest could not be looked at.

    `unmet` is the number of examined objects that do not pass, where that differs from the number of findings
    (one finding may stand for many objects). `noun` is what is counted, in the plural.
    """

    examined: int
    of: int
    noun: str = ""
    gap: Unobserved | None = None
    unmet: int | None = None


class CheckResult(msgspec.Struct, frozen=True):
    """What became of one check. `reason` and `unlock` stand when it is unknown; `fact` when it is not applicable."""

    check: str
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    examined: int | None = None
    of: int | None = None
    unmet: int | None = None
    noun: str = ""
    reason: Reason | None = None
    unlock: str | None = None
    fact: str | None = None
    message: str | None = None

    @property
    def area(self) -> Area:
        return Area(self.check.partition(".")[0])


class Unknown(Exception):
    """Raised by a check that cannot be decided from this evidence."""

    def __init__(self, reason: Reason, unlock: str = "") -> None:
        super().__init__(reason.value)
        self.gap = Unobserved(reason, unlock)


class NotApplicable(Exception):
    """Raised by a check whose precondition is absent by an observed fact; the fact is the message."""
