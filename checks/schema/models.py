"""Do the tables and columns that the code's models name exist?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Table
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Model, Repository
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Reason,
    Severity,
    Subject,
    Unknown,
    qualified_name,
)
from checks.registry import check
from checks.relations import PLATFORM_SCHEMAS

SHOWN = 20
# Above this many tables that are missing, the models are told together.
MAXIMUM_SINGLE = 5


@check("schema.model-without-table", catalogue="S13", severity=Severity.HIGH, needs=[Catalog, Repository])
def model_without_table(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A model of the code names a table or a column that does not exist.

    Every statement that the ORM sends for it fails, in production and not in the tests, whose database is made from the
    models. Either a migration has not run here or the model is a left-over. Models of which most have no table here belong to
    another database and are left out.

    Fix: Run or write the migration, or take the model or the field out of the code.

    Example: class Invoice(Base) with __tablename__ = "invoices", whose migration never ran here:
    session.query(Invoice).all() fails with "relation "invoices" does not exist".

    Source: PostgreSQL manual, "Error Codes", 42P01 undefined_table, 42703 undefined_column

    Observed: model, orm, missing_columns, missing_tables
    """
    catalog, repository = evidence.get(Catalog), evidence.get(Repository)
    if not repository.models:
        raise NotApplicable("the code declares no models")
    if not catalog.tables:
        raise NotApplicable("the database has no tables")
    fitting = fitting_models(evidence)
    examined = [model for models in fitting for model in models]
    # A script may have a model of its own for a table, as the table once was.
    whole = {
        model.table
        for model in examined
        if (tables := tables_of(model, catalog)) and not _lacking(model, tables, catalog)
    }
    for models in fitting:
        yield from _missing_tables([model for model in models if not tables_of(model, catalog)], models)
        for model in models:
            if model.table in whole or not (tables := tables_of(model, catalog)):
                continue
            if lacking := _lacking(model, tables, catalog):
                yield _missing_columns(model, tables[0], lacking)
    unmet = sum(model.table not in whole for model in examined)
    yield Examined(len(examined), len(examined), "models", unmet=unmet)


def fitting_models(evidence: Evidence) -> list[list[Model]]:
    """The models that are kept in this database, those of one part of the repository together. Raises NotApplicable if the code
    declares none, Unknown if they belong to another database."""
    catalog, repository = evidence.get(Catalog), evidence.get(Repository)
    if not repository.models:
        raise NotApplicable("the code declares no models")
    share = evidence.limit("lineage_share")
    groups: dict[tuple[str, str], list[Model]] = {}
    for model in repository.models:
        if model.orm == "supabase" and model.schema in PLATFORM_SCHEMAS:
            continue
        groups.setdefault((model.orm, root_of(model)), []).append(model)
    fitting = [models for models in groups.values() if _found(models, catalog) >= max(1, share * len(models))]
    if not fitting:
        raise Unknown(Reason.NEEDS_ANSWER, "give the repository whose models are kept in this database")
    return fitting


def root_of(model: Model) -> str:
    """The part of a monorepo that a model stands in: its first two folders, as long as there are that many above it."""
    folders = model.location.path.split("/")[:-1]
    return "/".join(folders[:2])


def _found(models: list[Model], catalog: Catalog) -> int:
    return sum(bool(tables_of(model, catalog)) for model in models)


def tables_of(model: Model, catalog: Catalog) -> list[Table]:
    """The relations that the model may mean: of its schema, else of any, as a search path may lead there."""
    named = catalog.tables_named.get(model.table, [])
    return [table for table in named if table.schema == model.schema] or named


def _lacking(model: Model, tables: list[Table], catalog: Catalog) -> list[str]:
    """Columns that none of the relations has."""
    known = {name for table in tables for name in catalog.column_names.get(table.oid, {})}
    return [column.name for column in model.columns if column.name not in known]


def _missing_tables(missing: list[Model], models: list[Model]) -> Iterator[Finding]:
    by_table: dict[tuple[str, str], Model] = {}
    for model in sorted(missing, key=lambda model: model.location):
        by_table.setdefault((model.schema or "public", model.table), model)
    if len(by_table) <= MAXIMUM_SINGLE:
        for path, model in by_table.items():
            yield Finding(
                Subject("table", path),
                f"Model {model.name} is kept in table {qualified_name(*path)}, which does not exist",
                _fix(),
                confidence=Confidence.INFERRED,
                observed={"model": model.name, "orm": model.orm},
                locations=(model.location,),
            )
        return
    first = next(iter(by_table.values()))
    names = [qualified_name(*path) for path in by_table]
    yield Finding(
        Subject("file", (first.location.path,)),
        f"{len(names)} of {len(models)} models have no table in the database: {', '.join(names[:3])} and others",
        _fix(),
        confidence=Confidence.INFERRED,
        observed={"model": first.name, "orm": first.orm, "missing_tables": names[:SHOWN]},
        locations=tuple(model.location for model in by_table.values())[:SHOWN],
    )


def _missing_columns(model: Model, table: Table, lacking: list[str]) -> Finding:
    places = tuple(column.location for column in model.columns if column.name in lacking)
    more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
    word = "a column" if len(lacking) == 1 else "columns"
    return Finding(
        table.subject,
        f"Model {model.name} names {word} that {table.subject.name} does not have: {', '.join(lacking[:3])}{more}",
        _fix(),
        confidence=Confidence.INFERRED,
        observed={"model": model.name, "orm": model.orm, "missing_columns": lacking[:SHOWN]},
        locations=tuple(dict.fromkeys(places))[:SHOWN],
        discriminator=model.name,
    )


def _fix() -> Fix:
    return Fix(
        "Run the migration that makes it, or write one; if nothing uses the model any more, take it out of the code."
    )
