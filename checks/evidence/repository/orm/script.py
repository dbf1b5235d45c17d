"""What every reader of TypeScript and JavaScript calls needs: imports, arguments, local definitions."""

from __future__ import annotations

import re
from functools import lru_cache

from tree_sitter import Node

from checks.evidence.repository.orm.syntax import field, function_around, named, text, unwrapped, whole_text

_IMPORT = re.compile(r"\bimport\s+(?:type\s+)?([^;'\"]*?)\s*from\s*['\"]([^'\"\n]+)['\"]")
_REQUIRE = re.compile(
    r"\b(?:const|let|var)\s+(\{[^}]*\}|\w+)\s*=\s*(?:await\s+import|require)\(\s*['\"]([^'\"\n]+)['\"]"
)
_ENTRY = re.compile(r"(?:type\s+)?([A-Za-z_$][\w$]*)(?:\s*(?:\bas\b|:)\s*([A-Za-z_$][\w$]*))?")
_TYPED_TEMPLATE = re.compile(r"sql\s*<[^`;]{0,200}>\s*`")
_BLOCKS = frozenset(["statement_block", "program", "switch_case"])


class Imports:
    """`names` are local names with the exported ones, `modules` the names of whole modules."""

    def __init__(self, code: str) -> None:
        self.names: dict[str, str] = {}
        self.modules: set[str] = set()
        for match in [*_IMPORT.finditer(code), *_REQUIRE.finditer(code)]:
            listed = match.group(1)
            braces = re.search(r"\{([^}]*)\}", listed)
            for entry in _ENTRY.finditer(re.sub(r"//[^\n]*|/\*.*?\*/", "", braces.group(1)) if braces else ""):
                self.names[entry.group(2) or entry.group(1)] = entry.group(1)
            if star := re.search(r"\*\s*as\s+([\w$]+)", listed):
                self.modules.add(star.group(1))
            elif not braces and re.fullmatch(r"[\w$]+", listed):
                self.modules.add(listed)


def string_of(node: Node | None) -> str | None:
    """The text of a string or of a template without substitutions."""
    if node is None or node.type not in ("string", "template_string"):
        return None
    if any(child.type not in ("string_fragment", "escape_sequence") for child in node.named_children):
        return None
    return "".join(text(child) for child in node.named_children)


def sql_template(node: Node) -> Node | None:
    """The template that a `sql` tag is on. The grammar takes `` sql<number>`...` `` for comparisons."""
    node = unwrapped(node)
    if node.type == "call_expression":
        tag, body = field(node, "function"), field(node, "arguments")
        return body if text(tag) == "sql" and body is not None and body.type == "template_string" else None
    match = _TYPED_TEMPLATE.match(text(node)) if node.type == "binary_expression" else None
    if match is None:
        return None
    start = node.start_byte + len(match.group().encode("utf-8", "replace")) - 1
    body = node.descendant_for_byte_range(start, start + 1)
    while body is not None and body.type != "template_string" and body.start_byte == start:
        body = body.parent
    return body if body is not None and body.type == "template_string" and body.start_byte == start else None


def arguments_of(call: Node | None) -> list[Node]:
    return named(field(call, "arguments")) if call is not None else []


def function_of(call: Node) -> Node | None:
    """What is called. The grammar takes `await f<T>(x)` for a call of `await f`."""
    function = field(call, "function")
    return (
        named(function)[0]
        if function is not None and function.type == "await_expression" and named(function)
        else function
    )


def call_of(name: Node) -> tuple[Node, bool] | None:
    """The call of the function or method of that name token, and whether `await` stands within it."""
    node = name
    if node.parent is not None and node.parent.type == "member_expression" and field(node.parent, "property") == node:
        node = node.parent
    parent = node.parent
    awaited = parent is not None and parent.type == "await_expression"
    if awaited and parent is not None:
        node, parent = parent, parent.parent
    if parent is None or parent.type != "call_expression" or field(parent, "function") != node:
        return None
    return parent, awaited


def called(node: Node | None) -> str:
    """The last name of what is called; empty if the node is no call."""
    function = function_of(node) if node is not None and node.type == "call_expression" else None
    if function is None:
        return ""
    return text(field(function, "property")) if function.type == "member_expression" else text(function)


def holder_of(call: Node) -> Node | None:
    """What the method is called on."""
    function = function_of(call)
    return field(function, "object") if function is not None and function.type == "member_expression" else None


def key_of(pair: Node) -> str | None:
    """The name of an object's entry."""
    if pair.type == "shorthand_property_identifier":
        return text(pair)
    key = field(pair, "key") if pair.type == "pair" else None
    if key is None:
        return None
    return string_of(key) if key.type == "string" else text(key) if key.type == "property_identifier" else None


