"""The read-only session: one connection, short READ ONLY transactions, and nothing that outlives them.

Everything it sets is local to a transaction, so that it works through a pooler in transaction mode; it sends no start-up
options and prepares no statement at the protocol's level.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, Self

import psycopg
from psycopg import IsolationLevel, adapt, errors
from psycopg.conninfo import make_conninfo
from psycopg.rows import namedtuple_row

from checks.evidence.database.dsn import Dsn
from checks.evidence.database.meter import Meter
from checks.evidence.database.unreachable import unreachable

APPLICATION_NAME = "pgsurveyor"
MARKER = "/* pgsurveyor */"
CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 5.0
LOCK_TIMEOUT = "200ms"

# How long a statement may take beyond its own time-out, before the connection counts as lost.
_GRACE_S = 5.0
_WATCH_S = 0.05

_CURSOR = "pgsurveyor_rows"
_SAVEPOINT = "pgsurveyor"
_TRIES_TO_END = 20
_ROWS_AT_ONCE = 50_000

# How old a transaction may be that another block joins: it holds back the server's vacuuming.
_SHARED_S = 1.0

# A setting that not every role may change. Privileges on parameters came with 15.
_COUNTING = "track_counts"
_MAY_SWITCH_COUNTING = f"pg_catalog.has_parameter_privilege('{_COUNTING}', 'SET')"
_IS_SUPERUSER = "pg_catalog.current_setting('is_superuser')::bool"

MANNERS: Mapping[str, str] = {
    "application_name": APPLICATION_NAME,
    "statement_timeout": f"{STATEMENT_TIMEOUT_S:.0f}s",
    "idle_in_transaction_session_timeout": "30s",
    "standard_conforming_strings": "on",
    "client_encoding": "UTF8",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "quote_all_identifiers": "off",
    # What the planner reads of an index must not make it look used. Only for those whom the server lets.
    _COUNTING: "off",
}
CATALOG_MANNERS: Mapping[str, str] = {
    **MANNERS,
    "search_path": "pg_catalog",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "cursor_tuple_fraction": "1",
    "work_mem": "32MB",
}

_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}


class Cancelled(Exception):
    """The user ended the observation."""


class ConnectionLost(Exception):
    """The connection ended before its time: the server went away, or did not answer any more."""


class _TolerantLoader(adapt.Loader):
    """Text of a database in SQL_ASCII may be no UTF-8 at all."""

    def load(self, data: adapt.Buffer) -> str:
        return bytes(data).decode("utf-8", "replace")


class _TolerantJsonLoader(adapt.Loader):
    def load(self, data: adapt.Buffer) -> Any:
        return json.loads(bytes(data).decode("utf-8", "replace"))


class Session:
    """A connection to one node. `statements_sent` counts statements, `server_ms` the time from sending to the last row; `meter`
    counts them too.

    Raises TargetError where the node cannot be reached.
    """

    def __init__(self, dsn: Dsn, cancelled: threading.Event | None = None, meter: Meter | None = None) -> None:
        self.dsn = dsn
        self._meter = meter or Meter()
        self.statements_sent = 0
        self.server_ms = 0.0
        self._cancelled = cancelled or threading.Event()
        self._closed = threading.Event()
        self._deadline: float | None = None
        self._cleaning = False
        self._patience_s: float | None = None
        self._open_kind: tuple[Mapping[str, str], bool, bool] | None = None
        self._begun = 0.0
        self._connection = _connect(dsn, self._cancelled)
        self._without_encoding = self._connection.info.parameter_status("server_encoding") == "SQL_ASCII"
        if self._without_encoding:
            for name in ("text", "varchar", "name", "bpchar"):
                self._connection.adapters.register_loader(name, _TolerantLoader)
            for name in ("json", "jsonb"):
                self._connection.adapters.register_loader(name, _TolerantJsonLoader)
        self._watcher = threading.Thread(target=self._watch, name="pgsurveyor-watch", daemon=True)
        self._watcher.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._end()
        self._closed.set()
        self._watcher.join()
        self._connection.close()

    @property
    def is_lost(self) -> bool:
        return self._connection.closed

    @property
    def version_num(self) -> int:
        return self._connection.info.server_version

    @property
    def major(self) -> int:
        return self.version_num // 10000

    @property
    def uses_tls(self) -> bool:
        return bool(self._connection.pgconn.ssl_in_use)

    @property
    def backend_pid(self) -> int:
        """The process id that the other end gave at connect; a pooler gives one of its own."""
        return self._connection.info.backend_pid

    @contextlib.contextmanager
    def transaction(
        self,
        settings: Mapping[str, str] = CATALOG_MANNERS,
        *,
        one_snapshot: bool = False,
        ends: bool = False,
        even_if_cancelled: bool = False,
        patience_s: float | None = None,
        may_fail: bool = False,
    ) -> Iterator[None]:
        """A READ ONLY transaction under a lock_timeout and these settings, in the end rolled back.

        Blocks that follow each other with the same settings share one, unless it failed, is a second old, or `ends` says that
        it ends with the block. `one_snapshot`: all its statements see one state. `even_if_cancelled`: it cleans up.
        `patience_s` is the statement_timeout among the settings where that is not ours, beyond which the connection counts as
        lost. `may_fail`: what strangers wrote may be refused, and the server does not count that as a transaction that was
        rolled back. Raises Cancelled, ConnectionLost and psycopg.Error; after the last of these the session can go on.
        """
        self._cleaning = even_if_cancelled
        self._patience_s = patience_s
        kind = (settings, one_snapshot, may_fail)
        try:
            self._check()
            if self._open_kind != kind:
                self._begin(settings, one_snapshot, may_fail)
            yield
        except psycopg.Error as error:
            ends = True
            self._raise(error)
        except BaseException:
            ends = True
            raise
        finally:
            if ends or self._is_stale():
                self._end()
            self._cleaning = False
            self._patience_s = None

    def rows(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """All rows of one statement of ours, as named tuples. To be called within `transaction`."""
        return self._run(statement, parameters)

    def stream(self, statement: str, *, in_parts: bool) -> Iterator[Any]:
        """Rows as of `rows`; `in_parts` by a cursor, so that the time-out holds for each part and not for the whole."""
        if not in_parts:
            yield from self._run(statement, None)
            return
        self._run(f"DECLARE {_CURSOR} NO SCROLL CURSOR FOR {statement}", None)
        while rows := self._run(f"FETCH {MARKER} FORWARD {_ROWS_AT_ONCE} FROM {_CURSOR}", None):
            yield from rows
        self._run(f"CLOSE {MARKER} {_CURSOR}", None)

    def rest(self) -> None:
        """Holds no transaction until the next statement."""
        self._end()

    def parameter_types(self, statement: str) -> tuple[int, ...]:
        """The oids of the types that the server finds for `$1`, `$2`, ... of a statement, which it parses and does not plan.
        Raises psycopg.Error."""
        self.check_single(statement)
        with self._timed():
            described = self._connection.pgconn.describe_prepared(b"")
        if described.status != psycopg.pq.ExecStatus.COMMAND_OK:
            raise errors.error_from_result(described, encoding="utf-8")
        return tuple(described.param_type(number) for number in range(described.nparams))

    def check_single(self, statement: str) -> None:
        """Has the server parse a statement that strangers wrote, without planning it. Raises psycopg.Error unless it is
        one correct command."""
        with self._timed():
            result = self._connection.pgconn.prepare(b"", statement.encode())
        if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
            raise errors.error_from_result(result, encoding="utf-8")

    def _begin(self, settings: Mapping[str, str], one_snapshot: bool, may_fail: bool) -> None:
        self._end()
        self._connection.read_only = True
        self._connection.isolation_level = IsolationLevel.REPEATABLE_READ if one_snapshot else None
        self._open_kind = (settings, one_snapshot, may_fail)
        self._begun = time.monotonic()
        self.statements_sent += 1  # the BEGIN that psycopg sends before the first statement
        # SET needs no catalog; set_config() already waits where somebody has locked pg_proc.
        first = f"SET {MARKER} LOCAL lock_timeout = '{LOCK_TIMEOUT}'"
        if may_fail:
            # In one message: the way to the server and back may be long.
            first += f"; SAVEPOINT {MARKER} {_SAVEPOINT}"
            self.statements_sent += 1
        self._run(first, None)
        if not settings:
            return
        if self._without_encoding:
            settings = {**settings, "client_encoding": "SQL_ASCII"}
        calls = ", ".join(f"{self._set_config(name, number)} AS s{number}" for number, name in enumerate(settings))
        names = {f"n{i}": name for i, name in enumerate(settings)}
        values = {f"v{i}": value for i, value in enumerate(settings.values())}
        self._run(f"SELECT {MARKER} {calls}", names | values)

    def _set_config(self, name: str, number: int) -> str:
        call = f"pg_catalog.set_config(%(n{number})s, %(v{number})s, true)"
        if name != _COUNTING:
            return call
        allowed = _MAY_SWITCH_COUNTING if self.major >= 15 else _IS_SUPERUSER
        return f"CASE WHEN {allowed} THEN {call} END"

    def _is_stale(self) -> bool:
        failed = self._connection.info.transaction_status != psycopg.pq.TransactionStatus.INTRANS
        return failed or time.monotonic() - self._begun > _SHARED_S

    def _run(self, statement: str, parameters: Mapping[str, Any] | None) -> list[Any]:
        self._check()
        with self._timed(), self._connection.cursor(row_factory=namedtuple_row) as cursor:
            cursor.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        begun = time.monotonic()
        self._deadline = begun + (self._patience_s or STATEMENT_TIMEOUT_S) + _GRACE_S
        self.statements_sent += 1
        try:
            yield
        finally:
            self._deadline = None
            spent_ms = (time.monotonic() - begun) * 1000
            self.server_ms += spent_ms
            self._meter.add(spent_ms)

    def _check(self) -> None:
        if self._cancelled.is_set() and not self._cleaning:
            raise Cancelled
        if self._connection.closed:
            raise ConnectionLost

    def _raise(self, error: psycopg.Error) -> NoReturn:
        if self._cancelled.is_set():
            raise Cancelled from error
        if self._connection.closed:
            raise ConnectionLost from error
        raise error

    def _end(self) -> None:
        may_fail = self._open_kind is not None and self._open_kind[-1]
        self._open_kind = None
        status = self._connection.info.transaction_status
        if self._connection.closed or status == psycopg.pq.TransactionStatus.IDLE:
            return
        with self._timed():
            # Somebody may cancel the end as well, or recovery conflict with it, and then there is still a transaction to end.
            for _ in range(_TRIES_TO_END):
                with contextlib.suppress(psycopg.Error):
                    self._leave(from_savepoint=may_fail)
                may_fail = False
                if (
                    self._connection.closed
                    or self._connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
                ):
                    return
        # The next transaction raises ConnectionLost.
        self._connection.close()

    def _leave(self, *, from_savepoint: bool) -> None:
        """A read-only transaction has nothing to undo, and a rollback would count as somebody's failure."""
        if from_savepoint and self._connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
            self.statements_sent += 1
            self._connection.execute(f"ROLLBACK {MARKER} TO SAVEPOINT {_SAVEPOINT}")
        if self._connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
            self._connection.commit()
        else:
            self._connection.rollback()

    def _watch(self) -> None:
        """Cancels what runs when the user wants to stop, and cuts a connection on which nothing comes back."""
        while not self._closed.wait(_WATCH_S):
            deadline = self._deadline
            if deadline is None:
                continue
            if time.monotonic() > deadline:
                self._cut()
                return
            if self._cancelled.is_set() and not self._cleaning:
                try:
                    self._connection.cancel_safe(timeout=1.0)
                    self._closed.wait(4 * _WATCH_S)
                except psycopg.Error:
                    self._cut()
                    return

    def _cut(self) -> None:
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(self._connection.fileno())) as line,
        ):
            line.shutdown(socket.SHUT_RDWR)


