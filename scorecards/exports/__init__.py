"""A scorecard as files. Each format is a module of its own, imported when it is asked for."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from checks.errors import ExportError, UsageError
from checks.files import write_atomically
from scorecards.model import Scorecard

# A name that ends in a slash is a folder: the format makes several files in it.
FORMATS = {
    "markdown": "scorecard.md",
    "comment": "comment.md",
    "json": "scorecard.json",
    "html": "scorecard.html",
    "sarif": "scorecard.sarif",
    "junit": "junit.xml",
    "badge": "badge.json",
    "sql": "fixes.sql",
    "adr": "adr/",
}


def makes_several_files(format: str) -> bool:
    """Whether it is written into a folder always, because it is no single file."""
    return FORMATS[format].endswith("/")


def render(scorecard: Scorecard, format: str) -> str:
    """The text of that format, the same bytes for the same scorecard; of several files, one below the other, for reading.

    Raises UsageError for an unknown format.
    """
    text: str = _module(format).render(scorecard)
    return text


def render_files(scorecard: Scorecard, format: str) -> dict[str, str]:
    """The texts of that format by the names of their files, relative to the folder that they go to."""
    if makes_several_files(format):
        files: dict[str, str] = _module(format).render_files(scorecard)
        return files
    return {FORMATS[format]: render(scorecard, format)}


def write(scorecard: Scorecard, format: str, path: Path) -> tuple[Path, ...]:
    """Writes that format to a file, or under its own names into a folder, each file in one step; returns the files.

    Raises ExportError.
    """
    if path.is_dir() or makes_several_files(format):
        texts = {path / name: text for name, text in render_files(scorecard, format).items()}
    else:
        texts = {path: render(scorecard, format)}
    write_texts(texts, make_folders=makes_several_files(format))
    return tuple(texts)


def write_texts(texts: dict[Path, str], *, make_folders: bool) -> None:
    """Each file in one step, perhaps with the folders that they stand in. Raises ExportError."""
    for path, text in texts.items():
        try:
            if make_folders:
                path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text.encode("utf-8"))
        except OSError as error:
            raise ExportError(f"{path} cannot be written: {error.strerror}", "choose another path") from error


def _module(format: str) -> ModuleType:
    if format not in FORMATS:
        raise UsageError(f"no format is called {format!r}", f"there are {', '.join(FORMATS)}")
    return importlib.import_module(f"scorecards.exports.{format}")
