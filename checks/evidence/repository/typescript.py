"""String literals and template strings of TypeScript and JavaScript code."""

from __future__ import annotations

import re
from functools import cache

from tree_sitter import Language, Node, Parser

from checks.evidence.repository.placeholders import HOLE, VALUE
from checks.evidence.repository.strings import StringReader, Syntax, text_of

_NO_TAGS = frozenset(
    ["return", "typeof", "case", "await", "yield", "in", "of", "else", "default", "new", "void", "raw"]
)
_TAG = re.compile(rb"([A-Za-z0-9_$]+|[>)\]])\s*$")
_BEFORE_NAME = re.compile(r"(?:\b(?:from|join|into|update|table)\s+(?:only\s+)?|[.\"])$", re.IGNORECASE)
_FRAGMENT = re.compile(rb"\b(?:raw|unsafe|identifier|ident|ref|table|empty)\b|^(?:sql|db)\(")
_NAME = re.compile(r"[A-Za-z_]\w{0,62}")
_INTO = re.compile(r"\binto\s+[\w.\"]+\s*$", re.IGNORECASE)
_SET = re.compile(r"\bset\s*$", re.IGNORECASE)
_IN = re.compile(r"\bin\s*$", re.IGNORECASE)
_SELECT = re.compile(r"\bselect\s*$", re.IGNORECASE)

SYNTAX = Syntax(
    strings=frozenset(["string", "template_string"]),
    pieces=frozenset(["string_fragment"]),
    holes=frozenset(["template_substitution"]),
    sums={"binary_expression": "+"},
    declarations=frozenset(["variable_declarator"]),
)


@cache
def parser(extension: str) -> Parser:
    import tree_sitter_javascript
    import tree_sitter_typescript

    if extension in ("ts", "mts", "cts"):
        return Parser(Language(tree_sitter_typescript.language_typescript()))
    if extension == "tsx":
        return Parser(Language(tree_sitter_typescript.language_tsx()))
    return Parser(Language(tree_sitter_javascript.language()))


def _helped(expression: Node, before: str) -> str | None:
    """What postgres.js makes of `sql(row, "a", "b")` by its place: columns and values, assignments, names or a list; None where
    it is none of these."""
    function = expression.child_by_field_name("function") if expression.type == "call_expression" else None
    if function is None or function.type != "identifier" or function.text != b"sql":
        return None
    arguments = expression.child_by_field_name("arguments")
    given = arguments.named_children if arguments is not None else []
    names = [text_of(entry)[1:-1] for entry in given[1:]]
    if given and given[0].type == "object" and not names:
        keys = [entry.child_by_field_name("key") or entry for entry in given[0].named_children]
        names = [text_of(key) for key in keys]
    elif given and given[0].type == "array":
        names = [text_of(entry)[1:-1] for entry in given[0].named_children]
    names = names if all(_NAME.fullmatch(name) for name in names) else []
    if _INTO.search(before):
        columns = ", ".join(f'"{name}"' for name in names)
        return f"({columns}) VALUES ({', '.join(VALUE for _ in names)})" if names else f" VALUES ({HOLE})"
    if _SET.search(before):
        return ", ".join(f'"{name}" = {VALUE}' for name in names) or HOLE
    if _IN.search(before):
        return f"({VALUE})"
    return ", ".join(f'"{name}"' for name in names) or None if _SELECT.search(before) else None


class TypeScriptReader(StringReader):
    """What a tagged template holds (`` sql`...` ``, `` $queryRaw`...` ``) are values, unless it stands where a name does; what
    any other template or a concatenation holds are holes."""

    def hole(self, string: Node, node: Node, before: list[str], depth: int) -> str:
        expression = node.named_children[0] if node.named_children else None
        if not self._is_tagged(string):
            known = self._member(expression, depth) or self.part(expression, depth) if expression is not None else None
            return HOLE if known is None else known
        if expression is not None and (helped := _helped(expression, "".join(before))) is not None:
            return helped
        return VALUE if expression is not None and not self._is_fragment(expression, before) else HOLE

    def _member(self, expression: Node, depth: int) -> str | None:
        """The text of `TABLES.users`, where the module has an object of such names."""
        if expression.type != "member_expression":
            return None
        holder, name = expression.child_by_field_name("object"), expression.child_by_field_name("property")
        if holder is None or name is None or holder.type != "identifier":
            return None
        value = self.constants.get(text_of(holder))
        while value is not None and value.type in ("as_expression", "satisfies_expression") and value.named_children:
            value = value.named_children[0]
        for entry in value.named_children if value is not None and value.type == "object" else ():
            key, inner = entry.child_by_field_name("key"), entry.child_by_field_name("value")
            if key is not None and inner is not None and text_of(key).strip("\"'") == text_of(name):
                return self.text(inner, depth + 20)
        return None

    def declared_nodes(self) -> list[Node]:
        """A function's own names are none of the module's."""
        found: list[Node] = []
        for statement in self.root.children:
            exported = statement.child_by_field_name("declaration") if statement.type == "export_statement" else None
            declaration = exported or statement
            if declaration.type == "lexical_declaration":
                found += [entry for entry in declaration.named_children if entry.type == "variable_declarator"]
        return found

    def _is_tagged(self, node: Node) -> bool:
        """A template right after a name, a call or a type argument has a tag. Read from the text before it, because the
        grammar takes `` sql<Row>`...` `` for two comparisons."""
        before = self.before(node)[-80:]
        match = _TAG.search(before)
        if match is None or before[: match.end()].rstrip().endswith(b"=>"):
            return False
        return match.group(1).decode("ascii") not in _NO_TAGS

    def _is_fragment(self, expression: Node, before: list[str]) -> bool:
        """Whether a tagged template puts it in as SQL and not as a parameter."""
        if expression.type == "template_string" or _BEFORE_NAME.search("".join(before[-1:])):
            return True
        code = (expression.text or b"")[:200]
        return bool(_FRAGMENT.search(code)) or b"`" in code
