"""Planning must never run code of the target's own, wherever it hides.

The function below leaves a trace that no rollback takes back (nextval), and is declared so that the planner folds it.
"""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
import pytest
from _pytest.mark import ParameterSet

from checks.evidence.database.dsn import understand
from checks.evidence.database.observe import observe_database
from checks.evidence.database.session import Session
from checks.evidence.database.user_code import UserCode, observe_user_code
from checks.model import Reason
from tests.servers import Database

TRAP = """
    CREATE SEQUENCE trace;
    CREATE FUNCTION trap(text) RETURNS text LANGUAGE plpgsql {volatility} AS $$
        BEGIN PERFORM nextval('public.trace'); RETURN $1; END $$;
"""

# What is made, and the statement that leads to the trap. Each of them runs it when the server plans the statement.
WAYS = {
    "function": ("CREATE TABLE t (a text)", "SELECT * FROM t WHERE a = trap('x')"),
    "qualified function": ("CREATE TABLE t (a text)", 'SELECT * FROM t WHERE a = "public" . /* x */ "trap" (\'x\')'),
    "view": ("CREATE TABLE t (a text); CREATE VIEW v AS SELECT * FROM t WHERE a = trap('x')", "SELECT * FROM v"),
    "view on a view": (
        "CREATE TABLE t (a text); CREATE VIEW w AS SELECT * FROM t WHERE a = trap('x'); CREATE VIEW v AS SELECT * FROM w",
        "SELECT count(*) FROM v",
    ),
    "rule": (
        "CREATE TABLE t (a text); CREATE TABLE u (a text);"
        "CREATE RULE r AS ON UPDATE TO t DO ALSO DELETE FROM u WHERE a = trap('x')",
        "UPDATE t SET a = 'y'",
    ),
    "check constraint": (
        "CREATE TABLE parent (a text); CREATE TABLE t (CHECK (a <> trap('x'))) INHERITS (parent)",
        "SELECT * FROM parent WHERE a = 'y'",
    ),
    "index predicate": (
        "CREATE TABLE t (a text); CREATE INDEX ON t (a) WHERE a <> trap('x')",
        "SELECT * FROM t WHERE a = 'y'",
    ),
    "index expression": (
        "CREATE TABLE t (a text); CREATE INDEX ON t ((a || trap('x')))",
        "SELECT * FROM t WHERE a = 'y'",
    ),
    "extended statistics": (
        "CREATE TABLE t (a text); CREATE STATISTICS s ON (a || trap('x')) FROM t; INSERT INTO t VALUES ('a'); ANALYZE t",
        "SELECT count(*) FROM t GROUP BY a || 'x'",
    ),
    "default": ("CREATE TABLE t (a text DEFAULT trap('x'), b text)", "INSERT INTO t (b) VALUES ('x')"),
    "generated column": (
        "CREATE TABLE t (b text, a text GENERATED ALWAYS AS (trap('x') || b) STORED)",
        "UPDATE t SET b = 'y'",
    ),
    "operator": (
        "CREATE TABLE t (a text); CREATE FUNCTION tee(text, text) RETURNS bool LANGUAGE plpgsql {volatility} AS "
        "$$BEGIN PERFORM trap($1); RETURN true; END$$; CREATE OPERATOR === (FUNCTION = tee, LEFTARG = text, RIGHTARG = text)",
        "SELECT * FROM t WHERE 'a'::text === 'b'::text",
    ),
    "operator in a view": (
        "CREATE TABLE t (a text); CREATE FUNCTION tee(text, text) RETURNS bool LANGUAGE plpgsql {volatility} AS "
        "$$BEGIN PERFORM trap($1); RETURN true; END$$; CREATE OPERATOR === (FUNCTION = tee, LEFTARG = text, RIGHTARG = text);"
        "CREATE VIEW v AS SELECT * FROM t WHERE 'a'::text === 'b'::text",
        "SELECT * FROM v",
    ),
    "implicit cast": (
        "CREATE TYPE pair AS (a text); CREATE TABLE t (a text); CREATE FUNCTION pair_text(pair) RETURNS text "
        "LANGUAGE plpgsql {volatility} AS $$BEGIN RETURN trap('x'); END$$;"
        "CREATE CAST (pair AS text) WITH FUNCTION pair_text(pair) AS IMPLICIT",
        "SELECT * FROM t WHERE a = (ROW('x')::pair)::text",
    ),
    "cast between PostgreSQL's own types": (
        "CREATE TABLE t (a int); CREATE FUNCTION to_int(box) RETURNS int LANGUAGE plpgsql {volatility} AS "
        "$$BEGIN PERFORM trap('x'); RETURN 1; END$$; CREATE CAST (box AS int) WITH FUNCTION to_int(box) AS IMPLICIT",
        "SELECT * FROM t WHERE a = '(1,1),(0,0)'::box::int",
    ),
    "attribute notation": (
        "CREATE TYPE pair AS (a text); CREATE TABLE t (a text); CREATE FUNCTION whole(pair) RETURNS text "
        "LANGUAGE plpgsql {volatility} AS $$BEGIN RETURN trap('x'); END$$",
        "SELECT * FROM t WHERE a = (ROW('x')::pair).whole",
    ),
    "domain through JSON": (
        "CREATE DOMAIN d AS text CHECK (trap(VALUE) <> ''); CREATE TYPE pair AS (a d); CREATE TABLE t (a text)",
        'SELECT * FROM t WHERE a = (json_populate_record(NULL::pair, \'{"a": "x"}\')).a::text',
    ),
    "a type named in a string": (
        "CREATE DOMAIN d AS text CHECK (trap(VALUE) <> ''); CREATE TABLE t (a bool)",
        "SELECT * FROM t WHERE a = pg_input_is_valid('x', 'public.d')",
    ),
    "a type named in a view's string": (
        "CREATE DOMAIN d AS text CHECK (trap(VALUE) <> ''); CREATE TABLE t (a bool);"
        "CREATE VIEW v AS SELECT * FROM t WHERE a = pg_input_is_valid('x', 'public.d')",
        "SELECT * FROM v",
    ),
    "a view named in a string": (
        "CREATE VIEW v AS SELECT trap('x'); CREATE TABLE t (a text)",
        "SELECT * FROM t WHERE a = table_to_xml('public.v', true, false, '')::text",
    ),
    "foreign table": (
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE t (a text) SERVER s",
        "SELECT * FROM t",
    ),
}
# pg_input_is_valid() came with 16.
_SINCE_16 = {"a type named in a string", "a type named in a view's string"}
# Not folded on this server, or without libxml not there; still refused.
_NOT_RUN_HERE = {
    "default",
    "extended statistics",
    "foreign table",
    "generated column",
    "index expression",
    "rule",
    "a view named in a string",
}


