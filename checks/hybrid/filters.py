"""What the filters of vector searches keep, and filters that come after their LIMIT."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Column, PlannerStatistics, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import Comparison
from checks.hybrid.searches import (
    Search,
    calls_seen,
    rows_returned,
    search_confidence,
    search_figures,
    search_places,
    search_subjects,
    searches_of,
)
from checks.model import Finding, Fix, Severity
from checks.relations import estimated_rows
from checks.selectivity import equal_share
from checks.workload import place_in_words

_FEW_VALUES = 20
_ALL = 0.99
_FULL = 0.9
_OFTEN = 5


class Kept(msgspec.Struct, frozen=True):
    """What a search's filters keep: the share of the rows (0 to 1) by the planner's statistics, the columns that they
    compare, and whether something of it is not known. Unknown parts keep everything."""

    share: float
    columns: tuple[str, ...]
    guessed: bool


def kept_by(evidence: Evidence, table: Table, column: Column, filters: tuple[Comparison, ...]) -> Kept:
    """By conditions on other columns of the vector's table, and by conditions on what it is joined to."""
    catalog = evidence.get(Catalog)
    share, guessed, names = 1.0, False, []
    for entry in filters:
        owner = catalog.table_by_oid.get(entry.column.table or 0)
        # A condition on a joined table is a filter too; the join condition itself is none.
        if owner is None or entry.other is not None:
            continue
        own = table.oid in {owner.oid, owner.root}
        if (own and entry.column.column == column.name) or (not own and _is_key(catalog, entry)):
            continue
        part = _part(evidence, catalog, table if own else owner, entry)
        if part is not None and part > _ALL:
            continue
        key = entry.json_key if entry.json_key and "$" not in entry.json_key else None
        name = f"{entry.column.column}.{key}" if key else entry.column.column
        names.append(name if own else f"{owner.name}.{name}")
        if part is None:
            guessed = True
        else:
            share *= part
    # What the vector's own table is asked comes first, ids before states.
    ordered = sorted(set(names), key=lambda name: ("." in name, not name.lower().endswith(("id", "ids")), name))
    return Kept(share, tuple(ordered), guessed)


def _part(evidence: Evidence, catalog: Catalog, owner: Table, entry: Comparison) -> float | None:
    """The share of the owner's rows that the condition keeps, by the planner's statistics; None if they do not tell."""
    statistics = evidence.find(PlannerStatistics)
    known = catalog.column_named(owner.oid, entry.column.column)
    found = statistics.by_column.get((owner.oid, known.number)) if statistics and known else None
    if found is None or entry.function or entry.json_operator or entry.under_or:
        return None
    if entry.operator in {"=", "is true", "is false"}:
        part = equal_share(found, estimated_rows(evidence, owner) or 0)
        if 0 < found.distinct <= _FEW_VALUES and found.common_share:
            part = max(part, found.common_share)
        return part
    if entry.operator in {"is null", "is not null"}:
        return found.null_share if entry.operator == "is null" else 1 - found.null_share
    return 1.0 if entry.operator in {"<>", "is distinct from", "is not true", "is not false"} else None


def _is_key(catalog: Catalog, entry: Comparison) -> bool:
    """Whether the comparison says no more than which row of a joined table is meant."""
    column = catalog.column_named(entry.column.table or 0, entry.column.column)
    return column is not None and any(
        index.primary and index.columns == (column.number,) for index in catalog.indexes_of(column.table)
    )


def filtered_late(evidence: Evidence, table: Table, column: Column) -> Iterator[Finding]:
    """Searches whose LIMIT comes before a filter around them: fewer rows are left, with an index or without one."""
    found: dict[tuple[str, ...], list[tuple[Search, Kept]]] = {}
    for search in searches_of(evidence, column):
        kept = kept_by(evidence, table, column, search.nearest.after)
        if kept.columns and (_varies(evidence, search) if kept.guessed else _leaves_few(search, kept)):
            found.setdefault(kept.columns, []).append((search, kept))
    for names, late in found.items():
        yield _late(evidence, table, column, names, late)


def _varies(evidence: Evidence, search: Search) -> bool:
    """Whether other numbers of rows come back each time: what a filter leaves, and not what is asked for."""
    returned = rows_returned(evidence, search)
    return returned is not None and calls_seen(evidence, search) >= _OFTEN and not returned.is_integer()


def _leaves_few(search: Search, kept: Kept) -> bool:
    """Whether fewer are left than are asked for: by the LIMIT around it, or else by its own."""
    around, own = search.pattern.limit, search.limit
    if around and own and around < own:
        return own * kept.share < _FULL * around
    return kept.share < _FULL and around != 0


def _late(
    evidence: Evidence, table: Table, column: Column, names: tuple[str, ...], late: list[tuple[Search, Kept]]
) -> Finding:
    searches = [search for search, _ in late]
    first, kept = late[0]
    subject, rows = evidence.get(Catalog).column_subject(column), estimated_rows(evidence, table) or 0
    places = search_places(evidence, searches)
    given = f"the {first.limit:,} nearest rows" if first.limit else "its nearest rows"
    large = rows > evidence.limit("vector_rows")
    returned = rows_returned(evidence, first)
    left = f"{returned:,.1f} are left on average" if kept.guessed else f"about {kept.share:.0%} are left"
    return Finding(
        subject,
        f"A search of {subject.name} takes {given} and only then filters them by {', '.join(names[:3])}: {left}"
        f"{place_in_words(places)}",
        Fix("Put the condition into the query with the ORDER BY and LIMIT; what an index then gives too few of, an iterative "
            "scan, a partial index or partitions make up for."),
        severity=Severity.MEDIUM if large else Severity.LOW,
        confidence=search_confidence(searches),
        observed={
            "limit": first.limit or None,
            "matching_share": None if kept.guessed else round(kept.share, 4),
            "expected_rows": round(first.limit * kept.share, 1) if first.limit and not kept.guessed else None,
            "returned_rows": None if returned is None else round(returned, 2),
            "filters": list(names),
            "rows": round(rows),
            "searches": len(searches),
            **search_figures(evidence, first),
        },
        related=(table.subject, *search_subjects(searches)),
        locations=places,
        discriminator=f"after {' '.join(names)}",
    )  # fmt: skip
