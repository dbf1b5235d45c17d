"""An end for what strangers wrote, when it does not end by itself.

A function can catch the error that statement_timeout raises, and go on; it can set the timeout to 0 for what comes after it.
Against both there is a clock outside the server, which ends the session.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.sql import Composed

from checks.errors import TargetError

STATEMENT_S = 20.0
GRACE_S = 3.0
ENDLESS_AT_MOST = 4


@contextmanager
def within(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Ends the server process behind the connection where what is done takes longer; no function can catch that. The connection
    is then closed, and what waits on it raises psycopg.Error."""
    timer = threading.Timer(seconds, _end, [connection.info.backend_pid])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)


class StrangersSession:
    """A session of the tables' owner to run what strangers wrote. Where that had to be ended, it goes on in a new one."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], seconds: float = STATEMENT_S) -> None:
        self._connect = connect
        self._seconds = seconds
        self._endless = 0
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """For what does not run anything, such as quoting."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            self._connection.execute(f"SET statement_timeout = '{self._seconds:g}s'".encode())
        return self._connection

    def execute(self, statement: bytes | Composed, parameters: Sequence[Any] | None = None) -> None:
        """Raises psycopg.Error, and TargetError where too many did not end."""
        connection = self.connection
        try:
            with within(connection, self._seconds + GRACE_S):
                connection.execute(statement, parameters)
        except psycopg.Error as error:
            if is_endless(error):
                self._endless += 1
                if self._endless > ENDLESS_AT_MOST:
                    raise TargetError(
                        "functions of its schema do not end when it is restored", "go on without a shadow: --no-shadow"
                    ) from error
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def is_endless(error: psycopg.Error) -> bool:
    """Whether it was ended by its time-out, or with its session."""
    return isinstance(error, (psycopg.errors.QueryCanceled, psycopg.errors.AdminShutdown))
