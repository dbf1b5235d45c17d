"""Searches that ask for more rows than their index looks at."""

from __future__ import annotations

import math
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Index, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.hybrid.filtered_search import breadth_of, rows_scanned
from checks.hybrid.ivfflat import DEFAULT_LISTS, lists_off
from checks.hybrid.search_shapes import reason_against
from checks.hybrid.searches import (
    InForce,
    Search,
    ann_indexes,
    breadth_setting,
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
from checks.relations import estimated_rows
from checks.workload import place_in_words, unread_statements


@check("hybrid.search-breadth-below-limit", catalogue="H24", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
def search_breadth_below_limit(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A search asks for more rows than its index looks at.

    An HNSW scan gives at most hnsw.ef_search rows, 40 unless it was set: LIMIT 100 then returns 40, silently. IVFFlat gives
    those of ivfflat.probes lists, one unless it was set, and misses the neighbours in all others.

    Fix: SET LOCAL hnsw.ef_search to the LIMIT or more (at most 1,000), or iterative scans; ivfflat.probes to about the square
    root of the lists.

    Example: ORDER BY embedding <=> $1 LIMIT 100 with hnsw.ef_search at 40, its default: 40 rows come back. SET LOCAL
    hnsw.ef_search = 100 gives 100.

    Source: pgvector README, "Query Options"

    Observed: limit, breadth, setting, returned_rows, rows, lists, statement, function, calls, mean_ms
    """
    catalog = evidence.get(Catalog)
    indexed = [pair for pair in vector_columns(catalog) if ann_indexes(catalog, pair[1])]
    if not indexed:
        raise NotApplicable("no vector column has an index for approximate search")
    examined = 0
    for table, column in indexed:
        short: dict[str, list[tuple[Search, Index]]] = {}
        for search in searches_of(evidence, column):
            serving = (
                []
                if reason_against(evidence, search) or search.nearest.reranks
                else serving_indexes(catalog, column, search)
            )
            if not serving or plan_uses(evidence, search, serving) is False:
                continue
            examined += 1
            for kind in _short(evidence, table, search, serving[0]):
                short.setdefault(kind, []).append((search, serving[0]))
        for kind, found in short.items():
            yield _too_narrow(evidence, table, column, kind, found)
    yield Examined(examined, examined, "searches by a vector index", gap=unread_statements(evidence))


def _short(evidence: Evidence, table: Table, search: Search, index: Index) -> Iterator[str]:
    """`limit` where fewer rows can come back than are asked for, `probes` where only one list of many is looked at."""
    breadth = breadth_of(evidence, index, search)
    if breadth is None:
        return
    given = rows_scanned(evidence, table, index, breadth)
    rows = estimated_rows(evidence, table) or 0
    if is_iterative(evidence, index, search) is False and (index.method == "hnsw" or rows > 0):
        returned = rows_returned(evidence, search)
        cut = returned is not None and index.method == "hnsw" and search.limit == 0 and returned == breadth
        if cut or ((search.limit or 0) > given and not returns_more_than(evidence, search, given)):
            yield "limit"
    lists = int(index.options.get("lists", DEFAULT_LISTS))
    # Lists that do not fit the rows are another finding, and change what is right here.
    fits = lists_off(rows, lists) <= evidence.limit("ivfflat_lists_factor")
    if index.method == "ivfflat" and fits and breadth < math.sqrt(lists) / 2 and rows > evidence.limit("vector_rows"):
        yield "probes"


def _too_narrow(
    evidence: Evidence, table: Table, column: Column, kind: str, found: list[tuple[Search, Index]]
) -> Finding:
    subject = evidence.get(Catalog).column_subject(column)
    (search, index), searches = found[0], [entry for entry, _ in found]
    name = breadth_setting(index) or ""
    setting: InForce = in_force(evidence, name, search)
    breadth, lists = breadth_of(evidence, index, search) or 0, int(index.options.get("lists", DEFAULT_LISTS))
    rows, returned = estimated_rows(evidence, table) or 0, rows_returned(evidence, search)
    places = search_places(evidence, searches)
    wanted = max((entry.limit or 0 for entry in searches), default=0)
    if kind == "probes":
        value = round(math.sqrt(lists))
        title = f"Searches of {subject.name} look into {breadth} of {lists:,} lists ({name}, {setting.origin})"
    else:
        value = min(1000, max(2 * wanted, 100)) if index.method == "hnsw" else round(math.sqrt(lists))
        asked = f"for {wanted:,} rows" if wanted else "for more rows"
        title = f"A search of {subject.name} asks {asked}, and {name} = {breadth} gives no more than that"
        if index.method == "ivfflat":
            title = f"A search of {subject.name} asks {asked}, and {breadth} of {lists:,} lists hold fewer"
    large = rows > evidence.limit("vector_rows")
    severity = Severity.HIGH if large and (kind == "limit") else Severity.MEDIUM if large else Severity.LOW
    proven = any(plan_uses(evidence, entry, [index]) for entry in searches)
    return Finding(
        subject,
        f"{title}{place_in_words(places)}",
        Fix(
            f"Set {name} in the transaction of the search, in its function or for its role; a plain SET leaks to other clients "
            "of a transaction pooler.",
            sql=f"SET LOCAL {name} = {value};",
            undo=f"SET LOCAL {name} = {breadth};",
        ),
        severity=severity,
        confidence=Confidence.MEASURED if proven else Confidence.INFERRED,
        observed={
            "limit": wanted or None,
            "breadth": breadth,
            "setting": f"{name} = {breadth} ({setting.origin})",
            "returned_rows": None if returned is None else round(returned, 2),
            "rows": round(rows),
            "lists": lists if index.method == "ivfflat" else None,
            **search_figures(evidence, search),
        },
        related=(index.subject, *search_subjects(searches)),
        locations=places,
        discriminator=kind,
    )
