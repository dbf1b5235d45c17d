"""Relations between tables that models of the code declare, and whether foreign keys do as those say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from checks.evidence.database.facts import Catalog, Column, Constraint, Table
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Model, Repository
from checks.families import once_per_family
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    Location,
    NotApplicable,
    Severity,
    Unknown,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.schema.code_models import Migrated, Modelled, modelled_tables
from checks.schema.foreign_keys import reviewed_foreign_keys

# These make the database do nothing and delete what refers to a row themselves.
_DELETE_THEMSELVES = frozenset(["django"])
_RAILS = "activerecord"
_STOPS = (
    "the row cannot be deleted while rows refer to it, and these are only deleted by a job afterwards",
    "Let the database delete them (ON DELETE CASCADE), delete them before (dependent: :destroy), or drop the foreign key, as the "
    "guide of Rails says of this option.",
    Severity.MEDIUM,
)
_LOSES = (
    "whatever deletes past the callbacks takes these rows along",
    "ON DELETE RESTRICT, if the code's rule is meant for all who delete; else say in the model what the database does.",
    Severity.MEDIUM,
)
# By what the database does and what the model says: what comes of it, and what to do.
_SURPRISES = {
    ("no action", "destroy_async"): _STOPS,
    ("restrict", "destroy_async"): _STOPS,
    ("cascade", "destroy_async"): (
        "the database deletes the rows at once, and the job's callbacks never run",
        "dependent: :destroy, if the callbacks matter; else no dependent at all.",
        Severity.LOW,
    ),
    ("cascade", "nullify"): _LOSES,
    ("cascade", "restrict_with_error"): _LOSES,
    ("cascade", "restrict_with_exception"): _LOSES,
}


class Relation(msgspec.Struct, frozen=True):
    """`column` of a model's table refers to `key`. `on_delete` in words, empty where the code does not say."""

    column: Column
    key: Column
    location: Location
    orm: str
    on_delete: str = ""


def relations_of(evidence: Evidence) -> list[Relation]:
    """Relations of one column, whose two tables are there. Polymorphic ones name no column and are none."""
    catalog = evidence.get(Catalog)
    try:
        modelled = modelled_tables(evidence)
    except (NotApplicable, Unknown):
        return []
    tables: dict[tuple[str, str], list[Modelled]] = {}
    for entry in modelled:
        for model in entry.models:
            tables.setdefault((model.orm, model.name), []).append(entry)
    return [
        relation
        for entry in modelled
        for model in entry.models
        for relation in _of_model(catalog, entry, model, tables)
    ]


def _of_model(
    catalog: Catalog, entry: Modelled, model: Model, tables: dict[tuple[str, str], list[Modelled]]
) -> Iterator[Relation]:
    names = {column.attribute: column.name for column in model.columns}
    places = {column.name: column.location for column in model.columns}
    own = catalog.column_names.get(entry.table.oid, {})
    for column in model.columns:
        if len(column.references) < 2 or column.name not in own:
            continue
        *schema, table, key = column.references
        target = _same_schema(catalog.tables_named.get(table, []), schema[0] if schema else entry.table.schema)
        if target and (referred := catalog.column_names.get(target.oid, {}).get(key)):
            yield Relation(own[column.name], referred, column.location, model.orm, column.on_delete)
    for relation in model.relations:
        if len(relation.columns) != 1:
            continue
        name = relation.columns[0] if relation.columns[0] in own else names.get(relation.columns[0], "")
        found = [other.table for other in tables.get((model.orm, relation.target), [])]
        target = _same_schema(found, entry.table.schema)
        if name not in own or target is None:
            continue
        if referred := _referred(catalog, target, tables[model.orm, relation.target], relation.references):
            yield Relation(own[name], referred, places.get(name, model.location), model.orm, relation.on_delete)


def _same_schema(tables: list[Table], schema: str) -> Table | None:
    """The one table that may be meant."""
    distinct = list({table.oid: table for table in tables}.values())
    same = [table for table in distinct if table.schema == schema] or distinct
    return same[0] if len(same) == 1 else None


