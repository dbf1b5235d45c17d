from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.checks.workload import prepare, send
from tests.servers import Database

pytestmark = pytest.mark.vector((0, 8))

SHAPE, CAST, QUANTISED = (
    "hybrid.query-cannot-use-vector-index",
    "hybrid.query-vector-not-cast",
    "hybrid.quantisation-without-rerank",
)
LIMITS = {"vector_rows": 1000}
QUERY = "[1,2,3,4]"
VECTOR = "ARRAY[i % 97, i % 89, i % 83 + 1, i % 7]::vector"


def table(name: str, rows: int = 4000, dimensions: int = 4) -> str:
    return (
        f"CREATE TABLE {name} (id int PRIMARY KEY, tenant_id int, embedding vector({dimensions}));"
        f"INSERT INTO {name} SELECT i, i % 100, {VECTOR} FROM generate_series(1, {rows}) i;"
        f"CREATE INDEX {name}_ann ON {name} USING hnsw (embedding vector_cosine_ops);"
    )


MISSHAPEN = {
    "descending": "SELECT id FROM {0} ORDER BY embedding <=> %s::vector DESC LIMIT 5",
    "wrapped": "SELECT id, 1 - (embedding <=> %s::vector) AS score FROM {0} ORDER BY score DESC LIMIT 5",
    "called": "SELECT id FROM {0} ORDER BY cosine_distance(embedding, %s::vector) LIMIT 5",
    "unlimited": "SELECT id FROM {0} ORDER BY embedding <=> %s::vector",
    "threshold": "SELECT id FROM {0} WHERE embedding <=> %s::vector < 0.001",
    "numbered": "SELECT id, row_number() OVER (ORDER BY embedding <=> %s::vector) AS r FROM {0}",
    "behind": "SELECT id FROM {0} ORDER BY tenant_id, embedding <=> %s::vector LIMIT 5",
}
RANKED = "SELECT id, row_number() OVER (ORDER BY embedding <=> %s::vector) AS r FROM {0} ORDER BY r LIMIT 5"
FINE = {
    "plain": "SELECT id FROM {0} ORDER BY embedding <=> %s::vector LIMIT 5",
    "scored": "SELECT id, 1 - (embedding <=> %s::vector) AS score FROM {0} ORDER BY embedding <=> '[1,2,3,4]' LIMIT 5",
    "tied": "SELECT id FROM {0} ORDER BY embedding <=> %s::vector, id LIMIT 5",
    "windowed": "SELECT id, row_number() OVER (ORDER BY embedding <=> %s::vector) AS r FROM {0} LIMIT 5",
    "named_window": "SELECT id, rank() OVER w FROM {0} WINDOW w AS (ORDER BY embedding <=> %s::vector) LIMIT 5",
    "parts": "SELECT id, row_number() OVER (PARTITION BY tenant_id ORDER BY embedding <=> %s::vector) AS r FROM {0} "
    "WHERE tenant_id = 3",
    "nested": "SELECT * FROM (SELECT id, embedding <=> %s::vector AS d FROM {0} ORDER BY d LIMIT 20) x ORDER BY 1 - d DESC",
}


def plan(database: Database, statement: str) -> str:
    """The plan's nodes, with sequential scans forbidden as far as that goes; a sort of everything would take the index then."""
    with database.connect() as connection:
        if "LIMIT" in statement and "OVER" not in statement:
            connection.execute("SET enable_seqscan = off")
        rows = connection.execute(f"EXPLAIN {statement.replace('%s', repr(QUERY))}".encode()).fetchall()
    return " ".join(row[0] for row in rows)


def test_shapes_that_no_index_serves(database: Database) -> None:
    misshapen, fine = dict(MISSHAPEN), dict(FINE)
    if database.major < 17:
        misshapen["tied"] = fine.pop("tied")
    tables = [*misshapen, "ranked", *fine]
    prepare(database, "CREATE EXTENSION vector", *map(table, tables))
    connection = database.connect()
    for name, statement in {**misshapen, "ranked": RANKED, **fine}.items():
        text = statement.format(name)
        send(connection, text, [(QUERY,)] * 3)
        # The server is asked, not believed: only what is well may take the index.
        assert (f"{name}_ann" in plan(database, text)) is (name in fine and name != "parts"), name

    result = examine(database, SHAPE, limits=LIMITS)

    expected = {f"public.{name}.embedding" for name in (*misshapen, "ranked")}
    assert names(result) == expected
    assert {found.severity for found in result.findings} == {Severity.HIGH}
    reasons = {found.subject.path[1]: found.observed["reason"] for found in result.findings}
    assert reasons == {**{name: name for name in misshapen}, "ranked": "wrapped", "numbered": "unlimited"}
    descending = finding(result, "public.descending.embedding")
    assert descending.confidence is Confidence.MEASURED
    assert descending.observed["indexes"] == ["public.descending_ann"]
    assert "sorts by the distance DESC" in descending.title


def test_a_search_is_one_finding(database: Database) -> None:
    """What the queries around it sort by is no search of its own."""
    prepare(database, "CREATE EXTENSION vector", table("nested"))
    text = """SELECT id FROM (SELECT DISTINCT ON (tenant_id) * FROM
        (SELECT *, embedding <=> %s::vector AS distance FROM nested ORDER BY distance) t
        ORDER BY tenant_id, distance) u ORDER BY 1 - distance DESC LIMIT 5"""
    send(database.connect(), text, [(QUERY,)] * 3)

    (found,) = examine(database, SHAPE, limits=LIMITS).findings

    assert found.observed["reason"] == "unlimited"


