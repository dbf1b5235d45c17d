"""Tables of Rails with their columns, as db/schema.rb or db/structure.sql has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from checks.evidence.repository.facts import ModelColumn
from checks.evidence.repository.files import SourceFile
from checks.model import Location

SCHEMA_FILE = re.compile(r"(?:^|/)db/(?:\w+_)?(?:schema\.rb|structure\.sql)$")
_CREATE_TABLE = re.compile(r"^[ \t]*create_table\s+[\"']([\w.]{1,127})[\"']([^\n]*)\n", re.MULTILINE)
_END = re.compile(r"^[ \t]*end\b", re.MULTILINE)
_RUBY_COLUMN = re.compile(r"^[ \t]*t\.(\w+)\s+[\"'](\w{1,63})[\"']([^\n]*)", re.MULTILINE)
_SQL_TABLE = re.compile(r"^CREATE TABLE (?:(\w+)\.)?(\w{1,63}) \(\n", re.MULTILINE)
_CLOSED = re.compile(r"^\)", re.MULTILINE)
_SQL_COLUMN = re.compile(r'^    "?(\w{1,63})"? ([a-z"][^\n]*?),?$', re.MULTILINE)
_SQL_KEY = re.compile(r"^ALTER TABLE ONLY (?:\w+\.)?(\w+)\s+ADD CONSTRAINT \w+ PRIMARY KEY \(([^)]*)\)", re.MULTILINE)
_LENGTH = re.compile(r"\((\d{1,9})\)")
_MAXIMUM_TABLES = 5_000
_MAXIMUM_BODY = 100_000


class Table(NamedTuple):
    name: str
    schema: str | None
    columns: tuple[ModelColumn, ...]


def read_schema(file: SourceFile) -> list[Table]:
    """The tables of db/schema.rb, or of the pg_dump that db/structure.sql is."""
    return _read_structure(file) if file.extension == "sql" else _read_schema(file)


def _blocks(text: str, head: re.Pattern[str], end: re.Pattern[str]) -> Iterator[tuple[re.Match[str], str, int]]:
    """What stands between each head and the next end: the head, the text and its first line."""
    line, position = 1, 0
    for match in islice(head.finditer(text), _MAXIMUM_TABLES):
        closing = end.search(text, match.end())
        if closing is None:
            return
        line += text.count("\n", position, match.end())
        position = match.end()
        yield match, text[match.end() : min(closing.start(), match.end() + _MAXIMUM_BODY)], line


def _read_schema(file: SourceFile) -> list[Table]:
    found = []
    for match, body, line in _blocks(file.text, _CREATE_TABLE, _END):
        name, options = match.groups()
        columns = []
        if "id: false" not in options:
            key = re.search(r"primary_key:\s*\"(\w+)\"", options)
            kind = re.search(r"\bid:\s*:(\w+)", options)
            key_name = key.group(1) if key else "id"
            place = Location(file.path, line - 1)
            columns.append(
                ModelColumn(
                    key_name, key_name, place, kind.group(1) if kind else "bigint", nullable=False, primary_key=True
                )
            )
        for column in _RUBY_COLUMN.finditer(body):
            kind_, attribute, rest = column.groups()
            if kind_ in ("index", "check_constraint", "foreign_key", "unique_constraint", "exclusion_constraint"):
                continue
            at = Location(file.path, line + body.count("\n", 0, column.start(2)))
            length = re.search(r"\blimit:\s*(\d{1,9})", rest)
            columns.append(
                ModelColumn(
                    attribute,
                    attribute,
                    at,
                    kind_,
                    int(length.group(1)) if length else None,
                    nullable="null: false" not in rest,
                )
            )
        schema, _, table = name.rpartition(".")
        found.append(Table(table, schema or None, tuple(columns)))
    return found


def _read_structure(file: SourceFile) -> list[Table]:
    keys = {name: {key.strip(' "') for key in listed.split(",")} for name, listed in _SQL_KEY.findall(file.text)}
    found = []
    for match, body, line in _blocks(file.text, _SQL_TABLE, _CLOSED):
        schema, name = match.groups()
        columns = []
        for column in _SQL_COLUMN.finditer(body):
            attribute, rest = column.groups()
            if attribute == "CONSTRAINT":
                continue
            kind = re.split(r"\s+(?:NOT NULL|DEFAULT|COLLATE|GENERATED)\b", rest)[0]
            length = _LENGTH.search(kind)
            at = Location(file.path, line + body.count("\n", 0, column.start()))
            columns.append(
                ModelColumn(attribute, attribute, at, kind.partition("(")[0], int(length.group(1)) if length else None,
                            nullable="NOT NULL" not in rest, primary_key=attribute in keys.get(name, ()))
            )  # fmt: skip
        found.append(Table(name, None if schema == "public" else schema, tuple(columns)))
    return found
