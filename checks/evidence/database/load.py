"""Whether the server has more to do than the user allows for."""

from __future__ import annotations

import time

from checks.evidence.database.query import query
from checks.evidence.database.session import Session

_ASKED_AGAIN_AFTER_S = 1.0


class Load:
    """Asked at most once a second; once too high, it stays so. `allowed` active sessions, None for any number.

    A session that waits for a lock for more than a second is trouble too.
    """

    def __init__(self, session: Session, allowed: int | None, notices: list[str]) -> None:
        self._session = session
        self._allowed = allowed
        self._notices = notices
        self._asked = float("-inf")
        self._too_high = False

    def is_too_high(self) -> bool:
        """In a transaction of its own. Raises psycopg.Error, Cancelled, ConnectionLost."""
        if self._allowed is None or self._too_high or time.monotonic() - self._asked < _ASKED_AGAIN_AFTER_S:
            return self._too_high
        with self._session.transaction(ends=True):
            [row] = self._session.rows(query("load", self._session.major))
        self._asked = time.monotonic()
        self._too_high = row.active > self._allowed or row.waiting > 0
        if self._too_high:
            self._notices.append(
                f"stopped observing: {row.active} sessions were active ({self._allowed} are allowed), "
                f"{row.waiting} waited for locks"
            )
        elif row.hidden and not any("--max-load" in notice for notice in self._notices):
            self._notices.append(
                "--max-load sees little: this role is not told what other sessions do (GRANT pg_monitor)"
            )
        return self._too_high
