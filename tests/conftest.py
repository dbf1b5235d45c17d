from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest

from checks.shadow.server import EmbeddedServer, start
from tests.servers import TEST_SETTINGS, Database, PrimaryAndStandby


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """PostgreSQL 18 with pg_stat_statements preloaded and pgvector at hand, shared by all tests of a worker."""
    with start(TEST_SETTINGS) as running:
        yield running


@pytest.fixture
def database(server: EmbeddedServer) -> Iterator[Database]:
    """A fresh, empty database, dropped after the test."""
    fresh = Database(server)
    try:
        yield fresh
    finally:
        fresh.drop()


@pytest.fixture(scope="session")
def primary_and_standby() -> Iterator[PrimaryAndStandby]:
    """A primary of its own with one streaming standby, `standby1`, shared by all tests of a worker."""
    with start(TEST_SETTINGS) as primary:
        yield PrimaryAndStandby(primary, primary.standby())


@pytest.fixture
def repository(tmp_path: Path) -> Callable[[Mapping[str, str | bytes]], Path]:
    """Makes a git repository of the given files, by path, with one commit; each call makes another."""
    numbers = count(1)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "A Developer",
        "GIT_AUTHOR_EMAIL": "developer@example.org",
        "GIT_COMMITTER_NAME": "A Developer",
        "GIT_COMMITTER_EMAIL": "developer@example.org",
        "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
        "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    }

    def make(files: Mapping[str, str | bytes]) -> Path:
        root = tmp_path / f"repository{next(numbers)}"
        root.mkdir()
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        for arguments in (
            ["init", "-q", "-b", "main"],
            ["add", "--all", "--force"],
            ["commit", "-q", "--allow-empty", "-m", "The application"],
        ):
            subprocess.run(["git", *arguments], cwd=root, env=environment, check=True)
        return root

    return make
