"""Collects the models of Rust, Ruby and Go code, and then the calls that use them."""

from __future__ import annotations

import threading

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm import diesel, diesel_calls
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.syntax import source_of

EXTENSIONS = frozenset(["rs"])
_MAXIMUM_CALLS = 50_000


class OtherLanguages:
    """Models may stand in any file: those that may hold calls are kept until all are known."""

    def __init__(self) -> None:
        self._tables: list[Model] = []
        self._forms: dict[str, diesel.Form] = {}
        self._diesel: list[SourceFile] = []

    def read(self, file: SourceFile) -> None:
        if file.extension == "rs":
            if diesel.CANDIDATE.search(file.text):
                self._tables += diesel.read_tables(file)
            if "table_name" in file.text:
                self._forms |= diesel.read_forms(file)
            if diesel_calls.CANDIDATE.search(file.text):
                self._diesel.append(file)

    def finish(self, models: list[Model], calls: list[OrmCall], cancelled: threading.Event | None) -> None:
        """Adds what was found; `cancelled`, once set, ends it soon."""
        if self._tables:
            known = Models(self._tables)
            models += self._tables
            for file in self._diesel:
                if (cancelled is not None and cancelled.is_set()) or len(calls) > _MAXIMUM_CALLS:
                    return
                calls += diesel_calls.read_calls(source_of(file), known, self._forms)
