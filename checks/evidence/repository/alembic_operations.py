"""Operations of Alembic: what `op.create_table(...)` and its like do to the schema."""

from __future__ import annotations

import re
from collections.abc import Callable

from tree_sitter import Node

from checks.evidence.repository.alembic_types import Column, read_column
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name
from checks.evidence.repository.orm.query import quoted
from checks.evidence.repository.orm.syntax import Source, field, named, text
from checks.evidence.repository.python_values import Values, words_in
from checks.evidence.repository.scripts import ScriptReader
from checks.model import Location

Piece = tuple[str, Location]


class Operations:
    """Applies the operations of one revision. What cannot be read is noted with the script."""

    def __init__(self, source: Source, script: ScriptReader) -> None:
        self.source = source
        self.script = script
        self.values = Values(source.root)
        self.functions = {
            text(field(node, "name")): node for node in source.root.children if node.type == "function_definition"
        }
        self.tables: dict[str, tuple[str, str]] = {}
        self.certain = True

    def _uncertain(self, node: Node) -> None:
        self.script.unread.add(words_in(node))

    def _unread(self, node: Node) -> None:
        """A change of which not even the table is told."""
        self.script.unread.add(words_in(node), self.source.location(node))
        self.script.unread.complete = False

    def _at(self, node: Node) -> Location:
        return self.source.location(node)

    def _op_create_table(
        self, call: Node, rest: list[Node], keywords: dict[str, Node], table: tuple[str, str] | None
    ) -> None:
        if table is None:
            self._unread(call)
            return
        columns: list[Column] = []
        later: list[list[Piece]] = []
        parts: list[Piece] = []
        complete = len(named(field(call, "arguments"))) == len(rest) + len(keywords) + 1
        for argument in rest:
            if call_name(argument) == "Column":
                column = self._column(argument)
                if column is None:
                    complete = False
                else:
                    columns.append(column)
            elif (piece := self._constraint(argument)) is not None:
                parts.append((piece, self._at(argument)))
            else:
                complete = False
        keys = [column.name for column in columns if column.key]
        for argument in rest:
            if call_name(argument) == "PrimaryKeyConstraint":
                keys += [name for each in arguments_of(argument)[0] if (name := self.values.string(each))]
        parts = [
            *((column.declared(serial=keys == [column.name]), self._at(column.node)) for column in columns),
            *parts,
        ]
        if (inline := [column.name for column in columns if column.key]) and len(keys) == len(inline):
            parts.append((f"PRIMARY KEY ({', '.join(map(quoted, keys))})", self._at(call)))
        pieces: list[Piece] = [(f"CREATE TABLE {_path(table)} (", self._at(call))]
        for number, (sql, place) in enumerate(parts):
            pieces.append((", " * (number > 0) + sql, place))
        pieces.append((")", self._at(call)))
        self.script.written(pieces)
        later += [column.index(table) for column in columns if column.indexed]
        for statement in later:
            self.script.written(statement)
        if not complete:
            self.script.unread.add({table[1]}, self._at(call))

    def _column(self, node: Node | None) -> Column | None:
        column = read_column(node, self.values) if node is not None and call_name(node) == "Column" else None
        if column is not None:
            column.location = self._at(column.node)
        return column

    def _constraint(self, call: Node) -> str | None:
        positional, keywords = arguments_of(call)
        kind = call_name(call)
        label = self.values.string(keywords.get("name"))
        name = f"CONSTRAINT {quoted(label)} " if label else ""
        if kind in ("PrimaryKeyConstraint", "UniqueConstraint"):
            columns = [each for node in positional if (each := self.values.string(node))]
            word = "PRIMARY KEY" if kind[0] == "P" else "UNIQUE"
            return f"{name}{word} ({_list(columns)})" if columns and len(columns) == len(positional) else None
        if kind == "ForeignKeyConstraint" and len(positional) > 1:
            local, remote = self.values.strings(positional[0]), self.values.strings(positional[1])
            return f"{name}{_references(local, remote, self._action(keywords))}" if local and remote else None
        if kind == "CheckConstraint" and positional:
            return f"{name}CHECK ({self.values.string(positional[0]) or 'true'})" if label else None
        return None

    def _action(self, keywords: dict[str, Node]) -> str:
        action = self.values.string(keywords.get("ondelete"))
        return f" ON DELETE {action}" if action and re.fullmatch(r"[A-Za-z ]+", action) else ""

    def _op_drop_table(
        self, call: Node, _: list[Node], _keywords: dict[str, Node], table: tuple[str, str] | None
    ) -> None:
        self._simple(call, table, lambda path: f"DROP TABLE {path}")

    def _op_rename_table(
        self, call: Node, rest: list[Node], keywords: dict[str, Node], table: tuple[str, str] | None
    ) -> None:
        new = self.values.string(rest[0] if rest else keywords.get("new_table_name"))
        self._simple(call, table if new else None, lambda path: f"ALTER TABLE {path} RENAME TO {quoted(new or '')}")

    def _op_add_column(
        self, call: Node, rest: list[Node], keywords: dict[str, Node], table: tuple[str, str] | None
    ) -> None:
        node = rest[0] if rest else keywords.get("column")
        column = self._column(node)
        if column is None or table is None:
            self._uncertain(call)
            self.script.unread.complete &= table is not None
            return
        self.script.written([(f"ALTER TABLE {_path(table)} ADD COLUMN {column.declared()}", self._at(call))])
        if column.indexed:
            self.script.written(column.index(table))

    def _op_drop_column(
        self, call: Node, rest: list[Node], keywords: dict[str, Node], table: tuple[str, str] | None
    ) -> None:
        name = self.values.string(rest[0] if rest else keywords.get("column_name"))
        self._simple(call, table if name else None, lambda path: f"ALTER TABLE {path} DROP COLUMN {quoted(name or '')}")

    def _op_alter_column(
        self, call: Node, rest: list[Node], keywords: dict[str, Node], table: tuple[str, str] | None
    ) -> None:
        name = self.values.string(rest[0] if rest else keywords.get("column_name"))
        if name is None or table is None:
            self._uncertain(call)
            self.script.unread.complete &= table is not None
            return
        column, path = quoted(name), _path(table)
        actions = []
        if (kind := keywords.get("type_")) is not None:
            declared = Column(name, kind, kind, self.values)
            actions.append(f"ALTER COLUMN {column} TYPE {declared.type()}")
        if (nullable := text(keywords.get("nullable"))) in ("True", "False"):
            actions.append(f"ALTER COLUMN {column} {'DROP' if nullable == 'True' else 'SET'} NOT NULL")
        elif nullable:
            self.script.unread.add({name})
        if (default := keywords.get("server_default")) is not None:
            actions.append(
                f"ALTER COLUMN {column} "
                + ("DROP DEFAULT" if text(default) in ("None", "False") else "SET DEFAULT 'x'")
            )
        for action in actions:
            self.script.written([(f"ALTER TABLE {path} {action}", self._at(call))])
        if new := self.values.string(keywords.get("new_column_name")):
            self.script.written([(f"ALTER TABLE {path} RENAME COLUMN {column} TO {quoted(new)}", self._at(call))])

    def _op_create_index(
        self, call: Node, rest: list[Node], keywords: dict[str, Node], table: tuple[str, str] | None
    ) -> None:
        name = self.values.string(rest[0] if rest else keywords.get("index_name"))
        listed = rest[1] if len(rest) > 1 else keywords.get("columns")
        if table is None or name is None or listed is None:
            self._uncertain(call)
            return
        columns = [
            quoted(each) if (each := self.values.string(node)) and each.isidentifier() else "(lower('x'))"
            for node in named(listed)
        ]
        unique = "UNIQUE " if text(keywords.get("unique")) == "True" else ""
        method = self.values.string(keywords.get("postgresql_using"))
        using = f"USING {quoted(method)} " if method else ""
        where = " WHERE true" if "postgresql_where" in keywords else ""
        concurrently = "CONCURRENTLY " if text(keywords.get("postgresql_concurrently")) == "True" else ""
        sql = (
            f"CREATE {unique}INDEX {concurrently}{quoted(name)} ON {_path(table)} {using}({', '.join(columns)}){where}"
        )
        self.script.written([(sql, self._at(call))])

    def _op_drop_index(
        self, call: Node, _rest: list[Node], keywords: dict[str, Node], table: tuple[str, str] | None
    ) -> None:
        positional, _ = arguments_of(call)
        name = self.values.string(positional[0] if positional else keywords.get("index_name"))
        if name is None:
            self._uncertain(call)
            return
        schema = table[0] if table else ""
        concurrently = "CONCURRENTLY " if text(keywords.get("postgresql_concurrently")) == "True" else ""
        self.script.written([(f"DROP INDEX {concurrently}{_path((schema, name))}", self._at(call))])

    def _op_create_unique_constraint(
        self, call: Node, rest: list[Node], keywords: dict[str, Node], table: tuple[str, str] | None
    ) -> None:
        columns = self.values.strings(rest[1] if len(rest) > 1 else keywords.get("columns"))
        self._add(call, rest, keywords, table, f"UNIQUE ({_list(columns)})" if columns else None)

    def _op_create_primary_key(
        self, call: Node, rest: list[Node], keywords: dict[str, Node], table: tuple[str, str] | None
    ) -> None:
        columns = self.values.strings(rest[1] if len(rest) > 1 else keywords.get("columns"))
        self._add(call, rest, keywords, table, f"PRIMARY KEY ({_list(columns)})" if columns else None)

    def _op_create_check_constraint(
        self, call: Node, rest: list[Node], keywords: dict[str, Node], table: tuple[str, str] | None
    ) -> None:
        condition = self.values.string(rest[1] if len(rest) > 1 else keywords.get("condition"))
        self._add(call, rest, keywords, table, f"CHECK ({condition or 'true'})")

    def _op_create_foreign_key(
        self, call: Node, rest: list[Node], keywords: dict[str, Node], table: tuple[str, str] | None
    ) -> None:
        def argument(number: int, *names: str) -> Node | None:
            found = next((keywords[name] for name in names if name in keywords), None)
            return rest[number] if len(rest) > number else found

        target = self.values.string(argument(1, "referent_table", "referent"))
        local, remote = self.values.strings(argument(2, "local_cols")), self.values.strings(argument(3, "remote_cols"))
        schema = self.values.string(keywords.get("referent_schema"))
        sql = None
        if target and local and remote:
            sql = _references(
                local, [f"{schema + '.' if schema else ''}{target}.{each}" for each in remote], self._action(keywords)
            )
        self._add(call, rest, keywords, table, sql)

    def _add(
        self, call: Node, rest: list[Node], keywords: dict[str, Node], table: tuple[str, str] | None, sql: str | None
    ) -> None:
        label = self.values.string(rest[0] if rest else keywords.get("constraint_name"))
        if table is None or sql is None:
            self.script.unread.add({table[1]} if table else words_in(call), self._at(call))
            return
        name = f"CONSTRAINT {quoted(label)} " if label else ""
        later = " NOT VALID" if text(keywords.get("postgresql_not_valid")) == "True" else ""
        self.script.written([(f"ALTER TABLE {_path(table)} ADD {name}{sql}{later}", self._at(call))])

    def _op_drop_constraint(
        self, call: Node, rest: list[Node], keywords: dict[str, Node], table: tuple[str, str] | None
    ) -> None:
        name = self.values.string(rest[0] if rest else keywords.get("constraint_name"))
        known = table and name and self.script.ledger.knows("constraint", (table[0] or "public", table[1], name))
        if not known:
            # It may go by a name that the server or a convention of the models gave it.
            self.script.unread.add({table[1]} if table else words_in(call))
            return
        self._simple(call, table, lambda path: f"ALTER TABLE {path} DROP CONSTRAINT {quoted(name or '')}")

    def _simple(self, call: Node, table: tuple[str, str] | None, sql: Callable[[str], str]) -> None:
        if table is None:
            self._unread(call)
        else:
            self.script.written([(sql(_path(table)), self._at(call))])


# Operations whose first argument is the name of what they make or drop, and whose second is the table.


def _path(table: tuple[str, str]) -> str:
    return f"{quoted(table[0])}.{quoted(table[1])}" if table[0] else quoted(table[1])


def _list(names: list[str]) -> str:
    return ", ".join(quoted(name) for name in names)


def _references(local: list[str] | None, remote: list[str], action: str) -> str:
    """`remote` as SQLAlchemy writes it: `table.column` or `schema.table.column`."""
    table, _, _ = remote[0].rpartition(".")
    schema, _, name = table.rpartition(".")
    columns = _list([each.rpartition(".")[2] for each in remote])
    return f"FOREIGN KEY ({_list(local or [])}) REFERENCES {_path((schema, name))} ({columns}){action}"
