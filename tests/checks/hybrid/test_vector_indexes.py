from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
import pytest

from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import examine, finding, names, survey
from tests.checks.workload import prepare, send
from tests.servers import Database

pytestmark = pytest.mark.vector((0, 7))

UNINDEXED, MISMATCH = "hybrid.vector-without-index", "hybrid.distance-operator-mismatch"
LIMITS = {"vector_rows": 1000}
VECTOR = "ARRAY[i % 7, i % 11, i % 13 + 1]::vector"
FILL = f"SELECT i, i % 500, {VECTOR} FROM generate_series(1, 3000) i"
QUERY = "[1,2,3]"


def table(name: str) -> str:
    return f"CREATE TABLE {name} (id int PRIMARY KEY, tenant_id int, embedding vector(3)); INSERT INTO {name} {FILL}; "


def nearest(name: str, operator: str = "<=>", where: str = "") -> str:
    return f"SELECT id FROM {name} {where} ORDER BY embedding {operator} %s::vector LIMIT 10"


def test_large_columns_without_an_index(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    prepare(
        database,
        "CREATE EXTENSION vector",
        table("chunks") + table("tenants") + table("archive") + table("indexed") + table("cast_indexed"),
        "CREATE TABLE planned (id int, embedding vector(3)); INSERT INTO planned SELECT i FROM generate_series(1, 3000) i",
        "CREATE TABLE few (id int, embedding vector(3)); INSERT INTO few SELECT i, '[1,2,3]' FROM generate_series(1, 9) i",
        "CREATE INDEX ON indexed USING hnsw (embedding vector_cosine_ops)",
        "CREATE INDEX ON cast_indexed USING hnsw ((embedding::halfvec(3)) halfvec_l2_ops)",
        "CREATE INDEX ON tenants (tenant_id)",
        table("posts") + "ALTER TABLE posts ADD hidden bool DEFAULT false, ADD removed bool DEFAULT false;"
        "UPDATE posts SET hidden = true, removed = true WHERE id % 50 = 0",
    )
    connection = database.connect()
    send(connection, nearest("chunks", "<->"), [(QUERY,)] * 12)
    send(connection, nearest("tenants", where="WHERE tenant_id = %s"), [(3, QUERY)] * 12)
    # Nearly all posts are to be seen: that confines no search.
    send(connection, nearest("posts", where="WHERE hidden = false AND removed = false"), [(QUERY,)] * 12)
    send(connection, nearest("indexed"), [(QUERY,)] * 12)
    send(connection, nearest("few"), [(QUERY,)] * 12)
    code = repository({"search.py": f'db.execute("{nearest("chunks", "<->")}", (q,))\n'})

    result = examine(database, UNINDEXED, code, limits=LIMITS)

    named = {found.subject.path[1]: found.severity for found in result.findings}
    assert named.keys() == {"chunks", "tenants", "archive", "posts"}
    assert named["posts"] is Severity.HIGH
    chunks = finding(result, "public.chunks.embedding")
    assert (chunks.severity, chunks.confidence) == (Severity.HIGH, Confidence.MEASURED)
    assert chunks.fix.sql == (
        "CREATE INDEX CONCURRENTLY chunks_embedding_l2_idx ON public.chunks USING hnsw (embedding vector_l2_ops);"
    )
    assert [(place.path, place.line) for place in chunks.locations] == [("search.py", 1)]
    tenants = finding(result, "public.tenants.embedding")
    assert tenants.severity is Severity.NOTE
    assert "every search is confined to about 6 rows first" in tenants.title
    archive = finding(result, "public.archive.embedding")
    assert (archive.severity, archive.confidence) == (Severity.LOW, Confidence.INFERRED)
    database.execute(chunks.fix.sql, chunks.fix.undo or "")


def test_wide_vectors_are_indexed_as_halfvec(database: Database) -> None:
    prepare(
        database,
        "CREATE EXTENSION vector; CREATE TABLE wide (id int, embedding vector(3072), loose vector)",
        "INSERT INTO wide SELECT i, array_fill(i, ARRAY[3072])::vector, '[1,2]' FROM generate_series(1, 20) i",
    )

    result = examine(database, UNINDEXED, limits={"vector_rows": 10})

    embedding = finding(result, "public.wide.embedding")
    assert "((embedding::halfvec(3072)) halfvec_cosine_ops)" in (embedding.fix.sql or "")
    database.execute(embedding.fix.sql or "")
    assert finding(result, "public.wide.loose").fix.sql is None


def test_searches_by_another_distance(database: Database) -> None:
    prepare(
        database,
        "CREATE EXTENSION vector",
        table("wrong") + table("right_one") + table("twofold") + table("unsearched"),
        "CREATE INDEX wrong_l2 ON wrong USING hnsw (embedding vector_l2_ops)",
        "CREATE INDEX ON right_one USING hnsw (embedding vector_cosine_ops)",
        "CREATE INDEX ON twofold USING hnsw (embedding vector_cosine_ops)",
        "CREATE INDEX ON twofold USING ivfflat (embedding) WITH (lists = 3)",
        "CREATE INDEX ON unsearched USING hnsw (embedding vector_ip_ops)",
    )
    connection = database.connect()
    send(connection, nearest("wrong"), [(QUERY,)] * 12)
    send(connection, nearest("right_one"), [(QUERY,)] * 12)
    for operator in ("<=>", "<->"):
        send(connection, nearest("twofold", operator), [(QUERY,)] * 12)

    # Not even with sequential scans switched off.
    connection.execute("SET enable_seqscan = off")
    for name, operator, served in (("wrong", "<=>", False), ("wrong", "<->", True), ("right_one", "<=>", True)):
        text = nearest(name, operator).replace("%s", f"'{QUERY}'")
        plan = " ".join(row[0] for row in connection.execute(f"EXPLAIN {text}".encode()))
        assert ("Order By:" in plan) is served, plan

    result = examine(database, MISMATCH, limits=LIMITS)

    (found,) = result.findings
    assert found.subject.name == "public.wrong.embedding"
    assert found.severity is Severity.HIGH
    assert "searched by cosine distance (<=>) but indexed for Euclidean distance" in found.title
    assert found.observed["index_operators"] == ["<->"]
    assert found.observed["calls"] == 12
    assert [subject.name for subject in found.related if subject.kind == "index"] == ["public.wrong_l2"]
    (small,) = examine(database, MISMATCH, limits={"vector_rows": 5000}).findings
    assert small.severity is Severity.LOW


OPERATORS = {
    "l2": ("<->", "vector_l2_ops"),
    "ip": ("<#>", "vector_ip_ops"),
    "cosine": ("<=>", "vector_cosine_ops"),
    "l1": ("<+>", "vector_l1_ops"),
    "hamming": ("<~>", "bit_hamming_ops"),
    "jaccard": ("<%%>", "bit_jaccard_ops"),
}
OTHER = {"l2": "cosine", "ip": "l2", "cosine": "ip", "l1": "l2", "hamming": "jaccard", "jaccard": "hamming"}


def test_each_operator_and_its_class(database: Database) -> None:
    bits = (
        "CREATE TABLE {0} (id int PRIMARY KEY, embedding bit(8));"
        "INSERT INTO {0} SELECT i, (i % 256)::bit(8) FROM generate_series(1, 3000) i;"
    )
    searches: dict[str, tuple[str, str]] = {}
    statements = ["CREATE EXTENSION vector"]
    for name, (operator, own) in OPERATORS.items():
        binary = own.startswith("bit")
        value = "%s::bit(8)" if binary else "%s::vector"
        for kind, operator_class in (("right", own), ("wrong", OPERATORS[OTHER[name]][1])):
            relation = f"{kind}_{name}"
            statements.append(bits.format(relation) if binary else table(relation))
            statements.append(f"CREATE INDEX {relation}_ann ON {relation} USING hnsw (embedding {operator_class})")
            text = f"SELECT id FROM {relation} ORDER BY embedding {operator} {value} LIMIT 10"
            searches[relation] = (text, "10101010" if binary else QUERY)
    prepare(database, *statements)
    connection = database.connect()
    connection.execute("SET enable_seqscan = off")
    for relation, (text, query) in searches.items():
        send(connection, text, [(query,)] * 12)
        asked = text.replace("%s", f"'{query}'").replace("%%", "%")
        plan = " ".join(row[0] for row in connection.execute(f"EXPLAIN {asked}".encode()))
        assert ("Order By:" in plan) is relation.startswith("right"), plan

    result = examine(database, MISMATCH, limits=LIMITS)

    assert names(result) == {f"public.{name}.embedding" for name in searches if name.startswith("wrong")}
    assert {found.severity for found in result.findings} == {Severity.HIGH}


def test_the_class_that_nobody_wrote(database: Database) -> None:
    """IVFFlat takes Euclidean distance by itself, and the definition of the index does not say so; HNSW has no default."""
    prepare(
        database,
        "CREATE EXTENSION vector",
        table("asked_otherwise") + table("asked_so"),
        "CREATE INDEX silent_ann ON asked_otherwise USING ivfflat (embedding) WITH (lists = 3)",
        "CREATE INDEX ON asked_so USING ivfflat (embedding) WITH (lists = 3)",
    )
    connection = database.connect()
    with pytest.raises(psycopg.Error, match="no default operator class"):
        connection.execute("CREATE INDEX ON asked_so USING hnsw (embedding)")
    row = connection.execute("SELECT pg_get_indexdef('silent_ann'::regclass)").fetchone()
    assert row is not None
    assert "_ops" not in row[0]
    send(connection, nearest("asked_otherwise"), [(QUERY,)] * 12)
    send(connection, nearest("asked_so", "<->"), [(QUERY,)] * 12)

    (found,) = examine(database, MISMATCH, limits=LIMITS).findings

    assert found.subject.name == "public.asked_otherwise.embedding"
    assert found.observed["index_operators"] == ["<->"]


def test_a_mismatch_that_only_stands_in_code(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    prepare(
        database,
        "CREATE EXTENSION vector; " + table("chunks"),
        "CREATE INDEX ON chunks USING hnsw (embedding vector_cosine_ops)",
    )
    code = repository({"search.py": f'db.execute("{nearest("chunks", "<->")}", (q,))\n'})

    (found,) = examine(database, MISMATCH, code, limits=LIMITS).findings

    assert found.confidence is Confidence.INFERRED
    assert "(search.py:1)" in found.title


def test_no_vectors_at_all(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    evidence = survey(database)

    for name in (UNINDEXED, MISMATCH, "hybrid.ivfflat-lists", "hybrid.pgvector-version"):
        result = examine(database, name)
        assert result.outcome is Outcome.NOT_APPLICABLE
        assert "vector" in (result.fact or "")
    assert evidence is not None
