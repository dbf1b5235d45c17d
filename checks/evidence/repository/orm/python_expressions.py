"""SQLAlchemy's expressions as SQL."""

from __future__ import annotations

import re
from collections.abc import Callable

from tree_sitter import Node

from checks.evidence.repository.facts import Model
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name, string_of
from checks.evidence.repository.orm.query import VALUE, column_of, quoted
from checks.evidence.repository.orm.syntax import field, named, text

_OPERATORS = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_DISTANCES = {
    "cosine_distance": "<=>",
    "l2_distance": "<->",
    "max_inner_product": "<#>",
    "l1_distance": "<+>",
    "hamming_distance": "<~>",
    "jaccard_distance": "<%>",
}
_PATTERNS = {
    "like": "LIKE", "ilike": "ILIKE", "not_like": "NOT LIKE", "notlike": "NOT LIKE", "not_ilike": "NOT ILIKE",
    "notilike": "NOT ILIKE", "startswith": "LIKE", "endswith": "LIKE", "istartswith": "ILIKE", "icontains": "ILIKE",
}  # fmt: skip
_LISTS = {"in_": "IN", "not_in": "NOT IN", "notin_": "NOT IN"}
_TESTS = {"is_": "IS", "is_not": "IS NOT", "isnot": "IS NOT"}
_OPPOSITES = {
    " NOT LIKE ": " LIKE ", " LIKE ": " NOT LIKE ", " NOT ILIKE ": " ILIKE ", " ILIKE ": " NOT ILIKE ", " NOT IN (": " IN (",
    " IN (": " NOT IN (", " IS NOT ": " IS ", " IS ": " IS NOT ", " <> ": " = ", " <= ": " > ", " >= ": " < ", " = ": " <> ",
    " < ": " >= ", " > ": " <= ",
}  # fmt: skip
_CONSTANTS = {"None": "NULL", "True": "TRUE", "False": "FALSE", "null": "NULL", "true": "TRUE", "false": "FALSE"}
_LITERALS = frozenset(["string", "integer", "float", "concatenated_string", "true", "false", "list", "tuple", "set"])
_SIMPLE_VALUES = frozenset(
    ["identifier", "attribute", "subscript", "call", "binary_operator", "unary_operator", "await"]
)
_BUILDERS = re.compile(
    r"\b(?:select|exists|aliased|subquery|scalar_subquery|cte|lateral|func|text|literal_column|case|cast|and_|or_|not_|any_|all_"
    r"|bindparam|over|column|table)\s*\(|\.c[.\[]|\.query\(|\bfunc\."
)
_JSON_ENDS = frozenset(["astext", "as_string"])
_JSON_TYPES = frozenset(["JSONB", "JSON"])
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,63}")
_KEY_OPERATORS = frozenset(["->>", "->"])
_CASTS = {"String": "varchar", "Text": "text", "Unicode": "varchar", "Integer": "integer", "BigInteger": "bigint",
          "Float": "float", "Numeric": "numeric", "Boolean": "boolean", "DateTime": "timestamp", "Date": "date"}  # fmt: skip
_MAXIMUM_DEPTH = 60


