"""Which statement created, and which last changed, each object that a series of migrations leaves behind."""

from __future__ import annotations

import msgspec

from checks.evidence.repository.facts import Declared
from checks.model import Location, Subject

_MAXIMUM_NAME_BYTES = 63
_PARTS_OF_TABLES = frozenset(["column", "constraint", "policy", "trigger", "statistics"])

Path = tuple[str, ...]


class ColumnDetail(msgspec.Struct):
    """As in DeclaredColumn."""

    type: str | None = None
    not_null: bool | None = False
    has_default: bool | None = False


class TableDetail(msgspec.Struct):
    """As in DeclaredTable."""

    complete: bool = True
    partition: bool = False
    foreign: bool = False


class ConstraintDetail(msgspec.Struct):
    """As in DeclaredConstraint; the columns are those that the ledger has for it."""

    kind: str
    references: Path = ()
    referenced_columns: Path = ()
    on_delete: str = ""


class IndexDetail(msgspec.Struct):
    """As in DeclaredIndex. `also` are columns besides its keys with which it goes away. `of_constraint`: a constraint made it."""

    unique: bool = False
    partial: bool = False
    method: str = "btree"
    also: Path = ()
    of_constraint: bool = False


class TriggerDetail(msgspec.Struct):
    """`function` is what it calls, without its schema."""

    function: str


class EnumDetail(msgspec.Struct):
    """The labels of an enumerated type, in their order; empty where they could not be read."""

    labels: tuple[str, ...]


Detail = ColumnDetail | TableDetail | ConstraintDetail | IndexDetail | TriggerDetail | EnumDetail


