"""Collects what speaks to the database through clients that name its tables themselves, and reads it when all files are known."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm import knex, kysely, kysely_types, supabase, supabase_python
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.named_tables import Constants, snake_case
from checks.evidence.repository.orm.sequelize_reader import Sequelize
from checks.evidence.repository.orm.syntax import Source, source_of
from checks.evidence.repository.orm.typeorm_reader import TypeOrm

MAXIMUM_CALLS = 50_000

_DATABASE = re.compile(r"interface\s+\w*(?:DB|Db|Database)\w*\b")
_OF_KYSELY = ("selectFrom", "insertInto", "updateTable", "deleteFrom")
_SUPABASE = re.compile(r"@supabase/|\bsupabase\b|postgrest", re.IGNORECASE)

ReadCalls = Callable[[Source], list[OrmCall]]


class NamedTables:
    def __init__(self) -> None:
        self._constants = Constants()
        self._types: list[SourceFile] = []
        self._supabase: list[SourceFile] = []
        self._python: list[SourceFile] = []
        self._kysely: list[SourceFile] = []
        self._interfaces: list[SourceFile] = []
        self._databases: dict[str, None] = {}
        self._camel_case = False
        self._knex: list[SourceFile] = []
        self._uses_knex = False
        self._typeorm = TypeOrm()
        self._sequelize = Sequelize()

    def read(self, file: SourceFile) -> None:
        """Takes note of a file of Python, TypeScript or JavaScript."""
        if file.extension == "py":
            if supabase_python.CANDIDATE.search(file.text) and _SUPABASE.search(file.text):
                self._python.append(file)
            return
        if "export const" in file.text:
            self._constants.note(file.text)
        self._typeorm.read(file)
        self._sequelize.read(file)
        text = file.text
        if "Tables" in text and supabase.TYPES.search(text):
            self._types.append(file)
        if supabase.CANDIDATE.search(text) and _SUPABASE.search(text):
            self._supabase.append(file)
        self._uses_knex = self._uses_knex or (("knex" in text or "Knex" in text) and bool(knex.LIBRARY.search(text)))
        if knex.CANDIDATE.search(text):
            self._knex.append(file)
        if any(word in text for word in _OF_KYSELY) and kysely.CANDIDATE.search(text):
            self._kysely.append(file)
        if (
            "ysely" in text
            or "Generated<" in text
            or "ColumnType<" in text
            or ("interface" in text and _DATABASE.search(text))
        ):
            self._databases |= dict.fromkeys(kysely_types.DATABASE.findall(text))
            self._camel_case |= "new CamelCasePlugin(" in text
            if kysely_types.CANDIDATE.search(text):
                self._interfaces.append(file)

    def finish(self, models: list[Model], calls: list[OrmCall], cancelled: threading.Event | None) -> None:
        """Adds the models and calls found."""
        constants = self._constants.known()
        tables = [table for file in self._types for table in supabase.read_types(source_of(file))]
        self._typeorm.finish(models, calls, cancelled)
        self._sequelize.finish(models, calls, cancelled)
        models += [*tables, *self._tables_of_kysely()]
        known = Models(tables)
        readers: list[tuple[list[SourceFile], ReadCalls]] = [
            (self._supabase, lambda source: supabase.read_calls(source, known, constants)),
            (self._kysely, lambda source: kysely.read_calls(source, constants, self._spell)),
            (self._knex if self._uses_knex else [], lambda source: knex.read_calls(source, constants)),
            (self._python, lambda source: supabase_python.read_calls(source, known)),
        ]
        for files, read_calls in readers:
            for file in files:
                if (cancelled is not None and cancelled.is_set()) or len(calls) > MAXIMUM_CALLS:
                    return
                calls += read_calls(source_of(file))

    def _spell(self, name: str) -> str:
        return snake_case(name) if self._camel_case else name

    def _tables_of_kysely(self) -> list[Model]:
        if not self._databases:
            return []
        types = kysely_types.Types()
        for file in self._interfaces:
            types.read(source_of(file))
        found = [model for name in self._databases for model in types.tables(name, self._spell)]
        return list(dict.fromkeys(found))
