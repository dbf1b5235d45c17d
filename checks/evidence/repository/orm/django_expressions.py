"""Django's lookups, Q and F objects and functions as SQL."""

from __future__ import annotations

import re
from collections.abc import Callable

from tree_sitter import Node

from checks.evidence.repository.orm.django_paths import Found, Paths
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name, string_of
from checks.evidence.repository.orm.query import VALUE
from checks.evidence.repository.orm.syntax import field, named, text

_COMPARISONS = {"exact": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_LIKES = frozenset(["contains", "startswith", "endswith"])
_PARTS = frozenset("year month day week week_day iso_week_day iso_year quarter hour minute second".split())
_ARRAYS = {"contains": "@>", "contained_by": "<@", "overlap": "&&"}
_KEYS = {"has_key": "?", "has_keys": "?&", "has_any_keys": "?|"}
_DISTANCES = {
    "CosineDistance": "<=>", "L2Distance": "<->", "MaxInnerProduct": "<#>", "L1Distance": "<+>", "HammingDistance": "<~>",
    "JaccardDistance": "<%>",
}  # fmt: skip
_AGGREGATES = {
    "Count": "count", "Sum": "sum", "Avg": "avg", "Min": "min", "Max": "max", "ArrayAgg": "array_agg", "StringAgg": "string_agg",
    "StdDev": "stddev_pop", "Variance": "var_pop", "BoolOr": "bool_or", "BoolAnd": "bool_and", "JSONBAgg": "jsonb_agg",
}  # fmt: skip
_FUNCTIONS = {
    "Lower": "lower", "Upper": "upper", "Length": "length", "Coalesce": "coalesce", "Abs": "abs", "Trim": "btrim",
    "Greatest": "greatest", "Least": "least", "Round": "round",
}  # fmt: skip
_TRUNCATES = re.compile(r"Trunc(?:Date|Day|Month|Year|Week|Hour|Minute|Quarter)?")
_KEY = re.compile(r"[A-Za-z0-9_-]{1,63}")
_MAXIMUM_DEPTH = 12
_MAXIMUM_NESTED = 3
_LITERALS = frozenset(["string", "integer", "float", "true", "false", "concatenated_string"])


class Expressions:
    """Expressions of one query. `subquery` gives a queryset within it as SQL, None if the node is none. `annotated` are the
    names that annotate() gave, with their SQL where it could be read. What cannot be read is None."""

    def __init__(self, paths: Paths, subquery: Callable[[Node, bool], str | None]) -> None:
        self.paths = paths
        self.subquery = subquery
        self.annotated: dict[str, str | None] = {}
        self.aggregates: set[str] = set()
        self._nested = 0

    # Conditions

    def conditions(self, call: Node, *, depth: int = 0, outer: bool = False) -> list[str | None]:
        """Those that the arguments of filter(), Q() and the like stand for."""
        found: list[str | None] = []
        for argument in named(field(call, "arguments")):
            if argument.type == "keyword_argument":
                value = field(argument, "value")
                key = text(field(argument, "name"))
                found.append(self.lookup(key, value, outer) if value is not None else None)
            elif argument.type in ("dictionary_splat", "list_splat"):
                found.append(self._splat(argument, outer))
            elif argument.type != "comment":
                found.append(self.condition(argument, depth + 1, outer))
        return found

    def _splat(self, argument: Node, outer: bool) -> str | None:
        """`**{"a__in": values}` with literal keys."""
        inner = named(argument)
        if len(inner) != 1 or inner[0].type != "dictionary":
            return None
        found = []
        for pair in named(inner[0]):
            key, value = string_of(field(pair, "key")), field(pair, "value")
            found.append(self.lookup(key, value, outer) if key and value is not None else None)
        written = [each for each in found if each]
        return " AND ".join(written) if len(written) == len(found) else None

    def condition(self, node: Node, depth: int = 0, outer: bool = False) -> str | None:
        """A positional argument: Q objects and what combines them, Exists()."""
        if depth > _MAXIMUM_DEPTH:
            return None
        if node.type == "parenthesized_expression" and len(named(node)) == 1:
            return self.condition(named(node)[0], depth + 1, outer)
        if node.type == "binary_operator":
            word = {"&": "AND", "|": "OR"}.get(text(field(node, "operator")))
            # Within OR a missing relation must not lose the row.
            sides = [self.condition(side, depth + 1, outer or word == "OR") for side in named(node)]
            written = [side for side in sides if side]
            if word is None or any(side is None for side in sides) or (word == "OR" and len(written) < len(sides)):
                return None
            return f"({f' {word} '.join(written)})" if written else ""
        if node.type == "unary_operator" and text(node).startswith("~"):
            inner = self.condition(named(node)[0], depth + 1, True) if named(node) else None
            return f"NOT ({inner})" if inner else inner
        if node.type != "call":
            return None
        name = call_name(node)
        if name == "Q":
            found = self.conditions(node, depth=depth + 1, outer=outer)
            written = [each for each in found if each]
            if any(each is None for each in found):
                return None
            return "(" + " AND ".join(written) + ")" if len(written) > 1 else "".join(written)
        if name == "Exists":
            return self._exists(node)
        return None

    def _exists(self, node: Node) -> str | None:
        inner = next(iter(arguments_of(node)[0]), None)
        sql = self.subquery(inner, False) if inner is not None else None
        return f"EXISTS ({sql})" if sql else None

    def lookup(self, key: str, value: Node, outer: bool = False) -> str | None:
        """`author__name__icontains=value`."""
        if self._nested >= _MAXIMUM_NESTED:
            return None
        self._nested += 1
        found = self._lookup(key.split("__"), value, outer)
        self._nested -= 1
        return found

    def _lookup(self, parts: list[str], value: Node, outer: bool) -> str | None:
        if parts[0] in self.annotated:
            sql = self.annotated[parts[0]]
            if sql is None or parts[0] in self.aggregates or len(parts) > 2:
                return None
            return self._compared(sql, parts[1] if len(parts) > 1 else "exact", value, "")
        missing = parts[-1] == "isnull" and text(value) == "True"
        found = self.paths.column(parts, outer=outer or missing)
        if found is None:
            return None
        return self._found(found, value)

    def _found(self, found: Found, value: Node) -> str | None:
        sql, rest, kind = found.sql, list(found.rest), found.column.type or ""
        if kind == "JSONField" and rest:
            last = rest[-1]
            textual = (last.startswith("i") and last[1:] in (*_LIKES, "exact", "regex")) or last in (
                "startswith",
                "endswith",
            )
            keys = rest if last not in _ALL_LOOKUPS else rest[:-1]
            if keys:
                if not all(_KEY.fullmatch(each) for each in keys):
                    return None
                arrow = "->>" if textual else "->"
                path = f"'{keys[0]}'" if len(keys) == 1 else "'{" + ",".join(keys) + "}'"
                sql = f"({sql} {arrow if len(keys) == 1 else '#' + arrow[1:]} {path})"
                rest, kind = rest[len(keys) :], "TextField" if textual else kind
        if len(rest) > 2:
            return None
        transform = (
            rest[0]
            if len(rest) == 2 or (rest and rest[0] in _PARTS | {"date", "time", "lower", "upper", "length"})
            else ""
        )
        final = rest[-1] if rest and rest[-1] != transform else "exact"
        if transform:
            wrapped = _transformed(sql, transform)
            if wrapped is None:
                return None
            if transform == "year" and final == "exact":
                return f"{sql} BETWEEN {VALUE} AND {VALUE}"
            sql, kind = wrapped, ""
        return self._compared(sql, final, value, kind)

    def _compared(self, sql: str, lookup: str, value: Node, kind: str) -> str | None:
        if lookup == "isnull":
            return {"True": f"{sql} IS NULL", "False": f"{sql} IS NOT NULL"}.get(text(value))
        if lookup == "exact" and value.type == "none":
            return f"{sql} IS NULL"
        if lookup == "in":
            return self._in(sql, value)
        other = self.value(value)
        if other is None:
            return None
        if lookup in _COMPARISONS:
            return f"{sql} {_COMPARISONS[lookup]} {other}"
        if lookup == "range":
            return f"{sql} BETWEEN {VALUE} AND {VALUE}"
        if lookup in _ARRAYS and (
            kind in ("ArrayField", "JSONField") or kind.endswith("RangeField") or lookup == "overlap"
        ):
            return f"{sql} {_ARRAYS[lookup]} {other}"
        if lookup in _KEYS:
            return f"{sql} {_KEYS[lookup]} {other}"
        if lookup in _LIKES:
            return f"{sql}::text LIKE {other}"
        if lookup == "iexact":
            return f"upper({sql}::text) = upper({other})"
        if lookup in {f"i{like}" for like in _LIKES}:
            return f"upper({sql}::text) LIKE upper({other})"
        if lookup in ("regex", "iregex"):
            return f"{sql}::text {'~*' if lookup[0] == 'i' else '~'} {other}"
        if lookup == "search":
            return f"to_tsvector({sql}) @@ plainto_tsquery({other})"
        return None

    def _in(self, sql: str, value: Node) -> str | None:
        if value.type in ("list", "tuple", "set"):
            entries = named(value)
            return f"{sql} IN ({', '.join(VALUE for _ in entries) or VALUE})"
        if (inner := self.subquery(value, True)) is not None:
            return f"{sql} IN ({inner})"
        return f"{sql} IN ({VALUE})"

    def value(self, node: Node) -> str | None:
        """The right side of a comparison."""
        if node.type in _LITERALS:
            return VALUE
        expression = self.expression(node)
        if expression is not None:
            return expression
        if re.search(r"\b(?:F|Func|Case|When|Subquery|Exists|OuterRef|RawSQL|ExpressionWrapper)\(", text(node)):
            return VALUE if call_name(node) == "OuterRef" else None
        return VALUE

    # Expressions

    def expression(self, node: Node, depth: int = 0, outer: bool = False) -> str | None:
        """F("x"), Count("x"), Lower("x"), CosineDistance("x", v); None if it is a value or cannot be read."""
        if depth > _MAXIMUM_DEPTH:
            return None
        if node.type == "parenthesized_expression" and len(named(node)) == 1:
            return self.expression(named(node)[0], depth + 1, outer)
        if node.type == "binary_operator":
            sides = [self.expression(side, depth + 1, outer) for side in named(node)]
            if not any(sides):
                return None
            sign = text(field(node, "operator"))
            parts = [side or self.value(each) for side, each in zip(sides, named(node), strict=True)]
            return f"({parts[0]} {sign} {parts[1]})" if len(parts) == 2 and all(parts) and sign in "+-*/%" else None
        if node.type != "call":
            return None
        name = call_name(node)
        positional, keywords = arguments_of(node)
        if name == "Exists":
            return self._exists(node)
        if name == "Subquery":
            inner = self.subquery(positional[0], True) if positional else None
            return f"({inner})" if inner else None
        if name == "OuterRef":
            return VALUE
        if name == "Value":
            return VALUE
        if name == "Count" and positional and string_of(positional[0]) == "*":
            return "count(*)"
        if name == "F" and positional:
            return self.named(string_of(positional[0]), outer)
        if name in _DISTANCES and len(positional) > 1:
            column = self._argument(positional[0], depth, outer)
            return f"({column} {_DISTANCES[name]} {VALUE})" if column else None
        if name in _AGGREGATES and positional:
            column = self._argument(positional[0], depth, True)
            distinct = "DISTINCT " if text(keywords.get("distinct")) == "True" else ""
            if column is None:
                return None
            kept = ""
            if "filter" in keywords:
                condition = self.condition(keywords["filter"], depth + 1, True)
                if not condition:
                    return None
                kept = f" FILTER (WHERE {condition})"
            return f"{_AGGREGATES[name]}({distinct}{column}){kept}"
        if name in _FUNCTIONS:
            parts = [self._argument(each, depth, outer) for each in positional]
            return f"{_FUNCTIONS[name]}({', '.join(part for part in parts if part)})" if parts and all(parts) else None
        if _TRUNCATES.fullmatch(name) and positional:
            column = self._argument(positional[0], depth, outer)
            return f"date_trunc({VALUE}, {column})" if column else None
        inner = self.subquery(node, True)
        return f"({inner})" if inner else None

    def _argument(self, node: Node, depth: int, outer: bool) -> str | None:
        if node.type == "string":
            return self.named(string_of(node), outer)
        return self.expression(node, depth + 1, outer) or (VALUE if node.type in _LITERALS else None)

    def named(self, name: str | None, outer: bool = False) -> str | None:
        """A field or annotation by its name."""
        if not name:
            return None
        if name in self.annotated:
            return self.annotated[name]
        found = self.paths.column(name.split("__"), outer=outer)
        if found is None or (found.rest and found.column.type != "JSONField"):
            return None
        if found.rest:
            return (
                f"({found.sql} -> '{found.rest[0]}')"
                if len(found.rest) == 1 and _KEY.fullmatch(found.rest[0])
                else None
            )
        return found.sql

    def order(self, node: Node) -> str | None:
        """One key of order_by()."""
        if node.type == "string":
            return self.order_named(string_of(node))
        if node.type == "call":
            function = field(node, "function")
            name = call_name(node)
            holder = field(function, "object") if function is not None and function.type == "attribute" else None
            if name in ("asc", "desc") and holder is not None:
                inner = self.expression(holder)
                _, keywords = arguments_of(node)
                nulls = (
                    " NULLS LAST" if "nulls_last" in keywords else " NULLS FIRST" if "nulls_first" in keywords else ""
                )
                return f"{inner}{' DESC' * (name == 'desc')}{nulls}" if inner else None
        return self.expression(node)

    def order_named(self, name: str | None) -> str | None:
        if not name or name == "?":
            return None
        sql = self.named(name.removeprefix("-"), True)
        return f"{sql}{' DESC' * name.startswith('-')}" if sql else None

    def is_aggregate(self, node: Node) -> bool:
        return bool(re.search(rf"\b(?:{'|'.join(_AGGREGATES)})\s*\(", text(node)[:300]))


_ALL_LOOKUPS = frozenset(
    [
        *_COMPARISONS,
        *_LIKES,
        *(f"i{like}" for like in _LIKES),
        "iexact",
        "in",
        "isnull",
        "range",
        "regex",
        "iregex",
        *_KEYS,
        *_ARRAYS,
    ]
)


def _transformed(sql: str, transform: str) -> str | None:
    if transform == "date":
        return f"({sql} AT TIME ZONE {VALUE})::date"
    if transform == "time":
        return f"({sql} AT TIME ZONE {VALUE})::time"
    if transform in ("lower", "upper", "length"):
        return f"{transform}({sql})"
    if transform in _PARTS:
        return f"extract({transform.removeprefix('iso_').replace('week_day', 'dow')} FROM {sql})"
    return None
