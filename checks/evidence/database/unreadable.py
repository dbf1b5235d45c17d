"""Which tables this login may not read all rows of. What is certain to be refused is not sent: it would stand in the log."""

from __future__ import annotations

import psycopg

from checks.evidence.database.query import query
from checks.evidence.database.session import Session


def unreadable(session: Session) -> frozenset[int]:
    """The oids of tables of which no column may be read, or, for a policy, not every row; none where that cannot be told just
    now. Raises Cancelled, ConnectionLost."""
    try:
        with session.transaction(ends=True):
            return frozenset(row.oid for row in session.rows(query("unreadable", session.major)))
    except psycopg.Error:
        return frozenset()
