"""Tables that Django models declare, read from their source."""

from __future__ import annotations

import re

import msgspec
from tree_sitter import Node

from checks.evidence.repository.facts import Model, ModelColumn, ModelIndex, ModelRelation
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.django_classes import Class, read_classes, steps_of
from checks.evidence.repository.orm.django_fields import Field
from checks.evidence.repository.orm.syntax import Source
from checks.model import Location

CANDIDATE = re.compile(r"\bfrom django\b|\bimport django\b|models\.\w*Field\(")
SETTINGS = re.compile(r"^[ \t]*AUTH_USER_MODEL\s*=\s*[\"'](\w+)\.(\w+)[\"']", re.MULTILINE)
KEY = re.compile(r"^[ \t]*DEFAULT_AUTO_FIELD\s*=\s*[\"'][\w.]*?(\w+)[\"']", re.MULTILINE)
_LABEL = re.compile(r"^[ \t]+(?:label|name)\s*=\s*[\"']([\w.]+)[\"']", re.MULTILINE)
_OWN_LABEL = re.compile(r"^[ \t]+label\s*=\s*[\"'](\w+)[\"']", re.MULTILINE)

_MAXIMUM_BASES = 30
_PLAIN_BASES = frozenset(["Model", "object", "ABC", "Generic", "Protocol"])
_PLACE = Location("", 1)
_MANAGERS = frozenset(["Manager", "UserManager", "BaseUserManager", "QuerySet"])


def _contributed(*fields: tuple[str, str, int | None, bool, bool]) -> list[Field]:
    return [
        Field(name, name, kind, _PLACE, length=length, nullable=nullable, unique=unique)
        for name, kind, length, nullable, unique in fields
    ]


_BASE_USER = _contributed(
    ("password", "CharField", 128, False, False), ("last_login", "DateTimeField", None, True, False)
)
_PERMISSIONS = _contributed(("is_superuser", "BooleanField", None, False, False))
_USER = _contributed(
    ("username", "CharField", 150, False, True),
    ("first_name", "CharField", 150, False, False),
    ("last_name", "CharField", 150, False, False),
    ("email", "EmailField", 254, False, False),
    ("is_staff", "BooleanField", None, False, False),
    ("is_active", "BooleanField", None, False, False),
    ("date_joined", "DateTimeField", None, False, False),
)
_TIMES = _contributed(
    ("created", "DateTimeField", None, False, False), ("modified", "DateTimeField", None, False, False)
)
# Abstract bases of Django and of libraries that everybody uses, with their columns.
_KNOWN_BASES: dict[str, list[Field]] = {
    "AbstractBaseUser": _BASE_USER,
    "PermissionsMixin": _PERMISSIONS,
    "AbstractUser": [*_BASE_USER, *_PERMISSIONS, *_USER],
    "TimeStampedModel": _TIMES,
}


class Manager(msgspec.Struct):
    """What a manager adds to every query: the steps of its get_queryset(), all of them `read` or not; and the methods of
    Django's that it has its own of. `hides`: see Class."""

    steps: list[tuple[str, Node]] = []
    read: bool = True
    overridden: frozenset[str] = frozenset()
    hides: tuple[str, ...] = ()


class Declared(msgspec.Struct):
    """A model with what only its own calls need: `ordering` of Meta, its managers by name, and whether it `deletes` in its own
    way, and which fields that sets if it keeps the row."""

    model: Model
    label: str
    fields: list[Field]
    ordering: tuple[str, ...] = ()
    managers: dict[str, Manager] = {}
    deletes: bool = False
    hides: tuple[str, ...] = ()


