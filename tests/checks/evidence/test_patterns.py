from __future__ import annotations

import datetime as dt
import time

import pytest

from checks.evidence.database.facts import Catalog, Column, Statement, Statements, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern, ColumnRef, Comparison, OrderKey, read_pattern, workload
from checks.evidence.repository.facts import CodeStatement, Match, Repository
from checks.model import Location

USERS, ORDERS, CHUNKS, DOCUMENTS, JOBS, OTHER_JOBS = 1, 2, 3, 4, 5, 6


def table(oid: int, schema: str, name: str, columns: dict[str, str]) -> tuple[Table, list[Column]]:
    return Table(oid, schema, name, "table", "owner"), [
        Column(oid, number, column, type, type) for number, (column, type) in enumerate(columns.items(), 1)
    ]


RELATIONS = [
    table(
        USERS,
        "public",
        "users",
        {"id": "uuid", "email": "text", "metadata": "jsonb", "tags": "_text", "active": "bool"},
    ),
    table(ORDERS, "public", "orders", {"id": "int8", "user_id": "uuid", "status": "text", "created_at": "timestamptz"}),
    table(CHUNKS, "public", "chunks", {"id": "int8", "document_id": "int8", "embedding": "vector", "body": "text"}),
    table(DOCUMENTS, "public", "documents", {"id": "int8", "title": "text"}),
    table(JOBS, "queue", "jobs", {"id": "int8", "state": "text"}),
    table(OTHER_JOBS, "archive", "old", {"id": "int8"}),
    table(7, "tenant", "old", {"id": "int8"}),
]
EMBEDDING = ColumnRef(CHUNKS, "embedding")
CATALOG = Catalog(
    tables=tuple(relation for relation, _ in RELATIONS),
    columns=tuple(column for _, columns in RELATIONS for column in columns),
)


def read(sql: str) -> AccessPattern:
    pattern = read_pattern(sql, CATALOG)
    assert pattern is not None
    return pattern


def compared(sql: str) -> list[Comparison]:
    return list(read(sql).comparisons)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("email = $1", Comparison(ColumnRef(USERS, "email"), "=")),
        ("$1 < id", Comparison(ColumnRef(USERS, "id"), ">")),
        ("u.metadata->>'status' = $1", Comparison(ColumnRef(USERS, "metadata"), "=", None, "->>", "status")),
        ("metadata->>$1 = $2", Comparison(ColumnRef(USERS, "metadata"), "=", None, "->>", "$1")),
        ("metadata->'a'->>'b' = $1", Comparison(ColumnRef(USERS, "metadata"), "=", None, "->>", "a.b")),
        ("metadata #>> '{a,b}' = $1", Comparison(ColumnRef(USERS, "metadata"), "=", None, "#>>", "a.b")),
        ("metadata['a'] = $1", Comparison(ColumnRef(USERS, "metadata"), "=", None, "[]", "a")),
        ("(metadata->>'age')::int > $1", Comparison(ColumnRef(USERS, "metadata"), ">", "::int4", "->>", "age")),
        ("metadata @> $1", Comparison(ColumnRef(USERS, "metadata"), "@>")),
        ("metadata ? 'k'", Comparison(ColumnRef(USERS, "metadata"), "?", None, None, "k")),
        ("lower(email) = $1", Comparison(ColumnRef(USERS, "email"), "=", "lower")),
        ("id::text = $1", Comparison(ColumnRef(USERS, "id"), "=", "::text")),
        ("id::uuid = $1", Comparison(ColumnRef(USERS, "id"), "=")),
        ("id IN ($1 /*, ... */)", Comparison(ColumnRef(USERS, "id"), "in")),
        ("id = ANY ($1)", Comparison(ColumnRef(USERS, "id"), "in")),
        ("id <> ALL ($1)", Comparison(ColumnRef(USERS, "id"), "not in")),
        ("$1 = ANY (tags)", Comparison(ColumnRef(USERS, "tags"), "any")),
        ("email LIKE '%x'", Comparison(ColumnRef(USERS, "email"), "like", leading_wildcard=True)),
        ("email ILIKE 'x%'", Comparison(ColumnRef(USERS, "email"), "ilike", leading_wildcard=False)),
        ("email NOT LIKE $1", Comparison(ColumnRef(USERS, "email"), "not like")),
        ("email BETWEEN $1 AND $2", Comparison(ColumnRef(USERS, "email"), "between")),
        ("email IS NULL", Comparison(ColumnRef(USERS, "email"), "is null")),
        ("email IS NOT DISTINCT FROM $1", Comparison(ColumnRef(USERS, "email"), "is not distinct from")),
        ("active", Comparison(ColumnRef(USERS, "active"), "is true")),
        ("NOT active", Comparison(ColumnRef(USERS, "active"), "is false")),
        ("coalesce(email, $1) = $2", Comparison(ColumnRef(USERS, "email"), "=", "coalesce")),
    ],
)  # fmt: skip
def test_one_comparison(condition: str, expected: Comparison) -> None:
    assert compared(f"select 1 from users u where {condition}") == [expected]


