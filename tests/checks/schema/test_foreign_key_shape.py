from __future__ import annotations

from checks.model import Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

SCHEMA = """
    CREATE SCHEMA auth;
    CREATE TABLE auth.users (id uuid PRIMARY KEY, email text NOT NULL UNIQUE);
    CREATE TABLE parents (tenant_id int NOT NULL, id int NOT NULL UNIQUE, PRIMARY KEY (tenant_id, id));
    CREATE TABLE twice (
        id int PRIMARY KEY,
        parent_id int CONSTRAINT first_key REFERENCES parents (id),
        other_id int CONSTRAINT other_key REFERENCES parents (id)
    );
    ALTER TABLE twice ADD CONSTRAINT second_key FOREIGN KEY (parent_id) REFERENCES parents (id) ON DELETE CASCADE;
    CREATE TABLE wide (
        tenant_id int NOT NULL,
        parent_id int NOT NULL CONSTRAINT narrow_key REFERENCES parents (id),
        CONSTRAINT wide_key FOREIGN KEY (tenant_id, parent_id) REFERENCES parents
    );
    CREATE TABLE holes (
        tenant_id int, parent_id int, strict_id int,
        CONSTRAINT hole FOREIGN KEY (tenant_id, parent_id) REFERENCES parents,
        CONSTRAINT strict FOREIGN KEY (tenant_id, strict_id) REFERENCES parents MATCH FULL
    );
    CREATE TABLE mended (
        tenant_id int, parent_id int, CHECK ((tenant_id IS NULL) = (parent_id IS NULL)),
        CONSTRAINT mended_key FOREIGN KEY (tenant_id, parent_id) REFERENCES parents
    );
    CREATE TABLE shared (
        tenant_id int, parent_id int NOT NULL, other_id int NOT NULL,
        CONSTRAINT shared_key FOREIGN KEY (tenant_id, parent_id) REFERENCES parents,
        CONSTRAINT shared_other FOREIGN KEY (tenant_id, other_id) REFERENCES parents MATCH FULL
    );
    CREATE TABLE optional (
        tenant_id int NOT NULL, reply_to int,
        CONSTRAINT optional_key FOREIGN KEY (tenant_id, reply_to) REFERENCES parents
    );
    CREATE TABLE tree (
        id int PRIMARY KEY,
        parent_id int CONSTRAINT silent REFERENCES tree,
        root_id int CONSTRAINT said REFERENCES tree ON DELETE CASCADE
    );
    CREATE TABLE quiet (id int PRIMARY KEY, parent_id int REFERENCES quiet);
    CREATE SCHEMA spoken;
    CREATE TABLE spoken.tops (id int PRIMARY KEY);
    CREATE TABLE spoken.leaves (top_id int REFERENCES spoken.tops ON DELETE CASCADE);
    CREATE TABLE spoken.tree (id int PRIMARY KEY, parent_id int CONSTRAINT forgotten REFERENCES spoken.tree);
    CREATE TABLE hen (id int PRIMARY KEY, egg_id int NOT NULL);
    CREATE TABLE egg (id int PRIMARY KEY, hen_id int NOT NULL REFERENCES hen);
    ALTER TABLE hen ADD CONSTRAINT laid_by FOREIGN KEY (egg_id) REFERENCES egg;
    CREATE TABLE owner (id int PRIMARY KEY, favourite_id int);
    CREATE TABLE pet (id int PRIMARY KEY, owner_id int NOT NULL REFERENCES owner);
    ALTER TABLE owner ADD FOREIGN KEY (favourite_id) REFERENCES pet;
    CREATE TABLE ring (id int PRIMARY KEY, next_id int NOT NULL);
    CREATE TABLE next (id int PRIMARY KEY, ring_id int NOT NULL REFERENCES ring);
    ALTER TABLE ring ADD FOREIGN KEY (next_id) REFERENCES next DEFERRABLE INITIALLY DEFERRED;
    CREATE TABLE profiles (
        id uuid PRIMARY KEY CONSTRAINT by_id REFERENCES auth.users,
        email text CONSTRAINT by_email REFERENCES auth.users (email)
    );
    CREATE TABLE parted (id int, parent_id int REFERENCES parents (id)) PARTITION BY RANGE (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (10);
    CREATE TABLE alone (id int PRIMARY KEY);
"""


def test_foreign_keys_that_repeat_leave_holes_or_go_in_circles(database: Database) -> None:
    database.execute(SCHEMA)
    evidence = survey(database)

    twice = conclude(evidence, "schema.duplicate-foreign-key")
    assert names(twice) == {"public.twice.second_key"}
    assert finding(twice, "public.twice.second_key").severity is Severity.MEDIUM
    assert names(conclude(evidence, "schema.overlapping-foreign-key")) == {"public.wide.narrow_key"}
    hole = conclude(evidence, "schema.nullable-composite-foreign-key")
    assert {found.subject.name: found.severity for found in hole.findings} == {
        "public.holes.hole": Severity.LOW, "public.shared.shared_key": Severity.MEDIUM,
    }  # fmt: skip
    assert (hole.examined, hole.of) == (7, 7)
    assert names(conclude(evidence, "schema.self-reference-without-action")) == {
        "public.tree.silent", "spoken.tree.forgotten",
    }  # fmt: skip
    circle = conclude(evidence, "schema.foreign-key-cycle")
    assert names(circle) == {"public.egg"}
    assert finding(circle, "public.egg").observed["tables"] == ["public.egg", "public.hen"]
    assert names(conclude(evidence, "schema.foreign-key-to-managed-schema")) == {"public.profiles.by_email"}
    assert names(conclude(evidence, "schema.foreign-key-across-schemas")) == set()
    assert names(conclude(evidence, "schema.unconnected-table")) == {"public.alone"}


def test_the_fixes_mend_it(database: Database) -> None:
    database.execute(SCHEMA)
    checks = ("duplicate-foreign-key", "overlapping-foreign-key", "nullable-composite-foreign-key",
              "self-reference-without-action", "foreign-key-cycle")  # fmt: skip

    for name in checks:
        for found in examine(database, f"schema.{name}").findings:
            assert found.fix.sql is not None
            database.execute(found.fix.sql)
            assert found.fix.undo is not None

    evidence = survey(database)
    assert {conclude(evidence, f"schema.{name}").outcome for name in checks} == {Outcome.PASSED}


def test_nothing_to_repeat(database: Database) -> None:
    database.execute("CREATE TABLE alone (id int PRIMARY KEY)")
    evidence = survey(database)

    for name in ("duplicate-foreign-key", "foreign-key-cycle", "nullable-composite-foreign-key"):
        assert conclude(evidence, f"schema.{name}").outcome is Outcome.NOT_APPLICABLE