class Ledger:
    def __init__(self) -> None:
        self._created: dict[Subject, Location] = {}
        self._altered: dict[Subject, Location] = {}
        self._table_of: dict[Subject, Path] = {}
        self._columns_of: dict[Subject, Path] = {}
        self._details: dict[Subject, Detail] = {}

    def entries(self) -> tuple[Declared, ...]:
        created = [Declared(subject, location, "create") for subject, location in self._created.items()]
        return (*created, *(Declared(subject, location, "alter") for subject, location in self._altered.items()))

    def create(
        self,
        kind: str,
        path: Path,
        location: Location,
        *,
        of: Path | None = None,
        over: Path = (),
        detail: Detail | None = None,
    ) -> None:
        """`of` is the table that an index, sequence or constraint goes away with, `over` the columns of that table, each of
        which takes it along too. What exists already stays where it was created and what it was."""
        subject = Subject(kind, path)
        if subject in self._created and subject in self._details:
            return
        self._created.setdefault(subject, location)
        if detail is not None:
            self._details[subject] = detail
        if of is not None:
            self._table_of[subject] = of
            self._columns_of[subject] = over

    def alter(self, kind: str, path: Path, location: Location) -> None:
        self._altered[Subject(kind, path)] = location

    def detail(self, kind: str, path: Path) -> Detail | None:
        """What is known of an object besides its place, to be changed with the object."""
        return self._details.get(Subject(kind, path))

    def created(self, kind: str, path: Path) -> Location | None:
        return self._created.get(Subject(kind, path))

    def altered(self, kind: str, path: Path) -> Location | None:
        return self._altered.get(Subject(kind, path))

    def subjects(self) -> list[Subject]:
        """All that exists."""
        return list(self._created)

    def table_of(self, kind: str, path: Path) -> Path | None:
        """The table that an index, sequence or constraint goes with."""
        return self._table_of.get(Subject(kind, path))

    def columns_of(self, kind: str, path: Path) -> Path:
        """The columns of that table that it is over."""
        return self._columns_of.get(Subject(kind, path), ())

    def knows(self, kind: str, path: Path) -> bool:
        return Subject(kind, path) in self._created

    def drop(self, kind: str, path: Path) -> None:
        """Removes the object with what it takes along."""
        gone = Subject(kind, path)
        for known in (self._created, self._altered):
            for subject in [subject for subject in known if subject == gone or self._goes_with(subject, gone)]:
                del known[subject]
                self._details.pop(subject, None)

    def _goes_with(self, subject: Subject, gone: Subject) -> bool:
        if gone.kind == "schema":
            return subject.path[0] == gone.path[0]
        if gone.kind == "table":
            part = subject.kind in _PARTS_OF_TABLES and subject.path[:2] == gone.path
            return part or self._table_of.get(subject) == gone.path or self._refers_to(subject, gone.path)
        if gone.kind == "column":
            return self._table_of.get(subject) == gone.path[:2] and gone.path[2] in self._needed_by(subject)
        if gone.kind == "constraint":
            return subject.kind == "index" and subject.path == (gone.path[0], gone.path[2])
        return False

    def _needed_by(self, subject: Subject) -> Path:
        detail = self._details.get(subject)
        return self._columns_of[subject] + (detail.also if isinstance(detail, IndexDetail) else ())

    def _refers_to(self, subject: Subject, table: Path) -> bool:
        detail = self._details.get(subject)
        return isinstance(detail, ConstraintDetail) and detail.references == table

    def rename(self, kind: str, old: Path, new: Path, location: Location) -> None:
        """The object under its new path, and all that stands below it."""
        for known in (self._created, self._altered):
            for subject in list(known):
                if (moved := _moved(subject, kind, old, new)) is not None:
                    known[moved] = known.pop(subject)
                    if subject in self._details:
                        self._details[moved] = self._details.pop(subject)
        for detail in self._details.values():
            if kind == "table" and isinstance(detail, ConstraintDetail) and detail.references == old:
                detail.references = new
            elif kind == "column" and isinstance(detail, ConstraintDetail) and detail.references == old[:2]:
                detail.referenced_columns = tuple(
                    new[2] if column == old[2] else column for column in detail.referenced_columns
                )
        if kind == "constraint" and self.knows("index", (old[0], old[2])):
            # An index has the name of its constraint, and takes its new one.
            self.rename("index", (old[0], old[2]), (new[0], new[2]), location)
        elif kind == "table" and old[0] != new[0]:
            for subject in [entry for entry in self._created if entry.kind in ("index", "sequence")]:
                if self._table_of.get(subject) == old:
                    self.rename(subject.kind, subject.path, (new[0], *subject.path[1:]), location)
        for subject, table in list(self._table_of.items()):
            if kind == "table" and table == old:
                self._table_of[subject] = new
            elif kind == "column" and table == old[:2]:
                columns = self._columns_of[subject]
                self._columns_of[subject] = tuple(new[2] if column == old[2] else column for column in columns)
            if (moved := _moved(subject, kind, old, new)) is not None:
                self._table_of[moved] = self._table_of.pop(subject)
                self._columns_of[moved] = self._columns_of.pop(subject)
        self.alter(kind, new, location)

    def free_name(self, kind: str, prefix: Path, first: str, second: str, label: str) -> str:
        """The name that PostgreSQL chooses for an object without one (ChooseRelationName in its source)."""
        for number in range(1000):
            name = default_name(first, second, label + (str(number) if number else ""))
            if not self.knows(kind, (*prefix, name)) and not self.knows("index", (prefix[0], name)):
                return name
        return default_name(first, second, label)


def _moved(subject: Subject, kind: str, old: Path, new: Path) -> Subject | None:
    """The subject after a renaming; None if that does not touch it."""
    if subject.kind == kind and subject.path == old:
        return Subject(kind, new)
    if kind == "table" and subject.kind in _PARTS_OF_TABLES and subject.path[:2] == old:
        return Subject(subject.kind, (*new, *subject.path[2:]))
    return None


def default_name(first: str, second: str, label: str) -> str:
    """`first_second_label` cut to 63 bytes, the longer of the first two parts first (makeObjectName in its source)."""
    one, two = first.encode(), second.encode()
    room = _MAXIMUM_NAME_BYTES - len(label.encode()) - 1 - (1 if second else 0)
    while len(one) + len(two) > room:
        if len(one) > len(two):
            one = one[:-1]
        else:
            two = two[:-1]
    parts = [part.decode("utf-8", "ignore") for part in (one, two)]
    return "_".join([parts[0], *([parts[1]] if second else []), label])
