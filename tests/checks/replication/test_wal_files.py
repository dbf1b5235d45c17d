from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from checks.evidence.database.facts import Archiver, Files, Host, Replication, Slot, Standby
from checks.evidence.evidence import Evidence
from checks.model import Outcome, Reason, Severity
from tests.checks.altered import of_flavour, with_setting
from tests.checks.replication.test_standbys import with_standbys
from tests.checks.survey import conclude, survey
from tests.servers import Database

CHECK, FAILOVER = "replication.wal-size", "replication.failover-tooling"
GB = 1024**3


def _altered(evidence: Evidence, size: int, *slots: Slot, archiver: Archiver | None = None) -> Evidence:
    host = msgspec.structs.replace(evidence.get(Host), wal=Files(2_500, size))
    replication = msgspec.structs.replace(evidence.get(Replication), slots=slots, archiver=archiver)
    return msgspec.structs.replace(evidence, host=host, replication=replication)


def test_a_folder_that_is_full_of_wal(database: Database) -> None:
    evidence = with_setting(survey(database), "max_wal_size", "1024")
    read = Slot("cdc", "logical", True, False, "extended", 38 * GB, plugin="pgoutput")
    left = msgspec.structs.replace(read, name="left", active=False)
    behind = Archiver(5, 0, None, None, unarchived_bytes=39 * GB)

    def severity(altered: Evidence) -> Severity | None:
        (found,) = conclude(altered, CHECK).findings
        return found.severity

    assert conclude(evidence, CHECK).outcome is Outcome.PASSED
    (found,) = conclude(_altered(evidence, 40 * GB, read), CHECK).findings
    assert found.title == "pg_wal takes 40 GB, with 1.0 GB asked for: slot cdc keeps it"
    assert (found.severity, [entry.path for entry in found.related]) == (Severity.MEDIUM, [("cdc",)])
    assert severity(_altered(evidence, 40 * GB, left)) is Severity.NOTE
    assert severity(_altered(evidence, 40 * GB, archiver=behind)) is Severity.NOTE
    assert severity(_altered(evidence, 40 * GB)) is Severity.LOW
    asked_for = with_setting(_altered(evidence, 40 * GB), "max_wal_size", str(64 * 1024))
    assert conclude(asked_for, CHECK).outcome is Outcome.PASSED


def test_a_folder_that_this_role_may_not_list(database: Database) -> None:
    role = f"r_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN")
    try:
        evidence = survey(f"{database.dsn} user={role}")
    finally:
        database.execute(f"DROP ROLE {role}")

    plain = conclude(evidence, CHECK)
    assert (plain.reason, plain.unlock) == (Reason.NOT_PERMITTED, f"GRANT pg_monitor TO {role};")
    assert conclude(of_flavour(evidence, "rds"), CHECK).reason is Reason.MANAGED_SERVICE_HIDES
    assert conclude(of_flavour(evidence, "neon"), CHECK).outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("checksums", "hints", "found"), [("off", "off", True), ("on", "off", False), ("off", "on", False)]
)
def test_the_way_back_of_an_old_primary(
    database: Database,
    repository: Callable[[Mapping[str, str | bytes]], Path],
    checksums: str,
    hints: str,
    found: bool,
) -> None:
    evidence = survey(database, repository({"README.md": "An application."}))
    assert conclude(evidence, FAILOVER).outcome is Outcome.NOT_APPLICABLE
    evidence = with_setting(with_setting(evidence, "data_checksums", checksums), "wal_log_hints", hints)
    evidence = with_standbys(evidence, Standby("standby1", "streaming", "async", 0, 0.0))

    result = conclude(evidence, FAILOVER)

    assert [entry.severity for entry in result.findings] == ([Severity.NOTE] if found else [])
    assert conclude(of_flavour(evidence, "rds"), FAILOVER).outcome is Outcome.NOT_APPLICABLE
