"""What `pgsurveyor doctor` tells each kind of role, and that its GRANTs do what it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from checks.evidence.database.facts import Server
from checks.evidence.evidence import Evidence
from checks.evidence.observe import Target, observe
from checks.model import Outcome
from tests.servers import Database
from tui.doctor import NO, PARTLY, YES, diagnose, grants, matrix

SCHEMA = """
    CREATE EXTENSION pg_stat_statements; CREATE SCHEMA "Odd;--";
    CREATE TABLE a (id bigserial PRIMARY KEY, body text); INSERT INTO a (body) SELECT 'x' FROM generate_series(1, 500);
    CREATE TABLE "Odd;--".b (id int); ANALYZE
"""


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    database.execute('DROP ROLE IF EXISTS "Dr. No"; CREATE ROLE "Dr. No" LOGIN', SCHEMA)
    database.connect().execute("SELECT count(*) FROM a")
    try:
        yield "Dr. No"
    finally:
        database.execute('DROP OWNED BY "Dr. No"; DROP ROLE "Dr. No"')


def seen_by(database: Database, role: str) -> Evidence:
    return observe(Target(f"{database.server.dsn(database.name, 'x').replace('user=x', '')} user='{role}'")).evidence


def test_each_grant_shows_more(database: Database, role: str) -> None:
    other = database.connect()
    other.execute("SELECT 1")
    plain = seen_by(database, role)
    found = {sight.what.partition(" ")[0]: sight for sight in matrix(plain)}
    assert found["tables,"].seen == YES
    assert found["values"].seen == NO
    assert found["planner"].seen == NO
    assert found["statements"].seen == NO
    assert found["settings"].seen == PARTLY
    assert found["sessions"].seen == PARTLY
    offered = grants(plain)
    assert [grant for grant, _ in offered] == [
        'GRANT pg_read_all_settings TO "Dr. No";',
        'GRANT pg_read_all_stats TO "Dr. No";',
        'GRANT pg_monitor TO "Dr. No";',
        'GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO "Dr. No";',
        'GRANT USAGE ON SCHEMA "Odd;--" TO "Dr. No"; GRANT SELECT ON ALL TABLES IN SCHEMA "Odd;--" TO "Dr. No";',
        'GRANT USAGE ON SCHEMA public TO "Dr. No"; GRANT SELECT ON ALL TABLES IN SCHEMA public TO "Dr. No";',
        'GRANT pg_read_all_data TO "Dr. No";',
    ]
    database.execute(offered[0][0])
    assert {sight.what: sight.seen for sight in matrix(seen_by(database, role))}["settings"] == YES
    database.execute(offered[2][0])
    monitor = seen_by(database, role)
    assert [grant for grant, _ in grants(monitor)] == [grant for grant, _ in offered[3:]]
    database.execute(offered[3][0])
    assert {sight.what: sight.seen for sight in matrix(seen_by(database, role))}["pg_hba.conf"] == YES
    database.execute(offered[5][0])
    tables = {sight.what.partition(" ")[0]: sight for sight in matrix(seen_by(database, role))}
    assert tables["planner"].seen == YES
    assert tables["values"].seen == NO
    database.execute(offered[6][0])
    full = seen_by(database, role)
    assert grants(full) == []
    assert {sight.seen for sight in matrix(full) if not sight.what.startswith("plans")} == {YES}


def test_the_words_name_the_checks_that_stay_unknown(database: Database, role: str) -> None:
    evidence = seen_by(database, role)
    server = evidence.find(Server)
    assert server is not None
    lines, results = diagnose(evidence, server)
    text = "\n".join(lines)
    assert lines[0].startswith(f"Dr. No on {database.name}: PostgreSQL {server.major}.")
    assert "this role sees: plain" in text
    hidden = [result for result in results if result.outcome is Outcome.UNKNOWN and result.reason == "not_permitted"]
    assert hidden
    assert all(result.check in text for result in hidden)
    assert "unknown (not_permitted)" in text
    assert "Grants that would help, the smallest first:" in text


def test_a_superuser_needs_no_grant(database: Database) -> None:
    evidence = observe(Target(database.dsn)).evidence
    assert grants(evidence) == []
