from __future__ import annotations

import psycopg
import pytest

from checks.model import Severity
from tests.checks.survey import examine, finding, names
from tests.checks.workload import prepare, send
from tests.servers import Database

NAME = "hybrid.filtered-search-loses-rows"
TENANT = "tenant_id = current_setting('app.tenant')::int"


def table(name: str, policy: str = "") -> str:
    """12,000 rows of a hundred tenants, with an HNSW index."""
    return (
        f"CREATE TABLE {name} (id int PRIMARY KEY, tenant_id int, embedding vector(4));"
        f"INSERT INTO {name} SELECT i, i % 100, ARRAY[hashint4(i), hashint4(-i), hashint4(7 * i), i]::vector"
        f" FROM generate_series(1, 12000) i; CREATE INDEX {name}_ann ON {name} USING hnsw (embedding vector_cosine_ops);"
        f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY; {policy.format(name)}"
    )


@pytest.mark.vector((0, 8))
def test_policies_are_filters(database: Database) -> None:
    """What a role may see is left of what the index gave; for its owner, or without a condition, all of it is."""
    role = f"app_{database.name}"
    own, everybody = f"CREATE POLICY own ON {{0}} USING ({TENANT});", "CREATE POLICY everybody ON {0} USING (true);"
    prepare(
        database,
        "CREATE EXTENSION vector",
        f"CREATE ROLE {role} LOGIN",
        table("chunks", own),
        table("public_chunks", everybody),
        table("either", own + everybody),
        table("restricted", everybody + f"CREATE POLICY own ON {{0}} AS RESTRICTIVE USING ({TENANT});"),
        table("owned", own),
        table("indexed", own + "CREATE INDEX ON {0} (tenant_id);"),
        table("written", f"CREATE POLICY own ON {{0}} FOR INSERT WITH CHECK ({TENANT});" + everybody),
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    )
    try:
        for setting in ("seqscan", "sort", "bitmapscan"):
            database.execute(f"ALTER ROLE {role} SET enable_{setting} = off")
        search = "SELECT id FROM {0} ORDER BY embedding <=> %s::vector LIMIT 10"
        with psycopg.connect(f"{database.dsn} user={role}", autocommit=True) as connection:
            connection.execute("SET app.tenant = '7'")
            returned = {
                name: len(send(connection, search.format(name), [("[1,2,3,4]",)]))
                for name in ("chunks", "public_chunks", "either", "restricted", "written", "indexed")
            }
        send(database.connect(), search.format("owned"), [("[1,2,3,4]",)])
        assert returned["chunks"] < 10 > returned["restricted"]
        assert returned["public_chunks"] == returned["either"] == returned["written"] == 10

        result = examine(database, NAME, limits={"vector_rows": 1000})
    finally:
        database.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")

    assert names(result) == {"public.chunks.embedding", "public.restricted.embedding"}
    found = finding(result, "public.chunks.embedding")
    assert found.title == (
        "A search of public.chunks.embedding filtered by tenant_id (policy own) finds about 0.4 rows for its LIMIT"
    )
    assert found.observed["policies"] == ["own"]
    assert found.severity is Severity.HIGH
