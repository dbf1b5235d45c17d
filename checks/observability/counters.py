"""Whether the server counts at all, for how long, and how much of it this role sees."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Activity, PlannerStatistics, Replication, Server, Settings, Statements
from checks.evidence.evidence import Evidence
from checks.figures import days_in_words, instant
from checks.model import Examined, Finding, Fix, NotApplicable, Reason, Severity, Subject, Unknown
from checks.registry import check
from checks.relations import grant, user_name
from checks.settings import is_on, server_locations, setting_fix, setting_subject

_SWITCHES = {
    "track_counts": (Severity.CRITICAL, "nothing is counted, and autovacuum does not run"),
    "track_activities": (Severity.HIGH, "nobody can see what a session is doing"),
}


@check("observability.counters-off", catalogue="O05", severity=Severity.HIGH, needs=[Settings, Server])
def counters_off(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The server does not count, or does not tell what sessions do.

    Without track_counts autovacuum has nothing to go by: tables bloat and transaction ids run out unseen. Without
    track_activities the first question of every incident, what runs now, has no answer.

    Fix: Switch both on, as they are by default; both take effect without a restart.

    Example: track_counts = off: n_dead_tup stays 0 in pg_stat_user_tables, and autovacuum vacuums nothing until transaction ids
    run out.

    Source: PostgreSQL manual, "Run-time Statistics"

    Observed: value, source
    """
    settings, server = evidence.get(Settings), evidence.get(Server)
    known = {name: settings.by_name[name] for name in _SWITCHES if name in settings.by_name}
    if len(known) < len(_SWITCHES):
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    yield Examined(len(known), len(known), "settings")
    for name, entry in known.items():
        if not is_on(entry.value):
            severity, consequence = _SWITCHES[name]
            yield Finding(
                setting_subject(name),
                f"{name} is off: {consequence}",
                setting_fix(server, "Switch it on.", {name: "on"}),
                severity=severity,
                observed={"value": entry.value, "source": entry.source},
                locations=server_locations(evidence),
            )


