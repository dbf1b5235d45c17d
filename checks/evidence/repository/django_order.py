"""In which order Django's migrations run."""

from __future__ import annotations

from collections.abc import Iterable

from tree_sitter import Node

from checks.evidence.repository.django_columns import names_in
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.syntax import Source, field, named, source_of, text

Key = tuple[str, str]


class Migration:
    """A file, and what it says of those before it and those that it stands for."""

    def __init__(self, file: SourceFile, label: str) -> None:
        self.source = file
        self.label = label
        self.name = file.name.removesuffix(".py")
        self.before: list[Key] = []
        self.replaces: list[Key] = []
        source = source_of(file)
        for name, value in attributes(source):
            if name == "dependencies":
                self.before = _pairs(value)
            elif name == "replaces":
                self.replaces = _pairs(value)


def attributes(source: Source) -> Iterable[tuple[str, Node]]:
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


def without_squashed(migrations: dict[Key, Migration]) -> dict[Key, Migration]:
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


def ordered(migrations: dict[Key, Migration]) -> list[Migration]:
    """Each after those that it depends on."""
    done: dict[Key, Migration] = {}
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