def test_confined_and_small_searches(database: Database) -> None:
    prepare(database, "CREATE EXTENSION vector", table("tenants"), table("few", 50))
    connection = database.connect()
    wrapped = "SELECT id, 1 - (embedding <=> %s) AS s FROM {0} {1} ORDER BY s DESC LIMIT 5"
    send(connection, wrapped.format("tenants", "WHERE tenant_id = %s"), [(QUERY, 1)] * 3)
    send(connection, wrapped.format("few", ""), [(QUERY,)] * 3)

    result = examine(database, SHAPE, limits=LIMITS)

    assert {found.subject.name: found.severity for found in result.findings} == {"public.few.embedding": Severity.LOW}


def test_the_body_of_a_function(database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]) -> None:
    """The function that many tutorials have: its score sorts DESC, and it is SQL in the database."""
    function = """CREATE FUNCTION match_docs(query_embedding vector, match_count int DEFAULT 10)
        RETURNS TABLE (id int, similarity float) LANGUAGE plpgsql STABLE AS $$
        BEGIN
          RETURN QUERY SELECT docs.id, 1 - (docs.embedding <=> query_embedding) AS similarity
          FROM docs ORDER BY similarity DESC LIMIT match_count;
        END $$"""
    good = function.replace("match_docs", "match_well").replace(
        "ORDER BY similarity DESC", "ORDER BY docs.embedding <=> query_embedding"
    )
    prepare(database, "CREATE EXTENSION vector", table("docs"), function, good)
    code = repository({"supabase/migrations/001.sql": f"-- functions\n{function};\n{good};\n"})

    (found,) = examine(database, SHAPE, code, limits=LIMITS).findings

    assert found.title == (
        "No vector index serves a search of public.docs.embedding: function match_docs sorts by an expression around the "
        "distance (supabase/migrations/001.sql:2)"
    )
    assert found.severity is Severity.HIGH
    assert [subject.kind for subject in found.related] == ["table", "function"]


def test_casts_that_miss_the_index(database: Database) -> None:
    half = (
        "CREATE TABLE halved (id int PRIMARY KEY, tenant_id int, embedding vector(4));"
        f"INSERT INTO halved SELECT i, i % 100, {VECTOR} FROM generate_series(1, 4000) i;"
        "CREATE INDEX halved_ann ON halved USING hnsw ((embedding::halfvec(4)) halfvec_cosine_ops)"
    )
    prepare(database, "CREATE EXTENSION vector", table("plain"), table("silent"), half)
    connection = database.connect()
    wrong = {
        "silent": "SELECT id FROM silent ORDER BY embedding <=> %s::halfvec LIMIT 5",
        "halved": "SELECT id FROM halved ORDER BY embedding <=> %s::vector LIMIT 5",
    }
    fine = {
        "plain": "SELECT id FROM plain ORDER BY embedding <=> %s::vector LIMIT 5",
        "halved": "SELECT id FROM halved ORDER BY embedding::halfvec(4) <=> %s::halfvec(4) LIMIT 5",
    }
    for name, statement in wrong.items():
        assert f"{name}_ann" not in plan(database, statement)
        send(connection, statement, [(QUERY,)] * 3)
    for name, statement in fine.items():
        assert f"{name}_ann" in plan(database, statement)
        send(connection, statement, [(QUERY,)] * 3)

    result = examine(database, CAST, limits=LIMITS)

    assert names(result) == {"public.silent.embedding", "public.halved.embedding"}
    assert finding(result, "public.silent.embedding").observed["compared_as"] == "halfvec"
    assert finding(result, "public.halved.embedding").severity is Severity.HIGH
    assert examine(database, QUANTISED).outcome is Outcome.NOT_APPLICABLE


def test_bits_alone(database: Database) -> None:
    prepare(
        database,
        "CREATE EXTENSION vector",
        "CREATE TABLE bits (id int PRIMARY KEY, embedding vector(4))",
        "CREATE INDEX ON bits USING hnsw ((binary_quantize(embedding)::bit(4)) bit_hamming_ops)",
    )
    connection = database.connect()
    candidates = (
        "SELECT id, embedding FROM bits"
        " ORDER BY binary_quantize(embedding)::bit(4) <~> binary_quantize(%s::vector) LIMIT 20"
    )
    send(connection, candidates, [(QUERY,)] * 3)
    send(
        connection,
        f"SELECT id FROM ({candidates}) c ORDER BY embedding <=> %s::vector LIMIT 5",
        [(QUERY, QUERY)] * 3,
    )

    # Ranked again by what the candidates' own cast gave.
    cast = candidates.replace("id, embedding FROM", "id, embedding::halfvec(4) AS embedding FROM")
    send(
        connection,
        f"WITH c AS ({cast}) SELECT id FROM c ORDER BY embedding::halfvec(4) <=> %s::halfvec(4) LIMIT 5",
        [(QUERY, QUERY)] * 3,
    )

    result = examine(database, QUANTISED)

    (found,) = result.findings
    assert found.subject.kind == "statement"
    assert (result.examined, found.confidence) == (3, Confidence.MEASURED)
    # Those few rows ask no index, of whatever distance.
    assert examine(database, "hybrid.distance-operator-mismatch").outcome is Outcome.PASSED
    assert examine(database, CAST).outcome is Outcome.PASSED


def test_without_vectors(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    evidence = survey(database)

    for name in (SHAPE, CAST, QUANTISED):
        assert conclude(evidence, name).outcome is Outcome.NOT_APPLICABLE
