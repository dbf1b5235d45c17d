"""Do new migrations take nothing from the application that still runs, and hold no lock for long?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Settings
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import MigrationStep, Repository
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    Location,
    Severity,
    Subject,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.schema.migration_review import SHOWN, Change, Review, reviewed, some

_STRONG = frozenset(["ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE", "SHARE"])
_LONG = frozenset(
    """
    create_index add_foreign_key add_check validate_constraint add_key add_exclusion set_not_null change_type
    add_generated_column rewrite update delete insert_select refresh_view vacuum_full cluster
    """.split()
)
_ROWS = frozenset(["update", "delete", "insert_select", "validate_constraint"])
_OTHER = {
    "detach_partition": "detaches a partition",
    "refresh_view": "refreshes a materialized view",
    "vacuum_full": "runs VACUUM FULL",
    "cluster": "runs CLUSTER",
    "rewrite": "rewrites a table",
    "lock_table": "locks a table",
    "attach_partition": "attaches a partition",
}


@check("schema.migration-rename", catalogue="S121", severity=Severity.MEDIUM, needs=[Repository])
def migration_rename(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration renames a table, column, schema or value that the running application uses by its old name.

    Between the migration and the last process of the old release, every statement with the old name fails; after a rollback
    of the release, with the new one. A migration that ran already is left out.

    Fix: Add the new name beside the old one (a view for a table, a second column for a column), and drop the old one a
    release later.

    Example: ALTER TABLE users RENAME COLUMN name TO full_name: until its last process has stopped, the running release
    fails with "column "name" does not exist".

    Source: PostgreSQL manual, "ALTER TABLE", RENAME; "Error Codes", 42P01, 42703

    Observed: tables, rows, applied, commit, renamed
    """

    def judge(change: Change) -> Iterator[Finding]:
        steps = change.steps("rename_table", "rename_column", "rename_schema", "rename_value")
        if not steps or change.pending is False:
            return
        renamed = [_renamed(step) for step in steps]
        yield change.finding(
            steps,
            f"Migration renames {some(renamed)} while the application uses the old name",
            Fix(
                "Keep the old name for as long as a process may use it: a view of that name for a table, a second column that "
                "a trigger keeps equal for a column. Drop it in a later release.",
                lock="ACCESS EXCLUSIVE, for a moment",
                undo="Rename it back.",
            ),
            severity=Severity.MEDIUM if change.pending else Severity.LOW,
            observed={"renamed": renamed},
        )

    yield from reviewed(evidence, judge)


def _renamed(step: MigrationStep) -> str:
    if step.kind == "rename_column":
        return f"column {qualified_name(*step.table, *step.columns)} to {quote_identifier(step.name)}"
    if step.kind == "rename_table":
        return f"table {qualified_name(*step.table)} to {quote_identifier(step.name)}"
    word = "schema" if step.kind == "rename_schema" else "a value of"
    return f"{word} {quote_identifier(step.name)} ({step.detail})"


