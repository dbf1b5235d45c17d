"""An application with a schema for each tenant: what is wrong in all of them is told once, by every check."""

from __future__ import annotations

from collections import Counter

import pytest

from checks.checklist import run_check
from checks.evidence.evidence import Evidence
from checks.model import Finding
from checks.registry import all_checks
from tests.checks.survey import conclude, survey
from tests.servers import Database

# More than five, from which on they are a family.
SCHEMAS = 8
CHECKS = [id for id in all_checks() if id.startswith(("schema.", "indexing."))]

# Each of these tables has defects that some check looks for.
TABLES = """
CREATE TABLE users (
    id int PRIMARY KEY, email varchar(255), "Role" char(20), active boolean DEFAULT true, price float, salary money,
    created_at timestamp, tag1 text, tag2 text, tag3 text, label_ids text, password text, parent_id int REFERENCES users,
    meta json, settings jsonb
);
CREATE UNIQUE INDEX ON users (email, parent_id);
CREATE INDEX ON users USING gin (settings);
CREATE INDEX ON users USING gin (settings jsonb_path_ops);
CREATE INDEX ON users (created_at) WHERE id IS NOT NULL;
CREATE TABLE accounts (
    id serial PRIMARY KEY, users_id bigint REFERENCES users, user_id int, ref uuid DEFAULT gen_random_uuid(),
    uuid_id varchar(36), active int, kind regclass, place point, note text DEFAULT 'NULL', file oid, blob bytea, arr int[]
);
CREATE INDEX ON accounts (ref);
CREATE INDEX ON accounts (ref);
CREATE INDEX ON accounts (ref, user_id);
CREATE INDEX ON accounts (active);
CREATE INDEX ON accounts USING hash (user_id);
CREATE INDEX ON accounts (id);
CREATE INDEX ON accounts (arr);
CREATE TABLE logs (at timestamp, body text, user_id int);
CREATE TABLE nullable (id int PRIMARY KEY, a text, b text, c text, d text, e boolean);
CREATE TABLE "Order" (id smallint PRIMARY KEY, "user" int REFERENCES users ON DELETE SET NULL);
ALTER TABLE "Order" ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;
ALTER TABLE "Order" ADD CONSTRAINT again FOREIGN KEY ("user") REFERENCES users;
CREATE TABLE egg (id int PRIMARY KEY, hen_id int NOT NULL);
CREATE TABLE hen (id int PRIMARY KEY, egg_id int NOT NULL REFERENCES egg);
ALTER TABLE egg ADD FOREIGN KEY (hen_id) REFERENCES hen;
CREATE TABLE attributes (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users, name text, value text);
CREATE UNLOGGED TABLE cache (k text PRIMARY KEY, v text);
CREATE TABLE base (id int PRIMARY KEY);
CREATE TABLE child (x int) INHERITS (base);
CREATE TABLE parted (id bigint, day date NOT NULL, body text) PARTITION BY RANGE (day);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
INSERT INTO parted VALUES (1, '2025-01-01', 'x');
CREATE VIEW v1 AS SELECT * FROM users;
CREATE VIEW v2 AS SELECT * FROM v1;
CREATE VIEW v3 AS SELECT * FROM v2;
CREATE VIEW v4 AS SELECT * FROM v3;
CREATE VIEW v5 AS SELECT * FROM v4;
CREATE FUNCTION peek() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE users DISABLE TRIGGER touched;
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY anybody ON users USING (true) WITH CHECK (true);
CREATE POLICY nobody ON users USING (id = current_setting('x.y')::int);
CREATE POLICY lonely ON accounts USING (true);
ALTER TABLE logs ENABLE ROW LEVEL SECURITY;
CREATE TYPE mood AS ENUM ('a', 'b');
CREATE TABLE moods (id int PRIMARY KEY, mood mood, day_at timetz, mood_2 mood);
CREATE TABLE natural_key (email text PRIMARY KEY, x int);
CREATE TABLE refers (id int PRIMARY KEY, email text REFERENCES natural_key);
CREATE TABLE wide (a int, b int, c int, d int, PRIMARY KEY (a, b, c, d));
CREATE TABLE to_wide (id int PRIMARY KEY, a int, b int, c int, d int, FOREIGN KEY (a, b, c, d) REFERENCES wide);
CREATE TABLE U&"us\\0435rs" (id int PRIMARY KEY);
CREATE TABLE aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa (id int PRIMARY KEY, "mixedCase" int);
CREATE TABLE pairs (id int PRIMARY KEY, a int, b int, UNIQUE (a, b));
CREATE TABLE of_pairs (id int PRIMARY KEY, a int, b int, c int REFERENCES pairs, FOREIGN KEY (a, b) REFERENCES pairs (a, b));
ALTER TABLE of_pairs ADD FOREIGN KEY (c) REFERENCES pairs ON DELETE CASCADE;
"""
LIMITS = {"window_days": 0, "unused_window_days": 0}


def _alike(findings: tuple[Finding, ...]) -> Counter[tuple[object, ...]]:
    """How many findings are about the same thing in different schemas."""
    return Counter(
        (found.subject.kind, found.subject.path[1:], found.discriminator)
        for found in findings
        if found.subject.kind not in {"role", "extension", "database", "file"}
    )


@pytest.fixture
def tenants(database: Database) -> Evidence:
    for number in range(SCHEMAS):
        database.execute(
            f"CREATE SCHEMA tenant{number}; GRANT USAGE, CREATE ON SCHEMA tenant{number} TO PUBLIC; "
            f"SET search_path = tenant{number}; {TABLES}"
        )
    return survey(database, limits=LIMITS)


def test_what_is_in_all_schemas_is_told_once(tenants: Evidence) -> None:
    found = {id: run_check(all_checks()[id], tenants) for id in CHECKS}

    assert {id: result.message for id, result in found.items() if result.message} == {}
    often = {id: _alike(result.findings).most_common(1) for id, result in found.items() if result.findings}
    assert {id: alike for id, alike in often.items() if alike and alike[0][1] > 1} == {}
    assert len(often) > 50


def test_four_hundred_tenants(database: Database) -> None:
    database.execute(
        """
        DO $$ BEGIN FOR n IN 1..400 LOOP EXECUTE format('CREATE SCHEMA tenant%s;
            CREATE TABLE tenant%1$s.people (id int PRIMARY KEY, phone1 text, phone2 text, phone3 text, at timestamp);
            CREATE TABLE tenant%1$s.notes (people_id int REFERENCES tenant%1$s.people, body char(30))', n);
        END LOOP; END $$
        """
    )
    evidence = survey(database)

    for id, name in {
        "schema.numbered-columns": "people",
        "schema.no-primary-key": "notes",
        "schema.char-type": "notes.body",
        "schema.timestamp-without-time-zone": "people.at",
        "indexing.foreign-key-without-index": "notes.notes_people_id_fkey",
    }.items():
        result = conclude(evidence, id)
        (found,) = result.findings
        assert (found.subject.name.partition(".")[2], found.observed["schemas"]) == (name, 400)
