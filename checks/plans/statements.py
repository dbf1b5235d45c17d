"""What the statistics of statements say: one that dominates, and lookups sent one by one."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Rates, Server, Statement, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity, Subject
from checks.registry import check
from checks.workload import (
    TEXT_LIMIT,
    as_subject,
    counted_days,
    counters,
    equality_columns,
    observed_selects,
    pattern_by_query_id,
    place_in_words,
    rows_per_call,
    short_text,
    statement_figures,
    statement_in_words,
    statement_places,
    statement_subject,
    unread_statements,
)

MINIMUM_RATE_WINDOW_DAYS = 1 / 24
LISTED_ROWS = 2
# What ran less often is a load or a repair of somebody's, not the application.
REPEATED_CALLS = 5
# An ORM that keeps what it has loaded looks up a little less often than it lists.
LOOKUP_SHARE_OF_LISTED = (0.9, 1.1)


@check("plans.dominant-statement", catalogue="P01", severity=Severity.MEDIUM, needs=[Statements, Server],
       window="window_days")  # fmt: skip
def dominant_statement(evidence: Evidence) -> Iterator[Finding | Examined]:
    """One statement takes a large share of all execution time.

    Where one statement is a quarter of the load, it alone decides how much the server can grow: a plan that turns bad, or
    twice the users, is felt by everybody. It is also the one place where an hour of work pays most.

    Fix: Look at its plan and its place in the code first: an index, fewer calls (a cache, a batch) or fewer rows read.

    Source: PostgreSQL manual, "pg_stat_statements"

    Observed: share, calls, mean_ms, total_ms, statement
    """
    statements = evidence.get(Statements)
    days = counted_days(evidence, "window_days")
    if not statements.entries and not statements.hidden:
        raise NotApplicable("no statement ran")
    yield Examined(len(statements.entries), len(statements.entries) + statements.hidden, "statements",
                   gap=unread_statements(evidence))  # fmt: skip
    if statements.total_ms < evidence.limit("dominant_total_ms"):
        return
    known, rates = pattern_by_query_id(evidence), evidence.find(Rates)
    for entry in statements.entries:
        share = statements.share(entry)
        pattern = known.get(entry.query_id) or AccessPattern("other", entry.text, query_id=entry.query_id)
        if share < evidence.limit("dominant_share") or not entry.toplevel or entry.calls < REPEATED_CALLS:
            continue
        places = statement_places(evidence, pattern)
        load = entry.total_ms / max(days * 86_400_000, 1)
        if rates is not None and (now := rates.statement_by_id.get(entry.query_id)):
            # A statement that is busy now is so however long it was quiet before.
            load = max(load, now.ms_per_s / 1000)
        words = statement_in_words(pattern, evidence.find(Catalog))
        yield Finding(
            statement_subject(pattern),
            f"{as_subject(words)} takes {share:.0%} of all execution time{place_in_words(places)}",
            Fix(_advice(entry, days)),
            severity=_dominance(share, load, evidence.limit("dominant_load")),
            observed={**statement_figures(evidence, pattern), "total_ms": round(entry.total_ms, 1),
                      "busy_cores": round(load, 4)},
            locations=places,
        )  # fmt: skip


def _dominance(share: float, load: float, low: float) -> Severity:
    if load < low:
        return Severity.LOW
    return Severity.HIGH if share >= 0.5 else Severity.MEDIUM


def _advice(entry: Statement, days: float) -> str:
    rate = entry.calls / max(days * 86_400, 1)
    if entry.mean_ms < 5:
        return (
            f"Each call is quick ({entry.mean_ms:.2f} ms); it is the number of calls ({rate:.1f} a second). "
            "Batch it, cache its result, or ask less often."
        )
    return (
        f"Each call takes {entry.mean_ms:.0f} ms on average: look at its plan (EXPLAIN with its real parameters), "
        "and make it read fewer rows by an index or by asking for less."
    )


@check("plans.chatty-statement", catalogue="P03", severity=Severity.MEDIUM, needs=[Statements, Catalog, Server],
       window="window_days")  # fmt: skip
def chatty_statement(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Rows are fetched one by one by their key, very often.

    A list that is read with one statement and completed with one more for each of its rows (N+1) pays the network and the
    planner each time: what takes a millisecond in development takes seconds with a thousand rows, and no index helps.

    Fix: Fetch them with the list: a join, `WHERE id = ANY($1)`, or the ORM's eager loading (selectinload, include).

    Source: SQLAlchemy documentation, "Relationship Loading Techniques"; PostgreSQL manual, "pg_stat_statements"

    Observed: calls, calls_share, calls_per_s, rows_per_call, listed_by, calls_per_list, statement
    """
    statements, catalog = evidence.get(Statements), evidence.get(Catalog)
    days = counted_days(evidence, "window_days")
    all_calls = sum(entry.calls for entry in statements.entries)
    selects = [pattern for pattern in observed_selects(evidence) if pattern.query_id]
    lookups = [pattern for pattern in selects if _looks_up(catalog, pattern)]
    yield Examined(len(selects), len(selects), "SELECT statements", gap=unread_statements(evidence))
    for pattern in lookups:
        entry = statements.by_id[pattern.query_id or ""]
        if entry.calls < evidence.limit("chatty_calls_min") or not entry.toplevel:
            continue
        share = entry.calls / all_calls
        rate = entry.calls / (days * 86_400) if days >= MINIMUM_RATE_WINDOW_DAYS else None
        parent = _listing(evidence, catalog, pattern, entry, selects)
        often = share >= evidence.limit("chatty_calls_share")
        often |= rate is not None and rate >= evidence.limit("chatty_calls_per_s")
        single = _by_unique_key(catalog, pattern) and rows_per_call(entry) <= 1.05
        if parent is None and not (often and single):
            continue
        yield _chatty(evidence, catalog, pattern, entry, parent, share, rate)


