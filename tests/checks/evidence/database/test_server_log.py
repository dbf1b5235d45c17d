"""What the server's owner reads in its log after a review, whatever the login."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest

from checks.errors import TargetError
from checks.evidence.database.facts import Plans, RowSamples, Statements
from checks.evidence.database.node import Manner
from checks.evidence.database.observe import observe_database
from checks.shadow.reading import read_blueprint
from tests.servers import Database

SCHEMA = """
    CREATE EXTENSION pg_stat_statements;
    CREATE TABLE parents (id int PRIMARY KEY, words tsvector, a int, b int, name text);
    CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents);
    CREATE INDEX ON parents USING gin (words); CREATE STATISTICS of_both (mcv) ON a, b FROM parents;
    INSERT INTO parents SELECT i, 'x', i % 3, i % 3, 'n' FROM generate_series(1::int, 50::int) i;
    INSERT INTO children VALUES (1, 1);
    CREATE SCHEMA closed; CREATE TABLE closed.inside (name text); ANALYZE;
    DROP ROLE IF EXISTS l_plain, l_monitor, l_reader; CREATE ROLE l_plain LOGIN;
    CREATE ROLE l_monitor LOGIN IN ROLE pg_monitor; CREATE ROLE l_reader LOGIN IN ROLE pg_monitor, pg_read_all_data
"""


@pytest.fixture
def prepared(database: Database) -> Iterator[Database]:
    database.execute(SCHEMA, "INSERT INTO children VALUES (2, 2)", "SELECT id FROM parents WHERE a = 1 FOR UPDATE")
    with psycopg.connect(database.server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database.name} SET log_statement = 'all'")
    yield database
    database.execute("DROP ROLE l_plain, l_monitor, l_reader")


@pytest.mark.parametrize("role", ["l_plain", "l_monitor", "l_reader", "postgres"])
def test_only_marked_statements_and_no_error(prepared: Database, role: str) -> None:
    log = prepared.server._log
    begun = log.stat().st_size
    dsn = prepared.server.dsn(prepared.name, role)
    evidence = observe_database(dsn, manner=Manner(watch_s=0.1, max_load=1000, read_rows=True, measure_recall=True))
    assert isinstance(evidence.plans, Plans)
    assert isinstance(evidence.row_samples, RowSamples)
    observed = _since(prepared, begun)
    read_blueprint(dsn)
    written = _since(prepared, begun)
    assert not re.findall(r"^.*(?:ERROR|FATAL|WARNING):.*$", written, re.MULTILINE)
    sent = re.findall(r"LOG:  (?:statement|execute [^:]*): ((?:.|\n\t)*)", observed)
    assert len(sent) > 50
    ours = re.compile(r"\W*\w*\s*/\* pgsurveyor \*/|(BEGIN .*READ ONLY|COMMIT)$")
    assert [statement for statement in sent if not ours.match(statement)] == []
    if role == "postgres":
        assert isinstance(evidence.statements, Statements)
        assert any("FOR UPDATE" in entry.text for entry in evidence.statements.entries)


def _since(database: Database, begun: int) -> str:
    with database.server._log.open("rb") as stream:
        stream.seek(begun)
        return stream.read().decode("utf-8", "replace")


def test_a_catalog_that_may_not_be_read_ends_no_review(prepared: Database) -> None:
    prepared.execute("REVOKE SELECT ON pg_catalog.pg_collation FROM PUBLIC")
    with pytest.raises(TargetError, match=r"could not be read \(not_permitted\)"):
        read_blueprint(prepared.server.dsn(prepared.name, "l_plain"))
