from __future__ import annotations

import pytest

from checks.evidence.observe import Target, observe
from checks.model import Outcome, Reason, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.checks.workload import NO_WINDOW, flush, prepare, send
from tests.servers import Database

pytestmark = pytest.mark.vector

NULLS, CHURN, TOAST, TENANTS, PARAMETERS = (
    "hybrid.null-vectors",
    "hybrid.vector-index-churn",
    "hybrid.vector-toast-storage",
    "hybrid.tenants-share-vector-index",
    "hybrid.hnsw-parameters",
)
LIMITS = {"vector_rows": 1000}
VECTOR = "ARRAY[i % 7 + 1, i % 11, i % 13]::vector"
QUERY = "[1,2,3]"


def table(name: str, value: str = VECTOR, index: str = "WITH (m = 16)") -> str:
    return (
        f"CREATE TABLE {name} (id int PRIMARY KEY, tenant_id int, title text, embedding vector(3));"
        f"INSERT INTO {name} SELECT i, i % 50, 'a', {value} FROM generate_series(1, 2000) i;"
        f"CREATE INDEX {name}_ann ON {name} USING hnsw (embedding vector_cosine_ops) {index};"
    )


def test_rows_that_cannot_be_found(database: Database) -> None:
    missing = f"CASE WHEN i % 4 > 0 THEN {VECTOR} END"
    prepare(
        database,
        "CREATE EXTENSION vector",
        table("whole")
        + table("gaps", missing)
        + table("tended", missing)
        + table("slight", f"CASE WHEN i > 20 THEN {VECTOR} END"),
        "CREATE INDEX ON tended (id) WHERE embedding IS NULL",
    )
    connection = database.connect()
    connection.execute("SET enable_seqscan = off")
    search = f"SELECT id FROM gaps WHERE id % 4 = 0 ORDER BY embedding <=> '{QUERY}' LIMIT 5"
    assert connection.execute(search.encode()).fetchall() == []

    result = examine(database, NULLS)

    assert names(result) == {"public.gaps.embedding"}
    found = finding(result, "public.gaps.embedding")
    assert found.title == "25% of 2,000 rows have no public.gaps.embedding and cannot be found by it"
    assert found.severity is Severity.MEDIUM
    database.execute(found.fix.sql or "")
    assert (result.examined, result.of) == (4, 4)


def test_columns_for_models_not_in_use(database: Database) -> None:
    prepare(
        database,
        "CREATE EXTENSION vector",
        "CREATE TABLE chunks (id int PRIMARY KEY, of_3 vector(3), of_4 vector(4), title vector(3));"
        f"INSERT INTO chunks SELECT i, {VECTOR} FROM generate_series(1, 2000) i;"
        "CREATE TABLE failed (id int PRIMARY KEY, of_3 vector(3));"
        "INSERT INTO failed SELECT i FROM generate_series(1, 2000) i;",
        *(f"CREATE INDEX ON chunks USING hnsw ({name} vector_l2_ops)" for name in ("of_3", "of_4", "title")),
        "CREATE INDEX ON failed USING hnsw (of_3 vector_l2_ops)",
    )

    result = examine(database, NULLS)

    # A second vector of the same model is of something else that ought to be there.
    assert names(result) == {"public.chunks.title", "public.failed.of_3"}


def test_rows_that_change_all_the_time(database: Database) -> None:
    prepare(database, "CREATE EXTENSION vector", table("still") + table("churned"))
    connection = database.connect()
    send(connection, "UPDATE churned SET embedding = %s", [("[1,2,3]",), ("[3,2,1]",)])
    send(connection, "UPDATE still SET title = %s WHERE id < 100", [("b",)])
    flush(connection)

    result = examine(database, CHURN, limits={**LIMITS, **NO_WINDOW})

    assert names(result) == {"public.churned_ann"}
    (found,) = result.findings
    assert found.observed["changes"] >= 3900
    database.execute(found.fix.sql or "")
    young = examine(database, CHURN, limits=LIMITS)
    assert (young.outcome, young.reason) == (Outcome.UNKNOWN, Reason.WINDOW_TOO_SHORT)


