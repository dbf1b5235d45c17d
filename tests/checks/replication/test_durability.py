from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Server, Settings, Usage
from checks.model import Outcome, Reason, Severity
from tests.checks.altered import with_setting
from tests.checks.survey import conclude, examine, names, survey
from tests.servers import Database


def test_a_server_that_does_not_write_through(database: Database) -> None:
    evidence = survey(database)

    # The tests' own servers are thrown away: they run without fsync.
    (found,) = conclude(evidence, "replication.unsafe-durability").findings
    assert (found.subject.path, found.severity) == (("fsync",), Severity.CRITICAL)
    assert found.fix.undo is not None

    safe = with_setting(evidence, "fsync", "on")
    assert conclude(safe, "replication.unsafe-durability").outcome is Outcome.PASSED
    rescued = with_setting(safe, "zero_damaged_pages", "on")
    assert names(conclude(rescued, "replication.unsafe-durability")) == {"zero_damaged_pages"}


def test_settings_that_cannot_be_seen_are_a_gap(database: Database) -> None:
    evidence = survey(database)
    settings = evidence.get(Settings)
    seen = tuple(entry for entry in settings.entries if entry.name != "full_page_writes")
    partly = msgspec.structs.replace(evidence, settings=msgspec.structs.replace(settings, entries=seen))

    result = conclude(with_setting(partly, "fsync", "on"), "replication.unsafe-durability")

    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.NOT_PERMITTED)


def test_checksums(database: Database) -> None:
    evidence = survey(database)
    off, on = (with_setting(evidence, "data_checksums", value) for value in ("off", "on"))

    (found,) = conclude(off, "replication.no-checksums").findings
    assert found.severity is Severity.MEDIUM
    assert conclude(on, "replication.no-checksums").outcome is Outcome.PASSED

    server = msgspec.structs.replace(evidence.get(Server), flavour="rds")
    managed = msgspec.structs.replace(off, server=server)
    assert conclude(managed, "replication.no-checksums").outcome is Outcome.PASSED

    usage = evidence.get(Usage)
    failed = msgspec.structs.replace(usage, database={**usage.database, "checksum_failures": 3})
    (found,) = conclude(msgspec.structs.replace(on, usage=failed), "replication.no-checksums").findings
    assert (found.subject.path, found.severity) == ((database.name,), Severity.CRITICAL)


def test_the_server_tells_both(database: Database) -> None:
    assert examine(database, "replication.no-checksums").outcome in {Outcome.PASSED, Outcome.FOUND}
