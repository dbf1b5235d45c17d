"""Who is connected and waits, what is prepared, what holds back VACUUM, and how old the oldest unfrozen rows are."""

from __future__ import annotations

from collections import Counter

from checks.evidence.database.facts import (
    Activity,
    FreezeAge,
    FreezeAges,
    HorizonHolder,
    PreparedTransaction,
    Progress,
    WaitCount,
)
from checks.evidence.database.facts import Session as ClientSession
from checks.evidence.database.query import query
from checks.evidence.database.session import Session


def observe_activity(
    session: Session, *, max_connections: int, reserved_connections: int, prepares: bool = True
) -> Activity:
    """Client sessions but our own, without the text of their statements. `prepares`: the server takes prepared transactions."""
    rows = session.rows(query("sessions", session.major))
    prepared = session.rows(query("prepared_transactions", session.major)) if prepares else []
    horizon = session.rows(query("horizon", session.major))
    progress = session.rows(query("progress", session.major))
    waits = Counter((row.wait_event_type or "", row.wait_event or "") for row in rows if row.state == "active")
    return Activity(
        sessions=tuple(
            ClientSession(
                application_name=row.application_name,
                user=row.user_name,
                database=row.database,
                state=row.state,
                transaction_age_s=row.transaction_age_s,
                state_age_s=row.state_age_s,
                wait_event_type=row.wait_event_type,
                wait_event=row.wait_event,
                backend_type=row.backend_type,
                xmin_age=row.xmin_age,
                blocked=row.blocked,
                blocks=row.blocks,
                encrypted=row.encrypted,
            )
            for row in rows
        ),
        max_connections=max_connections,
        reserved_connections=reserved_connections,
        prepared=tuple(PreparedTransaction(row.name, row.database, row.owner, row.age_s) for row in prepared),
        states_hidden=any(row.hidden for row in rows),
        waits=tuple(WaitCount(*waited, count) for waited, count in sorted(waits.items())),
        horizon=tuple(HorizonHolder(*row) for row in horizon),
        progress=tuple(Progress(row.command, row.database or "", *row[2:]) for row in progress),
    )


def observe_freeze_ages(session: Session) -> FreezeAges:
    """Of every database of the server, and of the twenty oldest tables of this one."""
    rows = session.rows(query("freeze_ages", session.major))
    return FreezeAges(
        databases=tuple(FreezeAge((row.name,), row.xid_age, row.multixact_age) for row in rows if row.schema is None),
        oldest_tables=tuple(
            FreezeAge((row.schema, row.name), row.xid_age, row.multixact_age) for row in rows if row.schema is not None
        ),
    )
