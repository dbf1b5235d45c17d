from __future__ import annotations

import pytest

from checks.model import Confidence, Outcome, Severity
from checks.schema.inference import singulars
from tests.checks.survey import examine, finding, names
from tests.servers import Database

SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, email text UNIQUE);
    CREATE TABLE categories (category_id uuid PRIMARY KEY);
    CREATE TABLE "Workspace" (id text PRIMARY KEY);
    CREATE TABLE addresses (id bigint PRIMARY KEY);
    CREATE TABLE traces (id text PRIMARY KEY);
    CREATE TABLE sessions (id varchar(24) PRIMARY KEY);

    CREATE TABLE orders (
        id bigserial PRIMARY KEY,
        user_id bigint REFERENCES users,
        category_id uuid,
        billing_address_id bigint,
        parent_id bigint
    );
    CREATE TABLE documents (
        id bigint PRIMARY KEY, owner_user_id bigint, "workspaceId" text, trace_id text, stripe_user_id bigint,
        external_id bigint, request_id bigint, account_id bigint, wrong_type_id int, user_email text,
        document_id bigint, session_id varchar(128)
    );
    CREATE TABLE comments (id bigint PRIMARY KEY, user_id int, subject_type text, subject_id bigint);
    CREATE TABLE subjects (id bigint PRIMARY KEY);
    CREATE TABLE audit_log (id bigint PRIMARY KEY, user_id bigint);
    CREATE TABLE usage_events (id bigint PRIMARY KEY, user_id bigint);
    CREATE TABLE staging_orders (user_id bigint);
    CREATE VIEW user_orders AS SELECT id AS order_id, user_id FROM orders;
    CREATE TABLE parted (user_id bigint, day date) PARTITION BY RANGE (day);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE leafwise (user_id bigint, day date) PARTITION BY RANGE (day);
    CREATE TABLE leafwise_1 PARTITION OF leafwise (FOREIGN KEY (user_id) REFERENCES users)
        FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE memberships (tenant_id int, user_id bigint, PRIMARY KEY (tenant_id, user_id));
    CREATE TABLE user_settings (user_id bigint PRIMARY KEY);
    CREATE SCHEMA crm;
    CREATE TABLE crm.leads (id bigint PRIMARY KEY);
    CREATE TABLE leads (id bigint PRIMARY KEY);
    CREATE SCHEMA sales;
    CREATE TABLE sales.offers (id bigint PRIMARY KEY, lead_id bigint);
    CREATE TABLE tickets (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id bigint REFERENCES users);
    ALTER TABLE tickets DROP CONSTRAINT tickets_user_id_fkey;
    ALTER TABLE tickets ADD CONSTRAINT tickets_user FOREIGN KEY (user_id) REFERENCES users NOT VALID;
