"""Reads an access pattern from the tree of one statement (postgast's protobuf of PostgreSQL's grammar)."""

from __future__ import annotations

from typing import Any

import msgspec

from checks.evidence.comparisons import Comparisons
from checks.evidence.database.facts import Catalog
from checks.evidence.expressions import (
    Operand,
    children,
    distance_of,
    is_star,
    limit_of,
    unwrap,
)
from checks.evidence.nearest import document_key, is_descending, nearest_search, order_key, sorted_by
from checks.evidence.patterns import AccessPattern, ColumnRef, Comparison, DocumentSort, NearestSearch, OrderKey
from checks.evidence.scopes import Names, Relation, Scope

_VERBS = {
    "select_stmt": "select",
    "insert_stmt": "insert",
    "update_stmt": "update",
    "delete_stmt": "delete",
    "merge_stmt": "merge",
}
_FURTHER_RELATIONS = {"update_stmt": "from_clause", "delete_stmt": "using_clause"}
_AGGREGATES = frozenset(
    "count sum avg min max array_agg string_agg json_agg jsonb_agg json_object_agg jsonb_object_agg bool_and bool_or every "
    "stddev stddev_pop stddev_samp variance var_pop var_samp percentile_cont percentile_disc mode corr".split()
)
_AND, _OR, _NOT = 1, 2, 3
_TESTS = {1: "is true", 2: "is not true", 3: "is false", 4: "is not false", 5: "is unknown", 6: "is not unknown"}
_LOCK_WAIT_SKIP = 2
_SETOP_NONE = 1
_MAXIMUM_LEVELS = 60
_UNFOLDING = frozenset(
    "json_to_record json_to_recordset jsonb_to_record jsonb_to_recordset json_each jsonb_each json_array_elements "
    "jsonb_array_elements json_array_elements_text jsonb_array_elements_text unnest generate_series".split()
)


def read_tree(node: Any, catalog: Catalog | None, known: AccessPattern) -> AccessPattern:
    """`known` with what the statement's tree says."""
    kind, statement = unwrap(node)
    if kind == "declare_cursor_stmt":
        kind, statement = unwrap(statement.query)
    kind, statement = _asked_of_postgrest(kind, statement)
    if kind not in _VERBS:
        return known
    return _Reader(catalog).read(kind, statement, known)


def _asked_of_postgrest(kind: str | None, statement: Any) -> tuple[str | None, Any]:
    """The statement within those that PostgREST sends: the first WITH query, whose rows the rest turns into a document."""
    if kind == "select_stmt" and statement.HasField("with_clause") and statement.with_clause.ctes:
        first = statement.with_clause.ctes[0].common_table_expr
        if first.ctename == "pgrst_source":
            return unwrap(first.ctequery)
    return kind, statement


