from __future__ import annotations

import pytest

from checks.model import Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

pytestmark = pytest.mark.vector

CHUNKS, PERSONAL = "hybrid.chunks-without-row-security", "hybrid.personal-data-beside-vectors"
SCHEMA = """
    CREATE EXTENSION vector;
    CREATE TABLE documents (id int PRIMARY KEY, owner text);
    ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON documents USING (owner = current_user);
    CREATE TABLE notes (id int PRIMARY KEY);
    CREATE TABLE open_chunks (id int PRIMARY KEY, document_id int REFERENCES documents, content text, embedding vector(3));
    CREATE TABLE named_chunks (id int PRIMARY KEY, document_id int, content text, embedding vector(3));
    CREATE TABLE closed_chunks (id int PRIMARY KEY, document_id int REFERENCES documents, embedding vector(3));
    ALTER TABLE closed_chunks ENABLE ROW LEVEL SECURITY;
    CREATE POLICY theirs ON closed_chunks USING (EXISTS (SELECT FROM documents d WHERE d.id = document_id));
    CREATE TABLE note_chunks (id int PRIMARY KEY, note_id int REFERENCES notes, embedding vector(3));
    CREATE FUNCTION match_past(q vector) RETURNS SETOF closed_chunks LANGUAGE sql SECURITY DEFINER AS
        'SELECT * FROM closed_chunks ORDER BY embedding <=> q LIMIT 5';
    CREATE FUNCTION match_within(q vector) RETURNS SETOF closed_chunks LANGUAGE sql AS
        'SELECT * FROM closed_chunks ORDER BY embedding <=> q LIMIT 5';
"""


def test_policies_that_retrieval_walks_past(database: Database) -> None:
    database.execute(SCHEMA)
    reader = f"{database.name}_reader"
    database.execute(
        f"CREATE ROLE {reader} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader};"
        "INSERT INTO documents VALUES (1, 'somebody else');"
        "INSERT INTO open_chunks VALUES (1, 1, 'secret', '[1,2,3]'); INSERT INTO closed_chunks VALUES (1, 1, '[1,2,3]')"
    )
    try:
        result = examine(database, CHUNKS)
        with database.connect(user=reader) as connection:
            leaked = "SELECT content FROM open_chunks ORDER BY embedding <=> '[1,2,3]' LIMIT 1"
            assert connection.execute(leaked.encode()).fetchall() == [("secret",)]
            assert connection.execute("SELECT id FROM match_within('[1,2,3]')").fetchall() == []
            assert connection.execute("SELECT id FROM match_past('[1,2,3]')").fetchall() == [(1,)]
            database.execute(finding(result, "public.open_chunks").fix.sql or "")
            assert connection.execute(leaked.encode()).fetchall() == []
    finally:
        database.execute(f"DROP OWNED BY {reader}; DROP ROLE {reader}")

    assert names(result) == {
        "public.open_chunks",
        "public.named_chunks",
        "public.match_past(q public.vector)",
    }
    assert finding(result, "public.match_past(q public.vector)").severity is Severity.HIGH
    assert finding(result, "public.open_chunks").observed["policies"] == ["own"]


def test_personal_data(database: Database) -> None:
    database.execute(
        """CREATE EXTENSION vector;
           CREATE TABLE profiles (id int, email text, api_key text, bio text, embedding vector(3));
           CREATE TABLE contacts (id int, full_name text, email_count int, embedding vector(3));
           CREATE TABLE chunks (id int, content text, document_name text, embedding vector(3));
           CREATE TABLE users (id int, email text)"""
    )

    result = examine(database, PERSONAL)

    assert {found.subject.name: (found.severity, found.observed["columns"]) for found in result.findings} == {
        "public.profiles": (Severity.MEDIUM, ["api_key", "email"]),
        "public.contacts": (Severity.LOW, ["full_name"]),
    }


def test_without(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    evidence = survey(database)

    for check in (CHUNKS, PERSONAL):
        assert conclude(evidence, check).outcome is Outcome.NOT_APPLICABLE
