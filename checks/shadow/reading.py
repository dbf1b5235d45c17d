"""Reads a blueprint off a live target: pg_dump for the schema, a bounded number of set-based statements for the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from checks.errors import TargetError
from checks.evidence.database import gaps
from checks.evidence.database.dsn import Dsn, understand
from checks.evidence.database.explain import PLANNER_SETTINGS
from checks.evidence.database.facts import Settings
from checks.evidence.database.query import query
from checks.evidence.database.session import CATALOG_MANNERS, MARKER, Session
from checks.evidence.database.settings import observe_settings
from checks.evidence.database.user_code import observe_user_code
from checks.model import quote_identifier
from checks.shadow.blueprint import (
    Blueprint,
    Collation,
    ColumnValues,
    Ends,
    ExtendedValues,
    MetaPage,
    Omission,
    RelationSize,
)
from checks.shadow.dump import dump_schema, find_dump_program
from checks.shadow.heights import read_heights

Progress = Callable[[str], None]

BLOCK_BYTES = 8192
NO_STATISTICS = "its planner statistics may not be read: GRANT SELECT on it, or pg_read_all_data"
NOT_READABLE = "pg_dump may not lock it: GRANT SELECT on it, or pg_read_all_data"
_EXTENSION_SETTINGS = ("hnsw.", "ivfflat.")
_ENDS_AT_ONCE = 40
# Each end is one look at the edge of an index; without it the planner could sort a whole table for it.
_ENDS_MANNERS = {**CATALOG_MANNERS, "enable_seqscan": "off", "enable_sort": "off", "enable_bitmapscan": "off"}


def _silent(_: str) -> None:
    return


def read_blueprint(
    dsn: str | Dsn,
    settings: Settings | None = None,
    *,
    programs: Path | None = None,
    progress: Progress = _silent,
    cancelled: threading.Event | None = None,
) -> Blueprint:
    """The blueprint of a live target. `settings` are those of its evidence, asked for where they are not given; `programs` a bin
    folder with a pg_dump to prefer.

    Raises TargetError where there can be none: through a transaction pooler, without a pg_dump new enough, where pg_dump
    had to give up or the server refused; Cancelled, ConnectionLost.
    """
    target = understand(dsn) if isinstance(dsn, str) else dsn
    if target.transaction_pooling:
        raise TargetError(
            "pg_dump does not work through a transaction pooler", "give a DSN that goes to the server itself"
        )
    stop = cancelled or threading.Event()
    with Session(target, stop) as session:
        reader = _Reader(session, settings)
        progress("reading sizes and planner statistics for the shadow")
        try:
            reader.read()
        except psycopg.Error as error:
            gap = gaps.gap(error, "GRANT pg_read_all_data to this login")
            raise TargetError(f"what a shadow is made of could not be read ({gap.reason})", gap.unlock) from error
        # Nothing of ours stays open on the target while pg_dump runs.
        session.rest()
        progress("dumping the schema for the shadow")
        dump = dump_schema(
            find_dump_program(session.major, programs, tls=reader.tls),
            target,
            tls=reader.tls,
            encoding=reader.database.encoding,
            excluded=reader.unlockable,
            cancelled=stop.is_set,
        )
        return reader.blueprint(dump.text, dump.snapshot_s)


class _Reader:
    def __init__(self, session: Session, settings: Settings | None) -> None:
        self._session = session
        self._settings = settings
        self._omissions: list[Omission] = []

    @property
    def tls(self) -> bool:
        return self._session.uses_tls

    def read(self) -> None:
        session = self._session
        with session.transaction():
            self.database = session.rows(query("shadow_database", session.major))[0]
        if self.database.block_bytes != BLOCK_BYTES:
            raise TargetError(
                f"the server has blocks of {self.database.block_bytes} bytes, an embedded one of {BLOCK_BYTES}",
                "a shadow needs a server with blocks of 8 kB: --no-shadow",
            )
        if self._settings is None:
            self._settings, _ = observe_settings(session, user="", database=self.database.database, sees_all=False)
        self._read_relations()
        with session.transaction(one_snapshot=True):
            self._columns = tuple(
                ColumnValues(**row._asdict())
                for row in session.stream(query("shadow_statistics", session.major), in_parts=True)
            )
        self._read_extended()
        with session.transaction():
            found = session.rows(query("shadow_collations", session.major))
        self._collations = tuple(Collation(row.name, row.provider) for row in found)
        self._read_meta_pages()
        with session.transaction():
            self._user_code = observe_user_code(session)
        self._read_heights()
        self._read_ends()

    def blueprint(self, ddl: str, snapshot_s: float) -> Blueprint:
        return Blueprint(
            version_num=self._session.version_num,
            database=self.database.database,
            encoding=self.database.encoding,
            collate=self.database.collate,
            ctype=self.database.ctype or "C",
            provider=self.database.provider,
            ddl=ddl,
            relations=self._relations,
            columns=self._columns,
            extended=self._extended,
            ends=self._ends,
            meta_pages=self._meta_pages,
            collations=self._collations,
            settings=self._planner_settings(),
            omissions=tuple(self._omissions),
            snapshot_s=snapshot_s,
        )

    def _planner_settings(self) -> dict[str, str]:
        assert self._settings is not None
        return {
            entry.name: entry.value
            for entry in self._settings.entries
            if entry.value is not None
            and (entry.name in PLANNER_SETTINGS or entry.name.startswith(_EXTENSION_SETTINGS))
        }

    def _read_relations(self) -> None:
        session = self._session
        written_down = query("shadow_relations", session.major, pages="c.relpages")
        measured = query("shadow_relations", session.major, pages=_MEASURED_PAGES)
        try:
            with session.transaction():
                rows = session.rows(measured)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled):
            # Measuring waits for whoever has locked a table; what VACUUM wrote down does not.
            with session.transaction():
                rows = session.rows(written_down)
        self.unlockable = [(row.schema, row.name) for row in rows if not row.lockable and row.kind not in ("i", "I")]
        for row in rows:
            if row.kind in ("i", "I"):
                continue
            path = (row.schema, row.name)
            if not row.lockable:
                self._omissions.append(Omission("table", f"{row.schema}.{row.name}", NOT_READABLE, (path,)))
            elif row.row_security:
                self._omissions.append(Omission("table", f"{row.schema}.{row.name}", NO_STATISTICS, (path,)))
        self._relations: tuple[RelationSize, ...] = tuple(
            RelationSize(
                row.schema,
                row.name,
                row.kind,
                row.pages if row.pages is not None else row.relpages,
                row.relpages,
                row.reltuples,
                row.all_visible,
                row.all_frozen,
                row.method,
                (row.table_schema, row.table_name) if row.table_name is not None else None,
            )
            for row in rows
            if row.kind in ("r", "p", "m", "f", "i", "I")
        )

    def _read_extended(self) -> None:
        session = self._session
        inherited = session.major >= 15
        with session.transaction():
            rows = session.rows(
                query("shadow_extended", session.major, inherited="e.inherited" if inherited else "false")
            )
        lists: dict[tuple[str, str, bool], bytes] = {}
        if self.database.reads_lists:
            with session.transaction():
                lists = {
                    (row.schema, row.name, row.inherited): bytes(row.mcv)
                    for row in session.rows(
                        query(
                            "shadow_extended_lists",
                            session.major,
                            inherited="d.stxdinherit" if inherited else "false",
                        )
                    )
                }
        entries = []
        for row in rows:
            mcv = lists.get((row.schema, row.name, row.inherited))
            lacking = _lacking(row, mcv)
            if lacking:
                table = (row.table_schema, row.table_name)
                self._omissions.append(Omission("statistics", f"{row.schema}.{row.name}", lacking, (table,)))
            entries.append(
                ExtendedValues(
                    row.schema,
                    row.name,
                    row.inherited,
                    {int(number): name for number, name in (row.columns or {}).items()},
                    _bytes(row.ndistinct),
                    _bytes(row.dependencies),
                    mcv,
                )
            )
        self._extended = tuple(entries)

    def _read_meta_pages(self) -> None:
        """The figures of GIN indexes, where this login may read files of the server."""
        self._meta_pages: tuple[MetaPage, ...] = ()
        try:
            if self.database.reads_files:
                with self._session.transaction(ends=True, may_fail=True):
                    rows = self._session.rows(query("shadow_meta_pages", self._session.major))
                self._meta_pages = tuple(
                    MetaPage(row.schema, row.name, bytes(row.block))
                    for row in rows
                    if row.block is not None and len(row.block) == BLOCK_BYTES
                )
        except psycopg.Error:
            # Some services let nobody read files, whatever the privilege says.
            self._meta_pages = ()
        seen = {(entry.schema, entry.name) for entry in self._meta_pages}
        for entry in self._relations:
            if entry.method == "gin" and entry.kind == "i" and entry.table is not None and entry.path not in seen:
                self._omissions.append(
                    Omission(
                        "index",
                        f"{entry.schema}.{entry.name}",
                        "costs of this GIN index are approximate: its first block may not be read",
                        (entry.table,),
                    )
                )

    def _read_heights(self) -> None:
        heights = read_heights(
            self._session,
            {entry.path: entry.pages for entry in self._relations if entry.method == "btree"},
            {(entry.schema, entry.relation, entry.column): entry.avg_width for entry in self._columns},
            self._user_code,
        )
        self._relations = tuple(
            msgspec.structs.replace(entry, level=heights[entry.path]) if entry.path in heights else entry
            for entry in self._relations
        )

    def _read_ends(self) -> None:
        """The least and greatest value of the leading columns of indexes, each by one look at either end of the index."""
        session = self._session
        with session.transaction():
            rows = [
                row
                for row in session.rows(query("shadow_ends", session.major))
                if self._user_code.refusal(f"SELECT {_edge(row, 'e', 'ASC')}") is None
            ]
        ends: list[Ends] = []
        for start in range(0, len(rows), _ENDS_AT_ONCE):
            part = rows[start : start + _ENDS_AT_ONCE]
            ends += self._ends_of(part)
        self._ends = tuple(ends)

    def _ends_of(self, columns: Sequence[Any]) -> Iterable[Ends]:
        if not columns:
            return []
        selects = ", ".join(_edge(row, f"low{n}", "ASC") + ", " + _edge(row, f"high{n}", "DESC NULLS FIRST")
                            for n, row in enumerate(columns))  # fmt: skip
        try:
            with self._session.transaction(_ENDS_MANNERS):
                found = self._session.rows(f"SELECT {MARKER} {selects}")[0]
        except psycopg.Error:
            # A table locked just now costs its own ends alone.
            middle = len(columns) // 2
            return [*self._ends_of(columns[:middle]), *self._ends_of(columns[middle:])] if middle else []
        return [
            Ends(row.schema, row.table_name, row.column_name, found[2 * n], found[2 * n + 1])
            for n, row in enumerate(columns)
            if found[2 * n] is not None and found[2 * n + 1] is not None
        ]


def _lacking(row: Any, mcv: bytes | None) -> str:
    """What of an extended statistics object stays behind; empty if nothing does."""
    if not row.seen:
        return "it was never analysed, or may be read by its table's owner alone"
    parts = []
    if row.has_mcv and mcv is None:
        parts.append("lists of most common values")
    if row.has_expressions:
        parts.append("statistics of expressions")
    return f"its {' and '.join(parts)} cannot be brought" if parts else ""


_MEASURED_PAGES = (
    "CASE WHEN c.relkind IN ('r', 'm', 'i') "
    f"THEN (pg_catalog.pg_relation_size(c.oid) / {BLOCK_BYTES})::bigint ELSE c.relpages END"
)


def _edge(row: Any, name: str, order: str) -> str:
    column = quote_identifier(row.column_name)
    table = f"{quote_identifier(row.schema)}.{quote_identifier(row.table_name)}"
    return (
        f"(SELECT e.{column}::text FROM ONLY {table} AS e WHERE e.{column} IS NOT NULL "
        f"ORDER BY e.{column} {order} LIMIT 1) AS {name}"
    )


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
