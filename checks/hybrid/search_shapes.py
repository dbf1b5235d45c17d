"""Searches whose shape keeps them from a vector index, and searches that compare another type than the index holds."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Index, Server, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.families import once_per_family
from checks.hybrid.searches import (
    Search,
    ann_indexes,
    compared_as,
    index_operators,
    plan_uses,
    search_confidence,
    search_figures,
    search_places,
    search_subjects,
    uses_of,
)
from checks.hybrid.vectors import vector_columns
from checks.model import Examined, Finding, Fix, NotApplicable, Severity
from checks.registry import check
from checks.relations import estimated_rows
from checks.workload import place_in_words, unread_statements

# Partial sorts over an index ordered by an operator.
_SORTED_FURTHER_SINCE = 17
REASONS = {
    "descending": ("sorts by the distance DESC, farthest first", "Sort by the distance ascending."),
    "wrapped": (
        "sorts by an expression around the distance",
        "ORDER BY the bare distance ascending, and compute the score in the select list: ORDER BY embedding <=> $1.",
    ),
    "called": (
        "calls the distance as a function instead of writing the operator",
        "Write the operator: no index serves the function.",
    ),
    "behind": (
        "sorts by something else before the distance",
        "Let the distance be the first sort key of the search, and sort its few rows again outside.",
    ),
    "tied": (
        "sorts by something else after the distance, which no index order serves before PostgreSQL 17",
        "Sort by the distance alone with the LIMIT, and break ties in a query around it.",
    ),
    "unlimited": ("has no LIMIT", "Add a LIMIT: without one every row is sorted."),
    "threshold": (
        "asks for a distance below a threshold without sorting by it",
        "Search with ORDER BY distance LIMIT in a MATERIALIZED CTE, and apply the threshold to its rows.",
    ),
}


@check("hybrid.query-cannot-use-vector-index", catalogue="H22", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
def query_cannot_use_vector_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A search is written in a shape that no vector index can serve.

    An HNSW or IVFFlat index is used for one shape alone: ORDER BY column OPERATOR vector, ascending, with a LIMIT. A score such
    as 1 - distance sorted DESC, a distance function, row_number() over the distance, a threshold without ORDER BY: each
    reads every vector and sorts, and nothing says so but the time.

    Fix: ORDER BY the bare distance with a LIMIT, and compute scores and thresholds from its rows.

    Example: SELECT id, 1 - (embedding <=> $1) AS score FROM chunks ORDER BY score DESC LIMIT 10 sorts all rows; ORDER BY
    embedding <=> $1 LIMIT 10 gives the same rows from the index.

    Source: pgvector README, "Query Options", "Frequently Asked Questions"; pgvector issues 216, 489, 584

    Observed: reason, rows, indexes, searches, statement, function, calls, mean_ms
    """
    catalog = evidence.get(Catalog)
    columns = vector_columns(catalog)
    examined = 0
    for table, column in columns:
        uses = [entry for entry in uses_of(evidence, column) if not entry.nearest.reranks]
        examined += len(uses)
        reasons: dict[str, list[Search]] = {}
        known: set[AccessPattern] = set()
        for search in uses:
            reason = reason_against(evidence, search)
            # What the queries around a misshapen search sort its rows by is no search of its own.
            if search.pattern in known:
                continue
            if reason and not is_confined(evidence, search) and not plan_uses(evidence, search, _all(catalog, column)):
                reasons.setdefault(reason, []).append(search)
                known.add(search.pattern)
        for reason, searches in reasons.items():
            yield _misshapen(evidence, table, column, reason, searches)
    yield Examined(examined, examined, "uses of distances", gap=unread_statements(evidence))


def _all(catalog: Catalog, column: Column) -> list[Index]:
    return ann_indexes(catalog, column)


def reason_against(evidence: Evidence, search: Search) -> str | None:
    """Why no vector index can serve the search, a key of REASONS; None if one can. A further sort key behind the distance is
    served from 17 on, by an incremental sort."""
    nearest = search.nearest
    if nearest.place == "filter":
        return "threshold"
    if nearest.place != "order":
        return None
    if not nearest.bare:
        return "wrapped"
    if nearest.descending:
        return "descending"
    if nearest.called:
        return "called"
    if nearest.position:
        return "behind"
    server = evidence.find(Server)
    if nearest.keys > 1 and server is not None and server.major < _SORTED_FURTHER_SINCE:
        return "tied"
    # What an ORM call leaves open may be the LIMIT.
    return "unlimited" if search.limit is None and "limit" not in search.pattern.partial else None


def is_confined(evidence: Evidence, search: Search) -> bool:
    """Whether the search's conditions leave so few rows that exact search over them is right."""
    return search.rows_left is not None and search.rows_left <= evidence.limit("vector_rows")


def _misshapen(evidence: Evidence, table: Table, column: Column, reason: str, searches: list[Search]) -> Finding:
    catalog = evidence.get(Catalog)
    subject, rows = catalog.column_subject(column), estimated_rows(evidence, table)
    indexes = ann_indexes(catalog, column)
    words, remedy = REASONS[reason]
    first = searches[0]
    count = f"function {first.function.name}" if first.function else "it"
    if len(searches) > 1:
        words += ", and so does another" if len(searches) == 2 else f", and so do {len(searches) - 1} more"
    places = search_places(evidence, searches)
    large = (rows or 0) > evidence.limit("vector_rows")
    severity = Severity.LOW
    if large:
        severity = Severity.HIGH if any(entry.ran or entry.function for entry in searches) else Severity.MEDIUM
    return Finding(
        subject,
        f"No vector index serves a search of {subject.name}: {count} {words}{place_in_words(places)}",
        Fix(remedy),
        severity=severity if indexes or large else Severity.LOW,
        confidence=search_confidence(searches),
        observed={
            "reason": reason,
            "rows": None if rows is None else round(rows),
            "indexes": [index.subject.name for index in indexes],
            "searches": len(searches),
            **search_figures(evidence, first),
        },
        related=(table.subject, *search_subjects(searches)),
        locations=places,
        discriminator=reason,
    )


