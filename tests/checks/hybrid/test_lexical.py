from __future__ import annotations

import pytest

from checks.model import Severity
from tests.checks.survey import examine, finding, names
from tests.checks.workload import prepare, send
from tests.servers import Database

pytestmark = pytest.mark.vector

NAME = "hybrid.lexical-half-missing"
HYBRID = """WITH near AS (
        SELECT id, row_number() OVER () AS r FROM (SELECT id FROM {0} ORDER BY embedding <=> %s::vector LIMIT 20) n
    ),
    words AS (SELECT id FROM {0} WHERE {1} @@ plainto_tsquery('english', %s) LIMIT 20)
    SELECT n.id FROM near n LEFT JOIN words w USING (id) ORDER BY n.r LIMIT 5"""


def test_halves(database: Database) -> None:
    table = "CREATE TABLE {0} (id int PRIMARY KEY, content text, embedding vector(3));"
    prepare(
        database,
        "CREATE EXTENSION vector",
        "".join(map(table.format, ("bare", "computed", "indexed", "generated", "unsearched")))
        + "CREATE TABLE parts (id int PRIMARY KEY, content text, "
        "indexed_id int REFERENCES indexed, embedding vector(3));"
        + "CREATE TABLE sparse (id int PRIMARY KEY, content text, sparse_terms bigint[], embedding vector(3));"
        + "CREATE TABLE secret (id int PRIMARY KEY, content text, embedding vector(3));"
        + "CREATE FUNCTION decrypt_text(text) RETURNS text LANGUAGE sql AS 'SELECT $1';"
        + "CREATE TABLE stored (id int PRIMARY KEY, content text, words tsvector, embedding vector(3));"
        + "CREATE TABLE wordless (id int PRIMARY KEY, embedding vector(3));"
        + "CREATE INDEX ON indexed USING gin (to_tsvector('english', content));"
        + "ALTER TABLE generated ADD COLUMN words tsvector GENERATED ALWAYS AS (to_tsvector('english', content)) STORED;"
        + "CREATE INDEX ON generated USING gin (words)",
    )
    connection = database.connect()
    for name in ("bare", "wordless", "parts", "sparse", "secret"):
        send(connection, f"SELECT id FROM {name} ORDER BY embedding <=> %s::vector LIMIT 5", [("[1,2,3]",)])
    send(connection, "SELECT decrypt_text(s.content) FROM secret s WHERE id = %s", [(1,)])
    for name, words in (
        ("stored", "words"),
        ("computed", "to_tsvector('english', content)"),
        ("indexed", "to_tsvector('english', content)"),
        ("generated", "words"),
    ):
        send(connection, HYBRID.format(name, words), [("[1,2,3]", "cat")])

    result = examine(database, NAME, limits={"vector_rows": -1})

    assert names(result) == {"public.bare.embedding", "public.computed.embedding", "public.stored.embedding"}
    bare = finding(result, "public.bare.embedding")
    assert (bare.severity, bare.observed["half"]) == (Severity.NOTE, "absent")
    computed = finding(result, "public.computed.embedding")
    assert (computed.severity, computed.observed["half"]) == (Severity.MEDIUM, "unindexed")
    assert computed.observed["made_for_each_search"] is True
    stored = finding(result, "public.stored.embedding").fix.sql
    assert stored == "CREATE INDEX CONCURRENTLY stored_words_idx ON public.stored USING gin (words);"
    for statement in (computed.fix.sql or "").split("; "):
        database.execute(statement)
