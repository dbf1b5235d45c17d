"""Lines of code of the repository at hand."""

from __future__ import annotations

from pathlib import Path

from checks.model import Location
from tui.editor import place

LARGEST_FILE_BYTES = 1024 * 1024
LINES_BEFORE, LINES_AFTER = 1, 5


def excerpt_of(repository: Path | None, location: Location | None) -> tuple[tuple[int, str], ...]:
    """A few numbered lines of code around `location`; nothing if the file is not at hand."""
    path = place(repository, location) if repository is not None and location is not None else None
    if path is None or location is None:
        return ()
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            return ()
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ()
    first = max(1, location.line - LINES_BEFORE)
    return tuple(enumerate(lines[first - 1 : location.line + LINES_AFTER], first))
