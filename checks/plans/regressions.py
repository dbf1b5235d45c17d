"""Statements that have become slower."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from checks.evidence.database.facts import Catalog, Earlier, Rates, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.figures import days_in_words
from checks.model import Examined, Finding, Fix, Severity, Unknown
from checks.registry import check
from checks.workload import (
    as_subject,
    pattern_by_query_id,
    place_in_words,
    statement_figures,
    statement_in_words,
    statement_places,
    statement_subject,
    unread_statements,
)

SHOWN = 5


class _Means(NamedTuple):
    """Means in milliseconds, before and since; `weight` is the time that the difference costs."""

    query_id: str
    before_ms: float
    since_ms: float
    calls: float
    weight: float


@check("plans.regressed-statement", catalogue="P05", severity=Severity.MEDIUM, needs=[Statements])
def regressed_statement(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement takes a multiple of the time that it took before.

    Its plan has changed, or what it reads has grown past its index or its memory, or it waits for somebody. The average since
    ever hides that for months. It is told from the counters of the last review, or, with --watch, from this minute against ever.

    Fix: Compare its plan with the one of then (auto_explain, or the last review); see what was deployed, loaded or dropped since.

    Example: SELECT ... FROM invoices WHERE customer_id = $1 took 3 ms a call at the last review and takes 41 ms since: an index
    was dropped in between.

    Source: PostgreSQL manual, "pg_stat_statements"

    Observed: before_ms, since_ms, factor, calls_since, over, statement
    """
    statements = evidence.get(Statements)
    earlier, rates = evidence.find(Earlier), evidence.find(Rates)
    if earlier is None and (rates is None or rates.calls_per_s is None):
        gap = evidence.gap(Earlier)
        assert gap is not None
        raise Unknown(gap.reason, gap.unlock)
    found = _since_the_last_review(evidence, statements, earlier) if earlier else {}
    over = days_in_words((evidence.observed_at - earlier.observed_at).total_seconds() / 86_400) if earlier else ""
    told = {name: (means, f"since the last review, {over} ago") for name, means in found.items()}
    if rates is not None:
        for name, means in _in_this_minute(evidence, statements, rates).items():
            told.setdefault(name, (means, f"in the {rates.seconds:.0f} s that were watched"))
    yield Examined(len(statements.entries), len(statements.entries) + statements.hidden, "statements",
                   gap=unread_statements(evidence))  # fmt: skip
    known = pattern_by_query_id(evidence)
    for means, when in sorted(told.values(), key=lambda entry: -entry[0].weight)[:SHOWN]:
        entry = statements.by_id[means.query_id]
        pattern = known.get(means.query_id) or AccessPattern("other", entry.text, query_id=means.query_id)
        places = statement_places(evidence, pattern)
        words = as_subject(statement_in_words(pattern, evidence.find(Catalog)))
        yield Finding(
            statement_subject(pattern),
            f"{words} takes {means.since_ms:,.1f} ms {when}, {means.before_ms:,.1f} ms before{place_in_words(places)}",
            Fix("Look at its plan now, and at what changed: a deployment, an index, a table that grew, statistics, locks."),
            severity=Severity.HIGH if means.since_ms >= evidence.limit("slow_mean_ms") else Severity.MEDIUM,
            observed={**statement_figures(evidence, pattern), "before_ms": round(means.before_ms, 3),
                      "since_ms": round(means.since_ms, 3), "factor": round(means.since_ms / means.before_ms, 1),
                      "calls_since": round(means.calls), "over": when},
            locations=places,
        )  # fmt: skip


def _since_the_last_review(evidence: Evidence, statements: Statements, earlier: Earlier) -> dict[str, _Means]:
    """By the difference of the counters, or, where they were reset in between, by the new ones alone."""
    goes_on = earlier.since == statements.since
    found: dict[str, _Means] = {}
    for entry in statements.entries:
        then = earlier.by_id.get(entry.query_id)
        if then is None or not then.calls or not entry.toplevel:
            continue
        if goes_on and entry.calls < then.calls:
            # It was forgotten in between, and counts from nothing again.
            continue
        calls = entry.calls - (then.calls if goes_on else 0)
        spent = entry.total_ms - (then.total_ms if goes_on else 0)
        if calls > 0 and then.calls >= evidence.limit("regressed_calls"):
            _add(evidence, found, entry.query_id, then.total_ms / then.calls, spent / calls, calls)
    return found


def _in_this_minute(evidence: Evidence, statements: Statements, rates: Rates) -> dict[str, _Means]:
    found: dict[str, _Means] = {}
    for rate in rates.statements:
        entry = statements.by_id.get(rate.query_id)
        if entry is not None and entry.toplevel and rate.calls_per_s > 0:
            calls = rate.calls_per_s * rates.seconds
            if entry.calls >= evidence.limit("regressed_calls"):
                _add(evidence, found, entry.query_id, entry.mean_ms, rate.ms_per_s / rate.calls_per_s, calls)
    return found


def _add(
    evidence: Evidence, found: dict[str, _Means], query_id: str, before_ms: float, since_ms: float, calls: float
) -> None:
    slower = before_ms > 0 and since_ms >= evidence.limit("regressed_factor") * before_ms
    if slower and since_ms >= evidence.limit("plan_ms") / 5 and calls >= evidence.limit("regressed_calls"):
        found[query_id] = _Means(query_id, before_ms, since_ms, calls, (since_ms - before_ms) * calls)