def _trap(volatility: str) -> str:
    return TRAP.format(volatility=volatility)


def _traces(database: Database) -> int:
    with psycopg.connect(database.dsn) as connection:
        row = connection.execute("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM trace").fetchone()
    assert row is not None
    return int(row[0])


def _ways(ways: Iterable[str]) -> list[ParameterSet]:
    return [pytest.param(way, marks=[pytest.mark.since(16)] if way in _SINCE_16 else []) for way in ways]


def _rule(database: Database) -> UserCode:
    with Session(understand(database.dsn)) as session, session.transaction():
        return observe_user_code(session)


@pytest.mark.parametrize("way", _ways(WAYS))
def test_no_way_leads_to_user_code(database: Database, way: str) -> None:
    made, statement = WAYS[way]
    database.execute(
        "CREATE EXTENSION pg_stat_statements", _trap("IMMUTABLE"), made.replace("{volatility}", "IMMUTABLE")
    )
    before = _traces(database)
    evidence = observe_database(database.dsn, code=[statement])
    assert _traces(database) == before
    assert statement not in evidence.identified
    refusal = _rule(database).refusal(statement)
    assert refusal is not None
    assert refusal.reason == Reason.CALLS_USER_CODE
    assert refusal.unlock


@pytest.mark.parametrize("way", _ways(sorted(WAYS.keys() - _NOT_RUN_HERE)))
def test_each_way_is_a_real_one(database: Database, way: str) -> None:
    made, statement = WAYS[way]
    database.execute(_trap("IMMUTABLE"), made.replace("{volatility}", "IMMUTABLE"))
    before = _traces(database)
    with psycopg.connect(database.dsn) as connection:
        connection.execute(f"EXPLAIN {statement}".encode())
    assert _traces(database) > before


def test_row_security_counts_where_it_is_in_force(database: Database) -> None:
    database.execute(
        _trap("STABLE"),
        """CREATE TABLE t (a text); ALTER TABLE t ENABLE ROW LEVEL SECURITY;
        CREATE POLICY p ON t USING (a = trap('x')); CREATE VIEW v AS SELECT * FROM t;
        DROP ROLE IF EXISTS plain_reader; CREATE ROLE plain_reader LOGIN;
        GRANT SELECT ON t, v TO plain_reader;""",
    )
    try:
        assert _rule(database).refusal("SELECT * FROM t") is None
        assert _rule(database).refusal("SELECT * FROM v") is not None
        with Session(understand(database.server.dsn(database.name, "plain_reader"))) as session, session.transaction():
            assert observe_user_code(session).refusal("SELECT * FROM t") is not None
        assert _traces(database) == 0
    finally:
        database.execute("DROP OWNED BY plain_reader; DROP ROLE plain_reader")


