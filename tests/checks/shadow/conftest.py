from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def kept() -> Iterator[Path]:
    """A folder to keep a server in, at a place that every account can reach."""
    with tempfile.TemporaryDirectory(prefix="kept-", dir="/var/tmp") as place:
        Path(place).chmod(0o755)
        yield Path(place) / "kept"
