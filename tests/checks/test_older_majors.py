"""Every check on every supported major: the same conclusions, and no vectors where there is no pgvector."""

from __future__ import annotations

import pytest

from checks.checklist import run_checks
from checks.model import Outcome
from tests.checks.survey import survey
from tests.servers import OLDER_MAJORS, Database, start_major

pytestmark = pytest.mark.all

SCHEMA = """
CREATE TABLE account (id bigint PRIMARY KEY, email text);
CREATE TABLE message (id bigserial PRIMARY KEY, account_id bigint NOT NULL REFERENCES account, body json, sent_at timestamp);
CREATE TABLE event (kind text);
CREATE INDEX message_sent_idx ON message (sent_at);
CREATE INDEX message_sent_again_idx ON message (sent_at);
INSERT INTO account SELECT n, 'a' || n FROM generate_series(1, 2000) n;
INSERT INTO message (account_id, body, sent_at) SELECT n % 2000 + 1, '{}', now() FROM generate_series(1, 20000) n;
INSERT INTO event SELECT 'x' FROM generate_series(1, 2000);
ANALYZE;
"""


@pytest.mark.parametrize("major", OLDER_MAJORS)
def test_the_checklist_on_an_older_major(major: int) -> None:
    with start_major(major) as server:
        database = Database(server)
        database.execute(SCHEMA)
        results = {result.check: result for result in run_checks(survey(database, limits={"window_days": 0}))}
        database.drop()
    assert [result.message for result in results.values() if result.outcome is Outcome.ERROR] == []
    found = {(check, finding.subject.path[-1]) for check, result in results.items() for finding in result.findings}
    assert found >= {
        ("schema.no-primary-key", "event"),
        ("schema.timestamp-without-time-zone", "sent_at"),
        ("indexing.duplicate-index", "message_sent_again_idx"),
        ("indexing.foreign-key-without-index", "message_account_id_fkey"),
        ("hybrid.json-not-jsonb", "body"),
    }
    assert ("schema.no-primary-key", "account") not in found
    vectors = ("pgvector-version", "vector-without-index", "distance-operator-mismatch", "ivfflat-lists")
    assert {results[f"hybrid.{name}"].outcome for name in vectors} == {Outcome.NOT_APPLICABLE}
