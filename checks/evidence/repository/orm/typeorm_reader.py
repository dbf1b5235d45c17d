"""Collects TypeORM's entities while files are read, and reads the calls when all are known."""

from __future__ import annotations

import re
import threading

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm import typeorm, typeorm_calls
from checks.evidence.repository.orm.decorated import Declared, read_classes
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.syntax import source_of

_REPOSITORY_CLASS = re.compile(r"\bclass\s+(\w+)\s+extends\s+(?:\w+\.)?(?:Tree)?Repository<\s*(\w+)")
_CUSTOM_STRATEGY = re.compile(r"\b(?:implements\s+NamingStrategyInterface|extends\s+DefaultNamingStrategy)\b")


class TypeOrm:
    def __init__(self) -> None:
        self._classes: list[Declared] = []
        self._files: list[SourceFile] = []
        self._repositories: dict[str, str] = {}
        self._is_used = False
        self._snake_case = False

    def read(self, file: SourceFile) -> None:
        self._is_used = self._is_used or "typeorm" in file.text
        if ("typeorm" in file.text or "@Column" in file.text) and typeorm.CANDIDATE.search(file.text):
            self._classes += read_classes(source_of(file))
        if typeorm_calls.CANDIDATE.search(file.text):
            self._files.append(file)
        if "Repository<" in file.text:
            self._repositories |= dict(_REPOSITORY_CLASS.findall(file.text))
        if "amingStrategy" not in file.text:
            return
        if match := typeorm.STRATEGY.search(file.text):
            self._snake_case |= "snake" in match.group(1).lower()
        elif _CUSTOM_STRATEGY.search(file.text):
            self._snake_case |= "snake" in file.text.lower()

    def finish(self, models: list[Model], calls: list[OrmCall], cancelled: threading.Event | None) -> None:
        """Adds the models and calls found."""
        if not self._is_used:
            return
        entities, deleted = typeorm.build_models(self._classes, columns_in_snake_case=self._snake_case)
        models += entities
        known = Models(entities)
        for file in self._files if entities else ():
            if cancelled is not None and cancelled.is_set():
                return
            calls += typeorm_calls.read_calls(source_of(file), known, self._repositories, deleted)
