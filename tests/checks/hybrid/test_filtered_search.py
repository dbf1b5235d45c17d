from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.checks.workload import prepare, send
from tests.servers import Database

pytestmark = pytest.mark.vector((0, 8))

FILTERED, BREADTH = "hybrid.filtered-search-loses-rows", "hybrid.search-breadth-below-limit"
LIMITS = {"vector_rows": 1000}
QUERY = "[1,2,3,4]"
SEARCH = "SELECT id FROM {0} WHERE tenant_id = %s ORDER BY embedding <=> %s::vector LIMIT 10"


def table(
    name: str, index: str = "USING hnsw (embedding vector_cosine_ops)", more: str = "", tenants: int = 100
) -> str:
    return (
        f"CREATE TABLE {name} (id int PRIMARY KEY, tenant_id int, live bool DEFAULT true, metadata jsonb DEFAULT '{{}}',"
        f" embedding vector(4)); INSERT INTO {name} (id, tenant_id, embedding) SELECT i, i % {tenants},"
        f" ARRAY[hashint4(i), hashint4(-i), hashint4(7 * i), i]::vector FROM generate_series(1, 12000) i;"
        f"CREATE INDEX {name}_ann ON {name} {index}; {more}"
    )


def force(database: Database) -> None:
    """Has the planner take the vector index, as it does by itself on a large table."""
    for name in ("seqscan", "sort", "bitmapscan"):
        database.execute(f"ALTER DATABASE {database.name} SET enable_{name} = off")


@pytest.mark.vector((0, 8))
def test_filters_behind_the_index(database: Database) -> None:
    prepare(
        database,
        "CREATE EXTENSION vector",
        table("losing")
        + table("deep")
        + table("partial", "USING hnsw (embedding vector_cosine_ops) WHERE tenant_id = 7")
        + table("unfiltered")
        + table("alive"),
    )
    force(database)
    connection = database.connect()
    for name in ("losing", "partial"):
        send(connection, SEARCH.format(name), [(7, QUERY)] * 3)
    send(connection, "SELECT id FROM unfiltered ORDER BY embedding <=> %s::vector LIMIT 10", [(QUERY,)] * 3)
    send(connection, "SELECT id FROM alive WHERE live ORDER BY embedding <=> %s::vector LIMIT 10", [(QUERY,)] * 3)

    # A filter that keeps one row of a hundred: 120 match, hardly one comes back.
    assert len(send(connection, SEARCH.format("deep"), [(7, QUERY)])) < 4
    set_here = "SELECT set_config(%s, %s, false)"
    send(connection, set_here, [("hnsw.iterative_scan", "strict_order")])
    assert len(send(connection, SEARCH.format("deep"), [(7, QUERY)])) == 10
    send(connection, set_here, [("hnsw.max_scan_tuples", "200")])
    assert len(send(connection, SEARCH.format("deep"), [(7, QUERY)])) < 10

    result = examine(database, FILTERED, limits=LIMITS)

    assert names(result) == {"public.losing.embedding", "public.deep.embedding"}
    losing = finding(result, "public.losing.embedding")
    assert (
        losing.title == "A search of public.losing.embedding filtered by tenant_id finds about 0.4 rows for its LIMIT"
    )
    assert losing.observed["matching_share"] == 0.01
    assert losing.observed["setting"] == "hnsw.ef_search = 40 (the default)"
    assert losing.observed["returned_rows"] < 4
    assert (losing.severity, losing.confidence) == (Severity.HIGH, Confidence.MEASURED)

    # Where a client sets it to what cannot be seen, nothing is claimed.
    connection.execute("SET hnsw.iterative_scan = 'off'")
    assert examine(database, FILTERED, limits=LIMITS).outcome is Outcome.PASSED


def test_one_row_in_ten(database: Database) -> None:
    """LIMIT 10 under a filter that keeps a tenth: about 4 of the 40 rows that the index gives."""
    prepare(database, "CREATE EXTENSION vector", table("losing", tenants=10))
    force(database)
    connection = database.connect()
    assert len(send(connection, SEARCH.format("losing"), [(7, QUERY)])) < 10

    (found,) = examine(database, FILTERED, limits=LIMITS).findings

    assert found.observed["matching_share"] == pytest.approx(0.1, abs=0.02)
    assert found.observed["expected_rows"] == pytest.approx(4, abs=0.8)
    database.execute(f"ALTER DATABASE {database.name} SET hnsw.ef_search = 400")
    assert len(send(database.connect(), SEARCH.format("losing"), [(7, QUERY)])) == 10
    assert examine(database, FILTERED, limits=LIMITS).outcome is Outcome.PASSED


