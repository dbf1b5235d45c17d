"""Django's migrations, read from their source and never run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tree_sitter import Node

from checks.evidence.repository.django_columns import (
    KEYS,
    StateField,
    has_pattern_index,
    names_in,
    target_of,
)
from checks.evidence.repository.facts import Declared, Lineage
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.ledger import ConstraintDetail, IndexDetail
from checks.evidence.repository.lineages import build_lineage
from checks.evidence.repository.migrations import Migrations, ScriptReader
from checks.evidence.repository.orm.django_fields import read_meta_index
from checks.evidence.repository.orm.query import quoted
from checks.evidence.repository.orm.sqlalchemy import arguments_of, call_name, string_of
from checks.evidence.repository.orm.syntax import Source, field, named, source_of, text
from checks.evidence.repository.python_values import Values, words_in
from checks.model import Location

CANDIDATE = re.compile(r"^class Migration\(", re.MULTILINE)
_PLACE = re.compile(r"(?:^|(?P<application>.*?)/)migrations/(?P<name>[^/]+)\.py")
_CHANGES = re.compile(r"schema_editor\.\w+\(|\b(?:create|alter|drop)\s+(?:table|index|unique|type)\b", re.IGNORECASE)

Key = tuple[str, str]


class Model:
    def __init__(self, table: str, named: bool) -> None:
        self.table = table
        self.named = named
        self.fields: dict[str, StateField] = {}
        self.unmanaged = False


def is_django_migration(file: SourceFile) -> bool:
    return bool(_PLACE.fullmatch(file.path) and CANDIDATE.search(file.text))


def read_django(
    files: Iterable[SourceFile], labels: Mapping[str, str], projects: Iterable[str], user: Key | None = None
) -> Migrations:
    """What the migrations of each project (a folder with manage.py) leave behind, in the order of their dependencies. `labels`
    are those that apps.py gives to folders; `user` is AUTH_USER_MODEL, application and model."""
    roots = sorted({path.rpartition("/")[0] for path in projects}, key=len, reverse=True)
    groups: dict[str, list[SourceFile]] = {}
    for file in files:
        root = next((each for each in roots if not each or file.path.startswith(each + "/")), "")
        groups.setdefault(root, []).append(file)
    lineages: list[Lineage] = []
    entries: list[Declared] = []
    unread: list[Location] = []
    for root, members in sorted(groups.items()):
        project = _Project(members, labels, user)
        project.run()
        script = project.script
        entries += script.ledger.entries()
        unread += script.unread.locations
        if script.ledger.subjects():
            paths = [migration.source.path for migration in project.ordered]
            applications = {migration.label for migration in project.ordered}
            lineages.append(build_lineage("django", root, paths, script.ledger, script.unread, applications))
    return Migrations(tuple(entries), tuple(unread), tuple(lineages))


class _Migration:
    def __init__(self, file: SourceFile, label: str) -> None:
        self.source = file
        self.label = label
        self.name = file.name.removesuffix(".py")
        self.before: list[Key] = []
        self.replaces: list[Key] = []
        source = source_of(file)
        for name, value in _attributes(source):
            if name == "dependencies":
                self.before = _pairs(value)
            elif name == "replaces":
                self.replaces = _pairs(value)


def _attributes(source: Source) -> Iterable[tuple[str, Node]]:
    for node in source.root.children:
        if node.type == "class_definition" and text(field(node, "name")) == "Migration":
            for statement in named(field(node, "body")):
                assignment = (
                    statement.children[0] if statement.type == "expression_statement" and statement.children else None
                )
                if assignment is not None and assignment.type in ("assignment", "augmented_assignment"):
                    value = field(assignment, "right")
                    if value is not None:
                        yield text(field(assignment, "left")), value


def _pairs(value: Node) -> list[Key]:
    found = []
    for entry in named(value):
        names = names_in(entry) if entry.type in ("tuple", "list") else []
        if len(names) == 2:
            found.append((names[0], names[1]))
    return found


class _Project:
    def __init__(self, files: list[SourceFile], labels: Mapping[str, str], user: Key | None) -> None:
        self.script = ScriptReader()
        self.user = (user[0].lower(), user[1].lower()) if user else None
        self.models: dict[Key, Model] = {}
        # Of the constraints and indexes that the models name.
        self.names: set[str] = set()
        migrations: dict[Key, _Migration] = {}
        for file in sorted(files, key=lambda file: file.path):
            place = _PLACE.fullmatch(file.path)
            folder = (place["application"] if place else None) or ""
            migration = _Migration(file, labels.get(folder, folder.rpartition("/")[2]))
            migrations[(migration.label, migration.name)] = migration
        self.ordered = _ordered(_without_squashed(migrations))

    def run(self) -> None:
        for migration in self.ordered:
            source = source_of(migration.source)
            for name, value in _attributes(source):
                if name == "operations":
                    _Operations(self, migration.label, source).run(value)


def _without_squashed(migrations: dict[Key, _Migration]) -> dict[Key, _Migration]:
    """Of a migration that stands for others, those others where all are there, else that one."""
    found = dict(migrations)
    for key, migration in migrations.items():
        replaced = [each for each in migration.replaces if each in migrations]
        if replaced and len(replaced) == len(migration.replaces):
            found.pop(key, None)
            for other in found.values():
                other.before = [last for each in other.before for last in ([replaced[-1]] if each == key else [each])]
        else:
            for each in replaced:
                found.pop(each, None)
    return found


def _ordered(migrations: dict[Key, _Migration]) -> list[_Migration]:
    """Each after those that it depends on."""
    done: dict[Key, _Migration] = {}
    visiting: set[Key] = set()
    firsts: dict[str, Key] = {}
    lasts: dict[str, Key] = {}
    for label, name in sorted(migrations):
        firsts.setdefault(label, (label, name))
        lasts[label] = (label, name)
    pending = sorted(migrations, reverse=True)
    while pending:
        key = pending[-1]
        before = [
            {"__first__": firsts, "__latest__": lasts}.get(name, {}).get(label, (label, name))
            for label, name in migrations[key].before
        ]
        waiting = [each for each in before if each in migrations and each not in done and each not in visiting]
        if key in done or not waiting:
            pending.pop()
            done.setdefault(key, migrations[key])
        else:
            visiting.add(key)
            pending += waiting
    return list(done.values())


class _Operations:
    """Applies the operations of one migration to the models and, as SQL, to the ledger. `database` and `state` tell which of
    the two."""

    def __init__(self, project: _Project, label: str, source: Source) -> None:
        self.project, self.script, self.models = project, project.script, project.models
        self.label, self.source = label, source
        self.values = Values(source.root)
        self.database = self.state = True

    def run(self, operations: Node) -> None:
        for entry in named(operations) if operations.type in ("list", "tuple") else []:
            if entry.type == "call":
                self._operation(entry)
            else:
                self._unread(entry)
        if operations.type not in ("list", "tuple"):
            self._unread(operations)

    def _unread(self, node: Node) -> None:
        self.script.unread.add(words_in(node), self.source.location(node))
        self.script.unread.complete = False

    def _operation(self, call: Node) -> None:
        name = call_name(call)
        positional, keywords = arguments_of(call)
        arguments = dict(keywords)
        for key, value in zip(_POSITIONAL.get(name, ()), positional, strict=False):
            arguments[key] = value
        if name == "SeparateDatabaseAndState":
            self._separate(arguments)
            return
        method = getattr(self, f"_{_snake(name)}", None)
        if method is None:
            if name not in _HARMLESS:
                self.script.unread.add(words_in(call), self.source.location(call))
            return
        method(call, arguments)

    def _separate(self, arguments: dict[str, Node]) -> None:
        before = (self.database, self.state)
        if (operations := arguments.get("database_operations")) is not None:
            self.state = False
            self.run(operations)
        self.database, self.state = before
        if (operations := arguments.get("state_operations")) is not None:
            self.database = False
            self.run(operations)
        self.database, self.state = before

    # Names

    def _model(self, node: Node | None) -> Model | None:
        name = string_of(node)
        return self.models.get((self.label, name.lower())) if name else None

    def _table(self, model: Model) -> str:
        return ".".join(quoted(part) for part in model.table.replace('"', "").split("."))

    def _write(self, sql: str, place: Location) -> None:
        if self.database:
            self.script.written([(sql, place)])

    def _place(self, node: Node) -> Location:
        return self.source.location(node)

    def _target(self, each: StateField) -> Model | None:
        key = target_of(each.field, self.label, self.project.user)
        return self.models.get(key) if key is not None else None

    def _target_table(self, each: StateField) -> str:
        """The table that a relation leads to, of an application that is installed too."""
        if (target := self._target(each)) is not None:
            return self._table(target)
        label, name = target_of(each.field, self.label, self.project.user) or ("auth", "user")
        return quoted(f"{label}_{name}")

    def _key_type(self, model: Model | None) -> tuple[str, str]:
        """The key's column and type."""
        for each in model.fields.values() if model else ():
            if each.field.key:
                if each.is_relation:
                    return each.field.column, self._key_type(self._target(each))[1]
                return each.field.column, each.type()
        return "id", '"?"'

    def _type(self, each: StateField) -> str:
        if not each.is_relation:
            return each.type()
        model = self._target(each)
        if each.field.to_field and model and each.field.to_field in model.fields:
            return model.fields[each.field.to_field].type()
        return self._key_type(model)[1]

    # Columns

    def _column(self, each: StateField) -> str:
        sql = f"{quoted(each.field.column)} {self._type(each)}"
        if each.called in KEYS:
            sql += " GENERATED BY DEFAULT AS IDENTITY"
        elif each.has_default:
            sql += " DEFAULT 'x'"
        sql += "" if each.field.nullable and not each.field.key else " NOT NULL"
        if each.field.key:
            sql += " PRIMARY KEY"
        elif each.field.unique:
            sql += " UNIQUE"
        if each.positive:
            sql += f" CHECK ({quoted(each.field.column)} >= 0)"
        return sql

    def _after(self, model: Model, each: StateField) -> None:
        """The foreign key and the indexes of a column."""
        table, column = self._table(model), quoted(each.field.column)
        if each.constrained:
            target = self._target(each)
            key = each.field.to_field or self._key_type(target)[0]
            self._write(
                f"ALTER TABLE {table} ADD FOREIGN KEY ({column}) REFERENCES {self._target_table(each)} ({quoted(key)})",
                each.location,
            )
        plain = each.field.indexed and not each.field.unique and not each.field.key
        if plain:
            self._write(f"CREATE INDEX ON {table} ({column})", each.location)
        if (plain or each.field.unique or each.field.key) and has_pattern_index(self._type(each)):
            self._write(f"CREATE INDEX ON {table} ({column} varchar_pattern_ops)", each.location)

    def _between(self, model: Model, name: str, each: StateField) -> None:
        """The table of a ManyToManyField."""
        if each.field.through or each.called != "ManyToManyField":
            return
        key = target_of(each.field, self.label, self.project.user)
        own = next((known[1] for known, other in self.models.items() if other is model), "")
        other = own if each.field.to == "self" else key[1] if key else "user"
        target = model if each.field.to == "self" else self.models.get(key) if key else None
        one, two = (f"from_{own}_id", f"to_{other}_id") if target is model else (f"{own}_id", f"{other}_id")
        table = each.field.table or f"{model.table}_{name}"
        path = ".".join(quoted(part) for part in table.replace('"', "").split("."))
        if key is None:
            # The user model's name is a setting.
            self.script.unread.add({table})
        column, kind = self._key_type(model)
        other_column, other_kind = self._key_type(target)
        references = self._table(target) if target else self._target_table(each)
        self._write(
            f'CREATE TABLE {path} ("id" "?" GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, '
            f"{quoted(one)} {kind} NOT NULL REFERENCES {self._table(model)} ({quoted(column)}), "
            f"{quoted(two)} {other_kind} NOT NULL REFERENCES {references} ({quoted(other_column)}), "
            f"UNIQUE ({quoted(one)}, {quoted(two)}))",
            each.location,
        )
        for side, side_kind in ((one, kind), (two, other_kind)):
            self._write(f"CREATE INDEX ON {path} ({quoted(side)})", each.location)
            if has_pattern_index(side_kind):
                self._write(f"CREATE INDEX ON {path} ({quoted(side)} varchar_pattern_ops)", each.location)

    # Models

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
        for group in _groups(options.get("unique_together")):
            self._unique(model, group, self._place(call))
        for group in _groups(options.get("index_together")):
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

    # Fields

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
        if _rules(each) != _rules(before):
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

    # Rules

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
        groups = _groups(arguments.get(option))
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

    def _alter_order_with_respect_to(self, call: Node, arguments: dict[str, Node]) -> None:
        model = self._model(arguments.get("name"))
        if model is not None and string_of(arguments.get("order_with_respect_to")):
            self._write(f'ALTER TABLE {self._table(model)} ADD COLUMN "_order" integer NOT NULL', self._place(call))

    # Code

    def _run_sql(self, _: Node, arguments: dict[str, Node]) -> None:
        sql = arguments.get("sql")
        parts = named(sql) if sql is not None and sql.type in ("list", "tuple") else [sql] if sql is not None else []
        for part in parts:
            written = self.values.string(part)
            if written is not None:
                self.script.script(written.replace("\\n", "\n"), self.source.file.path, part.start_point.row + 1)
            elif _CHANGES.search(text(part)) or part.type in ("identifier", "attribute", "call"):
                self.script.unread.add(words_in(part), self._place(part))
        if (operations := arguments.get("state_operations")) is not None:
            database, self.database = self.database, False
            self.run(operations)
            self.database = database

    def _run_python(self, _: Node, arguments: dict[str, Node]) -> None:
        code = text(arguments.get("code"))
        for node in self.source.root.children:
            if node.type == "function_definition" and text(field(node, "name")) == code and _CHANGES.search(text(node)):
                self.script.unread.add(words_in(node), self._place(node))


