"""Whether an index that is there answers what a statement asks of its table."""

from __future__ import annotations

import re
from collections.abc import Iterable

from checks.evidence.database.facts import Catalog, Index
from checks.evidence.evidence import Evidence
from checks.indexing.duplicates import scans
from checks.indexing.needs import Need, share_of_value
from checks.relations import is_usable


def serving_index(evidence: Evidence, need: Need) -> Index | None:
    """An index that leads with compared columns which together leave a small part of the table, or gives the order that a
    LIMIT stops; None if there is none."""
    return next(
        (index for index in evidence.get(Catalog).indexes_of(need.table.oid) if serves(evidence, index, need)), None
    )


def serves(evidence: Evidence, index: Index, need: Need) -> bool:
    if not is_usable(index):
        return False
    catalog = evidence.get(Catalog)
    keys = [catalog.column(index.table, number).name if number else None for number in index.columns]
    tested = {name for name, _ in need.null_tests}
    compared = {*need.equal, *need.joined, *need.ranges}
    if index.predicate is not None and not _predicate_holds(index, catalog, compared | _not_null(need)):
        mentioned = _predicate_mentions(index, (*need.equal, *tested, *(entry.column.column for entry in need.other)))
        return mentioned and (bool(scans(evidence, index)) or _leads(keys, need))
    if index.method == "hash":
        return keys[0] in {*need.equal, *need.joined}
    if index.method == "brin":
        return not compared.isdisjoint(key for key in keys if key)
    if index.method == "gist":
        return keys[0] in compared and index.keys[0].operator_class.rpartition(".")[2].startswith("gist_")
    if index.method != "btree":
        return False
    if need.limited and need.order and _gives_order(keys, need):
        return True
    if keys[0] in need.ranges:
        return not index.keys[0].operator_class.endswith("_pattern_ops")
    if keys[0] in need.joined:
        return True
    return keys[0] in need.equal and _leaves_little(evidence, index, need)


def _leads(keys: list[str | None], need: Need) -> bool:
    return keys[0] in {*need.equal, *need.joined, *need.ranges, need.order}


def _not_null(need: Need) -> set[str]:
    return {name for name, test in need.null_tests if test == "is not null"}


def _gives_order(keys: list[str | None], need: Need) -> bool:
    """Whether its keys are columns compared with one value each, then the one sorted by."""
    for key in keys:
        if key == need.order:
            return True
        if key not in need.fixed:
            return False
    return False


def _leaves_little(evidence: Evidence, index: Index, need: Need) -> bool:
    """Whether the leading keys compared for equality leave a small part; yes where nothing is known of them."""
    catalog, share = evidence.get(Catalog), 1.0
    for number in index.columns:
        column = catalog.columns_of(index.table).get(number)
        if column is None or column.name not in need.equal:
            if column is not None and column.name in need.ranges:
                return True
            break
        known = share_of_value(evidence, column, need.rows)
        if known is None:
            return True
        share *= known
    return share < evidence.limit("seq_scan_selectivity")


def _predicate_holds(index: Index, catalog: Catalog, compared: set[str]) -> bool:
    """Whether the predicate is only that compared columns are not null."""
    not_null = {catalog.column(index.table, number).name for number in index.predicate_not_null}
    return bool(not_null) and not_null <= compared


def _predicate_mentions(index: Index, names: Iterable[str]) -> bool:
    """Whether the predicate is about one of these columns: its constant may be the one that a parameter now stands for."""
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", index.predicate or "") for name in names)
