from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from checks.evidence.database.facts import Settings
from checks.hybrid.sizing import build_bytes_per_row, hnsw_bytes_per_row, vector_bytes
from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import conclude, finding, names, survey
from tests.servers import Database

pytestmark = pytest.mark.vector((0, 7))

EXCEEDS, CAPACITY, BUILD, HALF = (
    "hybrid.vector-index-exceeds-memory",
    "hybrid.vector-capacity",
    "hybrid.vector-build-memory",
    "hybrid.halfvec-candidate",
)
ROWS = 1200
RANDOM = "(SELECT array_agg(random() - 0.5) FROM generate_series(1, {}) WHERE i = i)::vector"


def table(name: str, dimensions: int, index: str = "embedding vector_cosine_ops") -> str:
    return (
        f"CREATE TABLE {name} (id int PRIMARY KEY, embedding vector({dimensions}));"
        f"INSERT INTO {name} SELECT i, {RANDOM.format(dimensions)} FROM generate_series(1, {ROWS}) i;"
        + (f"CREATE INDEX {name}_ann ON {name} USING hnsw ({index});" if index else "")
    )


def with_settings(evidence: Any, **values: tuple[str, str, str]) -> Any:
    """Evidence of a server with these settings: value, unit, source."""
    settings = evidence.get(Settings)
    entries = tuple(
        msgspec.structs.replace(entry, value=found[0], unit=found[1], source=found[2])
        if (found := values.get(entry.name))
        else entry
        for entry in settings.entries
    )
    return msgspec.structs.replace(evidence, settings=msgspec.structs.replace(settings, entries=entries))


def test_sums_against_the_server(database: Database) -> None:
    """What an index takes for each row, and after how many rows a build no longer fits."""
    notices: list[str] = []
    connection = database.connect()
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    connection.execute("CREATE EXTENSION vector; SET max_parallel_maintenance_workers = 0")
    for dimensions in (16, 384, 1024):
        connection.execute(table(f"t{dimensions}", dimensions).encode())
        row = connection.execute(f"SELECT pg_relation_size('t{dimensions}_ann')".encode()).fetchone()
        assert row is not None
        assert row[0] / ROWS == pytest.approx(hnsw_bytes_per_row(dimensions), rel=0.04)
    half = "CREATE INDEX half_ann ON t1024 USING hnsw ((embedding::halfvec(1024)) halfvec_cosine_ops)"
    connection.execute(half.encode())
    row = connection.execute("SELECT pg_relation_size('half_ann')").fetchone()
    assert row is not None
    assert row[0] / ROWS == pytest.approx(hnsw_bytes_per_row(1024, "halfvec"), rel=0.04)
    assert notices == []
    connection.execute("SET maintenance_work_mem = '2MB'")
    connection.execute("CREATE INDEX ON t1024 USING hnsw (embedding vector_l2_ops)")
    (told,) = (match for notice in notices if (match := re.search(r"no longer fits .* after (\d+) tuples", notice)))
    assert int(told[1]) == pytest.approx(2 * 1024**2 / build_bytes_per_row(1024), rel=0.06)
    row = connection.execute("SELECT avg(pg_column_size(embedding)) FROM t384").fetchone()
    assert row is not None
    assert int(row[0]) == vector_bytes(384) - 4 or int(row[0]) == vector_bytes(384)
    # The figures that everybody plans with: 8 kB a row with 1,536 dimensions, 9,665 rows in 64 MB.
    assert hnsw_bytes_per_row(1536) == 8192
    assert 64 * 1024**2 / build_bytes_per_row(1536) == pytest.approx(9665, rel=0.001)


def test_what_1536_dimensions_take(database: Database) -> None:
    """The figures that everybody plans with, as the server has them: heap and TOAST, and each kind of index."""
    rows, dimensions = 480, 1536
    connection = database.connect()
    connection.execute("CREATE EXTENSION vector")
    connection.execute(table("openai", dimensions, "").replace(str(ROWS), str(rows)).encode())

    def figure(expression: str) -> int:
        row = connection.execute(f"SELECT {expression}".encode()).fetchone()
        assert row is not None
        return int(row[0])

    assert figure("max(pg_column_size(embedding)) FROM openai") == vector_bytes(dimensions) - 4 == 6148
    storage = connection.execute(
        "SELECT attstorage::text FROM pg_attribute WHERE attrelid = 'openai'::regclass AND attname = 'embedding'"
    ).fetchone()
    assert storage == ("e",)
    toast = figure("pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = 'openai'::regclass")
    assert toast > 15 * figure("pg_relation_size('openai')")
    connection.execute("CREATE EXTENSION pg_stat_statements; ANALYZE openai")
    connection.execute("SELECT id FROM openai ORDER BY embedding <=> (SELECT embedding FROM openai LIMIT 1) LIMIT 5")
    # Costs do not count what stands out of line.
    evidence = survey(database, limits={"vector_rows": 100})
    assert names(conclude(evidence, "hybrid.vector-toast-storage")) == {"public.openai.embedding"}
    for name, definition, expected in (
        ("hnsw", "hnsw (embedding vector_cosine_ops)", hnsw_bytes_per_row(dimensions)),
        (
            "half",
            f"hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops)",
            hnsw_bytes_per_row(dimensions, "halfvec"),
        ),
        (
            "bits",
            f"hnsw ((binary_quantize(embedding)::bit({dimensions})) bit_hamming_ops)",
            hnsw_bytes_per_row(dimensions, "bit"),
        ),
        ("lists", "ivfflat (embedding vector_cosine_ops) WITH (lists = 1)", 8192),
    ):
        connection.execute(f"CREATE INDEX {name} ON openai USING {definition}".encode())
        assert figure(f"pg_relation_size('{name}')") / rows == pytest.approx(expected, rel=0.05), name


