"""All that was observed of a repository."""

from __future__ import annotations

import msgspec

from checks.evidence.repository.facts.behaviour import Behaviour
from checks.evidence.repository.facts.code import CodeStatement, Match
from checks.evidence.repository.facts.deployment import DeploymentFact
from checks.evidence.repository.facts.migrations import History, MigrationFile
from checks.evidence.repository.facts.models import Model, OrmCall, Remark
from checks.evidence.repository.facts.schema import Declared, Lineage
from checks.evidence.repository.facts.vectors import EmbeddingModel, FrameworkUse, VectorCall
from checks.model import Location


class Repository(msgspec.Struct, frozen=True, tag=True):
    """`files` and `lines` count what was read as text; `skipped` counts the rest by reason (binary, too_large, generated,
    vendored, outside_root, unreadable, too_many, submodule). `migrations` are the newest of each lineage; `history` is None
    without git. `timeouts` are the places outside migrations that name lock_timeout, `remarks` the comments that say of a
    reference that it has no foreign key."""

    name: str
    commit: str | None = None
    files: int = 0
    lines: int = 0
    languages: dict[str, int] = {}
    skipped: dict[str, int] = {}
    statements: tuple[CodeStatement, ...] = ()
    matches: tuple[Match, ...] = ()
    declared: tuple[Declared, ...] = ()
    deployment: tuple[DeploymentFact, ...] = ()
    unparsed_migrations: tuple[Location, ...] = ()
    models: tuple[Model, ...] = ()
    calls: tuple[OrmCall, ...] = ()
    behaviours: tuple[Behaviour, ...] = ()
    embedding_models: tuple[EmbeddingModel, ...] = ()
    vector_calls: tuple[VectorCall, ...] = ()
    frameworks: tuple[FrameworkUse, ...] = ()
    lineages: tuple[Lineage, ...] = ()
    migrations: tuple[MigrationFile, ...] = ()
    history: History | None = None
    timeouts: tuple[Location, ...] = ()
    remarks: tuple[Remark, ...] = ()
