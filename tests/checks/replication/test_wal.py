from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from checks.evidence.database.facts import CheckpointUsage, Replication, Server, Slot, Standby, Usage, WalUsage
from checks.evidence.evidence import Evidence
from checks.model import Outcome, Reason, Severity
from tests.checks.altered import aged, of_flavour, with_setting
from tests.checks.replication.test_standbys import with_standbys
from tests.checks.survey import conclude, examine, names, survey
from tests.servers import Database, PrimaryAndStandby

DAY = dt.timedelta(days=1)


def counted(evidence: Evidence, *, timed: int = 0, requested: int = 0, wal: int = 0, images: int = 0) -> Evidence:
    begun = evidence.get(Server).started_at
    checkpoints = CheckpointUsage(timed, requested, None, 0, 0, 0, 0, 0, 0, since=begun)
    usage = msgspec.structs.replace(
        evidence.get(Usage), checkpoints=checkpoints, wal=WalUsage(1, images, wal, 0, since=begun)
    )
    return msgspec.structs.replace(evidence, usage=usage)


def test_the_level_of_wal(database: Database) -> None:
    evidence = survey(database)
    assert conclude(with_setting(evidence, "wal_level", "replica"), "replication.wal-level").outcome is Outcome.PASSED
    (found,) = conclude(with_setting(evidence, "wal_level", "minimal"), "replication.wal-level").findings
    assert found.severity is Severity.HIGH

    logical = with_setting(evidence, "wal_level", "logical")
    (found,) = conclude(logical, "replication.wal-level").findings
    assert found.severity is Severity.NOTE
    slots = (Slot("cdc", "logical", True, False, "reserved", 0),)
    read = msgspec.structs.replace(logical, replication=msgspec.structs.replace(logical.get(Replication), slots=slots))
    for used in (read, of_flavour(logical, "supabase")):
        assert conclude(used, "replication.wal-level").outcome is Outcome.PASSED


def test_checkpoints_that_wal_forces(database: Database) -> None:
    evidence = with_setting(aged(survey(database), 10), "max_wal_size", "1024")

    volume = 2_000 * 500 * 1024**2
    forced = counted(evidence, timed=200, requested=2_000, wal=volume)

    (found,) = conclude(forced, "replication.forced-checkpoints").findings
    assert found.observed["requested_per_hour"] == 8.33
    assert found.fix.sql == "ALTER SYSTEM SET max_wal_size = '4GB'; SELECT pg_reload_conf();"
    for timed, requested, wal in ((2_880, 100, volume), (10, 100, volume), (0, 0, 0), (200, 2_000, 10 * 1024**3)):
        fine = counted(evidence, timed=timed, requested=requested, wal=wal)
        assert conclude(fine, "replication.forced-checkpoints").findings == ()
    young = counted(aged(evidence, 1), timed=0, requested=500)
    assert conclude(young, "replication.forced-checkpoints").reason is Reason.WINDOW_TOO_SHORT


def test_two_checkpoints_of_a_fresh_server_are_no_rate(database: Database) -> None:
    evidence = with_setting(survey(database, limits={"window_days": 0}), "max_wal_size", "1024")

    forced = [conclude(counted(evidence, timed=0, requested=requested, wal=requested * 500 * 1024**2),
                       "replication.forced-checkpoints").findings for requested in (2, 200)]  # fmt: skip

    assert [len(findings) for findings in forced] == [0, 1]


