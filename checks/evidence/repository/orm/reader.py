"""Collects the models of a repository while its files are read, and then the calls that use them."""

from __future__ import annotations

import re
import threading

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.files import SourceFile, is_test
from checks.evidence.repository.orm import sqlalchemy, sqlalchemy_calls
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.syntax import source_of
from checks.evidence.repository.statements import is_migration_code, speaks_to_another_system

MAXIMUM_CALLS = 50_000


class OrmReader:
    """Models may stand in any file: those that may hold calls are kept until all are known."""

    def __init__(self) -> None:
        self._declarations: list[sqlalchemy.Declaration] = []
        self._python: list[SourceFile] = []

    def read(self, file: SourceFile) -> None:
        """Takes note of the file. Tests, migrations and code for other database systems are left out."""
        if file.extension != "py" or is_test(file.path) or is_migration_code(file.path):
            return
        if speaks_to_another_system(file.path):
            return
        if sqlalchemy.CANDIDATE.search(file.text):
            self._declarations += sqlalchemy.read_declarations(source_of(file))
        if sqlalchemy_calls.CANDIDATE.search(file.text):
            self._python.append(file)

    def finish(self, cancelled: threading.Event | None = None) -> tuple[tuple[Model, ...], tuple[OrmCall, ...]]:
        """All models, and the calls; `cancelled`, once set, ends it soon with what was read."""
        models = sqlalchemy.build_models(self._declarations)
        calls: list[OrmCall] = []
        if models:
            known = Models(models)
            names = re.compile(rf"\b(?:{'|'.join(sorted({re.escape(model.name) for model in models}))})\b")
            for file in self._python:
                if (cancelled is not None and cancelled.is_set()) or len(calls) > MAXIMUM_CALLS:
                    break
                if names.search(file.text):
                    calls += sqlalchemy_calls.read_calls(source_of(file), known)
        return tuple(models), tuple(sorted(set(calls), key=lambda call: (call.location, call.text)))