@pytest.mark.vector
def test_what_leads_nowhere_is_planned(database: Database) -> None:
    database.execute(
        "CREATE EXTENSION vector; CREATE EXTENSION citext",
        _trap("IMMUTABLE"),
        """CREATE TABLE safe (id bigint PRIMARY KEY, a citext, v vector(3), n int DEFAULT 1 CHECK (n > 0));
        CREATE INDEX ON safe USING hnsw (v vector_l2_ops); CREATE INDEX ON safe (lower(a::text)) WHERE n > 5;
        CREATE TABLE child (id bigint REFERENCES safe, a text DEFAULT trap('x'));
        CREATE TABLE bad (id bigint PRIMARY KEY, a text CHECK (a <> trap('x')));
        CREATE TABLE refers (id bigint REFERENCES bad)""",
    )
    rule = _rule(database)
    for statement in (
        "SELECT * FROM safe WHERE a = $1 ORDER BY v <-> $2 LIMIT $3",
        "SELECT a FROM child WHERE id = $1",
        "UPDATE safe SET n = n + $1 WHERE id IN ($2 /*, ... */)",
        "WITH x AS (SELECT * FROM safe) SELECT count(*) FROM x",
        "SELECT * FROM refers WHERE id = $1;",
        "(SELECT id FROM safe) UNION ALL (SELECT id FROM child)",
    ):
        assert rule.refusal(statement) is None, statement
    assert rule.refusal("INSERT INTO child (id) VALUES ($1)") is not None
    assert rule.refusal("SELECT * FROM bad") is not None


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1; DROP TABLE t",
        "SELECT 1;; SELECT 2",
        "DROP TABLE t",
        "SELECT * INTO u FROM t",
        "WITH x AS (SELECT 1) MERGE INTO t USING x ON true WHEN MATCHED THEN DELETE",
        "SET ROLE postgres",
        "VALUES (1)",
        "BEGIN",
        "",
        "EXPLAIN ANALYZE SELECT 1",
        "SELECT E'a'\n'b\\'' ; DROP TABLE t; --'",
        'SELECT U&"d\\0061t\\+000061" FROM t',
        "SELECT '\x00'",
        f"SELECT {'a' * 64}(1)",
        "CALL p()",
        "SELECT /* ; */ 1 -- ;\n; DELETE FROM t",
    ],
)
def test_only_single_statements_are_planned(statement: str) -> None:
    nothing = UserCode(frozenset(), frozenset(), frozenset(), frozenset(), frozenset(), frozenset())
    refusal = nothing.refusal(statement)
    assert refusal is not None
    assert refusal.reason == Reason.NOT_PARSED


def test_names_are_found_however_they_are_written(database: Database) -> None:
    database.execute(
        """CREATE FUNCTION "Tr""ap ü"() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
        CREATE SCHEMA "s.[red]"; CREATE TABLE "s.[red]"."T;--" (a int CHECK (a <> "Tr""ap ü"()))"""
    )
    rule = _rule(database)
    assert rule.refusal('SELECT "Tr""ap ü" ()') is not None
    assert rule.refusal('SELECT * FROM "s.[red]"."T;--"') is not None
    assert rule.refusal("SELECT 'Tr\"ap ü'") is None


def test_an_extension_is_trusted_for_its_c_functions_only(database: Database) -> None:
    database.execute(
        "CREATE EXTENSION citext",
        _trap("IMMUTABLE"),
        "ALTER EXTENSION citext ADD FUNCTION trap(text); CREATE TABLE t (a text)",
    )
    assert _rule(database).refusal("SELECT * FROM t WHERE a = trap('x')") is not None
    assert _rule(database).refusal("SELECT citext_cmp($1, $2)") is None


def test_an_extensions_sql_functions_are_trusted_where_they_only_call_what_is_built_in(database: Database) -> None:
    hostile = {
        "sleeps": "SELECT pg_catalog.pg_sleep(0)::pg_catalog.text",
        "reads": "SELECT max(b) FROM t",
        "operates": "SELECT 'a' || 'b'",
        "calls": "SELECT public.operates()",
        "twice": "SELECT 'a'; SELECT 'b'",
        "spaced": "SELECT pg_catalog.query_to_xml ('SELECT 1', true, true, '')::pg_catalog.text",
    }
    parsed = {
        "parsed_call": "operates()",
        "parsed_sleep": "pg_sleep(0)::text",
        "parsed_read": "(SELECT max(b) FROM t)",
        "parsed_value": "CURRENT_USER::text",
        "parsed_cast": "'x'::text::int::text",
    }
    database.execute("CREATE EXTENSION citext; CREATE TABLE t (a citext, b text)")
    bodies = {name: f"AS $${body}$$" for name, body in hostile.items()}
    bodies |= {name: f"RETURN {body}" for name, body in parsed.items()}
    for name, body in bodies.items():
        database.execute(
            f"CREATE FUNCTION {name}() RETURNS text IMMUTABLE LANGUAGE sql {body}",
            f"ALTER EXTENSION citext ADD FUNCTION {name}()",
        )
    rule = _rule(database)
    for statement in (
        "SELECT replace(b, $1, $2) FROM t",
        "SELECT * FROM t WHERE split_part(a, $1, 1) = $2",
        "SELECT strpos(a, $1), translate(a, $2, $3) FROM t",
    ):
        assert rule.refusal(statement) is None, statement
    for name in bodies:
        assert rule.refusal(f"SELECT {name}()") is not None, name
