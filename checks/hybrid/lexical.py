"""Hybrid search: whether the lexical half is there, has an index, and knows its language."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.hybrid.searches import (
    Search,
    search_confidence,
    search_figures,
    search_places,
    search_subjects,
    searches_of,
)
from checks.hybrid.vectors import vector_columns
from checks.model import Examined, Finding, Fix, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import estimated_rows, leaves, new_name
from checks.workload import place_in_words, unread_statements, workload_seen

_LEXICAL = re.compile(
    r"@@|\bts_rank|\bto_tsvector\b|\bto_tsquery\b|\bwebsearch_to_tsquery\b|\bplainto_tsquery\b|\bsimilarity\(|@@@|paradedb"
)
_MADE_THEN = re.compile(r"\bto_tsvector\s*\(", re.IGNORECASE)
_TEXTS = frozenset({"text", "varchar"})
_CONTENT = re.compile(r"content|text|body|chunk|passage|document|summary|description|message", re.IGNORECASE)
_TERMS = re.compile(r"sparse|bm25|(?:^|_)(?:terms|tokens|lexemes)$", re.IGNORECASE)
_METHODS = frozenset({"gin", "gist", "rum", "bm25"})


@check("hybrid.lexical-half-missing", catalogue="H41", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def lexical_half_missing(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Hybrid search has only its vector half, or its lexical half has no index.

    Embeddings are weak where words are exact: part numbers, names, error codes. Full-text search beside it, fused by rank, finds
    those; but to_tsvector() computed for every row of each search, without an index, costs more than the rest.

    Fix: A generated tsvector column with a fixed language and GIN; both halves fused by reciprocal rank, then re-ranked.

    Example: WHERE to_tsvector('english', body) @@ plainto_tsquery($1) beside ORDER BY embedding <=> $2: each search parses
    every body; body_tsv tsvector GENERATED ALWAYS AS (to_tsvector('english', body)) STORED with GIN is looked up.

    Source: pgvector README, "Hybrid Search"; PostgreSQL manual, "Tables and Indexes" (full text search)

    Observed: half, rows, statement, function, calls, mean_ms
    """
    catalog = evidence.get(Catalog)
    columns = vector_columns(catalog)
    examined = 0
    for table, column in columns:
        searches = searches_of(evidence, column)
        if not searches:
            continue
        examined += 1
        lexical = [entry for entry in searches if _LEXICAL.search(entry.pattern.text)]
        indexed = _has_lexical_index(catalog, table) or _has_words(catalog, table)
        texts = [
            other
            for other in catalog.columns_of(table.oid).values()
            if other.base_type in _TEXTS and _CONTENT.search(other.name)
        ]
        large = (estimated_rows(evidence, table) or 0) > evidence.limit("vector_rows")
        if lexical and not indexed:
            severity = Severity.MEDIUM if large else Severity.LOW
            yield _finding(evidence, table, column, lexical, texts, "unindexed", severity)
        elif _are_encrypted(evidence, table, texts):
            continue
        elif large and not lexical and not indexed and texts and not _searched_otherwise(evidence, table, searches):
            yield _finding(evidence, table, column, searches, texts, "absent", Severity.NOTE)
    yield Examined(examined, len(columns), "searched vector columns", gap=unread_statements(evidence), unmet=None)


def _are_encrypted(evidence: Evidence, table: Table, texts: list[Column]) -> bool:
    """Whether statements decrypt the texts: what is stored has no words."""
    names = "|".join(re.escape(column.name) for column in texts)
    decrypts = re.compile(rf'decrypt\w*\s*\(\s*(?:\w+\.)?"?(?:{names})\b', re.IGNORECASE)
    return bool(texts) and any(
        table.oid in pattern.tables and decrypts.search(pattern.text) for pattern in workload_seen(evidence)
    )


def _has_lexical_index(catalog: Catalog, table: Table) -> bool:
    """An index over a tsvector, of trigrams, or for BM25."""
    for part in (table, *leaves(catalog, table)):
        columns = catalog.columns_of(part.oid)
        for index in catalog.indexes_of(part.oid):
            if index.method not in _METHODS or not index.valid:
                continue
            for key in index.keys:
                name = key.operator_class.rpartition(".")[2]
                known = columns.get(key.column)
                if name.startswith(("tsvector", "gin_trgm", "gist_trgm")) or index.method == "bm25":
                    return True
                if known is not None and known.base_type == "tsvector":
                    return True
    return False


