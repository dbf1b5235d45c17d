"""What the tests of ORM calls read, and how they say it."""

from __future__ import annotations

from textwrap import dedent

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.reader import OrmReader


def read(files: dict[str, str]) -> tuple[tuple[Model, ...], tuple[OrmCall, ...]]:
    """Models and calls of these files, by path."""
    reader = OrmReader()
    for path, text in files.items():
        reader.read(SourceFile(path, dedent(text), path.rpartition(".")[2]))
    return reader.finish()


def only(calls: tuple[OrmCall, ...]) -> OrmCall:
    assert len(calls) == 1, calls
    return calls[0]


def tail(call: OrmCall) -> str:
    """What follows the select list."""
    return call.text[call.text.index(" FROM ") + 1 :] if call.text.startswith("SELECT") else call.text