@check("observability.statistics-window-young", catalogue="O06", severity=Severity.NOTE, needs=[Server])
def statistics_window_young(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The counters are too young to conclude from them.

    After a reset, a crash, a restore or on a new replica every counter begins at zero. What was not used in two hours may be
    what the month's closing needs: checks that rely on counters wait until these cover enough.

    Fix: Let the counters grow, and review again; keep them by not resetting statistics as a routine.

    Example: pg_stat_reset() this morning: every index has idx_scan = 0, also the one that the report at the end of the month
    needs.

    Source: PostgreSQL manual, "The Cumulative Statistics System"

    Observed: window_days, needed_days, statistics_since, started_at
    """
    server = evidence.get(Server)
    days, needed = server.statistics_window_days, evidence.limit("window_days")
    yield Examined(1, 1, "server")
    if days is not None and days >= needed:
        return
    yield Finding(
        Subject("node", (server.role,)),
        f"The counters cover {days_in_words(days)}; {needed:g} days are needed before they prove anything",
        Fix("Run the review again once they have grown. A dashboard needs rates, not resets: pg_stat_reset() throws away what "
            "autovacuum goes by."),
        observed={
            "window_days": None if days is None else round(days, 2),
            "needed_days": needed,
            "statistics_since": instant(server.statistics_since) if server.statistics_since else None,
            "started_at": instant(server.started_at) if server.started_at else None,
        },
    )  # fmt: skip


@check("observability.statements-evicted", catalogue="O02", severity=Severity.MEDIUM, needs=[Statements, Server])
def statements_evicted(evidence: Evidence) -> Iterator[Finding | Examined]:
    """pg_stat_statements throws statements away to make room.

    It keeps pg_stat_statements.max different statements; each time they are full it drops the least used twentieth. Statements
    that are built anew each time (IN lists of every length, literals in identifiers) push out what matters, and shares and
    totals are those of what is left.

    Fix: Send values as parameters (= ANY($1) instead of IN lists), then a larger pg_stat_statements.max (a restart).

    Example: dealloc = 5120 in pg_stat_statements_info after a day: SET app.request_id = '8f3c...' is, before 18, a statement of
    its own for each request. SELECT set_config('app.request_id', $1, true) is one.

    Source: PostgreSQL manual, "pg_stat_statements" (dealloc)

    Observed: evicted, evicted_per_day, entries, pg_stat_statements.max
    """
    statements, server, settings = evidence.get(Statements), evidence.get(Server), evidence.find(Settings)
    if statements.evicted is None:
        raise Unknown(Reason.EXTENSION_MISSING, "ALTER EXTENSION pg_stat_statements UPDATE; (1.9 and later tell it)")
    yield Examined(1, 1, "server")
    since = statements.since or server.statistics_since
    days = (server.observed_at - since).total_seconds() / 86_400 if since else None
    per_day = statements.evicted / max(days, 1) if days is not None else float(statements.evicted)
    if per_day <= evidence.limit("evictions_per_day"):
        return
    room = settings.value("pg_stat_statements.max") if settings else None
    larger = str(2 * int(room)) if room and room.isdigit() else "10000"
    yield Finding(
        Subject("extension", ("pg_stat_statements",)),
        f"pg_stat_statements made room {per_day:,.0f} times a day: what it shows is only what was left",
        setting_fix(
            server,
            "Send values as parameters; then give it more room.",
            {"pg_stat_statements.max": larger},
            restart=True,
        ),
        observed={
            "evicted": statements.evicted,
            "evicted_per_day": round(per_day, 1),
            "entries": len(statements.entries) + statements.hidden,
            "pg_stat_statements.max": room,
        },
    )


@check("observability.statement-text-hidden", catalogue="O03", severity=Severity.LOW, needs=[Statements])
def statement_text_hidden(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The texts of statements of other roles are hidden from this review.

    A list of statements that looks whole but is not leads to wrong conclusions: the statement that dominates may be among
    those that cannot be read. Everything below that goes by statements says of how many it speaks.

    Fix: GRANT pg_read_all_stats to the reviewing role.

    Example: SELECT query FROM pg_stat_statements says "<insufficient privilege>" for 412 of 430 statements. GRANT
    pg_read_all_stats TO reviewer;

    Source: PostgreSQL manual, "pg_stat_statements"; "Predefined Roles"

    Observed: hidden, visible
    """
    statements = evidence.get(Statements)
    total = len(statements.entries) + statements.hidden
    if not total:
        raise NotApplicable("no statement was recorded")
    yield Examined(total, total, "statements")
    if statements.hidden:
        yield Finding(
            Subject("extension", ("pg_stat_statements",)),
            f"The text of {statements.hidden:,} of {total:,} statements is hidden from this role",
            Fix("Let the reviewing role read them.", sql=grant(evidence, "pg_read_all_stats"),
                undo=grant(evidence, "pg_read_all_stats").replace("GRANT", "REVOKE").replace(" TO ", " FROM ")),
            observed={"hidden": statements.hidden, "visible": len(statements.entries)},
        )  # fmt: skip


@check("observability.partial-view", catalogue="O69", severity=Severity.NOTE, needs=[Server])
def partial_view(evidence: Evidence) -> Iterator[Finding | Examined]:
    """This role sees only part of the server.

    What it may not see stays unknown in this review, and is no sign that all is well there. `pgsurveyor doctor` lists check by
    check what stays unknown because of it.

    Fix: GRANT pg_monitor and pg_read_all_data, which only read.

    Example: a reviewing role without pg_monitor: query is "<insufficient privilege>" in pg_stat_activity for the sessions of
    others. GRANT pg_monitor TO reviewer;

    Source: PostgreSQL manual, "Predefined Roles"

    Observed: user_sees, hidden
    """
    server, activity = evidence.get(Server), evidence.find(Activity)
    settings, statistics = evidence.find(Settings), evidence.find(PlannerStatistics)
    replication = evidence.find(Replication)
    hidden = {
        "some settings": bool(settings and settings.hidden),
        "what other sessions do": bool(activity and activity.states_hidden),
        "who replicates": bool(replication and replication.standbys_hidden),
        f"planner statistics of {statistics.hidden_tables if statistics else 0} tables": bool(
            statistics and statistics.hidden_tables
        ),
    }
    words = [name for name, is_hidden in hidden.items() if is_hidden]
    yield Examined(len(hidden), len(hidden), "kinds of facts")
    if words:
        name = user_name(evidence)
        monitors = any(word in words for word in ("some settings", "what other sessions do", "who replicates"))
        roles = ["pg_monitor"] * monitors + ["pg_read_all_data"] * bool(statistics and statistics.hidden_tables)
        yield Finding(
            Subject("role", (server.user,)),
            f"Role {name} does not see {', '.join(words)}",
            Fix("Let the reviewing role see it; these roles only read.",
                sql=f"GRANT {', '.join(roles)} TO {name};", undo=f"REVOKE {', '.join(roles)} FROM {name};"),
            observed={"user_sees": server.user_sees, "hidden": words},
        )  # fmt: skip
