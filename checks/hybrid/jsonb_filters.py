"""Filters on what stands inside a jsonb document, and the indexes that would serve them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.families import once_per_family
from checks.hybrid.documents import compares, document_columns, gin_indexes
from checks.hybrid.searches import goes_by_distance
from checks.json_paths import (
    CONTAINMENT,
    EXISTENCE,
    SORT,
    Way,
    comparisons_with_keys,
    is_served,
    sorts_with_keys,
    way_of,
)
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    Location,
    NotApplicable,
    Severity,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import estimated_rows, new_name, quote_literal
from checks.selectivity import rows_left_by_equalities
from checks.workload import (
    observed_workload,
    place_in_words,
    statement_figures,
    statement_places,
    statement_subject,
    unread_statements,
)

SHOWN = 5
# Types whose reading of a text depends on no setting, so that an index can be built on the cast; times are none of them.
_IMMUTABLE = frozenset("int2 int4 int8 numeric float4 float8 bool uuid text varchar".split())


@check("hybrid.jsonb-filter-without-index", catalogue="H02", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
def jsonb_filter_without_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Rows are chosen by what stands inside a document, and no index serves it.

    Every such statement reads and unpacks all documents, be it to compare a key or to sort by it for the first few. A GIN index
    on the column does not help everywhere: it serves containment (and key existence, with jsonb_ops), but never
    `document ->> 'key' = value`, which needs an index on that expression; and the planner knows nothing of keys without one.

    Fix: GIN (jsonb_path_ops) for @>; an index on the expression for ->>; or a generated column for a key used everywhere.

    Example: CREATE INDEX ON documents USING gin (metadata), and WHERE metadata ->> 'source' = $1: the index is not used; CREATE
    INDEX ON documents ((metadata ->> 'source')) is.

    Source: PostgreSQL manual, "jsonb Indexing"; "Indexes on Expressions"

    Observed: operators, key, keys, rows, statements, statement, calls, mean_ms
    """
    catalog = evidence.get(Catalog)
    columns = document_columns(catalog, "jsonb")
    if not columns:
        raise NotApplicable("no table has a jsonb column")
    workload = [pattern for pattern in observed_workload(evidence) if pattern.all_filters_known]
    for table, column in columns:
        rows = estimated_rows(evidence, table) or 0
        if rows <= evidence.limit("seq_scan_rows"):
            continue
        unserved: dict[str, list[tuple[AccessPattern, Way]]] = {}
        for pattern in workload:
            left = rows_left_by_equalities(evidence, pattern, table.oid, rows)
            if (
                left is not None
                and left <= evidence.limit("seq_scan_rows")
                and _narrowed_by_index(catalog, pattern, table)
            ):
                continue
            if pattern.searches and goes_by_distance(evidence, table, pattern):
                continue
            for comparison in comparisons_with_keys(evidence, pattern):
                way = way_of(comparison)
                # A GIN index there, of the wrong operator class, is another finding.
                if way is None or (way.json_operator is None and gin_indexes(catalog, column)):
                    continue
                if compares(catalog, comparison, column) and not is_served(catalog, column, way):
                    unserved.setdefault(way.discriminator, []).append((pattern, way))
            for way in _sorted_by(evidence, column, pattern):
                unserved.setdefault(way.discriminator, []).append((pattern, way))
        for found in _by_statements(unserved):
            yield _unserved(evidence, catalog, table, column, rows, found)
    yield Examined(len(columns), len(columns), "jsonb columns", gap=unread_statements(evidence))


def _sorted_by(evidence: Evidence, column: Column, pattern: AccessPattern) -> Iterator[Way]:
    """Keys of the column by which the statement sorts all rows to give the first few, and no index has them in that order."""
    catalog = evidence.get(Catalog)
    # What else confines the rows may well leave few to sort.
    if pattern.joined_relations > 1 or any(
        entry.json_operator is None and entry.operator != "is not null" for entry in pattern.comparisons
    ):
        return
    for entry in sorts_with_keys(evidence, pattern):
        way = way_of(entry.key) if entry.limit is not None and compares(catalog, entry.key, column) else None
        if way is not None and not is_served(catalog, column, way):
            yield way


def _by_statements(
    unserved: dict[str, list[tuple[AccessPattern, Way]]],
) -> list[list[tuple[AccessPattern, Way]]]:
    """Ways of the same statements are one finding: whoever compares three keys at once needs one index."""
    grouped: dict[tuple[bool, frozenset[AccessPattern]], list[tuple[AccessPattern, Way]]] = {}
    for found in unserved.values():
        of_key = found[0][1].json_operator is not None
        grouped.setdefault((of_key, frozenset(pattern for pattern, _ in found)), []).extend(found)
    return list(grouped.values())


