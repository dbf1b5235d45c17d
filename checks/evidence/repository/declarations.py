"""Collects whatever declares the schema while a repository is read: SQL files and migrations written in code."""

from __future__ import annotations

import re
from collections.abc import Iterable

from checks.evidence.repository import alembic, django_migrations, liquibase, rails, rails_migrations
from checks.evidence.repository.files import SourceFile, is_test
from checks.evidence.repository.migrations import is_migration, read_journal, read_migrations
from checks.evidence.repository.orm.django import Project
from checks.evidence.repository.scripts import Migrations
from checks.evidence.repository.statements import speaks_to_another_system
from checks.model import Location

_LOCK_TIMEOUT = re.compile(r"lock_?timeout", re.IGNORECASE)
# Where a runner of migrations, a connection or a deployment may set one.
_SETS_TIMEOUTS = frozenset("py rb js mjs cjs ts mts go java kt rs php cs sh toml yml yaml env conf ini json".split())


class DeclarationReader:
    def __init__(self) -> None:
        self._sql: list[SourceFile] = []
        self._alembic: list[SourceFile] = []
        self._django: list[SourceFile] = []
        self._rails: list[SourceFile] = []
        self._rails_migrations: list[SourceFile] = []
        self._changelogs: list[SourceFile] = []
        self._journals: dict[str, list[str]] = {}
        self._timeouts: list[Location] = []

    def read(self, file: SourceFile) -> bool:
        """Takes a file that declares a schema in SQL, True for one, and notes one that does in code."""
        if file.extension == "sql":
            if not is_migration(file):
                return False
            if not speaks_to_another_system(file.path):
                self._sql.append(file)
            return True
        if is_test(file.path) or speaks_to_another_system(file.path):
            return False
        if file.extension in _SETS_TIMEOUTS and (named := _LOCK_TIMEOUT.search(file.text)):
            self._timeouts.append(Location(file.path, file.text.count("\n", 0, named.start()) + 1))
        if file.path.endswith("/meta/_journal.json"):
            self._journals[file.path.removesuffix("/meta/_journal.json")] = read_journal(file)
        if liquibase.is_changelog(file):
            self._changelogs.append(file)
        if file.extension == "py":
            if django_migrations.is_django_migration(file):
                self._django.append(file)
            elif alembic.CANDIDATE.search(file.text):
                self._alembic.append(file)
        elif file.extension == "rb" and rails.is_schema(file):
            self._rails.append(file)
        elif file.extension == "rb" and rails_migrations.is_migration(file):
            self._rails_migrations.append(file)
        return False

    def finish(self, project: Project, paths: Iterable[str]) -> Migrations:
        """What all of them leave behind. `project` knows what Django's applications are called, `paths` are all files."""
        dumps = [file.path for file in self._sql if file.name == "structure.sql"]
        summed = {path.rpartition("/")[0]: path for path in [*(file.path for file in self._rails), *dumps]}
        projects = [path for path in paths if path.rpartition("/")[2] == "manage.py"]
        changelogs = liquibase.read_changelogs(self._changelogs, self._sql if self._changelogs else ())
        found = [
            read_migrations((file for file in self._sql if file.path not in changelogs.scripts), self._journals),
            changelogs.migrations,
            alembic.read_revisions(self._alembic),
            django_migrations.read_django(self._django, project.labels, projects, project.user),
            rails.read_schemas(self._rails),
            rails_migrations.read_migrations(self._rails_migrations, summed),
        ]
        return Migrations(
            tuple(dict.fromkeys(entry for each in found for entry in each.entries)),
            tuple(sorted({place for each in found for place in each.unparsed})),
            tuple(lineage for each in found for lineage in each.lineages),
            tuple(file for each in found for file in each.files),
            tuple(sorted(self._timeouts)),
        )
