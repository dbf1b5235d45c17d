"""The languages whose code is read: their grammars, and how strings are written in them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from functools import cache

from tree_sitter import Language, Node, Parser

from checks.evidence.repository import python, typescript
from checks.evidence.repository.literals import Literal
from checks.evidence.repository.strings import StringReader, Syntax

# The wheel of each grammar and the function in it that gives the language.
_GRAMMARS = {
    "go": ("tree_sitter_go", "language"),
    "rb": ("tree_sitter_ruby", "language"),
    "java": ("tree_sitter_java", "language"),
    "kt": ("tree_sitter_kotlin", "language"),
    "rs": ("tree_sitter_rust", "language"),
    "php": ("tree_sitter_php", "language_php"),
    "cs": ("tree_sitter_c_sharp", "language"),
}
TYPESCRIPT = frozenset(["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"])
_SOURCES = {
    "py": "python", **dict.fromkeys(TYPESCRIPT, "typescript"),
    "go": "go", "rb": "ruby", "java": "java", "kt": "kotlin", "rs": "rust", "php": "php", "cs": "csharp",
}  # fmt: skip
_KINDS = {"kts": "kt", "rake": "rb", "phtml": "php"}

_PRINTF = re.compile(r"%%|%(?:\[?\d+[\]$])?[-+# 0]*\d*(?:\.\d+)?[A-Za-z](?![A-Za-z0-9_])")
_BRACES = re.compile(r"\{\{|\}\}|\{[^{}]{0,200}\}")
_NOTHING = re.compile(rb"(?!)")
# What these are given is the query language of an object mapper, whose names are classes and not tables.
_QUERIES_OF_OBJECTS = rb"\b(?i:createQuery|createNamedQuery|newQuery)\s*(?:<[^<>]*>)?\(\s*$"
_ANNOTATION = re.compile(rb"@(Query|NamedQuery)\s*\([^()]*$")
_NATIVE = re.compile(rb"nativeQuery\s*=\s*true")
_WITHOUT_OBJECTS = re.compile(rb"\bdata\.(?:jdbc|r2dbc)\b|\bmicronaut\.data\.jdbc\b")
_OF_OBJECTS = re.compile(_QUERIES_OF_OBJECTS)

_C_LIKE = {"binary_expression": "+"}

SYNTAXES = {
    "go": Syntax(
        strings=frozenset(["interpreted_string_literal", "raw_string_literal"]),
        pieces=frozenset(["interpreted_string_literal_content", "raw_string_literal_content"]),
        holes=frozenset(),
        sums=_C_LIKE,
        declarations=frozenset(["const_spec", "var_spec"]),
        formats=(re.compile(rb"(?:printf|Sprintf|Errorf|Appendf)\(\s*$"), _NOTHING),
        fields=_PRINTF,
    ),
    "rb": Syntax(
        strings=frozenset(["string", "heredoc_body"]),
        pieces=frozenset(["string_content", "heredoc_content"]),
        holes=frozenset(["interpolation"]),
        sums={"binary": "+"},
        names=frozenset(["constant"]),
        adjacent=frozenset(["chained_string"]),
        wrappers=frozenset(["parenthesized_statements"]),
        declarations=frozenset(["assignment"]),
        formats=(re.compile(rb"\bs?(?:printf|format)[( ]\s*$"), re.compile(rb"\s*%\s*[\[{\w(]")),
        fields=_PRINTF,
        plain=re.compile(rb"\.(?:freeze|squish|strip|strip_heredoc|chomp|html_safe)\b"),
    ),
    "java": Syntax(
        strings=frozenset(["string_literal"]),
        pieces=frozenset(["string_fragment", "multiline_string_fragment"]),
        holes=frozenset(),
        sums=_C_LIKE,
        qualified=frozenset(["field_access"]),
        declarations=frozenset(["variable_declarator"]),
        fixed=re.compile(rb"\bfinal\b"),
        formats=(re.compile(rb"\bString\s*\.\s*format\(\s*$"), re.compile(rb"\s*\.\s*formatted\(")),
        fields=_PRINTF,
        plain=re.compile(rb"\s*\.\s*(?:strip|trim|stripIndent)\(\)"),
        other_language=_OF_OBJECTS,
    ),
    "kt": Syntax(
        strings=frozenset(["string_literal", "multiline_string_literal"]),
        pieces=frozenset(["string_content"]),
        holes=frozenset(["interpolation"]),
        sums=_C_LIKE,
        declarations=frozenset(["property_declaration"]),
        fixed=re.compile(rb"\bval\b"),
        formats=(re.compile(rb"\bString\s*\.\s*format\(\s*$"), re.compile(rb"\s*\.\s*format\(")),
        fields=_PRINTF,
        plain=re.compile(rb"\s*\.\s*(?:trimIndent|trimMargin|trim)\((?:\"[^\"]*\")?\)"),
        other_language=_OF_OBJECTS,
    ),
    "rs": Syntax(
        strings=frozenset(["string_literal", "raw_string_literal"]),
        pieces=frozenset(["string_content"]),
        holes=frozenset(),
        sums=_C_LIKE,
        declarations=frozenset(["const_item", "static_item"]),
        formats=(
            re.compile(rb"\b(?:format(?:_args|cp|doc)?|writeln?)!\s*\(\s*(?:&?(?:mut )?\w+,\s*)?$"),
            _NOTHING,
        ),
        fields=_BRACES,
        plain=re.compile(rb"\s*\.\s*(?:to_string|to_owned|into|trim)\(\)"),
        tests=re.compile(rb"^#\[cfg\(test\)\]\s*(?:pub\s+)?mod\b", re.MULTILINE),
    ),
    "php": Syntax(
        strings=frozenset(["string", "encapsed_string", "heredoc", "nowdoc"]),
        pieces=frozenset(["string_content", "nowdoc_string"]),
        holes=frozenset(
            ["variable_name", "subscript_expression", "member_access_expression", "member_call_expression",
             "dynamic_variable_name", "nullsafe_member_access_expression", "scoped_property_access_expression",
             "scoped_call_expression"]
        ),
        sums={"binary_expression": "."},
        names=frozenset(["name"]),
        qualified=frozenset(["class_constant_access_expression"]),
        declarations=frozenset(["const_element"]),
        formats=(re.compile(rb"\bv?sprintf\(\s*$"), _NOTHING),
        fields=_PRINTF,
        other_language=_OF_OBJECTS,
    ),
    "cs": Syntax(
        strings=frozenset(
            ["string_literal", "verbatim_string_literal", "raw_string_literal", "interpolated_string_expression"]
        ),
        pieces=frozenset(["string_literal_content", "raw_string_content", "string_content"]),
        holes=frozenset(["interpolation"]),
        sums=_C_LIKE,
        qualified=frozenset(["member_access_expression"]),
        declarations=frozenset(["variable_declarator"]),
        fixed=re.compile(rb"\b(?:const|static\s+readonly)\b"),
        formats=(re.compile(rb"\b[sS]tring\s*\.\s*Format\(\s*$"), _NOTHING),
        fields=_BRACES,
        parameters=re.compile(
            rb"\b(?:FromSql|FromSqlInterpolated|ExecuteSql|ExecuteSqlAsync|ExecuteSqlInterpolated|ExecuteSqlInterpolatedAsync|SqlQuery)"
            rb"\s*(?:<[^<>]{0,100}>)?\s*\(\s*$"
        ),
        other_language=_OF_OBJECTS,
    ),
}  # fmt: skip


def kind_of(extension: str) -> str:
    """The extension that stands for the language of that one; empty if its code is not read."""
    known = _KINDS.get(extension, extension)
    return known if known in _SOURCES else ""


def source_of(extension: str) -> str:
    """What `CodeStatement.source` calls the language; empty if its code is not read."""
    return _SOURCES.get(kind_of(extension), "")


@cache
def parser(kind: str) -> Parser:
    """The parser of a language, by its kind. The wheel is imported when first asked for."""
    if kind == "py":
        return python.parser()
    if kind not in _GRAMMARS:
        return typescript.parser(kind)
    module, function = _GRAMMARS[kind]
    return Parser(Language(getattr(importlib.import_module(module), function)()))


def read_literals(source: bytes, root: Node, extension: str) -> Iterator[Literal]:
    """Every string of the file that begins as a statement does, put together with its holes."""
    kind = kind_of(extension)
    reader, syntax = _READERS[kind] if kind in _READERS else (StringReader, SYNTAXES[kind])
    return reader(source, root, syntax).literals()


class _RubyReader(StringReader):
    def text(self, node: Node, depth: int = 0) -> str | None:
        """Also the text that stands below the line of a `<<~SQL`."""
        if node.type != "heredoc_beginning":
            return super().text(node, depth)
        around, below = node.parent, node
        while around is not None and around.end_byte - around.start_byte < 100_000:
            for child in around.children:
                if child.start_byte > below.start_byte and child.type == "heredoc_body":
                    return self.text(child, depth + 1)
            around = around.parent
        return None


class _JavaReader(StringReader):
    def is_left_out(self, top: Node) -> bool:
        """Also what `@Query` holds, unless it says that this is SQL, or the library knows nothing else."""
        if super().is_left_out(top):
            return True
        match = _ANNOTATION.search(self.before(top))
        if match is None:
            return False
        rest = self.source[top.end_byte : top.end_byte + 300].partition(b")")[0]
        native = _NATIVE.search(match.group()) or _NATIVE.search(rest) or _WITHOUT_OBJECTS.search(self.source)
        return match.group(1) == b"NamedQuery" or native is None


class _KotlinReader(_JavaReader):
    _NAME = re.compile(r"\$[A-Za-z_]\w*")
    _MARGIN = re.compile(r"^[ \t]*\|", re.MULTILINE)

    def string(self, node: Node, depth: int) -> str:
        """The grammar takes `$name` within quotes for text."""
        text = self._NAME.sub(lambda match: self.hole_named(match.group()[1:], depth), super().string(node, depth))
        has_margin = self.source.startswith(b".trimMargin(", node.end_byte)
        return self._MARGIN.sub("", text) if has_margin else text


class _RustReader(StringReader):
    def outer(self, node: Node) -> Node | None:
        """Within a macro the pieces of `concat!("a", "b")` and of `"a" + "b"` stand side by side."""
        parent = node.parent
        if (
            parent is not None
            and parent.type == "token_tree"
            and node.type != "token_tree"
            and len(self._run(node)) > 1
        ):
            return parent
        return super().outer(node)

    def text(self, node: Node, depth: int = 0) -> str | None:
        if node.type != "token_tree":
            return super().text(node, depth)
        first = next((child for child in node.named_children if child.type in self.syntax.strings), None)
        if first is None:
            return None
        return "".join(self.text(piece, depth + 1) or "" for piece in self._run(first))

    def _run(self, first: Node) -> list[Node]:
        """The strings of a macro that are one string."""
        joins = ("+", ",") if re.search(rb"\bconcat!\s*\($", self.before(first).rstrip()) else ("+",)
        found = [first]
        node = first.next_sibling
        while node is not None and node.type in joins:
            node = node.next_sibling
            if node is None or node.type not in self.syntax.strings:
                break
            found.append(node)
            node = node.next_sibling
        return found


_READERS: dict[str, tuple[type[StringReader], Syntax]] = {
    "py": (python.PythonReader, python.SYNTAX),
    **dict.fromkeys(TYPESCRIPT, (typescript.TypeScriptReader, typescript.SYNTAX)),
    "rb": (_RubyReader, SYNTAXES["rb"]),
    "java": (_JavaReader, SYNTAXES["java"]),
    "kt": (_KotlinReader, SYNTAXES["kt"]),
    "rs": (_RustReader, SYNTAXES["rs"]),
}
