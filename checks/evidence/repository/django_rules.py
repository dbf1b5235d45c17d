"""Constraints and indexes in Django's migrations."""

from __future__ import annotations

from collections.abc import Iterable

from tree_sitter import Node

from checks.evidence.repository.django_columns import StateField, has_pattern_index, names_in
from checks.evidence.repository.django_state import Columns, Model
from checks.evidence.repository.ledger import ConstraintDetail, IndexDetail
from checks.evidence.repository.orm.django_fields import read_meta_index
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name, string_of
from checks.evidence.repository.orm.query import quoted
from checks.evidence.repository.orm.syntax import named
from checks.evidence.repository.python_values import words_in
from checks.model import Location


class Rules(Columns):
    def _drop_rules(self, model: Model, column: str) -> None:
        """What the column alone has of keys, foreign keys, checks and indexes without a name in the models."""
        ledger = self.script.ledger
        *schema, name = model.table.split(".")
        table = (schema[0] if schema else "public", name)
        for subject in ledger.subjects():
            if subject.kind not in ("constraint", "index") or ledger.columns_of(subject.kind, subject.path) != (
                column,
            ):
                continue
            if ledger.table_of(subject.kind, subject.path) != table:
                continue
            detail = ledger.detail(subject.kind, subject.path)
            own = isinstance(detail, ConstraintDetail) or (isinstance(detail, IndexDetail) and not detail.unique)
            if own and subject.path[-1] not in self.project.names:
                ledger.drop(subject.kind, subject.path)

    def _columns(self, model: Model, names: Iterable[str]) -> str:
        plain = [name.removeprefix("-") for name in names]
        return ", ".join(quoted(model.fields[name].field.column if name in model.fields else name) for name in plain)

    def _unique(self, model: Model, names: list[str], place: Location) -> None:
        self._write(f"ALTER TABLE {self._table(model)} ADD UNIQUE ({self._columns(model, names)})", place)

    def _rule(self, model: Model, call: Node) -> None:
        """An entry of `indexes` or `constraints`."""
        _, keywords = arguments_of(call)
        name, place, table = string_of(keywords.get("name")), self._place(call), self._table(model)
        label = quoted(name) if name else ""
        self.project.names.add(name or "")
        index = read_meta_index(call)
        if index is not None:
            columns = self._columns(model, index.columns) or "(lower('x'))"
            where = " WHERE true" if "condition" in keywords else ""
            using = f"USING {index.method} " if index.method else ""
            if index.unique and not where and index.columns and not arguments_of(call)[0]:
                named_as = f"CONSTRAINT {label} " if label else ""
                self._write(f"ALTER TABLE {table} ADD {named_as}UNIQUE ({columns})", place)
            else:
                unique = "UNIQUE " if index.unique else ""
                self._write(f"CREATE {unique}INDEX {label} ON {table} {using}({columns}){where}", place)
        elif call_name(call) == "CheckConstraint" and label:
            self._write(f"ALTER TABLE {table} ADD CONSTRAINT {label} CHECK (true)", place)
        elif call_name(call) == "ExclusionConstraint" and label:
            self._write(f"ALTER TABLE {table} ADD CONSTRAINT {label} EXCLUDE (tableoid WITH =)", place)
        else:
            self.script.unread.add({model.table}, place)

    def _add_index(self, call: Node, arguments: dict[str, Node]) -> None:
        model = self._model(arguments.get("model_name"))
        entry = arguments.get("index") or arguments.get("constraint")
        if model is None or entry is None or entry.type != "call":
            self.script.unread.add(words_in(call), self._place(call))
        elif not model.unmanaged:
            self._rule(model, entry)

    _add_constraint = _add_index_concurrently = _add_constraint_not_valid = _add_index

    def _remove_index(self, call: Node, arguments: dict[str, Node]) -> None:
        name = string_of(arguments.get("name"))
        model = self._model(arguments.get("model_name"))
        if name is None or model is None:
            self.script.unread.add(words_in(call))
            return
        *schema, table = model.table.split(".")
        known = self.script.ledger.knows("constraint", (schema[0] if schema else "public", table, name))
        if known:
            self._write(f"ALTER TABLE {self._table(model)} DROP CONSTRAINT {quoted(name)}", self._place(call))
        else:
            path = f"{quoted(schema[0])}.{quoted(name)}" if schema else quoted(name)
            self._write(f"DROP INDEX {path}", self._place(call))

    _remove_constraint = _remove_index_concurrently = _remove_index

    def _rename_index(self, call: Node, arguments: dict[str, Node]) -> None:
        old, new = string_of(arguments.get("old_name")), string_of(arguments.get("new_name"))
        if old and new:
            self._write(f"ALTER INDEX {quoted(old)} RENAME TO {quoted(new)}", self._place(call))

    def _alter_unique_together(self, call: Node, arguments: dict[str, Node]) -> None:
        self._together(call, arguments, "unique_together")

    def _alter_index_together(self, call: Node, arguments: dict[str, Node]) -> None:
        self._together(call, arguments, "index_together")

    def _together(self, call: Node, arguments: dict[str, Node], option: str) -> None:
        """All groups at once: what is not among them goes, as long as the models gave it no name."""
        model = self._model(arguments.get("name"))
        if model is None or not self.database:
            return
        groups = groups_of(arguments.get(option))
        wanted = [
            tuple(model.fields[name].field.column if name in model.fields else name for name in group)
            for group in groups
        ]
        ledger = self.script.ledger
        *schema, name = model.table.split(".")
        table = (schema[0] if schema else "public", name)
        kind = "constraint" if option == "unique_together" else "index"
        there = []
        for subject in [each for each in ledger.subjects() if each.kind == kind]:
            detail = ledger.detail(kind, subject.path)
            over = ledger.columns_of(kind, subject.path)
            fits = isinstance(detail, ConstraintDetail) and detail.kind == "unique"
            fits |= isinstance(detail, IndexDetail) and not detail.unique and not detail.of_constraint
            if ledger.table_of(kind, subject.path) != table or not fits or len(over) < 2:
                continue
            if over in wanted:
                there.append(over)
            elif subject.path[-1] not in self.project.names:
                ledger.drop(kind, subject.path)
        for group, columns in zip(groups, wanted, strict=True):
            if columns not in there and option == "unique_together":
                self._unique(model, group, self._place(call))
            elif columns not in there:
                self._write(f"CREATE INDEX ON {self._table(model)} ({self._columns(model, group)})", self._place(call))


def rules_of(each: StateField) -> tuple[object, ...]:
    known = each.field
    return (
        known.key,
        known.unique,
        known.indexed,
        each.constrained,
        known.to,
        each.positive,
        has_pattern_index(each.called),
    )


def groups_of(node: Node | None) -> list[list[str]]:
    """`unique_together` and the like: a set of tuples, or one tuple."""
    if node is None or node.type == "none":
        return []
    if node.type == "call":
        node = next(iter(arguments_of(node)[0]), None)
    entries = named(node)
    if entries and all(entry.type == "string" for entry in entries):
        return [names_in(node)]
    return [names for entry in entries if (names := names_in(entry))]