def test_or_reaches_its_own_arms_only() -> None:
    found = {
        (entry.column.column, entry.under_or)
        for entry in compared("select 1 from users where id = $1 and (email = $2 or active)")
    }
    assert found == {("id", False), ("email", True), ("active", True)}


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 from orders o join users u on u.id = o.user_id",
        "select 1 from orders o, users u where u.id = o.user_id",
        "update orders set status = $1 from users u where u.id = user_id",
        "delete from orders using users u where u.id = user_id",
        "select 1 from orders o where exists (select 1 from users where users.id = o.user_id)",
        "select 1 from orders o left join lateral (select 1 from users where id = o.user_id) x on true",
    ],
)
def test_a_join_stands_once_for_each_column(sql: str) -> None:
    sides = {(entry.column, entry.other) for entry in compared(sql)}
    assert sides == {
        (ColumnRef(USERS, "id"), ColumnRef(ORDERS, "user_id")),
        (ColumnRef(ORDERS, "user_id"), ColumnRef(USERS, "id")),
    }


def test_names_are_resolved_as_the_server_would() -> None:
    assert read("select 1 from jobs").tables == (JOBS,)
    assert read("select 1 from queue.jobs").tables == (JOBS,)
    assert read("select 1 from old").tables == ()
    assert read("select 1 from old").unresolved == ("old",)
    assert read("select 1 from tenant.old").tables == (7,)
    assert read("with users as (select * from orders) select * from users").tables == (ORDERS,)
    assert read("select 1 from pg_class, pg_catalog.pg_am").unresolved == ()
    assert read("select 1 from generate_series(1, 2) g where g.id = $1").tables == ()
    assert set(read("select 1 from users union all select 1 from orders").tables) == {USERS, ORDERS}
    assert read("insert into orders (id, status) select id, state from jobs").tables == (ORDERS, JOBS)


def test_ambiguous_columns_are_not_guessed() -> None:
    assert compared("select 1 from orders, jobs where id = $1") in ([], [Comparison(ColumnRef(ORDERS, "id"), "=")])
    assert compared("select 1 from users join orders on true where status = $1") == [
        Comparison(ColumnRef(ORDERS, "status"), "=")
    ]


@pytest.mark.parametrize(
    ("sql", "stars"),
    [
        ("select * from users", (USERS,)),
        ("select u.*, o.id from users u join orders o on true", (USERS,)),
        ("select * from users join orders on true", (USERS, ORDERS)),
        ("select * from (select * from users) s", (USERS,)),
        ("with x as (select * from users) select * from x", (USERS,)),
        ("select * from (select id, email from users) s", ()),
        ("select count(*) from users", ()),
        ("select exists (select * from users)", ()),
        ("select id from users where id in (select id from users)", ()),
        ("insert into users values ($1) returning *", ()),
    ],
)
def test_stars(sql: str, stars: tuple[int, ...]) -> None:
    assert read(sql).stars == stars


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select id from chunks order by embedding <=> $1 limit $2", (EMBEDDING, False, "<=>", True)),
        ("select id, embedding <-> $1 as d from chunks order by d limit 5", (EMBEDDING, False, "<->", True)),
        ("select id from chunks order by $1::vector <#> embedding", (EMBEDDING, False, "<#>", True)),
        ("select 1 - (embedding <=> $1) as score from chunks order by score desc", (EMBEDDING, True, "<=>", False)),
        ("select id from chunks order by cosine_distance(embedding, $1)", (EMBEDDING, False, "<=>", False)),
        ("select * from (select embedding <+> $1 as d from chunks) s order by d", (EMBEDDING, False, "<+>", True)),
        ("select id from chunks order by 1 desc", (ColumnRef(CHUNKS, "id"), True, None, True)),
        ("select id from chunks order by lower(body)", (None, False, None, False)),
    ],
)  # fmt: skip
def test_order_keys(sql: str, expected: tuple[ColumnRef | None, bool, str | None, bool]) -> None:
    assert read(sql).order_by == (OrderKey(*expected),)