def _chatty(
    evidence: Evidence, catalog: Catalog, pattern: AccessPattern, entry: Statement, parent: AccessPattern | None,
    share: float, rate: float | None,
) -> Finding:  # fmt: skip
    places = statement_places(evidence, pattern)
    observed = {**statement_figures(evidence, pattern), "calls_share": round(share, 4)}
    if rate is not None:
        observed["calls_per_s"] = round(rate, 2)
    words = statement_in_words(pattern, catalog)
    if parent is None:
        return Finding(
            statement_subject(pattern),
            f"{as_subject(words)} runs {entry.calls:,} times, {share:.0%} of all calls{place_in_words(places)}",
            Fix("Find what calls it for one row at a time: fetch the rows of one request together, or cache them."),
            severity=Severity.LOW, confidence=Confidence.INFERRED, observed=observed, locations=places,
        )  # fmt: skip
    listing = evidence.get(Statements).by_id[parent.query_id or ""]
    each = entry.calls / listing.calls
    observed |= {
        "listed_by": short_text(parent.text, TEXT_LIMIT),
        "listed_by_calls": counters(evidence, parent.query_id)["calls"],
        "calls_per_list": round(each, 1),
    }
    return Finding(
        statement_subject(pattern),
        f"{as_subject(words)} runs {each:.0f} times for each {statement_in_words(parent, catalog)}{place_in_words(places)}",
        Fix("Fetch these rows together with the list: join them, or one statement with `= ANY($1)` over the keys of the "
            "page; in an ORM, eager loading of that relation."),
        severity=Severity.HIGH if share >= evidence.limit("chatty_calls_share") else Severity.MEDIUM,
        confidence=Confidence.INFERRED,
        observed=observed,
        related=(Subject("statement", (parent.query_id or "",)),),
        locations=tuple(dict.fromkeys((*places, *statement_places(evidence, parent)))),
    )  # fmt: skip


def _looks_up(catalog: Catalog, pattern: AccessPattern) -> bool:
    """Reads one table by equality on a unique key or on the columns of a foreign key, and nothing else."""
    if len(set(pattern.tables)) != 1 or pattern.unresolved or pattern.joined_relations > 1 or pattern.distances:
        return False
    return _by_unique_key(catalog, pattern) or bool(_foreign_key_parents(catalog, pattern))


def _by_unique_key(catalog: Catalog, pattern: AccessPattern) -> bool:
    table = pattern.tables[0]
    columns = _numbers(catalog, pattern)
    return any(
        index.unique and index.valid and index.predicate is None and set(index.columns) <= columns
        for index in catalog.indexes_of(table)
        if 0 not in index.columns
    )


def _foreign_key_parents(catalog: Catalog, pattern: AccessPattern) -> set[int]:
    """Tables that the compared columns refer to."""
    columns = _numbers(catalog, pattern)
    return {
        constraint.referenced_table
        for constraint in catalog.constraints_of(pattern.tables[0])
        if constraint.kind == "foreign_key" and constraint.referenced_table and set(constraint.columns) <= columns
    }


def _numbers(catalog: Catalog, pattern: AccessPattern) -> set[int]:
    table = pattern.tables[0]
    columns = (catalog.column_named(table, name) for name in equality_columns(pattern, table))
    return {column.number for column in columns if column is not None}


def _listing(
    evidence: Evidence, catalog: Catalog, lookup: AccessPattern, entry: Statement, selects: list[AccessPattern]
) -> AccessPattern | None:
    """The statement whose rows are looked up one by one: it reads a table tied to the lookup's by a foreign key, returns
    several rows a call, and the lookup runs about once for each row that it returned."""
    statements = evidence.get(Statements)
    looked_up = lookup.tables[0]
    tied = _foreign_key_parents(catalog, lookup)
    single = _by_unique_key(catalog, lookup)
    low, high = LOOKUP_SHARE_OF_LISTED
    best: tuple[float, AccessPattern] | None = None
    for pattern in selects:
        listing = statements.by_id[pattern.query_id or ""]
        if pattern.query_id == lookup.query_id or looked_up in pattern.tables:
            continue
        if not tied & set(pattern.tables) and not (single and _lists_keys_of(catalog, pattern, looked_up)):
            continue
        if rows_per_call(listing) < LISTED_ROWS or entry.calls / listing.calls < evidence.limit("n_plus_one_calls"):
            continue
        ratio = entry.calls / listing.rows
        if low <= ratio <= high and (best is None or abs(1 - ratio) < best[0]):
            best = (abs(1 - ratio), pattern)
    return best[1] if best else None


def _lists_keys_of(catalog: Catalog, pattern: AccessPattern, looked_up: int) -> bool:
    """Whether it reads a table with a foreign key to the looked-up one, and not only the rows of one such key."""
    for constraint in catalog.constraints:
        if constraint.referenced_table == looked_up and constraint.table in pattern.tables:
            names = {catalog.column(constraint.table, number).name for number in constraint.columns}
            if not names <= set(equality_columns(pattern, constraint.table)):
                return True
    return False
