from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Catalog, Statements
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database


def test_a_range_before_an_equality(database: Database) -> None:
    database.execute(
        "CREATE EXTENSION pg_stat_statements",
        "CREATE TABLE t (id int PRIMARY KEY, team int, at timestamptz, kind int, n int, free int)",
        "INSERT INTO t SELECT n, n % 100, now(), n % 50, n, n % 7 FROM generate_series(1, 12000) n",
        "CREATE INDEX t_moment ON t (at, kind)",
        "CREATE INDEX t_number ON t (team, n, kind)",
        "CREATE INDEX t_good ON t (free, kind, at)",
        "CREATE INDEX t_paged ON t (n, free)",
        "ANALYZE",
        "SELECT pg_stat_statements_reset()",
        "SELECT * FROM t WHERE team = 1 AND n > 5 AND kind = 3",
        "SELECT * FROM t WHERE n > 5 AND free = 3 ORDER BY n LIMIT 5",
        "SELECT * FROM t WHERE kind = 3 AND free = 2 AND at > now()",
    )
    assert names(examine(database, "indexing.range-column-not-last")) == set()
    result = examine(database, "indexing.composite-column-order")
    assert names(result) == {"public.t_number"}
    assert finding(result, "public.t_number").observed["better"] == ["team", "kind", "n"]

    database.execute("DROP INDEX t_good", "SELECT * FROM t WHERE kind = 3 AND at > now()")
    moment = examine(database, "indexing.range-column-not-last")
    assert names(moment) == {"public.t_moment"}
    assert finding(moment, "public.t_moment").fix.sql == (
        "CREATE INDEX CONCURRENTLY t_kind_at_idx ON public.t (kind, at);"
    )


def test_large_indexes_over_what_lies_in_order(database: Database) -> None:
    database.execute(
        "CREATE TABLE log (id int PRIMARY KEY, at timestamptz, mixed timestamptz, name text)",
        "INSERT INTO log SELECT n, timestamptz '2026-01-01' + n * interval '1 s', "
        "timestamptz '2026-01-01' + (n * 7919 % 3000) * interval '1 s', to_char(n, '00000') FROM generate_series(1, 3000) n",
        *(f"CREATE INDEX log_{name} ON log ({name})" for name in ("at", "mixed", "name")),
        "ANALYZE",
    )
    evidence = survey(database)
    catalog = evidence.get(Catalog)
    large = tuple(msgspec.structs.replace(index, size_bytes=2 * 1024**3) for index in catalog.indexes)

    result = conclude(
        msgspec.structs.replace(evidence, catalog=msgspec.structs.replace(catalog, indexes=large)),
        "indexing.brin-candidate",
    )

    assert names(result) == {"public.log_at"}
    assert (
        finding(result, "public.log_at").fix.sql
        == "CREATE INDEX CONCURRENTLY log_at_idx ON public.log USING brin (at);"
    )


def test_an_index_that_could_answer_alone(database: Database) -> None:
    database.execute(
        "CREATE EXTENSION pg_stat_statements",
        "CREATE TABLE t (id int PRIMARY KEY, team int, points int, busy int, text text)",
        "INSERT INTO t SELECT n, n % 100, n, n, repeat('x', 200) FROM generate_series(1, 12000) n",
        "CREATE INDEX t_team ON t (team)",
        "ANALYZE",
        "SELECT pg_stat_statements_reset()",
        "SELECT points FROM t WHERE team = 5",
        "SELECT points, text FROM t WHERE team = 5",
        "SELECT busy FROM t WHERE team = 5",
        "SELECT team FROM t WHERE team = 5",
        "UPDATE t SET busy = 1 WHERE id = 5",
    )
    evidence = survey(database)
    statements = evidence.get(Statements)
    often = tuple(msgspec.structs.replace(entry, calls=10_000, rows=1_200_000) for entry in statements.entries)

    result = conclude(
        msgspec.structs.replace(evidence, statements=msgspec.structs.replace(statements, entries=often)),
        "indexing.covering-index-candidate",
    )

    (found,) = result.findings
    assert found.fix.sql == "CREATE INDEX CONCURRENTLY t_team_idx ON public.t (team) INCLUDE (points);"
