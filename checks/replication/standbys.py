"""Whether a standby is there, and how far it is behind."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Replication, Server, Standby
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.figures import bytes_in_words, seconds_in_words
from checks.model import Examined, Finding, Fix, NotApplicable, Reason, Severity, Subject, Unknown
from checks.registry import check
from checks.relations import grant
from checks.settings import is_managed, milliseconds, server_locations

# Clients that stream WAL to files: they archive, nobody can fail over to them.
RECEIVERS = frozenset({"pg_receivewal", "pg_basebackup", "barman_receive_wal", "pgbackrest", "wal-g"})


def streaming_standbys(replication: Replication) -> list[Standby]:
    """Physical standbys that are connected and receive WAL, catching up or not."""
    return [
        standby
        for standby in replication.standbys
        if not standby.logical
        and standby.state in {"streaming", "catchup"}
        and standby.application_name not in RECEIVERS
    ]


@check("replication.no-standby", catalogue="R02", severity=Severity.HIGH, needs=[Replication, Server])
def no_standby(evidence: Evidence) -> Iterator[Finding | Examined]:
    """No standby receives this primary's changes.

    When this machine or its disk is lost, the application is down until a backup is restored, and what was written since the
    backup may be gone. A standby turns hours into a minute, and can serve reads meanwhile.

    Fix: A streaming standby on another machine, best with a replication slot, and a rehearsed promotion.

    Example: one server with a nightly pg_dump and no row in pg_stat_replication: a broken disk at 18:00 costs the day's data
    and the hours of a restore.

    Source: PostgreSQL manual, "Log-Shipping Standby Servers"

    Observed: standbys, size_bytes
    """
    server, replication = evidence.get(Server), evidence.get(Replication)
    given = [replica for replica in evidence.replicas if replica.server.is_standby]
    if server.is_standby or given or streaming_standbys(replication):
        yield Examined(1, 1, "primary")
        return
    if replication.standbys_hidden:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor"))
    if is_managed(server):
        raise Unknown(Reason.MANAGED_SERVICE_HIDES, "ask whether the provider's high availability is switched on")
    yield Examined(1, 1, "primary")
    repository = evidence.find(Repository)
    planned = [fact.location for fact in (repository.deployment if repository else ()) if fact.kind == "standby"]
    hint = " The deployment files describe one: see why it does not stream." if planned else ""
    left = [slot.name for slot in replication.slots if slot.kind == "physical" and not slot.active]
    gone = f": the one of slot {left[0]} is gone" if left else ""
    yield Finding(
        Subject("node", ("primary",)),
        f"No standby streams from the primary{gone or (', though the deployment files describe one' if planned else '')}",
        Fix(
            "Set up a streaming standby on another machine with pg_basebackup -R and a replication slot, watch its lag, and "
            f"rehearse its promotion.{hint}",
            undo="Stop the standby and drop its slot.",
        ),
        observed={"standbys": len(replication.standbys), "size_bytes": server.size_bytes},
        related=tuple(Subject("slot", (name,)) for name in left),
        locations=(*planned, *server_locations(evidence)),
    )


class Lag(msgspec.Struct, frozen=True):
    """How far one standby is behind, in bytes of WAL and in seconds; None where that is not known."""

    name: str
    size: int | None
    seconds: float | None
    logical: bool
    delay_s: float = 0.0


@check("replication.lag", catalogue="R01", severity=Severity.MEDIUM, needs=[Replication, Server])
def lag(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A standby or subscriber is far behind.

    What it has not received is lost when the primary is, and what it has not replayed is missing in every read sent to it.
    Bytes and time are judged together: on an idle primary the time since the last change grows while nothing is missing.

    Fix: Find what holds it: network, the standby's disk, a query that blocks replay, a slow subscriber.

    Example: a standby that is 12 GB and 40 minutes behind: SELECT pg_promote() now would lose what it has not received, and its
    reports show the state of 40 minutes ago.

    Source: PostgreSQL manual, "pg_stat_replication"; "Hot Standby"

    Observed: lag_bytes, lag_seconds, logical, intended_delay_seconds
    """
    lags = _lags(evidence)
    if not lags:
        raise NotApplicable("no standby or subscriber is connected")
    known = [entry for entry in lags if entry.size is not None or entry.seconds is not None]
    if not known:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor"))
    yield Examined(len(known), len(lags), "standbys and subscribers")
    for entry in known:
        far = entry.size is not None and entry.size > evidence.limit("lag_bytes")
        behind = entry.size is None or entry.size > 0
        late = behind and (entry.seconds or 0) > max(evidence.limit("lag_seconds"), entry.delay_s * 1.5)
        if entry.delay_s and not late:
            continue
        if far or late:
            yield _behind(entry, far and late)


def _behind(entry: Lag, both: bool) -> Finding:
    size = bytes_in_words(entry.size) if entry.size is not None else None
    words = [part for part in (size, seconds_in_words(entry.seconds) if entry.seconds else None) if part]
    kind = "Subscriber" if entry.logical else "Standby"
    advice = (
        "See whether the subscriber's apply worker waits for locks or lacks an index on the replica identity."
        if entry.logical
        else "On the standby look at pg_stat_wal_receiver, at queries that block replay (pg_stat_database_conflicts, "
        "max_standby_streaming_delay) and at its disk; on the primary at bulk jobs that write more than it can take."
    )
    return Finding(
        Subject("node", (entry.name,)),
        f"{kind} {entry.name} is {' and '.join(words)} behind",
        Fix(advice),
        severity=Severity.HIGH if both else Severity.MEDIUM,
        observed={
            "lag_bytes": entry.size,
            "lag_seconds": None if entry.seconds is None else round(entry.seconds, 1),
            "logical": entry.logical,
            "intended_delay_seconds": entry.delay_s,
        },
    )


def _lags(evidence: Evidence) -> list[Lag]:
    """What the primary says of those it sends to; standbys that it does not speak of say it themselves."""
    server, replication = evidence.get(Server), evidence.get(Replication)
    given = [replica for replica in evidence.replicas if replica.server.is_standby]
    delays = [(milliseconds(replica.settings, "recovery_min_apply_delay") or 0) / 1000 for replica in given]
    longest = max(delays, default=0.0)
    found = [
        Lag(
            entry.application_name or "unnamed",
            entry.replay_lag_bytes,
            entry.replay_lag_s,
            entry.logical,
            0.0 if entry.logical else longest,
        )
        for entry in replication.standbys
        if entry.application_name not in RECEIVERS and entry.state != "backup"
    ]
    if server.is_standby:
        found.append(Lag("standby", replication.replay_lag_bytes, replication.replay_lag_s, logical=False))
    elif len(streaming_standbys(replication)) < len(given):
        for replica, delay in zip(given, delays, strict=True):
            own = replica.replication
            found.append(Lag(replica.name, own.replay_lag_bytes, own.replay_lag_s, logical=False, delay_s=delay))
    return found
