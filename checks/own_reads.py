"""Scans that reviews by this program caused, which are no use of an index or a table."""

from __future__ import annotations

from collections.abc import Iterable

from checks.evidence.database.facts import IndexUsage, Server, Statements
from checks.evidence.evidence import Evidence

# Statements and counters may have been reset a while apart without either telling of other reviews.
_APART_DAYS = 1.0


def scans_by_reviews(evidence: Evidence, entries: Iterable[IndexUsage], window_days: float) -> int:
    """How many of these scans earlier reviews by this program can have caused within the window, at most.

    Looks at the ends of an index are counted one by one. What planning reads is known by an upper bound only; of that, one scan a
    day is believed, so that an index which an application needs every day is never taken for one that reviews alone read. Where
    pg_stat_statements reaches further back than the window, its share of the window counts.
    """
    counted = list(entries)
    scans = sum(entry.own_looks for entry in counted)
    scans += min(sum(entry.own_plannings for entry in counted), int(window_days))
    statements, server = evidence.find(Statements), evidence.find(Server)
    if not scans or statements is None or statements.since is None or server is None:
        return scans
    age_days = (server.observed_at - statements.since).total_seconds() / 86400
    return int(scans * min(1.0, (window_days + _APART_DAYS) / max(age_days, _APART_DAYS)))
