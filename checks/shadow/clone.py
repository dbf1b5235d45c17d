"""The shadow: an embedded server with a target's schema, planner statistics and sizes, and no row of its data.

    with Shadow.of_target(dsn, evidence) as shadow:
        before = shadow.explain("SELECT ... WHERE customer_id = $1", role="app")
        shadow.apply(["CREATE INDEX proposed ON public.orders (customer_id)"])
        after = shadow.explain("SELECT ... WHERE customer_id = $1", role="app")

Only EXPLAIN runs in it: its pages are holes. Its files hold most common values, so they stand in a 0700 folder and are removed
whenever and however this process ends.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import psycopg

from checks.errors import TargetError
from checks.evidence.database.dsn import Dsn
from checks.evidence.database.explain import role_settings
from checks.evidence.database.facts import PlanNode, Server, Settings
from checks.evidence.evidence import Evidence
from checks.shadow import btree, files
from checks.shadow.blueprint import Blueprint, Omission, RelationSize
from checks.shadow.disk import MOST_BYTES, DiskWatch
from checks.shadow.end_rows import write_end_rows
from checks.shadow.planning import NotPlanned, Planning
from checks.shadow.prepared import Prepared
from checks.shadow.queries import EXTENSIONS_ON_PATH, HEAPS_BELOW, RANGE_COLUMNS, RELATION_FILES
from checks.shadow.reading import read_blueprint
from checks.shadow.restore import OWNER, add_extension, connect, owner_session, restore
from checks.shadow.scaling import segments
from checks.shadow.script import read_script
from checks.shadow.server import EmbeddedServer
from checks.shadow.statistics import write_columns, write_extended, write_sizes

MOST_FILES = 20_000
LARGEST_DISK_BYTES = 250 * 1024 * 1024
DISK_GRAIN = 8 << 20
Progress = Callable[[str], None]

RANGES_SHOWN_SINCE = 17
RANGES_HIDDEN = "pg_stats shows the bounds of ranges from 17 on: estimates for this column are PostgreSQL's defaults"


class File(msgspec.Struct, frozen=True):
    """The file of a relation in the shadow. `key_width` is that of an index's keys in bytes."""

    schema: str
    name: str
    kind: str
    method: str
    path: Path | None
    key_width: int | None


def _silent(_: str) -> None:
    return


