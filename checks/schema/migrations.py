"""Do new migrations build and drop indexes without stopping the application?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import MigrationStep, Repository
from checks.model import Examined, Finding, Fix, Severity, qualified_name
from checks.registry import check
from checks.relations import column_list
from checks.schema.migration_review import Change, reviewed

_SPELLING = {
    "prisma": "Prisma sends a file of several statements as one transaction: give this statement a migration of its own.",
    "drizzle": "Drizzle runs migrations in a transaction: run this statement by itself before it, and leave CREATE INDEX "
    "CONCURRENTLY IF NOT EXISTS out of the generated file.",
    "alembic": "In Alembic: with op.get_context().autocommit_block(): op.create_index(..., postgresql_concurrently=True).",
    "django": "In Django: AddIndexConcurrently or RemoveIndexConcurrently of django.contrib.postgres, with atomic = False.",
    "supabase": "Supabase runs a migration in a transaction: run this statement by itself.",
    "goose": "In goose: -- +goose NO TRANSACTION on top of a file of its own.",
    "dbmate": "In dbmate: -- migrate:up transaction:false in a file of its own.",
    "diesel": "In Diesel: run_in_transaction = false in the metadata.toml of a migration of its own.",
    "golang-migrate": "golang-migrate sends a file of several statements as one transaction: give this one a file of its own.",
    "liquibase": "In Liquibase: a changeset of its own with runInTransaction:false.",
    "flyway": "Flyway runs a file with nothing but such statements outside a transaction.",
}


def spelling(change: Change) -> str:
    """What to write in the tool that runs the migration; empty where that is plain SQL."""
    return " " + _SPELLING[change.file.tool] if change.file.tool in _SPELLING else ""


@check("schema.migration-blocking-index", catalogue="S110", severity=Severity.HIGH, needs=[Repository])
def migration_blocking_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration builds an index while it keeps everybody from writing.

    CREATE INDEX locks the table against writes until it is done: seconds for a million rows, minutes to hours for more,
    while requests pile up. CONCURRENTLY lets them go on. Looked at are migrations that the database does not have yet and those
    of the last commits; a table made by the same change is left out. The rows in the database decide how bad it is.

    Fix: CREATE INDEX CONCURRENTLY, outside a transaction.

    Example: CREATE INDEX ON orders (user_id) on 100 million rows: each INSERT, UPDATE and DELETE on orders waits until
    the index is built.

    Source: PostgreSQL manual, "CREATE INDEX", section "Building Indexes Concurrently"

    Observed: tables, rows, applied, commit
    """

    def judge(change: Change) -> Iterator[Finding]:
        steps = [step for step in change.steps("create_index") if not step.concurrently]
        if steps:
            yield change.finding(
                steps,
                (
                    f"Migration builds {_number(len(steps), 'index', 'indexes')} on {change.tables(steps)} under a lock that "
                    "stops writes"
                ),
                _build(change, steps),
            )

    yield from reviewed(evidence, judge)


def _number(count: int, one: str, many: str) -> str:
    return f"an {one}" if count == 1 else f"{count} {many}"


def _build(change: Change, steps: list[MigrationStep]) -> Fix:
    written = []
    for step in steps[:10]:
        if step.name and step.plain:
            unique = "UNIQUE " if step.detail == "unique" else ""
            written.append(
                f"CREATE {unique}INDEX CONCURRENTLY {qualified_name(step.name)} ON {qualified_name(*step.table)} "
                f"({column_list(step.columns)});"
            )
    undo = "\n".join(
        f"DROP INDEX CONCURRENTLY {qualified_name(step.table[0], step.name)};" for step in steps if step.name
    )
    return Fix(
        "Build it CONCURRENTLY, outside a transaction, with the method, predicate and options that it has now; if that "
        "fails, drop the invalid index that it leaves and try again." + spelling(change),
        "\n".join(written) or None,
        lock="SHARE UPDATE EXCLUSIVE",
        undo=undo or None,
    )


@check("schema.migration-blocking-drop-index", catalogue="S111", severity=Severity.MEDIUM, needs=[Repository])
def migration_blocking_drop_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration drops or rebuilds an index under a lock that stops reads and writes.

    DROP INDEX takes ACCESS EXCLUSIVE on the table: it waits for the longest transaction there, and everybody else waits behind
    it. REINDEX keeps its lock for as long as it builds. Both can be done CONCURRENTLY.

    Fix: DROP INDEX CONCURRENTLY, REINDEX INDEX CONCURRENTLY, outside a transaction.

    Example: DROP INDEX orders_user_id_idx while a report reads orders: it waits for the report, and each SELECT on
    orders that comes after it waits behind it.

    Source: PostgreSQL manual, "DROP INDEX"; "REINDEX", section "Rebuilding Indexes Concurrently"

    Observed: tables, rows, applied, commit
    """

    def judge(change: Change) -> Iterator[Finding]:
        steps = [step for step in change.steps("drop_index", "reindex") if not step.concurrently and step.table]
        if not steps:
            return
        rebuilt = any(step.kind == "reindex" for step in steps)
        names = [qualified_name(step.table[0], step.name) for step in steps if step.kind == "drop_index"]
        # Dropping is short but for the wait; a small table has no long transactions of its own.
        severity = change.severity(steps)
        yield change.finding(
            steps,
            (
                f"Migration {'rebuilds' if rebuilt else 'drops'} {_number(len(steps), 'index', 'indexes')} of "
                f"{change.tables(steps)} under a lock that stops reads and writes"
            ),
            Fix(
                "Do it CONCURRENTLY, outside a transaction." + spelling(change),
                "\n".join(f"DROP INDEX CONCURRENTLY {name};" for name in names) or None,
                lock="SHARE UPDATE EXCLUSIVE",
                undo="CREATE INDEX CONCURRENTLY as it was.",
            ),
            severity=severity if rebuilt else max(severity, Severity.MEDIUM, key=lambda entry: entry.rank),
        )

    yield from reviewed(evidence, judge)


@check("schema.migration-concurrent-in-transaction", catalogue="S112", severity=Severity.HIGH, needs=[Repository])
def migration_concurrent_in_transaction(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration does something CONCURRENTLY within a transaction, where it fails.

    CREATE, DROP and REINDEX INDEX CONCURRENTLY and DETACH PARTITION CONCURRENTLY make transactions of their own. Within one
    the server refuses them: the migration stops at the deployment, and with it all that come after. Many tools open a
    transaction around each migration, and several statements that are sent together are one too.

    Fix: Run it outside a transaction, in the way that the tool has for that, as the only statement of its migration.

    Example: CREATE INDEX CONCURRENTLY ON orders (user_id) in a migration that its tool wraps in BEGIN and COMMIT: it
    stops with "CREATE INDEX CONCURRENTLY cannot run inside a transaction block".

    Source: PostgreSQL manual, "CREATE INDEX"; "Message Flow", section "Multiple Statements in a Simple Query"

    Observed: tables, rows, applied, commit
    """

    def judge(change: Change) -> Iterator[Finding]:
        steps = [
            step
            for step in change.file.steps
            if step.concurrently and step.in_transaction and step.kind != "refresh_view"
        ]
        # What ran cannot have failed, whatever runs these files here.
        if steps and change.pending is not False:
            yield change.finding(
                steps,
                (
                    f"Migration does something CONCURRENTLY on {change.tables(steps)} within a transaction, where that fails"
                ),
                Fix("Run it outside a transaction, by itself." + spelling(change)),
                severity=Severity.HIGH if change.pending else Severity.MEDIUM,
            )

    yield from reviewed(evidence, judge)
