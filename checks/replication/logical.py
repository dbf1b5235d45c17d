"""Logical replication: what is published, and whether subscriptions apply it."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Publication, Replication, Server, Settings, Subscription, Table
from checks.evidence.evidence import Evidence
from checks.figures import bytes_in_words
from checks.model import Examined, Finding, Fix, NotApplicable, Severity, Subject, quote_identifier
from checks.registry import check
from checks.relations import feeding_sequence, keys_of, leaves
from checks.settings import is_on

_FAILOVER_SLOTS_SINCE = 17
SHOWN = 5


@check("replication.no-replica-identity", catalogue="R18", severity=Severity.HIGH, needs=[Replication, Catalog])
def no_replica_identity(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A published table has nothing by which a subscriber could find the row that changed.

    INSERT works, and the first UPDATE or DELETE after the table was published fails, on the publisher, in the application.
    REPLICA IDENTITY FULL makes them work, but writes the whole old row to WAL and compares every column to find it.

    Fix: A primary key, or REPLICA IDENTITY USING INDEX over a unique index on columns that are not null.

    Example: CREATE PUBLICATION p FOR TABLE events, where events has no primary key: the next DELETE FROM events fails with
    "cannot delete from table "events" because it does not have a replica identity and publishes deletes".

    Source: PostgreSQL manual, "Logical Replication: Publication"; "ALTER TABLE ... REPLICA IDENTITY"

    Observed: publications, replica_identity, rows, size_bytes
    """
    replication, catalog = evidence.get(Replication), evidence.get(Catalog)
    changing = [entry for entry in replication.publications if {"update", "delete"} & set(entry.publishes)]
    if not changing:
        raise NotApplicable("no publication publishes updates or deletes")
    published = {table.oid: table for entry in changing for table in _tables_of(catalog, entry)}
    roots = {table.root or table.oid: catalog.table_by_oid[table.root or table.oid] for table in published.values()}
    yield Examined(len(roots), len(roots), "published tables")
    for root in roots.values():
        publications = [entry.name for entry in changing if _publishes(catalog, entry, root)]
        parts = [part for part in (root, *leaves(catalog, root)) if part.oid in published]
        without = [part for part in parts if _identity_is_missing(catalog, part)]
        full = [part for part in parts if part.replica_identity == "full"]
        if without:
            yield _missing(catalog, root, publications)
        elif full:
            yield _full(catalog, root, publications)


def _tables_of(catalog: Catalog, publication: Publication) -> Iterator[Table]:
    """The tables whose own rows it publishes: partitions rather than the partitioned table, unless it publishes by the root."""
    for table in catalog.tables:
        if table.kind not in {"table", "partitioned"} or table.persistence != "permanent" or table.extension:
            continue
        if _publishes(catalog, publication, table):
            if publication.via_root and table.root:
                continue
            if table.kind == "partitioned" and not publication.via_root:
                continue
            yield table


def _publishes(catalog: Catalog, publication: Publication, table: Table) -> bool:
    if publication.all_tables or table.schema in publication.schemas or table.oid in publication.tables:
        return True
    return table.parent is not None and _publishes(catalog, publication, catalog.table_by_oid[table.parent])


def _identity_is_missing(catalog: Catalog, table: Table) -> bool:
    indexes = catalog.indexes_of(table.oid)
    if table.replica_identity == "default":
        return not any(index.primary for index in indexes)
    if table.replica_identity == "index":
        return not any(index.replica_identity for index in indexes)
    return table.replica_identity == "nothing"


