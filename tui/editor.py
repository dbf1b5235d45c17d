"""Opening a line of code in the user's editor. Paths come from evidence, which may come from a stranger."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

from checks.model import Location

if TYPE_CHECKING:
    from tui.app import SurveyorApp

_GOTO = {"code", "codium", "cursor", "windsurf"}
_COLON = {"hx", "helix", "subl", "zed", "micro"}


def place(root: Path, location: Location) -> Path | None:
    """The file of `location` if it is one inside `root`, links followed; else None."""
    try:
        path = (root / location.path).resolve(strict=True)
        inside = path.is_relative_to(root.resolve(strict=True))
    except (OSError, ValueError, RuntimeError):
        return None
    return path if inside and path.is_file() else None


def command(path: Path, line: int, environment: Mapping[str, str] = os.environ) -> list[str] | None:
    """The command that opens `path` at `line`: of VISUAL or EDITOR, else vi; None if there is none."""
    words = shlex.split(environment.get("VISUAL") or environment.get("EDITOR") or "vi")
    if not words or shutil.which(words[0]) is None:
        return None
    name = Path(words[0]).name
    if name in _GOTO:
        return [*words, "--wait", "--goto", f"{path}:{line}"]
    if name in _COLON:
        return [*words, f"{path}:{line}"]
    return [*words, f"+{line}", str(path)]


def open_in_editor(surveyor: SurveyorApp, location: Location) -> None:
    """Opens that place of the repository; where there is no terminal to give away, says where it is."""
    words = f"{location.path}:{location.line}"
    path = place(surveyor.repository, location) if surveyor.repository is not None else None
    called = command(path, location.line) if path is not None else None
    if called is None:
        why = "no editor was found: set EDITOR" if path is not None else "its repository is not at hand"
        surveyor.copy_to_clipboard(words)
        surveyor.tell(f"{words}\nCopied instead; {why}.", title="Not opened", severity="warning")
        return
    try:
        with surveyor.suspend():
            subprocess.run(called, check=False)
    except SuspendNotSupported:
        surveyor.copy_to_clipboard(words)
        surveyor.tell(f"{words}\nCopied instead; this terminal cannot be given away.", title="Not opened")
    except OSError as error:
        surveyor.tell(f"{called[0]} could not be started: {error.strerror}", severity="error")
    surveyor.refresh()
