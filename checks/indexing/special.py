"""Proposals that are no B-tree over plain columns: on expressions, inside documents and arrays, for parts of a text and words."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Column, Index
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import Comparison
from checks.indexing.needs import Need, needs, rows_of_call
from checks.indexing.proposals import Candidate, Key, Purpose
from checks.indexing.serving import serving_index
from checks.json_paths import CONTAINMENT, EXISTENCE, comparisons_with_keys, way_of
from checks.json_paths import is_served as document_is_served
from checks.model import quote_identifier
from checks.relations import is_usable, quote_literal

# Of one argument and IMMUTABLE, so that an index may hold what they give.
INDEXABLE_FUNCTIONS = frozenset({"lower", "upper", "md5", "length", "char_length", "abs", "initcap", "reverse"})
_COMPARED = frozenset({"=", "in", "<", "<=", ">", ">=", "between"})
_ARRAY_OPERATORS = frozenset({"@>", "&&", "<@"})
_PATTERN_OPERATORS = frozenset({"like", "ilike", "~", "~*"})
_TEXT_TYPES = frozenset({"text", "varchar", "bpchar", "citext", "name"})
_UPPER_LOWER = frozenset({"upper", "lower"})


def special_candidates(evidence: Evidence) -> list[Candidate]:
    """One for each expression, document path, array or text that statements choose rows of large tables by and that no index
    serves, unless an index serves what they compare besides."""
    found: dict[tuple[object, ...], Candidate] = {}
    for need in needs(evidence):
        if need.rows is None or need.rows < evidence.limit("seq_scan_rows") or not need.pattern.all_filters_known:
            continue
        if not _all_others(evidence, need) or serving_index(evidence, need) is not None:
            continue
        returned = rows_of_call(need.pattern, need.statement)
        if returned is not None and returned >= evidence.limit("seq_scan_selectivity") * need.rows:
            continue
        for candidate in _of_need(evidence, need):
            key = (candidate.table, candidate.method, candidate.keys, candidate.purpose)
            before = found.get(key)
            if before is None:
                found[key] = candidate
            elif need not in before.needs:
                found[key] = msgspec.structs.replace(before, needs=(*before.needs, need))
    ordered = (tuple(sorted(one.needs, key=lambda need: (-need.total_ms, need.name))) for one in found.values())
    return [
        msgspec.structs.replace(one, needs=sorted_needs)
        for one, sorted_needs in zip(found.values(), ordered, strict=True)
    ]


def _all_others(evidence: Evidence, need: Need) -> bool:
    """Whether there is anything special, and the equalities beside it do not leave a small part already: then those are what
    an index should hold."""
    few = evidence.limit("seq_scan_selectivity") * (need.rows or 0)
    narrow = bool(need.equal) and need.rows_left is not None and need.rows_left < few
    return bool(need.other) and not narrow


def _of_need(evidence: Evidence, need: Need) -> Iterator[Candidate]:
    catalog = evidence.get(Catalog)
    written_keys = comparisons_with_keys(evidence, need.pattern)
    documents = [entry for entry in written_keys if entry.column.table == need.table.oid and not entry.under_or]
    for entry in need.other:
        column = catalog.column_named(need.table.oid, entry.column.column)
        if column is None:
            continue
        if column.base_type == "jsonb":
            for written in documents:
                if written.column == entry.column and (candidate := _document(catalog, need, column, written)):
                    yield candidate
        elif candidate := _of_comparison(catalog, need, column, entry):
            yield candidate


def _of_comparison(catalog: Catalog, need: Need, column: Column, entry: Comparison) -> Candidate | None:
    textual = column.base_type in _TEXT_TYPES
    caseless = entry.function in _UPPER_LOWER and entry.operator in _PATTERN_OPERATORS
    if textual and entry.operator in _PATTERN_OPERATORS and (entry.function in (None, "::text") or caseless):
        return _pattern(catalog, need, column, entry)
    if entry.operator == "@@":
        return _words(catalog, need, column, entry)
    if column.type_category == "A" and entry.operator in _ARRAY_OPERATORS and entry.function is None:
        if _indexed_by(catalog, column, {"gin", "gist"}):
            return None
        return _one(need, Purpose.ARRAY, "gin", Key(quote_identifier(column.name), column.name))
    if entry.function and entry.json_operator is None and entry.operator in _COMPARED:
        return _expression(catalog, need, column, entry)
    return None


def _one(need: Need, purpose: Purpose, method: str, key: Key, extension: str | None = None) -> Candidate:
    return Candidate(purpose, need.table.oid, method, (key,), (need,), extension=extension)


def _pattern(catalog: Catalog, need: Need, column: Column, entry: Comparison) -> Candidate | None:
    """Trigrams, for a pattern that may begin anywhere: one known to begin with letters, or of which nothing is known, is left
    alone; ILIKE never has a B-tree to lean on."""
    if entry.operator == "like" and entry.leading_wildcard is not True and not _wildcard_in_text(need, entry):
        return None
    if entry.operator == "ilike" and entry.leading_wildcard is False:
        return None
    if entry.operator in {"~", "~*"} and entry.leading_wildcard is None and entry.function:
        return None
    if _has_trigrams(catalog, column):
        return None
    key = Key(quote_identifier(column.name), column.name, "gin_trgm_ops")
    if entry.function in _UPPER_LOWER:
        key = Key(f"{entry.function}({quote_identifier(column.name)})", column.name, "gin_trgm_ops")
    return _one(need, Purpose.PATTERN, "gin", key, "pg_trgm")


def _wildcard_in_text(need: Need, entry: Comparison) -> bool:
    """Whether the statement itself puts a wildcard before the parameter (`'%' || $1`): normalising hides the constant, and
    what stands before a parameter in a concatenation is nothing else."""
    return entry.operator == "like" and bool(
        re.search(r"\bLIKE\s+\(?\s*(?:'%'|\$\d+(?:::\w+)?)\s*\|\|\s*\$\d+", need.pattern.text, re.IGNORECASE)
    )


def _has_trigrams(catalog: Catalog, column: Column) -> bool:
    return any(
        is_usable(index)
        and index.method in {"gin", "gist"}
        and any(
            "trgm" in key.operator_class and (key.column == column.number or column.number in key.expression_columns)
            for key in index.keys
        )
        for index in catalog.indexes_of(column.table)
    )


def _words(catalog: Catalog, need: Need, column: Column, entry: Comparison) -> Candidate | None:
    if _indexed_by(catalog, column, {"gin", "gist", "rum", "bm25"}):
        return None
    if column.base_type == "tsvector":
        return _one(need, Purpose.TEXT_SEARCH, "gin", Key(quote_identifier(column.name), column.name))
    sql = f"to_tsvector('english', {quote_identifier(column.name)})"
    return _one(need, Purpose.TEXT_SEARCH, "gin", Key(sql, column.name)) if entry.function == "to_tsvector" else None


def _indexed_by(catalog: Catalog, column: Column, methods: set[str]) -> bool:
    return any(
        index.method in methods
        and is_usable(index)
        and any(key.column == column.number or column.number in key.expression_columns for key in index.keys)
        for index in catalog.indexes_of(column.table)
    )


def _expression(catalog: Catalog, need: Need, column: Column, entry: Comparison) -> Candidate | None:
    """The function of the column alone, as it stands in the statement; of nested calls only one is known, so they are left."""
    function = entry.function or ""
    if function not in INDEXABLE_FUNCTIONS or not _stands_alone(need.pattern.text, function, column.name):
        return None
    if any(expression_serves(index, column, function) for index in catalog.indexes_of(column.table)):
        return None
    key = Key(f"{function}({quote_identifier(column.name)})", column.name)
    return _one(need, Purpose.EXPRESSION, "btree", key)


def expression_serves(index: Index, column: Column, function: str) -> bool:
    """Whether the index has that function of the column as its first key."""
    first = index.keys[0]
    called = re.escape(function)
    return (
        is_usable(index)
        and first.expression is not None
        and column.number in first.expression_columns
        and re.search(rf"(?<!\w){called}\(", first.expression) is not None
    )


def _stands_alone(text: str, function: str, column: str) -> bool:
    name = f'(?:{re.escape(column)}|"{re.escape(column)}")'
    call = rf'\b{re.escape(function)}\s*\(\s*(?:(?:\w+|"[^"]+")\s*\.\s*){{0,2}}{name}\s*(?:::\w+)?\s*\)'
    return re.search(call, text, re.IGNORECASE) is not None


def _document(catalog: Catalog, need: Need, column: Column, entry: Comparison) -> Candidate | None:
    way = way_of(entry)
    if way is None or document_is_served(catalog, column, way):
        return None
    name = quote_identifier(column.name)
    if way.json_operator is None:
        classes = "jsonb_path_ops" if way.operators <= CONTAINMENT else ""
        return _one(need, Purpose.DOCUMENT, "gin", Key(name, column.name, classes))
    if way.key is None or "$" in way.key or way.cast is not None or way.operators <= CONTAINMENT | EXISTENCE:
        return None
    if way.json_operator not in {"->>", "#>>"}:
        return None
    steps = [quote_literal(step).strip() for step in way.key.split(".")]
    if way.json_operator == "->>":
        path = " -> ".join((name, *steps[:-1])) + f" ->> {steps[-1]}"
    else:
        path = f"{name} #>> {quote_literal('{' + ','.join(way.key.split('.')) + '}').strip()}"
    return _one(need, Purpose.DOCUMENT, "btree", Key(f"({path})", column.name))
