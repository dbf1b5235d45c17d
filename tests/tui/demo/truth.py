"""What planted.toml says, typed; and the statements that it names, as the server knows them."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import psycopg

from checks.model import Subject
from tui.demo import launch
from tui.demo.launch import Demo
from tui.demo.statements import statement


class Entry(msgspec.Struct, frozen=True):
    check: str
    kind: str
    path: tuple[str, ...] = ()
    statement: str = ""
    needs_vectors: bool = False
    about: str = ""
    code: str = ""
    why: str = ""

    @property
    def label(self) -> str:
        return f"{self.check} {'.'.join(self.path) or self.statement}"


class Truth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    passing: tuple[str, ...]
    planted: tuple[Entry, ...]
    trap: tuple[Entry, ...]


TRUTH = msgspec.toml.decode((Path(launch.__file__).parent / "planted.toml").read_bytes(), type=Truth)


def entries_for(demo: Demo, entries: tuple[Entry, ...]) -> list[Entry]:
    """Those that this machine's demo can have."""
    return [entry for entry in entries if demo.vectors or not entry.needs_vectors]


def subjects_of(demo: Demo, entry: Entry) -> set[Subject]:
    """What a finding about that entry may have as its subject: several query ids where one text has several."""
    if not entry.statement:
        return {Subject(entry.kind, entry.path)}
    found = statement(entry.statement)
    with psycopg.connect(demo.dsn, autocommit=True) as connection:
        rows = connection.execute("SELECT queryid, query FROM pg_stat_statements").fetchall()
    ids = {Subject("statement", (str(number),)) for number, text in rows if same_statement(text, found.text)}
    assert ids, f"{entry.statement} never ran"
    return ids | {Subject("statement", (found.path, str(found.line)))}


def same_statement(normalised: str, text: str) -> bool:
    """Whether pg_stat_statements shows `normalised` for `text`: every constant and parameter is a number there."""
    return _skeleton(normalised) == _skeleton(text)


def _skeleton(text: str) -> str:
    constants = re.sub(r"'[^']*'|(?<![\w$])\d+(\.\d+)?\b|\$\d+|\bNULL\b", "?", text)
    return " ".join(constants.split()).lower()
