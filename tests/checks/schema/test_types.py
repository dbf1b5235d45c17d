from __future__ import annotations

from checks.model import Outcome, Severity
from tests.checks.survey import examine, finding, names
from tests.servers import Database

SCHEMA = """
    CREATE TABLE moments (
        id bigint PRIMARY KEY,
        good timestamptz DEFAULT now(),
        day date,
        opens time,
        written timestamp DEFAULT now(),
        "Seen At" timestamp(3),
        alarm timetz
    );
    CREATE TABLE parted (at timestamp NOT NULL) PARTITION BY RANGE (at);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE VIEW shown AS SELECT day::timestamp AS at FROM moments;
    CREATE TABLE django_migrations (id int, applied timestamp);
"""


def test_points_in_time_without_their_zone(database: Database) -> None:
    database.execute(SCHEMA)

    result = examine(database, "schema.timestamp-without-time-zone")

    assert {found.subject.name: found.severity for found in result.findings} == {
        "public.moments.written": Severity.MEDIUM,
        'public.moments."Seen At"': Severity.LOW,
        "public.moments.alarm": Severity.LOW,
        "public.parted.at": Severity.LOW,
    }
    assert (result.examined, result.of) == (5, 5)


def test_the_fix_does_not_rewrite_the_table(database: Database) -> None:
    database.execute(SCHEMA, "INSERT INTO moments VALUES (1, now(), now(), '10:00', '2026-01-01', now(), '10:00')")
    result = examine(database, "schema.timestamp-without-time-zone")

    with database.connect() as connection:
        file = connection.execute("SELECT pg_relation_filenode('moments')").fetchone()
        for name in ("public.moments.written", 'public.moments."Seen At"'):
            fix = finding(result, name).fix
            assert fix.sql is not None
            assert not fix.rewrites
            connection.execute(fix.sql.encode())
        assert connection.execute("SELECT pg_relation_filenode('moments')").fetchone() == file
        alarm = finding(result, "public.moments.alarm").fix
        assert alarm.sql is not None
        connection.execute(alarm.sql.encode())

    assert names(examine(database, "schema.timestamp-without-time-zone")) == {"public.parted.at"}


def test_nothing_but_honest_instants(database: Database) -> None:
    database.execute("CREATE TABLE fine (id int PRIMARY KEY, at timestamptz)")

    assert examine(database, "schema.timestamp-without-time-zone").outcome is Outcome.PASSED
