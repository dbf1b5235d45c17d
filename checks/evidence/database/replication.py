"""Standbys, slots, archiving, publications; and of a standby, how far behind it is."""

from __future__ import annotations

import re
from typing import Any

from checks.evidence.database.facts import Archiver, Publication, Replication, Slot, Standby, Subscription
from checks.evidence.database.query import query
from checks.evidence.database.session import Session

NO_RECEIVER = "not running"

# Of pg_subscription_rel.srsubstate; two codes name one stage of copying.
_TABLE_STATES = {"i": "initialize", "d": "copying", "f": "finished", "s": "synchronized", "r": "ready"}

_SEGMENT = re.compile(r"[0-9A-F]{8}([0-9A-F]{8})([0-9A-F]{8})")


def observe_replication(session: Session, *, is_standby: bool, sees_all_stats: bool) -> Replication:
    """Lag is told from WAL positions. A standby that streams from another is asked for its own sending too."""
    major = session.major
    standbys = session.rows(query("standbys", major))
    slots = session.rows(query("slots", major))
    archiver = session.rows(query("archiver", major))
    publications = session.rows(query("publications", major))
    subscribed = session.rows(query("subscriptions", major))
    receiver = session.rows(query("receiver", major))[0] if is_standby else None
    return Replication(
        standbys=tuple(_standby(row) for row in standbys),
        standbys_hidden=not sees_all_stats or any(row.state is None for row in standbys),
        slots=tuple(_slot(row) for row in slots),
        archiver=_archiver(archiver[0]) if archiver else None,
        receiver_state=_receiver_state(receiver),
        replay_lag_bytes=receiver.replay_lag_bytes if receiver else None,
        replay_lag_s=_replay_lag_s(receiver),
        replay_paused=receiver.replay_paused if receiver else None,
        published_tables=tuple(sorted({oid for row in publications for oid in row.published or ()})),
        publishes_all_tables=any(row.all_tables for row in publications),
        subscriptions=tuple(row.name for row in subscribed),
        publications=tuple(_publication(row) for row in publications),
        subscribed=tuple(_subscription(row, sees_all_stats) for row in subscribed),
    )


def observe_standbys(session: Session) -> tuple[Standby, ...]:
    """Who receives this node's WAL now. In the transaction at hand."""
    return tuple(_standby(row) for row in session.rows(query("standbys", session.major)))


def _publication(row: Any) -> Publication:
    verbs = {"insert": row.inserts, "update": row.updates, "delete": row.deletes, "truncate": row.truncates}
    return Publication(
        name=row.name,
        owner=row.owner,
        all_tables=row.all_tables,
        publishes=tuple(verb for verb, published in verbs.items() if published),
        via_root=row.via_root,
        tables=tuple(row.tables or ()),
        schemas=tuple(row.schemas or ()),
        filtered=tuple(row.filtered or ()),
        column_lists=tuple(row.column_lists or ()),
    )


def _subscription(row: Any, sees_all_stats: bool) -> Subscription:
    return Subscription(
        name=row.name,
        owner=row.owner,
        enabled=row.enabled,
        publications=tuple(row.publications),
        slot_name=row.slot_name,
        synchronous_commit=row.synchronous_commit,
        table_states={_TABLE_STATES.get(state, state): count for state, count in (row.table_states or {}).items()},
        apply_errors=row.apply_errors,
        sync_errors=row.sync_errors,
        worker_running=row.worker_running if sees_all_stats else None,
    )


def _archiver(row: Any) -> Archiver:
    return Archiver(
        archived=row.archived,
        failed=row.failed,
        last_archived=row.last_archived,
        last_failed=row.last_failed,
        unarchived_bytes=_unarchived_bytes(row.last_archived_wal, row.segment_bytes, row.written_bytes),
    )


def _unarchived_bytes(segment: str | None, segment_bytes: int, written_bytes: int | None) -> int | None:
    """A segment is named by timeline, the upper half of its position, and its number within that (8 hex digits each)."""
    matched = _SEGMENT.match(segment or "")
    if matched is None or written_bytes is None:
        return None
    end = (int(matched[1], 16) << 32) + (int(matched[2], 16) + 1) * segment_bytes
    return max(0, written_bytes - end)


def _receiver_state(row: Any) -> str | None:
    """What pg_stat_wal_receiver says; None where this role may not see it."""
    if row is None:
        return None
    return row.status if row.running else NO_RECEIVER


def _replay_lag_s(row: Any) -> float | None:
    """An idle primary sends nothing, so that the last commit's age says nothing once all received WAL is replayed."""
    if row is None or row.replay_lag_bytes == 0:
        return None
    age: float | None = row.last_replay_s
    return age


def _standby(row: Any) -> Standby:
    return Standby(
        application_name=row.application_name,
        state=row.state,
        sync_state=row.sync_state,
        replay_lag_bytes=None if row.replay_lag_bytes is None else max(0, row.replay_lag_bytes),
        replay_lag_s=row.replay_lag_s,
        logical=row.logical,
    )


def _slot(row: Any) -> Slot:
    return Slot(
        name=row.name,
        kind=row.kind,
        active=row.active,
        temporary=row.temporary,
        wal_status=row.wal_status,
        retained_bytes=None if row.retained_bytes is None else max(0, row.retained_bytes),
        plugin=row.plugin,
        database=row.database,
        inactive_since=row.inactive_since,
        invalidation_reason=row.invalidation_reason,
        conflicting=row.conflicting,
        synced=row.synced,
        failover=row.failover,
        xmin_age=row.xmin_age,
        catalog_xmin_age=row.catalog_xmin_age,
    )
