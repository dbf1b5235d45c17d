"""What a series of migrations leaves behind, as facts."""

from __future__ import annotations

from collections.abc import Iterable

from checks.evidence.repository.facts import (
    Declared,
    DeclaredColumn,
    DeclaredConstraint,
    DeclaredIndex,
    DeclaredTable,
    Lineage,
)
from checks.evidence.repository.ledger import (
    ColumnDetail,
    ConstraintDetail,
    EnumDetail,
    IndexDetail,
    Ledger,
    Path,
    TableDetail,
)
from checks.model import Location, Subject

_OBJECTS = frozenset(["view", "function", "trigger", "policy", "type"])
MAXIMUM_UNREAD = 200
MAXIMUM_UNCERTAIN = 20_000


class Unread:
    """What of a series could not be read, the names that stand there, and the kinds of objects that it may have made any of."""

    def __init__(self) -> None:
        self.locations: list[Location] = []
        self.names: set[str] = set()
        self.kinds: set[str] = set()
        self.complete = True

    def add(self, names: Iterable[str], location: Location | None = None) -> None:
        """Of whatever bears one of the names, nothing follows from here on."""
        if location is not None:
            self.locations.append(location)
        if len(self.names) < MAXIMUM_UNCERTAIN:
            self.names.update(names)
        else:
            self.complete = False


def build_lineage(
    tool: str, folder: str, files: list[str], ledger: Ledger, unread: Unread, applications: Iterable[str] = ()
) -> Lineage:
    parts = _Parts(ledger)
    objects = (
        Declared(subject, ledger.created(subject.kind, subject.path) or Location(folder, 1))
        for subject in parts.subjects
        if subject.kind in _OBJECTS
    )
    return Lineage(
        tool,
        folder,
        len(files),
        tuple(parts.table(subject.path) for subject in parts.subjects if subject.kind == "table"),
        tuple(sorted(objects, key=lambda entry: (entry.subject.kind, entry.subject.path))),
        tuple(sorted(set(unread.locations)))[:MAXIMUM_UNREAD],
        tuple(sorted(unread.names)),
        tuple(sorted(unread.kinds)),
        unread.complete,
        files[-1] if files else folder,
        tuple(sorted(set(applications))),
    )


class _Parts:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.subjects = ledger.subjects()
        self.of: dict[Path, list[Subject]] = {}
        self.enums = self._enums()
        for subject in self.subjects:
            if subject.kind in ("column", "constraint"):
                self.of.setdefault(subject.path[:2], []).append(subject)
            elif subject.kind == "index" and (table := ledger.table_of("index", subject.path)):
                self.of.setdefault(table, []).append(subject)

    def _enums(self) -> dict[str, tuple[tuple[str, ...], Location | None]]:
        """The labels of enumerated types by their names, which one schema only has, and where they come from."""
        found: dict[str, tuple[tuple[str, ...], Location | None]] = {}
        for subject in self.subjects:
            detail = self.ledger.detail("type", subject.path) if subject.kind == "type" else None
            if isinstance(detail, EnumDetail):
                place = self.ledger.altered("type", subject.path) or self.ledger.created("type", subject.path)
                known = detail.labels if subject.path[-1] not in found else ()
                found[subject.path[-1]] = (known, place)
        return found

    def table(self, path: Path) -> DeclaredTable:
        ledger = self.ledger
        detail = ledger.detail("table", path)
        if not isinstance(detail, TableDetail):
            detail = TableDetail(complete=False)
        columns: list[DeclaredColumn] = []
        constraints: list[DeclaredConstraint] = []
        indexes: list[DeclaredIndex] = []
        for subject in self.of.get(path, []):
            place = ledger.created(subject.kind, subject.path)
            known = ledger.detail(subject.kind, subject.path)
            name, over = subject.path[-1], ledger.columns_of(subject.kind, subject.path)
            if place is None:
                continue
            if isinstance(known, ColumnDetail):
                changed = ledger.altered("column", subject.path)
                labels, labeled = self.enums.get((known.type or "").strip('"'), ((), None))
                columns.append(
                    DeclaredColumn(name, place, known.type, known.not_null, known.has_default, changed, labels, labeled)
                )
            elif isinstance(known, ConstraintDetail):
                constraints.append(
                    DeclaredConstraint(
                        name, known.kind, place, over, known.references, known.referenced_columns, known.on_delete
                    )
                )
            elif isinstance(known, IndexDetail) and not known.of_constraint:
                indexes.append(DeclaredIndex(name, place, over, known.unique, known.partial, known.method))
        return DeclaredTable(
            path[0],
            path[1],
            ledger.created("table", path) or Location("", 1),
            tuple(columns),
            tuple(constraints),
            tuple(indexes),
            detail.complete,
            detail.partition,
            detail.foreign,
            ledger.altered("table", path),
        )
