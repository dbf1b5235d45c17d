"""Reads how code behaves around the statements that others found in it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable

from checks.evidence.repository.behaviour.loops import loops_of
from checks.evidence.repository.behaviour.outline import Outline
from checks.evidence.repository.behaviour.sites import sites_of
from checks.evidence.repository.facts import Behaviour, CodeStatement, OrmCall
from checks.evidence.repository.files import SourceFile, is_test
from checks.evidence.repository.orm.syntax import source_of
from checks.evidence.repository.statements import TYPESCRIPT, is_migration_code

MAXIMUM = 20_000

_NOT_PRODUCTION = re.compile(
    r"(?:^|/)(?:examples?|docs?|cookbooks?|notebooks?|tutorials?|benchmarks?|evals?|evaluations?|scripts?|samples?|seeds?|seeders?"
    r"|playgrounds?|testing|stories|mocks?)/|(?:^|/)(?:seed|seeds|seeder|backfill)[\w.-]*\.[a-z]+$",
    re.IGNORECASE,
)


def is_production(path: str) -> bool:
    """Whether the file is a part of what runs for users: no test, example, script or migration."""
    return not (is_test(path) or _NOT_PRODUCTION.search(path) or is_migration_code(path))


class BehaviourReader:
    """Keeps the files in question until all statements are known."""

    def __init__(self) -> None:
        self._files: dict[str, SourceFile] = {}

    def read(self, file: SourceFile) -> None:
        if (file.extension == "py" or file.extension in TYPESCRIPT) and is_production(file.path):
            self._files[file.path] = file

    def finish(
        self,
        statements: Iterable[CodeStatement],
        calls: Iterable[OrmCall],
        cancelled: threading.Event | None = None,
    ) -> tuple[Behaviour, ...]:
        """All behaviours by place; `cancelled`, once set, ends it soon with what was read."""
        by_path: dict[str, tuple[list[CodeStatement], list[OrmCall]]] = {}
        for statement in statements:
            by_path.setdefault(statement.location.path, ([], []))[0].append(statement)
        for call in calls:
            by_path.setdefault(call.location.path, ([], []))[1].append(call)
        found: set[Behaviour] = set()
        for path, file in self._files.items():
            if (cancelled is not None and cancelled.is_set()) or len(found) > MAXIMUM:
                break
            if path in by_path:
                found.update(_read_file(file, *by_path[path]))
        return tuple(sorted(found, key=lambda entry: (entry.location, entry.kind, entry.text or "", entry.detail)))


def _read_file(file: SourceFile, statements: list[CodeStatement], calls: list[OrmCall]) -> Iterable[Behaviour]:
    outline = Outline(source_of(file))
    sites = sites_of(outline, statements, calls)
    yield from loops_of(outline, sites)