def _referred(catalog: Catalog, target: Table, models: list[Modelled], named: tuple[str, ...]) -> Column | None:
    """The column named, by attribute or name; without a name the primary key, if that is one column."""
    columns = catalog.column_names.get(target.oid, {})
    if len(named) == 1:
        by_attribute = {
            column.attribute: column.name for entry in models for model in entry.models for column in model.columns
        }
        return columns.get(named[0]) or columns.get(by_attribute.get(named[0], ""))
    keys = [rule.columns for rule in catalog.constraints_of(target.oid) if rule.kind == "primary_key"]
    if named or len(keys) != 1 or len(keys[0]) != 1:
        return None
    return catalog.column(target.oid, keys[0][0])


def declared_relations(evidence: Evidence) -> dict[tuple[int, int], tuple[Column, Location]]:
    """By table and number of the referring column, the unique key it refers to and the place; where models agree."""
    catalog = evidence.get(Catalog)
    unique = {
        (index.table, index.columns[0])
        for index in catalog.indexes
        if index.unique and index.valid and index.predicate is None and len(index.keys) == 1
    }
    found: dict[tuple[int, int], tuple[Column, Location]] = {}
    doubtful: set[tuple[int, int]] = set()
    for relation in relations_of(evidence):
        place = (relation.column.table, relation.column.number)
        same = relation.column.base_type == relation.key.base_type
        itself = place == (relation.key.table, relation.key.number)
        if itself or not same or (relation.key.table, relation.key.number) not in unique:
            continue
        known = found.setdefault(place, (relation.key, relation.location))
        if known[0] != relation.key:
            doubtful.add(place)
    return {place: entry for place, entry in found.items() if place not in doubtful}