class _Reader(Comparisons):
    def __init__(self, catalog: Catalog | None) -> None:
        super().__init__()
        self.names = Names(catalog)
        self.distances: list[tuple[ColumnRef, str]] = []
        self.nested: list[tuple[OrderKey, int | None]] = []
        self.written: list[ColumnRef] = []
        self.searches: list[NearestSearch] = []
        self.functions: list[str] = []
        self.sorts: list[DocumentSort] = []
        self.skip_locked = False
        self.level = 0

    def read(self, kind: str, statement: Any, known: AccessPattern) -> AccessPattern:
        outermost = msgspec.structs.replace(known, verb=_VERBS[kind])
        if kind == "select_stmt":
            relation = self.select(statement, None)
            order_by = self.order_keys(statement, relation.scope) if relation.scope else ()
            outermost = msgspec.structs.replace(
                outermost,
                order_by=order_by,
                limit=limit_of(statement, "limit_count"),
                offset=limit_of(statement, "limit_offset"),
                stars=relation.stars,
                aggregates=bool(statement.group_clause) or any(map(_is_aggregate, statement.target_list)),
                selected=_plain_columns(statement.target_list, relation.scope) if relation.scope else (),
                output_columns=0 if relation.stars or relation.opaque else len(statement.target_list),
            )
        else:
            self.modify(kind, statement, None)
            if kind == "insert_stmt" and statement.HasField("on_conflict_clause"):
                outermost = msgspec.structs.replace(
                    outermost, conflict_columns=_conflict_columns(statement.on_conflict_clause)
                )
        return msgspec.structs.replace(
            outermost,
            tables=tuple(dict.fromkeys(self.names.used)),
            unresolved=tuple(dict.fromkeys(self.names.unresolved)),
            comparisons=tuple(dict.fromkeys(self.comparisons)),
            distances=tuple(dict.fromkeys(self.distances)),
            nested_order_by=tuple(dict.fromkeys(self.nested)),
            written_columns=tuple(dict.fromkeys(self.written)),
            joined_relations=self.names.joined,
            skip_locked=self.skip_locked,
            searches=tuple(dict.fromkeys(self.searches)),
            functions=tuple(dict.fromkeys(self.functions)),
            sorts=tuple(dict.fromkeys(self.sorts)),
        )

    # Statements

    def query(self, node: Any, outer: Scope | None) -> Relation:
        """A statement inside another: a subquery, or a data-modifying WITH."""
        kind, statement = unwrap(node)
        if kind == "select_stmt":
            relation = self.select(statement, outer)
            if relation.scope and statement.sort_clause:
                limit = limit_of(statement, "limit_count")
                self.nested += [(key, limit) for key in self.order_keys(statement, relation.scope)]
            return relation
        if kind in _VERBS:
            self.modify(kind, statement, outer)
        return Relation("", opaque=True)

    def select(self, statement: Any, outer: Scope | None) -> Relation:
        """Reads the query; what it gives its reader: the expressions behind its output columns, and its stars."""
        self.level += 1
        try:
            return self._select(statement, outer) if self.level <= _MAXIMUM_LEVELS else Relation("", opaque=True)
        finally:
            self.level -= 1

    def _select(self, statement: Any, outer: Scope | None) -> Relation:
        scope = Scope(self.names, outer)
        compared, searched, named = len(self.comparisons), len(self.searches), self.names.joined
        self.with_clause(statement, scope)
        if statement.op > _SETOP_NONE:
            return _united(self.select(statement.larg, scope), self.select(statement.rarg, scope))
        conditions: list[Any] = []
        for item in statement.from_clause:
            self.from_item(item, scope, conditions)
        for quals in conditions:
            self.condition(quals, scope, in_join=True)
        before, below_it = len(self.comparisons), len(self.searches)
        if statement.HasField("where_clause"):
            self.condition(statement.where_clause, scope)
        if len(scope.relations) == 1 and scope.relations[0].oid is None:
            self.filter_after(searched, below_it, self.comparisons[before:])
        if statement.HasField("having_clause"):
            self.scan(statement.having_clause, scope)
        for lock in statement.locking_clause:
            self.skip_locked |= lock.locking_clause.wait_policy == _LOCK_WAIT_SKIP
        for rows in (statement.values_lists, statement.group_clause, statement.distinct_clause):
            for row in rows:
                self.scan(row, scope)
        given = self.output(statement, scope)
        if search := nearest_search(statement, scope):
            own = dict.fromkeys(entry for entry in self.comparisons[compared:] if entry.column != search.column)
            # A subquery that only computes the distance by which this query sorts is part of the same search.
            below = [
                entry for entry in self.searches[searched:] if entry.place == "order" or entry.column != search.column
            ]
            reranks = any(entry.column == search.column and entry.limit is not None for entry in below)
            self.searches[searched:] = below
            self.searches.append(
                msgspec.structs.replace(
                    search, filters=tuple(own), relations=self.names.joined - named, reranks=reranks
                )
            )
        return given

    def filter_after(self, first: int, last: int, around: list[Comparison]) -> None:
        """Notes conditions on what a subquery gives with its searches, if a LIMIT cut their rows before."""
        for number, search in enumerate(self.searches[first:last], first):
            after = tuple(
                entry
                for entry in around
                if entry.column.table == search.column.table and entry.column != search.column and entry.other is None
            )
            if after and search.place == "order" and search.limit is not None:
                self.searches[number] = msgspec.structs.replace(search, after=after)

    def output(self, statement: Any, scope: Scope) -> Relation:
        columns: dict[str, Any] = {}
        stars: list[int] = []
        opaque = False
        for entry in statement.target_list:
            value = entry.res_target.val
            qualifier = is_star(value)
            if qualifier is None:
                self.scan(value, scope)
                columns[entry.res_target.name or _implied_name(value)] = value
                continue
            for relation in scope.visible(qualifier):
                stars += [relation.oid] if relation.oid is not None else relation.stars
                opaque |= relation.oid is None and not relation.stars
                columns |= relation.columns
                opaque |= relation.scope is not None
        return Relation("", columns=columns, stars=tuple(dict.fromkeys(stars)), scope=scope, opaque=opaque)

    def modify(self, kind: str, statement: Any, outer: Scope | None) -> None:
        scope = Scope(self.names, outer)
        self.with_clause(statement, scope)
        target = scope.add(self.names.relation(statement.relation, scope, joined=False))
        conditions: list[Any] = []
        further = _FURTHER_RELATIONS.get(kind)
        for item in getattr(statement, further) if further else ():
            self.from_item(item, scope, conditions)
        if kind == "insert_stmt":
            self.written += [ColumnRef(target.oid, entry.res_target.name) for entry in statement.cols]
            if statement.HasField("select_stmt"):
                self.query(statement.select_stmt, outer if not scope.queries else scope.without_relations())
            if statement.HasField("on_conflict_clause"):
                self.assignments(statement.on_conflict_clause.target_list, target, scope)
            return
        if kind == "merge_stmt":
            self.from_item(statement.source_relation, scope, conditions)
            conditions.append(statement.join_condition)
            for clause in statement.merge_when_clauses:
                self.assignments(clause.merge_when_clause.target_list, target, scope)
        if kind == "update_stmt":
            self.assignments(statement.target_list, target, scope)
        for quals in conditions:
            self.condition(quals, scope, in_join=True)
        if kind != "merge_stmt" and statement.HasField("where_clause"):
            self.condition(statement.where_clause, scope)

    def assignments(self, entries: Any, target: Relation, scope: Scope) -> None:
        for entry in entries:
            self.written.append(ColumnRef(target.oid, entry.res_target.name))
            self.scan(entry.res_target.val, scope)

    def with_clause(self, statement: Any, scope: Scope) -> None:
        if not statement.HasField("with_clause"):
            return
        for entry in statement.with_clause.ctes:
            expression = entry.common_table_expr
            names = [name.string.sval for name in expression.aliascolnames]
            if statement.with_clause.recursive:
                relation = self.recursive(expression, names, scope)
            else:
                relation = self.query(expression.ctequery, scope)
            scope.queries[expression.ctename] = relation.renamed(expression.ctename, names)

    def recursive(self, expression: Any, names: list[str], scope: Scope) -> Relation:
        """A query of WITH RECURSIVE. To its second part its name means the rows of the first, as it does to begin with."""
        scope.queries[expression.ctename] = Relation(expression.ctename, opaque=True)
        kind, statement = unwrap(expression.ctequery)
        if kind != "select_stmt" or statement.op == _SETOP_NONE or statement.HasField("with_clause"):
            return self.query(expression.ctequery, scope)
        first = self.select(statement.larg, scope)
        scope.queries[expression.ctename] = first.renamed(expression.ctename, names)
        return _united(first, self.select(statement.rarg, scope))

    def from_item(self, node: Any, scope: Scope, conditions: list[Any]) -> list[Relation]:
        """The relations that one item of FROM brings into `scope`; its ON conditions go to `conditions`."""
        kind, item = unwrap(node)
        if kind == "range_var":
            return [scope.add(self.names.relation(item, scope))]
        if kind == "range_table_sample":
            return self.from_item(item.relation, scope, conditions)
        if kind == "range_subselect":
            relation = self.query(item.subquery, scope)
            names = [name.string.sval for name in item.alias.colnames]
            return [scope.add(relation.renamed(item.alias.aliasname, names))]
        if kind != "join_expr":
            if kind == "range_function":
                self.functions += _functions_in(item)
            self.scan(node, scope)
            return [scope.add(Relation(item.alias.aliasname if item is not None else "", opaque=True))]
        left = self.from_item(item.larg, scope, conditions)
        right = self.from_item(item.rarg, scope, conditions)
        if item.HasField("quals"):
            conditions.append(item.quals)
        for name in item.using_clause:
            sides = [scope.column_of(side, name.string.sval) for side in (left, right)]
            if sides[0] and sides[1]:
                self.compare_columns(Operand(sides[0]), Operand(sides[1]), "=", False, True)
        return left + right

    # Conditions

    def condition(self, node: Any, scope: Scope, under_or: bool = False, in_join: bool = False) -> None:
        kind, value = unwrap(node)
        if kind == "bool_expr" and value.boolop != _NOT:
            for argument in value.args:
                self.condition(argument, scope, under_or or value.boolop == _OR, in_join)
            return
        self.scan(node, scope)
        if kind == "bool_expr":
            operand = scope.operand(value.args[0])
            inner_kind, inner = unwrap(value.args[0])
            if operand and inner_kind == "column_ref":
                self.compare(operand, "is false", under_or, in_join)
            elif inner_kind == "null_test":
                opposite = {1: "is not null", 2: "is null"}.get(inner.nulltesttype, "is unknown")
                self.compare(scope.operand(inner.arg), opposite, under_or, in_join)
        elif kind == "a_expr":
            self.comparison(value, scope, under_or, in_join)
        elif kind in ("null_test", "boolean_test"):
            operand = scope.operand(value.arg)
            tests = {1: "is null", 2: "is not null"} if kind == "null_test" else _TESTS
            self.compare(
                operand,
                tests.get(value.nulltesttype if kind == "null_test" else value.booltesttype, "is unknown"),
                under_or,
                in_join,
            )
        elif kind == "column_ref":
            self.compare(scope.operand(node), "is true", under_or, in_join)
        elif kind == "sub_link" and value.HasField("testexpr"):
            self.compare(scope.operand(value.testexpr), "in", under_or, in_join)

    # Everything else in an expression

    def scan(self, node: Any, scope: Scope) -> None:
        """Notes distances and reads subqueries anywhere in the expression."""
        stack = [node]
        while stack:
            message = stack.pop()
            kind, value = unwrap(message)
            if value is None:
                continue
            if kind == "sub_link":
                self.query(value.subselect, scope)
                if value.HasField("testexpr"):
                    stack.append(value.testexpr)
                continue
            if kind in ("a_expr", "func_call"):
                found = distance_of(kind, value, scope)
                if found:
                    self.distances.append(found)
            if kind not in ("column_ref", "param_ref", "a_const", "select_stmt"):
                stack += children(value)

    def order_keys(self, statement: Any, scope: Scope) -> tuple[OrderKey, ...]:
        keys = []
        outputs = {entry.res_target.name: entry.res_target.val for entry in statement.target_list}
        for position, entry in enumerate(statement.sort_clause):
            sort = entry.sort_by
            node = sorted_by(sort.node, outputs, statement)
            if node is sort.node:
                self.scan(node, scope)
            if position == 0 and (key := document_key(statement, node, scope)):
                self.sorts.append(DocumentSort(key, limit_of(statement, "limit_count")))
            descending = is_descending(sort)
            keys.append(order_key(node, scope, descending))
        return tuple(keys)


