"""Columns that a comment of the code keeps without a foreign key."""

from __future__ import annotations

from checks.evidence.database.facts import Catalog
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Model, Remark, Repository

# A comment before a model's first column may be the model's own.
_ABOVE = 30


def without_key_on_purpose(evidence: Evidence) -> set[tuple[int, int]]:
    """By table and number: a comment at the column, in a model or a migration, or one that names it in its model, says so."""
    repository = evidence.find(Repository)
    if repository is None or not repository.remarks:
        return set()
    catalog = evidence.get(Catalog)
    remarks: dict[str, list[Remark]] = {}
    for remark in repository.remarks:
        remarks.setdefault(remark.location.path, []).append(remark)
    found: set[tuple[int, int]] = set()
    for model in repository.models:
        names = set(_remarked(model, remarks.get(model.location.path, [])))
        for table in catalog.tables_named.get(model.table, []) if names else ():
            if model.schema in (None, table.schema):
                known = catalog.column_names.get(table.oid, {})
                found |= {(table.oid, known[name].number) for name in names & known.keys()}
    places = {(remark.location.path, remark.location.line) for remark in repository.remarks}
    for entry in repository.declared:
        if entry.subject.kind == "column" and (entry.location.path, entry.location.line) in places:
            schema, called, name = entry.subject.path
            for live in catalog.tables_named.get(called, []):
                if live.schema == schema and (column := catalog.column_named(live.oid, name)):
                    found.add((live.oid, column.number))
    return found


def _remarked(model: Model, remarks: list[Remark]) -> list[str]:
    """Columns of the model that a remark stands at, or names."""
    if not model.columns or not remarks:
        return []
    lines = {column.location.line for column in model.columns if column.location.path == model.location.path}
    if not lines:
        return []
    first, last = min(lines, default=0) - _ABOVE, max(lines)
    near = [remark for remark in remarks if first <= remark.location.line <= last]
    return [
        column.name
        for column in model.columns
        if any(
            remark.location.line == column.location.line or {column.name, column.attribute} & set(remark.names)
            for remark in near
        )
    ]
