"""What an error means for the facts that were asked for."""

from __future__ import annotations

import psycopg
from psycopg import errors

from checks.model import Reason, Unobserved

CANCELLED = Unobserved(Reason.NOT_RUN, "the observation was ended early: run it again")
LOST = Unobserved(Reason.CONNECTION_LOST, "the connection to the server was lost: run it again")

NOT_WATCHED = Unobserved(Reason.NOT_OPTED_IN, "--watch SECONDS looks twice and tells rates")
BUSY = Unobserved(
    Reason.TARGET_BUSY,
    "more was going on than --max-load allows: run it again later, or raise active_sessions under [limits]",
)


def gap(error: psycopg.Error, unlock: str = "") -> Unobserved:
    """`unlock` is the GRANT that would permit it. The server's own words stay out: they may quote a value."""
    match error:
        case errors.InsufficientPrivilege():
            return Unobserved(Reason.NOT_PERMITTED, unlock)
        case errors.LockNotAvailable():
            return Unobserved(
                Reason.TIMED_OUT, "another session held a lock on what was to be read: run it again later"
            )
        case errors.QueryCanceled():
            return Unobserved(
                Reason.TIMED_OUT,
                "the statement took longer than 5 s, or was cancelled: run it again when the server is less busy",
            )
        case (
            errors.UndefinedTable() | errors.UndefinedColumn() | errors.UndefinedFunction() | errors.AmbiguousFunction()
        ):
            return Unobserved(
                Reason.SERVER_VERSION, f"this server's catalog is not as expected (SQLSTATE {error.sqlstate})"
            )
        case errors.FeatureNotSupported() | errors.ObjectNotInPrerequisiteState():
            return Unobserved(Reason.MANAGED_SERVICE_HIDES, f"the server does not offer it (SQLSTATE {error.sqlstate})")
    if passing(error):
        return Unobserved(
            Reason.TARGET_BUSY, f"the server had no room for it (SQLSTATE {error.sqlstate}): run it again later"
        )
    return Unobserved(Reason.NOT_RUN, f"the server answered with SQLSTATE {error.sqlstate or 'unknown'}")


def passing(error: psycopg.Error) -> bool:
    """Whether the same statement may well succeed a moment later: conflicts with recovery, resources, concurrent drops."""
    return (error.sqlstate or "")[:2] in {"40", "53"} or error.sqlstate == "XX000"
