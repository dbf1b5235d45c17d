"""Is each index read?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Constraint, Index, IndexUsage, Replication, Server, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.figures import instant
from checks.indexing.coverage import covers_key
from checks.indexing.crowds import as_one
from checks.indexing.duplicates import drop_index, is_needed, redundant_anyhow
from checks.model import Confidence, Examined, Finding, Reason, Severity, Unknown, Unobserved
from checks.own_reads import scans_by_reviews
from checks.registry import check
from checks.relations import index_parts, is_usable, reviewed_indexes, size_bytes
from checks.schema.habits import HABIT

_APPROXIMATE_METHODS = frozenset({"hnsw", "ivfflat", "diskann", "vchordrq", "scann", "spann"})
_LARGE_BYTES = 100 * 1024**2
_RECEIVERS = frozenset({"pg_basebackup", "pg_receivewal", "barman_receive_wal", "pgbackrest", "wal-g"})


class Node(msgspec.Struct, frozen=True):
    """One server whose counters were read."""

    name: str
    server: Server
    usage: Usage


@check("indexing.unused-index", catalogue="I06 I08 I09", severity=Severity.MEDIUM, needs=[Server, Catalog, Usage],
       window="unused_window_days")  # fmt: skip
@once_per_family
def unused_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An index that no query reads, on any node.

    It costs every insert, most updates, WAL, memory, vacuum time and backup space, and keeps updates from being heap-only,
    for nothing. The counters of the primary and of every replica must cover long enough to include the monthly jobs. Indexes
    that enforce a rule, serve a foreign key, identify rows or search vectors are never counted as unused, nor is one that another
    index makes redundant, which is a finding of its own; small ones are noted together. Reviews by this program
    look at the ends of indexes too: scans that pg_stat_statements shows to be theirs are no use.

    Fix: Ask who made it and for which query, then drop it; keep its definition.

    Example: orders_legacy_code_idx: 800 MB, no scan in 90 days on the primary or the replica.

    Source: PostgreSQL manual, "The Cumulative Statistics System", pg_stat_all_indexes

    Observed: table, size_bytes, scans, own_scans, last_scan, window_days, nodes, table_writes.
    """
    catalog = evidence.get(Catalog)
    nodes = nodes_asked(evidence)
    window = min(window_of(evidence, node) for node in nodes)
    candidates = [index for index in reviewed_indexes(catalog) if may_be_unused(catalog, index)]
    if gap := unseen_nodes(evidence, nodes):
        yield Examined(0, len(candidates), "indexes", gap)
        return
    idle_days = evidence.limit("unused_window_days")
    known, unmet, small = 0, 0, []
    instead = redundant_anyhow(evidence)
    for index in candidates:
        entries = counted_entries(catalog, index, nodes)
        if entries is None:
            continue
        known += 1
        scanned, last = sum(entry.scans for entry in entries), _last_scan(entries)
        idle = (evidence.get(Server).observed_at - last).total_seconds() / 86400 if last else 0.0
        own = scans_by_reviews(evidence, entries, window)
        if scanned > own and not 0 < idle_days <= idle:
            continue
        if index.oid in instead:
            continue
        finding = _finding(evidence, index, _Scans(scanned, own, None if scanned <= own else last), window, nodes)
        if finding.severity is Severity.NOTE:
            small.append(finding)
        else:
            unmet += 1
            yield finding
    yield from as_one(
        evidence,
        small,
        HABIT,
        lambda number, schema: f"{number} small indexes of schema {schema} have not been used",
        "Ask for which queries they were made, then drop them, unless a job that runs more rarely than the statistics reach "
        "back needs one.",
        undo="Keep what pg_get_indexdef() says of each; it makes the index again.",
    )
    yield Examined(known, len(candidates), "indexes", unmet=unmet)


class _Scans(msgspec.Struct, frozen=True):
    """All scans, those that reviews by this program can have caused, and when an application made the last one."""

    counted: int
    own: int
    last: dt.datetime | None


def nodes_asked(evidence: Evidence) -> list[Node]:
    """The node asked and those given with --replica that hold the same database files."""
    server = evidence.get(Server)
    found = [Node(server.role, server, evidence.get(Usage))]
    for replica in evidence.replicas:
        known = (server.system_identifier, replica.server.system_identifier)
        if known[0] is None or known[1] is None or known[0] == known[1]:
            found.append(Node(replica.name, replica.server, replica.usage))
    return found


def window_of(evidence: Evidence, node: Node, limit: str = "unused_window_days") -> float:
    """Days that this node's statistics cover. Raises Unknown if too few."""
    if node.server is evidence.get(Server):
        return evidence.require_window(limit)
    try:
        return msgspec.structs.replace(evidence, server=node.server).require_window(limit)
    except Unknown as unknown:
        raise Unknown(unknown.gap.reason, f"on {node.name}: {unknown.gap.unlock}") from None


