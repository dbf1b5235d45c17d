"""Searches that return fewer rows than they ask for, because their filter is applied after the index."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Column, Index, Server, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.hybrid.filters import Kept, filtered_late, kept_by
from checks.hybrid.ivfflat import DEFAULT_LISTS
from checks.hybrid.policy_filters import under_policies
from checks.hybrid.search_shapes import reason_against
from checks.hybrid.searches import (
    Search,
    ann_indexes,
    breadth_setting,
    calls_seen,
    in_force,
    is_iterative,
    plan_uses,
    returns_more_than,
    rows_returned,
    search_figures,
    search_places,
    search_subjects,
    searches_of,
    serving_indexes,
)
from checks.hybrid.vectors import vector_columns
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity
from checks.registry import check
from checks.relations import column_names, estimated_rows
from checks.workload import place_in_words, unread_statements

ASSUMED_LIMIT = 10
FILTERS_COUNTED = (0, 8)
_LAST = {"hnsw": "hnsw.max_scan_tuples", "ivfflat": "ivfflat.max_probes"}
_FULL = 0.9
_FAR = 3
_OFTEN = 5


@check("hybrid.filtered-search-loses-rows", catalogue="H23", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
def filtered_search_loses_rows(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A filtered search returns fewer rows than its LIMIT, although more match.

    The vector index gives its nearest rows (hnsw.ef_search, 40 by default), and the filter is applied to those alone. If one
    row in a hundred matches, LIMIT 10 returns no row or one, without any error. It happens only where the planner takes the
    vector index; a selective index on the filter makes the search exact.

    An iterative scan goes on, but no further than hnsw.max_scan_tuples. A policy of row security is such a filter, though no
    statement writes it.

    Fix: SET LOCAL hnsw.iterative_scan = 'strict_order' (pgvector 0.8), a partial index or partitions for fixed filters, or
    an index on the filter where it leaves few rows.

    Example: WHERE tenant_id = $1 ORDER BY embedding <=> $2 LIMIT 10 with 100 tenants of equal size: of the 40 rows that the
    index gives, 0.4 are this tenant's; after SET LOCAL hnsw.iterative_scan = 'strict_order' ten come.

    Source: pgvector README, "Filtering", "Iterative Index Scans"

    Observed: limit, breadth, setting, matching_share, expected_rows, returned_rows, filters, policies, rows, statement,
    function, calls, mean_ms
    """
    catalog = evidence.get(Catalog)
    columns = vector_columns(catalog)
    indexed = [pair for pair in columns if ann_indexes(catalog, pair[1])]
    late = [found for table, column in columns for found in filtered_late(evidence, table, column)]
    if not indexed and not late:
        raise NotApplicable("no vector column has an index for approximate search")
    yield from late
    examined = len(late)
    for table, column in indexed:
        losing: dict[tuple[str, ...], list[tuple[Search, Index, Kept]]] = {}
        for search in (under_policies(evidence, table, entry) for entry in searches_of(evidence, column)):
            serving = (
                []
                if reason_against(evidence, search) or search.nearest.reranks
                else serving_indexes(catalog, column, search)
            )
            kept = kept_by(evidence, table, column, search.nearest.filters)
            if not serving or not kept.columns:
                continue
            examined += 1
            index = serving[0]
            if not search.ran and _planned_otherwise(evidence, table, column, kept.columns):
                continue
            if _loses(evidence, table, search, index, serving, kept):
                # Of code that never ran, one setting makes all its searches whole.
                of = kept.columns if search.ran or search.function else ()
                losing.setdefault(of, []).append((search, index, kept))
        for found in losing.values():
            yield _losing(evidence, table, column, found)
    yield Examined(examined, examined, "filtered searches by a vector index", gap=unread_statements(evidence))


def _planned_otherwise(evidence: Evidence, table: Table, column: Column, names: tuple[str, ...]) -> bool:
    """Whether searches filtered by the same columns were planned, and none of them takes the vector index."""
    alike = [
        search
        for search in searches_of(evidence, column)
        if set(names) <= set(kept_by(evidence, table, column, search.nearest.filters).columns)
    ]
    planned = [plan_uses(evidence, search, ann_indexes(evidence.get(Catalog), column)) for search in alike]
    return False in planned and True not in planned


