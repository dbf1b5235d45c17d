from __future__ import annotations

from checks.model import Outcome, Reason, Severity
from tests.checks.survey import examine, finding, names
from tests.servers import Database

SCHEMA = """
    CREATE TABLE fresh (id serial PRIMARY KEY);
    CREATE TABLE "Half Way" ("Id" int GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
    SELECT setval(pg_get_serial_sequence('"Half Way"', 'Id'), 1000000000);
    CREATE TABLE far (id serial PRIMARY KEY);
    SELECT setval('far_id_seq', 1600000000);
    CREATE TABLE critical (id smallserial PRIMARY KEY);
    SELECT setval('critical_id_seq', 30000);
    CREATE TABLE roomy (id bigserial PRIMARY KEY);
    SELECT setval('roomy_id_seq', 3000000000);
    CREATE SEQUENCE hidden_ceiling_seq;
    CREATE TABLE hidden_ceiling (id int PRIMARY KEY DEFAULT nextval('hidden_ceiling_seq'));
    SELECT setval('hidden_ceiling_seq', 1997159792);
    CREATE SEQUENCE idle_ceiling_seq;
    CREATE TABLE idle_ceiling (id int PRIMARY KEY DEFAULT nextval('idle_ceiling_seq'));
    CREATE SEQUENCE short_seq AS int;
    CREATE TABLE capped (id bigint PRIMARY KEY DEFAULT nextval('short_seq'));
    SELECT setval('short_seq', 2000000000);
    CREATE SEQUENCE round_seq AS int CYCLE;
    CREATE TABLE rounds (id int DEFAULT nextval('round_seq'));
    SELECT setval('round_seq', 2147483600);
    CREATE SEQUENCE down_seq AS int INCREMENT -1;
    CREATE TABLE downs (id int PRIMARY KEY DEFAULT nextval('down_seq'));
    SELECT setval('down_seq', -2000000000);
    CREATE TABLE refers (far_id int REFERENCES far, roomy_id int REFERENCES roomy);
    CREATE TABLE parted (id serial, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    SELECT setval('parted_id_seq', 2000000000);
"""


def test_keys_that_run_out(database: Database) -> None:
    database.execute(SCHEMA)

    result = examine(database, "schema.integer-key-running-out")

    assert {found.subject.name: found.severity for found in result.findings} == {
        'public."Half Way"."Id"': Severity.MEDIUM,
        "public.far.id": Severity.HIGH,
        "public.critical.id": Severity.CRITICAL,
        "public.hidden_ceiling.id": Severity.CRITICAL,
        "public.capped.id": Severity.CRITICAL,
        "public.downs.id": Severity.CRITICAL,
        "public.parted.id": Severity.CRITICAL,
    }
    assert (result.examined, result.of) == (11, 11)
    far = finding(result, "public.far.id")
    assert far.title == "Key public.far.id has used 74.5 % of its range"
    assert far.observed["used_share"] == 0.7451
    assert far.observed["limit"] == 2**31 - 1
    assert far.observed["referencing_columns"] == ["public.refers.far_id"]
    assert finding(result, "public.hidden_ceiling.id").observed["used_share"] == 0.93


def test_the_fix_gives_room(database: Database) -> None:
    database.execute(SCHEMA)

    for found in examine(database, "schema.integer-key-running-out").findings:
        assert found.fix.sql is not None
        for statement in found.fix.sql.splitlines():
            database.execute(statement)

    assert examine(database, "schema.integer-key-running-out").outcome is Outcome.PASSED


def test_thresholds_are_the_reviewers(database: Database) -> None:
    database.execute(SCHEMA)

    result = examine(database, "schema.integer-key-running-out", limits={"key_used_note": 0.95})

    assert names(result) == set()
    assert result.outcome is Outcome.PASSED


def test_sequences_that_count_beyond_their_column(database: Database) -> None:
    database.execute(SCHEMA)

    result = examine(database, "schema.sequence-wider-than-column")

    assert {found.subject.name: found.severity for found in result.findings} == {
        "public.hidden_ceiling.id": Severity.HIGH,
        "public.idle_ceiling.id": Severity.LOW,
    }
    assert finding(result, "public.idle_ceiling.id").observed == {
        "used_share": 0.0, "last_value": None, "limit": 2**31 - 1, "type": "integer",
        "sequence": "public.idle_ceiling_seq", "sequence_maximum": 2**63 - 1,
    }  # fmt: skip


def test_sequences_that_may_not_be_read_are_a_gap_and_no_pass(database: Database) -> None:
    database.execute("CREATE TABLE secret (id serial PRIMARY KEY)", "SELECT setval('secret_id_seq', 2000000000)")
    role = f"plain_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN")
    try:
        result = examine(database.server.dsn(database.name, role), "schema.integer-key-running-out")
    finally:
        database.execute(f"DROP ROLE {role}")

    assert result.outcome is Outcome.UNKNOWN
    assert result.reason is Reason.NOT_PERMITTED
    assert result.unlock == f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role};"
    assert (result.examined, result.of) == (0, 1)


def test_no_numbered_columns(database: Database) -> None:
    database.execute("CREATE TABLE named (id uuid PRIMARY KEY)")

    assert examine(database, "schema.integer-key-running-out").outcome is Outcome.NOT_APPLICABLE


def test_sequences_that_feed_no_column(database: Database) -> None:
    database.execute(
        """CREATE SEQUENCE invoices AS smallint; SELECT setval('invoices', 30000);
        CREATE SEQUENCE round_and_round AS smallint CYCLE; SELECT setval('round_and_round', 30000);
        CREATE SEQUENCE down AS smallint INCREMENT -1; SELECT setval('down', -16000);
        CREATE SEQUENCE early AS smallint; SELECT setval('early', 300);
        CREATE TABLE t (id smallserial); SELECT setval('t_id_seq', 30000)"""
    )

    result = examine(database, "schema.sequence-running-out")

    assert {found.subject.name: found.severity for found in result.findings} == {
        "public.invoices": Severity.CRITICAL,
        "public.down": Severity.MEDIUM,
    }
    assert (result.examined, result.of) == (3, 3)
    for found in result.findings:
        assert found.fix.sql is not None
        database.execute(found.fix.sql)
    assert examine(database, "schema.sequence-running-out").outcome is Outcome.PASSED
