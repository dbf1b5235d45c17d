from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.checks.workload import prepare, send
from tests.servers import Database

HOT, INSIDE, CONTRACT, GUESSED = (
    "hybrid.hot-jsonb-key",
    "hybrid.relation-inside-jsonb",
    "hybrid.jsonb-without-contract",
    "hybrid.document-estimate-guessed",
)
LIMITS = {"seq_scan_rows": 1000}
FILL = """INSERT INTO {0} (id, metadata) SELECT i, jsonb_build_object('kind', CASE WHEN i % 2 = 0 THEN 'even' ELSE 'odd' END,
    'n', i, 'user_id', i % 9) FROM generate_series(1, 4000) i;"""
EVENTS = "CREATE TABLE {0} (id int PRIMARY KEY, metadata jsonb NOT NULL, kind text); " + FILL


def estimate(database: Database, statement: str) -> float:
    with database.connect() as connection:
        (line,) = list(connection.execute(f"EXPLAIN {statement}".encode()))[:1]
    return float(line[0].partition("rows=")[2].split()[0])


def test_keys_used_as_columns(database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]) -> None:
    """pg_stat_statements has no names of keys: they are those of the code."""
    prepare(database, "CREATE TABLE users (id int PRIMARY KEY)", EVENTS.format("visits"), EVENTS.format("checked"),
            "ALTER TABLE checked ADD CHECK (jsonb_typeof(metadata) = 'object')")  # fmt: skip
    statements = [
        "SELECT id FROM visits WHERE metadata ->> 'kind' = %s",
        "SELECT count(*) FROM visits WHERE metadata ->> 'kind' = %s AND id > 3",
        "DELETE FROM visits WHERE metadata ->> 'kind' = %s AND id = 5",
        "SELECT id FROM visits WHERE (metadata ->> 'n')::int > %s",
        "SELECT id FROM visits WHERE metadata ->> 'user_id' = %s",
        "SELECT id FROM checked WHERE metadata ->> 'kind' = %s",
        "SELECT id FROM visits WHERE id > %s ORDER BY metadata ->> 'kind' LIMIT 5",
    ]
    code = repository(
        {
            "jobs.py": "import psycopg\n"
            + "".join(f'def f{n}(c, v):\n    c.execute("{text}", (v,))\n' for n, text in enumerate(statements))
        }
    )
    evidence = survey(database, code, limits=LIMITS)

    (hot,) = conclude(evidence, HOT).findings
    assert hot.title == "4 statements compare or sort by public.visits.metadata ->> 'kind' (jobs.py:3)"
    assert (hot.severity, hot.confidence) == (Severity.MEDIUM, Confidence.INFERRED)
    # Its name is taken in this table.
    assert hot.fix.sql == (
        "ALTER TABLE public.visits ADD COLUMN kind_ text GENERATED ALWAYS AS ((metadata ->> 'kind')) STORED;"
    )
    database.execute(hot.fix.sql, hot.fix.undo or "")

    (inside,) = conclude(evidence, INSIDE).findings
    assert inside.title == (
        "Key 'user_id' of public.visits.metadata, a reference to public.users, is compared by a statement (jobs.py:11)"
    )
    assert inside.severity is Severity.MEDIUM
    database.execute(inside.fix.sql or "")

    contract = conclude(evidence, CONTRACT)
    assert names(contract) == {"public.visits.metadata"}
    (found,) = contract.findings
    assert found.observed["keys"] == ["kind", "n", "user_id"]
    for statement in (found.fix.sql or "").split("; "):
        database.execute(statement)


def test_messages_are_no_state(database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]) -> None:
    prepare(database, "CREATE TABLE users (id int PRIMARY KEY)", EVENTS.format("outbox_event"))
    statement = "SELECT id FROM outbox_event WHERE metadata ->> 'user_id' = %s"
    code = repository({"a.py": f'import psycopg\ndef f(c, v):\n    c.execute("{statement}", (v,))\n'})
    evidence = survey(database, code, limits=LIMITS)

    for check in (INSIDE, CONTRACT):
        assert conclude(evidence, check).outcome is Outcome.PASSED


def test_a_join_by_a_key(database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]) -> None:
    prepare(database, "CREATE TABLE people (id int PRIMARY KEY, ref text)", EVENTS.format("visits"))
    code = repository(
        {
            "report.sql": "SELECT p.id FROM people p JOIN visits e ON e.metadata ->> 'person' = p.ref WHERE p.id = 4;\n"
            # Sizes are compared here, and sums of contents there.
            "SELECT e.id FROM people p JOIN visits e ON e.id = p.id WHERE length(p.ref) < length(e.metadata ->> 'text');\n"
            "SELECT e.id FROM people p JOIN visits e ON e.metadata ->> 'source_hash' = p.ref;\n"
        }
    )

    (found,) = examine(database, INSIDE, code, limits=LIMITS).findings

    assert found.observed["joined"] is True
    assert found.observed["references"] == ["public.people"]
    assert found.observed["keys"] == ["person"]


