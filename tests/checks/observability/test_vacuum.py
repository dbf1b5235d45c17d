from __future__ import annotations

import datetime as dt

import msgspec
import psycopg

from checks.evidence.database.facts import (
    Activity,
    Catalog,
    HorizonHolder,
    Server,
    Session,
    Settings,
    TableUsage,
    Usage,
)
from checks.evidence.evidence import Evidence
from checks.model import Outcome, Severity
from tests.checks.altered import aged, of_flavour, with_sessions, with_setting
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database, PrimaryAndStandby

SCHEMA = """
    CREATE TABLE calm (id int PRIMARY KEY);
    CREATE TABLE churned (id int PRIMARY KEY, n int);
    CREATE TABLE tuned (id int PRIMARY KEY) WITH (autovacuum_vacuum_scale_factor = 0.9);
    CREATE TABLE off (id int PRIMARY KEY) WITH (autovacuum_enabled = off);
    CREATE UNLOGGED TABLE staging (id int PRIMARY KEY) WITH (autovacuum_enabled = off);
"""
MILLION = 1_000_000


def used(evidence: Evidence, **tables: dict[str, object]) -> Evidence:
    """Counters of these tables as given."""
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    given = {catalog.table_by_name["public", name].oid: counters for name, counters in tables.items()}
    altered = tuple(msgspec.structs.replace(entry, **given.get(entry.table, {})) for entry in usage.tables)
    return msgspec.structs.replace(evidence, usage=msgspec.structs.replace(usage, tables=altered))


def test_rows_that_are_dead(database: Database) -> None:
    database.execute(SCHEMA)
    evidence = aged(survey(database), 10)
    now = evidence.get(Server).observed_at
    half = {"live_tuples": 100_000, "dead_tuples": 120_000, "last_vacuum": now - dt.timedelta(days=3)}
    some = {"live_tuples": 200_000, "dead_tuples": 85_000, "last_vacuum": now - dt.timedelta(days=3)}
    altered = used(evidence, churned=half, tuned=half, off=half, calm={"live_tuples": 9, "dead_tuples": 90})
    assert names(conclude(altered, "observability.dead-rows")) == {"public.churned"}
    assert finding(conclude(altered, "observability.dead-rows"), "public.churned").observed["trigger"] == 20_050

    late = used(evidence, churned=some, tuned=some, calm={**some, "last_vacuum": now})
    assert names(conclude(late, "observability.vacuum-overdue")) == {"public.churned"}
    never = used(evidence, churned={**some, "last_vacuum": None}, tuned={**some, "last_vacuum": None})
    assert names(conclude(never, "observability.never-vacuumed")) == {"public.churned"}
    for check in ("dead-rows", "vacuum-overdue", "never-vacuumed"):
        assert conclude(evidence, f"observability.{check}").outcome is Outcome.PASSED


def test_dead_rows_of_a_real_table(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id int); INSERT INTO t SELECT generate_series(1, 30000)", "ANALYZE", "DELETE FROM t"
    )

    (found,) = examine(database, "observability.dead-rows").findings

    assert found.observed["dead_rows"] == 30_000
    assert found.fix.sql is not None
    database.execute(found.fix.sql)
    assert examine(database, "observability.dead-rows").outcome is Outcome.PASSED


def test_where_autovacuum_is_off(database: Database) -> None:
    database.execute(SCHEMA)
    evidence = survey(database)
    result = conclude(evidence, "observability.autovacuum-off")
    assert {found.subject.name: found.severity for found in result.findings} == {
        "public.off": Severity.MEDIUM,
        "public.staging": Severity.NOTE,
    }
    assert "autovacuum" in names(conclude(with_setting(evidence, "autovacuum", "off"), "observability.autovacuum-off"))


def test_large_tables_with_the_default_factor(database: Database) -> None:
    database.execute(SCHEMA)
    evidence = survey(database)
    large = {"live_tuples": 90 * MILLION, "updated": 5}
    altered = used(evidence, churned=large, calm={"live_tuples": 90 * MILLION, "updated": 0, "deleted": 0})
    check = "observability.autovacuum-defaults-on-large-table"
    (found,) = conclude(altered, check).findings
    assert found.observed["tables"] == ["public.churned"]
    assert conclude(with_setting(altered, "autovacuum_vacuum_scale_factor", "0.005"), check).outcome is Outcome.PASSED
    assert conclude(evidence, check).outcome is Outcome.PASSED


def test_updates_that_write_every_index(database: Database) -> None:
    database.execute(SCHEMA)
    evidence = aged(survey(database), 10)
    cold, hot = {"updated": MILLION, "hot_updated": 100_000}, {"updated": MILLION, "hot_updated": 950_000}
    (found,) = conclude(used(evidence, churned=cold, calm=hot), "observability.low-hot-ratio").findings
    assert (found.subject.name, found.severity) == ("public.churned", Severity.NOTE)


def test_a_session_that_holds_the_horizon(database: Database) -> None:
    evidence = survey(database)
    holders = (
        HorizonHolder("session", "reports", 3 * MILLION, 7_200.0),
        HorizonHolder("session", "api", 3 * MILLION, 7_200.0),
        HorizonHolder("session", "quick", 5, 1.0),
        HorizonHolder("slot", "cdc", 9 * MILLION),
    )
    idle = Session("api", "app", database.name, "idle in transaction", 7_200.0, 7_200.0)
    activity = msgspec.structs.replace(evidence.get(Activity), horizon=holders)
    altered = with_sessions(msgspec.structs.replace(evidence, activity=activity), idle)
    assert names(conclude(altered, "observability.horizon-held")) == {"reports"}


