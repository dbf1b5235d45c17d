"""The log of a real server that had real trouble, in each format, and what is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest

from checks.checklist import run_check
from checks.evidence.given.log import merged, read_log
from checks.evidence.observe import Target, observe
from checks.model import Outcome, Reason, Severity
from checks.registry import all_checks
from checks.shadow.server import EmbeddedServer
from tests.servers import start_chosen

CHECK = "observability.log-events"
SETTINGS = {
    "logging_collector": "on", "log_directory": "log", "log_filename": "server", "max_connections": "6",
    "superuser_reserved_connections": "1", "max_wal_senders": "0", "wal_level": "minimal", "log_line_prefix": "%m [%p] %u ",
}  # fmt: skip
TROUBLE = (
    *["SELECT * FROM nowhere"] * 12,
    *["INSERT INTO t VALUES (1)"] * 12,
    *["SET statement_timeout = 1; SELECT pg_sleep(5)"] * 12,
    "SELECT 'deadlock detected, out of memory'",
    "SELECT 1 / 0",
)


@pytest.fixture(scope="module")
def server(pytestconfig: pytest.Config) -> Iterator[EmbeddedServer]:
    """With few connections, and its log in every format that it has."""
    major: int | None = pytestconfig.getoption("major")
    destinations = "stderr,csvlog" if major is not None and major < 15 else "stderr,csvlog,jsonlog"
    with start_chosen(pytestconfig, {**SETTINGS, "log_destination": destinations}) as made:
        _make_trouble(made)
        yield made


@pytest.fixture(scope="module")
def logs(server: EmbeddedServer) -> dict[str, Path]:
    return {path.suffix: path for path in (server.data / "log").iterdir() if path.suffix in {"", ".csv", ".json"}}


def _make_trouble(server: EmbeddedServer) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE ROLE guest LOGIN")
        for statement in TROUBLE:
            with suppress(psycopg.Error):
                connection.execute(statement.encode())
        with ExitStack() as held, suppress(psycopg.OperationalError):
            for _ in range(8):
                held.enter_context(psycopg.connect(server.dsn(user="guest")))


@pytest.mark.parametrize("suffix", ["", ".csv", ".json"])
def test_trouble_is_told_in_each_format(logs: dict[str, Path], suffix: str, tmp_path: Path) -> None:
    if suffix not in logs:
        assert suffix == ".json"
        return
    evidence = observe(Target(repository=tmp_path, plans=(logs[suffix],))).evidence

    result = run_check(all_checks()[CHECK], evidence)

    assert {found.observed["kind"]: (found.observed["entries"], found.severity) for found in result.findings} == {
        "unknown-names": (12, Severity.LOW),
        "statement-timeouts": (12, Severity.MEDIUM),
        "too-many-connections": (1, Severity.HIGH),
    }
    assert result.examined is not None
    assert result.examined > 37
    assert len({found.id for found in result.findings}) == 3
    assert "nowhere" not in repr(evidence.given_plans)


def test_without_a_log_nothing_is_known() -> None:
    result = run_check(all_checks()[CHECK], observe(Target(repository=Path(__file__).parent)).evidence)

    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.NOT_OPTED_IN)
    assert result.unlock is not None
    assert "--plan FILE" in result.unlock


def test_a_quiet_log_passes(tmp_path: Path) -> None:
    quiet = tmp_path / "quiet.log"
    quiet.write_text(
        "2026-11-20 10:00:00.000 UTC [7] LOG:  database system is ready to accept connections\n"
        '2026-11-20 10:00:01.000 UTC [8] ERROR:  division by zero\n\tERROR:  deadlock detected\n'
        "2026-11-20 10:00:01.000 UTC [8] STATEMENT:  SELECT 'FATAL:  sorry, too many clients already'\n"
        "2026-11-22 10:00:00.000 UTC [9] ERROR:  deadlock detected\n"
    )  # fmt: skip

    result = run_check(all_checks()[CHECK], observe(Target(repository=tmp_path, plans=(quiet,))).evidence)

    assert (result.outcome, result.examined) == (Outcome.PASSED, 3)


def test_logs_are_hostile() -> None:
    assert read_log("") is None
    assert read_log("{\n[]\n" * 100) is None
    assert read_log("ERROR: one blank only") is None
    for text in (
        "2026-99-99 99:99:99 ERROR:  out of memory",
        "ERROR:  out of memory" * 1_000,
        '2026-01-01 00:00:00.1 UTC,"',
    ):
        read_log(text)
    log = merged(read_log("2026-11-20 10:00:00 PANIC:  could not write: No space left on device"),
                 read_log("2026-11-21 10:00:00 LOG:  server process (PID 7) was terminated by signal 9: Killed"))  # fmt: skip
    assert log is not None
    assert (log.entries, log.days, dict(log.counts)) == (2, 1.0, {"crashes": 1, "disk-full": 1})
