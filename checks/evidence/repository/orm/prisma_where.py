"""Conditions of Prisma's client: filters of columns and of relations."""

from __future__ import annotations

from tree_sitter import Node

from checks.evidence.repository.facts import Model
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.prisma_constants import Constants
from checks.evidence.repository.orm.query import VALUE, Query, column_of, quoted, relation
from checks.evidence.repository.orm.syntax import named, text, unwrapped

_FILTERS = {"equals": "=", "not": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_PATTERNS = frozenset(["contains", "startsWith", "endsWith"])
_ARRAYS = {"has": "@>", "hasEvery": "@>", "hasSome": "&&"}
_OF_MANY = {"some": "IN", "none": "NOT IN", "every": "NOT IN"}
_VALUES = frozenset(
    "identifier member_expression subscript_expression call_expression string template_string number true false "
    "shorthand_property_identifier new_expression await_expression array".split()
)
_MAXIMUM_DEPTH = 40

Read = tuple[list[str], bool]


class Link:
    """How the rows of a model and those of its relation belong together: `own` columns equal those of the `target`."""

    def __init__(self, target: Model, own: tuple[str, ...], theirs: tuple[str, ...], many: bool) -> None:
        self.target = target
        self.own = own
        self.theirs = theirs
        self.many = many


def link_of(models: Models, path: str, model: Model, attribute: str) -> Link | None:
    """The link that the attribute stands for; None if it is none, or the schema leaves open which columns it has."""
    entry = next((entry for entry in model.relations if entry.attribute == attribute), None)
    target = models.find(entry.target, path) if entry is not None else None
    if entry is None or target is None:
        return None
    if entry.columns:
        theirs = [column_of(target, name) for name in entry.references]
        names = tuple(column.name for column in theirs if column is not None)
        return Link(target, entry.columns, names, entry.many) if len(names) == len(entry.columns) else None
    back = [
        other for other in target.relations if other.target == model.name and other.columns and other.name == entry.name
    ]
    if len(back) != 1:
        return None
    ours = [column_of(model, name) for name in back[0].references]
    names = tuple(column.name for column in ours if column is not None)
    return Link(target, names, back[0].columns, entry.many) if len(names) == len(back[0].columns) else None


class Conditions:
    """Reads filters; what is read of one says whether that is all of it."""

    def __init__(self, models: Models, path: str, constants: Constants) -> None:
        self.models = models
        self.path = path
        self.constants = constants

    def read(self, query: Query, node: Node, depth: int = 0) -> Read:
        """The conditions that are certainly ANDed, and whether that is all of them."""
        entries, whole = self.constants.entries(node)
        found: list[str] = []
        if depth > _MAXIMUM_DEPTH:
            return [], False
        for key, value in entries.items():
            known, all_known = self._entry(query, key, value, depth)
            found += known
            whole &= all_known
        return found, whole

    def _entry(self, query: Query, key: str, value: Node, depth: int) -> Read:
        value = unwrapped(value)
        if text(value) == "undefined":
            return [], True
        if key in ("AND", "OR", "NOT"):
            value = self.constants.resolved(value)
            if value.type != "array" and key == "OR":
                return [], False
            parts = [
                self.read(query, self.constants.resolved(part), depth + 1)
                for part in (named(value) if value.type == "array" else [value])
            ]
            if key == "AND":
                return [entry for found, _ in parts for entry in found], all(whole for _, whole in parts)
            if not parts or not all(whole and found for found, whole in parts):
                return [], False
            joined = [" AND ".join(found) for found, _ in parts]
            if key == "OR":
                return [f"({' OR '.join(f'({part})' for part in joined)})"], True
            return [f"NOT ({part})" for part in joined], True
        column = query.column(key)
        if column is not None:
            return self._compared(column, value)
        if any(entry.attribute == key for entry in query.model.relations):
            return self._related(query, key, self.constants.resolved(value), depth)
        return self._compound(query, value)

    def _compound(self, query: Query, value: Node) -> Read:
        """`userId_projectId: { userId, projectId }`."""
        entries, whole = self.constants.entries(value)
        if not entries or not whole or any(column_of(query.model, name) is None for name in entries):
            return [], False
        found: list[str] = []
        for name, inner in entries.items():
            known, all_known = self._compared(query.column(name) or "", unwrapped(inner))
            found += known
            whole &= all_known
        return found, whole

    def _related(self, query: Query, key: str, value: Node, depth: int) -> Read:
        """`author: { email }`, `posts: { some: { title } }`."""
        link = link_of(self.models, self.path, query.model, key)
        if link is None:
            return [], False
        if not link.many:
            return self._one(query, link, value, depth)
        entries, whole = self.constants.entries(value)
        found: list[str] = []
        for word, inner in entries.items():
            known, all_known = self._subquery(
                query, link, self.constants.resolved(inner), depth, _OF_MANY.get(word), word == "every"
            )
            found += known
            whole &= all_known
        return found, whole and bool(entries)

    def _one(self, query: Query, link: Link, value: Node, depth: int) -> Read:
        entries, _ = self.constants.entries(value)
        if text(value) == "null":
            owns = all(any(column.name == name for column in query.model.columns) for name in link.own)
            single = (
                owns
                and len(link.own) == 1
                and not any(column.name == link.own[0] and column.primary_key for column in query.model.columns)
            )
            return ([f"{quoted(query.alias)}.{quoted(link.own[0])} IS NULL"], True) if single else ([], False)
        if list(entries) == ["is"]:
            return (
                self._one(query, link, self.constants.resolved(entries["is"]), depth + 1)
                if depth < _MAXIMUM_DEPTH
                else ([], False)
            )
        if list(entries) == ["isNot"] and text(entries["isNot"]) == "null":
            known, whole = self._one(query, link, unwrapped(entries["isNot"]), depth)
            return [condition.replace(" IS NULL", " IS NOT NULL") for condition in known], whole
        if list(entries) == ["isNot"]:
            return self._subquery(query, link, self.constants.resolved(entries["isNot"]), depth, "NOT IN", False)
        if query.verb != "select":
            return self._subquery(query, link, value, depth, "IN", False)
        alias = f"j{len(query.joins)}"
        inner = Query("select", link.target, alias)
        pairs = " AND ".join(
            f"{quoted(alias)}.{quoted(theirs)} = {quoted(query.alias)}.{quoted(own)}"
            for own, theirs in zip(link.own, link.theirs, strict=True)
        )
        query.joins.append(f"LEFT JOIN {relation(link.target)} AS {quoted(alias)} ON {pairs}")
        inner.joins = query.joins
        return self.read(inner, value, depth + 1)

    def _subquery(self, query: Query, link: Link, value: Node, depth: int, word: str | None, negated: bool) -> Read:
        """The rows whose related ones are among those that the filter gives, or are not."""
        if word is None or value.type != "object" or len(link.own) != 1:
            return [], False
        inner = Query("select", link.target, f"t{depth + 1}")
        inner.columns = [f"{quoted(inner.alias)}.{quoted(link.theirs[0])}"]
        known, whole = self.read(inner, value, depth + 1)
        if negated and not (known and whole):
            return [], False
        inner.where = [f"NOT ({' AND '.join(known)})"] if negated else known
        return [f"{quoted(query.alias)}.{quoted(link.own[0])} {word} ({inner.sql()})"], whole

    def _compared(self, column: str, value: Node) -> Read:
        if value.type in ("identifier", "shorthand_property_identifier"):
            value = self.constants.resolved(value)
        if text(value) == "null":
            return [f"{column} IS NULL"], True
        if value.type != "object":
            return ([f"{column} = {VALUE}"], True) if _is_value(value) else ([], False)
        entries, whole = self.constants.entries(value)
        ignoring_case = text(entries.get("mode")).strip("\"'") == "insensitive"
        found: list[str] = []
        if "path" in entries:
            # A value within a document.
            column = f"({column} #> {VALUE})"
        for name, operand in entries.items():
            if name == "path":
                continue
            condition = _operator(column, name, unwrapped(operand), ignoring_case)
            found += [condition] if condition else []
            whole &= condition is not None
        return found, whole


def _is_value(node: Node) -> bool:
    """Whether it certainly is one value, and not perhaps nothing, which would take the condition away."""
    return node.type in _VALUES and text(node) != "undefined"


def _operator(column: str, name: str, operand: Node, ignoring_case: bool) -> str | None:
    """One operator of a filter; empty if it restricts nothing, None if it cannot be read."""
    if name == "mode" or text(operand) == "undefined":
        return ""
    if text(operand) in ("null", "Prisma.DbNull", "Prisma.AnyNull"):
        return {"equals": f"{column} IS NULL", "not": f"{column} IS NOT NULL"}.get(name)
    if not _is_value(operand):
        return None
    if name in ("in", "notIn"):
        return f"{column} {'IN' if name == 'in' else 'NOT IN'} ({VALUE})"
    if name in _PATTERNS or (name == "equals" and ignoring_case):
        return f"{column} {'ILIKE' if ignoring_case else 'LIKE'} {VALUE}"
    if name in _ARRAYS:
        return f"{column} {_ARRAYS[name]} {VALUE}"
    return f"{column} {_FILTERS[name]} {VALUE}" if name in _FILTERS else None