@check("hybrid.query-vector-not-cast", catalogue="H44", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def query_vector_not_cast(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A search compares another type than its index holds.

    An index on embedding::halfvec(n) serves only what is written with that cast, and one on the column only what compares the
    column as it is. Where the other side of the operator is a halfvec, the server casts the stored vectors silently, and the
    index on them is out of the game.

    Fix: Write the same cast in the index and in every search, on both sides of the operator.

    Example: CREATE INDEX ON chunks USING hnsw ((embedding::halfvec(3072)) halfvec_cosine_ops), and ORDER BY embedding <=> $1:
    the index is used by ORDER BY embedding::halfvec(3072) <=> $1::halfvec(3072) alone.

    Source: pgvector README, "Half-Precision Indexing"; pg_cast (vector to halfvec is implicit)

    Observed: compared_as, indexed_as, rows, statement, function, calls, mean_ms
    """
    catalog = evidence.get(Catalog)
    indexed = [
        (table, column, found) for table, column in vector_columns(catalog) if (found := ann_indexes(catalog, column))
    ]
    if not indexed:
        raise NotApplicable("no vector column has an index for approximate search")
    examined = 0
    for table, column, indexes in indexed:
        uses = [entry for entry in uses_of(evidence, column) if entry.nearest.place == "order"]
        examined += len(uses)
        wrong: dict[str, list[Search]] = {}
        for search in uses:
            # Another distance, or a shape that no index serves, is another finding.
            if reason_against(evidence, search) or search.nearest.reranks or is_confined(evidence, search):
                continue
            wanted, held = compared_as(search, column), _types(indexes, column, search.operator)
            if held and not any(wanted == kind or wanted in kind for kind in held):
                wrong.setdefault(wanted, []).append(search)
        for wanted, searches in wrong.items():
            yield _otherwise(evidence, table, column, indexes, wanted, searches)
    yield Examined(examined, examined, "searches", gap=unread_statements(evidence))


def _types(indexes: list[Index], column: Column, operator: str) -> list[str]:
    """What the indexes with that operator hold: the column's own type, or the expression."""
    return [
        column.base_type if key.column == column.number else key.expression or ""
        for index in indexes
        if operator in index_operators(index)
        for key in index.keys
        if key.column == column.number or column.number in key.expression_columns
    ]


def _otherwise(
    evidence: Evidence, table: Table, column: Column, indexes: list[Index], wanted: str, searches: list[Search]
) -> Finding:
    catalog = evidence.get(Catalog)
    subject, rows = catalog.column_subject(column), estimated_rows(evidence, table) or 0
    held = _types(indexes, column, searches[0].operator)
    places = search_places(evidence, searches)
    large = rows > evidence.limit("vector_rows")
    return Finding(
        subject,
        f"{subject.name} is searched as {wanted}, but indexed as {held[0]}{place_in_words(places)}",
        Fix(
            "Write the index's own expression in the search, with the query vector of the same type; or build the index for "
            "the type that the searches use."
        ),
        severity=Severity.HIGH if large and any(entry.ran for entry in searches) else
        Severity.MEDIUM if large else Severity.LOW,
        confidence=search_confidence(searches),
        observed={
            "compared_as": wanted,
            "indexed_as": held,
            "rows": round(rows),
            **search_figures(evidence, searches[0]),
        },
        related=(*(index.subject for index in indexes), *search_subjects(searches)),
        locations=places,
        discriminator=wanted,
    )  # fmt: skip


@check("hybrid.quantisation-without-rerank", catalogue="H30", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def quantisation_without_rerank(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A search by binary quantised vectors returns its rows without re-ranking them.

    One bit of each dimension says little: the nearest by Hamming distance are only candidates. pgvector's own pattern takes
    several times as many of them as are wanted and sorts those by the distance of the full vectors.

    Fix: Search for LIMIT times 4 candidates by binary_quantize() in a subquery, and sort them by the real distance outside.

    Example: ORDER BY binary_quantize(embedding)::bit(1536) <~> binary_quantize($1) LIMIT 10 alone; with LIMIT 40 in a subquery,
    and ORDER BY embedding <=> $1 LIMIT 10 around it, the full vectors decide.

    Source: pgvector README, "Binary Quantization"

    Observed: rows, statement, function, calls, mean_ms
    """
    catalog = evidence.get(Catalog)
    columns = vector_columns(catalog)
    quantised = [
        (table, column, search)
        for table, column in columns
        for search in uses_of(evidence, column)
        if search.nearest.wrapped == "binary_quantize" and search.nearest.place == "order"
    ]
    if not quantised and unread_statements(evidence) is None:
        raise NotApplicable("no search quantises its vectors")
    for table, column, search in quantised:
        if any(entry.reranks and entry.column == search.nearest.column for entry in search.pattern.searches):
            continue
        places = search_places(evidence, [search])
        yield Finding(
            search.subject,
            f"A search of {catalog.column_subject(column).name} by its bits returns them unranked{place_in_words(places)}",
            Fix(
                "Take several times as many candidates in a subquery, and ORDER BY the distance of the full vectors outside."
            ),
            confidence=search_confidence([search]),
            observed={
                "rows": round(estimated_rows(evidence, table) or 0),
                **search_figures(evidence, search),
            },
            related=(catalog.column_subject(column),),
            locations=places,
        )
    yield Examined(len(quantised), len(quantised), "quantised searches", gap=unread_statements(evidence))
