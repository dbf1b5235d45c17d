"""Two rows a table, of the least and of the greatest values of its columns: the planner looks at the ends of indexes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from checks.shadow.blueprint import Blueprint
from checks.shadow.patience import StrangersSession, is_endless
from checks.shadow.restore import OWNER, owner_session
from checks.shadow.server import EmbeddedServer

_COLUMNS = """
    SELECT n.nspname::text, c.relname::text, a.attname::text, pg_catalog.format_type(a.atttypid, -1)::text AS type,
        t.typcategory = 'A' OR t.typtype IN ('c', 'p') AS composed
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ORDER BY 1, 2, a.attnum
"""
# Checks, partition bounds and NOT NULL are for rows that applications write; a row of minima may break any of them.
_RELAX = """
    CREATE TEMP TABLE relaxed_class AS
        SELECT c.oid, c.relchecks, c.relispartition FROM pg_catalog.pg_class AS c
        WHERE c.relkind = 'r' AND c.oid >= 16384 AND (c.relchecks > 0 OR c.relispartition);
    CREATE TEMP TABLE relaxed_attribute AS
        SELECT a.attrelid, a.attnum FROM pg_catalog.pg_attribute AS a
        JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
        WHERE c.relkind = 'r' AND c.oid >= 16384 AND a.attnum > 0 AND a.attnotnull;
    UPDATE pg_catalog.pg_class SET relchecks = 0, relispartition = false
        WHERE oid IN (SELECT r.oid FROM pg_temp.relaxed_class AS r);
    UPDATE pg_catalog.pg_attribute AS a SET attnotnull = false FROM pg_temp.relaxed_attribute AS r
        WHERE a.attrelid = r.attrelid AND a.attnum = r.attnum
"""
_RESTORE = """
    UPDATE pg_catalog.pg_class AS c SET relchecks = r.relchecks, relispartition = r.relispartition
        FROM pg_temp.relaxed_class AS r WHERE c.oid = r.oid;
    UPDATE pg_catalog.pg_attribute AS a SET attnotnull = true FROM pg_temp.relaxed_attribute AS r
        WHERE a.attrelid = r.attrelid AND a.attnum = r.attnum;
    DROP TABLE pg_temp.relaxed_class, pg_temp.relaxed_attribute
"""


class _Column(NamedTuple):
    name: str
    low: sql.Composable
    high: sql.Composable
    known: bool


def write_end_rows(superuser: psycopg.Connection[Any], server: EmbeddedServer, blueprint: Blueprint) -> int:
    """Inserts them, as the tables' owner and with triggers and rules asleep; before the files grow. Returns how many tables have
    them now: a table whose values cannot be written has none, and the planner goes by its histograms."""
    known = {(entry.schema, entry.table, entry.column): entry for entry in blueprint.ends}
    told = {(entry.schema, entry.relation, entry.column): entry for entry in blueprint.columns if not entry.inherited}
    filled = {entry.path for entry in blueprint.relations if entry.kind == "r" and entry.pages > 0 and entry.reltuples}
    tables: dict[tuple[str, str], list[_Column]] = {}
    for schema, table, name, type_name, composed in superuser.execute(_COLUMNS).fetchall():
        if (schema, table) not in filled:
            continue
        path, cast = (schema, table, name), sql.SQL("{}::" + type_name.replace("{", "{{").replace("}", "}}"))
        if path in known:
            ends = known[path]
            column = _Column(name, cast.format(ends.low), cast.format(ends.high), True)
        elif path in told and not composed:
            values = told[path]
            if values.histogram_bounds is None and values.most_common_vals is None:
                continue
            column = _Column(
                name, _end(values.histogram_bounds, values.most_common_vals, type_name, "ASC"),
                _end(values.histogram_bounds, values.most_common_vals, type_name, "DESC"), False,
            )  # fmt: skip
        else:
            continue
        tables.setdefault((schema, table), []).append(column)
    superuser.execute(f"ALTER ROLE {OWNER} SET session_replication_role = replica".encode())
    superuser.execute(_RELAX.encode())
    written = 0
    try:
        with closing(owner_session(server)) as writer:
            for (schema, table), columns in tables.items():
                written += _write(writer, schema, table, columns)
    finally:
        superuser.execute(_RESTORE.encode())
        superuser.execute(f"ALTER ROLE {OWNER} RESET session_replication_role".encode())
    return written


def _write(writer: StrangersSession, schema: str, table: str, columns: Sequence[_Column]) -> bool:
    for chosen in (columns, [column for column in columns if column.known]):
        if not chosen:
            continue
        statement = sql.SQL(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} UNION ALL SELECT {} ON CONFLICT DO NOTHING"
        ).format(
            sql.Identifier(schema, table),
            sql.SQL(", ").join(sql.Identifier(column.name) for column in chosen),
            sql.SQL(", ").join(column.low for column in chosen),
            sql.SQL(", ").join(column.high for column in chosen),
        )
        try:
            writer.execute(statement)
        except psycopg.Error as error:
            if is_endless(error):
                return False
            continue
        return True
    return False


def _end(histogram: str | None, common: str | None, type_name: str, order: str) -> sql.Composable:
    """The least or greatest of what pg_stats tells: the ends of the histogram and the most common values."""
    kind = type_name.replace("{", "{{").replace("}", "}}")
    parts = []
    if histogram is not None:
        parts.append(sql.SQL("SELECT h.v FROM pg_catalog.unnest({}::" + kind + "[]) AS h (v)").format(histogram))
    if common is not None:
        parts.append(sql.SQL("SELECT m.v FROM pg_catalog.unnest({}::" + kind + "[]) AS m (v)").format(common))
    both = sql.SQL(" UNION ALL ").join(parts)
    return sql.SQL("(SELECT e.v FROM ({}) AS e (v) ORDER BY e.v " + order + " LIMIT 1)").format(both)
