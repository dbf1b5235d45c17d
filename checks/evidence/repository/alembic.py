"""Alembic's revisions, read from their source and never run."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tree_sitter import Node

from checks.evidence.repository.alembic_operations import Operations
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name
from checks.evidence.repository.orm.syntax import field, named, source_of, text
from checks.evidence.repository.scripts import Gathering, Migrations, ScriptReader, by_folder

CANDIDATE = re.compile(r"^down_revision\b", re.MULTILINE)
_REVISION = re.compile(r"^revision\b[^=\n]*=\s*[\"']([^\"']+)", re.MULTILINE)
_BEFORE = re.compile(r"^down_revision\b[^=\n]*=\s*(\([^)]*\)|\[[^\]]*\]|[^\n]*)", re.MULTILINE)
_NAME = re.compile(r"[\"']([^\"']+)[\"']")
_POSTGRESQL = re.compile(r"==\s*[\"']postgres(?:ql)?[\"']")
_OTHER = re.compile(r"(?:==\s*[\"'](?:sqlite|mysql|mariadb|oracle|mssql)[\"']|!=\s*[\"']postgres(?:ql)?[\"'])")
_MAXIMUM_DEPTH = 30
_CHANGES = re.compile(r"\b(?:op|batch_op)\.|\bexecute\(")
_DECLARES = re.compile(r"\b(?:create|alter|drop|add|rename)(?:_|\b)", re.IGNORECASE)


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


class _Revision(Operations):
    def upgrade(self) -> None:
        function = self.functions.get("upgrade")
        if function is not None:
            self._block(field(function, "body"), 0)

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


_TABLE_SECOND = frozenset(
    "create_index drop_index create_unique_constraint create_foreign_key create_primary_key create_check_constraint "
    "drop_constraint".split()
)