def test_distances_stand_wherever_they_are() -> None:
    nearest = (EMBEDDING, "<=>")
    assert read("select 1 from chunks where embedding <=> $1 < 0.5").distances == (nearest,)
    nested = read(
        "with n as (select id from chunks order by embedding <=> $1 limit 20) select * from n join documents using (id)"
    )
    assert nested.distances == (nearest,)
    assert nested.nested_order_by == ((OrderKey(nearest[0], False, "<=>", True), 20),)
    assert read("select 1 from chunks where l2_distance(embedding, $1) < 1").distances == ((nearest[0], "<->"),)


@pytest.mark.parametrize(
    ("clause", "limit", "offset"),
    [
        ("", None, None),
        ("limit 10 offset 20", 10, 20),
        ("limit $1 offset $2", 0, 0),
        ("limit all", None, None),
        ("fetch first 5 rows only", 5, None),
    ],
)
def test_limits(clause: str, limit: int | None, offset: int | None) -> None:
    pattern = read(f"select id from users {clause}")
    assert (pattern.limit, pattern.offset) == (limit, offset)


def test_writes() -> None:
    upsert = read("insert into orders (id, status) values ($1, $2) on conflict (id) do update set created_at = now()")
    assert upsert.verb == "insert"
    assert [ref.column for ref in upsert.written_columns] == ["id", "status", "created_at"]
    queue = read(
        "update jobs set state = $1 where id = (select id from jobs where state = $2 limit 1 for update skip locked)"
    )
    assert (queue.verb, queue.skip_locked) == ("update", True)
    merge = read("merge into orders o using users u on u.id = o.user_id when matched then update set status = $1")
    assert (merge.verb, set(merge.tables)) == ("merge", {ORDERS, USERS})
    assert read("begin").verb == "other"


def test_a_name_that_only_its_own_subquery_gives() -> None:
    pattern = read_pattern("DELETE FROM users a USING (SELECT gone FROM users) b WHERE a.id = b.gone", CATALOG)
    assert pattern is not None
    assert [entry.column for entry in pattern.comparisons] == [ColumnRef(USERS, "id")]


def test_what_cannot_be_parsed_has_no_pattern() -> None:
    assert read_pattern("select from where", CATALOG) is None
    assert read_pattern("<insufficient privilege>", CATALOG) is None


def test_without_a_catalog_names_stay_unresolved() -> None:
    pattern = read_pattern("select id from things where name = $1", None)
    assert pattern is not None
    assert pattern.unresolved == ("things",)
    assert pattern.comparisons == (Comparison(ColumnRef(None, "name"), "="),)


def evidence(statements: tuple[Statement, ...], repository: Repository) -> Evidence:
    return Evidence(
        tool_version="test",
        observed_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        catalog=CATALOG,
        statements=Statements("1.12", None, 0, 0, statements),
        repository=repository,
    )


def test_the_workload_is_what_ran_then_what_is_only_written() -> None:
    ran = Statement("11", "select id from users where email = $1", 5, 1.0, 0.2, 5)
    here, there, elsewhere = Location("a.py", 1), Location("b.py", 2), Location("c.py", 3)
    code = (
        CodeStatement(here, "python", "SELECT id FROM users WHERE email = $1"),
        CodeStatement(there, "python", "SELECT id FROM orders LIMIT $1", limit=50),
        CodeStatement(elsewhere, "python", "SELECT id FROM orders LIMIT $1", limit=50),
    )
    seen = evidence((ran,), Repository("app", statements=code, matches=(Match("11", here, "text"),)))
    patterns = workload(seen)
    assert [(entry.query_id, entry.locations, entry.limit) for entry in patterns] == [
        ("11", (here,), None),
        (None, (there, elsewhere), 50),
    ]
    assert workload(seen) is patterns


def test_a_large_workload_takes_seconds() -> None:
    statements = tuple(
        Statement(str(number), f"select id, email, {number} from users u join orders o on o.user_id = u.id where u.email = $1 "
                  "and o.status in ($2 /*, ... */) order by o.created_at desc limit $3", 1, 1.0, 1.0, 1)
        for number in range(5_000)
    )  # fmt: skip
    started = time.process_time()
    assert len(workload(evidence(statements, Repository("app")))) == 5_000
    assert time.process_time() - started < 10
