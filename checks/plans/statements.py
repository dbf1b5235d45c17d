"""What the statistics of statements say: one that dominates, and lookups sent one by one."""

from __future__ import annotations

from collections.abc import Iterator

from checks.behaviours import places_of
from checks.evidence.database.facts import Catalog, Rates, Server, Statement, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.evidence.repository.facts import Repository
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity, Subject
from checks.plans.lookups import by_unique_key, listing_of, looks_up, tolerance_of
from checks.registry import check
from checks.workload import (
    TEXT_LIMIT,
    as_subject,
    counted_days,
    counters,
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
# What ran less often is a load or a repair of somebody's, not the application.
REPEATED_CALLS = 5


@check("plans.dominant-statement", catalogue="P01", severity=Severity.MEDIUM, needs=[Statements, Server],
       window="window_days")  # fmt: skip
def dominant_statement(evidence: Evidence) -> Iterator[Finding | Examined]:
    """One statement takes a large share of all execution time.

    Where one statement is a quarter of the load, it alone decides how much the server can grow: a plan that turns bad, or
    twice the users, is felt by everybody. It is also the one place where an hour of work pays most.

    Fix: Look at its plan and its place in the code first: an index, fewer calls (a cache, a batch) or fewer rows read.

    Example: SELECT ... FROM notifications WHERE user_id = $1 AND read_at IS NULL takes 43 % of all execution time: polled every
    five seconds by each open tab.

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

    Example: SELECT * FROM users WHERE id = $1, called 4 million times a day beside SELECT * FROM comments WHERE post_id = $1
    with 80,000 calls: each comment's author is fetched by itself.

    Source: SQLAlchemy documentation, "Relationship Loading Techniques"; PostgreSQL manual, "pg_stat_statements"

    Observed: calls, calls_share, calls_per_s, rows_per_call, listed_by, calls_per_list, statement
    """
    statements, catalog = evidence.get(Statements), evidence.get(Catalog)
    days = counted_days(evidence, "window_days")
    all_calls = sum(entry.calls for entry in statements.entries)
    selects = [pattern for pattern in observed_selects(evidence) if pattern.query_id]
    lookups = [pattern for pattern in selects if looks_up(catalog, pattern)]
    in_loops = {
        place.ran.query_id
        for place in (places_of(evidence, "query_in_loop") if evidence.find(Repository) else ())
        if place.ran is not None
    }
    yield Examined(len(selects), len(selects), "SELECT statements", gap=unread_statements(evidence))
    counted = [
        (pattern, entry)
        for pattern in lookups
        if (entry := statements.by_id[pattern.query_id or ""]).toplevel
        and entry.calls >= evidence.limit("chatty_calls_min")
    ]
    tolerance = tolerance_of(evidence, catalog, counted, selects)
    for pattern, entry in counted:
        share = entry.calls / all_calls
        rate = entry.calls / (days * 86_400) if days >= MINIMUM_RATE_WINDOW_DAYS else None
        parent = listing_of(evidence, catalog, pattern, entry, selects, tolerance)
        if parent is not None and entry.query_id in in_loops:
            # plans.n-plus-one names the loop.
            continue
        often = share >= evidence.limit("chatty_calls_share")
        often |= rate is not None and rate >= evidence.limit("chatty_calls_per_s")
        single = by_unique_key(catalog, pattern) and rows_per_call(entry) <= 1.05
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