class Expressions:
    """`entity` gives the model and the alias that a name stands for; `is_query` tells whether a name holds a piece of SQL that is
    not read here; `subselect` gives the SQL of a query that stands as a value, `existing` that of one whose rows are only asked
    whether there are any, `assigned` what a variable was given last, `of_class` the model that an attribute of `self` is. What
    cannot be read is None."""

    def __init__(self, entity: Callable[[str], tuple[Model, str] | None], is_query: Callable[[str], bool]) -> None:
        self.entity = entity
        self.is_query = is_query
        self.assigned: Callable[[Node], Node | None] = lambda _: None
        self.subselect: Callable[[Node], str | None] = lambda _: None
        self.existing: Callable[[Node], str | None] = lambda _: None
        self.of_class: Callable[[Node], tuple[Model, str] | None] = lambda _: None

    def model(self, node: Node) -> tuple[Model, str] | None:
        """A mapped class, alias or table that the expression names."""
        if node.type == "identifier":
            return self.entity(text(node))
        if node.type == "attribute" and text(field(node, "object")) in ("self", "cls"):
            return self.of_class(node)
        if node.type == "attribute" and _is_module(field(node, "object")):
            return self.entity(text(field(node, "attribute")))
        return None

    def column(self, node: Node) -> str | None:
        """`User.email`, `models.User.email`, `users.c.email`."""
        if node.type != "attribute":
            return None
        holder = field(node, "object")
        if holder is not None and holder.type == "attribute" and text(field(holder, "attribute")) in ("c", "columns"):
            holder = field(holder, "object")
        found = self.model(holder) if holder is not None else None
        column = column_of(found[0], text(field(node, "attribute"))) if found else None
        return f"{quoted(found[1])}.{quoted(column.name)}" if found and column else None

    def scalar(self, node: Node, depth: int = 0) -> str | None:
        """An expression over columns; None if it is a value or cannot be read."""
        if depth > _MAXIMUM_DEPTH:
            return None
        if node.type == "parenthesized_expression" and len(named(node)) == 1:
            return self.scalar(named(node)[0], depth + 1)
        if (column := self.column(node)) is not None:
            return column
        if node.type == "attribute" and text(field(node, "attribute")) in _JSON_ENDS:
            return self._json(field(node, "object"))
        if node.type == "identifier" and (value := self.assigned(node)) is not None:
            return self.scalar(value, depth + 1)
        if node.type == "subscript":
            return self._json(node, "->")
        if node.type != "call":
            return None
        function = field(node, "function")
        if function is None:
            return None
        positional, _ = arguments_of(node)
        if (written := self._operator(function)) is not None:
            key = string_of(positional[0]) if len(positional) == 1 else None
            plain = written[1] in _KEY_OPERATORS and key is not None and _KEY.fullmatch(key)
            return f"({written[0]} {written[1]} '{key}')" if plain else None
        if call_name(node) == "cast" and len(positional) == 2:
            kind = _CASTS.get(text(positional[1]).rpartition(".")[2].removesuffix("()"))
            inner = self.scalar(positional[0], depth + 1)
            return f"CAST({inner} AS {kind})" if inner and kind else None
        if function.type == "attribute":
            holder, name = field(function, "object"), text(field(function, "attribute"))
            if holder is not None and text(holder) in ("func", "sa.func", "sqlalchemy.func"):
                return self._function(name, positional, depth)
            if holder is not None and name == "label":
                return self.scalar(holder, depth + 1)
            if holder is not None and name in _JSON_ENDS:
                return self._json(holder)
            if holder is not None and name in _DISTANCES and (column := self.scalar(holder, depth + 1)):
                return f"({column} {_DISTANCES[name]} {VALUE})"
        if function.type == "identifier" and text(function) == "count":
            return self._function("count", positional, depth)
        if call_name(node) == "distinct" and len(positional) == 1:
            return self.scalar(positional[0], depth + 1)
        return None

    def _function(self, name: str, arguments: list[Node], depth: int) -> str | None:
        if not re.fullmatch(r"[a-z_][a-z0-9_]*", name):
            return None
        if name == "count" and not arguments:
            return "count(*)"
        parts = [self.scalar(argument, depth + 1) or self.value(argument) for argument in arguments]
        return None if any(part is None for part in parts) else f"{name}({', '.join(part for part in parts if part)})"

    def _json(self, node: Node | None, arrow: str = "->>", depth: int = 0) -> str | None:
        """`column["key"]["inner"]`, before `.astext` or bare."""
        if node is None or node.type != "subscript" or depth > _MAXIMUM_DEPTH:
            return None
        holder, key = field(node, "value"), string_of(field(node, "subscript"))
        if holder is None or key is None or not _KEY.fullmatch(key):
            return None
        inner = self._json(holder, "->", depth + 1) if holder.type == "subscript" else self.column(holder)
        return f"({inner} {arrow} '{key}')" if inner else None

    def _operator(self, function: Node) -> tuple[str, str] | None:
        """The column and the operator of `column.op("->>")`, which is then called with the other side."""
        named_by = field(function, "function") if function.type == "call" else None
        if named_by is None or named_by.type != "attribute" or text(field(named_by, "attribute")) != "op":
            return None
        holder, (arguments, _) = field(named_by, "object"), arguments_of(function)
        column = self.scalar(holder) if holder is not None else None
        operator = string_of(arguments[0]) if arguments else None
        return (column, operator) if column and operator else None

    def _is_document(self, node: Node) -> bool:
        holder = field(node, "object") if node.type == "attribute" else None
        found = self.model(holder) if holder is not None else None
        column = column_of(found[0], text(field(node, "attribute"))) if found else None
        return column is not None and (column.type or "").rpartition(".")[2] in _JSON_TYPES

    def value(self, node: Node) -> str | None:
        """A parameter, if the expression certainly is a plain value."""
        if node.type in _LITERALS and not _BUILDERS.search(text(node)):
            return VALUE
        if node.type not in _SIMPLE_VALUES or _BUILDERS.search(text(node)):
            return None
        root = node
        while root.type in ("attribute", "subscript", "call", "await"):
            inner = (
                field(root, "object")
                or field(root, "value")
                or field(root, "function")
                or next(iter(named(root)), None)
            )
            if inner is None:
                break
            root = inner
        if root.type == "identifier":
            if self.entity(text(root)) or self.is_query(text(root)):
                return None
            member = text(field(node, "attribute")) if node.type == "attribute" else ""
            # A column of a class that is no known model looks like this; a member of an enumeration is upper case.
            if text(root)[:1].isupper() and member and not member.isupper() and member not in ("value", "name"):
                return None
        if node.type == "binary_operator":
            return VALUE if all(self.value(part) or self.value(part) == "" for part in named(node)) else None
        return VALUE

    def condition(self, node: Node, depth: int = 0) -> str | None:
        """A condition; empty if it restricts nothing."""
        if depth > _MAXIMUM_DEPTH:
            return None
        if node.type == "parenthesized_expression" and len(named(node)) == 1:
            return self.condition(named(node)[0], depth + 1)
        if node.type == "comparison_operator":
            return self._comparison(node)
        if node.type == "unary_operator" and text(node).startswith("~"):
            inner = self.condition(named(node)[0], depth + 1) if named(node) else None
            return _negated(inner) if inner else None
        if node.type == "binary_operator":
            word = {"&": "AND", "|": "OR"}.get(text(field(node, "operator")))
            sides = [self.condition(side, depth + 1) for side in named(node)]
            return f"({f' {word} '.join(side for side in sides if side)})" if word and all(sides) else None
        if node.type in ("true", "none") or text(node) in ("true()", "sa.true()"):
            return ""
        if node.type in ("call", "identifier") and (inner := self.existing(node)) is not None:
            return f"EXISTS ({inner})"
        if node.type == "call":
            return self._called(node, depth)
        return self.column(node)

    def _comparison(self, node: Node) -> str | None:
        sides = named(node)
        signs = [child.type for child in node.children if not child.is_named]
        operator = _OPERATORS.get(signs[0]) if len(signs) == 1 and len(sides) == 2 else None
        if operator is None:
            return None
        left, right = self.scalar(sides[0]), self.scalar(sides[1])
        if left is None and right is None:
            return None
        if left and sides[1].type == "none":
            return f"{left} IS {'NULL' if operator == '=' else 'NOT NULL'}"
        one, other = left or self._side(sides[0]), right or self._side(sides[1])
        return f"{one} {operator} {other}" if one and other else None

    def _side(self, node: Node) -> str | None:
        """A value, or the one row that a query gives."""
        if (value := self.value(node)) is not None or node.type not in ("identifier", "call"):
            return value
        return f"({inner})" if (inner := self.subselect(node)) is not None else None

    def _called(self, node: Node, depth: int) -> str | None:
        name = call_name(node)
        positional, _ = arguments_of(node)
        if len(positional) != len(
            [entry for entry in named(field(node, "arguments")) if entry.type != "keyword_argument"]
        ):
            return None
        if name in ("and_", "or_"):
            parts = [self.condition(argument, depth + 1) for argument in positional]
            if any(part is None for part in parts) or (name == "or_" and not all(parts)):
                return None
            written = [part for part in parts if part]
            return f"({(' AND ' if name == 'and_' else ' OR ').join(written)})" if written else ""
        if name == "not_" and len(positional) == 1:
            inner = self.condition(positional[0], depth + 1)
            return _negated(inner) if inner else None
        function = field(node, "function")
        contained = self._operator(function) if function is not None else None
        if contained is not None and contained[1] == "@>" and len(positional) == 1 and self.value(positional[0]):
            return f"{contained[0]} @> {VALUE}"
        holder = field(function, "object") if function is not None and function.type == "attribute" else None
        left = self.scalar(holder) if holder is not None else None
        if left is None or holder is None or not positional:
            return None
        first = positional[0]
        if name == "contains" and self._is_document(holder):
            return f"{left} @> {VALUE}" if first.type == "dictionary" or self.value(first) else None
        if name in _TESTS:
            constant = _CONSTANTS.get(text(first).removesuffix("()").rpartition(".")[2])
            if constant is None and self.value(first):
                return f"{left} IS {'NOT ' if name == 'is_' else ''}DISTINCT FROM {VALUE}"
            return f"{left} {_TESTS[name]} {constant}" if constant else None
        if name in _LISTS:
            value = self.value(first)
            if first.type in ("list", "tuple", "set") and value:
                return f"{left} {_LISTS[name]} ({', '.join(VALUE for _ in named(first)) or VALUE})"
            if value is None and (inner := self.subselect(first)) is not None:
                return f"{left} {_LISTS[name]} ({inner})"
            return f"{left} {_LISTS[name]} ({VALUE})" if value else None
        value = self.value(first)
        if value is None:
            return None
        if name in _PATTERNS:
            return f"{left} {_PATTERNS[name]} {VALUE}"
        if name == "between" and len(positional) == 2 and self.value(positional[1]):
            return f"{left} BETWEEN {VALUE} AND {VALUE}"
        return None

    def order(self, node: Node) -> str | None:
        """One key of ORDER BY."""
        if node.type == "unary_operator" and text(node).startswith("-"):
            inner = self.scalar(named(node)[0]) if named(node) else None
            return f"{inner} DESC" if inner else None
        if node.type == "call":
            name, (positional, _) = call_name(node), arguments_of(node)
            function = field(node, "function")
            holder = field(function, "object") if function is not None and function.type == "attribute" else None
            if name in ("asc", "desc", "nulls_last", "nullslast", "nulls_first", "nullsfirst"):
                target = positional[0] if positional else holder
                inner = self.order(target) if target is not None else None
                words = {"asc": "", "desc": " DESC"}.get(name, " NULLS LAST" if "last" in name else " NULLS FIRST")
                return f"{inner}{words}" if inner else None
        return self.scalar(node)


def _negated(condition: str) -> str:
    """As SQLAlchemy writes it: a single comparison with the opposite operator, all else within NOT (...)."""
    if not re.search(r"^\(| AND | OR |^NOT |SELECT ", condition):
        for operator, opposite in _OPPOSITES.items():
            if operator in condition:
                return condition.replace(operator, opposite, 1)
    return f"NOT ({condition})"


def _is_module(node: Node | None) -> bool:
    """Whether it can be a module: a name in lower case, or such names with dots."""
    return node is not None and bool(re.fullmatch(r"[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*", text(node)))
