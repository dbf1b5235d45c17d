"""Alembic's revisions, read from their source and never run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from tree_sitter import Node

from checks.evidence.repository.alembic_types import Column, read_column
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.query import quoted
from checks.evidence.repository.orm.sqlalchemy import arguments_of, call_name
from checks.evidence.repository.orm.syntax import Source, field, named, source_of, text
from checks.evidence.repository.python_values import Values, words_in
from checks.evidence.repository.scripts import Gathering, Migrations, ScriptReader, by_folder
from checks.model import Location

CANDIDATE = re.compile(r"^down_revision\b", re.MULTILINE)
_REVISION = re.compile(r"^revision\b[^=\n]*=\s*[\"']([^\"']+)", re.MULTILINE)
_BEFORE = re.compile(r"^down_revision\b[^=\n]*=\s*(\([^)]*\)|\[[^\]]*\]|[^\n]*)", re.MULTILINE)
_NAME = re.compile(r"[\"']([^\"']+)[\"']")
_POSTGRESQL = re.compile(r"==\s*[\"']postgres(?:ql)?[\"']")
_OTHER = re.compile(r"(?:==\s*[\"'](?:sqlite|mysql|mariadb|oracle|mssql)[\"']|!=\s*[\"']postgres(?:ql)?[\"'])")
_MAXIMUM_DEPTH = 30
_CHANGES = re.compile(r"\b(?:op|batch_op)\.|\bexecute\(")
_DECLARES = re.compile(r"\b(?:create|alter|drop|add|rename)(?:_|\b)", re.IGNORECASE)

Piece = tuple[str, Location]


def read_revisions(files: Iterable[SourceFile]) -> Migrations:
    """What the revisions of each folder leave behind, in the order of their `down_revision`."""
    found = Gathering()
    for folder, members in by_folder(files):
        script = ScriptReader()
        ordered = _ordered(members)
        for file in ordered:
            script.start(file.path, True)
            _Revision(source_of(file), script).upgrade()
        found.add("alembic", folder, [file.path for file in ordered], script)
    return found.finish()


def _ordered(files: list[SourceFile]) -> list[SourceFile]:
    """Each after those that it follows; what follows nothing known comes first, by its path."""
    by_revision: dict[str, SourceFile] = {}
    before: dict[str, list[str]] = {}
    for file in sorted(files, key=lambda file: file.path):
        revision = _REVISION.search(file.text)
        if revision is not None:
            by_revision[revision[1]] = file
            down = _BEFORE.search(file.text)
            before[revision[1]] = _NAME.findall(down[1]) if down else []
    done: dict[str, SourceFile] = {}
    pending = list(reversed(by_revision))
    visiting: set[str] = set()
    while pending:
        revision_id = pending[-1]
        waiting = [each for each in before[revision_id] if each in by_revision and each not in done]
        if revision_id in done or (waiting and revision_id in visiting and all(each in visiting for each in waiting)):
            pending.pop()
            done.setdefault(revision_id, by_revision[revision_id])
        elif waiting:
            visiting.add(revision_id)
            pending += waiting
        else:
            pending.pop()
            done[revision_id] = by_revision[revision_id]
    return list(done.values())


class _Revision:
    def __init__(self, source: Source, script: ScriptReader) -> None:
        self.source = source
        self.script = script
        self.values = Values(source.root)
        self.functions = {
            text(field(node, "name")): node for node in source.root.children if node.type == "function_definition"
        }
        self.tables: dict[str, tuple[str, str]] = {}
        self.certain = True

    def upgrade(self) -> None:
        function = self.functions.get("upgrade")
        if function is not None:
            self._block(field(function, "body"), 0)

    def _uncertain(self, node: Node) -> None:
        self.script.unread.add(words_in(node))

    def _unread(self, node: Node) -> None:
        """A change of which not even the table is told."""
        self.script.unread.add(words_in(node), self.source.location(node))
        self.script.unread.complete = False

    # Statements

    def _block(self, block: Node | None, depth: int) -> None:
        for statement in named(block):
            if depth > _MAXIMUM_DEPTH:
                self._unread(statement)
                return
            self._statement(statement, depth)

    def _statement(self, statement: Node, depth: int) -> None:
        if statement.type == "if_statement":
            self._if(statement, depth)
        elif statement.type == "with_statement":
            self._with(statement, depth)
        elif statement.type in ("for_statement", "while_statement"):
            if _CHANGES.search(text(statement)):
                self._loop(statement)
        elif statement.type == "try_statement":
            self._uncertain(statement)
            self._block(field(statement, "body"), depth + 1)
        elif statement.type in ("expression_statement", "return_statement", "assert_statement"):
            for node in named(statement):
                call = field(node, "right") if node.type == "assignment" else node
                while call is not None and call.type == "await":
                    call = next(iter(named(call)), None)
                if call is not None and call.type == "call":
                    self._call(call, depth)

    def _if(self, statement: Node, depth: int) -> None:
        condition = text(field(statement, "condition"))
        body, other = field(statement, "consequence"), field(statement, "alternative")
        if _POSTGRESQL.search(condition):
            self._block(body, depth + 1)
        elif _OTHER.search(condition):
            self._block(field(other, "body") if other is not None else None, depth + 1)
        else:
            if _CHANGES.search(text(statement)):
                self._uncertain(statement)
            self._block(body, depth + 1)

    def _loop(self, statement: Node) -> None:
        """What a loop does to tables whose names it only computes is anything."""
        self._uncertain(statement)
        over = field(statement, "right")
        listed = over is not None and (self.values.strings(over) is not None or over.type in ("list", "tuple"))
        if not listed and _DECLARES.search(text(statement)):
            self._unread(statement)

    def _with(self, statement: Node, depth: int) -> None:
        for item in named(next((part for part in named(statement) if part.type == "with_clause"), None)):
            value = field(item, "value")
            if value is None:
                continue
            call = named(value)[0] if value.type == "as_pattern" and named(value) else value
            if call.type == "call" and call_name(call) == "batch_alter_table" and value.type == "as_pattern":
                positional, keywords = arguments_of(call)
                name = self.values.string(positional[0] if positional else keywords.get("table_name"))
                alias = text(field(value, "alias"))
                if name is None:
                    self._unread(statement)
                    return
                self.tables[alias] = (self.values.string(keywords.get("schema")) or "", name)
        clause = next((part for part in named(statement) if part.type == "with_clause"), None)
        transaction = self.script.steps.transaction
        if "autocommit_block" in text(clause):
            self.script.steps.transaction = False
        self._block(field(statement, "body"), depth + 1)
        self.script.steps.transaction = transaction

    # Operations

    def _call(self, call: Node, depth: int) -> None:
        function = field(call, "function")
        if function is None:
            return
        if function.type == "identifier":
            helper = self.functions.get(text(function))
            if helper is not None and _CHANGES.search(text(helper)):
                if named(field(call, "arguments")):
                    self._uncertain(call)
                    self._uncertain(helper)
                    self.script.unread.complete &= not re.search(r"\bop\.\w*(?:table|column)\(", text(helper))
                else:
                    self._block(field(helper, "body"), depth + 1)
            return
        holder, name = text(field(function, "object")), text(field(function, "attribute"))
        if name == "execute" or name in ("exec_driver_sql", "execute_sql"):
            self._execute(call)
        elif holder in self.tables or holder == "op":
            operation = getattr(self, f"_op_{name}", None)
            if operation is not None:
                operation(call, *self._arguments(call, holder, name))

    def _arguments(
        self, call: Node, holder: str, name: str
    ) -> tuple[list[Node], dict[str, Node], tuple[str, str] | None]:
        """The arguments without the table's name, and the table: of the batch, else as the operation has it."""
        positional, keywords = arguments_of(call)
        if holder in self.tables:
            return positional, keywords, self.tables[holder]
        schema = self.values.string(keywords.get("schema") or keywords.get("source_schema")) or ""
        place = 1 if name in _TABLE_SECOND else 0
        node = positional[place] if len(positional) > place else None
        for key in ("table_name", "source_table", "source", "old_table_name"):
            node = node or keywords.get(key)
        table = self.values.string(node)
        rest = [each for number, each in enumerate(positional) if number != place]
        return rest, keywords, (schema, table) if table else None

    def _at(self, node: Node) -> Location:
        return self.source.location(node)

    def _execute(self, call: Node) -> None:
        argument = next(iter(arguments_of(call)[0]), None)
        sql = self.values.string(argument)
        if sql is not None and argument is not None:
            self.script.script(sql.replace("\\n", "\n"), self.source.file.path, argument.start_point.row + 1)
        elif argument is not None and _DECLARES.search(text(argument)):
            self._uncertain(argument)
            if not re.search(
                r"(?:table|index|type|schema|on)\s+(?:if\s+(?:not\s+)?exists\s+)?[\"\w]", text(argument), re.I
            ):
                self._unread(argument)

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
_TABLE_SECOND = frozenset(
    "create_index drop_index create_unique_constraint create_foreign_key create_primary_key create_check_constraint "
    "drop_constraint".split()
)


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
