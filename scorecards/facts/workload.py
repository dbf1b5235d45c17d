"""Facts about statements, sessions and statistics that decide criteria."""

from __future__ import annotations

from checks.evidence.database.facts import Activity, Catalog, GivenPlans, Server, Settings, Statement, Statements
from checks.evidence.evidence import Evidence
from checks.figures import days_in_words
from checks.model import Reason, Subject, quote_identifier
from checks.settings import setting_subject
from checks.workload import counted_days, pattern_by_query_id, statement_in_words
from scorecards.facts.verdict import Verdict, by_override, judged, listed, met, missing, undecided, unknown, unmet

DAY_S, HOUR_S = 86_400, 3_600
CLIENT_READ_S = 600
COSTLIEST = 20
GIVEN_SHARE = 0.8
HOT_CALLS_PER_DAY = 24 * 60
HOT_MEAN_MS = 100
SLOW_MEAN_MS = 1_000
SLOW_CALLS = 10
WIDE_JOIN = 8
EVICTIONS_PER_DAY = 1.0
NAMED_SHARE = 0.9
_TOOLS = ("psql", "pgadmin", "dbeaver", "datagrip", "pgsurveyor", "pg_dump")
_AGENTS = (
    "datadog", "postgres_exporter", "prometheus", "pganalyze", "telegraf", "pgwatch", "newrelic", "zabbix", "pgmonitor",
    "percona", "pmm", "dynatrace", "netdata", "grafana", "rdsadmin", "cloudsqladmin",
)  # fmt: skip


def no_old_transaction(evidence: Evidence) -> Verdict:
    """Transactions of 24 h, idle ones of 1 h, prepared ones of 24 h."""
    activity = evidence.get(Activity)
    clients = [session for session in activity.sessions if session.backend_type == "client backend"]
    idle = [
        session
        for session in clients
        if (session.state or "").startswith("idle in transaction") and (session.state_age_s or 0) >= HOUR_S
    ]
    old = [session for session in clients if (session.transaction_age_s or 0) >= DAY_S]
    prepared = [transaction for transaction in activity.prepared if transaction.age_s >= DAY_S]
    problems = [
        f"{len(found)} {words}"
        for found, words in (
            (old, "transactions older than 24 h"),
            (idle, "sessions idle in transaction for 1 h or more"),
            (prepared, "prepared transactions older than 24 h"),
        )
        if found
    ]
    if problems:
        sessions = {session.application_name or session.user or "unnamed": None for session in (*old, *idle)}
        objects = [Subject("session", (name,)) for name in sessions]
        objects += [Subject("prepared_transaction", (transaction.name,)) for transaction in prepared]
        return unmet(", ".join(problems), objects=objects)
    if activity.states_hidden:
        return unknown(Reason.NOT_PERMITTED, _monitor(evidence), "the state of other sessions is hidden")
    return met(f"client sessions when looked at: {len(clients)}")


def connections_available(evidence: Evidence) -> Verdict:
    activity, limit = evidence.get(Activity), evidence.limit("connections_used")
    if not activity.max_connections:
        return unknown(Reason.NOT_PERMITTED, _monitor(evidence))
    used = sum(session.backend_type == "client backend" for session in activity.sessions)
    return judged(
        used < limit * activity.max_connections,
        f"{used} of {activity.max_connections} connections",
        objects=[setting_subject("max_connections")],
    )


def statements_readable(evidence: Evidence) -> Verdict:
    """Without the extension the top statements cannot be listed at all; without the privilege we cannot tell."""
    gap = evidence.gap(Statements)
    if gap is not None and gap.reason is Reason.EXTENSION_MISSING:
        return unmet("pg_stat_statements is not installed")
    if gap is not None:
        return missing(gap)
    statements = evidence.get(Statements)
    total = len(statements.entries) + statements.hidden
    if statements.hidden > len(statements.entries):
        return unknown(
            Reason.NOT_PERMITTED, _monitor(evidence), f"{statements.hidden} of {total} statements are hidden"
        )
    if not statements.entries:
        return unknown(Reason.WINDOW_TOO_SHORT, "run again after the application has worked", "no statement yet")
    return met(f"{len(statements.entries)} statements")


def statements_cover_a_week(evidence: Evidence) -> Verdict:
    """The window of pg_stat_statements itself, which has a reset of its own."""
    readable = statements_readable(evidence)
    if readable.status != "met":
        return readable
    statements = evidence.get(Statements)
    days = counted_days(evidence, "window_days")
    window = f"window of {days_in_words(days)}{by_override(evidence, 'window_days', days)}"
    if statements.evicted is None:
        return met(window)
    churning = statements.evicted > max(1.0, EVICTIONS_PER_DAY * days)
    return judged(not churning, f"{window}, entries evicted {statements.evicted} times")