class Project:
    """The applications of a repository, as their files are read."""

    def __init__(self) -> None:
        self.classes: list[Class] = []
        self.labels: dict[str, str] = {}
        self.user: tuple[str, str] | None = None
        self.key = "BigAutoField"

    def read(self, file: SourceFile, source: Source | None) -> None:
        """Takes the classes of a file, what apps.py calls the application, and who the user is."""
        if file.name == "apps.py":
            own, name = _OWN_LABEL.search(file.text), _LABEL.search(file.text)
            label = own[1] if own else name[1].rpartition(".")[2] if name else None
            if label:
                self.labels[file.path.rpartition("/")[0]] = label
        if found := SETTINGS.search(file.text):
            self.user = (found[1], found[2])
        if found := KEY.search(file.text):
            self.key = found[1]
        if source is not None:
            self.classes += read_classes(source)

    def finish(self) -> list[Declared]:
        """The models, with the columns of their bases, and the tables between many and many."""
        for entry in self.classes:
            entry.label = self._label(entry)
        return _Builder(self).build()

    def _label(self, entry: Class) -> str:
        if entry.label:
            return entry.label
        folder = entry.path.rpartition("/")[0]
        while folder and folder not in self.labels:
            last = folder.rpartition("/")[2]
            if last == "models":
                folder = folder.rpartition("/")[0]
                continue
            parents = [known for known in self.labels if folder.startswith(known + "/")]
            if not parents or "/models/" not in f"{entry.path}/":
                break
            folder = max(parents, key=len)
        return self.labels.get(folder, folder.rpartition("/")[2])