def _has_words(catalog: Catalog, table: Table) -> bool:
    """Terms of the texts in a column of their own: sparse vectors, or arrays of terms for BM25."""
    return any(
        column.base_type == "sparsevec" or (column.base_type.startswith("_") and _TERMS.search(column.name))
        for column in catalog.columns_of(table.oid).values()
    )


def _searched_otherwise(evidence: Evidence, table: Table, searches: list[Search]) -> bool:
    """Whether another statement searches the table's texts, so that both halves may be joined in code; or whether the texts'
    own table, that the vectors belong to, has an index on words."""
    catalog = evidence.get(Catalog)
    beside = {entry.referenced_table for entry in catalog.constraints_of(table.oid) if entry.kind == "foreign_key"}
    beside |= {oid for entry in searches for oid in entry.pattern.tables}
    if any(_has_lexical_index(catalog, catalog.table_by_oid[oid]) for oid in beside if oid in catalog.table_by_oid):
        return True
    return any(
        table.oid in pattern.tables
        and (_LEXICAL.search(pattern.text) or any(entry.operator in {"like", "ilike"} for entry in pattern.comparisons))
        for pattern in workload_seen(evidence)
    )


def _finding(
    evidence: Evidence,
    table: Table,
    column: Column,
    searches: list[Search],
    texts: list[Column],
    half: str,
    severity: Severity,
) -> Finding:
    catalog = evidence.get(Catalog)
    subject, relation = catalog.column_subject(column), qualified_name(table.schema, table.name)
    places = search_places(evidence, searches)
    if half == "unindexed":
        title = f"The lexical half of a hybrid search of {relation} has no index{place_in_words(places)}"
    else:
        title = f"{relation} is searched by vectors alone, and its texts by nothing"
    return Finding(
        subject,
        title,
        _index_fix(catalog, table, texts),
        severity=severity,
        confidence=search_confidence(searches),
        observed={
            "half": half,
            "rows": round(estimated_rows(evidence, table) or 0),
            "made_for_each_search": any(_MADE_THEN.search(entry.pattern.text) for entry in searches),
            **search_figures(evidence, searches[0]),
        },
        related=(table.subject, *search_subjects(searches)),
        locations=places,
    )  # fmt: skip


def _index_fix(catalog: Catalog, table: Table, texts: list[Column]) -> Fix:
    relation, names = qualified_name(table.schema, table.name), catalog.column_names.get(table.oid, {})
    concurrently = "" if table.kind == "partitioned" else "CONCURRENTLY "
    stored = [column for column in names.values() if column.base_type == "tsvector"]
    column = stored[0].name if stored else "fts" if "fts" not in names else "fts_"
    name, index = quote_identifier(column), new_name(catalog, table.schema, table.name, column, "idx")
    create = f"CREATE INDEX {concurrently}{quote_identifier(index)} ON {relation} USING gin ({name});"
    if stored:
        return Fix(
            f"GIN on {name}, and searches that choose their rows by {name} @@ query before they rank them: what only computes "
            "ts_rank() reads every row.",
            sql=create,
            lock="SHARE UPDATE EXCLUSIVE" if concurrently else "SHARE",
            undo=f"DROP INDEX {concurrently}{qualified_name(table.schema, index)};",
        )
    summary = (
        "A generated column in the language of the texts, with GIN; fuse both halves by reciprocal rank. Adding the column "
        "rewrites the table."
    )
    if not texts:
        return Fix(summary)
    value = f"to_tsvector('english', coalesce({quote_identifier(texts[0].name)}, ''))"
    return Fix(
        summary,
        sql=f"ALTER TABLE {relation} ADD COLUMN {name} tsvector GENERATED ALWAYS AS ({value}) STORED; {create}",
        lock="ACCESS EXCLUSIVE",
        rewrites=True,
        undo=f"ALTER TABLE {relation} DROP COLUMN {name};",
    )