def plans_captured(evidence: Evidence) -> Verdict:
    """auto_explain that logs buffers, or such plans given of most of the costliest statements; plans may be taken elsewhere, so
    that their absence decides nothing."""
    given, statements = evidence.find(GivenPlans), evidence.find(Statements)
    if given is not None and statements is not None:
        costliest = {entry.query_id for entry in _costliest(statements)}
        known = {plan.query_id for plan in given.plans
                 if plan.query_id in costliest and plan.root.measured and plan.root.measured.hit_blocks is not None}  # fmt: skip
        if known and len(known) >= GIVEN_SHARE * len(costliest):
            return met(f"given plans of {len(known)} of the {len(costliest)} costliest statements")
    settings = evidence.get(Settings)
    if settings.value("auto_explain.log_min_duration") not in (None, "-1"):
        buffers = settings.value("auto_explain.log_buffers") == "on"
        return (
            met("auto_explain logs plans with buffers") if buffers else undecided("auto_explain, without log_buffers")
        )
    return undecided()


def costliest_plans_given(evidence: Evidence) -> Verdict:
    """Plans with real rows for most of the 20 statements with the most execution time; without, nothing is known of the rest."""
    gap = evidence.gap(GivenPlans)
    if gap is not None:
        return missing(gap)
    costliest = {entry.query_id for entry in _costliest(evidence.get(Statements))}
    given = {plan.query_id for plan in evidence.get(GivenPlans).plans if plan.analyzed and plan.query_id in costliest}
    covered = f"plans of {len(given)} of the {len(costliest)} costliest statements"
    if not costliest or len(given) < GIVEN_SHARE * len(costliest):
        return unknown(Reason.NOT_OPTED_IN, "--plan FILE with auto_explain's log of the costliest statements", covered)
    return met(covered)


def hot_statements_are_fast(evidence: Evidence) -> Verdict:
    """Among the 20 statements with the most execution time: hot is once a minute or more."""
    statements = evidence.get(Statements)
    days = counted_days(evidence, "window_days")
    costliest = _costliest(statements)
    if not costliest:
        return unknown(Reason.WINDOW_TOO_SHORT, "run again after the application has worked", "no statement yet")
    slow = [
        f"{entry.query_id} ({entry.mean_ms:,.0f} ms)"
        for entry in costliest
        if (entry.mean_ms > HOT_MEAN_MS and entry.calls >= HOT_CALLS_PER_DAY * days)
        or (entry.mean_ms > SLOW_MEAN_MS and entry.calls >= SLOW_CALLS)
    ]
    activity = evidence.find(Activity)
    waiting = [
        session
        for session in (activity.sessions if activity else ())
        if session.state == "active"
        and session.wait_event == "ClientRead"
        and (session.state_age_s or 0) > CLIENT_READ_S
    ]
    if slow:
        return unmet(f"{len(slow)} of the {len(costliest)} costliest statements: {listed(slow)}")
    if waiting:
        return unmet(f"{len(waiting)} sessions active but waiting for their client for 10 minutes")
    return met(f"{len(costliest)} of the {len(costliest)} costliest statements")


def joins_are_narrow(evidence: Evidence) -> Verdict:
    """Relations that each of the costliest statements joins."""
    ids = {entry.query_id for entry in _costliest(evidence.get(Statements))}
    patterns = pattern_by_query_id(evidence)
    joined = {id: patterns[id].joined_relations for id in ids if id in patterns}
    if not joined:
        return unknown(Reason.NOT_PARSED, "run again after the application has worked")
    catalog = evidence.find(Catalog)
    wide = sorted(
        f"{statement_in_words(patterns[id], catalog)} ({count} relations)"
        for id, count in joined.items()
        if count >= WIDE_JOIN
    )
    if wide:
        return unmet(f"{len(wide)} of {len(joined)} statements: {listed(wide)}")
    widest = max(joined.values())
    words = f"the widest joins {widest} relations" if widest > 1 else "none joins anything"
    return met(f"{len(joined)} of {len(joined)} costliest statements, {words}")


def sessions_named(evidence: Evidence) -> Verdict:
    """Client sessions that carry an application_name, people's tools left out."""
    sessions = [
        session
        for session in evidence.get(Activity).sessions
        if session.backend_type == "client backend"
        and not session.application_name.lower().startswith((*_TOOLS, *_AGENTS))
    ]
    if not sessions:
        return undecided("no application was connected")
    named = sum(bool(session.application_name) for session in sessions)
    return judged(named >= NAMED_SHARE * len(sessions), f"{named} of {len(sessions)} sessions have an application_name")


def agents_connected(evidence: Evidence) -> list[str]:
    """Monitoring agents among the sessions, by their application_name."""
    activity = evidence.find(Activity)
    names = {session.application_name for session in activity.sessions} if activity else set()
    return sorted(name for name in names if any(agent in name.lower() for agent in _AGENTS))


def _costliest(statements: Statements) -> list[Statement]:
    ordered = sorted(statements.entries, key=lambda entry: (-entry.total_ms, entry.query_id))
    return ordered[:COSTLIEST]


def _monitor(evidence: Evidence) -> str:
    server = evidence.find(Server)
    return f"GRANT pg_monitor TO {quote_identifier(server.user) if server else 'the reviewing role'};"
