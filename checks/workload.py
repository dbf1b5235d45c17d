"""The workload as checks speak of it: which statements there are, what each does in words, and its figures."""

from __future__ import annotations

import re
from typing import Any

from checks.evidence import patterns
from checks.evidence.database.facts import Catalog, Plans, Rates, Server, Statement, Statements, Unplanned
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern, Comparison
from checks.evidence.repository.facts import Repository
from checks.model import (
    Confidence,
    Location,
    NotApplicable,
    Reason,
    Subject,
    Unknown,
    Unobserved,
    qualified_name,
    quote_identifier,
)
from checks.relations import grant

TEXT_LIMIT = 300
WORDS_LIMIT = 110
_UNDEFINED_COLUMN = "42703"
# A name that code puts in at run time.
_PUT_IN = re.compile(r"(?:\$\d+\.)?\$\d+")
_EQUALITY = frozenset({"=", "in"})


def observed_workload(evidence: Evidence) -> tuple[AccessPattern, ...]:
    """Access patterns of statements that ran, then of code that never ran.

    Raises Unknown, with the reason of the statistics, if neither statements nor a repository could be observed.
    """
    gap = evidence.gap(Statements)
    if gap and evidence.gap(Repository):
        raise Unknown(gap.reason, gap.unlock)
    return patterns.workload(evidence)


def workload_seen(evidence: Evidence) -> tuple[AccessPattern, ...]:
    """The same for checks that have something to say without a workload too: empty if none could be observed."""
    return patterns.workload(evidence)


def observed_selects(evidence: Evidence) -> tuple[AccessPattern, ...]:
    """The SELECTs of the workload. Raises NotApplicable if all of it was seen and there is none, Unknown as above."""
    found = tuple(pattern for pattern in observed_workload(evidence) if pattern.verb == "select")
    if not found and unread_statements(evidence) is None:
        raise NotApplicable("no SELECT statement ran")
    return found


def pattern_by_query_id(evidence: Evidence) -> dict[str, AccessPattern]:
    """The patterns of the statements that ran; a statement that could not be read has none."""
    return {pattern.query_id: pattern for pattern in patterns.workload(evidence) if pattern.query_id is not None}


def is_of_the_past(evidence: Evidence, unplanned: Unplanned) -> bool:
    """Whether a statement names a table or a column that is no more: nobody can plan it, and nobody will run it."""
    pattern = pattern_by_query_id(evidence).get(unplanned.query_id)
    return pattern is not None and (bool(pattern.unresolved) or unplanned.sqlstate == _UNDEFINED_COLUMN)


def left_unplanned(evidence: Evidence, plans: Plans) -> tuple[int, Unobserved | None]:
    """How many statements of the present have no plan, and why: the reason of the first, with what it does in words. Where all
    have one, why part of the workload is out of sight."""
    left = [entry for entry in plans.unplanned if not is_of_the_past(evidence, entry)]
    if not left:
        return 0, unread_statements(evidence)
    first = left[0]
    reason = Reason(first.reason) if first.reason in set(Reason) else Reason.NOT_PARSED
    pattern = pattern_by_query_id(evidence).get(first.query_id)
    if reason is not Reason.NOT_PARSED or pattern is None:
        return len(left), Unobserved(reason, first.unlock)
    more = f", and {len(left) - 1} more" if len(left) > 1 else ""
    words = statement_in_words(pattern, evidence.find(Catalog))
    return len(left), Unobserved(
        reason, f"{first.unlock}: {words}{place_in_words(statement_places(evidence, pattern))}{more}"
    )


def counted_days(evidence: Evidence, window: str) -> float:
    """Days over which pg_stat_statements has counted, to divide its counters by: it keeps them over a clean restart, other
    than the cumulative statistics. Raises Unknown if the statistics do not cover the limit of that name."""
    statements, server = evidence.get(Statements), evidence.get(Server)
    days = evidence.require_window(window, since=statements.since)
    if statements.since is None:
        return days
    return max(days, (server.observed_at - statements.since).total_seconds() / 86_400)


def is_of_this_database(evidence: Evidence, pattern: AccessPattern) -> bool:
    """False for what only stands in code and names relations of which the database has none: code speaks to other servers
    too, in a language that looks much like this one (ClickHouse, DuckDB, MySQL)."""
    return pattern.query_id is not None or bool(pattern.tables) or not pattern.unresolved or not evidence.find(Catalog)


