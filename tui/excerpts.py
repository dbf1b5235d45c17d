"""Lines of code of the repository at hand."""

from __future__ import annotations

from pathlib import Path

from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.model import Location
from tui.editor import place as place_of

LARGEST_FILE_BYTES = 1024 * 1024
LINES_BEFORE, LINES_AFTER = 1, 5


def repository_at_hand(evidence: Evidence, *places: Path) -> Path | None:
    """The git repository of the reviewed name in which one of `places` lies: a review that is kept beside its code, or a
    program that was started there."""
    reviewed = evidence.find(Repository)
    if reviewed is None:
        return None
    for place in places:
        for folder in (place, *place.parents):
            if folder.name == reviewed.name and (folder / ".git").exists():
                return folder
    return None


def excerpt_of(repository: Path | None, location: Location | None) -> tuple[tuple[int, str], ...]:
    """A few numbered lines of code around `location`; nothing if the file is not at hand."""
    path = place_of(repository, location) if repository is not None and location is not None else None
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
