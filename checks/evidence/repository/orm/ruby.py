"""What every reader of Ruby calls needs: methods, arguments, names."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.orm.syntax import field, named, text
from checks.evidence.repository.placeholders import HOLE

_IRREGULAR = {"person": "people", "child": "children", "man": "men", "woman": "women", "datum": "data", "medium": "media",
              "news": "news", "information": "information", "series": "series", "equipment": "equipment", "status": "statuses",
              "metadata": "metadata", "mouse": "mice", "analysis": "analyses"}  # fmt: skip
_SINGULAR = {plural: singular for singular, plural in _IRREGULAR.items()}


def method_of(call: Node) -> str:
    return text(field(call, "method")) if call.type == "call" else ""


def chain_above(start: Node) -> tuple[Node, list[tuple[str, Node]]]:
    """The outermost call of the chain that begins with the node, and the calls between by name."""
    steps: list[tuple[str, Node]] = []
    top = start
    while (parent := top.parent) is not None and parent.type == "call" and field(parent, "receiver") == top:
        steps.append((method_of(parent), parent))
        top = parent
    return top, steps


def arguments_of(call: Node) -> list[Node]:
    """Positional arguments."""
    given = [child for child in named(field(call, "arguments")) if child.type not in ("pair", "block_argument")]
    return [entry for entry in given if entry.type not in ("hash", "splat_argument", "hash_splat_argument")]


def entries_of(node: Node | None) -> tuple[dict[str, Node], bool]:
    """The keyword arguments of a call, or the entries of a hash, by names that are known; and whether that is all."""
    found: dict[str, Node] = {}
    whole = True
    pending = named(field(node, "arguments")) if node is not None and node.type == "call" else named(node)
    for entry in [inner for child in pending for inner in (named(child) if child.type == "hash" else [child])]:
        if entry.type == "hash_splat_argument":
            whole = False
        if entry.type != "pair":
            continue
        key, value = name_of(field(entry, "key")), field(entry, "value")
        if key is None:
            whole = False
        else:
            found[key] = value if value is not None else entry
    return found, whole


def name_of(node: Node | None) -> str | None:
    """The text of a symbol or of a string without anything put in, also within %i[] or %w[]."""
    if node is None:
        return None
    if node.type in ("bare_symbol", "bare_string"):
        known = all(child.type in ("string_content", "escape_sequence") for child in node.named_children)
        return text(node) if known else HOLE
    if node.type in ("simple_symbol", "hash_key_symbol"):
        return text(node).strip(":")
    return string_of(node)


def string_of(node: Node | None) -> str | None:
    if node is None or node.type != "string":
        return None
    known = all(child.type in ("string_content", "escape_sequence") for child in node.named_children)
    return "".join(text(child) for child in node.named_children) if known else HOLE


def underscored(name: str) -> str:
    """As ActiveSupport writes the last part of a class's name."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name.rpartition("::")[2])
    return re.sub(r"([a-z\d])([A-Z])", r"\1_\2", name).lower()


def camelized(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def pluralized(name: str) -> str:
    """The plural of the last word, by the rules of ActiveSupport that matter for names of tables."""
    head, _, last = name.rpartition("_")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif re.search(r"(?:s|x|z|ch|sh)$", last):
        last += "es"
    elif re.search(r"[^aeiou]y$", last):
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{head}_{last}" if head else last


def singularized(name: str) -> str:
    head, _, last = name.rpartition("_")
    if last in _SINGULAR:
        last = _SINGULAR[last]
    elif last.endswith("ies"):
        last = last[:-3] + "y"
    elif re.search(r"(?:ss|x|z|ch|sh|us)es$", last):
        last = last[:-2]
    elif last.endswith("s") and not last.endswith("ss"):
        last = last[:-1]
    return f"{head}_{last}" if head else last
