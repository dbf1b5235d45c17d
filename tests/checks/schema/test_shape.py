from __future__ import annotations

from checks.model import Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

SCHEMA = """
    CREATE TABLE users (id uuid PRIMARY KEY);
    CREATE TABLE contacts (
        id int PRIMARY KEY, phone1 text, phone2 text, phone3 text, line_1 text, line_2 text, line_3 text, sha1 text, sha2 text,
        sha3 text, tag_0 int, tag_1 int, year2021 int, year2022 int, year2023 int, user_ids text, "tagIds" varchar(80),
        valid_ids uuid[], ids_count int, user_id uuid REFERENCES users
    );
    CREATE TABLE attributes (id int PRIMARY KEY, user_id uuid NOT NULL REFERENCES users, name text, value text);
    CREATE TABLE entity_values (entity_id int, attribute_id int, value_string text, value_int int);
    CREATE TABLE filters (id int PRIMARY KEY, user_id uuid REFERENCES users, field_key text, operator text, value text);
    CREATE TABLE splits (id int PRIMARY KEY, user_id uuid REFERENCES users, name text, value text);
    CREATE TABLE settings (id int PRIMARY KEY, name text, value text);
    CREATE TABLE prices (id int PRIMARY KEY, user_id uuid REFERENCES users, name text, value numeric);
    CREATE TABLE orders (id int PRIMARY KEY, user_id uuid REFERENCES users);
    CREATE TABLE odd (id int PRIMARY KEY, user_id text, session_id text);
    CREATE TABLE poly (id int PRIMARY KEY, user_id bigint, user_type text);
    CREATE TABLE sessions (id int PRIMARY KEY, session_id uuid);
"""


def test_what_the_shape_of_a_table_gives_away(database: Database) -> None:
    columns = ", ".join(f"c{chr(97 + n % 26)}{chr(97 + n // 26)} int" for n in range(120))
    database.execute(SCHEMA, f"CREATE TABLE wide ({columns})")
    evidence = survey(database)

    assert names(conclude(evidence, "schema.very-wide-table")) == {"public.wide"}
    numbered = conclude(evidence, "schema.numbered-columns")
    assert names(numbered) == {"public.contacts"}
    assert finding(numbered, "public.contacts").observed["columns"] == ["phone1", "phone2", "phone3"]
    assert names(conclude(evidence, "schema.multi-valued-column")) == {
        "public.contacts.user_ids",
        'public.contacts."tagIds"',
    }
    assert names(conclude(evidence, "schema.entity-attribute-value")) == {"public.attributes", "public.entity_values"}
    odd = conclude(evidence, "schema.inconsistent-column-type")
    assert names(odd) == {"public.odd.user_id"}
    assert finding(odd, "public.odd.user_id").severity is Severity.LOW


def test_the_same_table_of_many_tenants_is_one_finding(database: Database) -> None:
    database.execute(
        "DO $$ BEGIN FOR n IN 1..6 LOOP EXECUTE format('CREATE SCHEMA tenant%s; "
        "CREATE TABLE tenant%1$s.people (id int PRIMARY KEY, phone1 text, phone2 text, phone3 text)', n); END LOOP; END $$"
    )

    result = examine(database, "schema.numbered-columns")

    assert names(result) == {"tenant1.people"}
    assert finding(result, "tenant1.people").observed["schemas"] == 6
    assert result.unmet == 6
