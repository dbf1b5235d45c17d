"""What this program itself did to the counters of indexes, in this review and in those before: pg_stat_statements has kept its
statements.

The shadow asks for the least and greatest value of the leading columns of indexes, and the planner looks at the ends of an index
when it plans a join or a range. Both count as scans of the index, and so as reads of its table, unless this login may set
track_counts.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from checks.evidence.database.facts import Catalog, Table, Usage
from checks.evidence.tokens import Kind, tokens

_NAME = r'("(?:[^"]|"")++"|[a-z_][a-z0-9_$]*+)'
_END = re.compile(rf"\(SELECT e\.{_NAME}::text FROM ONLY {_NAME}\.{_NAME} AS e WHERE ")
_ENDS_OF_AN_INDEX = 2


class _Own(NamedTuple):
    """How often an end of a column was asked for, by schema, table and column; and by each table's name how often statements with
    these words in them were planned."""

    ends: Counter[tuple[str, str, str]]
    planned: dict[str, list[tuple[int, Counter[str]]]]


def with_own_reads(usage: Usage, catalog: Catalog, statements: Iterable[tuple[str, int]]) -> Usage:
    """Fills in what this program did to each B-tree, by its own statements (text, calls)."""
    own = _own(statements, {table.name for table in catalog.tables})
    entries = []
    for entry in usage.indexes:
        index = catalog.index_by_oid.get(entry.index)
        if index is not None and index.method == "btree" and index.columns and index.columns[0]:
            column = catalog.column(index.table, index.columns[0]).name
            table = catalog.table_by_oid[index.table]
            looks = own.ends[table.schema, table.name, column]
            plannings = sum(
                calls * words[column] * _ENDS_OF_AN_INDEX
                for name in {named.name for named in _with_ancestors(catalog, table)}
                for calls, words in own.planned.get(name, ())
            )
            if looks or plannings:
                entry = msgspec.structs.replace(entry, own_looks=looks, own_plannings=plannings)
        entries.append(entry)
    return msgspec.structs.replace(usage, indexes=tuple(entries))


def _own(statements: Iterable[tuple[str, int]], tables: set[str]) -> _Own:
    ends: Counter[tuple[str, str, str]] = Counter()
    planned: dict[str, list[tuple[int, Counter[str]]]] = defaultdict(list)
    for text, calls in statements:
        if text.startswith("EXPLAIN"):
            words = Counter(_words(text))
            for name in tables & words.keys():
                planned[name].append((calls, words))
            continue
        for column, schema, table in _END.findall(text):
            ends[_unquoted(schema), _unquoted(table), _unquoted(column)] += calls
    return _Own(ends, planned)


def _words(text: str) -> Iterator[str]:
    for token in tokens(text):
        if token.kind is Kind.WORD:
            yield token.text.lower()
        elif token.kind is Kind.QUOTED:
            yield _unquoted(token.text)


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _with_ancestors(catalog: Catalog, table: Table) -> Iterator[Table]:
    """A table and the partitioned ones above it, by whose names statements ask for its rows."""
    known: Table | None = table
    seen: set[int] = set()
    while known is not None and known.oid not in seen:
        yield known
        seen.add(known.oid)
        known = catalog.table_by_oid.get(known.parent) if known.parent is not None else None
