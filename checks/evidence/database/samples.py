"""A bounded sample of the rows of each table, looked at on the server (--read-rows): only counts of forms leave it.

Read-only, at most 1,000 rows of a table, in short transactions, within a bounded time. Policies are not worked around: a table
whose rows this role may see in part only is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import psycopg

from checks.evidence.database.facts import Catalog, Column, ColumnSample, Extension, RowSamples, Table
from checks.evidence.database.session import MANNERS, MARKER, Session
from checks.evidence.database.unreadable import unreadable
from checks.model import qualified_name, quote_identifier
from checks.relations import is_reviewed

ROWS = 1_000
SECONDS = 60.0
MAXIMUM_BYTES = 2_000
TEXTS = frozenset({"text", "varchar"})
NUMBERS = frozenset({"int2", "int4"})
# What gives the length of a vector of each type (pgvector).
LENGTHS: Mapping[str, str] = {"vector": "vector_norm", "halfvec": "l2_norm", "sparsevec": "l2_norm"}
_COLUMNS = 30
_LARGE_TABLE = 100_000
_MANNERS: Mapping[str, str] = {
    **MANNERS,
    "search_path": "pg_catalog",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    # Rather an error than a sample of some of the rows.
    "row_security": "off",
}
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_FORMS: Mapping[str, str] = {
    "empty": "{0} = ''",
    "padded": "{0} <> btrim({0}) AND btrim({0}) <> ''",
    "booleans": "lower({0}) IN ('t', 'f', 'true', 'false', 'y', 'n', 'yes', 'no', 'on', 'off', '0', '1')",
    "integers": "{0} ~ '^(0|-?[1-9][0-9]{{0,17}})$'",
    "numbers": "{0} ~ '^-?(0|[1-9][0-9]{{0,17}})\\.[0-9]{{1,18}}$'",
    "uuids": f"{{0}} ~* '^{_UUID.replace('{', '{{').replace('}', '}}')}$'",
    "times": "{0} ~ '^[12][0-9]{{3}}-[01][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-5][0-9](:[0-5][0-9]([.,][0-9]+)?)?"
    "(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)?)?$'",
    "documents": "{0} ~ '^\\s*(\\{{\\s*[\"}}]|\\[\\s*[]{{[\"0-9tfn-])' AND right(rtrim({0}), 1) IN ('}}', ']')",
    "markup": "{0} ~ '^\\s*<\\?xml '",
    "lists": f"{{0}} ~* '^([0-9]+(\\s*,\\s*[0-9]+)+|{_UUID.replace('{', '{{').replace('}', '}}')}(\\s*,\\s*"
    f"{_UUID.replace('{', '{{').replace('}', '}}')})+)$'",
}


def sample_rows(
    session: Session,
    catalog: Catalog,
    extension: Extension | None = None,
    *,
    seconds: float = SECONDS,
    progress: Callable[[str], None] = lambda _: None,
) -> RowSamples:
    """The tables of the application, the largest first, each in one statement for up to thirty columns; vectors too where
    `extension`, pgvector, is given. Raises Cancelled, ConnectionLost."""
    begun = time.monotonic()
    samples: list[ColumnSample] = []
    skipped: dict[str, str] = {}
    tables = sorted(
        (table for table in catalog.tables if is_reviewed(table) and table.kind in ("table", "partitioned")),
        key=lambda table: (-(table.rows or 0), table.schema, table.name),
    )
    sampled_types = TEXTS | NUMBERS | (LENGTHS.keys() if extension else frozenset())
    schema = extension.schema if extension else ""
    read = 0
    closed = unreadable(session)
    for table in tables:
        columns = [column for column in catalog.columns_of(table.oid).values() if column.base_type in sampled_types]
        if not columns:
            continue
        if table.oid in closed:
            skipped[str(table.oid)] = "not_permitted"
            continue
        if time.monotonic() - begun > seconds:
            skipped[str(table.oid)] = "no_time"
            continue
        progress(f"reading a sample of {table.subject.name}")
        try:
            for start in range(0, len(columns), _COLUMNS):
                samples += _sampled(session, table, columns[start : start + _COLUMNS], schema)
            read += 1
        except psycopg.errors.QueryCanceled:
            skipped[str(table.oid)] = "no_time"
        except psycopg.errors.InsufficientPrivilege:
            skipped[str(table.oid)] = "not_permitted"
        except psycopg.Error:
            skipped[str(table.oid)] = "unsupported"
    return RowSamples(tuple(samples), read, skipped, round(time.monotonic() - begun, 1))


def _sampled(session: Session, table: Table, columns: list[Column], schema: str) -> Iterator[ColumnSample]:
    rows = table.rows or 0
    share = f" TABLESAMPLE SYSTEM ({100 * 5 * ROWS / rows:.4f}) REPEATABLE (7)" if rows > _LARGE_TABLE else ""
    inner = ", ".join(f"{_looked_at(column)} AS c{position}" for position, column in enumerate(columns))
    figures = ", ".join(
        f"{_figures(f's.c{position}', column, schema)} AS f{position}" for position, column in enumerate(columns)
    )
    with session.transaction(_MANNERS, ends=True, may_fail=True):
        (row,) = session.rows(
            f"SELECT {MARKER} {figures} FROM (SELECT {inner} FROM {qualified_name(table.schema, table.name)} AS t{share} "
            f"LIMIT {ROWS}) AS s"
        )
    for column, found in zip(columns, row, strict=True):
        if found and found[0]:
            yield _of(table, column, [int(number) for number in found])


def _looked_at(column: Column) -> str:
    """The value as text, unless it is long; how long it is, is known without fetching what stands out of line."""
    name = f"t.{quote_identifier(column.name)}"
    if column.base_type in LENGTHS:
        return name
    if column.base_type in NUMBERS:
        return f"{name}::text"
    return f'CASE WHEN octet_length({name}) <= {MAXIMUM_BYTES} THEN {name}::text COLLATE "C" END'


def _figures(name: str, column: Column, schema: str) -> str:
    if column.base_type in LENGTHS:
        counts = [f"count(*) FILTER (WHERE {qualified_name(schema, LENGTHS[column.base_type])}({name}) = 0)"]
    elif column.base_type in NUMBERS:
        counts = [f"count(*) FILTER (WHERE {name} IN ('0', '1'))"]
    else:
        counts = [f"count(*) FILTER (WHERE {form.format(name)})" for form in _FORMS.values()]
        counts += [f"count(DISTINCT {name})", f"count(DISTINCT lower(btrim({name})))"]
    return f"json_build_array(count({name}), {', '.join(counts)})"


def _of(table: Table, column: Column, found: list[int]) -> ColumnSample:
    values, *counts = found
    if column.base_type in NUMBERS:
        return ColumnSample(table.oid, column.number, values, booleans=counts[0])
    if column.base_type in LENGTHS:
        return ColumnSample(table.oid, column.number, values, zeros=counts[0])
    *forms, distinct, folded = counts
    named = dict(zip(_FORMS, forms, strict=True))
    return ColumnSample(table.oid, column.number, values, **named, distinct=distinct, folded=folded)
