from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from checks.shadow.server import EmbeddedServer
from tests.servers import Database, PrimaryAndStandby, pgvector_version, start_chosen

# How long a machine takes that does other things too says nothing about a property.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--major", type=int, default=None, help="the major that the fixtures start: 14 to 17, else the embedded 18"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With an older major, tests that use no server of the fixtures, or need more than that major has, are deselected."""
    major: int | None = config.getoption("major")
    if major is None:
        return
    left_out = [item for item in items if not _uses_a_server(item) or _needs_more_than(item, major)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _uses_a_server(item: pytest.Item) -> bool:
    return not {"server", "primary_and_standby", "publishing_server"}.isdisjoint(getattr(item, "fixturenames", ()))


def _needs_more_than(item: pytest.Item, major: int) -> bool:
    since, vector = item.get_closest_marker("since"), item.get_closest_marker("vector")
    if since is not None and major < since.args[0]:
        return True
    return vector is not None and (pgvector_version(major) or ()) < (vector.args or ((0,),))[0]


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Iterator[EmbeddedServer]:
    """PostgreSQL 18, or what --major says, with pg_stat_statements preloaded and pgvector at hand (on 14 there is none); shared
    by all tests of a worker."""
    with start_chosen(pytestconfig) as running:
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
def primary_and_standby(pytestconfig: pytest.Config) -> Iterator[PrimaryAndStandby]:
    """A primary of its own with one streaming standby, `standby1`, shared by all tests of a worker."""
    with start_chosen(pytestconfig) as primary:
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
