"""Targets as they may be shown and remembered: never with a password."""

from __future__ import annotations

from psycopg import conninfo

from checks.evidence.database.dsn import Dsn, understand
from checks.evidence.observe import Target
from tui.state import RecentTarget

KEPT = ("service", "host", "hostaddr", "port", "dbname", "user", "sslmode", "sslrootcert")


def display(target: Target) -> str:
    """`app@db.example.com/app + support-assistant`. Raises UsageError for a DSN that is none."""
    parts = [understand(target.dsn).display] if target.dsn is not None else []
    parts += [target.repository.name] if target.repository is not None else []
    return " + ".join(parts)


def without_password(dsn: Dsn) -> str:
    """A DSN for the same place that holds nothing secret; libpq finds the password in .pgpass or PGPASSWORD."""
    return conninfo.make_conninfo("", **{name: value for name, value in dsn.parameters.items() if name in KEPT})


def recent(target: Target) -> RecentTarget:
    dsn = without_password(understand(target.dsn)) if target.dsn is not None else ""
    return RecentTarget(dsn, str(target.repository.absolute()) if target.repository is not None else "")


def arguments(target: Target) -> tuple[str, ...]:
    """The words of a command line that name `target`, without a password."""
    words = [without_password(understand(target.dsn))] if target.dsn is not None else []
    words += [str(target.repository)] if target.repository is not None else []
    for replica in target.replicas:
        words += ["--replica", without_password(understand(replica))]
    if target.pooler is not None:
        words += ["--pooler", without_password(understand(target.pooler))]
    return tuple(words)
