"""Filters that an index over plain columns cannot serve: functions, parts of texts, words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Column
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import Comparison
from checks.evidence.rewriting import with_plain_column
from checks.families import once_per_family
from checks.indexing.candidates import candidates
from checks.indexing.needs import Need, needs
from checks.indexing.proposals import Candidate, Key, Purpose, creation
from checks.indexing.serving import serving_index
from checks.indexing.special import INDEXABLE_FUNCTIONS, expression_serves
from checks.indexing.workload import unserved
from checks.indexing.write_costs import cost_in_words, write_cost
from checks.model import Confidence, Examined, Finding, Fix, Severity, quote_identifier
from checks.registry import check
from checks.relations import reviewed_tables
from checks.workload import observed_workload, place_in_words, statement_figures, statement_places, unread_statements

_COMPARED = frozenset({"=", "in", "<", "<=", ">", ">=", "between"})
_MOMENTS = frozenset({"timestamptz", "timestamp", "date"})
_OF_MOMENTS = frozenset({"date_trunc", "date_part", "extract", "::date", "to_char", "date", "timezone", "age"})
_REWRITES = {
    "coalesce": "Write `column = value OR column IS NULL`, or make the column NOT NULL with the default.",
    "+": "Bring the arithmetic to the other side, so that the column stands alone.",
    "-": "Bring the arithmetic to the other side, so that the column stands alone.",
    "*": "Bring the arithmetic to the other side, so that the column stands alone.",
    "/": "Bring the arithmetic to the other side, so that the column stands alone.",
}


@check("indexing.function-on-column", catalogue="I28", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def function_on_column(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A filter wraps its column in a function, a cast or arithmetic that no index is made for.

    An index over the column knows its values, not what a function makes of them: `lower(email) = $1`, `created_at::date = $1`
    and `age + 1 > $1` read the whole table. The planner knows nothing of such results either, and guesses.

    Fix: An index on the expression where the function is immutable; a range over the plain column for parts of a time; the
    arithmetic on the other side.

    Example: WHERE lower(email) = $1 beside an index on (email); it takes one on (lower(email)).

    Source: PostgreSQL manual, "Indexes on Expressions"

    Observed: column, function, rows, statements, statement, calls, mean_ms, share
    """
    catalog = evidence.get(Catalog)
    reviewed_tables(catalog)
    observed_workload(evidence)
    proposed = {(one.table, one.columns[0]): one for one in candidates(evidence) if one.purpose is Purpose.EXPRESSION}
    found: dict[tuple[Column, str], list[Need]] = {}
    examined = 0
    for need in needs(evidence):
        if need.rows is None or need.rows < evidence.limit("seq_scan_rows") or not need.pattern.all_filters_known:
            continue
        wrapped = [entry for entry in need.other if _is_wrapped(entry)]
        examined += bool(wrapped)
        narrow = need.equal and need.rows_left is not None and need.rows_left < 0.1 * need.rows
        if narrow or serving_index(evidence, need) is not None:
            continue
        for entry in wrapped:
            column = catalog.column_named(need.table.oid, entry.column.column)
            function = entry.function or ""
            if column is None or column.base_type in {"jsonb", "json"} or _harmless_cast(column, function):
                continue
            if any(
                expression_serves(index, column, function.lstrip(":")) for index in catalog.indexes_of(column.table)
            ):
                continue
            found.setdefault((column, function), []).append(need)
    for (column, function), wanting in found.items():
        candidate = proposed.get((column.table, column.name)) if function in INDEXABLE_FUNCTIONS else None
        fix = (
            creation(catalog, candidate, "An index on the expression." + cost_in_words(write_cost(evidence, candidate)))
            if candidate
            else _written_otherwise(evidence, column, function, wanting)
        )
        shown = f"{quote_identifier(column.name)}{function}" if function.startswith("::") else f"{function}(…)"
        yield _finding(
            evidence,
            column,
            wanting,
            f"by {shown} of {quote_identifier(column.name)}",
            fix,
            {"function": function},
            function,
        )
    yield Examined(examined, examined, "filters by an expression of a large table", unread_statements(evidence))


def _is_wrapped(entry: Comparison) -> bool:
    return entry.function is not None and entry.json_operator is None and entry.operator in _COMPARED


def _harmless_cast(column: Column, function: str) -> bool:
    """Casts among types that share an operator family, and to text of what is text."""
    families = (
        {"text", "varchar", "bpchar", "citext", "name"},
        {"int2", "int4", "int8"},
        {"timestamp", "timestamptz", "date"},
    )
    target = function.removeprefix("::")
    if not function.startswith("::") or target == "date":
        return False
    return any(column.base_type in family and target in family for family in families)


def _written_otherwise(evidence: Evidence, column: Column, function: str, wanting: list[Need]) -> Fix:
    """In words; where every statement can be written so that it means the same, with their texts, and the index over the plain
    column if there is none."""
    catalog, words = evidence.get(Catalog), _rewriting(column, function)
    pairs = [(need, with_plain_column(need.pattern.text, column.name, column.base_type)) for need in wanting]
    known = [(need, found) for need, found in pairs if found is not None]
    if not known or len(known) < len(pairs):
        return Fix(words)
    rewritten = tuple(dict.fromkeys((need.name, found.text) for need, found in known))
    words = f"{words} Write `{known[0][1].after}` for `{known[0][1].before}`."
    served = any(
        index.valid and index.method == "btree" and index.predicate is None and index.keys[0].column == column.number
        for index in catalog.indexes_of(column.table)
    )
    if served:
        return Fix(words, rewritten=rewritten)
    key = Key(quote_identifier(column.name), column.name)
    candidate = Candidate(Purpose.RANGE, column.table, "btree", (key,), tuple(wanting))
    made = creation(catalog, candidate, f"{words} No index begins with the column yet: make one.")
    return msgspec.structs.replace(made, rewritten=rewritten)


