"""Rails' db/migrate, read from its source and never run: what db/schema.rb sums up, and all there is where that is not kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import cast

from tree_sitter import Node

from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.query import quoted
from checks.evidence.repository.orm.ruby import pluralized
from checks.evidence.repository.rails import Schema, arguments_in, names_of, singular, string_in, text_of
from checks.evidence.repository.scripts import Gathering, Migrations, ScriptReader, by_folder
from checks.evidence.sql import split_statements

CANDIDATE = re.compile(r"<\s*(?:::)?ActiveRecord::Migration\b|<\s*Gitlab::Database::Migration\b")
_NAME = re.compile(r"(\d+)_\w+(?:\.\w+)?\.rb")
_VERSION = re.compile(r"ActiveRecord::Migration\[(\d+)\.(\d+)\]")
_NO_TRANSACTION = re.compile(r"^\s*disable_ddl_transaction!", re.MULTILINE)
# A condition that asks whether the change was made before.
_GUARDS = re.compile(r"\b(?:table|column|index|foreign_key|extension|data_source|constraint|view)\w*_exists\?")
_RUNS_ALWAYS = frozenset(
    ["up_only", "safety_assured", "with_lock_retries", "transaction", "say_with_time", "suppress_messages"]
)
_NOTHING = frozenset(
    "say puts reset_column_information disable_ddl_transaction! include extend announce raise require down private public".split()
)
_HARMLESS = frozenset(["comment", "assignment", "rescue", "ensure", "return"])
_MAXIMUM_NAME_BYTES = 62
_MAXIMUM_DEPTH = 40
_WORD = re.compile(r"[A-Za-z_]\w*")


def is_migration(file: SourceFile) -> bool:
    """Whether it is a migration of Rails, by its name and what its class inherits from."""
    return _NAME.fullmatch(file.name) is not None and CANDIDATE.search(file.text) is not None


def read_migrations(files: Iterable[SourceFile], schemas: dict[str, str]) -> Migrations:
    """What the migrations of each folder leave behind, in the order of their versions. `schemas` has by folder the file that sums
    them up: of those folders, only what each migration does is told, under that file."""
    found = Gathering()
    for folder, members in by_folder(files):
        script = ScriptReader()
        ordered = sorted(members, key=lambda file: (int(file.name.partition("_")[0]), file.path))
        for file in ordered:
            script.start(file.path, _NO_TRANSACTION.search(file.text) is None)
            _Migration(file, script).read()
        if not script.ledger.subjects():
            continue
        summed = schemas.get(folder.rpartition("/")[0])
        if summed is None:
            found.add("rails", folder, [file.path for file in ordered], script)
        else:
            found.files += script.migrations("rails", summed)
    return found.finish()


class _Migration(Schema):
    def __init__(self, file: SourceFile, script: ScriptReader) -> None:
        super().__init__(file, script)
        version = _VERSION.search(file.text)
        self.version = (int(version[1]), int(version[2])) if version else (4, 2)
        self.kind = ""

    def read(self) -> None:
        """The bodies of `change` and `up`, and of `self.up` as it was written long ago."""
        pending = [self.root]
        while pending:
            node = pending.pop()
            if node.type in ("method", "singleton_method"):
                body = node.child_by_field_name("body")
                if text_of(node.child_by_field_name("name")) in ("change", "up") and body is not None:
                    self._body(body, 0)
            else:
                pending += reversed(node.named_children)

    def _body(self, body: Node, depth: int) -> None:
        for node in body.named_children:
            self._run(node, depth)

    def _run(self, node: Node, depth: int) -> None:
        if depth > _MAXIMUM_DEPTH:
            self.script.unread.complete = False
        elif node.type in ("if", "unless", "if_modifier", "unless_modifier"):
            condition = text_of(node.child_by_field_name("condition"))
            if not _GUARDS.search(condition):
                self._doubt(node)
            for part in (node.child_by_field_name("consequence"), node.child_by_field_name("body")):
                if part is not None:
                    self._body(part, depth + 1) if part.type == "then" else self._run(part, depth + 1)
        elif node.type in ("body_statement", "block_body", "begin", "then", "rescue_modifier"):
            self._body(node, depth + 1)
        elif node.type == "call":
            self._call(node, depth)
        elif node.type not in _HARMLESS and text_of(node) not in _NOTHING:
            self._doubt(node)

    def _call(self, call: Node, depth: int) -> None:
        name = text_of(call.child_by_field_name("method"))
        receiver = text_of(call.child_by_field_name("receiver"))
        block = call.child_by_field_name("block")
        body = block.child_by_field_name("body") if block is not None else None
        if name == "reversible" and body is not None:
            for node in body.named_children:
                inner = node.child_by_field_name("block") if node.type == "call" else None
                if text_of(node.child_by_field_name("method")) == "up" and inner is not None:
                    self._body(inner.child_by_field_name("body") or inner, depth + 1)
        elif name in _RUNS_ALWAYS and body is not None:
            self._body(body, depth + 1)
        elif name in _CHANGES and receiver in ("", "self", "connection", "ActiveRecord::Base.connection"):
            cast("Callable[[Node], None]", getattr(self, f"_{name}"))(call)
        elif name not in _NOTHING:
            self._doubt(call)

    def _doubt(self, node: Node) -> None:
        """Of whatever the code names, nothing follows, if it may change the schema."""
        code = text_of(node)
        if re.search(r"create|drop|add|remove|rename|change|execute|alter|table|index", code, re.IGNORECASE):
            self.script.unread.add(set(_WORD.findall(code)), self._at(node))

    def _sql(self, node: Node, sql: str) -> None:
        self.script.written([(sql, self._at(node))])

    # As Rails of that version has it

    def _key_kind(self) -> str:
        return "bigserial" if self.version >= (5, 1) else "serial"

    def _reference_kind(self) -> str:
        return "bigint" if self.version >= (5, 1) else "integer"

    def _timestamp(self, kind: str, keywords: dict[str, Node]) -> str:
        return kind if "precision" in keywords or self.version < (7, 0) or self.kind != "datetime" else f"{kind}(6)"

    # Tables

    def _inside(self, node: Node) -> list[str]:
        """The columns that a call within the block of a table makes."""
        method = text_of(node.child_by_field_name("method"))
        positional, keywords = arguments_in(node)
        if method in ("references", "belongs_to"):
            return [
                column
                for entry in positional
                if (name := string_in(entry))
                for column in self._reference(name, keywords)
            ]
        if method == "timestamps":
            return self._times(keywords)
        if method == "column" and len(positional) > 1:
            kind, name = string_in(positional[1]), string_in(positional[0])
            return [self._defined(name, kind, keywords)] if name and kind else []
        return [self._defined(name, method, keywords) for entry in positional if (name := string_in(entry))]

    def _defined(self, name: str, kind: str, keywords: dict[str, Node]) -> str:
        if kind in ("primary_key", "bigserial", "serial"):
            return f"{quoted(name)} {'serial' if kind == 'serial' else 'bigserial'} PRIMARY KEY"
        self.kind = kind
        written = self._type(kind, [], keywords)
        written += "[]" if text_of(keywords.get("array")) == "true" else ""
        default = " DEFAULT 'x'" if text_of(keywords.get("default")) not in ("", "nil") or kind == "virtual" else ""
        return f"{quoted(name)} {written}{default}" + " NOT NULL" * (text_of(keywords.get("null")) == "false")

    def _reference(self, name: str, keywords: dict[str, Node]) -> list[str]:
        required = " NOT NULL" * (text_of(keywords.get("null")) == "false")
        kind = self._type(string_in(keywords.get("type")) or self._reference_kind(), [], {})
        columns = [f"{quoted(name + '_type')} varchar{required}"] if self._polymorphic(keywords) else []
        return [*columns, f"{quoted(name + '_id')} {kind}{required}"]

    def _polymorphic(self, keywords: dict[str, Node]) -> bool:
        return text_of(keywords.get("polymorphic")) not in ("", "false", "nil")

    def _reference_rules(self, table: str, name: str, keywords: dict[str, Node], node: Node) -> None:
        """The index and the foreign key that come with a reference."""
        index = keywords.get("index")
        written = text_of(index)
        if written not in ("false", "nil") and (index is not None or self.version >= (5, 0)):
            options = arguments_of_hash(index)
            both = self._polymorphic(keywords)
            columns = [f"{name}_type", f"{name}_id"] if both else [f"{name}_id"]
            label = string_in(options.get("name")) or (
                f"index_{table}_on_{name}" if both and self.version >= (6, 1) else None
            )
            self._indexed(table, columns, label, options, node)
        key = keywords.get("foreign_key")
        if text_of(key) not in ("", "false", "nil"):
            options = arguments_of_hash(key)
            target = string_in(options.get("to_table")) or pluralized(name)
            self._key_to(table, target, {"column": f"{name}_id"}, options, node)

    def _times(self, keywords: dict[str, Node]) -> list[str]:
        kind = "timestamp(6)" if self.version >= (6, 0) and "precision" not in keywords else "timestamp"
        null = text_of(keywords.get("null"))
        required = " NOT NULL" if null == "false" or (self.version >= (5, 0) and null != "true") else ""
        return [f"{name} {kind}{required}" for name in ("created_at", "updated_at")]

    def _create_table(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        name = string_in(positional[0]) if positional else None
        if name is None:
            self._doubt(call)
            return
        if "as" in keywords or "options" in keywords:
            self.script.unread.add({name}, self._at(call))
        parts = [
            (sql.replace("bigserial", self._key_kind()), place) for sql, place in self._key(keywords, self._at(call))
        ]
        keys = names_of(keywords.get("primary_key")) if keywords.get("primary_key") is not None else []
        inside = list(self._lines(call))
        for node in inside:
            if text_of(node.child_by_field_name("method")) not in _RULES:
                parts += [(sql, self._at(node)) for sql in self._inside(node)]
        if len(keys) > 1:
            parts.append((f"PRIMARY KEY ({', '.join(map(quoted, keys))})", self._at(call)))
        exists = "IF NOT EXISTS " if text_of(keywords.get("if_not_exists")) == "true" else ""
        if text_of(keywords.get("force")) in ("true", ":cascade"):
            self._sql(call, f"DROP TABLE IF EXISTS {self._path(name)} CASCADE")
        pieces = [(f"CREATE TABLE {exists}{self._path(name)} (", self._at(call))]
        pieces += [(", " * (number > 0) + sql, place) for number, (sql, place) in enumerate(parts)]
        self.script.written([*pieces, (")", self._at(call))])
        for node in inside:
            self._within(name, node)

    def _create_join_table(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        names = [name for node in positional[:2] if (name := string_in(node))]
        if len(names) < 2:
            self._doubt(call)
            return
        table = string_in(keywords.get("table_name")) or _joined(names)
        columns = [f"{quoted(f'{singular(name)}_id')} {self._reference_kind()} NOT NULL" for name in names]
        for node in self._lines(call):
            if text_of(node.child_by_field_name("method")) not in _RULES:
                columns += self._inside(node)
        self._sql(call, f"CREATE TABLE {self._path(table)} ({', '.join(columns)})")
        for node in self._lines(call):
            self._within(table, node)

    def _lines(self, call: Node) -> Iterable[Node]:
        block = call.child_by_field_name("block")
        body = block.child_by_field_name("body") if block is not None else None
        for node in body.named_children if body is not None else ():
            if node.type == "call" and node.child_by_field_name("receiver") is not None:
                yield node
            elif node.type != "comment":
                self.script.unread.add(set(_WORD.findall(text_of(node))), self._at(node))

    def _within(self, table: str, node: Node) -> None:
        """What a line in the block of a new table makes besides columns."""
        method = text_of(node.child_by_field_name("method"))
        positional, keywords = arguments_in(node)
        if method in _RULES:
            self._rule(table, node)
        elif method in ("references", "belongs_to"):
            for entry in positional:
                if name := string_in(entry):
                    self._reference_rules(table, name, keywords, node)
        elif "index" in keywords and text_of(keywords["index"]) not in ("false", "nil"):
            options = arguments_of_hash(keywords["index"])
            for entry in positional:
                if name := string_in(entry):
                    self._indexed(table, [name], string_in(options.get("name")), options, node)

    def _rule(self, table: str, call: Node) -> None:
        positional, keywords = arguments_in(call)
        method = text_of(call.child_by_field_name("method"))
        if method == "index":
            columns = names_of(positional[0]) if positional else []
            self._indexed(table, columns, string_in(keywords.get("name")), keywords, call)
        elif method == "foreign_key" and positional and (target := string_in(positional[0])):
            self._key_to(table, target, {}, keywords, call)
        elif method == "check_constraint" and positional:
            self._check(table, string_in(positional[0]), keywords, call)
        else:
            super()._rule(table, call)

    def _change_table(self, call: Node) -> None:
        positional, _ = arguments_in(call)
        table = string_in(positional[0]) if positional else None
        if table is None:
            self._doubt(call)
            return
        for node in self._lines(call):
            method = text_of(node.child_by_field_name("method"))
            given, keywords = arguments_in(node)
            names = [name for entry in given if (name := string_in(entry))]
            if method in (
                "remove",
                "remove_references",
                "remove_belongs_to",
                "remove_timestamps",
                "rename",
                "change_default",
            ):
                self._changed(table, method, names, keywords, node)
            elif method in ("change", "change_null", "remove_index", "rename_index", "remove_foreign_key"):
                self._doubt(node)
            elif method in _RULES:
                self._rule(table, node)
            else:
                for column in self._inside(node):
                    self._sql(node, f"ALTER TABLE {self._path(table)} ADD COLUMN {column}")
                self._within(table, node)

    def _changed(self, table: str, method: str, names: list[str], keywords: dict[str, Node], node: Node) -> None:
        path = self._path(table)
        if method == "rename" and len(names) == 2:
            self._sql(node, f"ALTER TABLE {path} RENAME COLUMN {quoted(names[0])} TO {quoted(names[1])}")
        elif method == "change_default":
            self._defaulted(table, names[0] if names else None, "x", node)
        else:
            gone = names if method == "remove" else [f"{name}_id" for name in names]
            gone += [f"{name}_type" for name in names if method != "remove" and self._polymorphic(keywords)]
            for name in gone if method != "remove_timestamps" else ("created_at", "updated_at"):
                self._sql(node, f"ALTER TABLE {path} DROP COLUMN IF EXISTS {quoted(name)}")

    def _drop_table(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        cascade = " CASCADE" * (string_in(keywords.get("force")) == "cascade")
        for node in positional:
            if name := string_in(node):
                self._sql(call, f"DROP TABLE IF EXISTS {self._path(name)}{cascade}")

    def _drop_join_table(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        names = [name for node in positional[:2] if (name := string_in(node))]
        table = string_in(keywords.get("table_name")) or (_joined(names) if len(names) == 2 else None)
        if table:
            self._sql(call, f"DROP TABLE IF EXISTS {self._path(table)}")

    def _rename_table(self, call: Node) -> None:
        names = self._given(call, 2)
        if names:
            self._sql(call, f"ALTER TABLE {self._path(names[0])} RENAME TO {quoted(names[1])}")

    # Columns

    def _given(self, call: Node, count: int) -> list[str]:
        """The first so many arguments, if all are written out; else what the call names is in doubt."""
        positional, _ = arguments_in(call)
        names = [name for node in positional[:count] if (name := string_in(node)) is not None]
        if len(names) == count:
            return names
        self._doubt(call)
        return []

    def _add_column(self, call: Node) -> None:
        _, keywords = arguments_in(call)
        if names := self._given(call, 3):
            column = self._defined(names[1], names[2], keywords)
            exists = "IF NOT EXISTS " if text_of(keywords.get("if_not_exists")) == "true" else ""
            self._sql(call, f"ALTER TABLE {self._path(names[0])} ADD COLUMN {exists}{column}")

    def _add_columns(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        kind = string_in(keywords.get("type"))
        if (names := self._given(call, len(positional))) and kind:
            for name in names[1:]:
                self._sql(call, f"ALTER TABLE {self._path(names[0])} ADD COLUMN {self._defined(name, kind, keywords)}")

    def _add_reference(self, call: Node) -> None:
        _, keywords = arguments_in(call)
        if names := self._given(call, 2):
            for column in self._reference(names[1], keywords):
                self._sql(call, f"ALTER TABLE {self._path(names[0])} ADD COLUMN {column}")
            self._reference_rules(names[0], names[1], keywords, call)

    _add_belongs_to = _add_reference

    def _remove_reference(self, call: Node) -> None:
        _, keywords = arguments_in(call)
        if names := self._given(call, 2):
            self._changed(names[0], "remove_references", [names[1]], keywords, call)

    _remove_belongs_to = _remove_reference

    def _add_timestamps(self, call: Node) -> None:
        _, keywords = arguments_in(call)
        if names := self._given(call, 1):
            for column in self._times(keywords):
                self._sql(call, f"ALTER TABLE {self._path(names[0])} ADD COLUMN {column}")

    def _remove_timestamps(self, call: Node) -> None:
        if names := self._given(call, 1):
            self._changed(names[0], "remove_timestamps", [], {}, call)

    def _remove_column(self, call: Node) -> None:
        if names := self._given(call, 2):
            self._changed(names[0], "remove", names[1:2], {}, call)

    def _remove_columns(self, call: Node) -> None:
        positional, _ = arguments_in(call)
        if names := self._given(call, len(positional)):
            self._changed(names[0], "remove", names[1:], {}, call)

    def _rename_column(self, call: Node) -> None:
        if names := self._given(call, 3):
            self._changed(names[0], "rename", names[1:], {}, call)

    def _change_column(self, call: Node) -> None:
        _, keywords = arguments_in(call)
        if not (names := self._given(call, 3)):
            return
        start = f"ALTER TABLE {self._path(names[0])} ALTER COLUMN {quoted(names[1])}"
        kind = self._type(names[2], [], keywords) + "[]" * (text_of(keywords.get("array")) == "true")
        self._sql(call, f"{start} TYPE {kind}")
        if "null" in keywords:
            self._sql(call, f"{start} {'SET' if text_of(keywords['null']) == 'false' else 'DROP'} NOT NULL")
        if "default" in keywords:
            self._defaulted(names[0], names[1], text_of(keywords["default"]), call)

    def _change_column_null(self, call: Node) -> None:
        positional, _ = arguments_in(call)
        if names := self._given(call, 2):
            word = {"false": "SET", "true": "DROP"}.get(text_of(positional[2]) if len(positional) > 2 else "")
            if word:
                self._sql(call, f"ALTER TABLE {self._path(names[0])} ALTER COLUMN {quoted(names[1])} {word} NOT NULL")
            else:
                self._doubt(call)

    def _change_column_default(self, call: Node) -> None:
        positional, keywords = arguments_in(call)
        if names := self._given(call, 2):
            self._defaulted(names[0], names[1], text_of(keywords.get("to", positional[-1])), call)

    def _defaulted(self, table: str, column: str | None, value: str, node: Node) -> None:
        if column is not None:
            word = "DROP DEFAULT" if value == "nil" else "SET DEFAULT 'x'"
            self._sql(node, f"ALTER TABLE {self._path(table)} ALTER COLUMN {quoted(column)} {word}")

    # Indexes and constraints

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

    # The rest

    def _execute(self, call: Node) -> None:
        """SQL that is written out, in a string or a heredoc."""
        positional, _ = arguments_in(call)
        sql = self._written_out(positional[0]) if positional else None
        if sql is None:
            self.script.unread.add(set(_WORD.findall(text_of(call))), self._at(call))
            return
        for statement, _ in split_statements(sql):
            self.script.script(statement, self.file.path, call.start_point.row + 1)

    def _written_out(self, node: Node) -> str | None:
        if node.type == "call" and text_of(node.child_by_field_name("method")) in ("squish", "strip", "strip_heredoc"):
            receiver = node.child_by_field_name("receiver")
            return self._written_out(receiver) if receiver is not None else None
        if node.type != "heredoc_beginning":
            return string_in(node) if node.type == "string" else None
        mark = text_of(node).lstrip("<~-").strip("'\"")
        code = self.file.text.splitlines()[node.start_point.row + 1 :]
        lines: list[str] = []
        for line in code:
            if line.strip() == mark:
                text = "\n".join(lines)
                return text if "#{" not in text else None
            lines.append(line)
        return None

    def _enable_extension(self, call: Node) -> None:
        if names := self._given(call, 1):
            self._sql(call, f"CREATE EXTENSION IF NOT EXISTS {quoted(names[0])}")

    def _create_schema(self, call: Node) -> None:
        if names := self._given(call, 1):
            self._sql(call, f"CREATE SCHEMA IF NOT EXISTS {quoted(names[0])}")

    def _drop_enum(self, call: Node) -> None:
        if names := self._given(call, 1):
            self._sql(call, f"DROP TYPE IF EXISTS {self._path(names[0])}")


_RULES = frozenset(["index", "check_constraint", "unique_constraint", "exclusion_constraint", "foreign_key"])
_CHANGES = frozenset(
    "create_table create_join_table change_table drop_table drop_join_table rename_table add_column add_columns add_reference "
    "add_belongs_to remove_reference remove_belongs_to add_timestamps remove_timestamps remove_column remove_columns "
    "rename_column change_column change_column_null change_column_default add_index remove_index rename_index add_foreign_key "
    "remove_foreign_key validate_foreign_key add_check_constraint remove_check_constraint validate_check_constraint execute "
    "enable_extension create_schema create_enum drop_enum".split()
)


def arguments_of_hash(node: Node | None) -> dict[str, Node]:
    """The entries of a hash that is written out."""
    found: dict[str, Node] = {}
    for pair in node.named_children if node is not None and node.type == "hash" else ():
        key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
        if pair.type == "pair" and value is not None:
            found[text_of(key).strip(":\"'")] = value
    return found


def _joined(names: list[str]) -> str:
    """The table of a join of both: `create_join_table :posts, :tags` makes posts_tags."""
    return "_".join(sorted(name if name.endswith("s") else pluralized(name) for name in names))


def _hashed(kind: str, identifier: str) -> str:
    """The name that Rails gives a constraint that has none."""
    return f"{kind}_rails_{hashlib.sha256(identifier.encode()).hexdigest()[:10]}"