@check("schema.migration-destructive", catalogue="S122", severity=Severity.HIGH, needs=[Repository])
def migration_destructive(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration drops or empties something that may still be needed.

    What it takes away no migration brings back, and every statement of the running release that names it fails until the new
    one is everywhere. It weighs most where the code of this very repository still names the column or table. A migration that
    ran already is left out, as is a table without rows.

    Fix: Stop using it in one release, drop it in a later one, after a backup that was tried.

    Example: ALTER TABLE users DROP COLUMN phone while models.py still lists phone: every SELECT of that model fails,
    and rolling the release back does not bring the numbers back.

    Source: PostgreSQL manual, "ALTER TABLE", DROP COLUMN; "DROP TABLE"; "TRUNCATE"

    Observed: tables, rows, applied, commit, dropped, still_named_by
    """

    def judge(change: Change) -> Iterator[Finding]:
        steps = [
            step
            for step in change.steps("drop_table", "drop_column", "drop_schema", "truncate", "drop_not_null")
            if change.rows(step) != 0
            and not _made_again(change, step)
            and (step.kind != "drop_not_null" or any(_models_with(change, step)))
        ]
        if not steps or change.pending is False:
            return
        named = [place for step in steps for place in _models_with(change, step)]
        dropped = [_dropped(step) for step in steps]
        lets_go = all(step.kind == "drop_not_null" for step in steps)
        finding = change.finding(
            steps,
            f"Migration {some(dropped)}" + (", which the code's models still name" if named else ""),
            Fix(
                "Let the release that no longer uses it be everywhere first, and keep a backup that was tried; then drop it, "
                "with lock_timeout set.",
                lock="ACCESS EXCLUSIVE, for a moment",
                undo="Only from a backup.",
            ),
            severity=(
                Severity.LOW
                if lets_go or not change.pending
                else Severity.HIGH
                if any(step.kind != "drop_not_null" and any(_models_with(change, step)) for step in steps)
                else Severity.MEDIUM
            ),
            observed={"dropped": dropped, "still_named_by": [f"{place.path}:{place.line}" for place in named[:5]]},
        )
        yield finding

    yield from reviewed(evidence, judge)


def _dropped(step: MigrationStep) -> str:
    if step.kind == "drop_schema":
        return f"drops schema {quote_identifier(step.name)}"
    if step.kind == "drop_column":
        return f"drops column {qualified_name(*step.table, step.name)}"
    if step.kind == "drop_not_null":
        return f"lets null into column {qualified_name(*step.table, step.name)}"
    return f"{'empties' if step.kind == 'truncate' else 'drops table'} {qualified_name(*step.table)}"


def _made_again(change: Change, step: MigrationStep) -> bool:
    """Whether the same migration makes it anew: a swap, of which the other steps tell."""
    made = {"drop_table": ("create_table", "rename_table"), "drop_column": ("add_column", "rename_column")}.get(
        step.kind, ()
    )
    return any(
        other.kind.startswith(made) and (other.name == step.name or step.kind == "drop_table")
        and (other.table == step.table or other.name == step.table[-1])
        for other in change.file.steps
    ) if made else False  # fmt: skip


def _models_with(change: Change, step: MigrationStep) -> Iterator[Location]:
    """Where models of the code still have the column or table."""
    if not step.table:
        return
    for model in change.review.repository.models:
        if model.table != step.table[-1]:
            continue
        if step.kind == "drop_table":
            yield model.location
        elif step.kind == "drop_column":
            yield from (column.location for column in model.columns if column.name == step.name)
        elif step.kind == "drop_not_null":
            yield from (
                column.location for column in model.columns if column.name == step.name and column.nullable is False
            )


@check("schema.migration-without-lock-timeout", catalogue="S123", severity=Severity.MEDIUM, needs=[Repository])
def migration_without_lock_timeout(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Migrations wait for their locks without limit, and everybody else behind them.

    Even a change of a moment needs its lock first. While it waits for one long transaction, each new statement on that table
    queues behind it: the table is down for as long as that transaction lives. With lock_timeout the migration gives up and can be
    tried again. Looked for are SET lock_timeout in the migrations, anything that names it in the code or configuration of the
    repository, and settings of roles and of the database.

    Fix: SET lock_timeout = '5s' for the role or session that runs migrations, and try again where it strikes.

    Example: ALTER TABLE orders ADD COLUMN note text behind a report that has been reading orders for an hour: each
    SELECT on orders that comes after it waits for the report too.

    Source: PostgreSQL manual, "Client Connection Defaults", lock_timeout; GitLab and OpenAI on schema changes

    Observed: tables, migrations, of
    """
    review = Review(evidence)
    settings = evidence.find(Settings)
    set_there = settings is not None and (
        any(entry.name == "lock_timeout" and entry.value not in ("0", "") for entry in settings.role_settings)
        or (settings.value("lock_timeout") or "0") != "0"
    )
    found: list[Finding] = []
    if not (set_there or review.repository.timeouts):
        by_series: dict[tuple[str, str], list[tuple[Change, list[MigrationStep]]]] = {}
        for change in review.changes:
            steps = [step for step in change.file.steps if step.lock in _STRONG and _locks(change, step)]
            if steps and not all(step.bounded for step in steps):
                by_series.setdefault((change.file.tool, change.file.folder), []).append((change, steps))
        for (_, folder), entries in by_series.items():
            found.append(_unbounded(folder, entries))
    yield from found
    yield review.examined(found)


def _locks(change: Change, step: MigrationStep) -> bool:
    """Whether it locks a table that others use: its own, or the one that it refers to."""
    if not change.is_new(step) and step.table:
        return True
    return bool(step.also) and not change.review.is_new(change, step.also)


def _unbounded(folder: str, entries: list[tuple[Change, list[MigrationStep]]]) -> Finding:
    all_steps = [step for _, steps in entries for step in steps]
    tables = list(dict.fromkeys(qualified_name(*(step.table or step.also)) for step in all_steps))
    known = [change.severity(steps) for change, steps in entries]
    severity = min(known, key=lambda entry: entry.rank)
    count = len(entries)
    return Finding(
        Subject("file", (folder or ".",)),
        f"{count} new {'migration locks' if count == 1 else 'migrations lock'} tables in use without lock_timeout: "
        f"{some(tables)}",
        Fix(
            "Give the role that runs migrations a lock_timeout, or set it in the runner, and let the runner try again. Where "
            "an index is built CONCURRENTLY, leave statement_timeout off.",
            "ALTER ROLE migrator SET lock_timeout = '5s';",
            undo="ALTER ROLE migrator RESET lock_timeout;",
        ),
        severity=max(severity, Severity.MEDIUM, key=lambda entry: entry.rank),
        confidence=Confidence.INFERRED,
        observed={
            "tables": tables[:SHOWN],
            "migrations": [change.file.path for change, _ in entries][:SHOWN],
            "of": count,
        },
        locations=tuple(steps[0].location for _, steps in entries)[:SHOWN],
    )


@check("schema.migration-wide-lock", catalogue="S124", severity=Severity.MEDIUM, needs=[Repository])
def migration_wide_lock(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration keeps tables locked while it does something long.

    A lock is kept until the transaction ends. A transaction that takes ACCESS EXCLUSIVE for a small change and then builds an
    index, checks rows or fills a column keeps everybody out for all of that, and one that locks several tables can deadlock
    with the application, which locks them in another order.

    Fix: Split it: short changes each in a migration of its own, long work outside of them.

    Example: ALTER TABLE orders ADD COLUMN total numeric, then UPDATE orders SET total = ... in the same migration:
    nobody reads orders until the last row is updated and the transaction commits.

    Source: PostgreSQL manual, "Explicit Locking"

    Observed: tables, rows, applied, commit, then
    """

    def judge(change: Change) -> Iterator[Finding]:
        held: list[MigrationStep] = []
        for step in change.file.steps:
            if not step.in_transaction or change.is_new(step) or not step.table:
                continue
            # Of work on a table that it locks itself, other checks tell.
            others = [
                entry
                for entry in held
                if entry.location != step.location and (entry.table != step.table or step.kind in _ROWS)
            ][:1]
            if step.kind in _LONG and not step.concurrently and others and _is_large(change, step):
                yield change.finding(
                    [*others, step],
                    (
                        f"Migration keeps {qualified_name(*others[0].table)} locked while it works on "
                        f"{qualified_name(*step.table)}"
                    ),
                    Fix("Give the long statement a migration of its own, before or after; of a backfill, several."),
                    severity=change.severity([step]),
                    observed={"then": step.kind.replace("_", " ")},
                )
                return
            if step.lock == "ACCESS EXCLUSIVE":
                held.append(step)

    yield from reviewed(evidence, judge)


def _is_large(change: Change, step: MigrationStep) -> bool:
    """Whether the work takes long: without a database anything may."""
    rows = change.rows(step)
    return rows is None or rows >= change.review.evidence.limit("migration_rows")


@check("schema.migration-other-locking", catalogue="S126", severity=Severity.MEDIUM, needs=[Repository])
def migration_other_locking(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration does something else that locks for long, or that fails in its transaction.

    VACUUM FULL, CLUSTER, SET LOGGED and the like rewrite a table under ACCESS EXCLUSIVE; REFRESH MATERIALIZED VIEW keeps readers
    out unless CONCURRENTLY; ATTACH PARTITION reads the partition unless a CHECK tells its bounds, DETACH PARTITION locks the
    whole tree unless CONCURRENTLY. And a value just added to an enumeration may not be used in the same transaction.

    Fix: Use the CONCURRENTLY forms, a CHECK with the bounds before ATTACH, pg_repack or a maintenance window for rewrites.

    Example: REFRESH MATERIALIZED VIEW daily_sales without CONCURRENTLY: each SELECT from daily_sales waits until the
    query has run to its end.

    Source: PostgreSQL manual, "Explicit Locking", section "Table-Level Locks"; "ALTER TYPE"; "ALTER TABLE", ATTACH PARTITION

    Observed: tables, rows, applied, commit, does
    """

    def judge(change: Change) -> Iterator[Finding]:
        steps = [
            step for step in change.steps(*_OTHER)
            if not step.concurrently and step.lock == "ACCESS EXCLUSIVE"
            and (step.kind not in ("attach_partition", "lock_table", "rewrite") or _is_large(change, step))
        ]  # fmt: skip
        if steps:
            does = sorted({_OTHER[step.kind] for step in steps})
            yield change.finding(
                steps,
                f"Migration {' and '.join(does)} ({change.tables(steps)}) under ACCESS EXCLUSIVE",
                Fix("Use the CONCURRENTLY form where there is one, outside a transaction; else a maintenance window.",
                    lock="SHARE UPDATE EXCLUSIVE"),
                observed={"does": does},
            )  # fmt: skip
        used = [step for step in change.file.steps if step.kind == "use_of_new_value" and step.in_transaction]
        if used and change.pending is not False:
            finding = change.finding(
                used,
                (f"Migration uses the value {used[0].name!r} in the transaction that adds it to its type, which fails"),
                Fix("Add the value in one migration and use it in the next."),
                severity=Severity.HIGH if change.pending else Severity.MEDIUM,
                observed={"does": ["uses a new value"]},
            )
            yield finding

    yield from reviewed(evidence, judge)


@check("schema.migration-bulk-data-change", catalogue="S127", severity=Severity.MEDIUM, needs=[Repository])
def migration_bulk_data_change(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration changes the rows of a whole table in one statement.

    Every row it touches stays locked until it commits, the application waits for each of them, the table doubles in dead rows,
    and a standby falls behind; if it fails at the end, all was for nothing. A statement that names its rows by a key, and a
    table that is small, are left out.

    Fix: A job outside the migrations that takes a few thousand rows at a time, by key, with pauses, and can be resumed.

    Example: UPDATE users SET locale = 'en' on a table of 50 million rows: whoever changes their profile meanwhile waits
    until the migration commits.

    Source: PostgreSQL manual, "Routine Vacuuming"; GitLab, batched background migrations

    Observed: tables, rows, applied, commit, statements
    """

    def judge(change: Change) -> Iterator[Finding]:
        steps = [step for step in change.steps("update", "delete", "insert_select") if _is_large(change, step)]
        if not steps:
            return
        table = qualified_name(*steps[0].table)
        yield change.finding(
            steps,
            f"Migration changes rows of {change.tables(steps)} in one statement",
            Fix(
                f"Take the work out of the migration: take a few thousand rows of {table} at a time by its key (WHERE id IN "
                "(SELECT ... LIMIT 5000 FOR UPDATE SKIP LOCKED)), each batch in a transaction of its own, with a pause between "
                "them, and remember how far it came.",
                lock="ROW EXCLUSIVE, for each batch",
            ),
            observed={"statements": len(steps)},
        )  # fmt: skip

    yield from reviewed(evidence, judge)
