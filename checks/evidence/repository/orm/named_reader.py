"""Collects what speaks to the database through clients that name its tables themselves, and reads it when all files are known."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm import supabase, supabase_python
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.named_tables import Constants
from checks.evidence.repository.orm.syntax import Source, source_of

MAXIMUM_CALLS = 50_000

_SUPABASE = re.compile(r"@supabase/|\bsupabase\b|postgrest", re.IGNORECASE)

ReadCalls = Callable[[Source], list[OrmCall]]


class NamedTables:
    def __init__(self) -> None:
        self._constants = Constants()
        self._types: list[SourceFile] = []
        self._supabase: list[SourceFile] = []
        self._python: list[SourceFile] = []

    def read(self, file: SourceFile) -> None:
        """Takes note of a file of Python, TypeScript or JavaScript."""
        if file.extension == "py":
            if supabase_python.CANDIDATE.search(file.text) and _SUPABASE.search(file.text):
                self._python.append(file)
            return
        if "export const" in file.text:
            self._constants.note(file.text)
        if supabase.TYPES.search(file.text):
            self._types.append(file)
        if supabase.CANDIDATE.search(file.text) and _SUPABASE.search(file.text):
            self._supabase.append(file)

    def finish(self, models: list[Model], calls: list[OrmCall], cancelled: threading.Event | None) -> None:
        """Adds the models and calls found."""
        constants = self._constants.known()
        tables = [table for file in self._types for table in supabase.read_types(source_of(file))]
        models += tables
        known = Models(tables)
        readers: list[tuple[list[SourceFile], ReadCalls]] = [
            (self._supabase, lambda source: supabase.read_calls(source, known, constants)),
            (self._python, lambda source: supabase_python.read_calls(source, known)),
        ]
        for files, read_calls in readers:
            for file in files:
                if (cancelled is not None and cancelled.is_set()) or len(calls) > MAXIMUM_CALLS:
                    return
                calls += read_calls(source_of(file))