def test_a_snapshot_that_is_really_held(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    with psycopg.connect(database.dsn, application_name="nightly") as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM t")
        with database.connect() as writer:
            for _ in range(20):
                writer.execute("SELECT pg_current_xact_id()")
        with psycopg.connect(database.dsn, application_name="fresh") as healthy:
            healthy.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            healthy.execute("SELECT count(*) FROM t")
            reading = survey(database, limits={"horizon_xids": 30})
            evidence = survey(database, limits={"horizon_xids": 10})
    assert conclude(with_sessions(reading), "observability.horizon-held").outcome is Outcome.PASSED
    busy = with_sessions(evidence)
    assert "nightly" in names(conclude(busy, "observability.horizon-held"))
    assert "fresh" not in names(conclude(busy, "observability.horizon-held"))
    assert "nightly" not in names(conclude(evidence, "observability.horizon-held"))


def test_a_standby_counts_no_changes(primary_and_standby: PrimaryAndStandby) -> None:
    evidence = survey(primary_and_standby.standby.dsn())
    assert conclude(evidence, "observability.dead-rows").outcome in {Outcome.UNKNOWN, Outcome.NOT_APPLICABLE}


def test_releases(database: Database) -> None:
    evidence = survey(database)
    moment = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)

    def judged(major: int, minor: int, flavour: str = "postgresql", at: dt.datetime = moment) -> Severity | None:
        server = msgspec.structs.replace(
            evidence.get(Server), version_num=major * 10_000 + minor, version=f"{major}.{minor}", observed_at=at
        )
        altered = of_flavour(msgspec.structs.replace(evidence, server=server), flavour)
        findings = conclude(altered, "observability.server-version").findings
        return findings[0].severity if findings else None

    assert [judged(major, minor) for major, minor in ((18, 6), (18, 5), (18, 1), (14, 23), (19, 0), (11, 5))] == [
        None, Severity.LOW, Severity.MEDIUM, Severity.HIGH, None, Severity.HIGH,
    ]  # fmt: skip
    assert judged(15, 19, at=dt.datetime(2027, 8, 1, tzinfo=dt.UTC)) is Severity.LOW


def test_settings_that_wait(database: Database) -> None:
    evidence = survey(database)
    assert conclude(evidence, "observability.configuration-errors").outcome is Outcome.PASSED
    settings = evidence.get(Settings)
    entries = tuple(
        msgspec.structs.replace(entry, pending_restart=entry.name == "shared_buffers") for entry in settings.entries
    )
    pending = msgspec.structs.replace(evidence, settings=msgspec.structs.replace(settings, entries=entries))
    (found,) = conclude(pending, "observability.configuration-errors").findings
    assert found.observed["pending_restart"] == ["shared_buffers"]


def test_memory_that_is_mapped(database: Database) -> None:
    evidence = survey(database)
    assert conclude(evidence, "observability.huge-pages").outcome is Outcome.PASSED
    large = with_setting(with_setting(evidence, "shared_buffers", str(2 * MILLION)), "huge_pages", "off")
    assert names(conclude(large, "observability.huge-pages")) == {"huge_pages"}
    assert conclude(of_flavour(large, "rds"), "observability.huge-pages").outcome is Outcome.NOT_APPLICABLE


def test_indexes_that_one_vacuum_reads_several_times(database: Database) -> None:
    database.execute(SCHEMA)
    evidence = survey(database)
    check = "observability.vacuum-index-passes"
    large = {"live_tuples": 200 * MILLION, "updated": 5}
    altered = used(evidence, churned=large, calm={"live_tuples": 200 * MILLION, "updated": 0, "deleted": 0}, off=large)
    before = msgspec.structs.replace(altered, server=msgspec.structs.replace(altered.get(Server), version_num=160004))
    since = msgspec.structs.replace(altered, server=msgspec.structs.replace(altered.get(Server), version_num=170002))

    (found,) = conclude(before, check).findings
    assert (found.subject.name, found.severity, found.observed["passes"]) == ("public.churned", Severity.LOW, 4)
    assert "autovacuum_work_mem = '229MB'" in (found.fix.sql or "")
    assert conclude(with_setting(before, "autovacuum_work_mem", str(1024**2)), check).outcome is Outcome.PASSED
    assert conclude(since, check).outcome is Outcome.NOT_APPLICABLE


def test_autovacuum_with_little_memory(database: Database) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    evidence = survey(database)
    catalog = evidence.get(Catalog)
    indexes = tuple(msgspec.structs.replace(index, size_bytes=20 * 1024**3) for index in catalog.indexes)
    large = msgspec.structs.replace(evidence, catalog=msgspec.structs.replace(catalog, indexes=indexes))
    assert conclude(evidence, "observability.autovacuum-resources").outcome is Outcome.PASSED
    old = msgspec.structs.replace(large, server=msgspec.structs.replace(large.get(Server), version_num=160004))
    assert names(conclude(old, "observability.autovacuum-resources")) == {"autovacuum_work_mem"}
    new = msgspec.structs.replace(large, server=msgspec.structs.replace(large.get(Server), version_num=170002))
    assert conclude(new, "observability.autovacuum-resources").outcome is Outcome.PASSED
    assert isinstance(evidence.get(Usage).tables[0], TableUsage)
