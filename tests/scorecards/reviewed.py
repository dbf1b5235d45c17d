"""A fixed review of an invented application: realistic, and without any server."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from checks.configuration import Configuration, Override, Waiver
from checks.evidence import store
from checks.evidence.database.facts import (
    Activity,
    Archiver,
    Catalog,
    Column,
    Constraint,
    Extension,
    FreezeAge,
    FreezeAges,
    Index,
    IndexKey,
    Replica,
    Replication,
    Sequence,
    Server,
    Session,
    Setting,
    Settings,
    Standby,
    Statement,
    Statements,
    Table,
    TableUsage,
    Usage,
)
from checks.evidence.evidence import Effort, Evidence
from checks.evidence.repository.facts import Declared, DeploymentFact, Match, Repository
from checks.model import (
    CheckResult,
    Confidence,
    Examined,
    Finding,
    Fix,
    Location,
    Outcome,
    Reason,
    Severity,
    Subject,
)
from scorecards.model import ReviewIdentity, Scorecard
from scorecards.review import Answer, Decision, Note, ReviewState
from scorecards.scorecard import build_scorecard

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
AS_OF = NOW.date()
IDENTITY = ReviewIdentity("3f9c1d2e4a5b", "Support assistant", "2026-11-23T12:00:00Z", ("ada", "grace"))

TITLES = {
    "schema.no-primary-key": "A table has no primary key",
    "schema.timestamp-without-time-zone": "A point in time is stored without its time zone",
    "indexing.foreign-key-without-index": "A foreign key whose referencing columns no index covers",
    "indexing.unused-index": "An index that no node uses",
    "plans.wasteful-sequential-scan": "A sequential scan throws most rows away",
    "observability.timeouts-unset": "An application role has no timeouts",
    "hybrid.jsonb-filter-without-index": "A filter on a document that no index serves",
}


def server(**changes: object) -> Server:
    base = Server(
        database="assistant",
        version="18.6",
        version_num=180006,
        role="primary",
        flavour="postgresql",
        user="reviewer",
        user_sees="full",
        observed_at=NOW,
        started_at=NOW - dt.timedelta(days=60),
        statistics_since=NOW - dt.timedelta(days=41),
        size_bytes=3_250_000_000,
        extensions=(Extension("vector", "public", "0.8.6"), Extension("pg_stat_statements", "public", "1.12")),
    )
    return msgspec.structs.replace(base, **changes)


def catalog() -> Catalog:
    def table(oid: int, name: str, rows: float, size: int) -> Table:
        return Table(
            oid, "public", name, "table", "app", rows=rows, heap_bytes=size, toast_bytes=0, index_bytes=size // 2,
            total_bytes=size * 3 // 2,
        )  # fmt: skip

    def column(table: int, number: int, name: str, type: str, base: str, modifier: int = -1) -> Column:
        return Column(table, number, name, type, base, modifier, not_null=number == 1)

    def index(oid: int, table: int, name: str, column: int, method: str = "btree", *, primary: bool = False) -> Index:
        return Index(
            oid, table, "public", name, method, (IndexKey(column, "int8_ops"),), unique=primary, primary=primary,
            size_bytes=8_192_000,
        )  # fmt: skip

    return Catalog(
        tables=(
            table(1, "accounts", 12_000, 9_000_000),
            table(2, "messages", 4_200_000, 1_400_000_000),
            table(3, "documents", 180_000, 310_000_000),
            table(4, "embeddings", 310_000, 900_000_000),
            table(5, "events", 2_100_000, 240_000_000),
        ),
        columns=(
            column(1, 1, "id", "bigint", "int8"),
            column(1, 2, "settings", "jsonb", "jsonb"),
            column(2, 1, "id", "bigint", "int8"),
            column(2, 2, "account_id", "bigint", "int8"),
            column(2, 3, "metadata", "jsonb", "jsonb"),
            column(3, 1, "id", "bigint", "int8"),
            column(4, 1, "id", "bigint", "int8"),
            column(4, 2, "document_id", "bigint", "int8"),
            column(4, 3, "embedding", "vector(1536)", "vector", 1536),
            column(4, 4, "model", "text", "text"),
            column(5, 1, "happened_at", "timestamp without time zone", "timestamp"),
        ),
        constraints=(
            Constraint(101, 1, "accounts_pkey", "primary_key", (1,)),
            Constraint(102, 2, "messages_account_id_fkey", "foreign_key", (2,), 1, (1,)),
            Constraint(103, 4, "embeddings_document_id_fkey", "foreign_key", (2,), 3, (1,)),
        ),
        indexes=(
            index(201, 1, "accounts_pkey", 1, primary=True),
            index(202, 2, "messages_pkey", 1, primary=True),
            index(203, 4, "embeddings_embedding_idx", 3, "hnsw"),
        ),
        sequences=(
            Sequence(301, "public", "accounts_id_seq", "bigint", 1, 2**63 - 1, 1, False, 12_400),
            Sequence(302, "public", "legacy_seq", "integer", 1, 2**31 - 1, 1, False, 1_200_000_000),
        ),
    )


def usage() -> Usage:
    def used(table: int, inserted: int, updated: int, hot: int) -> TableUsage:
        return TableUsage(table, 10, 1_000, 50_000, inserted, updated, 100, hot, 100_000, 500, 20)

    return Usage(
        tables=(used(1, 400, 90_000, 88_000), used(2, 900_000, 40_000, 8_000), used(4, 310_000, 1_200, 0)),
    )


def statements() -> Statements:
    return Statements(
        "1.12",
        NOW - dt.timedelta(days=41),
        3,
        0,
        (
            Statement("8123456789012345678", "SELECT * FROM messages WHERE metadata ->> $1 = $2", 900_000, 5.4e7, 60.0, 900_000),
            Statement("-42", "SELECT id, body FROM documents WHERE account_id = $1 ORDER BY created_at DESC LIMIT $2",
                      2_500_000, 1.2e7, 4.8, 25_000_000),
            Statement("77", "INSERT INTO events (kind, payload) VALUES ($1, $2)", 2_100_000, 900_000.0, 0.43, 2_100_000),
        ),
    )  # fmt: skip


def settings() -> Settings:
    values = {
        "autovacuum": "on",
        "track_counts": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "log_min_duration_statement": "-1",
        "log_min_duration_sample": "-1",
        "log_statement_sample_rate": "1",
        "log_lock_waits": "off",
        "log_temp_files": "-1",
        "log_autovacuum_min_duration": "600000",
        "log_checkpoints": "on",
        "log_statement": "none",
        "synchronous_standby_names": "",
        "max_slot_wal_keep_size": "-1",
    }
    return Settings(tuple(Setting(name, value) for name, value in values.items()), login_roles=("app",))


def repository() -> Repository:
    return Repository(
        "assistant",
        "1f0c2ab9d3e4f5061728394a5b6c7d8e9f001122",
        files=212,
        lines=31_480,
        languages={"TypeScript": 8_211, "Python": 19_702, "SQL": 1_204},
        matches=(
            Match("8123456789012345678", Location("app/search.py", 88), "query_id"),
            Match("-42", Location("app/documents.py", 41), "text"),
        ),
        declared=(Declared(Subject("table", ("public", "events")), Location("migrations/0007_events.sql", 3)),),
        deployment=(
            DeploymentFact("migrations", "plain SQL", Location("migrations/0001_init.sql", 1)),
            DeploymentFact("vector_client", "pgvector", Location("requirements.txt", 9)),
        ),
    )


def evidence(**changes: object) -> Evidence:
    base = Evidence(
        tool_version="0.1.0",
        observed_at=NOW,
        server=server(),
        catalog=catalog(),
        usage=usage(),
        statements=statements(),
        settings=settings(),
        activity=Activity(
            (
                Session("api", "app", "assistant", "active", 0.4, 0.1),
                Session("worker", "app", "assistant", "idle", None, 12.0),
                Session("", "app", "assistant", "idle", None, 90.0),
            ),
            max_connections=100,
        ),
        freeze_ages=FreezeAges((FreezeAge(("assistant",), 182_000_000, 3_100_000),)),
        replication=Replication(
            standbys=(Standby("standby1", "streaming", "async", 1_024, 0.02),), archiver=Archiver(0, 0, None, None)
        ),
        replicas=(
            Replica(
                "standby.internal:5432",
                server(role="standby", statistics_since=NOW - dt.timedelta(days=12)),
                Usage(),
                Replication(receiver_state="streaming", replay_lag_bytes=0, replay_lag_s=None),
                Settings(),
            ),
        ),
        unreached_replicas=("standby2.internal:5432",),
        repository=repository(),
        configuration=Configuration(
            overrides=(
                Override("window_days", 0, 7, "repository", True),
                Override("lag_seconds", 10, 30, "user", False),
            ),
            waivers=(
                Waiver("accepted-risk", "grace", dt.date(2027, 3, 1), check="indexing.unused-index",
                       objects=("public.events_*",), note="dropped with the table in March"),
                Waiver("planned", "ada", dt.date(2026, 10, 1), check="schema.timestamp-without-time-zone"),
            ),
        ),
        effort=Effort(63, 412.7),
    )  # fmt: skip
    changed = msgspec.structs.replace(base, **changes)
    return msgspec.json.decode(store.encode(changed), type=Evidence)  # as it comes from a file


def passed(check: str, count: int = 5, noun: str = "tables") -> CheckResult:
    return CheckResult(check, Outcome.PASSED, (), count, count, 0, noun)


def found(check: str, findings: list[Finding], examined: Examined | None = None) -> CheckResult:
    seen = examined or Examined(len(findings) + 5, len(findings) + 5, "objects")
    unmet = len(findings) if seen.unmet is None else seen.unmet
    return CheckResult(check, Outcome.FOUND, tuple(findings), seen.examined, seen.of, unmet, seen.noun)


def unseen(check: str, reason: Reason, unlock: str) -> CheckResult:
    return CheckResult(check, Outcome.UNKNOWN, reason=reason, unlock=unlock)


def finding(check: str, kind: str, *path: str, severity: Severity = Severity.HIGH, **more: object) -> Finding:
    subject = Subject(kind, path)
    base = Finding(
        subject,
        f"{kind.capitalize()} {subject.name} needs attention",
        Fix("Change it.", f"ALTER TABLE {subject.name} VALIDATE;", "SHARE UPDATE EXCLUSIVE", False, "Nothing to undo."),
        severity=severity,
        check=check,
        why=f"Why {check} matters, said once.",
    )
    return msgspec.structs.replace(base, **more)


def results() -> tuple[CheckResult, ...]:
    events = finding(
        "schema.no-primary-key", "table", "public", "events",
        title="Table public.events has no primary key",
        observed={"rows": 2_100_000, "size_bytes": 240_000_000, "share": 0.123456, "since": NOW},
        locations=(Location("migrations/0007_events.sql", 3),),
        fix=Fix("Add an identity column as primary key.",
                "ALTER TABLE public.events ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;",
                "ACCESS EXCLUSIVE", True, "ALTER TABLE public.events DROP COLUMN id;"),
    )  # fmt: skip
    unindexed = [
        finding("indexing.foreign-key-without-index", "constraint", "public", "messages", "messages_account_id_fkey",
                title="Foreign key messages_account_id_fkey has no index on public.messages (account_id)",
                locations=(Location("migrations/0002_messages.sql", 14), Location("app/models.py", 61)),
                observed={"parent_deletes": 1_204, "child_rows": 4_200_000},
                fix=Fix("Index the referencing column.",
                        "CREATE INDEX CONCURRENTLY messages_account_id_idx ON public.messages (account_id);",
                        "SHARE UPDATE EXCLUSIVE", False, "DROP INDEX CONCURRENTLY public.messages_account_id_idx;")),
    ]  # fmt: skip
    unused = [
        finding("indexing.unused-index", "index", "public", f"events_{name}_idx", severity=Severity.LOW,
                observed={"size_bytes": 1_000_000 * number})
        for number, name in enumerate(("a", "b", "c", "d", "e", "f", "g"), 1)
    ]  # fmt: skip
    return (
        found("schema.no-primary-key", [events], Examined(5, 5, "tables")),
        passed("schema.missing-foreign-key", 12, "references"),
        passed("schema.constraint-not-validated", 8, "foreign keys and check constraints"),
        passed("schema.foreign-key-type-mismatch", 3, "foreign keys"),
        passed("schema.integer-key-running-out", 4, "numbered columns"),
        found("schema.timestamp-without-time-zone",
              [finding("schema.timestamp-without-time-zone", "column", "public", "events", "happened_at",
                       severity=Severity.MEDIUM)], Examined(4, 4, "columns of points in time")),
        passed("indexing.duplicate-index", 9, "indexes"),
        passed("indexing.invalid-index", 9, "indexes"),
        found("indexing.foreign-key-without-index", unindexed, Examined(2, 2, "foreign keys")),
        found("indexing.unused-index", unused, Examined(9, 9, "indexes")),
        passed("plans.never-analyzed", 5, "tables"),
        found("plans.wasteful-sequential-scan",
              [finding("plans.wasteful-sequential-scan", "statement", "8123456789012345678",
                       locations=(Location("app/search.py", 88),), confidence=Confidence.INFERRED)],
              Examined(3, 3, "most expensive statements")),
        passed("replication.no-standby", 1, "primary"),
        passed("replication.lag", 1, "standbys"),
        found("replication.unlimited-slot-retention",
              [finding("replication.unlimited-slot-retention", "setting", "max_slot_wal_keep_size",
                       severity=Severity.MEDIUM)], Examined(1, 1, "setting")),
        found("observability.timeouts-unset",
              [finding("observability.timeouts-unset", "role", "app", severity=Severity.MEDIUM)], Examined(1, 1, "roles")),
        passed("observability.no-io-timing", 1, "setting"),
        passed("hybrid.json-not-jsonb", 2, "document columns"),
        found("hybrid.jsonb-filter-without-index",
              [finding("hybrid.jsonb-filter-without-index", "column", "public", "messages", "metadata",
                       locations=(Location("app/search.py", 88),))], Examined(3, 3, "document filters")),
        passed("hybrid.distance-operator-mismatch", 2, "similarity searches"),
        unseen("hybrid.vector-without-index", Reason.NOT_PERMITTED, "GRANT pg_monitor TO reviewer;"),
    )  # fmt: skip


def state() -> ReviewState:
    primary_key = results()[0].findings[0].id
    return ReviewState(
        decisions={primary_key: Decision("accept", "ada", AS_OF, owner="grace", due=dt.date(2026, 12, 15))},
        answers={
            "REP-R3": Answer("yes", "ada", AS_OF),
            "REP-1.1": Answer("yes", "ada", AS_OF),
            "REP-2.2": Answer("yes", "ada", AS_OF, "https://wiki.example/restore", dt.date(2026, 5, 4)),
            "OBS-1.1": Answer("yes: the provider's dashboard", "grace", AS_OF),
        },
        notes={primary_key: (Note("The importer relies on duplicates.", "grace", NOW),)},
    )


def scorecard(**changes: Any) -> Scorecard:
    given = {"evidence": evidence, "results": results, "state": state}
    arguments = {name: changes.pop(name) if name in changes else make() for name, make in given.items()}
    made = build_scorecard(**arguments, **{"as_of": AS_OF, "identity": IDENTITY, **changes})
    # The hash changes whenever evidence learns to hold one more fact; the golden files need not.
    return msgspec.structs.replace(made, evidence_sha256="5d856d7be0f7b979" * 4)
