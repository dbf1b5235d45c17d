from __future__ import annotations

import msgspec
import pytest

from checks.evidence.database.facts import Server, Settings
from checks.evidence.evidence import Evidence
from checks.model import Outcome, Reason, Severity, Unobserved
from checks.shadow.server import start
from tests.checks.survey import conclude, examine, survey
from tests.servers import TEST_SETTINGS, Database

STATISTICS, TIMING = "observability.no-pg-stat-statements", "observability.no-io-timing"


def test_created_and_read(database: Database) -> None:
    database.execute("CREATE EXTENSION pg_stat_statements")

    assert examine(database, STATISTICS).outcome is Outcome.PASSED
    assert examine(database, TIMING).outcome is Outcome.PASSED


def test_not_created_in_this_database(database: Database) -> None:
    (found,) = examine(database, STATISTICS).findings

    assert found.severity is Severity.MEDIUM
    assert (
        found.title == f"pg_stat_statements is preloaded but its extension is not created in database {database.name}"
    )
    assert found.fix.sql == "CREATE EXTENSION pg_stat_statements;"


def test_not_preloaded_and_no_timing() -> None:
    settings = {**TEST_SETTINGS, "shared_preload_libraries": "auto_explain", "track_io_timing": "off"}
    with start(settings) as server:
        evidence = survey(server.dsn())

    (found,) = conclude(evidence, STATISTICS).findings
    assert found.title == "pg_stat_statements is not preloaded"
    assert found.fix.sql == "ALTER SYSTEM SET shared_preload_libraries = auto_explain, pg_stat_statements;"
    assert found.fix.undo == "ALTER SYSTEM SET shared_preload_libraries = auto_explain; -- and restart"
    (found,) = conclude(evidence, TIMING).findings
    assert found.subject.path == ("track_io_timing",)
    assert found.fix.sql == "ALTER SYSTEM SET track_io_timing = 'on'; SELECT pg_reload_conf();"


def test_created_but_not_for_this_role(database: Database) -> None:
    database.execute("CREATE EXTENSION pg_stat_statements")
    gap = Unobserved(Reason.NOT_PERMITTED, "GRANT pg_monitor TO reviewer")
    evidence = msgspec.structs.replace(survey(database), statements=gap)

    result = conclude(evidence, STATISTICS)

    assert (result.outcome, result.reason, result.unlock) == (Outcome.UNKNOWN, gap.reason, gap.unlock)


@pytest.mark.parametrize("flavour", ["rds", "azure"])
def test_a_provider_has_its_own_way_to_set_things(database: Database, flavour: str) -> None:
    evidence = _without_library(survey(database), flavour)

    (found,) = conclude(evidence, STATISTICS).findings

    assert found.fix.sql is None
    assert "provider" in found.fix.summary


def _without_library(evidence: Evidence, flavour: str) -> Evidence:
    server, settings = evidence.get(Server), evidence.get(Settings)
    entries = tuple(
        msgspec.structs.replace(entry, value="") if entry.name == "shared_preload_libraries" else entry
        for entry in settings.entries
    )
    return msgspec.structs.replace(
        evidence,
        server=msgspec.structs.replace(server, flavour=flavour),
        settings=msgspec.structs.replace(settings, entries=entries),
    )
