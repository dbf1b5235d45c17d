"""The tables of the database as the models of the code have them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Column, Table
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import DeclaredTable, Model, ModelColumn, Repository
from checks.evidence.repository.files import is_test
from checks.evidence.repository.type_names import comparable
from checks.model import NotApplicable
from checks.relations import is_reviewed
from checks.schema.lineages import fit_of
from checks.schema.models import fitting_models, tables_of


class Modelled(msgspec.Struct, frozen=True):
    """A live table and all models that are kept in it."""

    table: Table
    models: tuple[Model, ...]

    def columns(self, name: str) -> list[ModelColumn]:
        """The column as each of the models has it."""
        return [column for model in self.models for column in model.columns if column.name == name]


def modelled_tables(evidence: Evidence) -> list[Modelled]:
    """Every reviewed table with its models. Raises NotApplicable or Unknown where there is none."""
    catalog = evidence.get(Catalog)
    found: dict[int, list[Model]] = {}
    for models in fitting_models(evidence):
        for model in models:
            if is_test(model.location.path):
                continue
            for table in tables_of(model, catalog):
                if is_reviewed(table):
                    found.setdefault(table.oid, []).append(model)
    if not found:
        raise NotApplicable("no table has a model in the code")
    return [Modelled(table, tuple(found[table.oid])) for table in catalog.tables if table.oid in found]


def all_modelled_columns(catalog: Catalog, entry: Modelled) -> Iterator[tuple[Column, list[ModelColumn]]]:
    """Columns of the table that models name, each with what they say of it."""
    for column in catalog.columns_of(entry.table.oid).values():
        if named := entry.columns(column.name):
            yield column, named


class Migrated:
    """What the migrations declare of live tables: where those differ from the database, drift tells it already."""

    def __init__(self, evidence: Evidence) -> None:
        catalog, repository = evidence.get(Catalog), evidence.get(Repository)
        self.tables: dict[tuple[str, str], list[DeclaredTable]] = {}
        for lineage in repository.lineages:
            if (fit := fit_of(lineage, catalog)) and fit.found >= evidence.limit("lineage_share") * len(fit.declared):
                for path, table in fit.declared.items():
                    self.tables.setdefault(path, []).append(table)

    def column_drifted(self, table: Table, column: Column) -> bool:
        """Whether a migration left the column with another type or nullability than it has."""
        return any(
            (declared.not_null is not None and declared.not_null != column.not_null)
            or (declared.type is not None and declared.type != comparable(column.type))
            for entry in self.tables.get((table.schema, table.name), ())
            for declared in entry.columns
            if declared.name == column.name
        )

    def declares_unique(self, table: Table, columns: frozenset[str]) -> bool:
        """Whether a migration makes just these columns unique."""
        return any(
            each == columns for entry in self.tables.get((table.schema, table.name), ()) for each in _unique_in(entry)
        )

    def on_delete(self, table: Table, columns: tuple[str, ...]) -> set[str]:
        """What migrations say is done to rows of the table when those go that the columns refer to."""
        return {
            rule.on_delete
            for entry in self.tables.get((table.schema, table.name), ())
            for rule in entry.constraints
            if rule.kind == "foreign_key" and rule.columns == columns
        }


def _unique_in(table: DeclaredTable) -> Iterator[frozenset[str]]:
    yield from (frozenset(index.columns) for index in table.indexes if index.unique)
    yield from (frozenset(rule.columns) for rule in table.constraints if rule.kind in ("unique", "primary_key"))
