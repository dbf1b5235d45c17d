"""What kind of work the server does: whether more nodes could share it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.database.facts import Server, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.model import Examined, Finding, Fix, NotApplicable, Severity, Subject
from checks.registry import check
from checks.workload import counted_days, pattern_by_query_id, unread_statements

_LOCKS_ROWS = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+UPDATE|UPDATE|KEY\s+SHARE|SHARE)\b", re.IGNORECASE)
_WRITES_WITHIN = re.compile(
    r"\b(?:INSERT\s+INTO|DELETE\s+FROM|MERGE\s+INTO|UPDATE\s+[\w\".]+\s+(?:AS\s+\w+\s+)?SET)\b", re.IGNORECASE
)
_WRITES = frozenset({"insert", "update", "delete", "merge"})
# A rate of less than an hour is nobody's.
_HOUR_DAYS = 1 / 24


@check("plans.one-sided-workload", catalogue="P15", severity=Severity.NOTE, needs=[Statements, Server],
       window="window_days")  # fmt: skip
def one_sided_workload(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Nearly all the work of a busy server is of one kind.

    It decides how the server can grow. Reads that may be a moment old can move to a standby, or into a cache; writes all stay
    with the one primary, and no standby takes any of them away.

    Fix: Mostly reads: indexes first, then a standby for those that need not see what was written a moment ago. Mostly writes:
    fewer indexes, batches, partitions.

    Example: SELECTs take 96 % of the time of a server of which three cores are always busy: a standby for reports and search
    would take most of it.

    Source: PostgreSQL manual, "pg_stat_statements"; "Hot Standby"

    Observed: busy_cores, read_share, write_share, calls
    """
    statements, server = evidence.get(Statements), evidence.get(Server)
    days = counted_days(evidence, "window_days")
    if not statements.entries:
        raise NotApplicable("no statement ran")
    yield Examined(len(statements.entries), len(statements.entries) + statements.hidden, "statements",
                   gap=unread_statements(evidence))  # fmt: skip
    busy = statements.total_ms / max(days * 86_400_000, 1)
    if days < _HOUR_DAYS or busy < evidence.limit("busy_workload") or server.is_standby:
        return
    known = pattern_by_query_id(evidence)
    took = {"read": 0.0, "write": 0.0}
    for entry in statements.entries:
        kind = _kind(known.get(entry.query_id)) if entry.toplevel else None
        if kind is not None:
            took[kind] += entry.total_ms
    reads, writes = (took[kind] / statements.total_ms for kind in ("read", "write"))
    one_sided = evidence.limit("one_sided_share")
    if max(reads, writes) < one_sided:
        return
    mostly = reads >= one_sided
    yield Finding(
        Subject("database", (server.database,)),
        f"{'Reads take' if mostly else 'Writes take'} {max(reads, writes):.0%} of the time of all statements, which keep "
        f"{busy:.1f} cores busy",
        Fix("Index what is read, then send reads that may be a moment old to a standby."
            if mostly
            else "A standby takes none of it: drop indexes that nothing reads, write in batches, and partition what grows."),
        observed={"busy_cores": round(busy, 2), "read_share": round(reads, 4), "write_share": round(writes, 4),
                  "calls": sum(entry.calls for entry in statements.entries)},
    )  # fmt: skip


def _kind(pattern: AccessPattern | None) -> str | None:
    """None for what neither reads nor writes rows, and what could not be read."""
    if pattern is None or pattern.verb == "other":
        return None
    if pattern.verb in _WRITES or _LOCKS_ROWS.search(pattern.text) or _WRITES_WITHIN.search(pattern.text):
        return "write"
    return "read"
