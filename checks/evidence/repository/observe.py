"""Observes a repository: each file is read once and handed to whoever can tell something from it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from checks.evidence.repository.behaviour.reader import BehaviourReader
from checks.evidence.repository.declarations import DeclarationReader
from checks.evidence.repository.deployment import read_deployment
from checks.evidence.repository.facts import CodeStatement, DeploymentFact, Repository
from checks.evidence.repository.files import Folder
from checks.evidence.repository.matching import match_statements
from checks.evidence.repository.orm.reader import OrmReader
from checks.evidence.repository.statements import read_statements
from checks.evidence.repository.vectors.reader import VectorReader

__all__ = ["match_statements", "observe_repository"]

_PROGRESS_EVERY = 200


def observe_repository(
    root: Path, *, progress: Callable[[str], None] | None = None, cancelled: threading.Event | None = None
) -> Repository:
    """What the repository says of the database. `progress` gets a line now and then; `cancelled`, once set, ends it soon with
    what was read. Raises TargetError if `root` is not a folder that can be read."""
    folder = Folder(root)
    paths = folder.paths()
    statements: list[CodeStatement] = []
    deployment: list[DeploymentFact] = []
    declarations = DeclarationReader()
    orm = OrmReader()
    behaviour = BehaviourReader()
    vectors = VectorReader()
    for number, path in enumerate(paths):
        if cancelled is not None and cancelled.is_set():
            break
        if progress is not None and number % _PROGRESS_EVERY == 0:
            progress(f"reading the repository: {number} of {len(paths)} files")
        file = folder.read(path)
        if file is None:
            continue
        deployment += read_deployment(file)
        if declarations.read(file):
            orm.read(file)
        else:
            statements += read_statements(file)
            orm.read(file)
            behaviour.read(file)
            vectors.read(file)
    models, calls = orm.finish(cancelled)
    declared = declarations.finish(orm.project, paths)
    behaviours = behaviour.finish(statements, calls, vectors.calls, cancelled)
    return Repository(
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
    )
