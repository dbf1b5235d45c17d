from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from checks.evidence.database.facts import Server, Settings, Statement, Statements, Usage
from checks.evidence.database.facts.replication import Replica, Replication
from checks.evidence.evidence import Evidence
from checks.model import Outcome, Reason
from tests.checks.altered import with_setting
from tests.checks.survey import conclude, names, survey
from tests.servers import Database

SPLIT = 'import os\nimport psycopg\nREAD = os.environ["DATABASE_REPLICA_URL"]\n'


def _with_standby(evidence: Evidence, feedback: str, max_ms: float) -> Evidence:
    """With a standby on which SELECTs took up to so long."""
    asked = with_setting(evidence, "hot_standby_feedback", feedback)
    server = msgspec.structs.replace(asked.get(Server), role="standby")
    entry = Statement("1", "SELECT id FROM t ORDER BY v", 50, 50.0, 1.0, 50, max_ms=max_ms)
    replica = Replica(
        "reader:5432",
        server,
        asked.get(Usage),
        Replication(),
        asked.get(Settings),
        Statements("1.12", None, 0, 0, (entry,)),
    )
    return msgspec.structs.replace(evidence, replicas=(replica,))


def test_a_reader_that_cancels_what_reads(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    check = "replication.replica-reads-unfit"
    evidence = survey(database, repository({"app/db.py": SPLIT}))

    result = conclude(_with_standby(evidence, "off", 45_000), check)

    assert names(result) == {"reader:5432"}
    assert result.findings[0].observed["delay_ms"] == 30_000
    for healthy in (_with_standby(evidence, "on", 45_000), _with_standby(evidence, "off", 900)):
        assert conclude(healthy, check).outcome is Outcome.PASSED
    assert conclude(evidence, check).reason is Reason.REPLICA_NOT_REACHABLE
    assert conclude(survey(database, repository({"a.py": "x = 1\n"})), check).outcome is Outcome.NOT_APPLICABLE
