"""What the tests of behaviour read, and how they say it."""

from __future__ import annotations

from textwrap import dedent

from checks.evidence.repository.behaviour.reader import BehaviourReader
from checks.evidence.repository.facts import Behaviour, CodeStatement
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.reader import OrmReader
from checks.evidence.repository.statements import read_statements
from checks.evidence.repository.vectors.reader import VectorReader


def behaviours(files: dict[str, str]) -> tuple[Behaviour, ...]:
    """The behaviours of these files, by path."""
    orm, reader, vectors = OrmReader(), BehaviourReader(), VectorReader()
    statements: list[CodeStatement] = []
    for path, text in files.items():
        file = SourceFile(path, dedent(text), path.rpartition(".")[2])
        statements += read_statements(file)
        orm.read(file)
        reader.read(file)
        vectors.read(file)
    models, calls = orm.finish()[:2]
    return reader.finish(statements, calls, vectors.calls, models=models)


def told(code: str, path: str = "app/service.py", **files: str) -> list[tuple[str, int, int | None]]:
    """Kind, line and second line of each behaviour of one file."""
    found = behaviours({path: code, **files})
    return [(entry.kind, entry.location.line, entry.other.line if entry.other else None) for entry in found]