class Shadow:
    """A running shadow; `of_target` and `of_blueprint` make one, and as a context manager it is removed at the end.

    `omissions` name what could not be brought, with the reason and the relations concerned. `major` is the server's, which
    `same_major` compares with the target's: plans of another major are "planned by 18". `disk_bytes` is what it really takes.
    """

    def __init__(self, server: EmbeddedServer, blueprint: Blueprint, evidence: Evidence | None) -> None:
        self.blueprint = blueprint
        self.omissions: tuple[Omission, ...] = blueprint.omissions
        self.with_end_rows = 0
        self._server = server
        self._disk = DiskWatch(server.folder, lambda: server.pid)
        self._evidence = evidence
        self._planning: Planning | None = None
        self._switching: psycopg.Connection[Any] | None = None
        self._sizes: dict[tuple[str, str], RelationSize] = {entry.path: entry for entry in blueprint.relations}

    @classmethod
    def of_target(
        cls,
        dsn: str | Dsn,
        evidence: Evidence | None = None,
        *,
        programs: Path | None = None,
        prepared: Prepared | None = None,
        progress: Progress = _silent,
        cancelled: threading.Event | None = None,
    ) -> Shadow:
        """The shadow of a live target, read by one bounded pg_dump and set-based statements. `evidence` of the same target tells
        the settings of its roles; `programs` is the bin folder that --pg-bin names; `prepared` a server made before. Raises
        TargetError where there can be none."""
        settings = evidence.find(Settings) if evidence is not None else None
        blueprint = read_blueprint(dsn, settings, programs=programs, progress=progress, cancelled=cancelled)
        return cls.of_blueprint(blueprint, evidence, programs=programs, prepared=prepared, progress=progress)

    @classmethod
    def of_blueprint(
        cls,
        blueprint: Blueprint,
        evidence: Evidence | None = None,
        *,
        programs: Path | None = None,
        prepared: Prepared | None = None,
        progress: Progress = _silent,
    ) -> Shadow:
        """The shadow of what was read before. Raises TargetError."""
        progress("starting the shadow")
        if segments(blueprint.relations) > MOST_FILES:
            raise TargetError("its tables are too large for a shadow", "go on without it: --no-shadow")
        server = (prepared or Prepared(blueprint.major, programs)).take()
        shadow = cls(server, blueprint, evidence)
        try:
            shadow._fill(progress)
        except BaseException as error:
            shadow._end_with(error)
            raise
        return shadow

    @property
    def major(self) -> int:
        return self._server.major

    @property
    def same_major(self) -> bool:
        return self.major == self.blueprint.major

    @property
    def sizes(self) -> Mapping[tuple[str, str], RelationSize]:
        """What each relation is now taken to be, by schema and name: the target's sizes, or what `resize` made of them."""
        return self._sizes

    @property
    def disk_bytes(self) -> int:
        return files.disk_bytes(self._server.folder)

    @property
    def rounded_disk_bytes(self) -> int:
        """What it takes, roughly: tries over the same evidence are to give the same bytes."""
        return -(-self.disk_bytes // DISK_GRAIN) * DISK_GRAIN

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self._server.data

    @property
    def folder(self) -> Path:
        return self._server.folder

    def explain(self, statement: str, role: str = "", settings: Mapping[str, str] = {}) -> PlanNode | NotPlanned:
        """The generic plan of one SELECT, INSERT, UPDATE or DELETE, `$1` and so on standing for its values.

        It is made under the settings that the evidence has for `role`, then `settings`; row-security policies are not in it.
        Nothing is executed. A statement that the shadow does not plan comes back with the reason.
        """
        if self._planning is None:
            self._planning = Planning(self._server, self.blueprint.settings)
        return self._planning.explain(statement, {**self._settings_of(role), **settings})

    def settings_of(self, role: str) -> dict[str, str]:
        """The settings that statements of `role` are planned under, as far as they are not PostgreSQL's own."""
        return {**self.blueprint.settings, **self._settings_of(role)}

    def create_extension(self, name: str) -> str:
        """Brings an extension that is known to be harmless. Returns why it could not be had, or nothing."""
        self._leave()
        with self._superuser() as superuser:
            return add_extension(superuser, name)

    def apply(self, statements: Sequence[str], sizes: Iterable[RelationSize] = ()) -> None:
        """Runs DDL of ours as the tables' owner: CREATE INDEX, CREATE STATISTICS, ALTER TABLE, ... An index counts as empty until
        `sizes` tell its size, for which the server restarts once (a fifth of a second): so apply many at a time.

        Raises psycopg.Error for the first statement that fails; those before it stand.
        """
        chosen = list(sizes)
        self._leave()
        with self._superuser() as superuser:
            before = {(entry.schema, entry.name): entry for entry in self._files(superuser)}
            tables = self._concerned(superuser, statements)
            heaps = [(self._server.data / path, self._sizes.get(name)) for name, path in tables.items()]
            # An index is built by reading the whole table; all but its first block are holes.
            for path, _ in heaps:
                files.shrink(path, 1)
            try:
                # Operator classes of extensions are written without their schema.
                with closing(owner_session(self._server, EXTENSIONS_ON_PATH)) as owner:
                    for statement in statements:
                        owner.execute(statement.encode())
            finally:
                for path, size in heaps:
                    if size is not None and path.exists():
                        files.resize(path, size.pages, self._server.own)
                # Building an index has the server count the rows that are there.
                write_sizes(superuser, [size for _, size in heaps if size is not None])
            after = self._files(superuser)
        given = {entry.path for entry in chosen}
        for entry in after:
            name = (entry.schema, entry.name)
            known = before.get(name)
            if known is not None and known.path != entry.path and name in self._sizes and name not in given:
                chosen.append(self._sizes[name])
        if chosen:
            self.resize(chosen)

    def switch(self, indexes: Mapping[tuple[str, str], bool]) -> None:
        """Shows indexes (schema, name) to the planner or hides them, by indisvalid. One of a partitioned table has to be switched
        with those of its partitions."""
        if self._switching is None:
            self._switching = self._superuser()
        # The session that plans stays: a changed row of pg_index has it look at that index again.
        self._switching.execute(
            "UPDATE pg_catalog.pg_index AS i SET indisvalid = v.visible "
            "FROM unnest(%s::text[], %s::text[], %s::boolean[]) AS v (schema, name, visible) "
            "JOIN pg_catalog.pg_namespace AS n ON n.nspname = v.schema "
            "JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = v.name "
            "WHERE i.indexrelid = c.oid",
            [[path[0] for path in indexes], [path[1] for path in indexes], list(indexes.values())],
        )

    def resize(self, sizes: Iterable[RelationSize]) -> None:
        """Gives relations other sizes: their files, heights of B-trees (`level`, predicted from the size where it is None) and
        what pg_class says. The server restarts once."""
        chosen = {entry.path: entry for entry in sizes}
        self._sizes |= chosen
        self._leave()
        with self._superuser() as superuser:
            write_sizes(superuser, chosen.values())
            superuser.execute("CHECKPOINT")
            found = [entry for entry in self._files(superuser) if (entry.schema, entry.name) in chosen]
        self._server.restart(lambda: self._lay_out(found, chosen))

    def superuser(self) -> psycopg.Connection[Any]:
        """A connection that may write to catalogs, with an empty search_path; never for anything that strangers wrote. Changes
        are seen by plans from the next `explain` on."""
        self._leave()
        return self._superuser()

    def owner(self) -> psycopg.Connection[Any]:
        """A connection as the tables' owner, who is no superuser."""
        self._leave()
        return connect(self._server, OWNER, client_encoding="UTF8")

    def close(self) -> None:
        """Stops the server and removes its files."""
        self._disk.stop()
        self._leave()
        self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raises TargetError where its server or its files failed."""
        self._end_with(error)

    def _end_with(self, error: BaseException | None) -> None:
        failed = isinstance(error, (OSError, psycopg.Error)) or self._disk.exceeded
        full = failed and self._disk.full
        self.close()
        if not failed:
            return
        words = f"the shadow's server or its files failed: {str(error).partition(chr(10))[0][:200]}"
        if self._disk.exceeded:
            words = f"the shadow took more than {MOST_BYTES >> 20} MB of disk and was ended"
        elif full or isinstance(error, psycopg.errors.DiskFull) or getattr(error, "errno", None) == errno.ENOSPC:
            words = f"the disk under {self._server.folder.parent} is full"
            raise TargetError(
                words, "set TMPDIR to a folder with 250 MB free, or go on without: --no-shadow"
            ) from error
        raise TargetError(words, "go on without it: --no-shadow") from error

    def _fill(self, progress: Progress) -> None:
        blueprint = self.blueprint
        progress("restoring the schema into the shadow")
        restored = restore(self._server, blueprint)
        progress("writing planner statistics into the shadow")
        with self._superuser() as superuser, closing(owner_session(self._server)) as owner:
            lacking = write_columns(superuser, owner, blueprint.columns, blueprint.version_num)
            lacking += write_extended(superuser, blueprint.extended, blueprint.encoding)
            if blueprint.major < RANGES_SHOWN_SINCE:
                lacking += [
                    Omission("column", f"{schema}.{table}.{column}", RANGES_HIDDEN, ((schema, table),))
                    for schema, table, column in superuser.execute(RANGE_COLUMNS).fetchall()
                ]
            self.with_end_rows = write_end_rows(superuser, self._server, blueprint)
            write_sizes(superuser, blueprint.relations)
            found = self._files(superuser)
            superuser.execute("CHECKPOINT")
        self._server.restart(lambda: self._lay_out(found, self._sizes))
        there = {(entry.schema, entry.name) for entry in found}
        told = {relation for entry in (*blueprint.omissions, *restored.omissions) for relation in entry.relations}
        missing = [
            Omission("index" if entry.table else "table", ".".join(entry.path), "not in the shadow", (entry.table or entry.path,))
            for entry in blueprint.relations
            if entry.path not in there and entry.path not in told and (entry.table is None or entry.table not in told)
        ]  # fmt: skip
        self.omissions = (*blueprint.omissions, *restored.omissions, *lacking, *missing)
        if self.disk_bytes > LARGEST_DISK_BYTES:
            self.omissions += (
                Omission("shadow", "disk", f"it takes {self.disk_bytes >> 20} of {LARGEST_DISK_BYTES >> 20} MB"),
            )  # fmt: skip

    def _lay_out(self, found: Sequence[File], sizes: Mapping[tuple[str, str], RelationSize]) -> None:
        """While the server is down."""
        pages = {entry.path: entry.block for entry in self.blueprint.meta_pages}
        for entry in found:
            size = sizes.get((entry.schema, entry.name))
            if size is None or entry.path is None or size.kind in ("p", "I", "f"):
                continue
            path = self._server.data / entry.path
            if entry.method == "btree" and size.pages > 1:
                level = size.level
                predicted = btree.predicted_level(size.pages, entry.key_width or 8)
                if level is None or abs(level - predicted) > 1:
                    level = predicted
                btree.lift(path, level)
            elif entry.method == "gin" and (entry.schema, entry.name) in pages:
                files.write_block(path, pages[entry.schema, entry.name])
            elif entry.method == "brin" and size.table is not None and size.table in self._sizes:
                files.widen_brin(path, self._sizes[size.table].pages)
            files.resize(path, size.pages, self._server.own)

    def _concerned(self, superuser: psycopg.Connection[Any], statements: Sequence[str]) -> dict[tuple[str, str], Path]:
        """The heaps behind the tables that DDL names, with their partitions, and the file of each."""
        named = {
            entry.table for text in statements for entry in read_script(text) if entry.table and len(entry.table) == 2
        }
        rows = superuser.execute(HEAPS_BELOW, [[path[0] for path in named], [path[1] for path in named]]).fetchall()
        return {(schema, name): Path(path) for schema, name, path in rows if path}

    def _settings_of(self, role: str) -> dict[str, str]:
        evidence = self._evidence
        settings, server = (evidence.find(Settings), evidence.find(Server)) if evidence else (None, None)
        return role_settings(settings, role, server) if settings is not None and server is not None else {}

    def _files(self, superuser: psycopg.Connection[Any]) -> list[File]:
        return [
            File(schema, name, kind, method, Path(path) if path else None, width)
            for schema, name, kind, method, path, width in superuser.execute(RELATION_FILES).fetchall()
        ]

    def _superuser(self) -> psycopg.Connection[Any]:
        return connect(self._server)

    def _leave(self) -> None:
        if self._planning is not None:
            self._planning.close()
            self._planning = None
        if self._switching is not None:
            self._switching.close()
            self._switching = None
