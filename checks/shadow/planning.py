"""Plans made in a shadow: by a role that may do nothing but plan, in a read-only transaction, within a time-out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import psycopg

from checks.evidence.database.facts import PlanNode
from checks.evidence.database.plan_tree import read_plan
from checks.evidence.database.session import MANNERS
from checks.evidence.masked import as_sql
from checks.evidence.sql import highest_parameter
from checks.model import Reason
from checks.shadow.patience import GRACE_S, within
from checks.shadow.restore import PLANNER, connect
from checks.shadow.server import EmbeddedServer

TIMEOUT_S = 5.0
GENERIC_PLAN_SINCE = 16
_PREPARED = "planned"
# A shadow counts nothing as it is, and the role that plans may not change that.
_MANNERS = {name: value for name, value in MANNERS.items() if name != "track_counts"} | {
    "statement_timeout": f"{TIMEOUT_S:g}s",
    "lock_timeout": "5s",
}


class NotPlanned(msgspec.Struct, frozen=True):
    """Why there is no plan: `reason` in the words of CONTRACT.md, `detail` what the server said."""

    reason: Reason
    detail: str


class Planning:
    """One connection to plan on. It sees the sizes that relations have when it is made."""

    def __init__(self, server: EmbeddedServer, defaults: Mapping[str, str]) -> None:
        self._server = server
        self._major = server.major
        self._defaults = {**defaults, **_MANNERS}
        self._connection: psycopg.Connection[Any] | None = None
        self._single: set[str] = set()

    def explain(self, statement: str, settings: Mapping[str, str]) -> PlanNode | NotPlanned:
        """The plan of a statement with placeholders `$n` as the generic plan of a prepared statement. Never raises
        psycopg.Error."""
        text = as_sql(statement.strip().rstrip(";").rstrip())
        try:
            connection = self._connected()
            _set(connection, settings, local=True)
            with within(connection, TIMEOUT_S + GRACE_S):
                if text not in self._single:
                    _check_single(connection, text)
                    self._single.add(text)
                found = self._plan(connection, text)[0]["Plan"]
            return read_plan(found)
        except (psycopg.errors.QueryCanceled, psycopg.errors.AdminShutdown):
            return NotPlanned(Reason.TIMED_OUT, f"planning took longer than {TIMEOUT_S:g} s")
        except psycopg.Error as error:
            words = error.diag.message_primary or str(error)
            return NotPlanned(Reason.NO_SHADOW, f"the shadow does not plan it: {words.strip()[:200]}")
        except RecursionError:
            return NotPlanned(Reason.NO_SHADOW, "its plan is too deep")
        finally:
            self._end()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            made = connect(self._server, PLANNER, autocommit=False, client_encoding="UTF8")
            known = {row[0] for row in made.execute("SELECT name FROM pg_catalog.pg_settings").fetchall()}
            made.rollback()
            self._defaults = {name: value for name, value in self._defaults.items() if name in known or "." in name}
            _set(made, self._defaults, local=False)
            made.commit()
            made.read_only = True
            self._connection = made
        return self._connection

    def _plan(self, connection: psycopg.Connection[Any], text: str) -> Any:
        if self._major >= GENERIC_PLAN_SINCE:
            row = connection.execute(f"EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON) {text}".encode()).fetchone()
        elif (parameters := highest_parameter(text)) == 0:
            row = connection.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) {text}".encode()).fetchone()
        else:
            nulls = ", ".join(["NULL"] * parameters)
            connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            connection.execute(f"PREPARE {_PREPARED} AS {text}".encode())
            row = connection.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE {_PREPARED}({nulls})".encode()).fetchone()
        assert row is not None
        return row[0]

    def _end(self) -> None:
        connection = self._connection
        if connection is None or connection.closed:
            return
        try:
            connection.rollback()
            if self._major < GENERIC_PLAN_SINCE:
                connection.execute("DEALLOCATE ALL")
                connection.rollback()
        except psycopg.Error:
            connection.close()


def _set(connection: psycopg.Connection[Any], settings: Mapping[str, str], *, local: bool) -> None:
    if settings:
        calls = ", ".join(f"pg_catalog.set_config(%s, %s, {str(local).lower()})" for _ in settings)
        connection.execute(f"SELECT {calls}".encode(), [part for entry in settings.items() for part in entry])


def _check_single(connection: psycopg.Connection[Any], text: str) -> None:
    """Has the server parse it; raises psycopg.Error unless it is one correct command."""
    result = connection.pgconn.prepare(b"", text.encode())
    if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(result, encoding="utf-8")