def _narrowed_by_index(catalog: Catalog, pattern: AccessPattern, table: Table) -> bool:
    """Whether an index begins with a column that the statement compares for equality: the filter then sees few rows."""
    compared = {
        entry.column.column
        for entry in pattern.comparisons
        if entry.column.table == table.oid
        and entry.operator in {"=", "in"}
        and not (entry.under_or or entry.json_operator)
    }
    columns = catalog.columns_of(table.oid)
    return any(
        index.valid and index.keys and index.columns[0] in columns and columns[index.columns[0]].name in compared
        for index in catalog.indexes_of(table.oid)
    )


def _unserved(
    evidence: Evidence,
    catalog: Catalog,
    table: Table,
    column: Column,
    rows: float,
    found: list[tuple[AccessPattern, Way]],
) -> Finding:
    patterns = list(dict.fromkeys(pattern for pattern, _ in found))
    ways = list({each.discriminator: each for _, each in found}.values())
    way = ways[0]
    # An index for the one has the other's order too.
    sorts = all(each.operators == SORT for _, each in found)
    operators = sorted({operator for _, each in found for operator in each.operators} - (set() if sorts else SORT))
    subject = catalog.column_subject(column)
    places: tuple[Location, ...] = tuple(
        dict.fromkeys(place for pattern in patterns for place in statement_places(evidence, pattern))
    )
    key = way.key if way.key and "$" not in way.key else None
    inside = (
        f"{way.json_operator} {quote_literal(key) if key else 'a key'}{'' if sorts else f' {operators[0]}'}"
        if way.json_operator
        else "/".join(operators)
    )
    if len(ways) > 1:
        inside += f" and {len(ways) - 1} more key{'s' if len(ways) > 2 else ''}"
    verb = "sort" if sorts else "filter"
    count = f"A statement {verb}s" if len(patterns) == 1 else f"{len(patterns)} statements {verb}"
    ran = any(pattern.query_id for pattern in patterns)
    return Finding(
        subject,
        f"{count} {rows:,.0f} rows by {subject.name} {inside}, which no index serves{place_in_words(places)}",
        _index_fix(catalog, table, column, way, key, operators, others=len(ways) - 1),
        severity=Severity.HIGH if ran and rows > 10 * evidence.limit("seq_scan_rows") else Severity.MEDIUM,
        confidence=Confidence.MEASURED if ran else Confidence.INFERRED,
        observed={
            "operators": operators,
            "key": key,
            "keys": sorted({each.key for each in ways if each.key and "$" not in each.key}),
            "rows": round(rows),
            "statements": len(patterns),
            **statement_figures(evidence, patterns[0]),
        },
        related=(table.subject, *(statement_subject(pattern) for pattern in patterns[:SHOWN])),
        locations=places,
        discriminator=way.discriminator,
    )


def _plain(way: Way) -> bool:
    """One key, taken by an operator and at most cast: what an expression index can be written for from here."""
    return way.json_operator in {"->>", "->"} and (way.cast is None or way.cast.removeprefix("::") in _IMMUTABLE)


def _index_fix(
    catalog: Catalog, table: Table, column: Column, way: Way, key: str | None, operators: list[str], others: int
) -> Fix:
    name = quote_identifier(column.name)
    if way.json_operator is None:
        existence = bool(EXISTENCE & set(operators))
        what = f"USING gin ({name}{'' if existence else ' jsonb_path_ops'})"
        summary = "A GIN index" + (
            " with jsonb_ops, which knows keys" if existence else " with the smaller jsonb_path_ops"
        )
    elif key is None or "." in key or not _plain(way):
        return Fix("An index on the expression as the statement writes it, or the key as a generated column with an index. "
                   "Then ANALYZE, so that the planner learns its values.")  # fmt: skip
    elif set(operators) <= CONTAINMENT | EXISTENCE:
        what, summary = f"USING gin (({name} -> {quote_literal(key)}))", "A GIN index on that part of the document"
    else:
        expression = f"({name} {way.json_operator} {quote_literal(key)}){way.cast or ''}"
        what, summary = (
            f"(({expression}))" if way.cast else f"({expression})",
            "An index on the expression, then ANALYZE",
        )
    suffix = re.sub(r"\W+", "_", f"{column.name}_{key}" if key else column.name)
    index = new_name(catalog, table.schema, table.name, suffix, "idx")
    concurrently = "" if table.kind == "partitioned" else "CONCURRENTLY "
    relation = qualified_name(table.schema, table.name)
    if others:
        summary += "; on the key whose values leave the fewest rows"
    return Fix(
        f"{summary}.",
        sql=f"CREATE INDEX {concurrently}{quote_identifier(index)} ON {relation} {what}; ANALYZE {relation};",
        lock="SHARE UPDATE EXCLUSIVE" if concurrently else "SHARE",
        undo=f"DROP INDEX {concurrently}{qualified_name(table.schema, index)};",
    )