def test_storage(database: Database) -> None:
    wide = (
        "CREATE TABLE {0} (id int PRIMARY KEY, embedding vector(600)); {1}"
        "INSERT INTO {0} SELECT i, array_fill(i, ARRAY[600])::vector FROM generate_series(1, 1200) i;"
    )
    alter = "ALTER TABLE {0} ALTER COLUMN embedding SET STORAGE {1};"
    prepare(
        database,
        "CREATE EXTENSION vector",
        wide.format("exact", alter.format("exact", "EXTERNAL"))
        + wide.format("plain", alter.format("plain", "PLAIN"))
        + wide.format("packed", alter.format("packed", "EXTENDED"))
        + wide.format("unsearched", alter.format("unsearched", "EXTERNAL")),
    )
    connection = database.connect()
    query = str([1] * 600)
    for name in ("exact", "plain"):
        send(connection, f"SELECT id FROM {name} ORDER BY embedding <=> %s::vector LIMIT 5", [(query,)] * 3)

    result = examine(database, TOAST, limits=LIMITS)

    assert names(result) == {"public.exact.embedding", "public.packed.embedding"}
    exact = finding(result, "public.exact.embedding")
    assert exact.observed["toast_bytes"] > exact.observed["heap_bytes"]
    assert exact.fix.sql == "ALTER TABLE public.exact ALTER COLUMN embedding SET STORAGE PLAIN;"
    assert "compressed in vain" in finding(result, "public.packed.embedding").title


def test_tenants_on_one_graph(database: Database) -> None:
    prepare(database, "CREATE EXTENSION vector", table("shared") + table("mixed") + table("unasked"))
    connection = database.connect()
    search = "SELECT id FROM {0} WHERE tenant_id = %s ORDER BY embedding <=> %s::vector LIMIT 5"
    for name in ("shared", "mixed"):
        send(connection, search.format(name), [(3, QUERY)] * 3)
    send(connection, "SELECT id FROM mixed ORDER BY embedding <=> %s::vector LIMIT 5", [(QUERY,)])

    result = examine(database, TENANTS, limits=LIMITS)

    assert names(result) == {"public.shared.embedding"}
    (found,) = result.findings
    assert found.title == (
        "About 50 values of tenant_id share the graph of public.shared.embedding, and every search is for one of them"
    )
    assert found.observed["rows_per_tenant"] == 40


def test_unusual_graphs(database: Database) -> None:
    prepare(
        database,
        "CREATE EXTENSION vector",
        table("usual")
        + table("thin", index="WITH (m = 4, ef_construction = 16)")
        + table("fine", index="WITH (m = 24, ef_construction = 200)"),
    )

    result = examine(database, PARAMETERS)

    assert names(result) == {"public.thin_ann"}
    for statement in (result.findings[0].fix.sql or "").split("; "):
        database.execute(statement)


def test_without_vectors(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    evidence = survey(database)

    for check in (NULLS, CHURN, TOAST, TENANTS, PARAMETERS):
        assert conclude(evidence, check).outcome is Outcome.NOT_APPLICABLE, check


def test_vectors_of_zeros(database: Database) -> None:
    """An index for the cosine leaves them out; for other distances they are vectors like others. Only samples know."""
    zeros = f"CASE WHEN i % 4 > 0 THEN {VECTOR} ELSE '[0,0,0]' END"
    prepare(
        database,
        "CREATE EXTENSION vector",
        table("whole") + table("failed", zeros) + table("euclidean", zeros),
        "DROP INDEX euclidean_ann; CREATE INDEX ON euclidean USING hnsw (embedding vector_l2_ops)",
    )
    connection = database.connect()
    connection.execute("SET enable_seqscan = off")
    search = f"SELECT id FROM failed WHERE id % 4 = 0 ORDER BY embedding <=> '{QUERY}' LIMIT 5"
    assert connection.execute(search.encode()).fetchall() == []

    assert conclude(survey(database), NULLS).outcome is Outcome.PASSED
    sampled = conclude(observe(Target(database.dsn, read_rows=True)).evidence, NULLS)
    measured = conclude(observe(Target(database.dsn, measure_recall=True)).evidence, NULLS)

    assert names(sampled) == names(measured) == {"public.failed.embedding"}
    (found,) = sampled.findings
    assert found.title == (
        "250 of 1,000 sampled rows hold a vector of zeros in public.failed.embedding, which public.failed_ann leaves out"
    )
    assert (found.severity, found.observed["zero_share"]) == (Severity.MEDIUM, 0.25)
    database.execute("UPDATE failed SET embedding = NULL WHERE vector_norm(embedding) = 0", found.fix.sql or "")
    database.execute("ALTER TABLE failed VALIDATE CONSTRAINT failed_embedding_not_zero")
