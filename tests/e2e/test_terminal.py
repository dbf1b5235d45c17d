"""The installed program in a real terminal."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import PROGRAM
from tui.demo.launch import Demo

pytestmark = pytest.mark.all

WAIT_S = 40


class Terminal:
    """A tmux session of its own that runs the program; `screen` is what a person would read."""

    def __init__(self, socket: Path, command: str, width: int, height: int) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", os.devnull]
        said = f'{command}; echo "left with status $?"; sleep 600'
        self.run("new-session", "-d", "-s", "e2e", "-x", str(width), "-y", str(height), said)

    def run(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], check=True, capture_output=True, text=True).stdout

    def press(self, *keys: str) -> None:
        for key in keys:
            self.run("send-keys", "-t", "e2e", key)

    @property
    def screen(self) -> str:
        return self.run("capture-pane", "-p", "-t", "e2e")

    def wait_for(self, words: str) -> str:
        begun = time.monotonic()
        while words not in (screen := self.screen):
            assert time.monotonic() - begun < WAIT_S, f"{words!r} did not appear on\n{screen}"
            time.sleep(0.1)
        return screen

    def end(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_terminal(words: list[str], width: int = 80, height: int = 24) -> Terminal:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        command = f"env HOME={shlex.quote(str(home))} TERM=xterm-256color {shlex.join([*PROGRAM, *words])}"
        opened.append(Terminal(tmp_path / f"t{len(opened)}", command, width, height))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.end()


def test_a_review_from_the_run_to_the_scorecard_at_80x24(terminal: Callable[..., Terminal], demo: Demo) -> None:
    shown = terminal(["review", demo.dsn, str(demo.repository)])
    assert "READ-ONLY" in shown.wait_for("enter opens them")
    shown.press("Enter")
    screen = shown.wait_for("0 of")
    assert "users_organization_email_key" in screen
    assert all(len(line) <= 80 for line in screen.splitlines())
    shown.press("a")
    shown.wait_for("wner")
    shown.press("Enter")
    shown.wait_for("1 of")
    shown.press("u")
    shown.wait_for("0 of")
    shown.press("S")
    assert "hybrid" in shown.wait_for("Level 0")
    shown.press("Q")
    shown.wait_for("yes")
    shown.press("q")
    shown.wait_for("left with status 0")


def test_what_was_decided_is_there_after_a_kill(terminal: Callable[..., Terminal], demo: Demo) -> None:
    first = terminal(["review", demo.dsn, str(demo.repository)], width=120, height=40)
    first.wait_for("enter opens them")
    first.press("Enter")
    first.wait_for("0 of")
    first.press("a")
    first.wait_for("wner")
    first.press("Enter")
    first.wait_for("1 of")
    first.end()
    second = terminal([], width=120, height=40)
    second.wait_for("deskhand")
    second.press("Enter")
    second.wait_for("1 of")
