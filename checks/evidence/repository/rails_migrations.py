"""Rails' db/migrate, read from its source and never run: what db/schema.rb sums up, and all there is where that is not kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import cast

from tree_sitter import Node

from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.query import quoted
from checks.evidence.repository.rails import arguments_in, string_in, text_of
from checks.evidence.repository.rails_indexes import WORD
from checks.evidence.repository.rails_tables import Tables
from checks.evidence.repository.scripts import Gathering, Migrations, ScriptReader, by_folder
from checks.evidence.sql import split_statements

CANDIDATE = re.compile(r"<\s*(?:::)?ActiveRecord::Migration\b|<\s*Gitlab::Database::Migration\b")
_NAME = re.compile(r"(\d+)_\w+(?:\.\w+)?\.rb")
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
_MAXIMUM_DEPTH = 40


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


class _Migration(Tables):
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

    # Indexes and constraints
    # The rest

    def _execute(self, call: Node) -> None:
        """SQL that is written out, in a string or a heredoc."""
        positional, _ = arguments_in(call)
        sql = self._written_out(positional[0]) if positional else None
        if sql is None:
            self.script.unread.add(set(WORD.findall(text_of(call))), self._at(call))
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


_CHANGES = frozenset(
    "create_table create_join_table change_table drop_table drop_join_table rename_table add_column add_columns add_reference "
    "add_belongs_to remove_reference remove_belongs_to add_timestamps remove_timestamps remove_column remove_columns "
    "rename_column change_column change_column_null change_column_default add_index remove_index rename_index add_foreign_key "
    "remove_foreign_key validate_foreign_key add_check_constraint remove_check_constraint validate_check_constraint execute "
    "enable_extension create_schema create_enum drop_enum".split()
)
