"""Tables that Diesel's `table!` declares, read from the text of the macro."""

from __future__ import annotations

import re
from itertools import islice
from typing import NamedTuple

from checks.evidence.repository.facts import Model, ModelColumn, ModelRelation
from checks.evidence.repository.files import SourceFile
from checks.model import Location

CANDIDATE = re.compile(r"\b(?:table|joinable)!\s*[({]")
_TABLE = re.compile(r"\btable!\s*[({]")
_HEAD = re.compile(
    r"""(?:\s*(?:use\s[^;]{1,200};|//[^\n]*|\#\[sql_name\s*=\s*"(?P<sql_name>[^"\n]{1,63})"\]|\#\[[^\n]*))*
    \s*(?:(?P<schema>\w{1,63})\.)?(?P<table>\w{1,63})\s*(?:\((?P<key>[^)]{0,500})\))?\s*\{""",
    re.VERBOSE,
)
_COLUMN = re.compile(
    r"^[ \t]*(?:r\#)?(?P<name>\w{1,63})\s*->\s*(?P<type>[\w<>:,\s]{1,200}?)[ \t]*,?[ \t]*(?://[^\n]*)?$", re.MULTILINE
)
_SQL_NAME = re.compile(r"#\[sql_name\s*=\s*\"([^\"\n]{1,63})\"\]\s*$")
_LENGTH = re.compile(r"#\[max_length\s*=\s*(\d{1,9})\]\s*$")
_JOINABLE = re.compile(r"\bjoinable!\s*[({]\s*(?:\w+::)*(\w+)\s*->\s*(?:\w+::)*(\w+)\s*\(\s*(\w+)\s*\)")
_FORM = re.compile(
    r"\btable_name\s*=\s*\"?(?:\w+::)*(?P<table>\w{1,63})(?:[^{};]{0,1000}?)\bstruct\s+(?P<name>\w{1,100})[^{;(]{0,200}\{(?P<fields>[^{}]{0,20000})\}"
)
_FIELD = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))?[ \t]+)?(?:r#)?(\w{1,63})[ \t]*:", re.MULTILINE)
_RENAMED = re.compile(r"\bcolumn_name\b|\bembed\b|\bserialize_as\b|\bskip_insertion\b|\bselect_expression\b")
_MAXIMUM_TABLES = 5_000


class Form(NamedTuple):
    """A struct whose `attributes` are columns of the `table`, both by their names in code."""

    table: str
    attributes: tuple[str, ...]


def read_tables(file: SourceFile) -> list[Model]:
    """The tables of the file, each with the relations that `joinable!` of the same file gives it."""
    links: dict[str, list[ModelRelation]] = {}
    for match in islice(_JOINABLE.finditer(file.text), _MAXIMUM_TABLES):
        child, parent, key = match.groups()
        links.setdefault(child, []).append(ModelRelation(parent, parent, (key,)))
    found = []
    line, position = 1, 0
    for match in islice(_TABLE.finditer(file.text), _MAXIMUM_TABLES):
        head = _HEAD.match(file.text, match.end())
        end = file.text.find("}", head.end()) if head is not None else -1
        if head is None or end < 0:
            continue
        line += file.text.count("\n", position, head.end())
        position = head.end()
        keys = [key.strip() for key in (head.group("key") or "id").split(",")]
        columns = _columns(file, head.end(), end, line, keys)
        name = head.group("table")
        schema = head.group("schema")
        at = Location(file.path, line)
        relations = tuple(links.get(name, ()))
        found.append(Model(name, "diesel", head.group("sql_name") or name, at, schema, tuple(columns), relations))
    return found


def _columns(file: SourceFile, start: int, end: int, line: int, keys: list[str]) -> list[ModelColumn]:
    found = []
    last = start
    for match in _COLUMN.finditer(file.text, start, end):
        before = file.text[last : match.start("name")]
        renamed, length = _SQL_NAME.search(before.rstrip()), _LENGTH.search(before.rstrip())
        line += file.text.count("\n", last, match.start("name"))
        last = match.start("name")
        kind = re.sub(r"\s+", "", match.group("type"))
        nullable = kind.startswith("Nullable<")
        name = match.group("name")
        found.append(
            ModelColumn(
                renamed.group(1) if renamed else name,
                name,
                Location(file.path, line),
                kind.removeprefix("Nullable<").removesuffix(">") if nullable else kind,
                int(length.group(1)) if length else None,
                nullable=nullable,
                primary_key=name in keys,
            )
        )
    return found


def read_forms(file: SourceFile) -> dict[str, Form]:
    """By their names the structs that stand for a row of a table."""
    found = {}
    for match in islice(_FORM.finditer(file.text), _MAXIMUM_TABLES):
        fields = match.group("fields")
        if not _RENAMED.search(fields):
            found[match.group("name")] = Form(match.group("table"), tuple(_FIELD.findall(fields)))
    return found
