"""What the server writes to its log, beside slow statements."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Server, Settings
from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding, Reason, Severity, Subject, Unknown
from checks.registry import check
from checks.relations import grant
from checks.settings import is_managed, is_on, milliseconds, server_locations, setting_fix, setting_subject

_PLAN_CAPTURERS = ("auto_explain", "pg_store_plans", "pg_show_plans", "pg_stat_monitor", "aurora_stat_plans")
_AUDITORS = ("pgaudit", "pgauditlogtofile", "set_user", "edb_audit")
_PREFIX = {"%m": "the time (%m)", "%p": "the process (%p)", "%u": "the role (%u)", "%d": "the database (%d)",
           "%a": "the application (%a)"}  # fmt: skip
_SAME = {"%m": ("%m", "%t", "%n"), "%p": ("%p", "%c")}


def _value(evidence: Evidence, name: str) -> str:
    value = evidence.get(Settings).value(name)
    if value is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    return value


@check("observability.event-logging", catalogue="O08", severity=Severity.LOW, needs=[Settings, Server])
def event_logging(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Events that explain an incident afterwards are not logged.

    Who waited for which lock, which statement spilled to disk, what a checkpoint wrote, which table autovacuum could not finish:
    each is one line in the log when it happens, and cannot be found out the day after.

    Fix: Switch these on; they take effect without a restart and write little on a healthy server.

    Example: log_lock_waits = off: users waited for eight seconds on Tuesday, and nothing in the log says whom for. ALTER SYSTEM
    SET log_lock_waits = on; SELECT pg_reload_conf();

    Source: PostgreSQL manual, "What to Log"

    Observed: missing
    """
    server, settings = evidence.get(Server), evidence.get(Settings)
    wanted = {
        "log_lock_waits": ("on", is_on(_value(evidence, "log_lock_waits"))),
        "log_checkpoints": ("on", is_on(_value(evidence, "log_checkpoints"))),
        "log_temp_files": ("10MB", _value(evidence, "log_temp_files") != "-1"),
        "log_autovacuum_min_duration": ("1min", (milliseconds(settings, "log_autovacuum_min_duration") or 0) >= 0),
    }
    yield Examined(len(wanted), len(wanted), "settings")
    missing = [name for name, (_, logged) in wanted.items() if not logged]
    if missing:
        yield Finding(
            Subject("node", (server.role,)),
            f"The log tells nothing of {_in_words(missing)}",
            setting_fix(server, "Log these events.", {name: wanted[name][0] for name in missing}),
            observed={"missing": missing},
            locations=server_locations(evidence),
        )


def _in_words(missing: list[str]) -> str:
    words = {"log_lock_waits": "waits for locks", "log_checkpoints": "checkpoints", "log_temp_files": "temporary files",
             "log_autovacuum_min_duration": "long autovacuum runs"}  # fmt: skip
    listed = [words[name] for name in missing]
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


