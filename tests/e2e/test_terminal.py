"""The installed program in a real terminal."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import PROGRAM, Run
from tui.demo.launch import Demo

pytestmark = pytest.mark.all

WAIT_S = 150
ACCEPTING = "who fixes it"
WALKING = "next open"


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

    def wait_for_decided(self, count: int) -> str:
        """Until the header says that so many findings are decided."""
        begun = time.monotonic()
        while not re.search(rf"(?<!\d){count} of \d+ decided", screen := self.screen):
            assert time.monotonic() - begun < WAIT_S, f"{count} decided did not appear on\n{screen}"
            time.sleep(0.1)
        return screen

    def accept(self, before: int) -> None:
        """Accepts the finding under the cursor, as the next after so many decisions."""
        self.press("a")
        self.wait_for(ACCEPTING)
        self.press("Enter")
        self.wait_for_decided(before + 1)

    def kill_program(self, words: str) -> None:
        """kill -9 to the program of this terminal alone."""
        shell = self.run("display-message", "-p", "-t", "e2e", "#{pane_pid}").strip()
        [child] = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        assert words in Path(f"/proc/{child}/cmdline").read_text()
        os.kill(int(child), signal.SIGKILL)
        self.wait_for("left with status")

    def end(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def terminal(tmp_path: Path, home: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_terminal(words: list[str], width: int = 80, height: int = 24) -> Terminal:
        command = f"env -u COLUMNS -u LINES HOME={shlex.quote(str(home))} TERM=xterm-256color {shlex.join([*PROGRAM, *words])}"
        opened.append(Terminal(tmp_path / f"t{len(opened)}", command, width, height))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.end()


def test_a_review_from_the_run_to_the_scorecard_at_80x24(terminal: Callable[..., Terminal], demo: Demo) -> None:
    shown = terminal(["review", demo.dsn, str(demo.repository)])
    assert "READ-ONLY" in shown.wait_for("What will be read")
    shown.press("Enter")
    shown.wait_for("enter opens them")
    shown.press("Enter")
    screen = shown.wait_for_decided(0)
    assert "users_organization_email_key" in screen
    assert all(len(line) <= 80 for line in screen.splitlines())
    shown.accept(0)
    shown.press("u")
    shown.wait_for_decided(0)
    shown.press("S")
    assert "hybrid" in shown.wait_for("Level 0")
    shown.press("Q")
    shown.wait_for("yes")
    shown.press("q")
    shown.wait_for("left with status 0")


def reviewed(pgsurveyor: Run, demo: Demo) -> str:
    """The id of a saved review of the demo."""
    done = pgsurveyor("run", demo.dsn, str(demo.repository), "--output", "scorecard.md")
    assert done.returncode == 0, done.stderr
    return pgsurveyor("reviews").stdout.split()[0]


def test_every_page_at_three_sizes(terminal: Callable[..., Terminal], pgsurveyor: Run, demo: Demo) -> None:
    review = reviewed(pgsurveyor, demo)
    for width, height in ((80, 24), (120, 40), (200, 60)):
        shown = terminal(["walk", review], width=width, height=height)
        shown.wait_for_decided(0)
        for key, words in (
            ("B", "files"), ("3", "time of all statements"), ("Q", "answered"), ("S", "demonstrated"), ("w", "space"),
            ("A", "Left to decide"), ("E", "lines,"), ("W", "next open"), ("?", "What can be done here"),
        ):  # fmt: skip
            shown.press(key)
            screen = shown.wait_for(words)
            assert all(len(line) <= width for line in screen.splitlines())
        shown.press("Escape")
        time.sleep(0.5)  # read together, escape and W are alt+W
        shown.press("W")
        shown.wait_for("next open")
        shown.press("q")
        shown.wait_for("left with status 0")


def test_two_terminals_on_one_review(terminal: Callable[..., Terminal], pgsurveyor: Run, demo: Demo) -> None:
    review = reviewed(pgsurveyor, demo)
    driver = terminal(["walk", review, "--name", "anna", "--role", "driver"], width=120, height=40)
    driver.wait_for_decided(0)
    follower = terminal(["walk", review, "--name", "bo", "--role", "navigator", "--follow"], width=120, height=40)
    follower.wait_for("anna (driver) at Walk")
    driver.press("B")
    follower.wait_for("files")
    driver.press("W")
    driver.wait_for(WALKING)
    follower.wait_for(WALKING)
    driver.accept(0)
    follower.wait_for_decided(1)
    follower.press("F")
    follower.wait_for("not following any more")
    follower.press("]", "x")
    follower.wait_for("Why it is not true")
    follower.press("n", "o", "Enter")
    driver.wait_for_decided(2)
    driver.press("q")
    driver.wait_for("left with status 0")
    follower.press("q")
    follower.wait_for("left with status 0")


def test_killed_at_any_moment_nothing_is_lost(
    terminal: Callable[..., Terminal], pgsurveyor: Run, demo: Demo, home: Path
) -> None:
    """What the header counts as decided is on disk: the program is killed at once, again and again, and goes on where it was."""
    review = reviewed(pgsurveyor, demo)
    decided = 0
    for pause in (0.0, 0.05, 0.3, 0.9):
        shown = terminal(["walk", review], width=120, height=40)
        shown.wait_for_decided(decided)
        shown.wait_for(WALKING)
        shown.press("]")
        shown.accept(decided)
        decided += 1
        shown.press("]")
        time.sleep(pause)
        shown.kill_program(review)
    shown = terminal(["walk", review], width=120, height=40)
    shown.wait_for_decided(decided)
    [events] = (home / ".local" / "share" / "pgsurveyor" / "reviews").glob("*/events.jsonl")
    lines = events.read_text().splitlines()
    assert len(lines) == decided
    assert all(json.loads(line)["kind"] == "decided" for line in lines)


def test_a_defect_tells_nothing_of_the_target_unless_asked(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    shown = terminal(["walk", str(tmp_path / "none")], width=120, height=40)
    screen = shown.wait_for("left with status")
    assert "there is no review" in screen
    assert "Traceback" not in screen


def test_what_was_decided_is_there_after_a_kill(terminal: Callable[..., Terminal], demo: Demo) -> None:
    first = terminal(["review", demo.dsn, str(demo.repository)], width=120, height=40)
    first.wait_for("What will be read")
    first.press("Enter")
    first.wait_for("enter opens them")
    first.press("Enter")
    first.wait_for_decided(0)
    first.accept(0)
    first.end()
    second = terminal([], width=120, height=40)
    second.wait_for("enter open")
    second.press("Enter")
    second.wait_for_decided(1)