def _rewriting(column: Column, function: str) -> str:
    if column.base_type in _MOMENTS and function in _OF_MOMENTS:
        return (
            "Compare the plain column with a range: from the first moment of the day or month, to before the next one."
        )
    if function.startswith("::"):
        return "Cast the value, not the column; where types differ in the schema, give both the same."
    return _REWRITES.get(
        function, "Compare the plain column, or index the expression as it stands if its function is IMMUTABLE."
    )


@check("indexing.leading-wildcard", catalogue="I29 P55", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def leading_wildcard(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A text is searched for a part that may stand anywhere, and no trigram index serves that.

    A B-tree finds texts by how they begin. A pattern that begins with a wildcard, and ILIKE whatever it begins with, compares
    every text of the table. Trigrams find any part of three letters or more.

    Fix: A GIN index with gin_trgm_ops of pg_trgm.

    Example: WHERE title ILIKE '%' || $1 || '%' on a million documents; a GIN index with gin_trgm_ops serves it.

    Source: PostgreSQL manual, "pg_trgm", "Index Support"

    Observed: column, operators, rows, statements, statement, calls, mean_ms, share
    """
    yield from _of_purpose(
        evidence,
        Purpose.PATTERN,
        "for a part of a text",
        "Trigrams; patterns of fewer than three letters still read much of it.",
        lambda one: {
            "operators": sorted(
                {entry.operator for need in one.needs for entry in need.other if entry.column.column == one.columns[0]}
            )
        },
    )


@check("indexing.text-search-without-index", catalogue="I30", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def text_search_without_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Rows of a large table are searched by words, and no index over a tsvector serves it.

    Each search then takes apart every text anew. An index can hold only what to_tsvector gives with a named configuration;
    with one argument the result depends on a setting, and no index can serve it.

    Fix: A GIN index on the tsvector column, or on to_tsvector with the configuration that the statements name.

    Example: WHERE to_tsvector('english', body) @@ plainto_tsquery($1) parses every body again; a stored tsvector with GIN is
    looked up.

    Source: PostgreSQL manual, "Tables and Indexes" (full text search)

    Observed: column, rows, statements, statement, calls, mean_ms, share
    """
    yield from _of_purpose(
        evidence,
        Purpose.TEXT_SEARCH,
        "by words",
        "GIN; the configuration has to be the one that the statements name.",
        lambda _: {},
    )


@check("indexing.wrong-index-type", catalogue="I31", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def wrong_index_type(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Arrays are searched by their elements, and no index of the right kind is there.

    No B-tree or hash index serves `@>`, `<@` and `&&` on an array, so every such search reads the table. GIN serves them.

    Fix: A GIN index on the column.

    Example: WHERE tags && $1 beside CREATE INDEX ON posts (tags); it takes USING gin.

    Source: PostgreSQL manual, "GIN Indexes", "Built-in Operator Classes"

    Observed: column, rows, statements, statement, calls, mean_ms, share
    """
    yield from _of_purpose(evidence, Purpose.ARRAY, "by elements of an array", "GIN over the elements.", lambda _: {})


def _of_purpose(
    evidence: Evidence, purpose: Purpose, how: str, summary: str, more: Callable[[Candidate], dict[str, object]]
) -> Iterator[Finding | Examined]:
    catalog = evidence.get(Catalog)
    reviewed_tables(catalog)
    observed_workload(evidence)
    large = [need for need in needs(evidence) if need.other and (need.rows or 0) >= evidence.limit("seq_scan_rows")]
    for one in candidates(evidence):
        candidate = unserved(evidence, one) if one.purpose is purpose else None
        if candidate is None:
            continue
        column = catalog.column_named(candidate.table, candidate.columns[0])
        if column is None:
            continue
        fix = creation(catalog, candidate, summary + cost_in_words(write_cost(evidence, candidate)))
        title = f"{how} in {quote_identifier(column.name)}"
        yield _finding(evidence, column, list(candidate.needs), title, fix, more(candidate), "")
    yield Examined(
        len(large), len(large), "filters of large tables by other than plain columns", unread_statements(evidence)
    )


def _finding(
    evidence: Evidence,
    column: Column,
    wanting: list[Need],
    how: str,
    fix: Fix,
    more: dict[str, object],
    discriminator: str,
) -> Finding:
    catalog = evidence.get(Catalog)
    wanting = sorted({need.name: need for need in wanting}.values(), key=lambda need: (-need.total_ms, need.name))
    locations = tuple(dict.fromkeys(place for need in wanting for place in statement_places(evidence, need.pattern)))
    table, ran = catalog.table_by_oid[column.table], any(need.statement for need in wanting)
    rows = wanting[0].rows or 0.0
    figures = statement_figures(evidence, wanting[0].pattern)
    heavy = figures.get("share", 0.0) >= 0.05
    return Finding(
        catalog.column_subject(column),
        f"{rows:,.0f} rows of {table.subject.name} are searched {how}, which no index serves{place_in_words(locations)}",
        fix,
        severity=Severity.HIGH if heavy else Severity.MEDIUM if ran else Severity.LOW,
        confidence=Confidence.MEASURED if ran else Confidence.INFERRED,
        observed={
            "column": column.name,
            **more,
            "rows": round(rows),
            "statements": [need.name for need in wanting][:5],
            **figures,
        },
        related=(table.subject,),
        locations=locations,
        discriminator=discriminator,
    )