@check("observability.log-settings", catalogue="O09", severity=Severity.LOW, needs=[Settings, Server])
def log_settings(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Lines of the log do not say whose they are, or cost more than they tell.

    A line without time, process, role, database and application cannot be joined with what the application logged at that
    moment. log_hostname asks the name server for each connection, and stalls with it.

    Fix: log_line_prefix = '%m [%p] %q%u@%d/%a ', or jsonlog (15 and later), which has it all.

    Example: log_line_prefix = '%m [%p] ': "canceling statement due to statement timeout" in a log of six services does not say
    whose; with %q%u@%d/%a it does.

    Source: PostgreSQL manual, "Error Reporting and Logging"

    Observed: missing, log_hostname, log_error_verbosity, log_destination
    """
    server = evidence.get(Server)
    prefix, destination = _value(evidence, "log_line_prefix"), _value(evidence, "log_destination")
    yield Examined(1, 1, "server")
    structured = any(format in destination for format in ("csvlog", "jsonlog"))
    missing = [
        words for escape, words in _PREFIX.items() if not any(same in prefix for same in _SAME.get(escape, (escape,)))
    ]
    hostname, verbosity = is_on(_value(evidence, "log_hostname")), _value(evidence, "log_error_verbosity")
    problems = []
    changes: dict[str, str] = {}
    if missing and not structured and not is_managed(server):
        problems.append(f"lines of the log lack {missing[0] if len(missing) == 1 else f'{len(missing)} of five parts'}")
        changes["log_line_prefix"] = "%m [%p] %q%u@%d/%a "
    if hostname:
        problems.append("log_hostname asks the name server for each connection")
        changes["log_hostname"] = "off"
    if verbosity == "terse":
        problems.append("log_error_verbosity is terse: errors without detail, hint or statement")
        changes["log_error_verbosity"] = "default"
    if problems:
        text = "; ".join(problems)
        yield Finding(
            Subject("node", (server.role,)),
            text[0].upper() + text[1:],
            setting_fix(server, "Let each line say whose it is.", changes),
            severity=Severity.MEDIUM if hostname else Severity.LOW,
            observed={"missing": missing, "log_hostname": hostname, "log_error_verbosity": verbosity,
                      "log_destination": destination},
            locations=server_locations(evidence),
        )  # fmt: skip


@check("observability.no-plan-capture", catalogue="O10", severity=Severity.LOW, needs=[Settings, Server])
def no_plan_capture(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Nobody keeps the plans of slow statements.

    A statement that was slow at night ran with a plan that nobody sees in the morning: with other statistics, other parameters
    and a warm cache, EXPLAIN shows another one. auto_explain writes the plan that was really used to the log.

    Fix: auto_explain in shared_preload_libraries or session_preload_libraries, with a threshold and without timing.

    Example: a statement of 20 ms took 40 s at 02:10 and is quick again at 09:00; session_preload_libraries = 'auto_explain'
    with auto_explain.log_min_duration = '1s' would have logged its plan.

    Source: PostgreSQL manual, "auto_explain"

    Observed: shared_preload_libraries, session_preload_libraries, auto_explain.log_min_duration
    """
    server, settings = evidence.get(Server), evidence.get(Settings)
    shared, session = _value(evidence, "shared_preload_libraries"), settings.value("session_preload_libraries") or ""
    duration = milliseconds(settings, "auto_explain.log_min_duration")
    yield Examined(1, 1, "server")
    captured = [name for name in _PLAN_CAPTURERS if name in shared or name in session]
    idle = captured == ["auto_explain"] and (duration is None or duration < 0)
    if captured and not idle:
        return
    yield Finding(
        setting_subject("auto_explain.log_min_duration" if idle else "session_preload_libraries"),
        "auto_explain is loaded, and told to log nothing" if idle else "No slow statement leaves its plan anywhere",
        setting_fix(
            server,
            "Log the plans of statements from a second on, without timing each node.",
            ({} if idle else {"session_preload_libraries": _with(session, "auto_explain")})
            | {"auto_explain.log_min_duration": "1s", "auto_explain.log_timing": "off"},
        ),
        observed={"shared_preload_libraries": shared, "session_preload_libraries": session,
                  "auto_explain.log_min_duration": duration},
        locations=server_locations(evidence),
    )  # fmt: skip


def _with(libraries: str, library: str) -> str:
    kept = [name.strip() for name in libraries.split(",") if name.strip() and name.strip() != "(empty)"]
    return ",".join([*kept, library])


@check("observability.no-change-history", catalogue="O16", severity=Severity.NOTE, needs=[Settings, Server])
def no_change_history(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Changes of the schema leave no trace on the server.

    "What changed?" is the first question after every regression. Migrations answer it for what went through them; an index that
    somebody dropped by hand at night is seen only if DDL is logged.

    Fix: log_statement = 'ddl', or pgaudit with the classes ddl and role.

    Example: log_statement = 'none': an index has been gone since last night, and the log says nothing. ALTER SYSTEM SET
    log_statement = 'ddl' would have logged DROP INDEX with its role.

    Source: PostgreSQL manual, "log_statement"; pgaudit documentation

    Observed: log_statement, shared_preload_libraries
    """
    server = evidence.get(Server)
    logged, libraries = _value(evidence, "log_statement"), _value(evidence, "shared_preload_libraries")
    yield Examined(1, 1, "server")
    if logged == "none" and not any(name in libraries for name in _AUDITORS):
        yield Finding(
            setting_subject("log_statement"),
            "DDL is not logged: who changed the schema, and when, cannot be found out",
            setting_fix(server, "Log DDL; it is little.", {"log_statement": "ddl"}),
            observed={"log_statement": logged, "shared_preload_libraries": libraries},
            locations=server_locations(evidence),
        )
