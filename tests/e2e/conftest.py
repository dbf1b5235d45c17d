from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.demo_fixture import demo as demo  # used by name

Run = Callable[..., "subprocess.CompletedProcess[str]"]

PROGRAM = [str(Path(sys.executable).with_name("pgsurveyor"))]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def pgsurveyor(home: Path) -> Run:
    """Runs the installed program in a home of its own, with nothing of the tester's environment that names a database."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "DATABASE_", "XDG_"))}
    environment = {**kept, "HOME": str(home), "NO_COLOR": "1"}

    def run(*words: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *words],
            cwd=cwd or home,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
