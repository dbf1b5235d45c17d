from __future__ import annotations

import pytest

from checks.evidence.database.bodies import statements_of
from checks.evidence.database.facts import Embeddings
from checks.hybrid.searches import DEFAULTS
from tests.checks.survey import survey
from tests.servers import Database

FUNCTIONS = """
    CREATE EXTENSION vector;
    CREATE TABLE docs (id int PRIMARY KEY, owner int, metadata jsonb, embedding vector(3));
    CREATE FUNCTION match_docs(query_embedding vector, match_count int DEFAULT 12, filter jsonb DEFAULT '{"secret": 1}')
    RETURNS TABLE (id int, similarity float) LANGUAGE plpgsql STABLE SET hnsw.ef_search = '80' AS $body$
    #variable_conflict use_column
    BEGIN
      RETURN QUERY SELECT docs.id, 1 - (docs.embedding <=> query_embedding) AS similarity FROM docs
        WHERE metadata @> filter AND docs.owner <> 4711 ORDER BY docs.embedding <=> query_embedding LIMIT match_count;
    END $body$;
    CREATE FUNCTION plain(q vector) RETURNS SETOF docs LANGUAGE sql STABLE AS
      'SELECT * FROM docs ORDER BY embedding <-> q LIMIT 7';
    CREATE FUNCTION looping(tab text, q vector) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE r record; best int;
    BEGIN
      IF tab IS NULL THEN SELECT id INTO best FROM docs ORDER BY embedding <#> q LIMIT 1; END IF;
      FOR r IN SELECT id FROM docs WHERE metadata ->> 'kind' = tab LOOP PERFORM 1; END LOOP;
      EXECUTE format('SELECT id FROM %I ORDER BY embedding <=> $1 LIMIT 5', tab) USING q;
    END $$;
    CREATE FUNCTION unrelated(a int) RETURNS int LANGUAGE sql AS 'SELECT a + 1';
"""


def bodies(database: Database) -> Embeddings:
    return survey(database).get(Embeddings)


@pytest.mark.vector
def test_searches_in_functions_are_read(database: Database) -> None:
    database.execute(
        FUNCTIONS,
        "CREATE FUNCTION atomic(q vector) RETURNS SETOF int BEGIN ATOMIC"
        " SELECT id FROM docs ORDER BY embedding <=> q LIMIT 3; END",
        "ALTER DATABASE " + database.name + " SET hnsw.ef_search = '99'",
    )

    found = bodies(database)

    by_name = {subject.path[1]: entries for subject, entries in found.by_function.items()}
    assert {name: [entry.limit for entry in entries] for name, entries in by_name.items()} == {
        "match_docs": [12],
        "plain": [7],
        "looping": [1, None, 5],
        "atomic": [3],
    }
    assert [entry.dynamic for entry in by_name["looping"]] == [False, False, True]
    assert all("4711" not in entry.text and "secret" not in entry.text for entry in found.bodies)
    assert "WHERE metadata @> filter" in by_name["match_docs"][0].text
    # This login's database has a value of its own for one of them.
    assert found.settings["ivfflat.probes"] == "1"
    assert "hnsw.ef_search" not in found.settings


@pytest.mark.vector
def test_settings_that_clients_send(database: Database) -> None:
    database.execute("CREATE EXTENSION vector; CREATE EXTENSION pg_stat_statements")
    connection = database.connect()
    connection.execute("SELECT '[1]'::vector")
    for value in (50, 60):
        connection.execute(f"SET hnsw.ef_search = {value}")
        with connection.transaction():
            connection.execute(f"SET LOCAL ivfflat.probes = {value}")

    found = bodies(database)

    assert {(entry.name, entry.local, entry.calls) for entry in found.sent} == {
        ("hnsw.ef_search", False, 2),
        ("ivfflat.probes", True, 2),
    }


@pytest.mark.vector((0, 8))
def test_settings_of_the_library(database: Database) -> None:
    """pg_settings knows them only once the library is loaded; the review loads it. What is taken where it cannot is the same."""
    database.execute("CREATE EXTENSION vector")
    with database.connect() as fresh:
        asked = "SELECT count(*) FROM pg_settings WHERE name LIKE 'hnsw.%%' OR name LIKE 'ivfflat.%%'"
        assert fresh.execute(asked).fetchone() == (0,)
        fresh.execute("SELECT NULL::vector")
        assert fresh.execute(asked).fetchone() != (0,)

    assert DEFAULTS.items() <= bodies(database).settings.items()


def test_without_the_extension(database: Database) -> None:
    database.execute("CREATE TABLE t (id int, payload jsonb)")
    database.execute("CREATE FUNCTION f() RETURNS SETOF int LANGUAGE sql AS $$SELECT id FROM t WHERE payload @> '{}'$$")

    found = bodies(database)

    assert [entry.function.path[1] for entry in found.bodies] == ["f"]
    assert (found.settings, found.unread) == ({}, 0)


@pytest.mark.parametrize(
    "body", ["", ";", "BEGIN", "FOR", "SELECT 'unclosed", "EXECUTE '", "EXECUTE $$select", "LOOP LOOP (((("]
)
def test_broken_bodies_are_no_reason_to_fail(body: str) -> None:
    assert len(list(statements_of(body))) <= 1
