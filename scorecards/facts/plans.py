"""Facts about plans over time, that decide criteria of level 4."""

from __future__ import annotations

from checks.behaviours import places_of
from checks.evidence.database.facts import Catalog, PlannerStatistics, Server, Settings, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.evidence.repository.facts import Repository
from checks.model import Reason
from checks.relations import estimated_rows
from checks.selectivity import equal_share
from checks.workload import equality_columns, pattern_by_query_id
from scorecards.facts.verdict import Verdict, absent, listed, met, missing, undecided, unknown, unmet
from scorecards.rubric import Strength

COSTLIEST = 20
# How many times more rows the commonest value has than a generic plan expects, from which on one plan does not fit all values.
SKEW = 10
_KEEP_PLANS = ("pg_store_plans", "pg_stat_plans", "pg_stat_monitor", "aurora_stat_plans")
_AGENTS_WITH_PLANS = ("pganalyze", "Datadog")
_CUSTOM = frozenset({"force_custom_plan"})
_NOT_PREPARED = ("= 0", "= None", "= false", ": false", "pgbouncer=true")


def plan_changes_noticed(evidence: Evidence) -> Verdict:
    """Something keeps plans (auto_explain, an extension, an agent), or tests look at them. Elsewhere a person knows."""
    repository, settings, server = evidence.find(Repository), evidence.find(Settings), evidence.find(Server)
    kept = [name for name in _KEEP_PLANS if server is not None and server.extension(name) is not None]
    if kept:
        return met(f"{kept[0]} keeps plans")
    if settings is not None and settings.value("auto_explain.log_min_duration") not in (None, "-1"):
        return met("auto_explain logs plans")
    facts = repository.deployment if repository else ()
    for fact in facts:
        if fact.kind == "plan_test":
            return met(f"{fact.detail} in {fact.location.path}:{fact.location.line}", Strength.INFERRED)
        if fact.kind == "metrics_agent" and fact.detail in _AGENTS_WITH_PLANS:
            return met(f"{fact.detail} in {fact.location.path}:{fact.location.line}", Strength.INFERRED)
    return undecided()


def orm_statements_tested(evidence: Evidence) -> Verdict:
    """Tests that count statements. Who reads the SQL in review, only a person knows. Without an ORM there is nothing to read."""
    repository = evidence.find(Repository)
    if repository is None:
        gap = evidence.gap(Repository)
        assert gap is not None
        return missing(gap)
    if not repository.calls and not any(fact.kind == "orm" for fact in repository.deployment):
        return absent("no ORM writes SQL here")
    counted = [fact for fact in repository.deployment if fact.kind == "query_test"]
    if counted:
        first = counted[0]
        return met(f"{first.detail} in {first.location.path}:{first.location.line}", Strength.INFERRED)
    return undecided()


def generic_plans_fit(evidence: Evidence) -> Verdict:
    """Whether one of the costliest statements compares a skewed column by equality with a parameter, and what then keeps a
    prepared statement from one plan for all values: plan_cache_mode, or a driver that does not prepare."""
    statements, statistics = evidence.find(Statements), evidence.find(PlannerStatistics)
    for section in (Statements, PlannerStatistics, Catalog):
        if (gap := evidence.gap(section)) is not None:
            return missing(gap)
    assert statements is not None
    assert statistics is not None
    costliest = sorted(statements.entries, key=lambda entry: (-entry.total_ms, entry.query_id))[:COSTLIEST]
    if not costliest:
        return unknown(Reason.WINDOW_TOO_SHORT, "run again after the application has worked", "no statement yet")
    known = pattern_by_query_id(evidence)
    read = [known[entry.query_id] for entry in costliest if entry.query_id in known]
    skewed = sorted({name for pattern in read for name in _skewed(evidence, pattern, statistics)})
    if not skewed:
        return met(f"{len(read)} of {len(costliest)} costliest statements compare no skewed column")
    settings, server = evidence.find(Settings), evidence.find(Server)
    database = server.database if server else ""
    roles = {user for entry in costliest for user in entry.users}
    if (
        settings is not None
        and roles
        and all(settings.value("plan_cache_mode", role, database) in _CUSTOM for role in roles)
    ):
        return met(f"plan_cache_mode is force_custom_plan, for {listed(skewed)}")
    prepared = places_of(evidence, "prepared_statement") if evidence.find(Repository) else []
    if prepared and all(place.behaviour.detail.endswith(_NOT_PREPARED) for place in prepared):
        return met(f"the driver does not prepare ({prepared[0].location.path}:{prepared[0].location.line})")
    if prepared:
        return unmet(f"prepared statements compare {listed(skewed)} under plan_cache_mode = auto")
    return unknown(
        Reason.REPO_NOT_GIVEN if evidence.find(Repository) is None else Reason.NEEDS_ANSWER,
        "set plan_cache_mode for the application's role, or tell in code whether the driver prepares statements",
        f"skewed: {listed(skewed)}",
    )


def _skewed(evidence: Evidence, pattern: AccessPattern, statistics: PlannerStatistics) -> list[str]:
    """Columns that it compares, of which the commonest value has many times the rows that the average has."""
    catalog = evidence.get(Catalog)
    found = []
    for oid in set(pattern.tables):
        table = catalog.table_by_oid.get(oid)
        rows = estimated_rows(evidence, table) if table else None
        if table is None or not rows or rows < evidence.limit("seq_scan_rows"):
            continue
        for name in equality_columns(pattern, oid):
            column = catalog.column_named(oid, name)
            entry = statistics.by_column.get((oid, column.number)) if column else None
            if entry is None or not entry.common_share:
                continue
            if SKEW * equal_share(entry, rows) <= entry.common_share < 1:
                found.append(f"{table.name}.{name}")
    return found
