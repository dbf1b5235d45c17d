from __future__ import annotations

import msgspec
import pytest

from checks.evidence.database.facts import RoleSetting, Server, Settings
from checks.evidence.evidence import Evidence
from checks.model import Outcome, Reason, Severity
from tests.checks.survey import conclude, survey
from tests.servers import Database

NAME = "observability.slow-log"


def with_settings(evidence: Evidence, roles: tuple[RoleSetting, ...] = (), **values: str) -> Evidence:
    settings = evidence.get(Settings)
    missing = set(values) - {entry.name for entry in settings.entries}
    assert not missing, missing
    entries = tuple(
        msgspec.structs.replace(entry, value=values.get(entry.name, entry.value)) for entry in settings.entries
    )
    return msgspec.structs.replace(
        evidence, settings=msgspec.structs.replace(settings, entries=entries, role_settings=roles)
    )


def test_nothing_is_logged(database: Database) -> None:
    (found,) = conclude(survey(database), NAME).findings

    assert found.title == "Slow statements are not logged"
    assert found.severity is Severity.MEDIUM
    assert found.fix.sql == "ALTER SYSTEM SET log_min_duration_statement = '1s'; SELECT pg_reload_conf();"
    assert found.fix.undo == "ALTER SYSTEM RESET log_min_duration_statement; SELECT pg_reload_conf();"


@pytest.mark.parametrize(
    ("values", "title"),
    [
        ({"log_min_duration_statement": "500"}, None),
        ({"log_min_duration_sample": "100"}, None),
        ({"log_transaction_sample_rate": "0.01"}, None),
        ({"log_min_duration_statement": "10000"}, "Only statements slower than 10 s are logged"),
        ({"log_min_duration_statement": "0"}, "Every statement is logged, with its parameters"),
        ({"log_statement": "all"}, "log_statement is all: every statement is logged"),
    ],
)
def test_thresholds(database: Database, values: dict[str, str], title: str | None) -> None:
    result = conclude(with_settings(survey(database), **values), NAME)

    assert [found.title for found in result.findings] == ([title] if title else [])


def test_a_threshold_of_the_whole_database(database: Database) -> None:
    own = RoleSetting("", database.name, "log_min_duration_statement", "750ms")

    assert conclude(with_settings(survey(database), (own,)), NAME).outcome is Outcome.PASSED


def test_a_provider_may_have_insights(database: Database) -> None:
    evidence = survey(database)
    server = msgspec.structs.replace(evidence.get(Server), flavour="rds")

    result = conclude(msgspec.structs.replace(evidence, server=server), NAME)

    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.MANAGED_SERVICE_HIDES)