def entries_of(node: Node | None) -> dict[str, Node] | None:
    """An object literal's entries; None if it is none, or has entries whose names are not known."""
    found, whole = known_entries(node)
    return found if whole else None


def known_entries(node: Node | None) -> tuple[dict[str, Node], bool]:
    """The entries of an object literal whose names are known, and whether that is all of them."""
    if node is None:
        return {}, False
    node = unwrapped(node)
    if node.type != "object":
        return {}, False
    found: dict[str, Node] = {}
    whole = True
    for entry in named(node):
        key = key_of(entry)
        value = entry if entry.type == "shorthand_property_identifier" else field(entry, "value")
        if key is None or value is None:
            whole = False
        else:
            found[key] = value
    return found, whole


def chain_above(call: Node) -> tuple[Node, list[tuple[str, Node]]]:
    """The outermost call of the chain that begins with this one, and the calls between by name."""
    steps: list[tuple[str, Node]] = []
    top = call
    while True:
        parent = top.parent
        while parent is not None and parent.type in ("non_null_expression", "parenthesized_expression"):
            top, parent = parent, parent.parent
        outer = parent.parent if parent is not None and parent.type == "member_expression" else None
        if parent is None or outer is None or outer.type != "call_expression":
            return top, steps
        if field(outer, "function") != parent or field(parent, "object") != top:
            return top, steps
        steps.append((text(field(parent, "property")), outer))
        top = outer


def definition_of(name: str, near: Node) -> Node | None:
    """The value of the `const` of that name that the place sees in its own function; None if there is none, or it is a `let`
    or a parameter."""
    block = near.parent
    while block is not None:
        if block.type in _BLOCKS:
            declared = _declared(block).get(name)
            if declared is not None and declared[0] < near.start_byte:
                return declared[1]
        block = block.parent
    return None


@lru_cache(maxsize=16)
def _declared(block: Node) -> dict[str, tuple[int, Node | None]]:
    """What the block itself declares: where, and the value of a `const`."""
    found: dict[str, tuple[int, Node | None]] = {}
    for statement in block.named_children:
        declaration = field(statement, "declaration") if statement.type == "export_statement" else statement
        if declaration is None or declaration.type != "lexical_declaration":
            continue
        constant = text(declaration.children[0]) == "const" if declaration.children else False
        for entry in declaration.named_children:
            value = field(entry, "value") if constant else None
            found.setdefault(text(field(entry, "name")), (declaration.start_byte, value))
    return found


def is_shadowed(name: str, near: Node) -> bool:
    """Whether a function around the place has a parameter or a variable of that name, which hides what the file imports."""
    node = near.parent
    while node is not None:
        declared = _declared(node) if node.type in _BLOCKS and node.type != "program" else ()
        if any(name == known or name in _names_of(known) for known in declared):
            return True
        parameters = field(node, "parameters") or field(node, "parameter")
        if parameters is not None and name in _parameters_of(parameters):
            return True
        node = node.parent
    return False


@lru_cache(maxsize=64)
def _parameters_of(parameters: Node) -> frozenset[str]:
    """The names that a function gives its arguments."""
    found: set[str] = set()
    pending = [parameters]
    while pending:
        node = pending.pop()
        if node.type in ("identifier", "shorthand_property_identifier_pattern"):
            found.add(text(node))
        elif node.type in ("type_annotation", "assignment_pattern", "object_assignment_pattern"):
            pending += [left] if (left := field(node, "left")) is not None else []
        else:
            pending += node.named_children
    return frozenset(found)


def _names_of(pattern: str) -> list[str]:
    """The variables of a pattern such as `[first, { second: third }]`."""
    if pattern[:1] not in "[{":
        return []
    return list(re.findall(r"[\w$]+(?!\s*:)(?![\w$])", pattern))


def is_changed(name: str, near: Node) -> bool:
    """Whether the function adds to the array or sets an entry of the object of that name."""
    function = function_around(near)
    code = whole_text(function)
    escaped = re.escape(name)
    return bool(
        re.search(rf"(?<![\w$.]){escaped}(?:\.(?:push|unshift|splice|concat)\(|(?:\.\w+|\[[^\]]+\])+\s*=(?!=))", code)
    )


def is_sent(top: Node) -> bool:
    """Whether the call's result is awaited, returned or handed on at once, and not kept to be added to."""
    parent = top.parent
    while parent is not None and parent.type in ("parenthesized_expression", "as_expression", "satisfies_expression"):
        parent = parent.parent
    return parent is not None and parent.type not in ("variable_declarator", "assignment_expression")


def resolved(node: Node) -> Node:
    """The object or array that a constant stands for."""
    node = unwrapped(node)
    if node.type in ("identifier", "shorthand_property_identifier"):
        value = definition_of(text(node), node)
        if value is not None and unwrapped(value).type in ("object", "array") and not is_changed(text(node), node):
            return unwrapped(value)
    return node
