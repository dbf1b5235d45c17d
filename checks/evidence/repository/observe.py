"""Observes a repository: each file is read once and handed to whoever can tell something from it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from checks.evidence.repository.behaviour.reader import BehaviourReader
from checks.evidence.repository.cache import Cache, NoCache, file_key
from checks.evidence.repository.declarations import DeclarationReader
from checks.evidence.repository.deployment import read_deployment
from checks.evidence.repository.facts import CodeStatement, DeploymentFact, Remark, Repository
from checks.evidence.repository.files import Folder
from checks.evidence.repository.history import dated
from checks.evidence.repository.matching import match_statements
from checks.evidence.repository.orm.reader import OrmReader
from checks.evidence.repository.remarks import read_remarks
from checks.evidence.repository.statements import read_statements
from checks.evidence.repository.vectors.reader import VectorReader

__all__ = ["match_statements", "observe_repository"]

_PROGRESS_EVERY = 200


def observe_repository(
    root: Path,
    *,
    progress: Callable[[str], None] | None = None,
    cancelled: threading.Event | None = None,
    cache: Cache | None = None,
) -> Repository:
    """What the repository says of the database. `progress` gets a line now and then; `cancelled`, once set, ends it soon with
    what was read. `cache` spares reading again what did not change since. Raises TargetError if `root` is not a folder that can
    be read."""
    cache = cache if cache is not None else NoCache()
    known = _unchanged(root, cache, cancelled) if cache else None
    return known if known is not None else _observe(root, progress, cancelled, cache)


def _unchanged(root: Path, cache: Cache, cancelled: threading.Event | None) -> Repository | None:
    """The repository as it was observed before, if no file is another one now."""
    folder = Folder(root)
    made = hashlib.blake2b()
    for path in folder.paths():
        if cancelled is not None and cancelled.is_set():
            return None
        file = folder.read(path)
        made.update(f"{path if file is None else file_key(file)}\n".encode("utf-8", "replace"))
    known = cache.get(f"repository {made.hexdigest()}", Repository)
    return dated(_counted(known, folder), root) if known is not None else None


def _counted(known: Repository, folder: Folder) -> Repository:
    """What was read, with what is known of the folder as it is now."""
    return msgspec.structs.replace(
        known,
        name=folder.name,
        commit=folder.commit,
        files=folder.count,
        lines=folder.lines,
        languages=dict(sorted(folder.languages.items())),
        skipped=dict(sorted(folder.skipped.items())),
    )


def _observe(
    root: Path, progress: Callable[[str], None] | None, cancelled: threading.Event | None, cache: Cache
) -> Repository:
    folder = Folder(root)
    paths = folder.paths()
    statements: list[CodeStatement] = []
    deployment: list[DeploymentFact] = []
    declarations = DeclarationReader()
    orm = OrmReader(cache)
    behaviour = BehaviourReader(cache)
    vectors = VectorReader(cache)
    remarks: list[Remark] = []
    made = hashlib.blake2b()
    for number, path in enumerate(paths):
        if cancelled is not None and cancelled.is_set():
            break
        if progress is not None and number % _PROGRESS_EVERY == 0:
            progress(f"reading the repository: {number} of {len(paths)} files")
        file = folder.read(path)
        key = path if file is None else file_key(file)
        made.update(f"{key}\n".encode("utf-8", "replace"))
        if file is None:
            continue
        remarks += read_remarks(file)
        deployment += cache.remember("deployment", (key,), list[DeploymentFact], partial(read_deployment, file))
        if declarations.read(file):
            orm.read(file)
        else:
            statements += cache.remember("statements", (key,), list[CodeStatement], partial(read_statements, file))
            orm.read(file)
            behaviour.read(file)
            vectors.read(file)
    models, calls = orm.finish(cancelled)
    declared = declarations.finish(orm.project, paths)
    behaviours = behaviour.finish(statements, calls, vectors.calls, cancelled, models)
    found = Repository(
        folder.name,
        folder.commit,
        folder.count,
        folder.lines,
        dict(sorted(folder.languages.items())),
        dict(sorted(folder.skipped.items())),
        tuple(statements),
        (),
        declared.entries,
        tuple(deployment),
        declared.unparsed,
        models,
        calls,
        behaviours,
        tuple(sorted(set(vectors.models), key=lambda model: (model.location, model.name))),
        tuple(sorted(set(vectors.calls), key=lambda call: (call.location, call.action))),
        vectors.uses(),
        lineages=declared.lineages,
        migrations=declared.files,
        timeouts=declared.timeouts,
        remarks=tuple(remarks),
    )
    if cancelled is None or not cancelled.is_set():
        cache.put(f"repository {made.hexdigest()}", found)
        cache.save()
    return dated(found, root)