class _Builder:
    def __init__(self, project: Project) -> None:
        self.project = project
        self.by_name: dict[str, list[Class]] = {}
        for entry in project.classes:
            self.by_name.setdefault(entry.name, []).append(entry)
        self.by_lower: dict[str, list[Class]] = {}
        for entry in project.classes:
            self.by_lower.setdefault(entry.name.lower(), []).append(entry)
        self.lineages = {id(entry): self._lineage(entry) for entry in project.classes}

    def build(self) -> list[Declared]:
        found: list[Declared] = []
        for entry in self.project.classes:
            lineage, known, complete = self.lineages[id(entry)]
            if entry.abstract or not self._is_model(lineage, known):
                continue
            found.append(self._model(entry, lineage, known, complete))
            found += self._between(entry, lineage)
        return found

    def _lineage(self, entry: Class) -> tuple[list[Class], list[str], bool]:
        """The class and those that it inherits from, nearest first; known bases of libraries; whether all were found."""
        found, known, complete = [entry], [], True
        pending = list(entry.bases)
        while pending:
            name = pending.pop(0)
            near = self.nearest(name, entry.path)
            if near is None or len(found) > _MAXIMUM_BASES:
                if name in _KNOWN_BASES:
                    known.append(name)
                complete &= name in _PLAIN_BASES or name in _KNOWN_BASES or name.endswith("Mixin")
            elif near not in found:
                found.append(near)
                pending += near.bases
        return found, known, complete

    def nearest(self, name: str, path: str) -> Class | None:
        """The class of that name in the same file, else the only one, else the one in the nearest folder."""
        candidates = self.by_name.get(name, [])
        own = [entry for entry in candidates if entry.path == path]
        if own or len(candidates) < 2:
            return next(iter(own or candidates), None)
        ranked = sorted(candidates, key=lambda entry: (-_shared(entry.path, path), entry.path))
        return ranked[0] if _shared(ranked[0].path, path) > _shared(ranked[1].path, path) else None

    def _is_model(self, lineage: list[Class], known: list[str]) -> bool:
        return any(entry.of_django for entry in lineage) or bool(known)

    def _table(self, entry: Class) -> str:
        lineage = self.lineages[id(entry)][0]
        if entry.proxy:
            entry = next((part for part in lineage[1:] if not part.abstract and not part.proxy), entry)
        return entry.table or f"{entry.label}_{entry.name}".lower()

    def _fields(self, lineage: list[Class], known: list[str]) -> dict[str, Field]:
        fields: dict[str, Field] = {}
        for base in reversed(known):
            fields |= {each.name: each for each in _KNOWN_BASES[base]}
        for part in reversed(lineage):
            fields |= {each.name: each for each in part.fields}
        return fields

    def _model(self, entry: Class, lineage: list[Class], known: list[str], complete: bool) -> Declared:
        parents = [part for part in lineage[1:] if not part.abstract and self._is_model(*self.lineages[id(part)][:2])]
        columns: dict[str, ModelColumn] = {}
        relations: list[ModelRelation] = []
        if parents and not entry.proxy:
            # Its rows are parted over its own table and its parents'.
            inherited = {id(part) for parent in parents for part in self.lineages[id(parent)][0]}
            lineage, complete = [part for part in lineage if id(part) not in inherited], False
            name = f"{parents[0].name.lower()}_ptr"
            columns[name] = ModelColumn(
                f"{name}_id", name, entry.location, "OneToOneField", nullable=False, primary_key=True,
                references=(self._table(parents[0]), "id"),
            )  # fmt: skip
        fields = self._fields(lineage, known)
        indexes = [self._index(index, fields) for part in lineage for index in part.indexes]
        if not any(each.key for each in fields.values()) and not columns:
            columns["id"] = ModelColumn("id", "id", entry.location, self.project.key, nullable=False, primary_key=True)
        for each in fields.values():
            if each.kind == "ManyToManyField":
                target = self._target(each, entry)
                relations.append(
                    ModelRelation(each.name, target.name if target else each.to.rpartition(".")[2], many=True)
                )
                continue
            columns[each.name] = self._column(each, entry)
            if each.to:
                target = self._target(each, entry)
                name = target.name if target else each.to.rpartition(".")[2]
                relations.append(ModelRelation(each.name, name, (each.column,), columns[each.name].references[-1:]))
            if each.indexed and not each.unique:
                indexes.append(ModelIndex((each.column,)))
        table = self._table(entry)
        schema, _, bare = table.rpartition(".")
        model = Model(
            entry.name, "django", bare, entry.location, schema or None, tuple(columns.values()), tuple(relations),
            tuple(indexes), complete,
        )  # fmt: skip
        whole = self.lineages[id(entry)][0]
        managers = {name: kind for part in reversed(whole) for name, kind in part.managers.items()}
        managers = {name: kind for name, kind in managers.items() if self._is_manager(kind, entry.path)}
        # The first base that orders its rows is the one whose Meta is taken, where the class has none.
        ordering = next((part.ordering for part in whole if part.ordering), ())
        known_managers = {"objects": Manager()} | {
            name: self._manager(kind, entry.path) for name, kind in managers.items()
        }
        plain = {"_default_manager": Manager(), "_base_manager": Manager()}
        deletes = any("delete" in part.methods for part in whole)
        hides = next((part.hides for part in whole if "delete" in part.methods), ())
        return Declared(model, entry.label, list(fields.values()), ordering, plain | known_managers, deletes, hides)

    def _is_manager(self, name: str, path: str) -> bool:
        near = self.nearest(name, path)
        if near is None:
            return name.endswith(("Manager", "QuerySet"))
        return any(base.endswith(("Manager", "QuerySet")) for part in self.lineages[id(near)][0] for base in part.bases)

    def _manager(self, name: str, path: str) -> Manager:
        """What a manager of that class adds."""
        if name in ("Manager", "UserManager", "BaseUserManager", "QuerySet"):
            return Manager()
        near = self.nearest(name, path)
        if near is None:
            return Manager(read=False)
        lineage, _, complete = self.lineages[id(near)]
        known = {base for part in lineage for base in part.bases}
        complete |= bool(known & _MANAGERS)
        found = Manager(read=complete)
        parts = list(lineage)
        for part in lineage:
            if part.queryset is None:
                continue
            read = steps_of(part.queryset)
            if read is None:
                found.read = False
                break
            root, steps = read
            found.steps = [*steps, *found.steps]
            other = self.nearest(root, part.path)
            if other is not None:
                parts += self.lineages[id(other)][0]
                found.read &= not any(each.queryset for each in self.lineages[id(other)][0])
            if root != "super":
                break
        found.overridden = frozenset(method for part in parts for method in part.methods)
        found.hides = next((part.hides for part in parts if "delete" in part.methods), ())
        return found

    def _column(self, each: Field, entry: Class) -> ModelColumn:
        references: tuple[str, ...] = ()
        if each.to:
            target = self._target(each, entry)
            if target is not None:
                fields = self._fields(*self.lineages[id(target)][:2])
                key = each.to_field or next((other.name for other in fields.values() if other.key), "id")
                known = fields.get(key)
                references = (*self._table(target).split("."), known.column if known else key)
            elif each.to in ("User", "auth.User") or "AUTH_USER_MODEL" in each.to:
                references = ("auth_user", "id")
        return ModelColumn(
            each.column,
            each.name,
            each.location if each.location is not _PLACE else entry.location,
            each.kind,
            each.length,
            each.dimensions,
            each.nullable and not each.key,
            each.key,
            each.unique,
            each.values or self._choices(each.choices, entry),
            references,
            each.on_update,
        )

    def _choices(self, name: str, entry: Class) -> tuple[str, ...]:
        """The values of `Status.choices`, of a list in the class or of a class elsewhere."""
        if not name:
            return ()
        path = name.removesuffix(".choices").split(".")
        for part in self.lineages[id(entry)][0]:
            if path[-1] in part.choices:
                return part.choices[path[-1]]
        near = self.nearest(path[-1], entry.path)
        if near is not None:
            return near.choices.get("", ())
        holder = self.nearest(path[-2], entry.path) if len(path) > 1 else None
        return holder.choices.get(path[-1], ()) if holder else ()

    def _target(self, each: Field, entry: Class) -> Class | None:
        """The model that a relation leads to."""
        to = each.to
        if to == "self":
            return entry
        if "AUTH_USER_MODEL" in to or "get_user_model" in to:
            if self.project.user is None:
                return None
            to = ".".join(self.project.user)
        label, _, name = to.rpartition(".")
        # Django does not mind the case of "app.Model".
        spelled = self.by_lower.get(name.lower(), []) if label else self.by_name.get(name, [])
        candidates = [other for other in spelled if not other.abstract and (not label or other.label == label)]
        if label and not candidates:
            return self.nearest(name, entry.path)
        return candidates[0] if len(candidates) == 1 else self.nearest(name, entry.path)

    def _index(self, index: ModelIndex, fields: dict[str, Field]) -> ModelIndex:
        names = [name.removeprefix("-") for name in index.columns]
        columns = tuple(fields[name].column if name in fields else name for name in names)
        return msgspec.structs.replace(index, columns=columns)

    def _between(self, entry: Class, lineage: list[Class]) -> list[Declared]:
        """The tables that ManyToManyField makes where no model is named for it."""
        if entry.proxy:
            return []
        found = []
        inherited = {id(part) for base in lineage[1:] if not base.abstract for part in self.lineages[id(base)][0]}
        parts = [part for part in lineage if id(part) not in inherited]
        for each in {each.name: each for part in reversed(parts) for each in part.fields}.values():
            target = self._target(each, entry) if each.kind == "ManyToManyField" and not each.through else None
            if target is None:
                continue
            one, other = entry.name.lower(), target.name.lower()
            if entry is target:
                one, other = f"from_{one}", f"to_{other}"
            place = each.location
            columns = [ModelColumn("id", "id", place, self.project.key, nullable=False, primary_key=True)]
            for name, side in ((one, entry), (other, target)):
                key = next((k.column for k in self._fields(*self.lineages[id(side)][:2]).values() if k.key), "id")
                references = (*self._table(side).split("."), key)
                columns.append(
                    ModelColumn(f"{name}_id", name, place, "ForeignKey", nullable=False, references=references)
                )
            table = each.table or f"{self._table(entry)}_{each.name}"
            schema, _, bare = table.rpartition(".")
            unique = ModelIndex((f"{one}_id", f"{other}_id"), unique=True)
            name = f"{entry.name}.{each.name}"
            model = Model(name, "django", bare, place, schema or None, tuple(columns), indexes=(unique,))
            found.append(Declared(model, entry.label, []))
        return found


def _shared(one: str, other: str) -> int:
    count = 0
    for left, right in zip(one.split("/"), other.split("/"), strict=False):
        if left != right:
            break
        count += 1
    return count