def _plain_columns(targets: Any, scope: Scope) -> tuple[ColumnRef, ...]:
    found = [unwrap(entry.res_target.val) for entry in targets]
    columns = [scope.column(value) for kind, value in found if kind == "column_ref"]
    return tuple(column for column in columns if column is not None)


def _conflict_columns(clause: Any) -> tuple[str, ...] | None:
    if not clause.HasField("infer") or clause.infer.HasField("where_clause"):
        return None
    names = [entry.index_elem.name for entry in clause.infer.index_elems]
    return tuple(names) if names and all(names) else None


def _functions_in(item: Any) -> list[str]:
    found = []
    for entry in item.functions:
        for node in entry.list.items:
            kind, value = unwrap(node)
            if kind == "func_call" and value.funcname and value.funcname[-1].string.sval not in _UNFOLDING:
                found.append(value.funcname[-1].string.sval)
    return found


def _united(left: Relation, right: Relation) -> Relation:
    """What UNION, EXCEPT or INTERSECT of two queries gives."""
    stars = tuple(dict.fromkeys((*left.stars, *right.stars)))
    return Relation("", columns=left.columns, stars=stars, opaque=left.opaque)


def _implied_name(node: Any) -> str:
    kind, value = unwrap(node)
    if kind == "column_ref":
        return value.fields[-1].string.sval if value.fields else ""
    if kind == "func_call":
        return value.funcname[-1].string.sval if value.funcname else ""
    return _implied_name(value.arg) if kind == "type_cast" else ""


def _is_aggregate(node: Any) -> bool:
    stack = [node]
    while stack:
        kind, value = unwrap(stack.pop())
        if kind == "func_call" and not value.HasField("over") and value.funcname[-1].string.sval in _AGGREGATES:
            return True
        if value is not None and kind != "sub_link":
            stack += children(value)
    return False
