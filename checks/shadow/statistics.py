"""Writes the planner's statistics into a shadow: sizes in pg_class, columns in pg_statistic, and those of CREATE STATISTICS."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

from checks.shadow.blueprint import ColumnValues, ExtendedValues, Omission, RelationSize
from checks.shadow.mcv_lists import ColumnType, is_sound
from checks.shadow.patience import StrangersSession
from checks.shadow.queries import EXTENDED_STATISTICS

RESTORE_FUNCTIONS_SINCE = 18
NOT_LOOKED_INTO = "its list of most common values has types that are not brought"
_AT_ONCE = 400
_COLUMN_FIELDS = ColumnValues.__struct_fields__
_TYPES = {
    "inherited": "boolean", "null_frac": "real", "avg_width": "integer", "n_distinct": "real",
    "most_common_freqs": "real[]", "correlation": "real", "most_common_elem_freqs": "real[]",
    "elem_count_histogram": "real[]", "range_empty_frac": "real",
}  # fmt: skip


def write_sizes(superuser: psycopg.Connection[Any], relations: Iterable[RelationSize]) -> None:
    """relpages, reltuples, relallvisible and, from 18 on, relallfrozen, for those that are there."""
    entries = list(relations)
    frozen = ", relallfrozen = v.frozen" if superuser.info.server_version >= 180000 else ""
    superuser.execute(
        "UPDATE pg_catalog.pg_class AS c SET relpages = v.pages, reltuples = v.tuples, relallvisible = v.visible"
        + frozen.replace("%", "%%")
        + " FROM unnest(%s::text[], %s::text[], %s::int[], %s::real[], %s::int[], %s::int[])"
        " AS v (schema, name, pages, tuples, visible, frozen)"
        " JOIN pg_catalog.pg_namespace AS n ON n.nspname = v.schema"
        " WHERE c.relnamespace = n.oid AND c.relname = v.name",
        [
            [entry.schema for entry in entries],
            [entry.name for entry in entries],
            [min(entry.relpages, 2**31 - 1) for entry in entries],
            [float(entry.reltuples) for entry in entries],
            [min(entry.all_visible, 2**31 - 1) for entry in entries],
            [min(entry.all_frozen, 2**31 - 1) for entry in entries],
        ],
    )


def write_columns(
    superuser: psycopg.Connection[Any],
    owner: StrangersSession,
    columns: Sequence[ColumnValues],
    version_num: int,
) -> list[Omission]:
    """pg_statistic. From 18 on by the server's own functions and as the tables' owner, because the input of a domain's values
    runs its checks; before, directly, where a type is PostgreSQL's own, an enum, an extension's or a domain over those."""
    if superuser.info.server_version >= RESTORE_FUNCTIONS_SINCE * 10000:
        return _by(owner, columns, _restore_statement(version_num))
    return _by(superuser, columns, _DIRECT)


def _by(
    connection: psycopg.Connection[Any] | StrangersSession, columns: Sequence[ColumnValues], statement: str
) -> list[Omission]:
    omissions: list[Omission] = []
    for start in range(0, len(columns), _AT_ONCE):
        part = columns[start : start + _AT_ONCE]
        if _write(connection, part, statement) is None:
            continue
        for entry in part:
            error = _write(connection, [entry], statement)
            if error is not None:
                name = f"{entry.schema}.{entry.relation}.{entry.column}"
                reason = f"its statistics could not be written: {error}"
                omissions.append(Omission("column", name, reason, ((entry.schema, entry.relation),)))
    return omissions


def _write(
    connection: psycopg.Connection[Any] | StrangersSession, columns: Sequence[ColumnValues], statement: str
) -> str | None:
    """None if it went well, else why not."""
    arrays = [[getattr(entry, field) for entry in columns] for field in _COLUMN_FIELDS]
    try:
        connection.execute(statement.encode(), arrays)
    except psycopg.Error as error:
        return (error.diag.message_primary or str(error))[:200]
    return None


def _rows() -> str:
    """The columns at hand, one array a field. Arrays of numbers come as text, for arrays of arrays have one length."""
    arrays = ", ".join(f"%s::{_scalar(field)}[]" for field in _COLUMN_FIELDS)
    names = ", ".join(f'"{field}"' for field in _COLUMN_FIELDS)
    return f"unnest({arrays}) AS v ({names})"


def _scalar(field: str) -> str:
    kind = _TYPES.get(field, "text")
    return "text" if kind.endswith("[]") else kind


def _restore_statement(version_num: int) -> str:
    given = ", ".join(
        f"'{field}', v.{field}::{_TYPES.get(field, 'text')}" for field in _COLUMN_FIELDS
        if field not in ("schema", "relation", "column")
    )  # fmt: skip
    return (
        "SELECT pg_catalog.count(pg_catalog.pg_restore_attribute_stats('schemaname', v.schema, 'relname', v.relation, "
        f"'attname', v.\"column\", 'version', {int(version_num)}, {given})) "
        f"FROM {_rows()} "
        "JOIN pg_catalog.pg_namespace AS n ON n.nspname = v.schema "
        "JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = v.relation "
        'JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname = v."column" AND NOT a.attisdropped'
    )


# The slots: most common values, histogram, correlation, most common elements or lengths of ranges, counts of elements or
# bounds of ranges (catalog/pg_statistic.h).
_DIRECT = f"""
WITH RECURSIVE base (oid, type) AS (
    SELECT t.oid, t.oid FROM pg_catalog.pg_type AS t WHERE t.typtype <> 'd'
    UNION ALL
    SELECT d.oid, b.type FROM base AS b JOIN pg_catalog.pg_type AS d ON d.typbasetype = b.oid AND d.typtype = 'd'
),
safe (oid) AS (
    SELECT t.oid FROM pg_catalog.pg_type AS t
    WHERE t.oid < 16384 OR t.typtype = 'e'
        OR EXISTS (
            SELECT FROM pg_catalog.pg_depend AS d
            WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid AND d.deptype = 'e'
        )
),
family (type, operator_type) AS (
    SELECT b.oid, CASE
        WHEN t.oid = 1043 THEN 25 WHEN t.typtype = 'e' THEN 3500 WHEN t.typtype = 'r' THEN 3831
        WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN 2277 ELSE t.oid END
    FROM base AS b JOIN pg_catalog.pg_type AS t ON t.oid = b.type
),
operators (type, equal, less) AS (
    SELECT f.type, pg_catalog.max(o.amopopr::bigint) FILTER (WHERE o.amopstrategy = 3)::oid,
        pg_catalog.max(o.amopopr::bigint) FILTER (WHERE o.amopstrategy = 1)::oid
    FROM family AS f
    JOIN pg_catalog.pg_opclass AS k ON k.opcintype = f.operator_type AND k.opcdefault AND k.opcmethod = 403
    JOIN pg_catalog.pg_amop AS o
        ON o.amopfamily = k.opcfamily AND o.amoplefttype = k.opcintype AND o.amoprighttype = k.opcintype
        AND o.amopstrategy IN (1, 3)
    GROUP BY f.type
),
filled AS (
    SELECT c.oid AS relation_oid, a.attnum, a.attcollation, b.type, o.equal, o.less,
        e.oid AS element, eo.equal AS element_equal, v.*
    FROM {_rows()}
    JOIN pg_catalog.pg_namespace AS n ON n.nspname = v.schema
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = v.relation
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname = v."column" AND NOT a.attisdropped
    JOIN base AS b ON b.oid = a.atttypid
    JOIN safe ON safe.oid = b.type
    JOIN pg_catalog.pg_type AS t ON t.oid = b.type
    LEFT JOIN operators AS o ON o.type = b.type
    LEFT JOIN safe AS e ON e.oid = CASE WHEN b.type = 3614 THEN 25::oid ELSE t.typelem END
    LEFT JOIN operators AS eo ON eo.type = e.oid
)
INSERT INTO pg_catalog.pg_statistic (
    starelid, staattnum, stainherit, stanullfrac, stawidth, stadistinct,
    stakind1, stakind2, stakind3, stakind4, stakind5, staop1, staop2, staop3, staop4, staop5,
    stacoll1, stacoll2, stacoll3, stacoll4, stacoll5, stanumbers1, stanumbers3, stanumbers4, stanumbers5,
    stavalues1, stavalues2, stavalues4, stavalues5
)
SELECT
    relation_oid, attnum, inherited, null_frac, avg_width, n_distinct,
    CASE WHEN has_common THEN 1 ELSE 0 END, CASE WHEN has_histogram THEN 2 ELSE 0 END,
    CASE WHEN has_order THEN 3 ELSE 0 END, CASE WHEN has_elements THEN 4 WHEN has_lengths THEN 6 ELSE 0 END,
    CASE WHEN has_counts THEN 5 WHEN has_bounds THEN 7 ELSE 0 END,
    CASE WHEN has_common THEN equal ELSE 0 END, CASE WHEN has_histogram THEN less ELSE 0 END,
    CASE WHEN has_order THEN less ELSE 0 END, CASE WHEN has_elements THEN element_equal WHEN has_lengths THEN 672 ELSE 0 END,
    CASE WHEN has_counts THEN element_equal ELSE 0 END,
    CASE WHEN has_common THEN attcollation ELSE 0 END, CASE WHEN has_histogram THEN attcollation ELSE 0 END,
    CASE WHEN has_order THEN attcollation ELSE 0 END, CASE WHEN has_elements THEN attcollation ELSE 0 END,
    CASE WHEN has_counts THEN attcollation ELSE 0 END,
    CASE WHEN has_common THEN most_common_freqs::real[] END, CASE WHEN has_order THEN ARRAY[correlation] END,
    CASE WHEN has_elements THEN most_common_elem_freqs::real[] WHEN has_lengths THEN ARRAY[range_empty_frac] END,
    CASE WHEN has_counts THEN elem_count_histogram::real[] END,
    CASE WHEN has_common THEN pg_catalog.array_in(pg_catalog.textout(most_common_vals), type, -1) END,
    CASE WHEN has_histogram THEN pg_catalog.array_in(pg_catalog.textout(histogram_bounds), type, -1) END,
    CASE WHEN has_elements THEN pg_catalog.array_in(pg_catalog.textout(most_common_elems), element, -1)
        WHEN has_lengths THEN pg_catalog.array_in(pg_catalog.textout(range_length_histogram), 701, -1) END,
    CASE WHEN has_bounds THEN pg_catalog.array_in(pg_catalog.textout(range_bounds_histogram), type, -1) END
