"""A scorecard as files. Each format is a module of its own, imported when it is asked for."""

from __future__ import annotations

import importlib
from pathlib import Path

from checks.errors import ExportError, UsageError
from checks.files import write_atomically
from scorecards.model import Scorecard

FORMATS = {
    "markdown": "scorecard.md",
    "comment": "comment.md",
    "json": "scorecard.json",
    "sarif": "scorecard.sarif",
    "junit": "junit.xml",
    "badge": "badge.json",
}


def render(scorecard: Scorecard, format: str) -> str:
    """The text of that format, the same bytes for the same scorecard. Raises UsageError for an unknown format."""
    if format not in FORMATS:
        raise UsageError(f"no format is called {format!r}", f"there are {', '.join(FORMATS)}")
    module = importlib.import_module(f"scorecards.exports.{format}")
    text: str = module.render(scorecard)
    return text


def write(scorecard: Scorecard, format: str, path: Path) -> Path:
    """Writes that format to a file, or under its own name into a folder, in one step; returns the file. Raises ExportError."""
    target = path / FORMATS[format] if path.is_dir() else path
    try:
        write_atomically(target, render(scorecard, format).encode("utf-8"))
    except OSError as error:
        raise ExportError(f"cannot write {target}: {error.strerror}", "choose another place") from error
    return target
