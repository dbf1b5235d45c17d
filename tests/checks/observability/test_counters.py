from __future__ import annotations

import datetime as dt

import msgspec

from checks.evidence.database.facts import Server, Statements
from checks.model import Outcome, Reason, Severity
from tests.checks.altered import aged, with_setting
from tests.checks.survey import conclude, examine, names, survey
from tests.checks.workload import prepare
from tests.servers import Database


def test_counters_that_are_off(database: Database) -> None:
    evidence = survey(database)
    assert conclude(evidence, "observability.counters-off").outcome is Outcome.PASSED
    result = conclude(with_setting(evidence, "track_counts", "off"), "observability.counters-off")
    assert {found.subject.path: found.severity for found in result.findings} == {("track_counts",): Severity.CRITICAL}


def test_a_young_server(database: Database) -> None:
    evidence = survey(database)
    (found,) = conclude(aged(evidence, 0.1), "observability.statistics-window-young").findings
    assert found.severity is Severity.NOTE
    assert "2.4 h" in found.title
    assert conclude(aged(evidence, 8), "observability.statistics-window-young").outcome is Outcome.PASSED


def test_statements_that_make_room(database: Database) -> None:
    prepare(database, "CREATE TABLE t (id int)")
    evidence = survey(database)
    since = evidence.get(Server).observed_at - dt.timedelta(days=2)

    def evicted(number: int | None) -> Outcome:
        statements = msgspec.structs.replace(evidence.get(Statements), evicted=number, since=since)
        altered = msgspec.structs.replace(evidence, statements=statements)
        return conclude(altered, "observability.statements-evicted").outcome

    assert [evicted(number) for number in (0, 40, 2_000)] == [Outcome.PASSED, Outcome.PASSED, Outcome.FOUND]
    assert evicted(None) is Outcome.UNKNOWN


def test_what_a_plain_role_does_not_see(database: Database) -> None:
    prepare(database, "CREATE TABLE t (id int); INSERT INTO t VALUES (1); ANALYZE t")
    database.execute("SELECT * FROM t")
    role = f"blind_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN")
    try:
        evidence = survey(database.server.dsn(database.name, role))
    finally:
        database.execute(f"DROP ROLE {role}")

    (view,) = conclude(evidence, "observability.partial-view").findings
    assert view.subject.path == (role,)
    assert view.fix.sql == f"GRANT pg_monitor, pg_read_all_data TO {role};"
    (texts,) = conclude(evidence, "observability.statement-text-hidden").findings
    assert texts.fix.undo == f"REVOKE pg_read_all_stats FROM {role};"

    for check in ("partial-view", "statement-text-hidden"):
        assert examine(database, f"observability.{check}").outcome is Outcome.PASSED


def test_what_the_log_tells(database: Database) -> None:
    evidence = survey(database)
    loud = with_setting(evidence, "log_lock_waits", "on")
    for name, value in (("log_checkpoints", "on"), ("log_temp_files", "0"), ("log_autovacuum_min_duration", "600000")):
        loud = with_setting(loud, name, value)
    assert conclude(loud, "observability.event-logging").outcome is Outcome.PASSED
    (found,) = conclude(with_setting(loud, "log_temp_files", "-1"), "observability.event-logging").findings
    assert (found.subject.path, found.title) == (("primary",), "The log tells nothing of temporary files")

    good = with_setting(evidence, "log_line_prefix", "%t [%p] %u@%d %a ")
    assert conclude(good, "observability.log-settings").outcome is Outcome.PASSED
    json = with_setting(with_setting(evidence, "log_line_prefix", ""), "log_destination", "jsonlog")
    assert conclude(json, "observability.log-settings").outcome is Outcome.PASSED
    (found,) = conclude(with_setting(good, "log_line_prefix", "%m "), "observability.log-settings").findings
    assert len(found.observed["missing"]) == 4
    (found,) = conclude(with_setting(good, "log_hostname", "on"), "observability.log-settings").findings
    assert found.severity is Severity.MEDIUM

    assert names(conclude(evidence, "observability.no-change-history")) == {"log_statement"}
    ddl = with_setting(evidence, "log_statement", "ddl")
    assert conclude(ddl, "observability.no-change-history").outcome is Outcome.PASSED


def test_plans_that_are_kept(database: Database) -> None:
    evidence = survey(database)
    (found,) = conclude(evidence, "observability.no-plan-capture").findings
    assert "session_preload_libraries = 'auto_explain'" in (found.fix.sql or "")
    loaded = with_setting(evidence, "shared_preload_libraries", "pg_stat_statements, auto_explain")
    (found,) = conclude(loaded, "observability.no-plan-capture").findings
    assert found.title == "auto_explain is loaded, and told to log nothing"
    database.execute(f"ALTER DATABASE {database.name} SET auto_explain.log_min_duration = '1s'")
    told = with_setting(survey(database), "shared_preload_libraries", "auto_explain")
    assert conclude(told, "observability.no-plan-capture").outcome in {Outcome.PASSED, Outcome.FOUND}


def test_settings_that_this_role_may_not_read(database: Database) -> None:
    evidence = survey(database)
    hidden = tuple(entry for entry in evidence.settings.entries if entry.name != "log_line_prefix")  # type: ignore[union-attr]
    blind = msgspec.structs.replace(evidence, settings=msgspec.structs.replace(evidence.settings, entries=hidden))  # type: ignore[type-var]
    assert conclude(blind, "observability.log-settings").reason is Reason.NOT_PERMITTED
