"""Indexes and constraints that Rails' migrations make and take away."""

from __future__ import annotations

import hashlib
import re

from tree_sitter import Node

from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.query import quoted
from checks.evidence.repository.rails import Schema, arguments_in, names_of, singular, string_in, text_of
from checks.evidence.repository.scripts import ScriptReader

_VERSION = re.compile(r"ActiveRecord::Migration\[(\d+)\.(\d+)\]")
_MAXIMUM_NAME_BYTES = 62
WORD = re.compile(r"[A-Za-z_]\w*")


def arguments_of_hash(node: Node | None) -> dict[str, Node]:
    """The entries of a hash that is written out."""
    found: dict[str, Node] = {}
    for pair in node.named_children if node is not None and node.type == "hash" else ():
        key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
        if pair.type == "pair" and value is not None:
            found[text_of(key).strip(":\"'")] = value
    return found


def _hashed(kind: str, identifier: str) -> str:
    """The name that Rails gives a constraint that has none."""
    return f"{kind}_rails_{hashlib.sha256(identifier.encode()).hexdigest()[:10]}"


class Indexes(Schema):
    """One migration, as the version of Rails has it that it names."""

    def __init__(self, file: SourceFile, script: ScriptReader) -> None:
        super().__init__(file, script)
        version = _VERSION.search(file.text)
        self.version = (int(version[1]), int(version[2])) if version else (4, 2)
        self.kind = ""

    def _doubt(self, node: Node) -> None:
        """Of whatever the code names, nothing follows, if it may change the schema."""
        code = text_of(node)
        if re.search(r"create|drop|add|remove|rename|change|execute|alter|table|index", code, re.IGNORECASE):
            self.script.unread.add(set(WORD.findall(code)), self._at(node))

    def _sql(self, node: Node, sql: str) -> None:
        self.script.written([(sql, self._at(node))])

    def _given(self, call: Node, count: int) -> list[str]:
        """The first so many arguments, if all are written out; else what the call names is in doubt."""
        positional, _ = arguments_in(call)
        names = [name for node in positional[:count] if (name := string_in(node)) is not None]
        if len(names) == count:
            return names
        self._doubt(call)
        return []

    def _add_index(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        table = string_in(positional[0]) if positional else None
        columns = names_of(positional[1]) if len(positional) > 1 else []
        if table is None or not columns:
            self._doubt(call)
            return
        self._indexed(table, columns, string_in(keywords.get("name")), keywords, call)

    def _indexed(self, table: str, columns: list[str], name: str | None, options: dict[str, Node], node: Node) -> None:
        name = name or f"index_{table.rpartition('.')[2]}_on_{'_and_'.join(columns)}"
        if len(name.encode()) > _MAXIMUM_NAME_BYTES or not all(re.fullmatch(r"\w+", column) for column in columns):
            # Another name, or an expression.
            self.script.unread.add({table, name}, None)
        keys = [quoted(column) if re.fullmatch(r"\w+", column) else "(lower('x'))" for column in columns]
        unique = "UNIQUE " if text_of(options.get("unique")) == "true" else ""
        concurrently = "CONCURRENTLY " if string_in(options.get("algorithm")) == "concurrently" else ""
        exists = "IF NOT EXISTS " if text_of(options.get("if_not_exists")) == "true" else ""
        method = string_in(options.get("using"))
        using = f"USING {quoted(method)} " if method else ""
        where = " WHERE true" if "where" in options else ""
        start = f"CREATE {unique}INDEX {concurrently}{exists}{quoted(name)} ON {self._path(table)}"
        self._sql(node, f"{start} {using}({', '.join(keys)}){where}")

    def _remove_index(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        table = string_in(positional[0]) if positional else None
        columns = names_of(positional[1] if len(positional) > 1 else keywords.get("column"))
        name = string_in(keywords.get("name"))
        if table is None or not (name or columns):
            self._doubt(call)
            return
        concurrently = "CONCURRENTLY " if string_in(keywords.get("algorithm")) == "concurrently" else ""
        name = name or f"index_{table.rpartition('.')[2]}_on_{'_and_'.join(columns)}"
        self._sql(call, f"DROP INDEX {concurrently}IF EXISTS {quoted(name)}")

    def _rename_index(self, call: Node) -> None:
        if names := self._given(call, 3):
            self._sql(call, f"ALTER INDEX {quoted(names[1])} RENAME TO {quoted(names[2])}")

    def _add_foreign_key(self, call: Node) -> None:
        _, keywords = arguments_in(call)
        if names := self._given(call, 2):
            self._key_to(names[0], names[1], {}, keywords, call)

    def _key_to(self, table: str, target: str, known: dict[str, str], options: dict[str, Node], node: Node) -> None:
        column = known.get("column") or string_in(options.get("column")) or f"{singular(target.rpartition('.')[2])}_id"
        name = string_in(options.get("name")) or _hashed("fk", f"{table}_{column}_fk")
        key = string_in(options.get("primary_key"))
        action = {"cascade": "CASCADE", "nullify": "SET NULL", "restrict": "RESTRICT"}.get(
            string_in(options.get("on_delete")) or ""
        )
        sql = f"ALTER TABLE {self._path(table)} ADD CONSTRAINT {quoted(name)} FOREIGN KEY ({quoted(column)})"
        sql += f" REFERENCES {self._path(target)}" + (f" ({quoted(key)})" if key else "")
        sql += f" ON DELETE {action}" if action else ""
        self._sql(node, sql + " NOT VALID" * (text_of(options.get("validate")) == "false"))

    def _remove_foreign_key(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        names = [name for entry in positional if (name := string_in(entry))]
        column = string_in(keywords.get("column")) or (f"{singular(names[1])}_id" if len(names) > 1 else None)
        name = string_in(keywords.get("name")) or (
            _hashed("fk", f"{names[0]}_{column}_fk") if names and column else None
        )
        if not names or name is None:
            self._doubt(call)
            return
        self._sql(call, f"ALTER TABLE {self._path(names[0])} DROP CONSTRAINT IF EXISTS {quoted(name)}")

    def _validate_foreign_key(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        names = [name for entry in positional if (name := string_in(entry))]
        column = string_in(keywords.get("column")) or (f"{singular(names[1])}_id" if len(names) > 1 else None)
        name = string_in(keywords.get("name")) or (
            _hashed("fk", f"{names[0]}_{column}_fk") if names and column else None
        )
        if names and name:
            self._sql(call, f"ALTER TABLE {self._path(names[0])} VALIDATE CONSTRAINT {quoted(name)}")

    def _add_check_constraint(self, call: Node) -> None:
        _, keywords = arguments_in(call)
        if names := self._given(call, 2):
            self._check(names[0], names[1], keywords, call)

    def _check(self, table: str, expression: str | None, options: dict[str, Node], node: Node) -> None:
        name = string_in(options.get("name"))
        if name is None and expression is not None:
            name = _hashed("chk", f"{table}_{expression}_chk")
        if name is None:
            self._doubt(node)
            return
        late = " NOT VALID" * (text_of(options.get("validate")) == "false")
        self._sql(node, f"ALTER TABLE {self._path(table)} ADD CONSTRAINT {quoted(name)} CHECK (true){late}")

    def _remove_check_constraint(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        names = [name for entry in positional if (name := string_in(entry))]
        name = string_in(keywords.get("name"))
        if name is None and len(names) > 1:
            name = _hashed("chk", f"{names[0]}_{names[1]}_chk")
        if not names or name is None:
            self._doubt(call)
            return
        self._sql(call, f"ALTER TABLE {self._path(names[0])} DROP CONSTRAINT IF EXISTS {quoted(name)}")

    def _validate_check_constraint(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        names = [name for entry in positional if (name := string_in(entry))]
        name = string_in(keywords.get("name"))
        if names and name:
            self._sql(call, f"ALTER TABLE {self._path(names[0])} VALIDATE CONSTRAINT {quoted(name)}")
