"""Operations on models and fields in Django's migrations."""

from __future__ import annotations

from tree_sitter import Node

from checks.evidence.repository.django_columns import StateField, target_of
from checks.evidence.repository.django_rules import Rules, groups_of, rules_of
from checks.evidence.repository.django_state import Model
from checks.evidence.repository.orm.python_syntax import string_of
from checks.evidence.repository.orm.query import quoted
from checks.evidence.repository.orm.syntax import field, named, text
from checks.evidence.repository.python_values import words_in
from checks.model import Location


class Models(Rules):
    def _create_model(self, call: Node, arguments: dict[str, Node]) -> None:
        name = string_of(arguments.get("name"))
        fields = arguments.get("fields")
        if name is None or fields is None:
            self._unread(call)
            return
        options = {
            key: value
            for pair in named(arguments.get("options"))
            if pair.type == "pair"
            and (key := string_of(field(pair, "key")))
            and (value := field(pair, "value")) is not None
        }
        table = string_of(options.get("db_table"))
        model = Model((table or f"{self.label}_{name.lower()}").replace('"', ""), table is not None)
        model.unmanaged = text(options.get("managed")) == "False"
        proxy = text(options.get("proxy")) == "True"
        base = self._base(arguments.get("bases")) if proxy else None
        for entry in named(fields):
            parts = named(entry)
            field_name = string_of(parts[0]) if len(parts) == 2 else None
            if field_name is not None and parts[1].type == "call":
                model.fields[field_name] = StateField(field_name, parts[1], self._place(entry))
        if base is not None:
            model.table, model.fields = base.table, dict(base.fields)
        self.models[(self.label, name.lower())] = model
        if proxy or model.unmanaged or not self.database:
            return
        columns = [each for each in model.fields.values() if each.has_column]
        pieces = [(f"CREATE TABLE {self._table(model)} (", self._place(call))]
        for number, each in enumerate(columns):
            pieces.append((", " * (number > 0) + self._column(each), each.location))
        pieces.append((")", self._place(call)))
        self.script.written(pieces)
        for each in columns:
            self._after(model, each)
        for field_name, each in model.fields.items():
            self._between(model, field_name, each)
        for group in groups_of(options.get("unique_together")):
            self._unique(model, group, self._place(call))
        for group in groups_of(options.get("index_together")):
            self._write(f"CREATE INDEX ON {self._table(model)} ({self._columns(model, group)})", self._place(call))
        for entry in [*named(options.get("indexes")), *named(options.get("constraints"))]:
            self._rule(model, entry)

    def _base(self, bases: Node | None) -> Model | None:
        for entry in named(bases):
            name = string_of(entry)
            if name and (
                found := self.models.get((name.rpartition(".")[0] or self.label, name.rpartition(".")[2].lower()))
            ):
                return found
        return None

    def _delete_model(self, call: Node, arguments: dict[str, Node]) -> None:
        name = string_of(arguments.get("name"))
        model = self.models.get((self.label, name.lower())) if name else None
        if model is None or name is None:
            return
        if not model.unmanaged:
            for field_name, each in model.fields.items():
                if each.called == "ManyToManyField" and not each.field.through:
                    self._write(
                        f"DROP TABLE {quoted(each.field.table or f'{model.table}_{field_name}')}", self._place(call)
                    )
            self._write(f"DROP TABLE {self._table(model)}", self._place(call))
        if self.state:
            del self.models[(self.label, name.lower())]

    def _rename_model(self, call: Node, arguments: dict[str, Node]) -> None:
        old, new = string_of(arguments.get("old_name")), string_of(arguments.get("new_name"))
        model = self.models.get((self.label, old.lower())) if old else None
        if model is None or old is None or new is None:
            return
        if self.state:
            del self.models[(self.label, old.lower())]
            self.models[(self.label, new.lower())] = model
        self._rename_in_between(model, old.lower(), new.lower(), self._place(call))
        if not model.named:
            table = f"{self.label}_{new.lower()}"
            for field_name, each in model.fields.items():
                if each.called == "ManyToManyField" and not each.field.through and not each.field.table:
                    between, later = f"{model.table}_{field_name}", f"{table}_{field_name}"
                    self._write(f"ALTER TABLE {quoted(between)} RENAME TO {quoted(later)}", self._place(call))
                    column = f"ALTER TABLE {quoted(later)} RENAME COLUMN {quoted(old.lower() + '_id')} TO "
                    self._write(column + quoted(new.lower() + "_id"), self._place(call))
            self._write(f"ALTER TABLE {self._table(model)} RENAME TO {quoted(table)}", self._place(call))
            model.table = table

    def _rename_in_between(self, model: Model, old: str, new: str, place: Location) -> None:
        """Columns named after the model in the tables of ManyToManyFields that lead to it."""
        for other in self.models.values():
            for name, each in other.fields.items():
                if each.called != "ManyToManyField" or each.field.through or other is model:
                    continue
                if target_of(each.field, self.label, self.project.user) in ((self.label, old), (self.label, new)):
                    table = quoted(each.field.table or f"{other.table}_{name}")
                    column = f"RENAME COLUMN {quoted(f'{old}_id')} TO {quoted(f'{new}_id')}"
                    self._write(f"ALTER TABLE {table} {column}", place)
                    each.field.to = f"{self.label}.{new}"

    def _alter_model_table(self, call: Node, arguments: dict[str, Node]) -> None:
        model, table = self._model(arguments.get("name")), string_of(arguments.get("table"))
        if model is None:
            return
        name = string_of(arguments.get("name")) or ""
        new = (table or f"{self.label}_{name.lower()}").replace('"', "")
        if new != model.table and not model.unmanaged:
            self._write(f"ALTER TABLE {self._table(model)} RENAME TO {quoted(new)}", self._place(call))
            for field_name, each in model.fields.items():
                if each.called == "ManyToManyField" and not each.field.through and not each.field.table:
                    between = f"ALTER TABLE {quoted(f'{model.table}_{field_name}')} RENAME TO "
                    self._write(between + quoted(f"{new}_{field_name}"), self._place(call))
        model.table, model.named = new, table is not None

    def _add_field(self, call: Node, arguments: dict[str, Node]) -> None:
        model, name = self._model(arguments.get("model_name")), string_of(arguments.get("name"))
        node = arguments.get("field")
        if model is None or name is None or node is None or node.type != "call":
            self.script.unread.add(words_in(call), self._place(call))
            return
        each = StateField(name, node, self._place(call))
        if self.state:
            model.fields[name] = each
        if each.has_column and not model.unmanaged:
            self._write(f"ALTER TABLE {self._table(model)} ADD COLUMN {self._column(each)}", self._place(call))
            self._after(model, each)
        if not model.unmanaged:
            self._between(model, name, each)

    def _remove_field(self, call: Node, arguments: dict[str, Node]) -> None:
        model, name = self._model(arguments.get("model_name")), string_of(arguments.get("name"))
        each = model.fields.get(name) if model and name else None
        if model is None or each is None or name is None:
            self.script.unread.add(words_in(call))
            return
        if self.state:
            del model.fields[name]
        if each.has_column:
            self._write(f"ALTER TABLE {self._table(model)} DROP COLUMN {quoted(each.field.column)}", self._place(call))
        elif each.called == "ManyToManyField" and not each.field.through:
            self._write(f"DROP TABLE {quoted(each.field.table or f'{model.table}_{name}')}", self._place(call))

    def _rename_field(self, call: Node, arguments: dict[str, Node]) -> None:
        model = self._model(arguments.get("model_name"))
        old, new = string_of(arguments.get("old_name")), string_of(arguments.get("new_name"))
        each = model.fields.get(old) if model and old else None
        if model is None or each is None or old is None or new is None:
            self.script.unread.add(words_in(call))
            return
        renamed = each.renamed(new)
        if self.state:
            model.fields = {
                new if key == old else key: renamed if key == old else value for key, value in model.fields.items()
            }
        if each.has_column and renamed.field.column != each.field.column:
            sql = f"RENAME COLUMN {quoted(each.field.column)} TO {quoted(renamed.field.column)}"
            self._write(f"ALTER TABLE {self._table(model)} {sql}", self._place(call))
        elif each.called == "ManyToManyField" and not each.field.through and not each.field.table:
            between = f"ALTER TABLE {quoted(f'{model.table}_{old}')} RENAME TO {quoted(f'{model.table}_{new}')}"
            self._write(between, self._place(call))

    def _alter_field(self, call: Node, arguments: dict[str, Node]) -> None:
        model, name = self._model(arguments.get("model_name")), string_of(arguments.get("name"))
        node = arguments.get("field")
        before = model.fields.get(name) if model and name else None
        if model is None or name is None or node is None or node.type != "call" or before is None:
            self.script.unread.add(words_in(call), self._place(call))
            return
        each = StateField(name, node, self._place(call))
        if self.state:
            model.fields[name] = each
        if not (each.has_column and before.has_column) or model.unmanaged or not self.database:
            return
        table, place = self._table(model), self._place(call)
        if each.field.column != before.field.column:
            sql = f"RENAME COLUMN {quoted(before.field.column)} TO {quoted(each.field.column)}"
            self._write(f"ALTER TABLE {table} {sql}", place)
        column = f"ALTER TABLE {table} ALTER COLUMN {quoted(each.field.column)}"
        if (kind := self._type(each)) != self._type(before):
            self._write(f"{column} TYPE {kind}", place)
            self._retype(model, each, place)
        if each.field.nullable != before.field.nullable:
            self._write(f"{column} {'DROP' if each.field.nullable else 'SET'} NOT NULL", place)
        if rules_of(each) != rules_of(before):
            self._drop_rules(model, each.field.column)
            if each.field.key or each.field.unique:
                word = "PRIMARY KEY" if each.field.key else "UNIQUE"
                self._write(f"ALTER TABLE {table} ADD {word} ({quoted(each.field.column)})", place)
            if each.positive:
                self._write(f"ALTER TABLE {table} ADD CHECK ({quoted(each.field.column)} >= 0)", place)
            self._after(model, each)

    def _retype(self, model: Model, each: StateField, place: Location) -> None:
        """Columns that refer to a key change with it."""
        if not each.field.key:
            return
        for other in self.models.values():
            for referring in other.fields.values():
                if referring.is_relation and self._target(referring) is model:
                    column = f"ALTER COLUMN {quoted(referring.field.column)} TYPE {self._type(each)}"
                    self._write(f"ALTER TABLE {self._table(other)} {column}", place)

    def _alter_order_with_respect_to(self, call: Node, arguments: dict[str, Node]) -> None:
        model = self._model(arguments.get("name"))
        if model is not None and string_of(arguments.get("order_with_respect_to")):
            self._write(f'ALTER TABLE {self._table(model)} ADD COLUMN "_order" integer NOT NULL', self._place(call))
