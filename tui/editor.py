"""Opening a line of code in the user's editor. Paths come from evidence, which may come from a stranger."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

from checks.model import Location

if TYPE_CHECKING:
    from tui.app import SurveyorApp

_GOTO = {"code", "code-insiders", "codium", "cursor", "windsurf"}
_COLON = {"hx", "helix", "subl", "zed", "micro"}
_LINE = {"idea", "pycharm", "webstorm", "phpstorm", "rubymine", "goland", "rustrover"}
_WAITS = {"-w", "--wait"}
_USUAL = ("vi", "vim", "nvim", "nano", "emacs")


def place(root: Path, location: Location) -> Path | None:
    """The file of `location` if it is one inside `root`, links followed; else None."""
    try:
        path = (root / location.path).resolve(strict=True)
        inside = path.is_relative_to(root.resolve(strict=True))
    except (OSError, ValueError, RuntimeError):
        return None
    return path if inside and path.is_file() else None


def command(path: Path, line: int, environment: Mapping[str, str] = os.environ) -> list[str] | None:
    """The command that opens `path` at `line`: of VISUAL or EDITOR, else an editor that is usually there; None if there is none.

    An editor with a window of its own is not waited for, whatever VISUAL says for the sake of git: nothing is read back.
    """
    wanted = environment.get("VISUAL") or environment.get("EDITOR") or ""
    try:
        words = shlex.split(wanted)
    except ValueError:
        words = [wanted]
    words = words or [next((name for name in _USUAL if shutil.which(name)), "")]
    if shutil.which(words[0]) is None:
        return None
    name = Path(words[0]).name
    if name in _GOTO | _LINE | _COLON:
        words = [words[0], *(word for word in words[1:] if word not in _WAITS)]
    if name in _GOTO:
        return [*words, "--goto", f"{path}:{line}"]
    if name in _LINE:
        return [*words, "--line", str(line), str(path)]
    if name in _COLON:
        return [*words, f"{path}:{line}"]
    return [*words, f"+{line}", str(path)]


@contextlib.contextmanager
def _interrupts_left_to_the_editor() -> Iterator[None]:
    """Ctrl-C reaches everything that runs in the terminal; it is meant for the editor. A handler, unlike ignoring, is not
    passed on to it."""
    previous = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def open_in_editor(surveyor: SurveyorApp, location: Location) -> None:
    """Opens that place of the repository; where that cannot be done, says where it is and why."""
    words = f"{location.path}:{location.line}"
    path = place(surveyor.repository, location) if surveyor.repository is not None else None
    called = command(path, location.line) if path is not None else None
    if called is None:
        if path is not None:
            why = "no editor was found: set EDITOR"
        elif surveyor.repository is None or not surveyor.repository.is_dir():
            why = "its repository is not at hand"
        else:
            why = "the repository has no such file any more"
        surveyor.copy_to_clipboard(words)
        surveyor.tell(f"{words}\nCopied instead; {why}.", title="Not opened", severity="warning")
        return
    editor = Path(called[0]).name
    try:
        with surveyor.suspend(), _interrupts_left_to_the_editor():
            status, why = _run(called)
    except SuspendNotSupported:
        surveyor.copy_to_clipboard(words)
        surveyor.tell(f"{words}\nCopied instead; this terminal cannot be given away.", title="Not opened")
        return
    surveyor.refresh()
    if status > 0 or why:
        surveyor.copy_to_clipboard(words)
        surveyor.tell(f"{words}\nCopied instead; {editor} {why or f'ended with status {status}'}.", title="Not opened",
                      severity="warning")  # fmt: skip


def _run(called: list[str]) -> tuple[int, str]:
    """The status that the editor ended with, below 0 for a signal, or why it could not be started."""
    try:
        return subprocess.run(called, check=False).returncode, ""
    except OSError as error:
        return 0, f"could not be started: {error.strerror}"
