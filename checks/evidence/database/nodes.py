"""Columns named in a stored expression, from its pg_node_tree text (nodes/outfuncs.c), which is never kept."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\\.|[{}]", re.DOTALL)
_COLUMN = re.compile(r":varattno (-?\d+)")


def columns_of_expressions(tree: str) -> list[tuple[int, ...]]:
    """The column numbers that each expression of a list of them uses, in ascending order."""
    found: list[tuple[int, ...]] = []
    depth = begun = 0
    for token in _TOKEN.finditer(tree):
        if token[0] == "{":
            if depth == 0:
                begun = token.start()
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if depth == 0:
                numbers = {int(number) for number in _COLUMN.findall(tree, begun, token.end())}
                found.append(tuple(sorted(number for number in numbers if number > 0)))
    return found