@check("schema.delete-action-differs-from-code", catalogue="S09", severity=Severity.MEDIUM, needs=[Catalog, Repository])
@once_per_family
def delete_action_differs_from_code(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A foreign key does something else with the rows that refer to a deleted one than the code's model says.

    The code counts on its cascade and gets an error, or counts on an error and loses rows. What the migrations did
    otherwise than the database has it is drift and told there; Django deletes by itself and asks the database for nothing. So
    does Rails: of its `dependent:` only what the foreign key thwarts is told.

    Fix: Replace the foreign key by one with the action that is meant, or correct the model.

    Example: The model says ondelete="CASCADE" and the constraint is ON DELETE NO ACTION: DELETE FROM users fails with
    "violates foreign key constraint" as soon as the user has an order.

    Source: PostgreSQL manual, "Constraints", section "Foreign Keys"

    Observed: in_database, in_code, references
    """
    catalog = evidence.get(Catalog)
    keys = {
        (key.table, key.columns[0], key.referenced_table): key
        for key in reviewed_foreign_keys(catalog)
        if len(key.columns) == 1
    }
    migrated = Migrated(evidence)
    dependents = list(_dependents(evidence, keys))
    said: dict[int, list[Relation]] = {}
    for relation in relations_of(evidence):
        key = keys.get((relation.column.table, relation.column.number, relation.key.table))
        if key is not None and relation.on_delete and relation.orm not in _DELETE_THEMSELVES:
            said.setdefault(key.oid, []).append(relation)
    if not said and not dependents:
        raise NotApplicable("the models name no delete action")
    for key, location, option in dependents:
        if (key.on_delete, option) in _SURPRISES:
            yield _surprise(catalog, key, location, option)
    by_oid = {key.oid: key for key in keys.values()}
    for oid, relations in said.items():
        key = by_oid[oid]
        actions = {relation.on_delete for relation in relations}
        table = catalog.table_by_oid[key.table]
        declared = migrated.on_delete(table, (relations[0].column.name,))
        if key.on_delete in actions or len(actions) > 1 or _equal(key.on_delete, *actions):
            continue
        if declared and key.on_delete not in declared:
            continue
        yield _finding(catalog, key, relations)
    examined = len(said.keys() | {key.oid for key, _, _ in dependents})
    yield Examined(examined, examined, "foreign keys")


def _dependents(
    evidence: Evidence, keys: Mapping[tuple[int, int, int | None], Constraint]
) -> Iterator[tuple[Constraint, Location, str]]:
    """Foreign keys for which a model of Rails says `dependent:`, with the place of that model and the option."""
    catalog = evidence.get(Catalog)
    try:
        modelled = modelled_tables(evidence)
    except (NotApplicable, Unknown):
        return
    tables: dict[str, list[Table]] = {}
    for entry in modelled:
        for model in entry.models:
            if model.orm == _RAILS:
                tables.setdefault(model.name, []).append(entry.table)
    found: dict[int, tuple[Constraint, Location, str] | None] = {}
    for entry in modelled:
        for model in entry.models:
            for relation in model.relations if model.orm == _RAILS else ():
                target = _same_schema(tables.get(relation.target, []), entry.table.schema)
                if target is None or relation.columns or len(relation.references) != 1 or not relation.on_delete:
                    continue
                column = catalog.column_names.get(target.oid, {}).get(relation.references[0])
                key = keys.get((target.oid, column.number, entry.table.oid)) if column is not None else None
                if key is not None:
                    agrees = key.oid not in found or (known := found[key.oid]) is None or known[2] == relation.on_delete
                    found[key.oid] = (key, model.location, relation.on_delete) if agrees else None
    yield from (entry for entry in found.values() if entry is not None)


def _surprise(catalog: Catalog, key: Constraint, location: Location, option: str) -> Finding:
    assert key.referenced_table is not None
    table, parent = catalog.table_by_oid[key.table], catalog.table_by_oid[key.referenced_table]
    what, fix, severity = _SURPRISES[key.on_delete, option]
    return Finding(
        catalog.constraint_subject(key),
        f"{parent.subject.name} has dependent: :{option} for {table.subject.name}, and the foreign key is ON DELETE "
        f"{key.on_delete.upper()}: {what}",
        Fix(fix),
        severity=severity,
        confidence=Confidence.INFERRED,
        observed={"in_database": key.on_delete, "in_code": option, "references": parent.subject.name},
        locations=(location,),
    )


def _equal(one: str, other: str) -> bool:
    """NO ACTION and RESTRICT differ in when they refuse alone."""
    return {one, other} <= {"no action", "restrict"}


def _finding(catalog: Catalog, key: Constraint, relations: list[Relation]) -> Finding:
    relation = relations[0]
    table, target = catalog.table_by_oid[key.table], catalog.table_by_oid[relation.key.table]
    path, name = qualified_name(table.schema, table.name), quote_identifier(key.name)
    new = quote_identifier(f"{key.name[:58]}_new")
    column = quote_identifier(relation.column.name)
    loses = key.on_delete in ("cascade", "set null", "set default")
    return Finding(
        catalog.constraint_subject(key),
        f"Foreign key {name} of {table.subject.name} is ON DELETE {key.on_delete.upper()}, the code's model says "
        f"{relation.on_delete.upper()}",
        Fix(
            "Decide which is meant. If the code is right, add the key anew under another name, validate it, and drop the old "
            "one; else correct the model.",
            f"ALTER TABLE {path} ADD CONSTRAINT {new} FOREIGN KEY ({column}) REFERENCES "
            f"{qualified_name(target.schema, target.name)} ({quote_identifier(relation.key.name)}) "
            f"ON DELETE {relation.on_delete.upper()} NOT VALID;\n"
            f"ALTER TABLE {path} VALIDATE CONSTRAINT {new};\nALTER TABLE {path} DROP CONSTRAINT {name};",
            lock="SHARE ROW EXCLUSIVE on both tables, for a moment; ACCESS EXCLUSIVE to drop the old one",
            undo=f"Add {name} as it was and drop {new}.",
        ),
        severity=Severity.MEDIUM if loses or relation.on_delete == "cascade" else Severity.LOW,
        confidence=Confidence.INFERRED,
        observed={"in_database": key.on_delete, "in_code": relation.on_delete, "references": target.subject.name},
        locations=tuple(dict.fromkeys(each.location for each in relations)),
    )
