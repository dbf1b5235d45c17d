"""The ways through Django's models: `author__company__name` as a column and the joins that lead there."""

from __future__ import annotations

from typing import NamedTuple

from checks.evidence.repository.facts import Model, ModelColumn
from checks.evidence.repository.orm.django import Declared
from checks.evidence.repository.orm.django_fields import Field
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.query import Query, column_of, quoted, relation

_MAXIMUM_STEPS = 12


class Hop(NamedTuple):
    """One step from a model to another: equal columns, of this model and of that one."""

    target: Model
    column: str
    other: str


class Project:
    """All models, what may be called on them, and what leads from one to another."""

    def __init__(self, declared: list[Declared]) -> None:
        self.models = Models(entry.model for entry in declared)
        self._by_model = {id(entry.model): entry for entry in declared}
        self.managers = {name for entry in declared for name in entry.managers}
        self._hops: dict[tuple[int, str], list[Hop]] = {}
        for entry in declared:
            for each in entry.fields:
                if each.to:
                    self._link(entry, each)

    def declared(self, model: Model) -> Declared | None:
        return self._by_model.get(id(model))

    def hops(self, model: Model, name: str) -> list[Hop]:
        """The steps that a relation of that name takes, either way; empty if there is none."""
        return self._hops.get((id(model), name), [])

    def _link(self, entry: Declared, each: Field) -> None:
        model = entry.model
        link = next((link for link in model.relations if link.attribute == each.name), None)
        target = self.models.find(link.target, model.location.path) if link else None
        if target is None:
            return
        back = each.related_name or model.name
        back = back.replace("%(class)s", model.name).replace("%(app_label)s", entry.label).lower()
        back = each.related_name if each.related_name and "%" not in each.related_name else back
        if each.kind != "ManyToManyField":
            key = column_of(target, each.to_field) if each.to_field else key_of(target)
            if key is not None:
                self._hops.setdefault((id(model), each.name), [Hop(target, each.column, key.name)])
                self._hops.setdefault((id(target), back), [Hop(model, key.name, each.column)])
            return
        through = self.models.find(each.through.rpartition(".")[2] or f"{model.name}.{each.name}", model.location.path)
        own, other = key_of(model), key_of(target)
        if through is None or own is None or other is None:
            return
        to_model = [column.name for column in through.columns if column.references[-2:-1] == (model.table,)]
        to_target = [column.name for column in through.columns if column.references[-2:-1] == (target.table,)]
        if not to_model or not to_target:
            return
        one, two = to_model[0], to_target[-1]
        forth = [Hop(through, own.name, one), Hop(target, two, other.name)]
        self._hops.setdefault((id(model), each.name), forth)
        self._hops.setdefault((id(target), back), [Hop(through, other.name, two), Hop(model, one, own.name)])


class Found(NamedTuple):
    """A column in SQL, what the model says of it, and what of the path is left: keys and lookups."""

    sql: str
    column: ModelColumn
    rest: list[str]


class Paths:
    """The paths of one query. Every relation is joined once."""

    def __init__(self, project: Project, query: Query) -> None:
        self.project = project
        self.query = query
        self._joined: dict[tuple[str, ...], tuple[Model, str]] = {(): (query.model, query.alias)}
        self._aliases = {query.alias}

    def column(self, parts: list[str], *, outer: bool = False) -> Found | None:
        """The column that a path leads to; None if a part is unknown."""
        model, alias = self.query.model, self.query.alias
        way: tuple[str, ...] = ()
        pending: list[Hop] = []
        for number, part in enumerate(parts[:_MAXIMUM_STEPS]):
            column = self._own(model, part)
            hops = self.project.hops(model, part)
            following = parts[number + 1] if number + 1 < len(parts) else ""
            if column is not None and not (hops and self._leads_on(hops[-1].target, following, hops[0].column, column)):
                return Found(f"{quoted(alias)}.{quoted(column.name)}", column, parts[number + 1 :])
            if not hops:
                return None
            if following in ("id", "pk", key_name(hops[-1].target)) and hops[-1].other == key_name(hops[-1].target):
                # Django compares the referring column itself.
                pending, last = hops[:-1], hops[-1]
                model, alias = self._join(model, alias, way, pending, outer)
                known = next((entry for entry in model.columns if entry.name == last.column), None)
                if known is None:
                    return None
                return Found(f"{quoted(alias)}.{quoted(known.name)}", known, parts[number + 2 :])
            if not self._leads_on(hops[-1].target, following, "", None):
                trimmed = len(hops) > 1
                source = self._join(model, alias, way, hops[:-1] if trimmed else hops, outer)
                name = hops[-1].column if trimmed else key_name(hops[-1].target)
                known = next((entry for entry in source[0].columns if entry.name == name), None)
                return Found(f"{quoted(source[1])}.{quoted(name)}", known, parts[number + 1 :]) if known else None
            model, alias = self._join(model, alias, way, hops, outer)
            way = (*way, part)
        key = key_of(model)
        return Found(f"{quoted(alias)}.{quoted(key.name)}", key, []) if key else None

    def join(self, parts: list[str], *, outer: bool) -> tuple[Model, str] | None:
        """The model that a path of relations leads to."""
        model, alias = self.query.model, self.query.alias
        for number, part in enumerate(parts[:_MAXIMUM_STEPS]):
            hops = self.project.hops(model, part)
            if not hops:
                return None
            model, alias = self._join(model, alias, tuple(parts[:number]), hops, outer)
        return model, alias

    def _own(self, model: Model, part: str) -> ModelColumn | None:
        if part == "pk":
            return key_of(model)
        return column_of(model, part) or next((column for column in model.columns if column.name == part), None)

    def _leads_on(self, target: Model, following: str, own: str, column: ModelColumn | None) -> bool:
        """Whether the next part is a field of the related model and no lookup."""
        if not following:
            return False
        if column is not None and own != column.name:
            return False
        return self._own(target, following) is not None or bool(self.project.hops(target, following))

    def _join(self, model: Model, alias: str, way: tuple[str, ...], hops: list[Hop], outer: bool) -> tuple[Model, str]:
        for hop in hops:
            way = (*way, f"{hop.target.table}.{hop.other}={hop.column}")
            known = self._joined.get(way)
            if known is None:
                name = hop.target.table
                if name in self._aliases:
                    name = f"T{len(self._aliases) + 2}"
                self._aliases.add(name)
                word = "LEFT JOIN" if outer else "JOIN"
                condition = f"{quoted(alias)}.{quoted(hop.column)} = {quoted(name)}.{quoted(hop.other)}"
                self.query.joins.append(f"{word} {relation(hop.target)} AS {quoted(name)} ON {condition}")
                known = self._joined[way] = (hop.target, name)
            model, alias = known
        return model, alias


def key_of(model: Model) -> ModelColumn | None:
    return next((column for column in model.columns if column.primary_key), None)


def key_name(model: Model) -> str:
    key = key_of(model)
    return key.name if key else ""
