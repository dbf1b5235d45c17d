"""Collects the models of a repository while its files are read, and then the calls that use them."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Iterable

import msgspec

from checks.evidence.repository.cache import Cache, NoCache, facts_key, file_key
from checks.evidence.repository.facts import Model, ModelColumn, ModelRelation, OrmCall
from checks.evidence.repository.files import SourceFile, is_test
from checks.evidence.repository.languages import TYPESCRIPT
from checks.evidence.repository.orm import (
    django,
    django_calls,
    django_paths,
    drizzle,
    drizzle_calls,
    drizzle_shared,
    other_languages,
    prisma,
    prisma_calls,
    prisma_constants,
    sqlalchemy,
    sqlalchemy_calls,
    sqlalchemy_holders,
    sqlalchemy_models,
)
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.named_reader import NamedTables
from checks.evidence.repository.orm.query import column_of
from checks.evidence.repository.orm.syntax import Source, source_of
from checks.evidence.repository.statements import is_migration_code, speaks_to_another_system

MAXIMUM_CALLS = 50_000

# What every revision of Alembic has, whatever folder it is in.
_REVISION = re.compile(r"^down_revision\b[^=\n]*=", re.MULTILINE)

ReadCalls = Callable[[Source, Models], list[OrmCall]]


class OrmReader:
    """Models may stand in any file: those that may hold calls are kept until all are known. `project` has what Django's
    applications are called."""

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache if cache is not None else NoCache()
        self._declarations: list[sqlalchemy.Declaration] = []
        self._python: list[SourceFile] = []
        self._holders: list[sqlalchemy_holders.Declared] = []
        self._drizzle: list[SourceFile] = []
        self._drizzle_tables: list[SourceFile] = []
        self._schemas: list[prisma.Schema] = []
        self._prisma: list[SourceFile] = []
        self._prisma_constants: list[SourceFile] = []
        self._snake_case = False
        self._clients = NamedTables()
        self._others = other_languages.OtherLanguages(self._cache)
        self.project = django.Project()
        self._django: list[SourceFile] = []
        self._of_django: list[str] = []

    def read(self, file: SourceFile) -> None:
        """Takes note of the file. Tests, migrations and code for other database systems are left out."""
        is_other = other_languages.is_read(file)
        if file.extension not in ("py", "prisma") and file.extension not in TYPESCRIPT and not is_other:
            return
        if is_test(file.path) or is_migration_code(file.path) or speaks_to_another_system(file.path):
            return
        if is_other:
            self._others.read(file)
            return
        if file.extension == "prisma":
            self._schemas.append(prisma.read_schema(file))
            return
        if file.extension == "py" and _REVISION.search(file.text):
            return
        self._clients.read(file)
        if file.extension == "py":
            if sqlalchemy.CANDIDATE.search(file.text):
                self._declarations += self._cache.remember(
                    "sqlalchemy models",
                    (file_key(file),),
                    list[sqlalchemy.Declaration],
                    functools.partial(_read_declarations, file),
                )
            if sqlalchemy_calls.CANDIDATE.search(file.text):
                self._python.append(file)
            if sqlalchemy_holders.CANDIDATE.search(file.text):
                self._holders.append(
                    self._cache.remember(
                        "sqlalchemy classes",
                        (file_key(file),),
                        sqlalchemy_holders.Declared,
                        functools.partial(_read_holders, file),
                    )
                )
            declares = django.CANDIDATE.search(file.text) is not None
            self.project.read(file, source_of(file) if declares else None)
            self._of_django += [file_key(file)] if declares else []
            if django_calls.CANDIDATE.search(file.text):
                self._django.append(file)
            return
        if drizzle.CANDIDATE.search(file.text):
            self._drizzle_tables.append(file)
        if drizzle_calls.CANDIDATE.search(file.text):
            self._drizzle.append(file)
        if prisma_calls.CANDIDATE.search(file.text):
            self._prisma.append(file)
        if "export const" in file.text and prisma_constants.CANDIDATE.search(file.text):
            self._prisma_constants.append(file)
        self._snake_case |= "casing" in file.text and drizzle.writes_snake_case(file.text)

    def finish(self, cancelled: threading.Event | None = None) -> tuple[tuple[Model, ...], tuple[OrmCall, ...]]:
        """All models, and the calls; `cancelled`, once set, ends it soon with what was read."""
        models: list[Model] = []
        calls: list[OrmCall] = []

        def read_all(
            name: str,
            found: list[Model],
            files: Iterable[SourceFile],
            read_calls: ReadCalls,
            *settings: object,
            besides: Iterable[str] = (),
        ) -> None:
            models.extend(found)
            if not found:
                return
            depends_on = facts_key(found, settings)
            known = Models(found)
            spelled = {
                re.escape(name) for model in found for name in (model.name, model.name[:1].lower() + model.name[1:])
            }
            spelled |= {re.escape(name) for name in besides}
            names = re.compile(rf"\b(?:{'|'.join(sorted(spelled))})\b")
            for file in files:
                if (cancelled is not None and cancelled.is_set()) or len(calls) > MAXIMUM_CALLS:
                    return
                if names.search(file.text):
                    parts = (file_key(file), depends_on)
                    read = functools.partial(_read_calls, file, known, read_calls)
                    calls.extend(self._cache.remember(name, parts, list[OrmCall], read))

        declared = self.project.finish()
        project = django_paths.Project(declared)
        read_all(
            "django",
            [entry.model for entry in declared],
            self._django,
            lambda source, _: django_calls.read_calls(source, project),
            self._of_django,
        )
        holders = sqlalchemy_holders.Holders(self._holders)
        read_all(
            "sqlalchemy",
            sqlalchemy_models.build_models(self._declarations),
            self._python,
            functools.partial(sqlalchemy_calls.read_calls, holders=holders),
            self._holders,
            besides=holders.names(),
        )
        read_all("drizzle", self._tables_of_drizzle(), self._drizzle, drizzle_calls.read_calls)
        joins = any(schema.joins_relations for schema in self._schemas)
        exported = self._constants_of_prisma() if self._schemas else {}
        read_of_prisma = functools.partial(prisma_calls.read_calls, joins_relations=joins, exported=exported)
        read_all("prisma", prisma.link_models(self._schemas), self._prisma, read_of_prisma, joins, exported)
        self._clients.finish(models, calls, cancelled)
        self._others.finish(models, calls, cancelled)
        return tuple(models), tuple(sorted(set(calls), key=lambda call: (call.location, call.text)))

    def _constants_of_prisma(self) -> dict[str, str]:
        """By name the objects that modules export for Prisma's calls, but for names that stand for several."""
        found: dict[str, str] = {}
        twice: set[str] = set()
        for file in self._prisma_constants:
            read = functools.partial(_read_constants, file)
            known = self._cache.remember("prisma constants", (file_key(file),), dict[str, str], read)
            twice |= {name for name, code in known.items() if found.setdefault(name, code) != code}
        return {name: code for name, code in found.items() if name not in twice}

    def _tables_of_drizzle(self) -> list[Model]:
        tables: list[Model] = []
        relations: dict[str, list[ModelRelation]] = {}
        shared = drizzle_shared.together(
            self._cache.remember(
                "drizzle",
                (file_key(file), str(self._snake_case)),
                drizzle_shared.Shared,
                functools.partial(_read_shared, file, snake_case=self._snake_case),
            )
            for file in self._drizzle_tables
        )
        depends_on = facts_key(shared)
        for file in self._drizzle_tables:
            read = functools.partial(_read_tables, file, shared, snake_case=self._snake_case)
            parts = (file_key(file), depends_on, str(self._snake_case))
            found = self._cache.remember(
                "drizzle tables", parts, tuple[list[Model], dict[str, list[ModelRelation]]], read
            )
            tables += found[0]
            relations |= found[1]
        known = Models(tables)
        return [_linked(table, known, relations.get(table.name, [])) for table in tables]