"""


def test_references_known_by_their_names(database: Database) -> None:
    database.execute(SCHEMA)

    result = examine(database, "schema.missing-foreign-key")

    assert {found.subject.name: found.observed["references"] for found in result.findings} == {
        "public.orders.category_id": "public.categories.category_id",
        "public.orders.billing_address_id": "public.addresses.id",
        "public.documents.owner_user_id": "public.users.id",
        'public.documents."workspaceId"': 'public."Workspace".id',
        "public.parted.user_id": "public.users.id",
        "public.memberships.user_id": "public.users.id",
        "public.user_settings.user_id": "public.users.id",
    }
    assert {found.confidence for found in result.findings} == {Confidence.INFERRED}
    assert {found.severity for found in result.findings} == {Severity.LOW}
    # Of nine references one foreign key is validated, one is not, seven are missing.
    assert (result.examined, result.of, result.unmet) == (9, 9, 8)


def test_the_fix_declares_them(database: Database) -> None:
    database.execute(SCHEMA)

    for found in examine(database, "schema.missing-foreign-key").findings:
        assert found.fix.sql is not None
        for statement in found.fix.sql.splitlines():
            database.execute(statement)

    result = examine(database, "schema.missing-foreign-key")
    assert (names(result), result.unmet) == (set(), 1)


def test_references_known_by_joins(database: Database) -> None:
    database.execute(
        """
        CREATE EXTENSION pg_stat_statements;
        CREATE TABLE people (id bigint PRIMARY KEY, email text UNIQUE);
        CREATE TABLE projects (id bigint PRIMARY KEY);
        CREATE TABLE tasks (id bigint PRIMARY KEY, created_by bigint, project bigint, email text, either bigint,
            key text, lump text);
        CREATE TABLE lumps (key text PRIMARY KEY);
        CREATE TABLE usage_events (id bigint PRIMARY KEY, person_id bigint, people_id bigint);
        """,
        "SELECT pg_stat_statements_reset()",
        "SELECT * FROM tasks t JOIN people p ON p.id = t.created_by WHERE t.id = 1",
        "SELECT * FROM tasks t, projects p WHERE p.id = t.project",
        "SELECT * FROM tasks t JOIN people p ON p.email = t.email",
        "SELECT * FROM tasks t JOIN people p ON p.id = t.either",
        "SELECT * FROM tasks t JOIN lumps l ON l.key = t.key",
        "SELECT * FROM tasks t JOIN lumps l ON l.key = t.lump",
        "SELECT * FROM tasks t JOIN projects p ON p.id = t.either",
        "SELECT * FROM tasks t JOIN people p ON p.id = t.id",
        "SELECT * FROM usage_events e JOIN people p ON e.person_id = p.id",
    )

    result = examine(database, "schema.missing-foreign-key")

    assert {found.subject.name: found.observed["references"] for found in result.findings} == {
        "public.tasks.created_by": "public.people.id",
        "public.tasks.project": "public.projects.id",
        "public.tasks.lump": "public.lumps.key",
        "public.usage_events.person_id": "public.people.id",
    }
    known = finding(result, "public.tasks.created_by")
    assert known.observed["known_by"] == ["join"]
    assert len(known.observed["joining_statements"]) == 1
    assert finding(result, "public.usage_events.person_id").observed["known_by"] == ["name", "join"]


def test_a_parent_is_of_the_same_table_where_statements_say_so(database: Database) -> None:
    database.execute(
        """
        CREATE EXTENSION pg_stat_statements;
        CREATE TABLE documents (id uuid PRIMARY KEY);
        CREATE TABLE folders (id bigint PRIMARY KEY, parent_id bigint);
        CREATE TABLE topics (id bigint PRIMARY KEY, "parentId" bigint);
        CREATE TABLE relations (id uuid PRIMARY KEY, parent_id uuid);
        CREATE TABLE graphs (id uuid PRIMARY KEY, parent_id uuid);
        CREATE TABLE remarks (id bigint PRIMARY KEY, parent_id bigint, parent_remark_id bigint, reply_to_id bigint);
        """,
        "SELECT pg_stat_statements_reset()",
        "SELECT c.id FROM folders c JOIN folders p ON p.id = c.parent_id WHERE p.id = 1",
        """WITH RECURSIVE tree AS (
               SELECT id FROM topics WHERE id = 1
               UNION ALL SELECT t.id FROM topics t JOIN tree ON t."parentId" = tree.id
           ) SELECT * FROM tree""",
        "SELECT * FROM relations WHERE parent_id = '00000000-0000-0000-0000-000000000000'",
        "SELECT * FROM graphs g JOIN documents d ON d.id = g.parent_id",
    )

    found = examine(database, "schema.missing-foreign-key").findings

    assert {entry.subject.name: entry.observed["references"] for entry in found} == {
        "public.folders.parent_id": "public.folders.id",
        'public.topics."parentId"': "public.topics.id",
        "public.graphs.parent_id": "public.documents.id",
        "public.remarks.parent_remark_id": "public.remarks.id",
    }


def test_identifiers_of_other_systems_in_text(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE users (id text PRIMARY KEY);
        CREATE TABLE labels (id text PRIMARY KEY, user_id text REFERENCES users);
        CREATE TABLE rules (id text PRIMARY KEY, user_id text REFERENCES users, label_id text);
        CREATE TABLE actions (id text PRIMARY KEY, user_id text REFERENCES users, owner_user_id text);
        """
    )

    assert names(examine(database, "schema.missing-foreign-key")) == {"public.actions.owner_user_id"}

    database.execute(
        "CREATE TABLE sharing (id text PRIMARY KEY, label_id text REFERENCES labels)",
    )
    assert names(examine(database, "schema.missing-foreign-key")) == {
        "public.actions.owner_user_id", "public.rules.label_id",
    }  # fmt: skip


def test_many_are_one_habit(database: Database) -> None:
    columns = ", ".join(f"owner_user{number}_id bigint" for number in range(3))
    database.execute(
        "CREATE TABLE users (id bigint PRIMARY KEY)",
        *(f"CREATE TABLE t{number} (id bigint PRIMARY KEY, user_id bigint, {columns})" for number in range(20)),
    )

    result = examine(database, "schema.missing-foreign-key")

    (found,) = result.findings
    assert (found.subject.name, found.observed["number"], result.unmet) == ("public", 20, 20)
    assert found.title == "20 columns of schema public refer to keys without a foreign key"


def test_no_references(database: Database) -> None:
    database.execute("CREATE TABLE alone (id int PRIMARY KEY)")

    assert examine(database, "schema.missing-foreign-key").outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("users", "user"), ("categories", "category"), ("addresses", "address"), ("boxes", "box"), ("branches", "branch"),
        ("people", "person"), ("children", "child"), ("cases", "case"), ("statuses", "status"), ("movies", "movie"),
        ("status", "status"), ("news", "new"), ("analysis", "analysis"),
    ],
)  # fmt: skip
def test_singulars(plural: str, singular: str) -> None:
    assert singular in singulars(plural)
