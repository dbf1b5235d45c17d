"""Tables and columns that Rails' migrations make, change and take away."""

from __future__ import annotations

from collections.abc import Iterable

from tree_sitter import Node

from checks.evidence.repository.orm.query import quoted
from checks.evidence.repository.orm.ruby import pluralized
from checks.evidence.repository.rails import arguments_in, names_of, singular, string_in, text_of
from checks.evidence.repository.rails_indexes import WORD, Indexes, arguments_of_hash

_RULES = frozenset(["index", "check_constraint", "unique_constraint", "exclusion_constraint", "foreign_key"])


def _joined(names: list[str]) -> str:
    """The table of a join of both: `create_join_table :posts, :tags` makes posts_tags."""
    return "_".join(sorted(name if name.endswith("s") else pluralized(name) for name in names))


class Tables(Indexes):
    """Reads what one migration does to tables and columns."""

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
                self.script.unread.add(set(WORD.findall(text_of(node))), self._at(node))

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
