"""Comparisons of columns in a statement's conditions (postgast's protobuf of PostgreSQL's grammar)."""

from __future__ import annotations

from typing import Any

from checks.evidence.expressions import (
    FLIPPED,
    Operand,
    constant_text,
    key_text,
    operator_name,
    unwrap,
)
from checks.evidence.patterns import ColumnRef, Comparison
from checks.evidence.scopes import Scope

_OPERATOR, _ANY, _ALL, _DISTINCT, _NOT_DISTINCT, _NULLIF, _IN, _LIKE, _ILIKE, _SIMILAR = range(1, 11)
_BETWEEN = {11: "between", 12: "not between", 13: "between", 14: "not between"}
_PATTERNS = {_LIKE: "like", _ILIKE: "ilike", _SIMILAR: "similar to"}


class Comparisons:
    """Notes what columns are compared with. `under_or`, `in_join`: see Comparison."""

    def __init__(self) -> None:
        self.comparisons: list[Comparison] = []

    def comparison(self, value: Any, scope: Scope, under_or: bool, in_join: bool) -> None:
        operator = operator_name(value)
        left_kind, left_row = unwrap(value.lexpr)
        right_kind, right_row = unwrap(value.rexpr)
        if left_kind == "row_expr" and value.kind == _OPERATOR:
            others = right_row.args if right_kind == "row_expr" else []
            pairs = list(zip(left_row.args, others, strict=False)) or [(entry, None) for entry in left_row.args]
            # Only the first column of a row comparison by order is compared on its own.
            for left, right in pairs if operator in ("=", "<>") else pairs[:1]:
                self.sides(scope.operand(left), scope.operand(right) if right else None, operator, under_or, in_join)
            return
        left = scope.operand(value.lexpr)
        if value.kind in (_IN, _BETWEEN, *_PATTERNS, *_BETWEEN):
            if value.kind == _IN:
                operator = "in" if operator == "=" else "not in"
            elif value.kind in _BETWEEN:
                operator = _BETWEEN[value.kind]
            else:
                pattern = constant_text(value.rexpr)
                wildcard = None if pattern is None else pattern.startswith(("%", "_"))
                operator = ("not " if operator.startswith("!") else "") + _PATTERNS[value.kind]
                self.compare(left, operator, under_or, in_join, leading_wildcard=wildcard)
                return
            self.compare(left, operator, under_or, in_join)
            return
        right = scope.operand(value.rexpr)
        if value.kind in (_ANY, _ALL):
            if right and not left:
                self.compare(right, "any" if value.kind == _ANY else "all", under_or, in_join)
            elif operator == "=" and value.kind == _ANY:
                self.compare(left, "in", under_or, in_join)
            elif operator == "<>" and value.kind == _ALL:
                self.compare(left, "not in", under_or, in_join)
            else:
                self.compare(left, f"{operator} {'any' if value.kind == _ANY else 'all'}", under_or, in_join)
        elif value.kind in (_DISTINCT, _NOT_DISTINCT):
            operator = "is distinct from" if value.kind == _DISTINCT else "is not distinct from"
            self.sides(left, right, operator, under_or, in_join)
        elif value.kind == _OPERATOR:
            if left and operator in ("?", "?|", "?&"):
                left = left._replace(json_key=left.json_key if left.json_operator else key_text(value.rexpr))
            self.sides(left, right, operator, under_or, in_join)

    def sides(self, left: Operand | None, right: Operand | None, operator: str, under_or: bool, in_join: bool) -> None:
        if left and right:
            self.compare_columns(left, right, operator, under_or, in_join)
        elif left:
            self.compare(left, operator, under_or, in_join)
        elif right:
            self.compare(right, FLIPPED.get(operator, operator), under_or, in_join)

    def compare_columns(self, left: Operand, right: Operand, operator: str, under_or: bool, in_join: bool) -> None:
        self.compare(left, operator, under_or, in_join, other=right.column)
        self.compare(right, FLIPPED.get(operator, operator), under_or, in_join, other=left.column)

    def compare(
        self,
        operand: Operand | None,
        operator: str,
        under_or: bool,
        in_join: bool,
        *,
        other: ColumnRef | None = None,
        leading_wildcard: bool | None = None,
    ) -> None:
        if operand is not None:
            self.comparisons.append(
                Comparison(
                    operand.column,
                    operator,
                    operand.function,
                    operand.json_operator,
                    operand.json_key,
                    other,
                    under_or,
                    in_join,
                    leading_wildcard,
                    operand.several,
                )
            )
