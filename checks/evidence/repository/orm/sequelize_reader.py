"""Collects Sequelize's models while files are read, and reads the calls when all are known."""

from __future__ import annotations

import re
import threading

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm import sequelize, sequelize_calls
from checks.evidence.repository.orm.decorated import Declared, read_classes
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.syntax import source_of

_EVERYWHERE = re.compile(r"\bunderscored\s*:\s*true")


class Sequelize:
    def __init__(self) -> None:
        self._classes: list[Declared] = []
        self._tables: list[sequelize.Table] = []
        self._associations: list[sequelize.Association] = []
        self._files: list[SourceFile] = []
        self._is_used = False
        self._underscored = False

    def read(self, file: SourceFile) -> None:
        self._is_used = self._is_used or ("equelize" in file.text and bool(sequelize.LIBRARY.search(file.text)))
        if sequelize.CANDIDATE.search(file.text) and "equelize" in file.text:
            tables, associations = sequelize.read_tables(source_of(file))
            self._tables += tables
            self._associations += associations
        if sequelize.DECORATED.search(file.text) and "equelize" in file.text:
            self._classes += read_classes(source_of(file))
        if sequelize_calls.CANDIDATE.search(file.text):
            self._files.append(file)
        if "new Sequelize" in file.text:
            self._underscored |= bool(_EVERYWHERE.search(file.text))

    def finish(self, models: list[Model], calls: list[OrmCall], cancelled: threading.Event | None) -> None:
        """Adds the models and calls found."""
        by_name: dict[str, list[Declared]] = {}
        for entry in self._classes:
            by_name.setdefault(entry.name, []).append(entry)
        decorated = [
            sequelize.decorated_table(entry, by_name) for entry in self._classes if "Table" in entry.decorators
        ]
        tables = [*self._tables, *decorated]
        if not self._is_used or not tables:
            return
        built = sequelize.build_models(tables, self._associations, underscored=self._underscored)
        models += built.models
        known = Models(built.models)
        for file in self._files:
            if cancelled is not None and cancelled.is_set():
                return
            calls += sequelize_calls.read_calls(source_of(file), known, built)