def _connect(dsn: Dsn, cancelled: threading.Event) -> psycopg.Connection[Any]:
    """Connects in a thread of its own, because a host that does not answer must not keep the user from stopping."""
    given = dsn.parameters
    defaults: dict[str, str | int] = {name: value for name, value in _KEEPALIVES.items() if name not in given}
    if dsn.value("connect_timeout") is None:
        defaults["connect_timeout"] = CONNECT_TIMEOUT_S
    target = make_conninfo(dsn.conninfo, **defaults, application_name=APPLICATION_NAME, client_encoding="UTF8")
    outcome: list[psycopg.Connection[Any] | psycopg.Error] = []
    settled = threading.Event()
    abandoned = threading.Event()

    def connect() -> None:
        try:
            made = psycopg.connect(target, prepare_threshold=None)
            outcome.append(made)
            if abandoned.is_set():
                made.close()
        except psycopg.Error as error:
            outcome.append(error)
        finally:
            settled.set()

    threading.Thread(target=connect, name="pgsurveyor-connect", daemon=True).start()
    while not settled.wait(_WATCH_S):
        if cancelled.is_set():
            abandoned.set()
            raise Cancelled
    result = outcome[0]
    if isinstance(result, psycopg.Error):
        raise unreachable(dsn, result) from None
    return result
