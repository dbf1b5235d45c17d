"""The editor and the shell have the terminal for a while, and give it back as it was."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import PROGRAM, Run
from tests.e2e.test_terminal import WALKING, Terminal

pytestmark = pytest.mark.all

CODE = """\
def names(connection, ids):
    return [connection.execute("SELECT name FROM users WHERE id = %s", (id,)).fetchone() for id in ids]


def page(connection, number):
    return connection.execute("SELECT * FROM users ORDER BY id LIMIT 50 OFFSET %s", (number * 50,)).fetchall()
"""


@pytest.fixture
def shell(tmp_path: Path, home: Path) -> Iterator[Terminal]:
    """A shell with job control."""
    environment = {"HOME": str(home), "TERM": "xterm-256color", "PS1": "ready> ", "EDITOR": str(tmp_path / "editor")}
    words = shlex.join(f"{name}={value}" for name, value in environment.items())
    shown = Terminal(tmp_path / "shell", f"env -u COLUMNS -u LINES {words} bash --norc --noprofile -i", 120, 40)
    yield shown
    shown.end()


def test_the_terminal_comes_back_as_it_was(
    shell: Terminal, pgsurveyor: Run, repository: Callable[..., Path], tmp_path: Path
) -> None:
    assert (
        pgsurveyor("run", "--no-database", str(repository({"app.py": CODE})), "--output", "scorecard.md").returncode
        == 0
    )
    review = pgsurveyor("reviews").stdout.split()[0]
    editor = tmp_path / "editor"
    turn = tmp_path / "turn"
    editor.write_text(f'#!/bin/sh\necho "turn $(cat {turn}) $1 $2"\nread answer\nexit "${{answer:-0}}"\n')
    editor.chmod(0o755)
    shell.press(shlex.join([*PROGRAM, "walk", review]), "Enter")
    shell.wait_for(WALKING)
    shell.press("G", "C-c")
    before = shell.wait_for("q quits; everything is saved")
    cursor = [line for line in before.splitlines() if line.startswith("▌")]
    for answer, words in (("", WALKING), ("3", "editor ended with status 3"), ("C-c", WALKING)):
        turn.write_text(answer or "first")
        shell.press("e")
        assert "/app.py" in shell.wait_for(f"turn {answer or 'first'} +")
        shell.press(*(answer, "Enter") if answer != "C-c" else (answer,))
        assert cursor == [line for line in shell.wait_for(words).splitlines() if line.startswith("▌")]
    for width, height in ((120, 40), (100, 30)):
        shell.press("C-z")
        shell.wait_for("Stopped")
        shell.run("resize-window", "-t", "e2e", "-x", str(width), "-y", str(height))
        shell.press("fg", "Enter")
        shell.wait_for(cursor[0][:20])
        shell.press("j")
    shell.press("q")
    assert "Stopped" in shell.wait_for("ready> ")
