"""`pgsurveyor doctor`: what this role sees, which checks stay unknown because of the rest, and the GRANTs that would help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from checks.checklist import run_checks
from checks.evidence.database.facts import (
    Access,
    Activity,
    Catalog,
    FreezeAges,
    Host,
    PlannerStatistics,
    Plans,
    Replication,
    Server,
    Settings,
    Statements,
    Usage,
)
from checks.evidence.database.flavours import HIDES
from checks.evidence.evidence import Evidence
from checks.model import CheckResult, Outcome, Reason, qualified_name, quote_identifier
from checks.settings import is_managed
from checks.text import visible

YES, PARTLY, NO = "yes", "partly", "no"
SCHEMAS_NAMED = 5

_NOT_OF_THE_ROLE = {Reason.REPO_NOT_GIVEN, Reason.NOT_RUN, Reason.NOT_OPTED_IN, Reason.NEEDS_ANSWER}


class Sight(NamedTuple):
    """How much of one kind of fact is seen: yes, partly or no; `why` says what is missing."""

    what: str
    seen: str
    why: str = ""


def diagnosis(evidence: Evidence, server: Server, results: Sequence[CheckResult]) -> Iterator[str]:
    """Lines for a person. Nothing in them needs escaping any more."""
    yield visible(f"{server.user} on {server.database}: PostgreSQL {server.version}, {server.role}, {server.flavour}")
    yield f"this role sees: {server.user_sees}"
    if hidden := HIDES.get(server.flavour):
        yield f"{server.flavour} hides: {hidden}"
    yield ""
    for sight in matrix(evidence):
        yield visible(f"  {sight.what:<38}{sight.seen:<8}{sight.why}").rstrip()
    counts = Counter(result.outcome for result in results)
    known = sum(counts[outcome] for outcome in (Outcome.PASSED, Outcome.FOUND, Outcome.NOT_APPLICABLE))
    yield f"\nchecks that can be decided: {known} of {len(results)}"
    for (reason, unlock), checks in _gaps(results).items():
        yield visible(f"\nunknown ({reason}): {', '.join(checks)}")
        if unlock:
            yield visible(f"  {unlock}")
    if offered := grants(evidence):
        yield "\nGrants that would help, the smallest first:"
        width = max(len(grant) for grant, _ in offered)
        for grant, effect in offered:
            yield visible(f"  {grant:<{min(width, 70)}}  -- {effect}")


def diagnose(evidence: Evidence, server: Server) -> tuple[list[str], tuple[CheckResult, ...]]:
    """The lines, and the results of the checks they tell of."""
    results = tuple(run_checks(evidence))
    return list(diagnosis(evidence, server, results)), results


def matrix(evidence: Evidence) -> Iterator[Sight]:
    """Every kind of fact that a role may or may not see, in the order in which it is observed."""
    yield _plain(evidence, Catalog, "tables, columns, indexes, constraints")
    yield _plain(evidence, Access, "roles and grants")
    yield _sequences(evidence)
    yield _planner_statistics(evidence)
    yield _plain(evidence, Usage, "usage counters of tables and indexes")
    yield _statements(evidence)
    yield _plans(evidence)
    yield _plain(evidence, Settings, "settings", lambda settings: settings.hidden, "those for superusers are hidden")
    yield _plain(evidence, Activity, "sessions", lambda found: found.states_hidden, "what others do is hidden")
    yield _plain(evidence, FreezeAges, "transaction-id ages")
    yield _plain(
        evidence, Host, "pg_hba.conf", lambda host: host.rules is None, "hidden; input and output of the server is seen"
    )
    yield _plain(
        evidence, Replication, "replication", lambda found: found.standbys_hidden, "the state of standbys is hidden"
    )
    if evidence.replicas or evidence.unreached_replicas:
        reached, all_of_them = len(evidence.replicas), len(evidence.replicas) + len(evidence.unreached_replicas)
        seen = YES if reached == all_of_them else PARTLY if reached else NO
        yield Sight("further nodes", seen, f"{reached} of {all_of_them}")


def grants(evidence: Evidence) -> list[tuple[str, str]]:
    """GRANTs that would show more, and what; those that let the role see least come first."""
    server = evidence.find(Server)
    if server is None:
        return []
    role = quote_identifier(server.user)
    settings, activity = evidence.find(Settings), evidence.find(Activity)
    replication, statements = evidence.find(Replication), evidence.find(Statements)
    needs_settings = settings is not None and settings.hidden
    needs_statistics = (
        (activity is not None and activity.states_hidden)
        or (replication is not None and replication.standbys_hidden)
        or (statements is not None and statements.hidden > 0)
    )
    found = []
    if needs_settings:
        found.append((f"GRANT pg_read_all_settings TO {role};", "all settings"))
    if needs_statistics:
        found.append((f"GRANT pg_read_all_stats TO {role};", "statements and sessions of others, state of standbys"))
    if needs_settings or needs_statistics:
        found.append((f"GRANT pg_monitor TO {role};", "these and what else monitoring takes; no table data at all"))
    host = evidence.find(Host)
    if host is not None and host.rules is None and not is_managed(server):
        found.append(
            (
                f"GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO {role};",
                "pg_hba.conf: who may connect from where; no password",
            )
        )
    schemas = _unread_schemas(evidence)
    if schemas:
        if len(schemas) <= SCHEMAS_NAMED:
            for schema in schemas:
                name = qualified_name(schema)
                found.append(
                    (
                        f"GRANT USAGE ON SCHEMA {name} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO {role};",
                        "planner statistics and plans of SELECTs there; can read its rows",
                    )
                )
        found.append(
            (
                f"GRANT pg_read_all_data TO {role};",
                "planner statistics, sequences and plans of SELECTs; can read all rows",
            )
        )
    return found


def _unread_schemas(evidence: Evidence) -> list[str]:
    """Schemas with tables or sequences, if this role cannot read some of what is in them."""
    catalog, statistics = evidence.find(Catalog), evidence.find(PlannerStatistics)
    if catalog is None:
        return []
    unread = any(not sequence.readable for sequence in catalog.sequences)
    unread = unread or (statistics is not None and statistics.hidden_tables > 0)
    return sorted({table.schema for table in catalog.tables if not table.extension}) if unread else []


def _plain(evidence: Evidence, section: type, what: str, is_partial: object = None, why: str = "") -> Sight:
    if gap := evidence.gap(section):
        return Sight(what, NO, gap.reason.value)
    if callable(is_partial) and is_partial(evidence.get(section)):
        return Sight(what, PARTLY, why)
    return Sight(what, YES)


def _sequences(evidence: Evidence) -> Sight:
    what, catalog = "values of sequences", evidence.find(Catalog)
    if catalog is None:
        return Sight(what, NO)
    readable = sum(sequence.readable for sequence in catalog.sequences)
    return _share(what, readable, len(catalog.sequences))


def _planner_statistics(evidence: Evidence) -> Sight:
    what, statistics = "planner statistics of columns", evidence.find(PlannerStatistics)
    if statistics is None:
        return Sight(what, NO)
    if statistics.hidden_tables:
        return Sight(
            what, PARTLY if statistics.columns else NO, f"those of {statistics.hidden_tables} tables are hidden"
        )
    return Sight(what, YES)


def _statements(evidence: Evidence) -> Sight:
    what, statements = "statements (pg_stat_statements)", evidence.find(Statements)
    if statements is None:
        gap = evidence.gap(Statements)
        return Sight(what, NO, gap.reason.value if gap else "")
    if statements.hidden:
        return Sight(what, PARTLY if statements.entries else NO, f"the texts of {statements.hidden} are hidden")
    return Sight(what, YES)


def _plans(evidence: Evidence) -> Sight:
    what, plans = "plans of the dearest statements", evidence.find(Plans)
    if plans is None:
        gap = evidence.gap(Plans)
        return Sight(what, NO, gap.reason.value if gap else "")
    reasons = Counter(entry.reason for entry in plans.unplanned)
    sight = _share(what, len(plans.plans), len(plans.plans) + len(plans.unplanned))
    words = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return sight._replace(why=f"{sight.why}: {words}") if words else sight


def _share(what: str, seen: int, of: int) -> Sight:
    if seen == of:
        return Sight(what, YES)
    return Sight(what, PARTLY if seen else NO, f"{seen} of {of}")


def _gaps(results: Sequence[CheckResult]) -> dict[tuple[str, str], list[str]]:
    gaps: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if result.outcome is Outcome.UNKNOWN and result.reason not in _NOT_OF_THE_ROLE:
            gaps.setdefault((str(result.reason), result.unlock or ""), []).append(result.check)
    return gaps
