"""What evidence and the repository at hand have on a finding, beyond its own figures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from checks.evidence.database.facts import Statement, Statements
from checks.evidence.evidence import Evidence
from checks.model import Finding, Location
from tui.editor import place

LARGEST_FILE_BYTES = 1024 * 1024
LINES_BEFORE, LINES_AFTER = 1, 5


def statements_of(evidence: Evidence, finding: Finding) -> tuple[Statement, ...]:
    """The statements of pg_stat_statements that the finding names, by its subject or its figures."""
    statements = evidence.find(Statements)
    if statements is None:
        return ()
    ids: list[str] = [subject.path[0] for subject in (finding.subject, *finding.related) if subject.kind == "statement"]
    for key in ("statement", "statements", "query_id"):
        named = finding.observed.get(key)
        ids += [named] if isinstance(named, str) else [str(one) for one in named] if isinstance(named, Iterable) else []
    return tuple(statements.by_id[id] for id in dict.fromkeys(ids) if id in statements.by_id)


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
