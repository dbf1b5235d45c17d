"""Which of a repository's lineages of migrations built the database that is reviewed."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from checks.evidence.database.facts import Catalog, Table
from checks.evidence.repository.facts import DeclaredTable, Lineage, Repository
from checks.model import NotApplicable, Reason, Unknown
from checks.relations import MIGRATION_TABLES, is_of_the_application

Path = tuple[str, str]


class Fit(msgspec.Struct, frozen=True, dict=True):
    """A lineage whose tables this database has. `schema` is where its unqualified names stand here; `declared` are its tables
    by their path here, `found` of them exist."""

    lineage: Lineage
    schema: str
    declared: dict[Path, DeclaredTable]
    found: int

    def path(self, schema: str, name: str) -> Path:
        return (self.schema if schema == "public" else schema, name)

    def is_certain(self, *names: str, kinds: tuple[str, ...] = ()) -> bool:
        """Whether no statement that could not be read names any of these, or may have made any object of those kinds."""
        if not set(kinds).isdisjoint(self.lineage.uncertain_kinds):
            return False
        return not any(name in self.uncertain or name.lower() in self.uncertain for name in names)

    @property
    def uncertain(self) -> frozenset[str]:
        known: dict[str, frozenset[str]] = vars(self)
        if "_uncertain" not in known:
            known["_uncertain"] = frozenset(self.lineage.uncertain)
        return known["_uncertain"]


def fitting_lineages(repository: Repository, catalog: Catalog, share: float) -> list[Fit]:
    """Those of which at least this share of the tables exists, the one with most of them first. Raises NotApplicable if the
    repository declares no table, Unknown if none fits."""
    live = {(table.schema, table.name): table for table in catalog.tables if is_of_the_application(table)}
    fits = [fit for lineage in repository.lineages if (fit := _fit(lineage, live))]
    if not fits:
        raise NotApplicable("no migration of the repository creates a table")
    if not live:
        raise NotApplicable("the database has no tables")
    good = [fit for fit in fits if fit.found and fit.found >= share * len(fit.declared)]
    if not good:
        raise Unknown(Reason.NEEDS_ANSWER, "give the repository whose migrations build this database")
    return sorted(good, key=lambda fit: (-fit.found, len(fit.declared), fit.lineage.folder))


def fit_of(lineage: Lineage, catalog: Catalog) -> Fit | None:
    """How the lineage fits the database, well or badly; None where it declares no table."""
    return _fit(
        lineage, {(table.schema, table.name): table for table in catalog.tables if is_of_the_application(table)}
    )


def _fit(lineage: Lineage, live: dict[Path, Table]) -> Fit | None:
    tables = [
        table
        for table in lineage.tables
        if not (table.partition or table.foreign) and table.name.lower() not in MIGRATION_TABLES
    ]
    if not tables:
        return None
    unqualified = {table.name for table in tables if table.schema == "public"}
    hits: dict[str, int] = {"public": 0}
    for schema, name in live:
        if name in unqualified:
            hits[schema] = hits.get(schema, 0) + 1
    schema = "public" if hits["public"] else max(sorted(hits), key=lambda name: hits[name])
    declared = {(schema if table.schema == "public" else table.schema, table.name): table for table in tables}
    return Fit(lineage, schema, declared, sum(path in live for path in declared))


def declared_names(lineages: Iterable[Lineage]) -> frozenset[str]:
    """Names of all tables and views that any lineage declares or may declare, in whatever schema."""
    found: set[str] = set()
    for lineage in lineages:
        found.update(table.name for table in lineage.tables)
        found.update(entry.subject.path[-1] for entry in lineage.objects if entry.subject.kind == "view")
        found.update(lineage.uncertain)
    return frozenset(found)