def test_the_volume_of_wal(database: Database) -> None:
    evidence = aged(survey(database), 10)
    terabytes, little = 4 * 1024**4, 1024**3

    (found,) = conclude(counted(evidence, wal=terabytes), "replication.wal-rate").findings
    assert (found.severity, found.observed["wal_bytes_per_day"]) == (Severity.NOTE, round(terabytes / 10))
    assert conclude(counted(evidence, wal=little), "replication.wal-rate").outcome is Outcome.PASSED

    imaged = counted(evidence, wal=terabytes, images=terabytes // 8192 // 2)
    (found,) = conclude(with_setting(imaged, "wal_compression", "off"), "replication.wal-settings").findings
    assert "50%" in found.title
    for fine in (
        with_setting(imaged, "wal_compression", "lz4"),
        with_setting(counted(evidence, wal=terabytes, images=10), "wal_compression", "off"),
        with_setting(counted(evidence, wal=little, images=little // 8192), "wal_compression", "off"),
    ):
        assert conclude(fine, "replication.wal-settings").outcome is Outcome.PASSED


def test_peers_that_are_never_given_up(database: Database) -> None:
    evidence = survey(database)
    assert conclude(evidence, "replication.sender-timeout").outcome is Outcome.PASSED
    endless = with_setting(evidence, "wal_sender_timeout", "0")
    assert names(conclude(endless, "replication.sender-timeout")) == {"wal_sender_timeout"}


def test_settings_of_nodes(primary_and_standby: PrimaryAndStandby) -> None:
    primary, standby = primary_and_standby
    evidence = survey(primary.dsn(), replicas=[standby.dsn()])
    assert conclude(evidence, "replication.settings-differ").outcome is Outcome.PASSED

    (found,) = conclude(with_setting(evidence, "max_connections", "1000"), "replication.settings-differ").findings
    assert found.severity is Severity.HIGH
    assert list(found.observed["too_small"]) == ["max_connections"]
    (found,) = conclude(with_setting(evidence, "shared_buffers", "99"), "replication.settings-differ").findings
    assert (found.severity, list(found.observed["differing"])) == (Severity.LOW, ["shared_buffers"])
    alone = examine(primary.dsn(), "replication.settings-differ")
    assert alone.outcome is Outcome.NOT_APPLICABLE


def test_a_role_of_the_application_that_replicates(database: Database) -> None:
    role = f"app_{database.name}"
    database.execute(
        f"CREATE ROLE {role} LOGIN REPLICATION; CREATE EXTENSION pg_stat_statements; CREATE TABLE t (id int)"
    )
    database.execute(f"GRANT SELECT ON t TO {role}")
    try:
        with database.connect(user=role) as connection:
            connection.execute("SELECT * FROM t")
            evidence = survey(database)
        replicating = conclude(evidence, "replication.replication-role")
        database.execute(f"ALTER ROLE {role} NOREPLICATION")
        plain = examine(database, "replication.replication-role")
    finally:
        database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert names(replicating) == {role}
    assert plain.outcome is Outcome.PASSED


def test_a_server_that_came_back(database: Database) -> None:
    evidence = survey(database)
    server = evidence.get(Server)
    assert conclude(evidence, "replication.restarts").findings == ()
    seconds = int((server.observed_at - 30 * DAY).timestamp())
    started = server.observed_at - DAY
    recovered = msgspec.structs.replace(
        server, started_at=started, version_num=180000, system_identifier=str(seconds << 32)
    )
    usage = evidence.get(Usage)
    assert usage.checkpoints is not None

    def since(moment: dt.datetime) -> Evidence:
        checkpoints = msgspec.structs.replace(usage.checkpoints, since=moment)
        return msgspec.structs.replace(
            evidence, server=recovered, usage=msgspec.structs.replace(usage, checkpoints=checkpoints)
        )

    (found,) = conclude(since(started + dt.timedelta(seconds=3)), "replication.restarts").findings
    assert found.severity is Severity.LOW
    assert conclude(since(started - 5 * DAY), "replication.restarts").outcome is Outcome.PASSED


def test_a_copy_of_files_is_no_backup(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    script = 'backup_container_dir "$FOLDER" "app-db" "/var/lib/postgresql/data" "pgdata"\n'

    (found,) = examine(
        database, "replication.no-backup-evidence", repository({"deployments/install.sh": script})
    ).findings

    assert found.title.startswith("The only backup that is told of is a copy of the server's files")
    assert found.locations[0].path == "deployments/install.sh"


@pytest.mark.parametrize("told", ["archive", "receiver", "file", "nothing", "no repository", "provider"])
def test_what_tells_of_a_backup(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path], told: str
) -> None:
    files = {"README.md": "An application."}
    if told == "file":
        files["deploy/backup.sh"] = "pgbackrest --stanza=main backup\n"
        files["docker-compose.yml"] = "services:\n  backup:\n    image: prodrigestivill/postgres-backup-local\n"
    evidence = survey(database, None if told in {"no repository", "provider"} else repository(files))
    evidence = with_setting(evidence, "archive_mode", "on" if told == "archive" else "off")
    if told == "receiver":
        evidence = with_standbys(evidence, Standby("pg_receivewal", "streaming", "async", None, None))
    if told == "provider":
        evidence = of_flavour(evidence, "rds")

    result = conclude(evidence, "replication.no-backup-evidence")

    expected = {"nothing": Outcome.FOUND, "no repository": Outcome.UNKNOWN, "provider": Outcome.UNKNOWN}
    assert result.outcome is expected.get(told, Outcome.PASSED)
