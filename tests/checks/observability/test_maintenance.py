from __future__ import annotations

import threading

import msgspec
import psycopg

from checks.evidence.database.facts import Activity, Catalog, Progress, Usage
from checks.evidence.evidence import Evidence
from checks.model import Outcome
from tests.checks.survey import conclude, examine, names, survey
from tests.servers import Database

RUNNING, OFTEN = "observability.maintenance-running", "observability.vacuum-too-often"


def test_an_index_that_is_being_built(database: Database) -> None:
    database.execute("CREATE TABLE messages (id int, body text); CREATE TABLE quiet (id int)")
    assert examine(database, RUNNING).outcome is Outcome.PASSED
    writer = psycopg.connect(database.dsn)
    writer.execute("INSERT INTO messages VALUES (1, 'held')")
    builder = psycopg.connect(database.dsn, autocommit=True)
    thread = threading.Thread(target=lambda: builder.execute("CREATE INDEX CONCURRENTLY ON messages (body)"))
    thread.start()
    try:
        database.wait_until(
            "SELECT count(*) = 1 FROM pg_stat_progress_create_index WHERE datname = current_database() AND phase LIKE 'waiting%'"
        )
        (found,) = examine(database, RUNNING).findings
    finally:
        writer.rollback()
        thread.join()
        writer.close()
        builder.close()

    assert found.subject.name == "public.messages"
    assert found.title.startswith("CREATE INDEX CONCURRENTLY on public.messages is at work: waiting for writers")
    assert found.observed["command"] == "CREATE INDEX CONCURRENTLY"


def test_what_comes_and_goes_and_what_is_of_another_database(database: Database) -> None:
    database.execute("CREATE TABLE messages (id int)")
    evidence = survey(database)
    table = evidence.get(Catalog).tables[0].oid
    at_work = (
        Progress("VACUUM", database.name, table, "scanning heap", 1, 2),
        Progress("COPY", database.name, table, None, 10, None),
        Progress("VACUUM FULL", database.name, table, "seq scanning heap", 1, 4),
        Progress("CREATE INDEX", "elsewhere", table, "building index"),
        Progress("BASE_BACKUP", "", None, "streaming database files", 30, 40),
    )
    given = msgspec.structs.replace(
        evidence, activity=msgspec.structs.replace(evidence.get(Activity), progress=at_work)
    )

    found = {entry.title: entry.subject.name for entry in conclude(given, RUNNING).findings}

    assert found == {
        "VACUUM FULL on public.messages is at work: seq scanning heap, 25% of that done": "public.messages",
        "CREATE INDEX in database elsewhere is at work: building index": "elsewhere",
        "BASE_BACKUP is at work: streaming database files, 75% of that done": database.name,
    }


def with_usage(evidence: Evidence, **vacuums: tuple[int | None, int, int]) -> Evidence:
    """Of each table how often it was vacuumed, how many rows are dead of a thousand, and its size in GB."""
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    tables = tuple(
        msgspec.structs.replace(table, total_bytes=vacuums[table.name][2] * 1024**3) if table.name in vacuums else table
        for table in catalog.tables
    )
    named = {table.oid: table.name for table in tables}
    entries = tuple(
        msgspec.structs.replace(
            entry, vacuums=vacuums[name][0], dead_tuples=vacuums[name][1], live_tuples=1000 - vacuums[name][1]
        )
        if (name := named.get(entry.table, "")) in vacuums
        else entry
        for entry in usage.tables
    )
    return msgspec.structs.replace(
        evidence,
        catalog=msgspec.structs.replace(catalog, tables=tables),
        usage=msgspec.structs.replace(usage, tables=entries),
    )


def test_tables_that_are_vacuumed_all_day(database: Database) -> None:
    database.execute("CREATE TABLE stuck (id int); CREATE TABLE eager (id int); CREATE TABLE small (id int);"
                     "CREATE TABLE seldom (id int); CREATE TABLE uncounted (id int)")  # fmt: skip
    evidence = survey(database, limits={"window_days": 0})
    assert all(isinstance(entry.vacuums, int) for entry in evidence.get(Usage).tables)

    result = conclude(
        with_usage(evidence, stuck=(900, 600, 40), eager=(500, 10, 2), small=(900, 10, 0), seldom=(400, 600, 40),
                   uncounted=(None, 600, 40)),
        OFTEN,
    )  # fmt: skip

    assert names(result) == {"public.stuck", "public.eager"}
    assert (result.examined, result.of) == (4, 5)
    stuck, eager = sorted(result.findings, key=lambda found: -found.observed["vacuums_per_day"])
    assert stuck.title == "public.stuck (40 GB) is vacuumed 900 times a day, and 60% of its rows are dead all the same"
    assert "horizon" in stuck.fix.summary
    assert "scale_factor" in eager.fix.summary
