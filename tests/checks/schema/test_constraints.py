from __future__ import annotations

import pytest

from checks.model import Outcome
from tests.checks.survey import examine, finding, names
from tests.servers import Database

SCHEMA = """
    CREATE TABLE parents (id bigint PRIMARY KEY);
    CREATE TABLE children (
        id bigint PRIMARY KEY,
        parent_id bigint CONSTRAINT declared REFERENCES parents,
        amount int CONSTRAINT positive CHECK (amount > 0)
    );
    INSERT INTO children (id) VALUES (1);
    ALTER TABLE children ADD CONSTRAINT "half; done" FOREIGN KEY (id) REFERENCES parents NOT VALID;
    ALTER TABLE children ADD CONSTRAINT small CHECK (amount < 10) NOT VALID;
    CREATE TABLE parted (id bigint, day date) PARTITION BY RANGE (day);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    ALTER TABLE parted ADD CONSTRAINT parted_small CHECK (id < 10) NOT VALID;
"""


def test_constraints_that_were_never_validated(database: Database) -> None:
    database.execute(SCHEMA)

    result = examine(database, "schema.constraint-not-validated")

    assert names(result) == {
        'public.children."half; done"', "public.children.small", "public.parted.parted_small",
    }  # fmt: skip
    assert finding(result, 'public.children."half; done"').observed["referenced_table"] == "public.parents"


def test_the_fix_validates(database: Database) -> None:
    database.execute(SCHEMA, "ANALYZE", "INSERT INTO parents VALUES (1)")

    for found in examine(database, "schema.constraint-not-validated").findings:
        assert found.fix.sql is not None
        database.execute(found.fix.sql)

    assert examine(database, "schema.constraint-not-validated").outcome is Outcome.PASSED


@pytest.mark.since(18)
def test_what_is_not_enforced_is_not_validated_either(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (a int, CONSTRAINT wish CHECK (a < 100) NOT ENFORCED, CONSTRAINT held CHECK (a > 0))"
    )

    assert examine(database, "schema.constraint-not-validated").findings == ()


def test_nothing_to_validate(database: Database) -> None:
    database.execute("CREATE TABLE alone (id int PRIMARY KEY)")

    assert examine(database, "schema.constraint-not-validated").outcome is Outcome.NOT_APPLICABLE
