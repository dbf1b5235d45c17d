from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.evidence.sql import mask_literals, normalize, parse, parse_tolerantly, split_statements
from checks.evidence.tokens import tokens

FRAGMENTS = st.sampled_from(
    [
        "select ",
        " from ",
        "'",
        "''",
        "E'",
        "\\",
        "$$",
        "$tag$",
        "$1",
        '"',
        "--",
        "\n",
        "/*",
        "*/",
        "->>",
        "?",
        "'key'",
        "0x1F",
        "1.5e3",
        ".5",
        "(",
        ")",
        ",",
        ";",
        "x",
        "é",
        " ",
        "U&'",
        "B'01'",
        "#>>",
        "'{a,b}'",
        "::",
        ":name",
        "%s",
        "\x00",
    ]
)
NASTY_SQL = st.lists(FRAGMENTS, max_size=40).map("".join) | st.text(max_size=200)


@given(NASTY_SQL)
def test_tokens_joined_are_the_text(sql: str) -> None:
    assert "".join(token.text for token in tokens(sql)) == sql


@given(NASTY_SQL)
def test_masking_twice_changes_nothing(sql: str) -> None:
    once = mask_literals(sql)
    assert mask_literals(once) == once


@given(
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="'\\\x00$"), max_size=30),
    st.sampled_from(["'{}'", "E'{}'", "U&'{}'", "$${}$$", "$body${}$body$", "N'{}'", "-- {}\n 1", "/* {} */ 1"]),
    st.sampled_from(["select {}", "select * from t where a = {} and b = 1", "insert into t values (1, {}, 'x')"]),
)
def test_no_literal_survives(content: str, quoting: str, statement: str) -> None:
    secret = "s3cr3t_" + content.replace("\n", " ").replace("\r", " ").replace("*/", "").replace("/*", "")
    masked = mask_literals(statement.format("(" + quoting.replace("{}", secret) + "\n)"))
    assert "s3cr3t_" not in masked


@pytest.mark.parametrize(
    ("sql", "masked"),
    [
        ("select 1, 'a''b', E'it\\'s', $$x$$, B'01', -2.5e3", "select $1, $2, $3, $4, $5, -$6"),
        ("select $3 where a = 'x'", "select $3 where a = $4"),
        ("select 'a'\n  'b'", "select $1"),
        ("select a1, \"1\", t.b2 from t1", 'select a1, "1", t.b2 from t1'),
        ("m->>'status' = 'open' and m ? 'k-1' and m #>> '{a,b}' = 'x'", "m->>'status' = $1 and m ? 'k-1' and m #>> '{a,b}' = $2"),
        ("m->>'a secret!' = 'x' and m @> '{\"a\": 1}'", "m->>$1 = $2 and m @> $3"),
        ("select 'never ends", "select $1"),
        ("select /* 'a' */ 1 -- 'b'", "select   $1"),
        ("select f(a, 1), 2 from t where b in (3) group by 1, 2 order by 2 desc, c + 1 limit 5",
         "select f(a, $1), $2 from t where b in ( $3) group by 1, 2 order by 2 desc, c + $4 limit $5"),
        ("select 1 from t order by 1.5, 4711, '1', (2), 3 + 1", "select $1 from t order by $2, $3, $4, ( $5), $6 + $7"),
    ],
)  # fmt: skip
def test_masking(sql: str, masked: str) -> None:
    assert mask_literals(sql) == masked


def test_json_keys_are_masked_on_request() -> None:
    assert mask_literals("m->>'status'", keep_json_keys=False) == "m->>$1"


@pytest.mark.parametrize(
    ("code", "server"),
    [
        ("SELECT * FROM Users WHERE id = $1;", "select * from users where id = $1"),
        ("select a from t where b IN ($1, $2, $3)", "select a from t where b in ($1 /*, ... */)"),
        ("select a from t where b = 'x' -- why\n and c = -1", "select a from t where b = $1 and c = $2"),
        ('select "id" from "order" where "Name" = true', 'select id from "order" where "Name" = $1'),
        ("select array[1,2]", "select ARRAY[$1 /*, ... */]"),
        ("update t set a = null, b = false where c is not null", "update t set a = $1, b = $2 where c is not null"),
        ("select a - 1, a -1, (-1)", "select a - $1, a -$2, ($3)"),
        ("select m ->> 'k' from t", "select m->>$1 from t"),
    ],
)
def test_normalised_texts_are_equal(code: str, server: str) -> None:
    assert normalize(code) == normalize(server)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select a from t", "select b from t"),
        ("select a from t where b is null", "select a from t where b is not null"),
        ('select "A" from t', "select a from t"),
        ("select a - 1", "select a + 1"),
    ],
)
def test_different_statements_stay_different(one: str, other: str) -> None:
    assert normalize(one) != normalize(other)