def test_memory_against_indexes(database: Database) -> None:
    database.execute("CREATE EXTENSION vector", table("chunks", 256), table("small", 8), "ANALYZE")
    evidence = msgspec.structs.replace(survey(database, limits={"vector_rows": 1000}))

    assert conclude(evidence, EXCEEDS).outcome is Outcome.PASSED
    tight = with_settings(evidence, shared_buffers=("100", "8kB", "configuration file"))
    result = conclude(tight, EXCEEDS)
    assert names(result) == {"public.chunks_ann"}
    found = finding(result, "public.chunks_ann")
    assert (found.severity, found.confidence) == (Severity.MEDIUM, Confidence.INFERRED)
    assert "halfvec(256)" in (found.fix.sql or "")
    database.execute(found.fix.sql or "")
    # Somebody said how much the whole machine caches: enough, or too little.
    cached = with_settings(tight, effective_cache_size=("100000", "8kB", "configuration file"))
    assert finding(conclude(cached, EXCEEDS), "public.chunks_ann").severity is Severity.LOW
    cached = with_settings(tight, effective_cache_size=("150", "8kB", "configuration file"))
    found = finding(conclude(cached, EXCEEDS), "public.chunks_ann")
    assert (found.severity, found.confidence) == (Severity.HIGH, Confidence.MEASURED)
    assert found.observed["rows_that_fit"] < ROWS

    assert conclude(evidence, CAPACITY).outcome is Outcome.PASSED
    roomy = with_settings(evidence, shared_buffers=("1000", "8kB", "configuration file"))
    result = conclude(roomy, CAPACITY)
    chunks = finding(result, "public.chunks.embedding")
    assert chunks.severity is Severity.NOTE
    assert chunks.observed["rows_that_fit"] == pytest.approx(1000 * 8192 / hnsw_bytes_per_row(256), rel=0.01)
    assert "times what all vectors need today" in chunks.title
    assert "past its size" in finding(conclude(tight, CAPACITY), "public.chunks.embedding").title

    assert conclude(evidence, BUILD).outcome is Outcome.PASSED
    slow = with_settings(evidence, maintenance_work_mem=("1024", "kB", "default"))
    (found,) = conclude(slow, BUILD).findings
    assert found.subject.name == "public.chunks_ann"
    assert found.observed["rows_that_fit"] == pytest.approx(1024**2 / build_bytes_per_row(256), rel=0.01)
    database.execute(found.fix.sql or "")


def test_halves(database: Database) -> None:
    half = "CREATE TABLE halved (id int PRIMARY KEY, embedding halfvec(256)); INSERT INTO halved SELECT * FROM chunks"
    database.execute("CREATE EXTENSION vector", table("chunks", 256), half, table("few", 4), "ANALYZE")

    result = conclude(survey(database, limits={"halfvec_saved_bytes": 100_000}), HALF)

    assert names(result) == {"public.chunks.embedding"}
    found = finding(result, "public.chunks.embedding")
    assert found.observed["saved_bytes"] == ROWS * 512
    assert "USING hnsw ((embedding::halfvec(256)) halfvec_cosine_ops)" in (found.fix.sql or "")
    database.execute(found.fix.sql or "", "DROP INDEX chunks_ann, chunks_embedding_idx")
    (found,) = conclude(survey(database, limits={"halfvec_saved_bytes": 100_000}), HALF).findings
    database.execute(found.fix.sql or "")
    assert names(conclude(survey(database, limits={"halfvec_saved_bytes": 100_000}), HALF)) == set()


def test_without_indexes(database: Database) -> None:
    database.execute("CREATE EXTENSION vector", table("plain", 8, ""), "ANALYZE")
    evidence = survey(database)

    for check in (EXCEEDS, BUILD):
        assert conclude(evidence, check).outcome is Outcome.NOT_APPLICABLE
    assert conclude(evidence, CAPACITY).outcome is Outcome.PASSED


def test_sums_of_exact_search(database: Database) -> None:
    """2,100 dimensions, which an index takes as halfvec only: nothing is past its size, for nothing is indexed yet."""
    connection = database.connect()
    connection.execute("CREATE EXTENSION vector; CREATE EXTENSION pg_stat_statements")
    connection.execute(
        "CREATE TABLE wide (id int PRIMARY KEY, embedding vector(2100));"
        "INSERT INTO wide SELECT i, array_fill(i, ARRAY[2100])::vector FROM generate_series(1, 300) i; ANALYZE wide"
    )
    for number in (1, 2, 3):
        connection.execute(
            f"SELECT id FROM wide ORDER BY embedding <-> (SELECT embedding FROM wide WHERE id = {number}) LIMIT 5".encode()
        )
    evidence = with_settings(
        survey(database, limits={"vector_rows": 100}), shared_buffers=("200", "8kB", "configuration file")
    )

    (found,) = conclude(evidence, CAPACITY).findings

    each = hnsw_bytes_per_row(2100, "halfvec")
    assert found.title == (
        f"public.wide.embedding: 300 rows would take 8.0 kB each in an HNSW index of halfvec; 1.6 MB of memory hold "
        f"{200 * 8192 / each:,.0f}: fewer than there are"
    )
    assert found.observed["indexed"] is False
    mean = found.observed["search_ms"]
    assert found.observed["searches_per_s_of_a_core"] == pytest.approx(1000 / mean, rel=0.01)
    assert found.observed["rows_at_one_second"] == pytest.approx(300 * 1000 / mean, rel=0.01)
    assert "one core answers" in found.fix.summary
    assert "a second at" in found.fix.summary