def _missing(catalog: Catalog, table: Table, publications: list[str]) -> Finding:
    usable = [index for index in keys_of(catalog, table.oid) if _never_null(catalog, table, index.columns)]
    name = table.subject.name
    if usable:
        index = quote_identifier(usable[0].name)
        fix = Fix("Let it use the unique index that is there.",
                  sql=f"ALTER TABLE {name} REPLICA IDENTITY USING INDEX {index};",
                  lock="ACCESS EXCLUSIVE", undo=f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT;")  # fmt: skip
    else:
        fix = Fix("Give it a primary key (on a partitioned table with the partition key in it), or leave it out of the "
                  "publication. FULL is a stopgap for small tables.",
                  sql=f"ALTER TABLE {name} REPLICA IDENTITY FULL; -- until it has a key",
                  lock="ACCESS EXCLUSIVE", undo=f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT;")  # fmt: skip
    return Finding(
        table.subject,
        f"{name} is published without a replica identity: its UPDATE and DELETE fail",
        fix,
        observed=_figures(table, publications),
    )


def _never_null(catalog: Catalog, table: Table, columns: tuple[int, ...]) -> bool:
    return all(catalog.column(table.oid, number).not_null for number in columns)


def _full(catalog: Catalog, table: Table, publications: list[str]) -> Finding:
    keyed = any(index.primary for index in catalog.indexes_of(table.oid))
    name = table.subject.name
    return Finding(
        table.subject,
        f"{name} is published with REPLICA IDENTITY FULL{', though it has a primary key' if keyed else ''}",
        Fix("Let it use its primary key." if keyed else "Give it a primary key, and let it use that.",
            sql=f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT;" if keyed else None,
            lock="ACCESS EXCLUSIVE" if keyed else None,
            undo=f"ALTER TABLE {name} REPLICA IDENTITY FULL;" if keyed else None),
        severity=Severity.LOW,
        observed=_figures(table, publications),
    )  # fmt: skip


def _figures(table: Table, publications: list[str]) -> dict[str, object]:
    return {
        "publications": publications,
        "replica_identity": table.replica_identity,
        "rows": table.rows,
        "size_bytes": table.total_bytes,
    }


@check("replication.subscription-broken", catalogue="R19", severity=Severity.HIGH, needs=[Replication, Server])
def subscription_broken(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A subscription does not apply what is published.

    While it stands still its slot keeps WAL on the publisher, and the data here grows old without anybody being told. An apply
    worker that meets an error (mostly a row that is there already) starts again and again, and never gets past it.

    Fix: Read the error in this server's log, mend the row or skip the transaction (ALTER SUBSCRIPTION ... SKIP), enable it.

    Example: "duplicate key value violates unique constraint" in the subscriber's log every five seconds since Sunday: somebody
    had inserted a row there, and apply_error_count grows with each try.

    Source: PostgreSQL manual, "Logical Replication: Conflicts"; "pg_stat_subscription_stats"

    Observed: enabled, worker_running, apply_errors, sync_errors, table_states
    """
    subscribed = evidence.get(Replication).subscribed
    if not subscribed:
        raise NotApplicable("no subscriptions")
    yield Examined(len(subscribed), len(subscribed), "subscriptions")
    for entry in subscribed:
        if told := _trouble(entry):
            title, advice, severity = told
            yield Finding(
                Subject("subscription", (entry.name,)),
                title,
                Fix(advice, sql=None if entry.enabled else f"ALTER SUBSCRIPTION {quote_identifier(entry.name)} ENABLE;",
                    undo=None if entry.enabled else f"ALTER SUBSCRIPTION {quote_identifier(entry.name)} DISABLE;"),
                severity=severity,
                observed={"enabled": entry.enabled, "worker_running": entry.worker_running,
                          "apply_errors": entry.apply_errors, "sync_errors": entry.sync_errors,
                          "table_states": dict(entry.table_states)},
            )  # fmt: skip


def _trouble(entry: Subscription) -> tuple[str, str, Severity] | None:
    name = quote_identifier(entry.name)
    errors = (entry.apply_errors or 0) + (entry.sync_errors or 0)
    if not entry.enabled:
        met = f" after {errors:,} errors" if errors else ""
        held = "its slot on the publisher keeps WAL meanwhile" if entry.slot_name else "it has no slot"
        return (
            f"Subscription {name} is disabled{met}",
            f"Enable it, or drop it with its slot: {held}.",
            Severity.HIGH if errors else Severity.MEDIUM,
        )
    if entry.worker_running is False:
        return (
            f"Subscription {name} is enabled, and no worker applies its changes",
            "Read the log of this server: the publisher cannot be reached, its slot is gone, or each start ends in an error; "
            "max_logical_replication_workers may be too low.",
            Severity.HIGH,
        )
    if entry.apply_errors:
        return (
            f"Subscription {name} met {entry.apply_errors:,} errors while applying changes",
            "See in the log whether it got past them; disable_on_error stops it at the next one.",
            Severity.MEDIUM,
        )
    return None


@check("replication.slot-lost-at-failover", catalogue="R32", severity=Severity.MEDIUM,
       needs=[Replication, Settings, Server])  # fmt: skip
def slot_lost_at_failover(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A logical slot exists on the primary only.

    After a failover the new primary does not know it: the subscriber must be built anew, or silently misses what was written
    in between. From 17 on a slot that is marked for failover is copied to the standbys.

    Fix: ALTER SUBSCRIPTION ... SET (failover = true), sync_replication_slots on the standby, synchronized_standby_slots here.

    Example: CREATE SUBSCRIPTION s ... without failover = true: after pg_promote() on the standby the subscriber asks for slot
    s, and the new primary says that it "does not exist".

    Source: PostgreSQL manual, "Logical Replication Failover"; "Replication Slot Synchronization"

    Observed: slots, standbys
    """
    server, replication = evidence.get(Server), evidence.get(Replication)
    slots = [slot for slot in replication.slots if slot.kind == "logical" and not (slot.temporary or slot.synced)]
    if server.is_standby or not slots:
        raise NotApplicable("no logical replication slots on a primary")
    standbys = [entry.application_name for entry in replication.standbys if not entry.logical]
    if not standbys and not evidence.replicas:
        raise NotApplicable("no standby to fail over to")
    if server.major < _FAILOVER_SLOTS_SINCE:
        raise NotApplicable(f"PostgreSQL {server.major} cannot copy logical slots to a standby")
    yield Examined(len(slots), len(slots), "logical slots")
    alone = [slot for slot in slots if slot.active and not slot.failover]
    unsynchronised = [replica.name for replica in evidence.replicas if replica.server.is_standby
                      and not is_on(replica.settings.value("sync_replication_slots"))]  # fmt: skip
    for slot in alone:
        yield Finding(
            Subject("slot", (slot.name,)),
            f"Logical slot {slot.name} would be lost at a failover",
            Fix("Mark it for failover at its subscriber (the subscription must be disabled for that moment), and switch on "
                "sync_replication_slots on the standby.",
                sql="ALTER SUBSCRIPTION ... SET (failover = true); -- on the subscriber", undo="SET (failover = false)"),
            observed={"slots": [slot.name], "standbys": standbys, "not_synchronising": unsynchronised},
        )  # fmt: skip


def _sequences(catalog: Catalog, publication: Publication) -> Iterator[Finding]:
    published = {table.oid for table in _tables_of(catalog, publication)}
    published |= {catalog.table_by_oid[oid].root or oid for oid in published}
    fed = [table for table in catalog.tables if table.oid in published and _is_fed(catalog, table)]
    if fed and "insert" in publication.publishes:
        names = [table.subject.name for table in fed]
        yield Finding(
            Subject("publication", (publication.name,)),
            f"Publication {publication.name} carries the rows of {len(fed)} tables and not where their sequences stand",
            Fix(
                "Before a subscriber takes over, set its sequences beyond the largest key; write that step into the runbook."
            ),
            severity=Severity.NOTE,
            observed={"publications": [publication.name], "sequences": len(fed), "tables": names[:SHOWN]},
            discriminator="sequences",
        )


def _is_fed(catalog: Catalog, table: Table) -> bool:
    return any(feeding_sequence(catalog, column) for column in catalog.columns_of(table.oid).values())


@check("replication.unreplicated-parts", catalogue="N20", severity=Severity.LOW, needs=[Replication, Catalog, Settings])
def unreplicated_parts(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Logical replication leaves out what the copy would need, or carries what nobody wants.

    Where sequences stand is not replicated: a copy that takes over gives out keys again that are already used. And
    FOR ALL TABLES sends every embedding that is written, several kilobytes each, to subscribers that read a few columns.

    Fix: Set the sequences at the switch-over (a step in the runbook); publish the tables that are wanted.

    Example: an upgrade by logical replication: after the switch-over the sequence of orders.id stands at 1, and each INSERT
    fails with "duplicate key" until setval() is called.

    Source: PostgreSQL manual, "Logical Replication: Restrictions"

    Observed: publications, sequences, vector_bytes
    """
    replication, catalog = evidence.get(Replication), evidence.get(Catalog)
    if not replication.publications:
        raise NotApplicable("no publications")
    yield Examined(len(replication.publications), len(replication.publications), "publications")
    for publication in replication.publications:
        yield from _sequences(catalog, publication)
        tables = {table.oid: table for table in _tables_of(catalog, publication)}
        vectors = [
            table
            for table in tables.values()
            if any(column.base_type in {"vector", "halfvec"} for column in catalog.columns_of(table.oid).values())
        ]
        size = sum(table.total_bytes or 0 for table in vectors)
        if publication.all_tables and size > evidence.limit("published_vector_bytes"):
            yield Finding(
                Subject("publication", (publication.name,)),
                f"Publication {publication.name} FOR ALL TABLES carries {bytes_in_words(size)} of tables with vectors",
                Fix("Name the tables that subscribers read, or leave the vector columns out by a column list (15 and later)."),
                observed={"publications": [publication.name], "vector_bytes": size,
                          "tables": [table.subject.name for table in vectors[:SHOWN]]},
            )  # fmt: skip
