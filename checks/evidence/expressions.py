"""What an expression of a parsed statement says of a column (postgast's protobuf of PostgreSQL's grammar)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from checks.evidence.patterns import ColumnRef

if TYPE_CHECKING:
    from checks.evidence.scopes import Scope

DISTANCE_OPERATORS = frozenset(["<->", "<#>", "<=>", "<+>", "<~>", "<%>"])
DISTANCE_FUNCTIONS = {
    "l2_distance": "<->",
    "vector_negative_inner_product": "<#>",
    "inner_product": "<#>",
    "cosine_distance": "<=>",
    "l1_distance": "<+>",
    "hamming_distance": "<~>",
    "jaccard_distance": "<%>",
}
JSON_OPERATORS = frozenset(["->", "->>", "#>", "#>>"])
FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "@>": "<@", "<@": "@>"}


class Operand(NamedTuple):
    """One side of a comparison that comes down to a column, the first of `several` or one alone, and what stands around it (as in
    Comparison)."""

    column: ColumnRef
    function: str | None = None
    json_operator: str | None = None
    json_key: str | None = None
    several: bool = False


def unwrap(node: Any) -> tuple[str | None, Any]:
    """The kind of a node (`a_expr`, `column_ref`, ...) and its content; (None, None) if there is none."""
    if node is None:
        return None, None
    kind = node.WhichOneof("node")
    return kind, getattr(node, kind) if kind else None


def operator_name(expression: Any) -> str:
    return expression.name[-1].string.sval if expression.name else ""


def is_star(node: Any) -> str | None:
    """The qualifier of a `*`, empty if there is none; None if the node is no `*`."""
    kind, value = unwrap(node)
    if kind != "column_ref" or not value.fields or value.fields[-1].WhichOneof("node") != "a_star":
        return None
    return value.fields[-2].string.sval if len(value.fields) > 1 else ""


def constant_text(node: Any) -> str | None:
    """A constant as text; `$n` for a parameter; None for anything else."""
    kind, value = unwrap(node)
    while kind == "type_cast":
        kind, value = unwrap(value.arg)
    if kind == "a_const":
        if value.HasField("sval"):
            return str(value.sval.sval)
        return str(value.ival.ival) if value.HasField("ival") else None
    return None


def key_text(node: Any) -> str | None:
    """The key right of a JSON operator: `a.b` for the path `{a,b}`."""
    kind, value = unwrap(node)
    while kind == "type_cast":
        kind, value = unwrap(value.arg)
    if kind == "param_ref":
        return f"${value.number}"
    text = constant_text(node)
    return text[1:-1].replace(",", ".") if text and text[0] == "{" and text[-1] == "}" else text


class Distance(NamedTuple):
    """The distance of a stored vector to another: see NearestSearch."""

    column: ColumnRef
    operator: str
    called: bool = False
    wrapped: str | None = None
    cast: str | None = None


def distance_of(kind: str | None, value: Any, scope: Scope) -> tuple[ColumnRef, str] | None:
    """The column and operator of `column <=> vector` or of a distance function; None if it is neither."""
    found = read_distance(kind, value, scope)
    return (found.column, found.operator) if found else None


def read_distance(kind: str | None, value: Any, scope: Scope) -> Distance | None:
    """A distance to a stored vector, in either order of its sides; None if the expression is none."""
    called = kind == "func_call"
    if not called:
        operator, arguments = operator_name(value), [value.lexpr, value.rexpr]
        if operator not in DISTANCE_OPERATORS:
            return None
    else:
        name = value.funcname[-1].string.sval if value.funcname else ""
        if name not in DISTANCE_FUNCTIONS or len(value.args) != 2:
            return None
        operator, arguments = DISTANCE_FUNCTIONS[name], list(value.args)
    for argument, other in zip(arguments, reversed(arguments), strict=True):
        operand = scope.operand(argument)
        if operand is not None and operand.column is not None and operand.json_operator is None:
            return Distance(operand.column, operator, called, operand.function, cast_of(other))
    return None


def cast_of(node: Any) -> str | None:
    """The bare name of the type that the expression is cast to, None if it is not cast."""
    kind, value = unwrap(node)
    if kind != "type_cast" or not value.type_name.names:
        return None
    return str(value.type_name.names[-1].string.sval)


def children(message: Any) -> list[Any]:
    """The nodes directly below; a part that is no node itself gives its own."""
    found: list[Any] = []
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for entry in value if field.is_repeated else (value,):
            if field.message_type.name == "Node":
                found.append(entry)
            else:
                found += children(entry)
    return found


def limit_of(statement: Any, field: str) -> int | None:
    """The number after LIMIT or OFFSET, 0 if it is no plain number, None if there is none."""
    if not statement.HasField(field):
        return None
    kind, value = unwrap(getattr(statement, field))
    if kind == "a_const":
        if value.isnull:
            return None
        return value.ival.ival if value.HasField("ival") and value.ival.ival > 0 else 0
    return 0
