"""What every reader of Python's calls needs: names, arguments, strings."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from checks.evidence.repository.orm.syntax import field, named, text


def call_name(node: Node | None) -> str:
    """The last name of what is called; empty if the node is no call."""
    return last_name(field(node, "function")) if node is not None and node.type == "call" else ""


def last_name(node: Node | None) -> str:
    if node is None:
        return ""
    if node.type == "attribute":
        return text(field(node, "attribute"))
    if node.type == "subscript":
        return last_name(field(node, "value"))
    return text(node) if node.type == "identifier" else ""


def arguments_of(call: Node | None) -> tuple[list[Node], dict[str, Node]]:
    """Positional and keyword arguments; unpacked ones are left out."""
    positional: list[Node] = []
    keywords: dict[str, Node] = {}
    for argument in named(field(call, "arguments") if call is not None else None):
        if argument.type == "keyword_argument":
            value = field(argument, "value")
            if value is not None:
                keywords[text(field(argument, "name"))] = value
        elif argument.type not in ("list_splat", "dictionary_splat"):
            positional.append(argument)
    return positional, keywords


def string_of(node: Node | None) -> str | None:
    """The text of a plain string literal."""
    if node is None or node.type != "string" or any(child.type == "interpolation" for child in node.children):
        return None
    return "".join(text(child) for child in node.children if child.type == "string_content")


def walk(node: Node) -> Iterator[Node]:
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending += reversed(current.named_children)
