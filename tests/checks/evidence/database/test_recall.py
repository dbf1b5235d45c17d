from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pytest

from checks.evidence.database.facts import Catalog, Column, Recall, Table
from checks.evidence.database.recall import interval, wanted_searches
from checks.evidence.observe import Target, observe
from checks.model import Reason, Unobserved
from tests.servers import Database

pytestmark = pytest.mark.vector

ROWS, DIMENSIONS, CLUSTERS = 3_000, 24, 40


def clustered(seed: int = 3) -> np.ndarray[Any, Any]:
    """Vectors around centres, as embeddings of texts are."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(CLUSTERS, DIMENSIONS))
    which = chance.integers(0, CLUSTERS, ROWS)
    return np.asarray(centres[which] + chance.normal(scale=0.35, size=(ROWS, DIMENSIONS)), dtype=np.float32)


def fill(connection: psycopg.Connection[Any], vectors: np.ndarray[Any, Any], kind: str = "vector") -> None:
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    connection.execute(f"CREATE TABLE docs (id int PRIMARY KEY, tenant int, v {kind}({DIMENSIONS}))".encode())
    with connection.cursor().copy("COPY docs FROM STDIN") as copy:
        for number, vector in enumerate(vectors):
            copy.write_row((number, number % 20, "[" + ",".join(f"{value:.6f}" for value in vector) + "]"))
    connection.execute("ANALYZE docs")


def measured(database: Database) -> Recall:
    found = observe(Target(database.dsn, measure_recall=True)).evidence.recall
    assert isinstance(found, Recall)
    return found


def sampled(connection: psycopg.Connection[Any]) -> list[int]:
    """The rows that a review takes."""
    return [row[0] for row in connection.execute("SELECT id FROM docs ORDER BY md5(ctid::text) LIMIT 200")]


def independent(connection: psycopg.Connection[Any], vectors: np.ndarray[Any, Any], k: int, setting: str) -> float:
    """Recall as NumPy finds it for the same rows: cosine over all rows, against what the index gives."""
    searched = sampled(connection)
    connection.execute("SET enable_seqscan = off; SET enable_sort = off")
    connection.execute(setting.encode())
    lengths = np.linalg.norm(vectors, axis=1)
    shares = []
    for number in searched:
        similar = vectors @ vectors[number] / (lengths * lengths[number])
        similar[number] = -2
        threshold = np.sort(similar)[-k] - 1e-6
        rows = connection.execute(
            "SELECT id FROM docs ORDER BY v <=> (SELECT v FROM docs WHERE id = %s) LIMIT %s", (number, k + 1)
        ).fetchall()
        found = [row[0] for row in rows if row[0] != number][:k]
        shares.append(sum(similar[each] >= threshold for each in found) / k)
    return float(np.mean(shares))


def test_recall_as_numpy_finds_it(database: Database) -> None:
    """An IVFFlat index, whose recall is far from 1, at three breadths."""
    vectors = clustered()
    connection = database.connect()
    fill(connection, vectors)
    connection.execute("CREATE INDEX docs_ann ON docs USING ivfflat (v vector_cosine_ops) WITH (lists = 64)")

    (found,) = measured(database).measurements

    assert (found.k, found.filtered_by, found.operator) == (10, (), "<=>")
    assert [at.breadth for at in found.at] == [1, 8, 16]
    for at in found.at:
        truth = independent(connection, vectors, 10, f"SET ivfflat.probes = {at.breadth}")
        assert at.recall == pytest.approx(truth, abs=0.02)
        assert at.low <= at.recall <= at.high
        assert at.searches == 200
    assert found.at[0].recall < found.at[1].recall <= found.at[2].recall
    assert found.exact_ms > 0
    assert found.unit_length == 0


def test_k_breadth_and_filters_of_the_application(database: Database) -> None:
    vectors = clustered()
    connection = database.connect()
    fill(connection, vectors)
    connection.execute(
        "CREATE EXTENSION pg_stat_statements; CREATE INDEX docs_ann ON docs USING hnsw (v vector_cosine_ops)"
    )
    connection.execute(f"ALTER DATABASE {database.name} SET hnsw.ef_search = 20".encode())
    connection.execute("SELECT id FROM docs WHERE tenant = 3 ORDER BY v <=> (SELECT v FROM docs WHERE id = 3) LIMIT 5")
    connection.execute(
        "CREATE FUNCTION match(q vector, n int DEFAULT 15) RETURNS SETOF int LANGUAGE sql AS "
        "'SELECT id FROM docs ORDER BY v <=> q LIMIT n'"
    )

    recall = measured(database)

    by_filter = {entry.filtered_by: entry for entry in recall.measurements}
    assert set(by_filter) == {(), ("tenant",)}
    plain, filtered = by_filter[()], by_filter["tenant",]
    assert (plain.k, filtered.k) == (15, 15)
    assert [at.breadth for at in plain.at] == [20, 50, 100]
    truth = independent(connection, vectors, 15, "SET hnsw.ef_search = 20")
    assert plain.at[0].recall == pytest.approx(truth, abs=0.02)
    # One row in twenty is the tenant's: most of what the graph gives is thrown away.
    assert filtered.at[0].returned < 5
    assert filtered.at[0].recall < 0.5 < plain.at[0].recall
    assert recall.skipped == {}


def test_what_cannot_be_measured(database: Database) -> None:
    connection = database.connect()
    fill(connection, clustered()[:300])
    connection.execute(
        "CREATE INDEX docs_part ON docs USING hnsw (v vector_l2_ops) WHERE tenant = 3;"
        "CREATE TABLE empty (id int, v vector(3)); CREATE INDEX empty_ann ON empty USING hnsw (v vector_l2_ops);"
        "CREATE INDEX docs_ann ON docs USING hnsw (v vector_l2_ops)"
    )

    recall = measured(database)

    assert sorted(recall.skipped.values()) == ["no_rows", "unsupported"]
    (found,) = recall.measurements
    # On so few rows the planner sorts them all.
    assert found.operator == "<->"
    assert found.at[0].recall == pytest.approx(1, abs=0.01)


@pytest.mark.vector((0, 7))
def test_an_index_on_a_cast(database: Database) -> None:
    connection = database.connect()
    fill(connection, clustered()[:2000])
    connection.execute(
        f"CREATE INDEX docs_half ON docs USING hnsw ((v::halfvec({DIMENSIONS})) halfvec_cosine_ops)".encode()
    )

    recall = measured(database)

    assert recall.skipped == {}
    (found,) = recall.measurements
    assert found.at[-1].recall > 0.95


def test_it_is_not_done_unasked(database: Database) -> None:
    fill(database.connect(), clustered()[:50])

    found = observe(Target(database.dsn)).evidence.recall

    assert isinstance(found, Unobserved)
    assert found.reason is Reason.NOT_OPTED_IN
    assert "--measure-recall" in found.unlock


def test_confidence_is_the_same_each_time() -> None:
    recalls = [1.0] * 50 + [0.5] * 10
    assert interval(recalls) == interval(recalls)
    low, high = interval(recalls)
    assert low < 55 / 60 < high
    assert interval([1.0, 1.0]) == (1.0, 1.0)


def test_searches_are_read_from_statements() -> None:
    catalog = Catalog(
        tables=(Table(1, "public", "docs", "table", "o"),),
        columns=(Column(1, 1, "v", "vector(3)", "vector"), Column(1, 2, "tenant", "int4", "int4")),
    )
    statements = [
        ("SELECT 1 FROM docs ORDER BY v <=> $1 LIMIT $2", 500),
        ("SELECT 1 FROM docs WHERE tenant = $2 ORDER BY v <=> $1 LIMIT $3", None),
        ("SELECT 1 FROM docs WHERE tenant > $2 ORDER BY v <=> $1 LIMIT $3", 7),
        ("not sql", None),
    ]
    assert wanted_searches(catalog, statements, ()) == {(1, "v"): ((7, 200), (("tenant",),))}
