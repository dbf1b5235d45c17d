"""Names of tables that Python code has a helper write: `f"SELECT id FROM {fq_table('orders')}"`."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.strings import text_of

# Only where a table must stand; elsewhere it may be a column or a value.
_PLACE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE|ONLY|USING)\s+\Z", re.IGNORECASE)
_HELPER = re.compile(r"(?:^|_)(?:table|relation|fq|qualified)(?:_|\Z)")
_NAME = re.compile(r"[A-Za-z_]\w{0,62}(?:\.[A-Za-z_]\w{0,62})?")
_LEVELS = 40
_SIBLINGS = 200


def helped_name(interpolation: Node, before: str) -> str | None:
    """The one name that the helper is given, called in place or for a variable of the function; None where that is not
    certain. `before` is the text of the statement up to there."""
    if not _PLACE.search(before[-30:]):
        return None
    inner = [child for child in interpolation.named_children if child.type != "comment"]
    if len(inner) != 1:
        return None
    return _called_with(_assigned(inner[0]) if inner[0].type == "identifier" else inner[0])


def _called_with(call: Node | None) -> str | None:
    function = call.child_by_field_name("function") if call is not None and call.type == "call" else None
    arguments = call.child_by_field_name("arguments") if call is not None and function is not None else None
    if function is None or arguments is None or not _HELPER.search(text_of(function).rpartition(".")[2]):
        return None
    strings = [child for child in arguments.named_children if child.type == "string"]
    if len(strings) != 1 or arguments.named_children[0] != strings[0]:
        return None
    name = text_of(strings[0])[1:-1]
    return name if _NAME.fullmatch(name) else None


def _assigned(variable: Node) -> Node | None:
    """What the nearest statement before assigns to the variable, if no branch or loop between may assign it too."""
    name = text_of(variable)
    named = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
    again = re.compile(rf"(?<![\w.]){re.escape(name)}\s*(?::[^=\n]{{0,80}})?=(?!=)|\b(?:for|as)\s+{re.escape(name)}\b")
    node = variable
    for _ in range(_LEVELS):
        sibling = node.prev_named_sibling
        for _ in range(_SIBLINGS):
            if sibling is None:
                break
            assignment = sibling.named_children[0] if sibling.type == "expression_statement" else None
            left = assignment.child_by_field_name("left") if assignment is not None else None
            if assignment is not None and left is not None and named.search(text_of(left)):
                return assignment.child_by_field_name("right") if text_of(left) == name else None
            if assignment is None and sibling.type.endswith("_statement") and again.search(text_of(sibling)):
                return None
            sibling = sibling.prev_named_sibling
        if node.parent is None:
            return None
        node = node.parent
        if node.type in ("function_definition", "lambda"):
            parameters = node.child_by_field_name("parameters")
            if parameters is not None and named.search(text_of(parameters)):
                return None
        elif node.type in ("for_statement", "with_statement") and again.search(text_of(node).partition("\n")[0]):
            return None
    return None
