"""Collects the models of Rust, Ruby and Go code, and then the calls that use them."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Iterable

from checks.evidence.repository.cache import Cache, facts_key, file_key
from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm import (
    activerecord,
    activerecord_calls,
    activerecord_classes,
    activerecord_declarations,
    activerecord_tables,
    diesel,
    diesel_calls,
    gorm,
    gorm_calls,
)
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.ruby import underscored
from checks.evidence.repository.orm.syntax import Source, source_of

_EXTENSIONS = frozenset(["rs", "rb", "rake", "go"])
_MAXIMUM_CALLS = 50_000


def is_read(file: SourceFile) -> bool:
    """Whether the file is for these readers."""
    return file.extension in _EXTENSIONS or activerecord_tables.SCHEMA_FILE.search(file.path) is not None


class OtherLanguages:
    """Models may stand in any file: those that may hold calls are kept until all are known."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._tables: list[Model] = []
        self._forms: dict[str, diesel.Form] = {}
        self._diesel: list[SourceFile] = []
        self._classes: list[activerecord_declarations.Declaration] = []
        self._rails: list[activerecord_tables.Table] = []
        self._ruby: list[SourceFile] = []
        self._structs: list[gorm.Struct] = []
        self._gorm: list[SourceFile] = []

    def read(self, file: SourceFile) -> None:
        if file.extension == "rs":
            if diesel.CANDIDATE.search(file.text):
                self._tables += diesel.read_tables(file)
            if "table_name" in file.text:
                self._forms |= diesel.read_forms(file)
            if diesel_calls.CANDIDATE.search(file.text):
                self._diesel.append(file)

        elif file.extension == "go":
            if gorm.CANDIDATE.search(file.text):
                self._structs += gorm.read_structs(source_of(file))
            if gorm_calls.CANDIDATE.search(file.text):
                self._gorm.append(file)
        elif activerecord_tables.SCHEMA_FILE.search(file.path):
            self._rails += activerecord_tables.read_schema(file)
        else:
            if activerecord_declarations.CANDIDATE.search(file.text):
                self._classes += activerecord_declarations.read_declarations(source_of(file))
            if activerecord_calls.CANDIDATE.search(file.text):
                self._ruby.append(file)

    def finish(self, models: list[Model], calls: list[OrmCall], cancelled: threading.Event | None) -> None:
        """Adds what was found; `cancelled`, once set, ends it soon."""

        def read_all(
            name: str,
            words: Iterable[str],
            files: list[SourceFile],
            read_calls: Callable[[Source], list[OrmCall]],
            *depends_on: object,
        ) -> None:
            depended = facts_key(depends_on)
            named = re.compile(rf"\b(?:{'|'.join(sorted({re.escape(word) for word in words}))})\b")
            for file in files:
                if (cancelled is not None and cancelled.is_set()) or len(calls) > _MAXIMUM_CALLS:
                    return
                if named.search(file.text) is None:
                    continue
                read = functools.partial(_read_calls, file, read_calls)
                calls.extend(self._cache.remember(name, (file_key(file), depended), list[OrmCall], read))

        if self._tables:
            models += self._tables
            known = Models(self._tables)
            read_all(
                "diesel",
                {table.name for table in self._tables},
                self._diesel,
                lambda source: diesel_calls.read_calls(source, known, self._forms),
                self._tables,
                self._forms,
            )
        entries = activerecord.build_models(self._classes, self._rails)
        if entries:
            models += [entry.model for entry in entries.values()]
            classes = activerecord_classes.Classes(entries)
            last = {name.rpartition("::")[2] for name in entries}
            last |= {name.rpartition("::")[2] for entry in entries.values() for name, _ in entry.concerns}
            words = (
                last
                | {underscored(name) for name in last}
                | {name.lower() for name in last}
                | {f"current_{underscored(name)}" for name in last}
            )
            read_all(
                "activerecord",
                words,
                self._ruby,
                lambda source: activerecord_calls.read_calls(source, classes),
                entries,
            )
        structs = gorm.build_models(self._structs)
        if structs:
            models += structs
            rows = Models(structs)
            read_all(
                "gorm",
                {model.name for model in structs},
                self._gorm,
                lambda source: gorm_calls.read_calls(source, rows),
                structs,
            )


def _read_calls(file: SourceFile, read_calls: Callable[[Source], list[OrmCall]]) -> list[OrmCall]:
    return read_calls(source_of(file))
