"""The server as it works just now: a look at its counters and sessions every few seconds, on one read-only connection that is
open while somebody watches, and no longer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Mapping

import msgspec

from checks.errors import TargetError
from checks.evidence.database.activity import observe_activity
from checks.evidence.database.dsn import understand
from checks.evidence.database.facts import Activity, Rates, Standby
from checks.evidence.database.rates import look, rates
from checks.evidence.database.replication import observe_standbys
from checks.evidence.database.server import check_version, observe_server
from checks.evidence.database.session import Cancelled, ConnectionLost, Session
from checks.evidence.database.statements import EXTENSION, statement_texts

EVERY_S = 2.0
KEPT = 240
TEXTS_READ = 8


class Sample(msgspec.Struct, frozen=True):
    """What happened since the look before, and who was at work at this one. `server_ms` is the time our own looks took so far,
    `statements_sent` how many they were. `texts` are those of the statements that took the most time, by their ids."""

    rates: Rates
    activity: Activity
    statements_sent: int
    server_ms: float
    standbys: tuple[Standby, ...] = ()
    texts: Mapping[str, str] = msgspec.field(default_factory=dict)

    @property
    def lag_bytes(self) -> int | None:
        """Of the standby or subscriber that is furthest behind; None where none is seen."""
        return max(
            (entry.replay_lag_bytes for entry in self.standbys if entry.replay_lag_bytes is not None), default=None
        )

    @property
    def active(self) -> int:
        return sum(session.state == "active" for session in self.activity.sessions)

    @property
    def blocked(self) -> int:
        """Sessions that wait for a lock of another one."""
        return sum(session.blocked for session in self.activity.sessions)

    @property
    def idle_in_transaction(self) -> int:
        return sum((session.state or "").startswith("idle in transaction") for session in self.activity.sessions)


class Everything(Container[str]):
    """Statements of any id count."""

    def __contains__(self, id: object) -> bool:
        return True


def watch(
    dsn: str,
    report: Callable[[Sample], None],
    stop: threading.Event,
    every_s: float = EVERY_S,
    known: Container[str] | None = None,
) -> None:
    """Reports a sample every so many seconds until `stop` is set. Raises TargetError, UsageError."""
    try:
        with Session(understand(dsn), stop) as session:
            check_version(session)
            with session.transaction(ends=True):
                server, sight = observe_server(session)
            extension = server.extension(EXTENSION)
            before = look(session, extension)
            texts: dict[str, str] = {}
            while not stop.wait(every_s):
                after = look(session, extension)
                with session.transaction(ends=True):
                    activity = observe_activity(
                        session,
                        max_connections=sight.max_connections,
                        reserved_connections=sight.reserved_connections,
                    )
                    standbys = observe_standbys(session)
                found = rates(before, after, known or Everything())
                wanted = {entry.query_id for entry in found.statements[:TEXTS_READ]} - texts.keys()
                texts = {**texts, **statement_texts(session, extension, wanted)}
                report(Sample(found, activity, session.statements_sent, session.server_ms, standbys, texts))
                before = after
    except Cancelled:
        return
    except ConnectionLost as error:
        raise TargetError("the connection was lost", "r looks again") from error
