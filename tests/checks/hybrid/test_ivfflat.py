from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import examine, finding, names
from tests.servers import Database

pytestmark = pytest.mark.vector

NAME = "hybrid.ivfflat-lists"
TABLE = "CREATE TABLE {0} (id int PRIMARY KEY, embedding vector(2))"
ROWS = "INSERT INTO {0} SELECT i, ARRAY[i % 101, i % 57]::vector FROM generate_series(1, {1}) i"


def test_lists_against_rows(database: Database) -> None:
    database.execute("CREATE EXTENSION vector")
    for name, rows, lists in (
        ("fitting", 12_000, 12),
        ("near", 12_000, 40),
        ("unset", 12_000, 100),
        ("small", 3_000, 100),
    ):
        database.execute(
            TABLE.format(name),
            ROWS.format(name, rows),
            f"CREATE INDEX {name}_ann ON {name} USING ivfflat (embedding vector_l2_ops) WITH (lists = {lists})",
        )
    database.execute("ANALYZE")

    result = examine(database, NAME)

    assert names(result) == {"public.unset_ann", "public.small_ann"}
    found = finding(result, "public.unset_ann")
    assert found.title == "IVFFlat index public.unset_ann has 100 lists for 12,000 rows, where 12 fit"
    assert (found.severity, found.confidence) == (Severity.MEDIUM, Confidence.MEASURED)
    assert finding(result, "public.small_ann").severity is Severity.LOW
    for statement in (found.fix.sql or "").split("; "):
        database.execute(statement)


def test_an_index_created_before_its_rows(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    table, index = (
        TABLE.format("chunks"),
        "CREATE INDEX chunks_ann ON chunks USING ivfflat (embedding) WITH (lists = 12)",
    )
    database.execute("CREATE EXTENSION vector", table, index, ROWS.format("chunks", 12_000), "ANALYZE")
    together = repository({"migrations/001.sql": f"{table};\n{index};\n"})
    apart = repository({"migrations/001.sql": f"{table};\n", "migrations/002.sql": f"{index};\n"})

    (found,) = examine(database, NAME, together).findings
    assert found.confidence is Confidence.INFERRED
    assert "created together with its table" in found.title
    assert [(place.path, place.line) for place in found.locations] == [("migrations/001.sql", 2)]
    assert examine(database, NAME, apart).outcome is Outcome.PASSED

    single = index.replace("lists = 12", "lists = 1")
    database.execute("DROP TABLE chunks", table, single, ROWS.format("chunks", 3_000), "ANALYZE")
    only = repository({"migrations/001.sql": f"{table};\n{single};\n"})
    assert examine(database, NAME, only).outcome is Outcome.PASSED


def test_columns_for_models_not_in_use(database: Database) -> None:
    database.execute(
        "CREATE EXTENSION vector",
        "CREATE TABLE chunks (id int PRIMARY KEY, of_2 vector(2), of_3 vector(3), of_4 vector(4))",
        "INSERT INTO chunks SELECT i, ARRAY[i % 101, i % 57]::vector, CASE WHEN i <= 900 THEN ARRAY[i % 7, i, 1]::vector END "
        "FROM generate_series(1, 12000) i",
        *(
            f"CREATE INDEX chunks_{n} ON chunks USING ivfflat (of_{n} vector_l2_ops) WITH (lists = 100)"
            for n in (2, 3, 4)
        ),
        "ANALYZE",
    )

    result = examine(database, NAME)

    assert names(result) == {"public.chunks_2", "public.chunks_3"}
    assert finding(result, "public.chunks_2").observed["rows"] == 12_000
    # The index holds the rows that have the vector.
    assert 800 <= finding(result, "public.chunks_3").observed["rows"] <= 1_000
