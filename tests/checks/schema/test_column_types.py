from __future__ import annotations

from checks.model import Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

SCHEMA = """
    CREATE DOMAIN euros AS money;
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TABLE things (
        id bigserial PRIMARY KEY,
        padded char(20), country char(2), sha1 char(40), flag "char",
        fee money, deposit euros, price double precision, unit_price real, price_ratio real, temperature real,
        total numeric, confidence_score real, cost_per_token double precision,
        uuid_text varchar(36), "externalId" text DEFAULT gen_random_uuid(), real_uuid uuid DEFAULT gen_random_uuid(),
        code varchar(36), label varchar(255), summary varchar(80),
        photo bytea, file_sha256 bytea, jwt_secret text DEFAULT gen_random_uuid(), handler regproc, parent regclass, feeling mood,
        location point, shape polygon, seen timestamptz(0), made timestamptz(3)
    );
    CREATE TABLE referring (id int PRIMARY KEY, thing_id varchar(36));
    CREATE TABLE keyed (id varchar(36) PRIMARY KEY);
    ALTER TABLE referring ADD FOREIGN KEY (thing_id) REFERENCES keyed;
"""


def test_types_that_do_not_say_what_a_column_holds(database: Database) -> None:
    database.execute(SCHEMA)
    evidence = survey(database)

    def found(name: str) -> set[str]:
        return {subject.removeprefix("public.") for subject in names(conclude(evidence, f"schema.{name}"))}

    assert found("char-type") == {"things.padded"}
    assert found("money-type") == {"things.fee", "things.deposit"}
    assert found("float-for-money") == {"things.price", "things.unit_price"}
    assert found("uuid-as-text") == {"things.uuid_text", 'things."externalId"', "keyed.id"}
    assert found("large-objects-in-tables") == {"things.photo"}
    assert found("reg-type-column") == {"things.handler"}
    assert found("varchar-limit") == {"things.label"}
    assert found("serial-key") == {"things.id"}
    assert found("enum-type") == {"things.feeling"}
    assert found("unsuited-built-in-type") == {"things.location", "things.seen"}


def test_the_fixes_change_the_types(database: Database) -> None:
    database.execute(SCHEMA, "ALTER TABLE referring DROP CONSTRAINT referring_thing_id_fkey")
    checks = (
        "char-type",
        "money-type",
        "float-for-money",
        "uuid-as-text",
        "reg-type-column",
        "varchar-limit",
        "enum-type",
    )

    for name in checks:
        for found in examine(database, f"schema.{name}").findings:
            if found.subject.path[-1] == "externalId":
                database.execute('ALTER TABLE things ALTER COLUMN "externalId" DROP DEFAULT')
            assert found.fix.sql is not None
            database.execute(found.fix.sql)

    evidence = survey(database)
    for name in checks:
        assert names(conclude(evidence, f"schema.{name}")) == set()


def test_a_habit_of_a_schema_is_one_finding(database: Database) -> None:
    columns = ", ".join(f"price_{number} real" for number in range(9))
    database.execute(f"CREATE SCHEMA shop; CREATE TABLE shop.prices (id int PRIMARY KEY, {columns})")

    result = examine(database, "schema.float-for-money")

    assert names(result) == {"shop"}
    assert finding(result, "shop").observed["columns"] == 9
    assert result.unmet == 9


def test_random_keys_of_large_tables(database: Database) -> None:
    database.execute(
        """CREATE TABLE large (id uuid PRIMARY KEY DEFAULT gen_random_uuid());
        CREATE TABLE small (id uuid PRIMARY KEY DEFAULT gen_random_uuid());
        CREATE TABLE ordered (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, token uuid DEFAULT gen_random_uuid());
        INSERT INTO large SELECT FROM generate_series(1, 200); INSERT INTO small SELECT FROM generate_series(1, 5);
        INSERT INTO ordered SELECT FROM generate_series(1, 200); ANALYZE"""
    )

    result = examine(database, "schema.random-uuid-key", limits={"random_key_rows": 100})

    assert names(result) == {"public.large.id"}
    assert finding(result, "public.large.id").severity is Severity.LOW
    assert (result.examined, result.of) == (2, 2)
    assert names(examine(database, "schema.random-uuid-key")) == set()
