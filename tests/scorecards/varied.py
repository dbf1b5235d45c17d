"""The fixed evidence with one thing changed, as predicates on it want it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from checks.evidence.database.facts import (
    Activity,
    Archiver,
    Catalog,
    Column,
    Earlier,
    Embeddings,
    Extension,
    GivenPlan,
    GivenPlans,
    Index,
    IndexKey,
    Measured,
    PlanNode,
    Pool,
    Pooler,
    Recall,
    RecallAt,
    RecallMeasurement,
    Replica,
    Replication,
    RoleSetting,
    SentSetting,
    Sequence,
    Session,
    Setting,
    Settings,
    Slot,
    Standby,
    Statement,
    Statements,
    Table,
    TableUsage,
    Usage,
)
from checks.evidence.evidence import NO_EARLIER_REVIEW, Evidence
from checks.evidence.repository.facts import (
    Behaviour,
    DeclaredTable,
    DeploymentFact,
    History,
    Lineage,
    MigrationFile,
    MigrationStep,
    Repository,
)
from checks.model import Location, NotApplicable, Reason, Unknown, Unobserved
from scorecards.facts import FACTS
from tests.scorecards.reviewed import NOW, catalog, evidence, repository, server, settings, statements

GB = 10**9
HIDDEN = Unobserved(Reason.NOT_PERMITTED, "GRANT")


def status(name: str, given: Evidence) -> str:
    try:
        return FACTS[name](given).status
    except Unknown as unknown:
        return f"unknown({unknown.gap.reason})"
    except NotApplicable:
        return "not_applicable"


def with_settings(**values: str) -> Evidence:
    known = {entry.name: entry.value for entry in settings().entries} | {
        name.replace("__", "."): value for name, value in values.items()
    }
    return evidence(settings=Settings(tuple(Setting(name, value) for name, value in known.items())))


def with_slot(limit: str = "-1", **changes: object) -> Evidence:
    slot = msgspec.structs.replace(Slot("s", "physical", False, False, "reserved", 0), **changes)
    return msgspec.structs.replace(
        with_settings(max_slot_wal_keep_size=limit),
        replication=Replication(slots=(slot,), standbys=(Standby("s", "streaming", "async", 0, None),)),
    )


def with_sessions(*sessions: Session, **more: object) -> Evidence:
    return evidence(activity=msgspec.structs.replace(Activity(sessions, max_connections=10), **more))


def with_migration(kind: str, table: str = "messages", *, linted: bool = False, bounded: bool = False) -> Evidence:
    place = Location("migrations/0002_b.sql", 1)
    made = DeclaredTable("public", table, Location("migrations/0001_a.sql", 1))
    step = MigrationStep(kind, place, ("public", table), lock="ACCESS EXCLUSIVE", bounded=bounded, detail="all rows")
    known = repository()
    changed = msgspec.structs.replace(
        known,
        lineages=(Lineage("sql", "migrations", 2, (made,)),),
        migrations=(
            MigrationFile("migrations/0001_a.sql", "sql", "migrations", 0),
            MigrationFile("migrations/0002_b.sql", "sql", "migrations", 1, (step,), 1, "abc", 0),
        ),
        history=History(30, complete=True),
        deployment=(*known.deployment, *([DeploymentFact("migration_lint", "squawk", place)] if linted else [])),
    )
    return evidence(repository=changed)


def with_sequence(last: int | None, **changes: object) -> Evidence:
    entry = Sequence(9, "public", "s", "integer", 1, 1_000, 1, False, last)
    found = msgspec.structs.replace(catalog(), sequences=(msgspec.structs.replace(entry, **changes),))
    return evidence(catalog=found)


def with_column(name: str, type: str, *, default: str | None = None) -> Evidence:
    column = Column(1, 9, name, type, type, default_function=default)
    return evidence(catalog=msgspec.structs.replace(catalog(), columns=(*catalog().columns, column)))


def with_indexes(count: int) -> Evidence:
    model = catalog().indexes[1]
    more = tuple(msgspec.structs.replace(model, oid=900 + number) for number in range(count))
    return evidence(catalog=msgspec.structs.replace(catalog(), indexes=more))


def with_size(size: int | None) -> Evidence:
    tables = tuple(msgspec.structs.replace(table, total_bytes=size) for table in catalog().tables)
    return evidence(catalog=msgspec.structs.replace(catalog(), tables=tables))


def with_deployed(kind: str, *details: str, **more: object) -> Evidence:
    facts = tuple(DeploymentFact(kind, detail, Location("compose.yaml", 1)) for detail in details)
    return evidence(repository=msgspec.structs.replace(repository(), deployment=facts), **more)


def pooler(*modes: str) -> Pooler:
    return Pooler("pooler", "1.25", tuple(Pool("a", "b", mode, 1, 0, 0, 1, 0.0) for mode in modes))


def with_facts(**details: str) -> Evidence:
    """One fact of the deployment of each kind, all in one file."""
    facts = tuple(DeploymentFact(kind, detail, Location("compose.yaml", 1)) for kind, detail in details.items())
    return evidence(repository=msgspec.structs.replace(repository(), deployment=facts))


def with_standbys(*names: str, **described: str) -> Evidence:
    """Standbys that stream, and what the deployment says."""
    streaming = tuple(Standby(name, "streaming", "async", 0, 0.0) for name in names)
    return msgspec.structs.replace(with_facts(**described), replication=Replication(standbys=streaming), replicas=())


def with_replica(text: str | None, total_ms: float) -> Evidence:
    """A replica that spent so long on that statement, beside a primary that read for one second."""
    primary = with_statement(1_000, 1)
    entry = Statement("1", text or "", 1, total_ms, total_ms, 1)
    since = NOW - dt.timedelta(days=10)
    replica = Replica(
        "standby1", STANDBY, Usage(), Replication(), Settings(),
        None if text is None else Statements("1.12", since, 0, 0, (entry,)),
    )  # fmt: skip
    return msgspec.structs.replace(primary, replicas=(replica,))


def with_statement(mean_ms: float, calls: int, text: str = "SELECT $1") -> Evidence:
    entry = Statement("1", text, calls, mean_ms * calls, mean_ms, calls)
    return evidence(statements=Statements("1.12", NOW - dt.timedelta(days=10), 0, 0, (entry,)))


def with_updates(hot: int) -> Evidence:
    return evidence(usage=Usage((TableUsage(1, 0, 0, 0, 0, 10_000, 0, hot, 500, 0, 0),)))


def archiving(archived_ago_s: int | None, failed_ago_s: int | None) -> Evidence:
    def ago(seconds: int | None) -> dt.datetime | None:
        return None if seconds is None else NOW - dt.timedelta(seconds=seconds)

    return evidence(replication=Replication(archiver=Archiver(1, 1, ago(archived_ago_s), ago(failed_ago_s))))


IDLE = Session("api", "app", "a", "idle in transaction", 4_000, 3_600)
ACTIVE = Session("api", "app", "a", "active", 5, 5)
WAITING = Session("api", "app", "a", "active", 900, 900, "Client", "ClientRead")
STANDBY = server(role="standby")


def synchronous(state: str | None, **more: Any) -> Evidence:
    standbys = (Standby("s", state, "sync", 0, None),) if state else ()
    return msgspec.structs.replace(
        with_settings(synchronous_standby_names="s"), replication=Replication(standbys=standbys, **more)
    )


def vector(version: str, loaded: str | None = None) -> Evidence:
    return evidence(server=server(extensions=(Extension("vector", "public", version, None, loaded),)))


def with_recall(share: float | None) -> Evidence:
    """The same, with what --measure-recall found."""
    at = (RecallAt(40, share, share, share, 60, 10.0, 1.0, 2.0),) if share is not None else ()
    found = (RecallMeasurement(91, 4, 1, "<=>", 10, at),) if at else ()
    return msgspec.structs.replace(with_sent(), recall=Recall(found))


def with_sent(*sent: SentSetting, setting: str | None = None) -> Evidence:
    """A database with an HNSW index, whose clients and roles set pgvector's settings."""
    index = Index(91, 4, "public", "graph", "hnsw", (IndexKey(1, "public.vector_cosine_ops"),))
    others = tuple(entry for entry in catalog().indexes if entry.method == "btree")
    seen = msgspec.structs.replace(catalog(), indexes=(*others, index))
    roles = (RoleSetting("app", "", setting, "100"),) if setting else ()
    return evidence(catalog=seen, embeddings=Embeddings(sent=sent), settings=Settings(role_settings=roles))


