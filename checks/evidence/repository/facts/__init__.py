"""What is observed of a repository: files, the SQL in them, the schema they declare, how they are deployed, by subject.

Paths are relative to the repository's root with `/`; lines count from 1. SQL has its literals masked.
"""

from checks.evidence.repository.facts.behaviour import Behaviour
from checks.evidence.repository.facts.code import CodeStatement, Match
from checks.evidence.repository.facts.deployment import DeploymentFact
from checks.evidence.repository.facts.migrations import History, MigrationFile, MigrationStep
from checks.evidence.repository.facts.models import Model, ModelColumn, ModelIndex, ModelRelation, OrmCall, Remark
from checks.evidence.repository.facts.repository import Repository
from checks.evidence.repository.facts.schema import (
    Declared,
    DeclaredColumn,
    DeclaredConstraint,
    DeclaredIndex,
    DeclaredTable,
    Lineage,
)
from checks.evidence.repository.facts.vectors import EmbeddingModel, FrameworkUse, VectorCall

__all__ = [
    "Behaviour",
    "CodeStatement",
    "Declared",
    "DeclaredColumn",
    "DeclaredConstraint",
    "DeclaredIndex",
    "DeclaredTable",
    "DeploymentFact",
    "EmbeddingModel",
    "FrameworkUse",
    "History",
    "Lineage",
    "Match",
    "MigrationFile",
    "MigrationStep",
    "Model",
    "ModelColumn",
    "ModelIndex",
    "ModelRelation",
    "OrmCall",
    "Remark",
    "Repository",
    "VectorCall",
]
