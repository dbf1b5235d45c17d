"""Statements of clients that name tables and columns as the database does: supabase-js, Knex, Kysely."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from checks.evidence.repository.facts import Model
from checks.evidence.repository.orm.query import COLUMNS, JOINS, VALUE, Query, quoted
from checks.model import Location

_NAME = re.compile(r"[A-Za-z_][\w$-]*")
_ALIASED = re.compile(r"\s*([\w$.*\-]+)(?:\s+(?:as\s+)?([\w$-]+))?\s*", re.IGNORECASE)
_EXPORTED = re.compile(r"export const ([A-Za-z_$][\w$]*)(?:\s*:\s*string)?\s*=\s*(['\"`])([\w.]{1,63})\2")


class Argument(NamedTuple):
    """An argument as far as the code tells it: `shape` is its text if it is a string, with a VALUE for each part put in;
    `entries` what an object or dictionary has by known names, `whole` whether that is all; `elements` of an array."""

    text: str
    shape: str | None = None
    entries: dict[str, Argument] | None = None
    whole: bool = False
    elements: tuple[Argument, ...] | None = None

    @property
    def string(self) -> str | None:
        return self.shape if self.shape is not None and VALUE not in self.shape else None


class NamedQuery(Query):
    """`aliases` are the relations that a column may be qualified with, by the name they go by in the statement; `spell` turns
    a column's or table's name in code into that of the database."""

    def __init__(
        self,
        verb: str,
        schema: str | None,
        table: str,
        alias: str | None = None,
        *,
        spell: Callable[[str], str] = str,
    ) -> None:
        super().__init__(verb, Model(table, "", spell(table), Location("", 0), schema), alias and spell(alias))
        self.spell = spell
        self.aliases = {self.alias}
        self.columns = [f"{quoted(self.alias)}.*"]

    def column(self, attribute: str) -> str | None:
        """`name`, `alias.name` or `schema.table.name` as SQL; None if it is no name, or of a relation that is not in FROM."""
        parts = attribute.strip().split(".")
        if not all(_NAME.fullmatch(part) for part in parts) or len(parts) > 3:
            return None
        parts = [self.spell(part) for part in parts]
        if len(parts) == 1:
            name = quoted(parts[0])
            return name if self.joins or JOINS in self.partial else f"{quoted(self.alias)}.{name}"
        if len(parts) == 3:
            parts = parts[1:]
        if parts[0] not in self.aliases:
            return None
        return ".".join(quoted(part) for part in parts)

    def write(self, attribute: str) -> None:
        name = attribute.rpartition(".")[2]
        if _NAME.fullmatch(name):
            self.written[self.spell(name)] = None
        else:
            self.partial.add(COLUMNS)

    def join(self, kind: str, schema: str | None, table: str, alias: str, condition: str) -> None:
        table, alias = self.spell(table), self.spell(alias)
        self.aliases.add(alias)
        name = f"{quoted(schema)}.{quoted(table)}" if schema else quoted(table)
        on = "" if kind == "CROSS JOIN" else f" ON {condition or 'true'}"
        self.joins.append(f"{kind} {name} AS {quoted(alias)}{on}")


def aliased(reference: str) -> tuple[str, str | None] | None:
    """`name` and alias in `users as u`, `users u`; None if that is no reference."""
    match = _ALIASED.fullmatch(reference)
    return (match.group(1), match.group(2)) if match else None


def split_name(name: str) -> tuple[str | None, str] | None:
    """Schema and table; None if it is no name of a table."""
    parts = name.split(".")
    if len(parts) > 2 or not all(_NAME.fullmatch(part) for part in parts):
        return None
    return (parts[0] if len(parts) == 2 else None), parts[-1]


class Constants:
    """Strings that modules export under a name: those that one name stands for everywhere."""

    def __init__(self) -> None:
        self._values: dict[str, set[str]] = {}

    def note(self, code: str) -> None:
        for match in _EXPORTED.finditer(code):
            self._values.setdefault(match.group(1), set()).add(match.group(3))

    def known(self) -> Mapping[str, str]:
        return {name: next(iter(values)) for name, values in self._values.items() if len(values) == 1}


def snake_case(name: str) -> str:
    """As Kysely's CamelCasePlugin and TypeORM's snake case strategies write plain camel case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
