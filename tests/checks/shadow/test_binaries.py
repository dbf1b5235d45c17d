from __future__ import annotations

from pathlib import Path

import pytest

from checks.errors import TargetError
from checks.shadow.binaries import copy_for_everyone
from checks.shadow.server import find_binaries, start, vector_supported
from tests.checks.shadow.helpers import QUICK, ask


def test_programs_in_a_closed_folder_are_copied(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    copied = copy_for_everyone(find_binaries(), closed)
    for path in closed.rglob("*"):
        path.chmod(0o700)
    closed.chmod(0o700)
    with start(QUICK, binaries=copied) as running:
        assert ask(running.dsn(), "SELECT 1") == 1
        assert ask(running.standby().dsn(), "SELECT 1") == 1


def test_a_folder_without_a_server_is_named(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="has no postgres, initdb, pg_basebackup"):
        find_binaries(tmp_path)


def test_the_bin_folder_may_be_given_by_its_parent() -> None:
    assert find_binaries(find_binaries().parent) == find_binaries()


@pytest.mark.parametrize(
    ("description", "supported"),
    [
        ("flags\t\t: fpu avx avx2 bmi1 bmi2 fma\nbugs\t:\n", True),
        ("flags\t\t: fpu avx bmi1 bmi2 fma\n", False),
        ("flags\t\t: fpu sse2\nother\t: avx2 fma bmi2\n", False),
        ("", False),
    ],
)
def test_pgvector_needs_what_its_build_machine_had(
    monkeypatch: pytest.MonkeyPatch, description: str, supported: bool
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert vector_supported(description) is supported
