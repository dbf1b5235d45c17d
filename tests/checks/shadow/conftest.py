from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import cache_folder


@pytest.fixture
def kept() -> Iterator[Path]:
    """A folder to keep a server in, at a place that every account can reach."""
    with tempfile.TemporaryDirectory(prefix="kept-", dir="/var/tmp") as place:
        Path(place).chmod(0o755)
        yield Path(place) / "kept"


@pytest.fixture(scope="session")
def programs(pytestconfig: pytest.Config) -> Path | None:
    """The bin folder of the server's own major."""
    major: int | None = pytestconfig.getoption("major")
    return None if major is None else cache_folder() / str(major) / "bin"