def test_guesses_of_the_planner(database: Database) -> None:
    """0.5 % for any value of a key, 1 % for containment in wide documents; exact with statistics."""
    wide = "CREATE TABLE wide (id int PRIMARY KEY, metadata jsonb NOT NULL);"
    wide += "ALTER TABLE wide ALTER COLUMN metadata SET STORAGE PLAIN; "
    wide += FILL.format("wide").replace("'n', i", "'n', i, 'text', repeat(md5(i::text), 40)")
    narrow = (
        "CREATE TABLE narrow (id int PRIMARY KEY, metadata jsonb NOT NULL); INSERT INTO narrow SELECT i, "
        "jsonb_build_object('kind', CASE WHEN i % 2 = 0 THEN 'even' ELSE 'odd' END) FROM generate_series(1, 4000) i"
    )
    ranged = "SELECT id FROM ranged WHERE (metadata ->> 'n')::int > {}"
    prepare(
        database,
        EVENTS.format("ranged") + EVENTS.format("visits") + EVENTS.format("told") + EVENTS.format("indexed") + wide,
        narrow,
        "CREATE STATISTICS told_kind ON (metadata ->> 'kind') FROM told",
        "CREATE INDEX ON indexed ((metadata ->> 'kind'))",
    )
    by_key, containing = "SELECT id FROM {} WHERE metadata ->> 'kind' = {}", "SELECT id FROM {} WHERE metadata @> {}"
    connection = database.connect()
    for name in ("visits", "told", "indexed"):
        send(connection, by_key.format(name, "%s"), [("even",)] * 3)
    for name in ("wide", "narrow"):
        send(connection, containing.format(name, "%s::jsonb"), [('{"kind": "even"}',)] * 3)
    send(connection, ranged.format("%s"), [(3990,)] * 3)
    assert estimate(database, by_key.format("visits", "'even'")) == 20
    assert estimate(database, ranged.format(3990)) == 1333
    assert 1900 <= estimate(database, by_key.format("told", "'even'")) <= 2100
    assert 1900 <= estimate(database, by_key.format("indexed", "'even'")) <= 2100
    assert estimate(database, containing.format("wide", '\'{"kind": "even"}\'')) == 40
    assert 1900 <= estimate(database, containing.format("narrow", '\'{"kind": "even"}\'')) <= 2100

    known = connection.execute(
        "SELECT tablename FROM pg_stats WHERE attname = 'metadata' AND most_common_vals IS NOT NULL"
    ).fetchall()
    # Of documents wider than 1 kB the server keeps no values at all.
    assert ("narrow",) in known
    assert ("wide",) not in known

    result = examine(database, GUESSED, limits=LIMITS)

    assert names(result) == {"public.visits.metadata", "public.wide.metadata", "public.ranged.metadata"}
    visits = finding(result, "public.visits.metadata")
    assert visits.title == "The planner takes 20 rows for a key of public.visits.metadata, and 2,000 come"
    assert finding(result, "public.wide.metadata").observed["guessed_rows"] == 40


def test_statistics_make_it_exact(database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]) -> None:
    prepare(database, EVENTS.format("visits"))
    statement = "SELECT id FROM visits WHERE metadata ->> 'kind' = %s"
    send(database.connect(), statement, [("even",)] * 3)
    code = repository({"a.py": f'import psycopg\ndef f(c, v):\n    c.execute("{statement}", (v,))\n'})

    (found,) = examine(database, GUESSED, code, limits=LIMITS).findings
    assert found.fix.sql is not None
    for part in found.fix.sql.split("; "):
        database.execute(part)

    assert 1900 <= estimate(database, "SELECT id FROM visits WHERE metadata ->> 'kind' = 'even'") <= 2100
    assert examine(database, GUESSED, code, limits=LIMITS).outcome is Outcome.PASSED


def test_without_documents(database: Database) -> None:
    prepare(database, "CREATE TABLE t (id int)")
    evidence = survey(database)

    for check in (HOT, INSIDE, CONTRACT, GUESSED):
        assert conclude(evidence, check).outcome is Outcome.NOT_APPLICABLE, check


def test_no_column_stands_for_several_keys(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    """`coalesce(a, b)` of two keys is neither key; with a constant it is the one."""
    prepare(database, "CREATE TABLE users (id int PRIMARY KEY)", EVENTS.format("visits"))
    either = "lower(coalesce(metadata -> 'info' ->> 'kind', metadata -> 'info' ->> 'user_id'))"
    statements = [f"SELECT id FROM visits WHERE {either} = %s{more}" for more in ("", " AND id > 3", " AND id = 5")]
    statements += [
        f"SELECT id FROM visits WHERE (metadata ->> 'a' = %s OR metadata ->> 'b' = 'x'){more}"
        for more in ("", " AND id > 3", " AND id = 5")
    ]
    statements += [
        f"SELECT id FROM visits WHERE coalesce(metadata ->> 'n', '0') = %s{more}"
        for more in ("", " AND id > 3", " AND id = 5")
    ]
    code = repository(
        {
            "jobs.py": "import psycopg\n"
            + "".join(f'def f{n}(c, v):\n    c.execute("{text}", (v,))\n' for n, text in enumerate(statements))
        }
    )
    evidence = survey(database, code, limits=LIMITS)

    # Two keys that the same statements compare are one finding.
    either_or, n = sorted(conclude(evidence, HOT).findings, key=lambda found: found.observed["key"])
    assert n.observed["key"] == "n"
    assert either_or.title.startswith("3 statements compare public.visits.metadata ->> 'a' and 1 more (jobs.py:")
    assert either_or.fix.summary.endswith("Likewise for 'b'.")
    assert conclude(evidence, INSIDE).outcome is Outcome.PASSED
