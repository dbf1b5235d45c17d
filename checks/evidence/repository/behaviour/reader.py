"""Reads how code behaves around the statements that others found in it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from functools import partial

from checks.evidence.repository.behaviour import connections, sessions
from checks.evidence.repository.behaviour.caches import fills_of
from checks.evidence.repository.behaviour.counts import counts_of
from checks.evidence.repository.behaviour.exports import Exports, helpers_of
from checks.evidence.repository.behaviour.helpers import Helper, Helpers
from checks.evidence.repository.behaviour.imports import Imports
from checks.evidence.repository.behaviour.lazy import lazy_loads_of, loaded_lazily
from checks.evidence.repository.behaviour.libraries import may_call
from checks.evidence.repository.behaviour.locks import lock_orders_of
from checks.evidence.repository.behaviour.loops import loops_of
from checks.evidence.repository.behaviour.outline import Outline
from checks.evidence.repository.behaviour.races import races_of
from checks.evidence.repository.behaviour.retries import retries_of
from checks.evidence.repository.behaviour.sites import Site, sites_of
from checks.evidence.repository.behaviour.transactions import external_calls_of
from checks.evidence.repository.cache import Cache, NoCache, facts_key, file_key
from checks.evidence.repository.facts import Behaviour, CodeStatement, Model, OrmCall, VectorCall
from checks.evidence.repository.files import SourceFile, is_test
from checks.evidence.repository.languages import TYPESCRIPT
from checks.evidence.repository.orm.syntax import source_of
from checks.evidence.repository.statements import is_migration_code, speaks_to_another_system
from checks.model import Location

MAXIMUM = 20_000

_PACKAGE = re.compile(r"^\s{0,8}\"name\"\s*:\s*\"(@?[\w./-]{1,200})\"", re.MULTILINE)
_NOWHERE = "\0"

# The statements and the calls of ORMs of one file.
Known = tuple[list[CodeStatement], list[OrmCall]]

_NOT_PRODUCTION = re.compile(
    r"(?:^|/)(?:examples?|docs?|cookbooks?|notebooks?|tutorials?|benchmarks?|evals?|evaluations?|scripts?|samples?|seeds?|seeders?"
    r"|playgrounds?|testing|stories|mocks?|[\w-]*migrations?)/|(?:^|/)(?:seed|seeds|seeder|backfill)[\w.-]*\.[a-z]+$",
    re.IGNORECASE,
)


def is_production(path: str) -> bool:
    """Whether the file is a part of what runs for users: no test, example, script or migration."""
    return not (is_test(path) or _NOT_PRODUCTION.search(path) or is_migration_code(path))


class BehaviourReader:
    """Keeps the files in question until all statements are known."""

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache if cache is not None else NoCache()
        self._files: dict[str, SourceFile] = {}
        self._packages: dict[str, str] = {}

    def read(self, file: SourceFile) -> None:
        if file.name == "package.json" and (named := _PACKAGE.search(file.text)):
            # A name that two packages have tells neither.
            folder = file.path.rpartition("/")[0]
            self._packages[named.group(1)] = folder if named.group(1) not in self._packages else _NOWHERE
        is_code = file.extension == "py" or file.extension in TYPESCRIPT
        if is_code and is_production(file.path) and not speaks_to_another_system(file.path):
            self._files[file.path] = file

    def finish(
        self,
        statements: Iterable[CodeStatement],
        calls: Iterable[OrmCall],
        stores: Iterable[VectorCall] = (),
        cancelled: threading.Event | None = None,
        models: Iterable[Model] = (),
    ) -> tuple[Behaviour, ...]:
        """All behaviours by place; `stores` are the calls of vector stores in the same repository. `cancelled`, once set, ends it
        soon with what was read."""
        by_path: dict[str, Known] = {}
        for statement in statements:
            by_path.setdefault(statement.location.path, ([], []))[0].append(statement)
        for call in (call for call in calls if not call.part):
            by_path.setdefault(call.location.path, ([], []))[1].append(call)
        writes: dict[str, list[VectorCall]] = {}
        for store in stores:
            if store.action in ("write", "delete") and store.store not in ("pgvector", "memory"):
                writes.setdefault(store.location.path, []).append(store)
        exports = Exports(
            Imports(self._files, self._packages), lambda path: self._helpers_in(path, by_path), self._text_of
        )
        related = loaded_lazily(models, self._text_of)
        found: set[Behaviour] = set()
        for path, file in self._files.items():
            if (cancelled is not None and cancelled.is_set()) or len(found) > MAXIMUM:
                break
            known = by_path.get(path)
            helpers = exports.called_in(path, file.text)
            if known or helpers or _may_connect(file.text):
                used = {call.orm for call in known[1]} if known else set()
                lazy = [model for model in related.values() if model.orm in used]
                around = (*(known or ([], [])), writes.get(path, []), lazy, helpers)
                parts = (file_key(file), facts_key(around))
                found.update(
                    self._cache.remember("behaviour", parts, list[Behaviour], partial(_read_file, file, *around))
                )
        return tuple(sorted(found, key=lambda entry: (entry.location, entry.kind, entry.text or "", entry.detail)))

    def _text_of(self, path: str) -> str | None:
        return self._files[path].text if path in self._files else None

    def _helpers_in(self, path: str, by_path: Mapping[str, Known]) -> list[Helper]:
        file = self._files.get(path)
        known = by_path.get(path, ([], []))
        if file is None or not (known[0] or known[1] or may_call(file.text)):
            return []
        parts = (file_key(file), facts_key(known))
        return self._cache.remember("helpers", parts, list[Helper], partial(_read_helpers, file, *known))


def _may_connect(code: str) -> bool:
    return any(word in code for word in connections.WORDS) or sessions.is_candidate(code)


def _read_helpers(file: SourceFile, statements: list[CodeStatement], calls: list[OrmCall]) -> list[Helper]:
    outline = Outline(source_of(file))
    return helpers_of(outline, sites_of(outline, statements, calls))


def _read_file(
    file: SourceFile,
    statements: list[CodeStatement],
    calls: list[OrmCall],
    writes: list[VectorCall],
    lazy: list[Model],
    helpers: Helpers,
) -> list[Behaviour]:
    return list(_behaviours(file, statements, calls, writes, lazy, helpers))


def _behaviours(
    file: SourceFile,
    statements: list[CodeStatement],
    calls: list[OrmCall],
    writes: list[VectorCall],
    lazy: list[Model],
    helpers: Helpers,
) -> Iterable[Behaviour]:
    outline = Outline(source_of(file))
    sites = sites_of(outline, statements, calls)
    yield from loops_of(outline, sites, helpers)
    yield from lazy_loads_of(outline, sites, {(model.orm, model.table): model for model in lazy})
    yield from races_of(outline, sites, helpers)
    yield from external_calls_of(outline, sites, helpers)
    yield from lock_orders_of(outline, sites)
    yield from counts_of(outline, sites)
    yield from retries_of(outline, sites)
    yield from fills_of(outline, sites)
    yield from sessions.sessions_of(outline)
    yield from connections.connections_of(outline)
    yield from _written_twice(sites, writes)


def _written_twice(sites: list[Site], writes: list[VectorCall]) -> Iterable[Behaviour]:
    """The same rows kept in PostgreSQL and in another vector store, with no transaction over the two."""
    for write in writes:
        verbs = ("delete", "update") if write.action == "delete" else ("insert", "update")
        own = [
            site
            for site in sites
            if site.verb in verbs
            and site.function is not None
            and write.function
            and site.function.name == write.function
        ]
        if own:
            path = write.location.path
            yield Behaviour(
                "dual_write",
                Location(path, own[0].line),
                write.function,
                own[0].table,
                own[0].text,
                write.location,
                write.store,
            )
