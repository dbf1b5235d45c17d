"""Opening a line of code in the user's editor. Paths come from evidence, which may come from a stranger."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from checks.model import Location

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