def with_retry() -> Repository:
    return Repository("r", behaviours=(Behaviour("retry_without_backoff", Location("a.py", 5), detail="no wait"),))


def with_given_plans(share: float) -> Evidence:
    """Plans that were run of that share of the statements."""
    given = evidence()
    entries = given.get(Statements).entries
    node = PlanNode("Result", 0, 1, 1, 4, measured=Measured(1, 1, hit_blocks=3))
    chosen = entries[: round(share * len(entries))]
    plans = tuple(GivenPlan("p", number, node, query_id=entry.query_id) for number, entry in enumerate(chosen, 1))
    return evidence(given_plans=GivenPlans(plans))


def with_files(
    size: int | None, filenode: int, *, earlier: int | None = None, days: int = 0, inserted: int = 10
) -> Evidence:
    """One table of a thousand rows, whose first file was 1."""
    kept = Catalog(
        tables=(Table(1, "public", "t", "table", "owner", heap_bytes=size, toast_bytes=0, filenode=filenode),)
    )
    then: Earlier | Unobserved = NO_EARLIER_REVIEW
    if earlier is not None:
        then = Earlier(NOW - dt.timedelta(days=days), filenodes={"1": earlier})
    return evidence(
        catalog=kept, usage=Usage(tables=(TableUsage(1, 0, 0, 0, inserted, 0, 0, 0, 1_000, 0, 0),)), earlier=then
    )


def looked_for(condition: str) -> Evidence:
    """A statement over the table that has vectors, and says when they were made."""
    table = catalog().table_by_oid[4]
    columns = tuple(
        Column(4, n, name, "timestamptz", "timestamptz") for n, name in ((8, "embedded_at"), (9, "updated_at"))
    )
    statement = Statement("1", f"SELECT id FROM {table.name} WHERE {condition}", 1, 1.0, 1.0, 1)
    return evidence(
        catalog=msgspec.structs.replace(catalog(), columns=(*catalog().columns, *columns)),
        statements=msgspec.structs.replace(statements(), entries=(statement,)),
    )