def test_settings_that_make_a_filter_safe(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    prepare(database, "CREATE EXTENSION vector", table("losing"))
    force(database)
    send(database.connect(), SEARCH.format("losing"), [(7, QUERY)] * 3)
    assert names(examine(database, FILTERED, limits=LIMITS)) == {"public.losing.embedding"}

    code = repository(
        {
            "search.py": "import psycopg\n"
            "def search(cursor, q):\n"
            "    cursor.execute(\"SET LOCAL hnsw.iterative_scan = 'strict_order'\")\n"
            "    cursor.execute('SELECT id FROM losing ORDER BY embedding <=> %s LIMIT 10', (q,))\n"
        }
    )
    assert examine(database, FILTERED, code, limits=LIMITS).outcome is Outcome.PASSED

    database.execute(f"ALTER DATABASE {database.name} SET hnsw.iterative_scan = 'relaxed_order'")
    assert examine(database, FILTERED, limits=LIMITS).outcome is Outcome.PASSED
    assert len(send(database.connect(), SEARCH.format("losing"), [(7, QUERY)])) == 10

    # A scan that may look at 200 rows gives up: two of them are the tenant's.
    database.execute(f"ALTER DATABASE {database.name} SET hnsw.max_scan_tuples = 200")
    assert len(send(database.connect(), SEARCH.format("losing"), [(7, QUERY)])) < 10
    (found,) = examine(database, FILTERED, limits=LIMITS).findings
    assert found.observed["setting"].startswith("hnsw.max_scan_tuples = 200")
    assert found.observed["expected_rows"] == pytest.approx(2, abs=0.2)
    assert found.fix.sql == "SET LOCAL hnsw.max_scan_tuples = 2000;"


def test_a_filter_by_a_key_of_a_document(database: Database) -> None:
    """As memories of agents are searched: by a user's id inside the payload."""
    prepare(
        database,
        "CREATE EXTENSION vector",
        table("memories"),
        "UPDATE memories SET metadata = jsonb_build_object('user_id', 'u' || id % 400); ANALYZE memories",
    )
    force(database)
    connection = database.connect()
    search = "SELECT id FROM memories WHERE metadata ->> 'user_id' = %s ORDER BY embedding <=> %s::vector LIMIT 5"
    assert len(send(connection, search, [(f"u{n}", QUERY) for n in range(6)])) < 6

    (found,) = examine(database, FILTERED, limits=LIMITS).findings

    assert (found.severity, found.confidence) == (Severity.HIGH, Confidence.MEASURED)
    assert found.title.startswith(
        "A search of public.memories.embedding filters by metadata after the index gave 40 rows, and"
    )
    # Nor is the document read for any but those rows.
    assert (
        examine(database, "hybrid.jsonb-filter-without-index", limits={"seq_scan_rows": 1000}).outcome is Outcome.PASSED
    )


def test_a_filter_that_leaves_enough(database: Database) -> None:
    """The LIMIT is an argument; always as many rows come back, which what a filter leaves hardly are."""
    prepare(
        database,
        "CREATE EXTENSION vector",
        table("memories"),
        "UPDATE memories SET metadata = jsonb_build_object('kind', 'k' || id % 2); ANALYZE memories",
    )
    force(database)
    connection = database.connect()
    search = "SELECT id FROM memories WHERE metadata ->> 'kind' = %s ORDER BY embedding <=> %s::vector LIMIT 5"
    assert len(send(connection, search, [("k1", QUERY)] * 6)) == 30

    assert examine(database, FILTERED, limits=LIMITS).outcome is Outcome.PASSED


def test_an_index_on_the_filter_makes_it_exact(database: Database) -> None:
    prepare(database, "CREATE EXTENSION vector", table("led", more="CREATE INDEX ON led (tenant_id);"))
    assert len(send(database.connect(), SEARCH.format("led"), [(7, QUERY)] * 3)) == 30

    assert examine(database, FILTERED, limits=LIMITS).outcome is Outcome.PASSED


def test_filters_of_joined_tables(database: Database) -> None:
    """What the statistics of the other table say: nearly all rows are live, and one in twenty is of a kind."""
    prepare(
        database,
        "CREATE EXTENSION vector",
        table("chunks"),
        "CREATE TABLE pages (id int PRIMARY KEY, kind int, deleted_at timestamptz)",
        "INSERT INTO pages SELECT i, i % 20 FROM generate_series(1, 12000) i",
    )
    force(database)
    connection = database.connect()
    search = "SELECT c.id FROM chunks c JOIN pages p ON p.id = c.id WHERE {} ORDER BY embedding <=> %s::vector LIMIT 10"
    send(connection, search.format("p.deleted_at IS NULL"), [(QUERY,)] * 3)
    assert examine(database, FILTERED, limits=LIMITS).outcome is Outcome.PASSED
    assert len(send(connection, search.format("p.deleted_at IS NULL AND p.kind = %s"), [(3, QUERY)])) < 10

    (found,) = examine(database, FILTERED, limits=LIMITS).findings

    assert (
        found.title == "A search of public.chunks.embedding filtered by pages.kind finds about 2.0 rows for its LIMIT"
    )


def test_the_planner_takes_the_exact_way(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    """Among few rows it sorts them all: nothing is lost, and nothing is claimed, of code that searches alike neither."""
    prepare(database, "CREATE EXTENSION vector", table("small"), "DELETE FROM small WHERE id > 1000")
    connection = database.connect()
    text = SEARCH.format("small")
    plan = connection.execute(f"EXPLAIN {text.replace('%s', '7', 1).replace('%s', repr(QUERY))}".encode()).fetchall()
    assert not any("small_ann" in row[0] for row in plan)
    assert len(send(connection, text, [(7, QUERY)] * 3)) == 30

    probe = text.replace("SELECT id", "SELECT id, live")
    code = repository({"probe.py": f'import psycopg\ndef f(c, v):\n    c.execute("{probe}", v)\n'})
    assert examine(database, FILTERED, code, limits={"vector_rows": 100}).outcome is Outcome.PASSED


def test_a_function_that_filters_documents(database: Database) -> None:
    """LIMIT by an argument, the filter a document: what is kept is not known, and it is said so."""
    body = """RETURNS TABLE (id int) LANGUAGE sql STABLE {} AS $$
        SELECT d.id FROM docs d WHERE d.metadata @> filter ORDER BY d.embedding <=> q LIMIT match_count $$"""
    arguments = "(q vector, match_count int DEFAULT 5, filter jsonb DEFAULT '{}')"
    prepare(
        database,
        "CREATE EXTENSION vector",
        table("docs"),
        f"CREATE FUNCTION match_docs{arguments} {body.format('')}",
        f"CREATE FUNCTION match_deep{arguments} {body.format('SET hnsw.iterative_scan = strict_order')}",
    )

    (found,) = examine(database, FILTERED, limits=LIMITS).findings

    assert found.severity is Severity.MEDIUM
    assert found.confidence is Confidence.INFERRED
    assert found.title == (
        "A search of public.docs.embedding filters by metadata after the index gave 40 rows, where the planner takes it"
    )
    assert [subject.name for subject in found.related if subject.kind == "function"] == [
        "public.match_docs(q public.vector, match_count integer, filter jsonb)"
    ]


def test_more_rows_than_the_index_looks_at(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    prepare(
        database,
        "CREATE EXTENSION vector",
        table("wide")
        + table("narrow")
        + table("cut")
        + table("listed", "USING ivfflat (embedding vector_cosine_ops) WITH (lists = 30)"),
    )
    force(database)
    connection = database.connect()
    search = "SELECT id FROM {0} ORDER BY embedding <=> %s::vector LIMIT {1}"
    assert len(send(connection, search.format("wide", 100), [(QUERY,)])) == 40
    send(connection, search.format("narrow", 20), [(QUERY,)])
    send(connection, search.format("cut", 90), [(QUERY,)] * 3)
    assert len(send(connection, search.format("listed", 4000), [(QUERY,)])) < 4000
    code = repository(
        {
            "search.py": "import psycopg\n"
            f"def wide(c, q):\n    c.execute('{search.format('wide', 100)}', (q,))\n"
            f"def narrow(c, q):\n    c.execute('{search.format('narrow', 20)}', (q,))\n"
            f"def listed(c, q):\n    c.execute('{search.format('listed', 4000)}', (q,))\n"
        }
    )

    result = examine(database, BREADTH, code, limits=LIMITS)

    found = {(each.subject.path[1], each.discriminator): each for each in result.findings}
    # Nobody knows the LIMIT of `cut`, but each call returned exactly what the index looks at.
    # The lists of `listed` are drawn by chance: one that holds far more rows than the others lets nothing be said of its LIMIT.
    certain = {("wide", "limit"), ("cut", "limit"), ("listed", "probes")}
    assert certain <= set(found) <= certain | {("listed", "limit")}
    wide = found["wide", "limit"]
    assert (wide.observed["limit"], wide.observed["breadth"], wide.observed["returned_rows"]) == (100, 40, 40)
    assert wide.title == (
        "A search of public.wide.embedding asks for 100 rows, and hnsw.ef_search = 40 gives no more than that (search.py:3)"
    )
    assert wide.fix.sql == "SET LOCAL hnsw.ef_search = 200;"
    assert wide.severity is Severity.HIGH
    assert found["listed", "probes"].title == (
        "Searches of public.listed.embedding look into 1 of 30 lists (ivfflat.probes, the default) (search.py:7)"
    )


def test_breadth_by_role(database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]) -> None:
    """ALTER ROLE in this database gives one role more; the other is cut."""
    name = database.name
    prepare(
        database,
        "CREATE EXTENSION vector",
        table("wide"),
        f"CREATE ROLE {name}_app LOGIN; GRANT SELECT ON wide TO {name}_app;"
        f"ALTER ROLE {name}_app IN DATABASE {name} SET hnsw.ef_search = 200",
    )
    force(database)
    search = "SELECT id FROM wide ORDER BY embedding <=> %s::vector LIMIT 100"
    try:
        with database.connect(user=f"{name}_app") as connection:
            assert len(send(connection, search, [(QUERY,)])) == 100
        code = repository({"a.py": f"import psycopg\ndef f(c, q):\n    c.execute('{search}', (q,))\n"})

        assert examine(database, BREADTH, code, limits=LIMITS).outcome is Outcome.PASSED
    finally:
        database.execute(f"DROP OWNED BY {name}_app; DROP ROLE {name}_app")


def test_without_vectors(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    evidence = survey(database)

    for check in (FILTERED, BREADTH):
        assert conclude(evidence, check).outcome is Outcome.NOT_APPLICABLE