FROM filled, LATERAL (
    SELECT
        most_common_vals IS NOT NULL AND most_common_freqs IS NOT NULL AND equal IS NOT NULL AS has_common,
        histogram_bounds IS NOT NULL AND less IS NOT NULL AS has_histogram,
        correlation IS NOT NULL AND less IS NOT NULL AS has_order,
        most_common_elems IS NOT NULL AND most_common_elem_freqs IS NOT NULL AND element_equal IS NOT NULL AS has_elements,
        elem_count_histogram IS NOT NULL AND element_equal IS NOT NULL AS has_counts,
        range_length_histogram IS NOT NULL AND range_empty_frac IS NOT NULL AND element IS NULL AS has_lengths,
        range_bounds_histogram IS NOT NULL AND element IS NULL AS has_bounds
) AS slots
"""


class _Layout(NamedTuple):
    """How an item of serialised statistics begins: its number, and how many columns it is about (statistics/statistics.h)."""

    head: struct.Struct


COLUMNS_AT_MOST = 8
NDISTINCT = _Layout(struct.Struct("=di"))
DEPENDENCIES = _Layout(struct.Struct("=dh"))


def renumbered(value: bytes | None, numbers: Mapping[int, int], layout: _Layout) -> bytes | None:
    """Serialised statistics with other column numbers; those of expressions, below zero, stay. The server follows the counts in
    it unseen: raises KeyError or struct.error where one is not what ANALYZE writes."""
    if value is None:
        return None
    made = bytearray(value)
    _, _, items = struct.unpack_from("=III", made, 0)
    position = 12
    for _ in range(items):
        _, columns = layout.head.unpack_from(made, position)
        position += layout.head.size
        if not 2 <= columns <= COLUMNS_AT_MOST:
            raise struct.error("no number of columns")
        for _ in range(columns):
            number = struct.unpack_from("=h", made, position)[0]
            struct.pack_into("=h", made, position, numbers[number] if number >= 0 else number)
            position += 2
    if position != len(made):
        raise struct.error("more than its items")
    return bytes(made)


def write_extended(
    superuser: psycopg.Connection[Any], extended: Sequence[ExtendedValues], encoding: str
) -> list[Omission]:
    """pg_statistic_ext_data, through casts from bytea that exist for as long as this takes. The column numbers in what is written
    become the shadow's, which differ where the target has dropped columns."""
    if not extended:
        return []
    omissions: list[Omission] = []
    kinds = {"ndistinct": "pg_ndistinct", "dependencies": "pg_dependencies", "mcv": "pg_mcv_list"}
    since_15 = superuser.info.server_version >= 150000
    superuser.execute("SET allow_system_table_mods = on")
    for kind in kinds.values():
        superuser.execute(f"CREATE CAST (bytea AS pg_catalog.{kind}) WITHOUT FUNCTION".encode())
    for entry in extended:
        row = superuser.execute(EXTENDED_STATISTICS, [entry.schema, entry.name]).fetchone()
        if row is None:
            continue
        oid, schema, table, columns, types = row
        tables = ((schema, table),)
        here = {name: int(number) for number, name in (columns or {}).items()}
        try:
            numbers = {number: here[name] for number, name in entry.columns.items()}
            mcv = entry.mcv
            if mcv is not None and not is_sound(mcv, [ColumnType(*one) for one in types or ()], encoding):
                mcv = None
                omissions.append(Omission("statistics", f"{entry.schema}.{entry.name}", NOT_LOOKED_INTO, tables))
            values = [
                renumbered(entry.ndistinct, numbers, NDISTINCT),
                renumbered(entry.dependencies, numbers, DEPENDENCIES),
                mcv,
            ]
        except (KeyError, struct.error):
            omissions.append(
                Omission("statistics", f"{entry.schema}.{entry.name}", "not of this table's columns", tables)
            )
            continue
        casts = ", ".join(f"%s::bytea::pg_catalog.{kind}" for kind in kinds.values())
        inherit, marker = (", stxdinherit", ", %s") if since_15 else ("", "")
        superuser.execute("DELETE FROM pg_catalog.pg_statistic_ext_data WHERE stxoid = %s" + (
            " AND stxdinherit = %s" if since_15 else ""), [oid, entry.inherited] if since_15 else [oid])  # fmt: skip
        superuser.execute(
            f"INSERT INTO pg_catalog.pg_statistic_ext_data (stxoid{inherit}, stxdndistinct, stxddependencies, stxdmcv) "
            f"VALUES (%s{marker}, {casts})".encode(),
            [oid, *([entry.inherited] if since_15 else []), *values],
        )
    for kind in kinds.values():
        superuser.execute(f"DROP CAST (bytea AS pg_catalog.{kind})".encode())
    return omissions
