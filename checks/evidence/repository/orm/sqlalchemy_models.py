"""The models of SQLAlchemy, put together from the classes of all files."""

from __future__ import annotations

import re

import msgspec

from checks.evidence.repository.facts import Model, ModelColumn, ModelIndex, ModelRelation
from checks.evidence.repository.orm.sqlalchemy import Declaration, named_after

_KNOWN_BASES = frozenset(
    "Base DeclarativeBase DeclarativeBaseNoMeta SQLModel Model MappedAsDataclass AsyncAttrs object Generic ABC BaseModel".split()
)
# The tables of libraries' own bases, with their columns.
_LIBRARY_BASES = {
    "SQLAlchemyBaseUserTable": "user", "SQLAlchemyBaseUserTableUUID": "user",
    "SQLAlchemyBaseOAuthAccountTable": "oauth_account", "SQLAlchemyBaseOAuthAccountTableUUID": "oauth_account",
}  # fmt: skip
_LIBRARY_COLUMNS = {
    "user": "id email hashed_password is_active is_superuser is_verified",
    "oauth_account": "id user_id oauth_name access_token expires_at refresh_token account_id account_email",
}
_MAXIMUM_BASES = 30


def build_models(declarations: list[Declaration]) -> list[Model]:
    """The declarations that are tables, with the columns of their bases."""
    by_name: dict[str, list[Declaration]] = {}
    for entry in declarations:
        by_name.setdefault(entry.name, []).append(entry)
    models = []
    for entry in declarations:
        same = (
            [other for other in by_name.get(entry.of_table, ()) if other.path == entry.path] if entry.of_table else []
        )
        if len(same) == 1:
            entry.table, entry.schema, entry.columns = same[0].table, same[0].schema, same[0].columns
    for entry in declarations:
        lineage, complete = _lineage(entry, by_name)
        own_table = entry.table
        if own_table is None and entry.is_model:
            own_table = entry.name.lower()
        if own_table is None and "Model" in entry.bases and entry.columns:
            own_table = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", entry.name).lower()
        naming = next((part.naming for part in lineage if part.naming and part is not entry), None)
        if (
            own_table is None
            and naming is not None
            and not entry.is_abstract
            and any(c.primary_key for part in lineage for c in part.columns)
        ):
            own_table = named_after(naming, entry.name)
        library = next((base for part in lineage for base in part.bases if base in _LIBRARY_BASES), None)
        if own_table is None and library is not None and entry.columns + entry.relations:
            own_table = _LIBRARY_BASES[library]
        if own_table is None:
            continue
        if any(part.table and part is not entry for part in lineage):
            # Joined-table inheritance: its statements join the tables of both classes.
            lineage, complete = [part for part in lineage if part is entry or not part.table], False
        columns: dict[str, ModelColumn] = {}
        relations: dict[str, ModelRelation] = {}
        for name in _LIBRARY_COLUMNS[_LIBRARY_BASES[library]].split() if library else ():
            columns[name] = ModelColumn(name, name, entry.location, primary_key=name == "id")
        for part in reversed(lineage):
            columns |= {column.attribute: column for column in part.columns}
            relations |= {relation.attribute: relation for relation in part.relations}
        schema = next((part.schema for part in lineage if part.schema), None)
        indexes = [index for part in lineage for index in part.indexes]
        models.append(
            Model(
                entry.name,
                "sqlalchemy",
                own_table,
                entry.location,
                schema,
                tuple(columns.values()),
                tuple(relations.values()),
                tuple(_by_names(index, columns) for index in indexes),
                complete,
            )
        )
    return models


def _by_names(index: ModelIndex, columns: dict[str, ModelColumn]) -> ModelIndex:
    names = tuple(columns[name].name if name in columns else name for name in index.columns)
    return msgspec.structs.replace(index, columns=names)


def _lineage(entry: Declaration, by_name: dict[str, list[Declaration]]) -> tuple[list[Declaration], bool]:
    """The class and those it inherits from, nearest first; and whether all of them could be read."""
    found, complete = [entry], True
    pending = list(entry.bases)
    while pending:
        name = pending.pop(0)
        candidates = by_name.get(name, [])
        near = [candidate for candidate in candidates if candidate.path == entry.path] or candidates
        if len(near) != 1 or len(found) > _MAXIMUM_BASES:
            complete &= not near and name in _KNOWN_BASES
            continue
        if near[0] not in found:
            found.append(near[0])
            pending += near[0].bases
    return found, complete
