"""Django's migrations, read from their source and never run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tree_sitter import Node

from checks.evidence.repository.django_operations import Models
from checks.evidence.repository.django_order import Key, Migration, attributes, ordered, without_squashed
from checks.evidence.repository.django_state import State
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name
from checks.evidence.repository.orm.syntax import field, named, source_of, text
from checks.evidence.repository.python_values import words_in
from checks.evidence.repository.scripts import Gathering, Migrations

CANDIDATE = re.compile(r"^class Migration\(", re.MULTILINE)
_PLACE = re.compile(r"(?:^|(?P<application>.*?)/)migrations/(?P<name>[^/]+)\.py")
_MAXIMUM_DEPTH = 20
_CHANGES = re.compile(r"schema_editor\.\w+\(|\b(?:create|alter|drop)\s+(?:table|index|unique|type)\b", re.IGNORECASE)


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
    found = Gathering()
    for root, members in sorted(groups.items()):
        project = _Project(members, labels, user)
        project.run()
        paths = [migration.source.path for migration in project.ordered]
        applications = {migration.label for migration in project.ordered}
        found.add("django", root, paths, project.state.script, applications=applications)
    return found.finish()


class _Project:
    def __init__(self, files: list[SourceFile], labels: Mapping[str, str], user: Key | None) -> None:
        self.state = State(user)
        migrations: dict[Key, Migration] = {}
        for file in sorted(files, key=lambda file: file.path):
            place = _PLACE.fullmatch(file.path)
            folder = (place["application"] if place else None) or ""
            migration = Migration(file, labels.get(folder, folder.rpartition("/")[2]))
            migrations[(migration.label, migration.name)] = migration
        self.ordered = ordered(without_squashed(migrations))

    def run(self) -> None:
        for migration in self.ordered:
            source = source_of(migration.source)
            found = list(attributes(source))
            atomic = all(text(value) != "False" for name, value in found if name == "atomic")
            self.state.script.start(source.file.path, atomic)
            for name, value in found:
                if name == "operations":
                    _Operations(self.state, migration.label, source).run(value)


class _Operations(Models):
    """Applies the operations of one migration."""

    def run(self, operations: Node) -> None:
        self.depth += 1
        if self.depth > _MAXIMUM_DEPTH:
            self._unread(operations)
            return
        for entry in named(operations) if operations.type in ("list", "tuple") else []:
            if entry.type == "call":
                self._operation(entry)
            else:
                self._unread(entry)
        if operations.type not in ("list", "tuple"):
            self._unread(operations)
        self.depth -= 1

    def _operation(self, call: Node) -> None:
        name = call_name(call)
        self.script.steps.operation = name
        positional, keywords = arguments_of(call)
        arguments = dict(keywords)
        for key, value in zip(_POSITIONAL.get(name, ()), positional, strict=False):
            arguments[key] = value
        if name == "SeparateDatabaseAndState":
            self._separate(arguments)
            return
        if name in _POSITIONAL:
            getattr(self, f"_{_snake(name)}")(call, arguments)
        elif name not in _HARMLESS:
            self.script.unread.add(words_in(call), self.source.location(call))

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
