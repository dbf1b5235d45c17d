"""The demo's truth: each statement of its workload is matched to the function that sends it, and to nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from checks.evidence.database.facts import Statements
from checks.evidence.evidence import Evidence
from checks.evidence.observe import Target, observe
from checks.evidence.repository.facts import Repository
from checks.model import Location
from tests.tui.demo.truth import same_statement
from tui.demo.launch import Demo
from tui.demo.statements import SOURCES, Source, statement

ENOUGH = 0.95


@pytest.fixture(scope="module")
def evidence(demo: Demo) -> Evidence:
    return observe(Target(dsn=demo.dsn, repository=demo.repository)).evidence


def test_nearly_every_statement_is_matched_to_its_line(demo: Demo, evidence: Evidence) -> None:
    missed, wrong, count = [], [], 0
    for name, source in SOURCES.items():
        if source.vectors and not demo.vectors:
            continue
        lines = _lines(demo.repository / source.path, source)
        text = statement(name).text
        for entry in evidence.get(Statements).entries:
            if not same_statement(entry.text, text):
                continue
            count += 1
            places = [place for place, _ in evidence.statement_locations.get(entry.query_id, ())]
            if not any(_stands(place, source, lines) for place in places):
                missed.append(name)
            # Two statements of the worker and the API are the same; every other place would be an error.
            wrong += [(name, place) for place in places if not _in_some_source(demo, text, place)]
    assert wrong == []
    assert count >= len(SOURCES) - 12
    assert len(missed) <= (1 - ENOUGH) * count, missed


def test_what_the_orm_sent_is_matched_by_its_access(evidence: Evidence) -> None:
    matched = {match.location for match in evidence.get(Repository).matches if match.how == "pattern"}
    calls = {call.location for call in evidence.get(Repository).calls}
    assert len(matched & calls) >= 11
    assert matched <= calls


def _stands(place: Location, source: Source, lines: range) -> bool:
    return place.path == source.path and place.line in lines


def _in_some_source(demo: Demo, text: str, place: Location) -> bool:
    return any(
        same_statement(statement(name).text, text)
        and _stands(place, source, _lines(demo.repository / source.path, source))
        for name, source in SOURCES.items()
    )


def _lines(path: Path, source: Source) -> range:
    """The lines of the function or constant."""
    code = path.read_text("utf-8")
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(code)):
            names = [target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)]
            if source.anchor in (getattr(node, "name", None), *names) and isinstance(node, ast.stmt):
                return range(node.lineno, (node.end_lineno or node.lineno) + 1)
        raise LookupError(source.anchor)
    begin = re.search(rf"^(export )?(async )?function {source.anchor}\(", code, re.MULTILINE)
    assert begin is not None, source.anchor
    end = code.find("\n}\n", begin.start())
    return range(code.count("\n", 0, begin.start()) + 1, code.count("\n", 0, end) + 3)