def unread_statements(evidence: Evidence) -> Unobserved | None:
    """Why part of the workload is out of sight: no statistics of statements, or texts that this role may not read."""
    if gap := evidence.gap(Statements):
        return gap
    statements = evidence.get(Statements)
    if statements.hidden:
        return Unobserved(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_stats"))
    return None


def statement_subject(pattern: AccessPattern) -> Subject:
    """The statement by its query id, or by the place where it stands if it never ran."""
    if pattern.query_id is not None:
        return Subject("statement", (pattern.query_id,))
    location = pattern.locations[0]
    return Subject("statement", (location.path, str(location.line)))


def statement_confidence(pattern: AccessPattern) -> Confidence:
    """Measured if it ran; inferred if it only stands in code."""
    return Confidence.MEASURED if pattern.query_id is not None else Confidence.INFERRED


def statement_places(evidence: Evidence, pattern: AccessPattern) -> tuple[Location, ...]:
    """Where in the code it is sent from, best match first."""
    matched = evidence.statement_locations.get(pattern.query_id or "", ())
    order = {"query_id": 0, "text": 1, "pattern": 2}
    found = [location for location, how in sorted(matched, key=lambda entry: (order.get(entry[1], 3), entry[0]))]
    return tuple(dict.fromkeys((*found, *pattern.locations)))


def place_in_words(places: tuple[Location, ...]) -> str:
    """` (app/chat.py:40)` for a title, empty if no place is known."""
    return f" ({places[0].path}:{places[0].line})" if places else ""


def statement_figures(evidence: Evidence, pattern: AccessPattern) -> dict[str, Any]:
    """What people want to know of a statement: its text (normalised, at most 300 characters) and, if it ran, its counters."""
    return {"statement": short_text(pattern.text, TEXT_LIMIT), **counters(evidence, pattern.query_id)}


def counters(evidence: Evidence, query_id: str | None) -> dict[str, Any]:
    """calls, mean_ms, share of all execution time (0 to 1) and rows per call; empty if it never ran. If the server was watched
    (--watch), also how it runs now: watched_calls_per_s, and watched_mean_ms unless it did not run."""
    statements = evidence.find(Statements)
    entry = statements.by_id.get(query_id) if statements and query_id else None
    if statements is None or entry is None:
        return {}
    return {
        "calls": entry.calls,
        "mean_ms": round(entry.mean_ms, 3),
        "share": round(statements.share(entry), 4),
        "rows_per_call": round(rows_per_call(entry), 2),
        **_watched(evidence, entry.query_id),
    }


def _watched(evidence: Evidence, query_id: str) -> dict[str, float]:
    rates = evidence.find(Rates)
    if rates is None or rates.calls_per_s is None:
        return {}
    now = rates.statement_by_id.get(query_id)
    if now is None or not now.calls_per_s:
        return {"watched_calls_per_s": 0.0}
    return {
        "watched_calls_per_s": round(now.calls_per_s, 2),
        "watched_mean_ms": round(now.ms_per_s / now.calls_per_s, 3),
    }


def rows_per_call(entry: Statement) -> float:
    """Rows returned or affected by one call on average."""
    return entry.rows / entry.calls if entry.calls else 0.0


def short_text(text: str, limit: int) -> str:
    """`text` on one line, without comments, cut with an ellipsis."""
    flat = " ".join(re.sub(r"/\*.*?\*/|--[^\n]*", " ", text, flags=re.DOTALL).split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def table_in_words(catalog: Catalog, oid: int) -> str:
    """The table's name as it is spoken of: with its schema unless that is public."""
    table = catalog.table_by_oid[oid]
    return quote_identifier(table.name) if table.schema == "public" else qualified_name(table.schema, table.name)


def statement_in_words(pattern: AccessPattern, catalog: Catalog | None) -> str:
    """What a statement does, short enough for a title: `SELECT from messages by conversation_id, newest first`."""
    if pattern.verb == "other":
        return short_text(pattern.text, WORDS_LIMIT // 2)
    names = [table_in_words(catalog, oid) for oid in pattern.tables if oid in catalog.table_by_oid] if catalog else []
    names += ["a table" if _PUT_IN.fullmatch(name) else name for name in pattern.unresolved if name]
    if not names:
        return short_text(pattern.text, WORDS_LIMIT // 2)
    verb = pattern.verb.upper()
    preposition = {"select": " from", "insert": " into", "delete": " from", "merge": " into"}.get(pattern.verb, "")
    words = f"{verb}{' aggregate' if pattern.aggregates and pattern.verb == 'select' else ''}{preposition} {names[0]}"
    if len(names) > 1:
        words += f" with {names[1]}" if len(names) == 2 else f" with {names[1]} and {len(names) - 2} more"
    words += _conditions_in_words(pattern) + _order_in_words(pattern, catalog)
    return words if len(words) <= WORDS_LIMIT else words[: WORDS_LIMIT - 1].rstrip() + "…"


def as_subject(words: str) -> str:
    """A statement's words as the subject of a sentence: an addition after a comma ends with one."""
    return f"{words}," if ", " in words else words


def _conditions_in_words(pattern: AccessPattern) -> str:
    columns = list(dict.fromkeys(_compared(entry) for entry in pattern.comparisons if entry.other is None))
    if not columns:
        return ""
    shown = columns if len(columns) <= 3 else [*columns[:2], f"{len(columns) - 2} more"]
    return " by " + (" and ".join(shown) if len(shown) <= 2 else f"{shown[0]}, {shown[1]} and {shown[2]}")


def _compared(comparison: Comparison) -> str:
    name = quote_identifier(comparison.column.column)
    key = comparison.json_key
    return f"{name}.{key}" if key and not key.startswith("$") else name


def _order_in_words(pattern: AccessPattern, catalog: Catalog | None) -> str:
    if not pattern.order_by:
        return ""
    first = pattern.order_by[0]
    if first.distance_operator:
        return ", nearest first"
    if first.column is None:
        return ", sorted"
    column = None
    if catalog is not None and first.column.table is not None:
        column = catalog.column_named(first.column.table, first.column.column)
    if column is not None and column.base_type in {"timestamptz", "timestamp", "date"}:
        return ", newest first" if first.descending else ", oldest first"
    return f", sorted by {quote_identifier(first.column.column)}"


def equality_columns(pattern: AccessPattern, table: int) -> list[str]:
    """Plain columns of `table` that are compared with a value for equality, ANDed, in the order of the statement."""
    found = [
        entry.column.column
        for entry in pattern.comparisons
        if entry.column.table == table
        and entry.operator in _EQUALITY
        and entry.other is None
        and not (entry.under_or or entry.function or entry.json_operator)
    ]
    return list(dict.fromkeys(found))
