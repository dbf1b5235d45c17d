"""Which relation and column a name in a statement means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from checks.evidence.database.facts import Catalog
from checks.evidence.expressions import JSON_OPERATORS, Operand, key_text, operator_name, unwrap
from checks.evidence.patterns import ColumnRef

_SYSTEM_SCHEMAS = frozenset(["pg_catalog", "information_schema"])
_MAXIMUM_STEPS = 30
_WRAPPERS = {"coalesce_expr": "coalesce", "min_max_expr": "greatest", "collate_clause": "collate"}


def _are_several(operands: list[Operand]) -> bool:
    """Whether they are of more than one column or key."""
    return any(each.several for each in operands) or len({(each.column, each.json_key) for each in operands}) > 1


class Relation:
    """A name in FROM. `oid` is the catalog's, None for a subquery, function or unknown table; `columns` are a subquery's
    expressions by output name, to be read in `scope`. `opaque`: it may have columns that are not known here."""

    def __init__(
        self,
        alias: str,
        oid: int | None = None,
        columns: dict[str, Any] | None = None,
        stars: Iterable[int] = (),
        scope: Scope | None = None,
        opaque: bool = False,
    ) -> None:
        self.alias = alias
        self.oid = oid
        self.columns = columns or {}
        self.stars = tuple(stars)
        self.scope = scope
        self.opaque = opaque

    def renamed(self, alias: str, names: list[str]) -> Relation:
        """The same relation under another name, with its first columns renamed."""
        columns = self.columns
        if names:
            values = list(columns.values()) if not self.stars and not self.opaque else []
            columns = dict(zip(names, values, strict=False))
        return Relation(alias, self.oid, columns, self.stars, self.scope, self.opaque)


class Names:
    """Resolves relation names with the catalog, and remembers what was named."""

    def __init__(self, catalog: Catalog | None) -> None:
        self.catalog = catalog
        self.used: list[int] = []
        self.unresolved: list[str] = []
        self.joined = 0

    def relation(self, item: Any, scope: Scope, *, joined: bool = True) -> Relation:
        name, schema = item.relname, item.schemaname
        alias = item.alias.aliasname or name
        names = [entry.string.sval for entry in item.alias.colnames]
        self.joined += joined
        if not schema and (query := scope.query_named(name)):
            return query.renamed(alias, names)
        oid = self.oid_of(schema, name)
        if oid is not None:
            self.used.append(oid)
        elif schema not in _SYSTEM_SCHEMAS and (schema or not name.startswith("pg_")):
            self.unresolved.append(f"{schema}.{name}" if schema else name)
        return Relation(alias, oid, opaque=oid is None)

    def oid_of(self, schema: str, name: str) -> int | None:
        if self.catalog is None:
            return None
        if schema:
            table = self.catalog.table_by_name.get((schema, name))
            return table.oid if table else None
        found = self.catalog.tables_named.get(name, [])
        if len(found) > 1:
            found = [table for table in found if table.schema == "public"]
        return found[0].oid if len(found) == 1 else None

    def has_column(self, relation: Relation, name: str) -> bool | None:
        """None if it cannot be told."""
        if relation.oid is None or self.catalog is None:
            return True if name in relation.columns else (None if relation.opaque or relation.stars else False)
        return name in self.catalog.column_names.get(relation.oid, {})


class Scope:
    """The relations that a query's expressions can name, and those of the queries around it."""

    def __init__(self, names: Names, outer: Scope | None = None) -> None:
        self.names = names
        self.outer = outer
        self.relations: list[Relation] = []
        self.queries: dict[str, Relation] = {}

    def add(self, relation: Relation) -> Relation:
        self.relations.append(relation)
        return relation

    def without_relations(self) -> Scope:
        scope = Scope(self.names, self.outer)
        scope.queries = self.queries
        return scope

    def query_named(self, name: str) -> Relation | None:
        """The WITH query of that name."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.queries:
                return scope.queries[name]
            scope = scope.outer
        return None

    def visible(self, qualifier: str) -> list[Relation]:
        """The relations that a `*` with that qualifier stands for."""
        return [relation for relation in self.relations if not qualifier or relation.alias == qualifier]

    def column_of(self, relations: list[Relation], name: str, steps: int = 0) -> ColumnRef | None:
        """That column of one of these relations; None if none or several may have it."""
        having = [(relation, self.names.has_column(relation, name)) for relation in relations]
        certain = [relation for relation, has in having if has]
        possible = [relation for relation, has in having if has is None]
        found = certain or (possible if len(relations) == 1 or len(possible) == 1 else [])
        if not found:
            return None
        relation = found[0]
        if relation.oid is None and name in relation.columns and relation.scope is not None:
            scope, node = relation.scope.follow(relation.columns[name])
            kind, value = unwrap(node)
            return scope.column(value, steps + 1) if kind == "column_ref" else None
        if relation.oid is None and relation.stars:
            return next((ref for oid in relation.stars if (ref := self._of_star(oid, name))), None)
        return ColumnRef(relation.oid, name)

    def _of_star(self, oid: int, name: str) -> ColumnRef | None:
        catalog = self.names.catalog
        return ColumnRef(oid, name) if catalog and name in catalog.column_names.get(oid, {}) else None

    def column(self, reference: Any, steps: int = 0) -> ColumnRef | None:
        """The column that a column_ref names; None if that cannot be told."""
        # A name that a subquery does not have may be found again outside, as what that subquery makes of it.
        if steps > _MAXIMUM_STEPS:
            return None
        parts = [field.string.sval for field in reference.fields if field.WhichOneof("node") == "string"]
        if not parts or len(parts) != len(reference.fields):
            return None
        scope: Scope | None = self
        while scope is not None:
            candidates = scope.relations
            if len(parts) > 1:
                candidates = [relation for relation in candidates if relation.alias == parts[-2]][:1]
            if candidates:
                found = scope.column_of(candidates, parts[-1], steps)
                if found is not None or len(parts) > 1:
                    return found
                if any(self.names.has_column(relation, parts[-1]) is not False for relation in candidates):
                    return None
            scope = scope.outer
        return None

    def follow(self, node: Any) -> tuple[Scope, Any]:
        """The expression that a column of a subquery stands for, and the scope to read it in."""
        scope: Scope = self
        for _ in range(_MAXIMUM_STEPS):
            kind, value = unwrap(node)
            if kind != "column_ref":
                break
            parts = [field.string.sval for field in value.fields]
            sources = [
                relation
                for relation in scope.relations
                if relation.oid is None
                and relation.scope is not None
                and parts[-1] in relation.columns
                and (len(parts) == 1 or relation.alias == parts[-2])
            ]
            if len(sources) != 1 or sources[0].scope is scope:
                break
            node, inner = sources[0].columns[parts[-1]], sources[0].scope
            assert inner is not None
            scope = inner
        return scope, node

    def operand(self, node: Any, steps: int = 0) -> Operand | None:
        """The column that the expression is about, and what wraps it; None if it is about none, or not one alone."""
        kind, value = unwrap(node)
        if value is None or steps > _MAXIMUM_STEPS:
            return None
        if kind == "column_ref":
            column = self.column(value)
            return Operand(column) if column else self._cast_below(node, steps)
        if kind == "type_cast":
            return self._cast(value, self.operand(value.arg, steps + 1))
        if kind == "a_expr":
            return self._operator(value, steps)
        if kind == "a_indirection":
            operand = self.operand(value.arg, steps + 1)
            keys = [key_text(entry.a_indices.uidx) for entry in value.indirection if entry.HasField("a_indices")]
            if operand is None or not keys:
                return operand
            return operand._replace(json_operator="[]", json_key=".".join(key or "" for key in keys))
        if kind == "func_call":
            name = value.funcname[-1].string.sval if value.funcname else ""
            return self._wrapped(list(value.args), name, steps)
        if kind in _WRAPPERS:
            arguments = [value.arg] if kind == "collate_clause" else list(value.args)
            return self._wrapped(arguments, _WRAPPERS[kind], steps)
        return None

    def _wrapped(self, arguments: list[Any], function: str, steps: int) -> Operand | None:
        operands = [found for argument in arguments if (found := self.operand(argument, steps + 1)) is not None]
        return operands[0]._replace(function=function, several=_are_several(operands)) if operands else None

    def _cast_below(self, node: Any, steps: int) -> Operand | None:
        """What a column of a subquery stands for where that is a cast of a column."""
        inner, below = self.follow(node)
        return inner.operand(below, steps + 1) if unwrap(below)[0] == "type_cast" else None

    def _cast(self, value: Any, operand: Operand | None) -> Operand | None:
        names = [name.string.sval for name in value.type_name.names]
        if operand is None or not names:
            return operand
        catalog = self.names.catalog
        columns = catalog.column_names.get(operand.column.table or 0, {}) if catalog else {}
        column = columns.get(operand.column.column)
        same = column is not None and column.base_type == names[-1] and operand.json_operator is None
        return operand if same or operand.function else operand._replace(function=f"::{names[-1]}")

    def _operator(self, value: Any, steps: int) -> Operand | None:
        operator = operator_name(value)
        left = self.operand(value.lexpr, steps + 1) if value.HasField("lexpr") else None
        if operator in JSON_OPERATORS:
            if left is None:
                return None
            keys = [key for key in (left.json_key, key_text(value.rexpr)) if key]
            return left._replace(json_operator=operator, json_key=".".join(keys) or None)
        right = self.operand(value.rexpr, steps + 1)
        operands = [operand for operand in (left, right) if operand is not None]
        return operands[0]._replace(function=operator, several=_are_several(operands)) if operands else None