def rows_scanned(evidence: Evidence, table: Table, index: Index, breadth: float) -> float:
    """Rows that one index scan gives at that breadth: ef_search of HNSW, those of so many lists of IVFFlat."""
    if index.method == "hnsw":
        return breadth
    lists = int(index.options.get("lists", DEFAULT_LISTS))
    return breadth * (estimated_rows(evidence, table) or 0) / lists


def _loses(evidence: Evidence, table: Table, search: Search, index: Index, serving: list[Index], kept: Kept) -> bool:
    used = plan_uses(evidence, search, serving)
    if used and search.policies:
        # It was planned for a role that the policies need not bind.
        used = None
    iterative = is_iterative(evidence, index, search)
    if used is False or iterative is None or (iterative and kept.guessed):
        return False
    catalog = evidence.get(Catalog)
    columns = catalog.columns_of(table.oid)
    partial = any(
        entry.predicate is not None and any(name.partition(".")[0] in entry.predicate for name in kept.columns)
        for entry in serving
    )
    partitioned = table.kind == "partitioned" and any(name in kept.columns for name in _partition_keys(catalog, table))
    if partial or partitioned:
        return False
    scan = scan_of(evidence, table, index, search)
    if scan is None or (table.kind == "table" and not columns):
        return False
    if used is None and (
        _planner_goes_by_filter(evidence, table, search) or returns_more_than(evidence, search, scan.rows)
    ):
        return False
    returned = rows_returned(evidence, search)
    # Far more come back than the index could give: the planner goes another way.
    if used is None and returned is not None and not kept.guessed and returned > _FAR * scan.rows * kept.share:
        return False
    wanted, matching = search.limit or ASSUMED_LIMIT, (estimated_rows(evidence, table) or 0) * kept.share
    if iterative:
        return scan.rows * kept.share < min(wanted, matching)
    return scan.rows * kept.share < wanted or (kept.guessed and not _returns_enough(evidence, search))


class Scan(msgspec.Struct, frozen=True):
    """What ends a scan of the index: a setting with its value, and the `rows` that the scan gives at most."""

    setting: str
    value: int
    rows: float


def scan_of(evidence: Evidence, table: Table, index: Index, search: Search) -> Scan | None:
    """ef_search or probes; of an iterative scan how many rows or lists it may look at before it gives up. None if it cannot be
    known."""
    name = breadth_setting(index)
    if name and is_iterative(evidence, index, search):
        name = _LAST[index.method]
    setting = in_force(evidence, name, search) if name else None
    if name is None or setting is None or not setting.known or not setting.value.isdigit():
        return None
    value = int(setting.value)
    return Scan(name, value, rows_scanned(evidence, table, index, value))


def _returns_enough(evidence: Evidence, search: Search) -> bool:
    """Whether as many rows come back as the known LIMIT asks for; where it is not known, whether it is the same whole number
    each time, which what a filter leaves hardly is."""
    returned = rows_returned(evidence, search)
    if returned is None or not search.limit:
        same = returned is not None and returned >= 1 and returned.is_integer()
        return same and search.limit is not None and calls_seen(evidence, search) >= _OFTEN
    return returned >= _FULL * search.limit


def _partition_keys(catalog: Catalog, table: Table) -> set[str]:
    """Columns that every unique key of a partitioned table holds: its partition key is among them."""
    keys = [set(column_names(catalog, table.oid, filter(None, index.columns))) for index in
            catalog.indexes_of(table.oid) if index.unique]  # fmt: skip
    return set.intersection(*keys) if keys else set()


def _planner_goes_by_filter(evidence: Evidence, table: Table, search: Search) -> bool:
    """Whether an index leads to the few rows that the filter leaves, so that the search is likely exact."""
    left, server = search.rows_left, evidence.find(Server)
    extension = server.extension("vector") if server else None
    # Before 0.8 pgvector reckoned its index so cheap that it was taken in any case.
    if left is None or left > evidence.limit("exact_rows") or (extension and extension.version_tuple < FILTERS_COUNTED):
        return False
    catalog = evidence.get(Catalog)
    compared = {entry.column.column for entry in search.nearest.filters if entry.operator in {"=", "in"}}
    names = {number: column.name for number, column in catalog.columns_of(table.oid).items()}
    return any(
        index.valid and index.keys and names.get(index.columns[0]) in compared
        for index in catalog.indexes_of(table.oid)
    )


