from __future__ import annotations

import msgspec
import psycopg
import pytest

from checks.evidence.database.facts import Activity, FreezeAge, FreezeAges, Session, Settings
from checks.evidence.evidence import Evidence
from checks.model import Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database, start_chosen

NAME = "observability.wraparound"
MILLION = 1_000_000
NO_MULTIXACT = 2_147_483_647
NEXT_XID = 1_700 * MILLION
XIDS_PER_SEGMENT = 32 * 32_768


def with_ages(evidence: Evidence, databases: list[FreezeAge], tables: list[FreezeAge]) -> Evidence:
    return msgspec.structs.replace(evidence, freeze_ages=FreezeAges(tuple(databases), tuple(tables)))


def test_a_young_server(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")

    result = conclude(survey(database), NAME)

    assert result.outcome is Outcome.PASSED
    assert (result.examined or 0) > 1


def test_ages(database: Database) -> None:
    here, tables = [], []
    here.append(FreezeAge((database.name,), 1_700 * MILLION, 5))
    here.append(FreezeAge(("other",), 1_100 * MILLION, NO_MULTIXACT))
    here.append(FreezeAge(("calm",), 150 * MILLION, NO_MULTIXACT))
    tables.append(FreezeAge(("public", "Old"), 1_700 * MILLION, NO_MULTIXACT))
    tables.append(FreezeAge(("public", "multi"), 10, 1_200 * MILLION))
    tables.append(FreezeAge(("public", "young"), 190 * MILLION, 0))
    evidence = with_ages(survey(database), here, tables)
    session = Session("reports", "app", database.name, "idle in transaction", 1e6, 1e6, xmin_age=1_600 * MILLION)
    evidence = msgspec.structs.replace(evidence, activity=Activity(sessions=(session,)))

    result = conclude(evidence, NAME)

    assert names(result) == {'public."Old"', "other"}
    assert names(conclude(evidence, "observability.multixact-wraparound")) == {"public.multi"}
    old = finding(result, 'public."Old"')
    assert old.severity is Severity.CRITICAL
    assert old.fix.sql == 'VACUUM (FREEZE, VERBOSE) public."Old";'
    assert old.observed["held_back_by"] == ["a session of reports"]
    assert old.observed["multixact_age"] is None
    assert finding(result, "other").severity is Severity.HIGH
    assert finding(result, "other").subject.kind == "database"


def test_an_age_that_was_chosen(database: Database) -> None:
    evidence = with_ages(survey(database), [FreezeAge(("other",), 1_100 * MILLION, 0)], [])
    settings = evidence.get(Settings)
    entries = tuple(
        msgspec.structs.replace(entry, value="1500000000") if entry.name == "autovacuum_freeze_max_age" else entry
        for entry in settings.entries
    )
    evidence = msgspec.structs.replace(evidence, settings=msgspec.structs.replace(settings, entries=entries))

    assert finding(conclude(evidence, NAME), "other").severity is Severity.MEDIUM


@pytest.mark.usefixtures("server")
def test_an_age_that_a_server_really_has(pytestconfig: pytest.Config) -> None:
    """Its next transaction is moved on; a limit as high as it goes keeps the server from freezing by itself."""
    with start_chosen(pytestconfig, {"autovacuum_freeze_max_age": "2000000000"}) as old:
        with psycopg.connect(old.dsn(), autocommit=True) as connection:
            connection.execute("CREATE TABLE forgotten (id int)")
            connection.execute("INSERT INTO forgotten VALUES (1)")

        def move_on() -> None:
            old._home.execute("pg_resetwal", "-D", str(old.data), "-x", str(NEXT_XID))
            segment = old.data / "pg_xact" / f"{NEXT_XID // XIDS_PER_SEGMENT:04X}"
            segment.write_bytes(bytes(XIDS_PER_SEGMENT // 4))
            old.own(segment)

        old.restart(move_on)
        result = examine(old.dsn(), NAME)
        with psycopg.connect(old.dsn(), autocommit=True) as connection:
            connection.execute("VACUUM FREEZE")
        frozen = examine(old.dsn(), NAME)

    assert names(result) == {"postgres", "template0", "template1"}
    found = finding(result, "postgres")
    assert found.severity is Severity.CRITICAL
    assert found.observed["xid_age"] > 1_600 * MILLION
    assert len(found.related) == 20
    assert names(frozen) == {"template0", "template1"}
