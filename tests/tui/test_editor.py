from __future__ import annotations

import os
from pathlib import Path

import pytest

from checks.model import Location
from tui import editor


def test_only_files_inside_the_repository(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "a.py").write_text("x")
    (tmp_path / "secret").write_text("x")
    (root / "link").symlink_to(tmp_path / "secret")
    assert editor.place(root, Location("a.py", 3)) == (root / "a.py").resolve()
    for path in ("../secret", "link", "absent.py", str(tmp_path / "secret"), "a\x00b", "."):
        assert editor.place(root, Location(path, 1)) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("vim -p", ["vim", "-p", "+7", "/r/a.py"]),
        ("code", ["code", "--wait", "--goto", "/r/a.py:7"]),
        ("hx", ["hx", "/r/a.py:7"]),
    ],
)
def test_the_line_in_the_editors_own_way(
    words: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / words.split()[0]
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert editor.command(Path("/r/a.py"), 7, {"EDITOR": words}) == expected


def test_no_editor() -> None:
    assert editor.command(Path("/r/a.py"), 7, {"EDITOR": "surely-not-installed"}) is None