def breadth_of(evidence: Evidence, index: Index, search: Search) -> int | None:
    """hnsw.ef_search or ivfflat.probes as the search meets it; None if it cannot be known."""
    name = breadth_setting(index)
    setting = in_force(evidence, name, search) if name else None
    return int(setting.value) if setting and setting.known and setting.value.isdigit() else None


def _losing(evidence: Evidence, table: Table, column: Column, found: list[tuple[Search, Index, Kept]]) -> Finding:
    searches = [search for search, _, _ in found]
    first, index, kept = found[0]
    subject = evidence.get(Catalog).column_subject(column)
    scan = scan_of(evidence, table, index, first) or Scan("", 0, 0)
    rows = estimated_rows(evidence, table) or 0
    expected = min(scan.rows * kept.share, first.limit or math.inf)
    returned = rows_returned(evidence, first)
    places = search_places(evidence, searches)
    proven = any(plan_uses(evidence, search, [index]) for search in searches)
    short = returned is not None and bool(first.limit) and returned < _FULL * (first.limit or 0)
    wanted = f"LIMIT {first.limit}" if first.limit else "its LIMIT"
    filters = ", ".join(kept.columns[:3])
    if first.policies:
        filters += f" (policy {', '.join(first.policies)})"
    if kept.guessed:
        title = f"A search of {subject.name} filters by {filters} after the index gave {scan.rows:,.0f} rows"
        if returned is not None and proven:
            title += f", and returns {returned:,.1f} on average"
        elif not proven:
            title += ", where the planner takes it" + ("" if returned is None else f"; {returned:,.1f} come on average")
    else:
        title = f"A search of {subject.name} filtered by {filters} finds about {expected:,.1f} rows for {wanted}"
    large = rows > evidence.limit("vector_rows")
    # Less than a row a call, where the plan shows the vector index: either nothing ever matches, or it is thrown away.
    empty = returned is not None and returned < 1
    lost = proven and (short or empty or not kept.guessed)
    severity = Severity.HIGH if lost else Severity.MEDIUM if large else Severity.LOW
    return Finding(
        subject,
        f"{title}{place_in_words(places)}",
        _filter_fix(index, scan, wider=scan.setting in _LAST.values()),
        severity=severity,
        confidence=Confidence.MEASURED if proven else Confidence.INFERRED,
        observed={
            "limit": first.limit or None,
            "breadth": scan.value,
            "setting": f"{scan.setting} = {scan.value} ({in_force(evidence, scan.setting, first).origin})",
            "matching_share": None if kept.guessed else round(kept.share, 4),
            "expected_rows": None if kept.guessed else round(expected, 1),
            "returned_rows": None if returned is None else round(returned, 2),
            "filters": list(kept.columns),
            "policies": list(first.policies),
            "rows": round(rows),
            "searches": len(searches),
            **search_figures(evidence, first),
        },
        related=(index.subject, *search_subjects(searches)),
        locations=places,
        discriminator=" ".join(kept.columns),
    )


def _filter_fix(index: Index, scan: Scan, *, wider: bool) -> Fix:
    if wider:
        return Fix(
            "Let the scan look at more rows before it gives up, with more hnsw.scan_mem_multiplier for them; where the filter "
            "leaves few rows, an index on it makes the search exact.",
            sql=f"SET LOCAL {scan.setting} = {scan.value * 10};",
            undo=f"SET LOCAL {scan.setting} = {scan.value};",
        )
    order = "strict_order" if index.method == "hnsw" else "relaxed_order"
    return Fix(
        "Let the index scan go on until it has its rows: in the transaction of the search, in its function or for its role. "
        "For a fixed filter a partial index, for tenants partitions; where the filter leaves few rows, an index on it.",
        sql=f"SET LOCAL {index.method}.iterative_scan = '{order}';",
        undo=f"SET LOCAL {index.method}.iterative_scan = 'off';",
    )
