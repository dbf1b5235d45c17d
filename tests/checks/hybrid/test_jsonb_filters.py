from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Confidence, Severity
from tests.checks.survey import examine
from tests.checks.workload import prepare, send
from tests.servers import Database

NAME = "hybrid.jsonb-filter-without-index"
LIMITS = {"seq_scan_rows": 1000}


def table(name: str) -> str:
    return f"""
        CREATE TABLE {name} (id int PRIMARY KEY, tenant_id int, metadata jsonb NOT NULL);
        INSERT INTO {name} SELECT i, i % 500, jsonb_build_object('kind', 'k' || i % 100, 'n', i)
        FROM generate_series(1, 3000) i;
    """


def by_key(name: str) -> str:
    return f"SELECT id FROM {name} WHERE metadata ->> 'kind' = %s"


def containing(name: str) -> str:
    return f"SELECT id FROM {name} WHERE metadata @> %s::jsonb"


def test_what_each_kind_of_index_serves(database: Database) -> None:
    prepare(
        database,
        *(table(name) for name in ("bare", "gin", "paths", "keyed", "other_key", "tenants")),
        "CREATE INDEX ON gin USING gin (metadata)",
        "CREATE INDEX ON paths USING gin (metadata jsonb_path_ops)",
        "CREATE INDEX ON keyed ((metadata ->> 'kind'))",
        "CREATE INDEX ON tenants (tenant_id)",
    )
    connection = database.connect()
    for name in ("bare", "gin", "paths"):
        send(connection, containing(name), [('{"kind": "k1"}',)] * 12)
        send(connection, f"SELECT id FROM {name} WHERE jsonb_exists(metadata, 'kind') AND metadata ? 'kind'", [()] * 12)
    for name in ("gin", "keyed"):
        send(connection, by_key(name), [("k1",)] * 12)
    send(connection, "SELECT id FROM tenants WHERE tenant_id = %s AND metadata ->> 'kind' = %s", [(3, "k1")] * 12)
    send(connection, "SELECT metadata ->> 'kind' FROM other_key WHERE id = %s", [(1,)] * 12)

    result = examine(database, NAME, limits=LIMITS)

    found = {(entry.subject.name, tuple(entry.observed["operators"])): entry for entry in result.findings}
    assert set(found) == {
        ("public.bare.metadata", ("?", "@>")),
        ("public.gin.metadata", ("=",)),
    }
    bare = found["public.bare.metadata", ("?", "@>")]
    assert bare.fix.sql is not None
    assert "USING gin (metadata);" in bare.fix.sql
    assert found["public.gin.metadata", ("=",)].observed["calls"] == 12
    assert {entry.severity for entry in found.values()} == {Severity.MEDIUM}
    assert {entry.confidence for entry in found.values()} == {Confidence.MEASURED}


def test_small_tables_need_no_index(database: Database) -> None:
    prepare(database, table("bare"))
    send(database.connect(), containing("bare"), [('{"kind": "k1"}',)] * 12)

    assert examine(database, NAME).findings == ()


def test_several_keys_of_one_statement(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    """One cause, one finding; a key that another statement compares alone has its own."""
    prepare(database, table("bare"), table("apart"))
    both = "SELECT id FROM {} WHERE metadata ->> 'kind' = %s AND metadata ->> 'n' = %s"
    code = repository(
        {
            "a.py": f'import psycopg\ndef f(c, v):\n    c.execute("{both.format("bare")}", v)\n'
            f'def g(c, v):\n    c.execute("{both.format("apart")}", v)\n'
            f'def h(c, v):\n    c.execute("{by_key("apart")}", v)\n'
        }
    )

    result = examine(database, NAME, code, limits=LIMITS)

    assert sorted((entry.subject.name, tuple(entry.observed["keys"])) for entry in result.findings) == [
        ("public.apart.metadata", ("kind",)),
        ("public.apart.metadata", ("n",)),
        ("public.bare.metadata", ("kind", "n")),
    ]
    (bare,) = (entry for entry in result.findings if entry.subject.name == "public.bare.metadata")
    assert bare.title == (
        "A statement filters 3,000 rows by public.bare.metadata ->> 'kind' = and 1 more key, which no index serves (a.py:3)"
    )
    database.execute(*(bare.fix.sql or "").split("; "))


def test_keys_that_rows_are_sorted_by(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    """The few largest of all rows by a key, with an index in that order, with a hash, and where a filter comes first."""
    prepare(
        database,
        *(table(name) for name in ("bare", "ordered", "hashed", "as_text", "alone")),
        "CREATE INDEX ON ordered (((metadata ->> 'n')::int))",
        "CREATE INDEX ON hashed USING hash (((metadata ->> 'n')::int))",
        "CREATE INDEX ON as_text ((metadata ->> 'n'))",
    )
    key = "(metadata ->> 'n')::int"
    statements = [
        f"SELECT id FROM {name} ORDER BY {key} DESC LIMIT 10" for name in ("bare", "ordered", "hashed", "as_text")
    ]
    statements += [
        "SELECT id FROM as_text ORDER BY metadata ->> 'n' LIMIT 10",
        f"SELECT id FROM alone ORDER BY {key}",
        f"SELECT id FROM alone ORDER BY id, {key} LIMIT 10",
        f"SELECT id FROM alone WHERE tenant_id = 3 ORDER BY {key} LIMIT 10",
        f"SELECT {key}, count(*) FROM alone GROUP BY {key} ORDER BY {key} LIMIT 10",
    ]
    code = repository(
        {
            "a.py": "import psycopg\n"
            + "".join(f'def f{n}(c):\n    c.execute("{text}")\n' for n, text in enumerate(statements))
        }
    )
    connection = database.connect()
    for statement in statements:
        send(connection, statement, [()] * 12)

    result = examine(database, NAME, code, limits=LIMITS)

    assert {entry.subject.name: entry.title for entry in result.findings} == {
        f"public.{name}.metadata": f"A statement sorts 3,000 rows by public.{name}.metadata ->> 'n', which no index serves "
        f"(a.py:{line})"
        for name, line in (("bare", 3), ("hashed", 7), ("as_text", 9))
    }
    for entry in result.findings:
        create = (entry.fix.sql or "").partition(";")[0].replace("CONCURRENTLY ", "")
        database.execute(create)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statements[0]}".encode())
        assert "Index Scan" in str(cursor.fetchall())