def test_normalised_text_equals_what_the_server_recorded(database) -> None:  # type: ignore[no-untyped-def]
    statements = [
        "SELECT  t.id, t.Name FROM things t WHERE t.id IN (1, 2, 3) AND t.name LIKE 'x%' -- comment",
        "select count(*) from things where created_at > now() - interval '1 day' and name is not null",
        "INSERT INTO things (id, name, meta) VALUES (-7, 'O''Reilly', '{\"a\": 1}')",
        "UPDATE things SET name = NULL, meta = meta || '{}' WHERE meta ->> 'status' = 'open' AND id = ANY(ARRAY[1, 2])",
        "DELETE FROM things WHERE id = -7 OR (meta ? 'gone') = true",
        "select id from things order by 1 limit 10 offset 5",
    ]
    with database.connect() as connection:
        connection.execute("create extension pg_stat_statements")
        connection.execute("create table things (id int, name text, meta jsonb, created_at timestamptz)")
        for statement in statements:
            connection.execute(statement)
        rows = connection.execute(
            "select query from pg_stat_statements where dbid = (select oid from pg_database where datname = current_database())"
        ).fetchall()
    recorded = {normalize(query) for (query,) in rows}
    assert [statement for statement in statements if normalize(mask_literals(statement)) not in recorded] == []
    assert all(parse_tolerantly(query) is not None for (query,) in rows)


def test_scripts_are_split_with_their_lines() -> None:
    script = (
        "\\set x 'half\n-- a comment;\nCREATE TABLE a (b int);\n\nCOPY a FROM stdin;\n1';\n\\.\n"
        "create function f() returns int language sql begin atomic select 1; select case when true then 1 end; end;\n"
        "create function g() returns int as $$ select 1; $$ language sql;;\nselect 2"
    )
    found = split_statements(script)
    assert [(text.split("(")[0][:20], line) for text, line in found] == [
        ("CREATE TABLE a ", 3),
        ("COPY a FROM stdin", 5),
        ("create function f", 8),
        ("create function g", 9),
        ("select 2", 10),
    ]


def test_an_open_parenthesis_does_not_swallow_the_rest() -> None:
    assert [text for text, _ in split_statements("select (;\nselect 2;\nselect 3")] == [
        "select (",
        "select 2",
        "select 3",
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "select " + "(" * 10_000 + "1" + ")" * 10_000,
        "select " + "(" * 10_000,
        "select " + "not " * 10_000 + "true",
        "select 1" + "+1" * 90_000,
        "select 1" + "::int" * 30_000,
        "select 1" + " union select 1" * 10_000,
        "select 1 from a" + " join b on true" * 10_000,
        "select * from " + "(select * from " * 5_000 + "x" + ") a" * 5_000,
        "select " + "array[" * 5_000,
        "select " + "case when a then " * 5_000,
        "(;" * 50_000,
        "'" * 99_999,
        "/*" * 50_000,
        "$a$" * 30_000 + "$b$",
    ],
    ids=lambda sql: sql[7:30],
)
def test_depth_and_length_never_crash_or_hang(sql: str) -> None:
    started = time.process_time()
    parse(sql)
    parse_tolerantly(sql)
    mask_literals(sql)
    normalize(sql)
    split_statements(sql)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "sql",
    [
        "select a from $1 where b = $2",
        "select a from t $1 order by b",
        "update t set $1 where id = $2",
        "insert into t ($1) values ($2)",
        "select * from t where a = $1 $2 order by b",
    ],
)
def test_parameters_where_the_grammar_has_none_are_read(sql: str) -> None:
    assert parse(sql) is None
    assert parse_tolerantly(sql) is not None


@pytest.mark.parametrize(
    "sql", ["select interval $1", "select extract($1 from at) from t", "select a from t limit $1 for update"]
)
def test_what_pg_stat_statements_makes_of_constants_is_read(sql: str) -> None:
    assert parse(sql) is not None


def test_nonsense_is_not_read() -> None:
    assert parse_tolerantly("select a file or a folder to open, please") is None
