from __future__ import annotations

from checks.model import Outcome, Severity
from tests.checks.survey import examine, finding, names
from tests.servers import Database

SCHEMA = """
    CREATE DOMAIN account_number AS bigint;
    CREATE TABLE accounts (id bigint PRIMARY KEY, short int UNIQUE, code varchar(20) UNIQUE, exact numeric UNIQUE);
    CREATE TABLE numbered (id account_number PRIMARY KEY);
    CREATE TABLE good (a bigint REFERENCES accounts, b bigint REFERENCES numbered, c account_number REFERENCES accounts);
    CREATE TABLE narrow (account_id int CONSTRAINT narrow_account REFERENCES accounts);
    CREATE TABLE wide (short bigint CONSTRAINT wide_short REFERENCES accounts (short));
    CREATE TABLE whole (exact bigint CONSTRAINT whole_exact REFERENCES accounts (exact));
    CREATE TABLE text_of_varchar (code text CONSTRAINT text_code REFERENCES accounts (code));
    CREATE TABLE shorter (code varchar(10) CONSTRAINT shorter_code REFERENCES accounts (code));
    CREATE TABLE longer (code varchar(30) CONSTRAINT longer_code REFERENCES accounts (code));
    CREATE TABLE tenants (region int, number bigint, PRIMARY KEY (region, number));
    CREATE TABLE "Members" (
        "Region" int, "Number" int, CONSTRAINT "of tenant" FOREIGN KEY ("Region", "Number") REFERENCES tenants
    );
    CREATE TABLE parted (account_id int CONSTRAINT parted_account REFERENCES accounts) PARTITION BY LIST (account_id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
    CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
"""


def test_types_that_differ(database: Database) -> None:
    database.execute(SCHEMA)

    result = examine(database, "schema.foreign-key-type-mismatch")

    severities = {found.subject.name: found.severity for found in result.findings}
    assert severities == {
        "public.narrow.narrow_account": Severity.HIGH,
        "public.parted.parted_account": Severity.HIGH,
        'public."Members"."of tenant"': Severity.HIGH,
        "public.wide.wide_short": Severity.MEDIUM,
        "public.whole.whole_exact": Severity.MEDIUM,
        "public.text_of_varchar.text_code": Severity.LOW,
        "public.shorter.shorter_code": Severity.LOW,
        "public.longer.longer_code": Severity.NOTE,
    }
    assert finding(result, "public.narrow.narrow_account").observed == {
        "type": "integer", "referenced_type": "bigint", "referenced_column": "public.accounts.id",
    }  # fmt: skip


def test_the_fix_makes_the_types_equal(database: Database) -> None:
    database.execute(SCHEMA)
    fixable = [
        found for found in examine(database, "schema.foreign-key-type-mismatch").findings
        if found.subject.path[1] != "parted"
    ]  # fmt: skip

    for found in fixable:
        assert found.fix.sql is not None
        database.execute(found.fix.sql)

    left = names(examine(database, "schema.foreign-key-type-mismatch"))
    assert left.isdisjoint(found.subject.name for found in fixable if "code" not in found.subject.name)
    assert "public.narrow.narrow_account" not in left


def test_no_foreign_keys(database: Database) -> None:
    database.execute("CREATE TABLE alone (id int PRIMARY KEY)")

    result = examine(database, "schema.foreign-key-type-mismatch")

    assert result.outcome is Outcome.NOT_APPLICABLE
    assert result.fact == "no foreign keys"