def _rules(each: StateField) -> tuple[object, ...]:
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


def _groups(node: Node | None) -> list[list[str]]:
    """`unique_together` and the like: a set of tuples, or one tuple."""
    if node is None or node.type == "none":
        return []
    if node.type == "call":
        node = next(iter(arguments_of(node)[0]), None)
    entries = named(node)
    if entries and all(entry.type == "string" for entry in entries):
        return [names_in(node)]
    return [names for entry in entries if (names := names_in(entry))]


def _snake(name: str) -> str:
    """The method for an operation: `RunSQL` is `run_sql`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


_POSITIONAL = {
    "CreateModel": ("name", "fields", "options", "bases"),
    "DeleteModel": ("name",),
    "RenameModel": ("old_name", "new_name"),
    "AlterModelTable": ("name", "table"),
    "AddField": ("model_name", "name", "field"),
    "AlterField": ("model_name", "name", "field"),
    "RemoveField": ("model_name", "name"),
    "RenameField": ("model_name", "old_name", "new_name"),
    "AddIndex": ("model_name", "index"),
    "AddIndexConcurrently": ("model_name", "index"),
    "AddConstraint": ("model_name", "constraint"),
    "RemoveIndex": ("model_name", "name"),
    "RemoveIndexConcurrently": ("model_name", "name"),
    "RemoveConstraint": ("model_name", "name"),
    "RenameIndex": ("model_name", "new_name", "old_name"),
    "AlterUniqueTogether": ("name", "unique_together"),
    "AlterIndexTogether": ("name", "index_together"),
    "AlterOrderWithRespectTo": ("name", "order_with_respect_to"),
    "RunSQL": ("sql", "reverse_sql", "state_operations"),
    "RunPython": ("code",),
    "SeparateDatabaseAndState": ("database_operations", "state_operations"),
}
_HARMLESS = frozenset(
    "AlterModelOptions AlterModelManagers AlterModelTableComment ValidateConstraint CreateExtension VectorExtension "
    "HalfVectorExtension TrigramExtension UnaccentExtension BtreeGinExtension BtreeGistExtension CITextExtension HStoreExtension "
    "CryptoExtension BloomExtension".split()
)
