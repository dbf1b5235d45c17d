"""Rails' db/schema.rb, read from its source and never run. What db/migrate did, it sums up."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from tree_sitter import Language, Node, Parser

from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.query import quoted
from checks.evidence.repository.scripts import Gathering, Migrations, ScriptReader
from checks.evidence.repository.type_names import UNKNOWN
from checks.model import Location

_SCHEMA = re.compile(r"ActiveRecord::Schema(?:\[[\d.]+\])?\.define\b")
_TYPES = {
    "string": "varchar", "text": "text", "integer": "integer", "bigint": "bigint", "boolean": "boolean",
    "float": "double precision", "decimal": "numeric", "date": "date", "time": "time", "binary": "bytea", "uuid": "uuid",
    "json": "json", "jsonb": "jsonb", "inet": "inet", "cidr": "cidr", "macaddr": "macaddr", "hstore": "hstore",
    "tsvector": "tsvector", "citext": "citext", "xml": "xml", "interval": "interval", "vector": "vector", "halfvec": "halfvec",
    "daterange": "daterange", "tsrange": "tsrange", "tstzrange": "tstzrange", "int4range": "int4range", "money": "money",
    "int8range": "int8range", "numrange": "numrange", "point": "point", "bit": "bit", "ltree": "ltree", "oid": "oid",
}  # fmt: skip
_TIMES = {"datetime": "timestamp", "timestamp": "timestamp", "timestamptz": "timestamptz"}
_ACTIONS = {"cascade": "CASCADE", "nullify": "SET NULL", "restrict": "RESTRICT"}
_NO_COLUMNS = frozenset(
    ["index", "check_constraint", "unique_constraint", "exclusion_constraint", "timestamps", "foreign_key"]
)


def is_schema(file: SourceFile) -> bool:
    return file.name.endswith("schema.rb") and bool(_SCHEMA.search(file.text))


@cache
def _parser() -> Parser:
    import tree_sitter_ruby

    return Parser(Language(tree_sitter_ruby.language()))


def read_schemas(files: Iterable[SourceFile]) -> Migrations:
    """Each file is a lineage by itself."""
    found = Gathering()
    for file in sorted(files, key=lambda file: file.path):
        script = ScriptReader()
        Schema(file, script).read()
        found.add("rails", file.path, [file.path], script, steps=False)
    return found.finish()


def text_of(node: Node | None) -> str:
    return (node.text or b"").decode("utf-8", "replace") if node is not None else ""


def string_in(node: Node | None) -> str | None:
    """A string or symbol that is written out."""
    if node is None:
        return None
    if node.type == "string":
        if any(child.type == "interpolation" for child in node.children):
            return None
        return "".join(text_of(child) for child in node.named_children)
    return text_of(node)[1:] if node.type == "simple_symbol" else None


def arguments_in(call: Node) -> tuple[list[Node], dict[str, Node]]:
    positional: list[Node] = []
    keywords: dict[str, Node] = {}
    arguments = call.child_by_field_name("arguments")
    for argument in arguments.named_children if arguments is not None else []:
        if argument.type == "pair":
            key, value = argument.child_by_field_name("key"), argument.child_by_field_name("value")
            if value is not None:
                keywords[text_of(key).strip(":\"'")] = value
        elif argument.type != "comment":
            positional.append(argument)
    return positional, keywords


def names_of(node: Node | None) -> list[str]:
    """The entries of a list of strings, or of one."""
    if node is None:
        return []
    if node.type == "array":
        return [name for child in node.named_children if (name := string_in(child))]
    return [name] if (name := string_in(node)) else []


class Schema:
    def __init__(self, file: SourceFile, script: ScriptReader) -> None:
        self.file = file
        self.script = script
        self.root = _parser().parse(file.text.encode("utf-8", "replace")).root_node

    def read(self) -> None:
        pending = [self.root]
        while pending:
            node = pending.pop()
            if node.type == "call":
                name = text_of(node.child_by_field_name("method"))
                method = getattr(self, f"_{name}", None) if name in _STATEMENTS else None
                if method is not None:
                    method(node)
                    continue
            pending += reversed(node.named_children)

    def _at(self, node: Node) -> Location:
        return Location(self.file.path, node.start_point.row + 1)

    def _path(self, name: str) -> str:
        return ".".join(quoted(part) for part in name.split("."))

    def _create_table(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        name = string_in(positional[0]) if positional else None
        block = call.child_by_field_name("block")
        if name is None:
            self.script.unread.complete = False
            return
        parts = self._key(keywords, self._at(call))
        keys = names_of(keywords.get("primary_key")) if keywords.get("primary_key") is not None else []
        later: list[Node] = []
        pending = list(block.named_children) if block is not None else []
        while pending:
            node = pending.pop(0)
            if node.type in ("body_statement", "do_block", "block_body"):
                pending = [*node.named_children, *pending]
            elif node.type == "call":
                if text_of(node.child_by_field_name("method")) in _NO_COLUMNS:
                    later.append(node)
                elif (column := self._column(node)) is not None:
                    parts.append((column, self._at(node)))
        if len(keys) > 1:
            parts.append((f"PRIMARY KEY ({', '.join(map(quoted, keys))})", self._at(call)))
        pieces = [(f"CREATE TABLE {self._path(name)} (", self._at(call))]
        pieces += [(", " * (number > 0) + sql, place) for number, (sql, place) in enumerate(parts)]
        pieces.append((")", self._at(call)))
        self.script.written(pieces)
        for node in later:
            self._rule(name, node)

    def _key(self, keywords: dict[str, Node], place: Location) -> list[tuple[str, Location]]:
        """The column of the key, which only its kind is said of."""
        identifier, key = text_of(keywords.get("id")), keywords.get("primary_key")
        if identifier == "false" or (key is not None and key.type == "array"):
            return []
        name = quoted(string_in(key) or "id")
        node = keywords.get("id")
        if node is not None and node.type == "hash":
            kind = next(
                (
                    string_in(pair.child_by_field_name("value"))
                    for pair in node.named_children
                    if text_of(pair).startswith("type")
                ),
                None,
            )
        else:
            kind = string_in(node)
        if kind in (None, "bigint", "bigserial"):
            return [(f"{name} bigserial PRIMARY KEY", place)]
        if kind in ("serial", "integer"):
            return [(f"{name} serial PRIMARY KEY", place)]
        return [(f"{name} {_TYPES.get(kind or '', quoted(UNKNOWN))} DEFAULT 'x' PRIMARY KEY", place)]

    def _column(self, call: Node) -> str | None:
        positional, keywords = arguments_in(call)
        method, name = text_of(call.child_by_field_name("method")), string_in(positional[0]) if positional else None
        if name is None:
            return None
        kind = self._type(method, positional, keywords)
        if text_of(keywords.get("array")) == "true" and kind != quoted(UNKNOWN):
            kind += "[]"
        sql = f"{quoted(name)} {kind}"
        if method == "virtual" or text_of(keywords.get("default", None)) not in ("", "nil"):
            sql += " DEFAULT 'x'"
        return sql + " NOT NULL" * (text_of(keywords.get("null")) == "false")

    def _type(self, method: str, positional: list[Node], keywords: dict[str, Node]) -> str:
        def number(key: str) -> str:
            value = text_of(keywords.get(key))
            return value if value.isdigit() else ""

        if method in ("enum", "column"):
            named = string_in(keywords.get("enum_type")) or (string_in(positional[1]) if len(positional) > 1 else None)
            return quoted(named) if named and re.fullmatch(r"\w+", named) else quoted(UNKNOWN)
        if method in _TIMES:
            # Since Rails 7 the precision is 6, which PostgreSQL takes anyhow, and nil means none.
            precision = number("precision")
            return f"{_TIMES[method]}({precision})" if precision else self._timestamp(_TIMES[method], keywords)
        kind = _TYPES.get(method, quoted(UNKNOWN))
        limit, precision, scale = number("limit"), number("precision"), number("scale")
        if method == "integer" and limit:
            return {"2": "smallint", "4": "integer", "8": "bigint"}.get(limit, quoted(UNKNOWN))
        if method == "decimal" and precision:
            return f"numeric({precision}, {scale or 0})"
        return f"{kind}({limit})" if limit and method in ("string", "vector", "halfvec", "bit") else kind

    def _timestamp(self, kind: str, keywords: dict[str, Node]) -> str:
        if "precision" in keywords:
            return kind
        version = re.search(r"Schema\[(\d+)\.", self.file.text)
        return f"{kind}(6)" if version is not None and int(version[1]) >= 7 else kind

    def _rule(self, table: str, call: Node) -> None:
        method = text_of(call.child_by_field_name("method"))
        positional, keywords = arguments_in(call)
        name = string_in(keywords.get("name"))
        label = f"CONSTRAINT {quoted(name)} " if name else ""
        path, place = self._path(table), self._at(call)
        if method == "index":
            self._index(table, positional, keywords, place)
        elif method == "check_constraint" and label:
            self.script.written([(f"ALTER TABLE {path} ADD {label}CHECK (true)", place)])
        elif method == "unique_constraint" and positional:
            columns = ", ".join(map(quoted, names_of(positional[0])))
            self.script.written([(f"ALTER TABLE {path} ADD {label}UNIQUE ({columns})", place)])
        elif method == "timestamps":
            for column in ("created_at", "updated_at"):
                self.script.written([(f"ALTER TABLE {path} ADD COLUMN {column} timestamp(6) NOT NULL", place)])
        elif method == "exclusion_constraint" and label:
            self.script.written([(f"ALTER TABLE {path} ADD {label}EXCLUDE (tableoid WITH =)", place)])

    def _index(self, table: str, positional: list[Node], keywords: dict[str, Node], place: Location) -> None:
        names = names_of(positional[0]) if positional else []
        plain = [quoted(name) if re.fullmatch(r"\w+", name) else "(lower('x'))" for name in names]
        name = string_in(keywords.get("name"))
        unique = "UNIQUE " if text_of(keywords.get("unique")) == "true" else ""
        method = string_in(keywords.get("using"))
        using = f"USING {quoted(method)} " if method else ""
        where = " WHERE true" if "where" in keywords else ""
        if name and plain:
            sql = f"CREATE {unique}INDEX {quoted(name)} ON {self._path(table)} {using}({', '.join(plain)}){where}"
            self.script.written([(sql, place)])
        else:
            self.script.unread.add({table}, place)

    def _add_foreign_key(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        names = [name for node in positional[:2] if (name := string_in(node))]
        if len(names) < 2:
            return
        table, target = names
        column = string_in(keywords.get("column")) or f"{singular(target.rpartition('.')[2])}_id"
        key = string_in(keywords.get("primary_key"))
        label = string_in(keywords.get("name"))
        name = f"CONSTRAINT {quoted(label)} " if label else ""
        action = _ACTIONS.get(string_in(keywords.get("on_delete")) or "", "")
        sql = (
            f"ALTER TABLE {self._path(table)} ADD {name}FOREIGN KEY ({quoted(column)}) REFERENCES {self._path(target)}"
        )
        sql += f" ({quoted(key)})" if key else ""
        self.script.written([(sql + f" ON DELETE {action}" * bool(action), self._at(call))])

    def _add_index(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        if table := string_in(positional[0]) if positional else None:
            self._index(table, positional[1:], keywords, self._at(call))

    def _create_enum(self, call: Node) -> None:
        positional, _ = arguments_in(call)
        if name := string_in(positional[0]) if positional else None:
            labels = names_of(positional[1]) if len(positional) > 1 and positional[1].type == "array" else []
            # A list that holds more than strings tells no labels.
            whole = len(labels) == len(positional[1].named_children) if labels else False
            listed = ", ".join("'" + label.replace("'", "''") + "'" for label in labels) if whole else ""
            self.script.written([(f"CREATE TYPE {self._path(name)} AS ENUM ({listed})", self._at(call))])

    def _execute(self, call: Node) -> None:
        self.script.unread.add(set(re.findall(r"\w+", text_of(call))), self._at(call))


_STATEMENTS = frozenset(["create_table", "add_foreign_key", "add_index", "create_enum", "execute"])


def singular(name: str) -> str:
    """As Rails' inflector has it for most words."""
    for plural, singular in (("ies", "y"), ("sses", "ss"), ("ses", "se"), ("xes", "x"), ("ches", "ch"), ("shes", "sh")):
        if name.endswith(plural):
            return name.removesuffix(plural) + singular
    return name.removesuffix("s") if not name.endswith(("ss", "us")) else name