def _read_declarations(file: SourceFile) -> list[sqlalchemy.Declaration]:
    return sqlalchemy.read_declarations(source_of(file))


def _read_holders(file: SourceFile) -> sqlalchemy_holders.Declared:
    return sqlalchemy_holders.read_holders(source_of(file))


def _read_constants(file: SourceFile) -> dict[str, str]:
    return prisma_constants.read_constants(source_of(file))


def _read_shared(file: SourceFile, *, snake_case: bool) -> drizzle_shared.Shared:
    return drizzle.read_shared(source_of(file), snake_case=snake_case)


def _read_tables(
    file: SourceFile, shared: drizzle_shared.Shared, *, snake_case: bool
) -> tuple[list[Model], dict[str, list[ModelRelation]]]:
    source = source_of(file)
    return drizzle.read_tables(source, shared, snake_case=snake_case), drizzle.relations_of(source)


def _read_calls(file: SourceFile, known: Models, read_calls: ReadCalls) -> list[OrmCall]:
    return read_calls(source_of(file), known)


def _linked(table: Model, known: Models, relations: list[ModelRelation]) -> Model:
    """The table with names of the database where Drizzle's code has variables and attributes."""

    def referenced(column: ModelColumn) -> tuple[str, ...]:
        target = known.find(column.references[0], table.location.path) if column.references else None
        key = column_of(target, column.references[1]) if target else None
        if target is None or key is None:
            return ()
        return (*((target.schema,) if target.schema else ()), target.table, key.name)

    columns = tuple(msgspec.structs.replace(column, references=referenced(column)) for column in table.columns)
    return msgspec.structs.replace(table, columns=columns, relations=tuple(relations))
