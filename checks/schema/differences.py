"""What is different between a table and what its migrations declare of it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Column, Constraint, Index, Table
from checks.evidence.repository.facts import DeclaredColumn, DeclaredConstraint, DeclaredIndex, DeclaredTable
from checks.evidence.repository.type_names import comparable
from checks.model import Location, Subject
from checks.schema.lineages import Fit, Path

# The catalog keeps no more of them.
_MAXIMUM_LABELS = 200
ONLY_LIVE, ONLY_DECLARED, DIFFERS = "only_in_database", "only_in_migrations", "differs"


class Difference(msgspec.Struct, frozen=True):
    """`side`: only_in_database, only_in_migrations, differs. `what` names it for people, the same for every lineage;
    `kind` is column, key, unique, foreign_key, check, exclusion, index, trigger, policy, table, view, function or type."""

    side: str
    kind: str
    what: str
    location: Location | None = None


def table_differences(catalog: Catalog, table: Table, declared: DeclaredTable, fit: Fit) -> Iterator[Difference]:
    """All of them, but for what a statement that could not be read may have done."""
    yield from _columns(catalog, table, declared, fit)
    if declared.complete and fit.is_certain(table.name):
        yield from _Rules(catalog, table, declared, fit).differences()


def _columns(catalog: Catalog, table: Table, declared: DeclaredTable, fit: Fit) -> Iterator[Difference]:
    live = {column.name: column for column in catalog.columns_of(table.oid).values()}
    # Tools write down keys without what numbers them.
    keys = {name for entry in declared.constraints if entry.kind == "primary_key" for name in entry.columns}
    for column in declared.columns:
        if not fit.is_certain(column.name):
            continue
        place = column.changed or column.location
        found = live.get(column.name)
        if found is None:
            yield Difference(ONLY_DECLARED, "column", f"column {column.name}", column.location)
            continue
        if column.type is not None and not _same_type(column.type, found.type, found.base_type):
            what = f"column {column.name} is {found.type}, declared {column.type}"
            yield Difference(DIFFERS, "column", what, place)
        if not (found.name in keys or table.inherits) and (entry := default_difference(column, found, place)):
            yield entry
        if column.not_null is not None and column.not_null != found.not_null:
            what = f"column {column.name} " + ("is NOT NULL" if found.not_null else "allows NULL") + ", declared "
            yield Difference(DIFFERS, "column", what + ("NOT NULL" if column.not_null else "to allow it"), place)
    known = {column.name for column in declared.columns}
    for name in live.keys() - known if declared.complete else ():
        if fit.is_certain(name) and not table.inherits:
            yield Difference(ONLY_LIVE, "column", f"column {name}", declared.location)


def default_difference(column: DeclaredColumn, found: Column, place: Location) -> Difference | None:
    """Whether only one of the two has a default; a sequence or an identity counts as one."""
    has = (found.default != "none" and not found.default_says_null) or bool(found.identity or found.generated)
    if column.has_default is None or column.has_default == has:
        return None
    words = ("has a default", "none") if has else ("has no default", "one")
    return Difference(DIFFERS, "column", f"column {column.name} {words[0]}, declared {words[1]}", place)


def label_differences(catalog: Catalog, fits: list[Fit]) -> Iterator[tuple[Subject, list[Difference], Fit]]:
    """By enumerated type what labels it has here and what its migrations say, where no lineage says the same as the database.
    The order of labels is left aside."""
    live: dict[Path, Column] = {}
    told: dict[Path, list[tuple[Fit, DeclaredColumn]]] = {}
    for fit in fits:
        for path, declared in fit.declared.items():
            table = next((each for each in catalog.tables_named.get(path[1], ()) if each.schema == path[0]), None)
            columns = {column.name: column for column in catalog.columns_of(table.oid).values()} if table else {}
            for column in declared.columns:
                found = columns.get(column.name)
                if found is None or not (found.labels and column.labels) or len(found.labels) >= _MAXIMUM_LABELS:
                    continue
                if fit.is_certain(column.name, found.base_type, kinds=("type",)) and (
                    column.type is not None and _same_type(column.type, found.type, found.base_type)
                ):
                    live[path[0], found.base_type] = found
                    told.setdefault((path[0], found.base_type), []).append((fit, column))
    for key, entries in told.items():
        has = set(live[key].labels)
        if any(set(column.labels) == has for _, column in entries):
            continue
        fit, column = entries[0]
        differences = []
        if missing := [label for label in column.labels if label not in has]:
            differences.append(Difference(ONLY_DECLARED, "type", f"value {', '.join(missing)}", column.labeled))
        if added := [label for label in live[key].labels if label not in column.labels]:
            differences.append(Difference(ONLY_LIVE, "type", f"value {', '.join(added)}", column.labeled))
        yield Subject("type", key), differences, fit


def _same_type(declared: str, live: str, base: str) -> bool:
    spelled = comparable(live)
    # A domain of the lineage is compared by its name, the type that holds its values by that.
    return declared in (spelled, base) or declared.strip('"').lower() == spelled.strip('"').lower()


class _Rules:
    """Keys, constraints and indexes. What has another name but says the same is the same."""

    def __init__(self, catalog: Catalog, table: Table, declared: DeclaredTable, fit: Fit) -> None:
        self.catalog, self.table, self.declared, self.fit = catalog, table, declared, fit
        self.constraints = [entry for entry in catalog.constraints_of(table.oid) if entry.parent is None]
        self.indexes = [
            entry for entry in catalog.indexes_of(table.oid) if entry.constraint is None and entry.extension is None
        ]

    def differences(self) -> Iterator[Difference]:
        yield from self._keys()
        for kind in ("foreign_key", "check", "exclusion"):
            yield from self._of_kind(kind)
        yield from self._unique()
        yield from self._plain()

    def _names(self, numbers: tuple[int, ...]) -> tuple[str, ...]:
        columns = self.catalog.columns_of(self.table.oid)
        return tuple(columns[number].name if number in columns else "" for number in numbers)

    def _certain(self, name: str) -> bool:
        return self.fit.is_certain(name)

    def _keys(self) -> Iterator[Difference]:
        live = [entry for entry in self.constraints if entry.kind == "primary_key"]
        declared = [entry for entry in self.declared.constraints if entry.kind == "primary_key"]
        for key in declared:
            if not live and self._certain(key.name):
                yield Difference(ONLY_DECLARED, "key", f"primary key ({', '.join(key.columns)})", key.location)
            elif live and set(self._names(live[0].columns)) != set(key.columns):
                columns = ", ".join(self._names(live[0].columns))
                what = f"the primary key is ({columns}), declared ({', '.join(key.columns)})"
                yield Difference(DIFFERS, "key", what, key.location)
        if live and not declared:
            columns = ", ".join(self._names(live[0].columns))
            yield Difference(ONLY_LIVE, "key", f"primary key ({columns})", self.declared.location)

    def _of_kind(self, kind: str) -> Iterator[Difference]:
        live = [entry for entry in self.constraints if entry.kind == kind]
        declared = [entry for entry in self.declared.constraints if entry.kind == kind]
        pairs: list[tuple[DeclaredConstraint, Constraint]] = []
        for same in (_same_name, self._same_meaning):
            for entry in list(declared):
                match = next((other for other in live if same(entry, other)), None)
                if match is not None:
                    pairs.append((entry, match))
                    declared.remove(entry)
                    live.remove(match)
        words = kind.replace("_", " ")
        for entry in declared:
            if self._certain(entry.name):
                yield Difference(ONLY_DECLARED, kind, f"{words} {entry.name}", entry.location)
        for other in live:
            if self.fit.is_certain(other.name, kinds=("constraint",)):
                yield Difference(ONLY_LIVE, kind, f"{words} {other.name}", self.declared.location)
        for entry, other in pairs:
            if kind == "foreign_key":
                yield from self._foreign_key(entry, other)

    def _foreign_key(self, entry: DeclaredConstraint, live: Constraint) -> Iterator[Difference]:
        if entry.columns and set(entry.columns) != set(self._names(live.columns)):
            what = f"foreign key {live.name} is over ({', '.join(self._names(live.columns))})"
            yield Difference(DIFFERS, "foreign_key", f"{what}, declared ({', '.join(entry.columns)})", entry.location)
        elif entry.references and self._referenced(live) != entry.references[-1]:
            what = f"foreign key {live.name} refers to {self._referenced(live)}, declared {entry.references[-1]}"
            yield Difference(DIFFERS, "foreign_key", what, entry.location)
        elif entry.on_delete and live.on_delete and entry.on_delete != live.on_delete:
            what = f"foreign key {live.name} is ON DELETE {live.on_delete.upper()}"
            what += f", declared {entry.on_delete.upper()}"
            yield Difference(DIFFERS, "foreign_key", what, entry.location)

    def _same_meaning(self, entry: DeclaredConstraint, live: Constraint) -> bool:
        if set(entry.columns) != set(self._names(live.columns)):
            return False
        return entry.kind != "foreign_key" or self._referenced(live) == entry.references[-1]

    def _referenced(self, live: Constraint) -> str:
        found = self.catalog.table_by_oid.get(live.referenced_table or 0)
        return found.name if found else ""

    def _unique(self) -> Iterator[Difference]:
        """Unique constraints and unique indexes, either of which may stand for the other."""
        live = [(entry.name, self._names(entry.columns), False) for entry in self.constraints if entry.kind == "unique"]
        live += [
            (entry.name, self._names(entry.columns), entry.predicate is not None)
            for entry in self.indexes
            if entry.unique
        ]
        declared = [
            (entry.name, entry.columns, False, entry.location)
            for entry in self.declared.constraints
            if entry.kind == "unique"
        ]
        declared += [
            (entry.name, entry.columns, entry.partial, entry.location)
            for entry in self.declared.indexes
            if entry.unique
        ]
        by_name = {name for name, *_ in live} & {name for name, *_ in declared}
        live = [entry for entry in live if entry[0] not in by_name]
        # PostgreSQL makes one index for a key that is declared UNIQUE as well.
        keys = {frozenset(self._names(entry.columns)) for entry in self.constraints if entry.kind == "primary_key"}
        declared = [entry for entry in declared if entry[2] or frozenset(entry[1]) not in keys]
        for name, columns, partial, place in [entry for entry in declared if entry[0] not in by_name]:
            match = next((entry for entry in live if set(entry[1]) == set(columns) and entry[2] == partial), None)
            if match is not None:
                live.remove(match)
            elif self._certain(name):
                yield Difference(ONLY_DECLARED, "unique", f"unique {name} ({_listed(columns)})", place)
        for name, columns, _ in live:
            if self.fit.is_certain(name, kinds=("index", "constraint")):
                yield Difference(ONLY_LIVE, "unique", f"unique {name} ({_listed(columns)})", self.declared.location)

    def _plain(self) -> Iterator[Difference]:
        live = [entry for entry in self.indexes if not (entry.unique or entry.primary or entry.exclusion)]
        declared = [entry for entry in self.declared.indexes if not entry.unique]
        by_name = {entry.name for entry in live} & {entry.name for entry in declared}
        live = [entry for entry in live if entry.name not in by_name]
        for entry in [entry for entry in declared if entry.name not in by_name]:
            match = next((other for other in live if self._same_index(entry, other)), None)
            if match is not None:
                live.remove(match)
            elif self._certain(entry.name):
                what = f"index {entry.name} ({_listed(entry.columns)})"
                yield Difference(ONLY_DECLARED, "index", what, entry.location)
        for other in live:
            if self.fit.is_certain(other.name, kinds=("index",)):
                what = f"index {other.name} ({_listed(self._names(other.columns))})"
                yield Difference(ONLY_LIVE, "index", what, self.declared.location)

    def _same_index(self, entry: DeclaredIndex, live: Index) -> bool:
        return (
            entry.columns == self._names(live.columns)
            and entry.partial == (live.predicate is not None)
            and entry.method == live.method
        )


def _same_name(entry: DeclaredConstraint, live: Constraint) -> bool:
    return entry.name == live.name


def _listed(columns: tuple[str, ...]) -> str:
    return ", ".join(column or "expression" for column in columns)
