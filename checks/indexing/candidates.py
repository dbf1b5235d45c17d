"""Indexes that the workload asks for and that are not there: pure functions over evidence, for checks and for the advisor.

`candidates(evidence)` gives typed proposals, each with the statements it would serve, merged so that few serve many. None of
them stands where an index that is there serves already. Whether the planner would take one is for a shadow to prove.
"""

from __future__ import annotations

from typing import cast

import msgspec

from checks.evidence.database.facts import Catalog, PlannerStatistics, Table
from checks.evidence.evidence import Evidence
from checks.indexing.coverage import covering_index
from checks.indexing.needs import Need, needs, reads_little, share_of_value
from checks.indexing.proposals import Candidate, Key, Purpose
from checks.indexing.serving import serving_index
from checks.indexing.special import special_candidates
from checks.model import quote_identifier

_MAXIMUM_COLUMNS = 3
_ENOUGH_ROWS = 5


def candidates(evidence: Evidence) -> tuple[Candidate, ...]:
    """All proposals, those of the costliest statements first. Computed once per evidence. Raises Unknown without a catalog."""
    known = vars(evidence)
    if "_candidates" not in known:
        known["_candidates"] = tuple(_propose(evidence))
    return cast("tuple[Candidate, ...]", known["_candidates"])


def _propose(evidence: Evidence) -> list[Candidate]:
    found = [
        candidate
        for need in needs(evidence)
        if need.rows is not None
        and need.rows >= evidence.limit("seq_scan_rows")
        and need.pattern.all_filters_known
        and not reads_little(evidence, need)
        and (candidate := _btree(evidence, need)) is not None
    ]
    merged = _merged(found) + special_candidates(evidence)
    return sorted(merged, key=lambda one: -sum(need.total_ms for need in one.needs))


def _btree(evidence: Evidence, need: Need) -> Candidate | None:
    """The B-tree over plain columns that would serve the need, if it leaves little and nothing serves it."""
    few = evidence.limit("seq_scan_selectivity") * (need.rows or 0)
    predicate, left = _predicate(evidence, need)
    tail = need.order if need.limited and need.order else (*need.ranges, need.order)[0]
    equal = _narrowing(evidence, need)
    purpose = Purpose.FILTER
    if need.equal and left is not None and left < few:
        columns = (*equal, tail)
    elif need.joined:
        columns, purpose = (*need.joined, *equal), Purpose.JOIN
    elif need.order and need.limited and "order" not in need.pattern.partial:
        # Behind a list of values a B-tree is not in order; then only a page from one end of the column sorted by is worth one.
        if not need.fixed >= set(need.equal) and need.order not in need.ranges:
            return None
        columns, purpose = (*(name for name in equal if name in need.fixed), need.order), Purpose.ORDER
    elif not need.equal and left is not None and left < few and (need.ranges or predicate):
        columns = (tail,)
    else:
        return None
    names = tuple(dict.fromkeys(name for name in columns if name is not None))[:_MAXIMUM_COLUMNS]
    if not names or not _indexable(evidence.get(Catalog), need.table, names) or serving_index(evidence, need):
        return None
    keys = tuple(Key(quote_identifier(name), name) for name in names)
    return Candidate(purpose, need.table.oid, "btree", keys, (need,), predicate=predicate)


def _narrowing(evidence: Evidence, need: Need) -> tuple[str, ...]:
    """The columns compared for equality, most selective first, until a handful of rows is left. Before them those of a foreign
    key that has no index: among columns compared for equality any order serves, and this one serves the key too."""
    catalog, left = evidence.get(Catalog), need.rows or 0.0
    found: list[str] = []
    for name in need.equal[:_MAXIMUM_COLUMNS]:
        if found and left <= _ENOUGH_ROWS:
            break
        found.append(name)
        left *= share_of_value(evidence, catalog.column_named(need.table.oid, name), need.rows) or 1.0
    for names in _keys_without_index(evidence, need):
        if names <= set(found):
            return (*(name for name in found if name in names), *(name for name in found if name not in names))
    return tuple(found)


def _keys_without_index(evidence: Evidence, need: Need) -> list[set[str]]:
    """The columns of each foreign key of the table that no index covers."""
    catalog = evidence.get(Catalog)
    return [
        {catalog.column(key.table, number).name for number in key.columns}
        for key in catalog.constraints_of(need.table.oid)
        if key.kind == "foreign_key"
        and covering_index(catalog, key, evidence.find(PlannerStatistics), need.rows) is None
    ]


def _predicate(evidence: Evidence, need: Need) -> tuple[str | None, float | None]:
    """The test for null that a partial index would be made for, as the statistics say that it leaves little, and the rows
    left with it."""
    catalog, statistics = evidence.get(Catalog), evidence.find(PlannerStatistics)
    for name, test in need.null_tests:
        column = catalog.column_named(need.table.oid, name)
        entry = statistics.by_column.get((column.table, column.number)) if statistics and column else None
        if entry is None:
            continue
        share = entry.null_share if test == "is null" else 1 - entry.null_share
        if share < evidence.limit("seq_scan_selectivity"):
            before = need.rows if need.rows_left is None or not need.equal else need.rows_left
            return f"{quote_identifier(name)} {test.upper()}", (before or 0.0) * share
    return None, need.rows_left


def _indexable(catalog: Catalog, table: Table, names: tuple[str, ...]) -> bool:
    """Whether a B-tree over these columns is a sensible thing: no documents, arrays, vectors or other wide values."""
    unfit = {"json", "jsonb", "xml", "bytea", "vector", "halfvec", "sparsevec", "bit", "tsvector", "point", "geometry"}
    columns = [catalog.column_named(table.oid, name) for name in names]
    return all(column and column.base_type not in unfit and column.type_category != "A" for column in columns)


def _merged(found: list[Candidate]) -> list[Candidate]:
    """Fewer candidates that serve the same: one that a longer begins with joins it, whatever the order of columns that all
    its statements compare for equality."""
    kept: list[Candidate] = []
    for one in sorted(found, key=lambda entry: (len(entry.keys), entry.table, entry.columns, entry.needs[0].name)):
        for position, other in enumerate(kept):
            if (joined := _join(other, one)) is not None:
                kept[position] = joined
                break
        else:
            kept.append(one)
    return [msgspec.structs.replace(one, needs=_costliest_first(one.needs)) for one in kept]


def _join(short: Candidate, long: Candidate) -> Candidate | None:
    """One candidate that serves both; None if there is none. `long` has at least as many keys."""
    if short.table != long.table or (short.predicate != long.predicate and long.predicate is not None):
        return None
    free = len(short.columns) if all(_all_equal(need, short.columns) for need in short.needs) else 0
    rest = tuple(name for name in long.columns if name not in short.columns)
    equal_here = {*long.needs[0].equal, *long.needs[0].joined}
    if long.columns[: len(short.columns)] == short.columns:
        columns = long.columns
    elif free and set(short.columns) <= equal_here & set(long.columns):
        columns = (*short.columns, *rest)
    else:
        return None
    keys = tuple(Key(quote_identifier(name), name) for name in columns)
    purpose = Purpose.FILTER if Purpose.FILTER in {short.purpose, long.purpose} else long.purpose
    return msgspec.structs.replace(long, purpose=purpose, keys=keys, needs=(*short.needs, *long.needs))


def _all_equal(need: Need, columns: tuple[str, ...]) -> bool:
    return set(columns) <= {*need.equal, *need.joined}


def _costliest_first(found: tuple[Need, ...]) -> tuple[Need, ...]:
    return tuple(sorted(found, key=lambda need: (-need.total_ms, need.name)))