def is_read(evidence: Evidence, index: Index) -> bool | None:
    """Whether an application scans it on any node; None where that is not known. Raises Unknown if a window is too short."""
    nodes = nodes_asked(evidence)
    entries = counted_entries(evidence.get(Catalog), index, nodes)
    if entries is None:
        return None
    window = min(window_of(evidence, node) for node in nodes)
    return sum(entry.scans for entry in entries) > scans_by_reviews(evidence, entries, window)


def unseen_nodes(evidence: Evidence, nodes: list[Node]) -> Unobserved | None:
    """Why some node's reads are out of sight; None if every node was asked."""
    if evidence.unreached_replicas:
        unreached = ", ".join(evidence.unreached_replicas)
        return Unobserved(Reason.REPLICA_NOT_REACHABLE, f"make {unreached} reachable, given with --replica")
    if all(node.server.is_standby for node in nodes):
        return Unobserved(Reason.REPLICA_NOT_REACHABLE, "give the primary too: --replica DSN")
    replication = evidence.find(Replication)
    standbys = [
        entry.application_name
        for entry in (replication.standbys if replication else ())
        if not entry.logical and entry.application_name not in _RECEIVERS and entry.state != "backup"
    ]
    asked = sum(node.server.is_standby for node in nodes)
    if len(standbys) > asked:
        return Unobserved(
            Reason.REPLICA_NOT_REACHABLE,
            f"--replica DSN for each standby ({len(standbys)} connected, {asked} given): {', '.join(sorted(standbys))}",
        )
    return None


def may_be_unused(catalog: Catalog, index: Index) -> bool:
    """Whether being read is all that the index is for."""
    if not is_usable(index) or index.method in _APPROXIMATE_METHODS or is_needed(index):
        return False
    return not keeps_foreign_key(catalog, index)


def keeps_foreign_key(catalog: Catalog, index: Index) -> bool:
    """Whether a foreign key would be left without an index."""
    keys = [entry for entry in catalog.constraints_of(index.table) if entry.kind == "foreign_key"]
    return any(covers_key(catalog, index, key) and _only_cover(catalog, index, key) for key in keys)


def _only_cover(catalog: Catalog, index: Index, key: Constraint) -> bool:
    """Whether no other index covers the key; of several that do, the oldest is the one to keep."""
    others = (other for other in catalog.indexes_of(index.table) if other.oid != index.oid)
    return not any((is_needed(other) or other.oid < index.oid) and covers_key(catalog, other, key) for other in others)


def counted_entries(catalog: Catalog, index: Index, nodes: list[Node]) -> list[IndexUsage] | None:
    """The counters of every part of the index on every node; None if some are missing."""
    parts = index_parts(catalog, index)
    leaves = [part for part in parts if catalog.table_by_oid[part.table].kind != "partitioned"]
    found = [node.usage.index_by_oid.get(part.oid) for node in nodes for part in leaves]
    known = [entry for entry in found if entry is not None]
    return known if found and len(known) == len(found) else None


def _last_scan(entries: list[IndexUsage]) -> dt.datetime | None:
    """When any of them was last scanned; None if some that were scanned do not say (before PostgreSQL 16)."""
    scanned = [entry for entry in entries if entry.scans]
    moments = [entry.last_scan for entry in scanned if entry.last_scan is not None]
    return max(moments) if moments and len(moments) == len(scanned) else None


def _finding(evidence: Evidence, index: Index, scans: _Scans, window: float, nodes: list[Node]) -> Finding:
    catalog = evidence.get(Catalog)
    size = size_bytes(catalog, index)
    counted = evidence.get(Usage).table_by_oid.get(index.table)
    last = scans.last
    since = f"since {last:%Y-%m-%d}" if last else f"in {window:.0f} days" if window >= 1 else "since statistics began"
    theirs = ""
    if scans.counted and not last:
        theirs = f": its scans ({scans.counted:,}) are no more than the {scans.own:,} that reviews like this one made"
    severity = Severity.NOTE
    if size >= evidence.limit("unused_index_bytes"):
        severity = Severity.MEDIUM if size >= _LARGE_BYTES else Severity.LOW
    return Finding(
        index.subject,
        f"Index {index.subject.name} has not been used {since}{theirs}",
        drop_index(
            catalog, index, "Drop it, unless a job that runs more rarely than the statistics reach back needs it."
        ),
        severity=severity,
        confidence=Confidence.MEASURED if index.method in {"btree", "hash"} else Confidence.INFERRED,
        observed={
            "table": catalog.table_by_oid[index.table].subject.name,
            "size_bytes": size,
            "scans": scans.counted,
            "own_scans": scans.own,
            "last_scan": instant(last) if last else None,
            "window_days": round(window, 1),
            "nodes": len(nodes),
            "table_writes": counted.inserted + counted.updated + counted.deleted if counted else None,
        },
        related=(catalog.table_by_oid[index.table].subject,),
    )
