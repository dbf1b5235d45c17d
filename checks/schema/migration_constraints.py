"""Do new migrations add constraints without checking every row under a lock?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import MigrationStep, Repository
from checks.model import Examined, Finding, Fix, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import column_list
from checks.schema.migration_review import Change, reviewed


@check("schema.migration-validating-constraint", catalogue="S116", severity=Severity.HIGH, needs=[Repository])
def migration_validating_constraint(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration adds a foreign key or a check and reads the whole table for it under a lock.

    A check is added under ACCESS EXCLUSIVE, a foreign key under SHARE ROW EXCLUSIVE on both tables, until every row was looked
    at. NOT VALID makes that a moment; VALIDATE CONSTRAINT in a later transaction looks at the rows while everybody works. In
    the same transaction nothing is gained. A foreign key that comes with its column, without default, is left out: the server
    knows that there is nothing to look at.

    Fix: ADD CONSTRAINT ... NOT VALID, then VALIDATE CONSTRAINT in a transaction of its own.

    Example: ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users: every order is looked up while INSERT,
    UPDATE and DELETE on both orders and users wait.

    Source: PostgreSQL manual, "ALTER TABLE", Notes

    Observed: tables, rows, applied, commit, constraints
    """

    def judge(change: Change) -> Iterator[Finding]:
        steps = change.steps("add_foreign_key", "add_check")
        later = {
            (step.table, step.name)
            for step in change.file.steps
            if step.kind == "add_not_valid" and step.in_transaction
        }
        steps += [
            step
            for step in change.steps("validate_constraint")
            if step.in_transaction and (step.table, step.name) in later
        ]
        if not steps:
            return
        named = [f"{step.name or ', '.join(step.columns)}" for step in steps]
        together = all(step.kind == "validate_constraint" for step in steps)
        what = "the transaction that added it" if together else "a lock that stops writes"
        yield change.finding(
            steps,
            (
                f"Migration validates {'a constraint' if len(steps) == 1 else f'{len(steps)} constraints'} on "
                f"{change.tables(steps)} under {what}"
            ),
            _later(steps),
            observed={"constraints": named[:20]},
        )

    yield from reviewed(evidence, judge)


def _later(steps: list[MigrationStep]) -> Fix:
    written, undo = [], []
    for step in steps[:10]:
        table, name = qualified_name(*step.table), quote_identifier(step.name or f"{step.table[-1]}_check")
        if step.kind == "add_foreign_key" and step.columns:
            written.append(
                f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({column_list(step.columns)}) "
                f"REFERENCES {qualified_name(*step.also)} NOT VALID;"
            )
        written.append(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name};")
        undo.append(f"ALTER TABLE {table} DROP CONSTRAINT {name};")
    return Fix(
        "Add it NOT VALID in one migration and validate it in the next, each in a transaction of its own. Tools that write "
        "migrations from models leave room for both in SQL of one's own.",
        "\n".join(written),
        lock="SHARE ROW EXCLUSIVE (foreign key) or ACCESS EXCLUSIVE (check), for a moment; validating SHARE UPDATE EXCLUSIVE",
        undo="\n".join(undo),
    )


@check("schema.migration-unique-without-index", catalogue="S117", severity=Severity.HIGH, needs=[Repository])
def migration_unique_without_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration adds a primary key or a unique constraint and builds its index under ACCESS EXCLUSIVE.

    Nobody reads or writes the table until the index is built. An index built CONCURRENTLY before becomes the constraint in a
    moment.

    Fix: CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT ... USING INDEX.

    Example: ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE (email) on 20 million rows: sorting them and
    building the index happens under ACCESS EXCLUSIVE, and even SELECT waits.

    Source: PostgreSQL manual, "ALTER TABLE", ADD table_constraint_using_index

    Observed: tables, rows, applied, commit
    """

    def judge(change: Change) -> Iterator[Finding]:
        if not (steps := change.steps("add_key")):
            return
        step = steps[0]
        table = qualified_name(*step.table)
        name = quote_identifier(step.name or f"{step.table[-1]}_{'_'.join(step.columns)}_key"[:63])
        sql = (
            f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} ({column_list(step.columns)});\n"
            f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name};"
        )
        yield change.finding(
            steps,
            (f"Migration builds the index of a key of {change.tables(steps)} under ACCESS EXCLUSIVE"),
            Fix(
                "Build the index CONCURRENTLY before, outside a transaction, then make it the constraint; of a primary key "
                "write PRIMARY KEY for UNIQUE, and have its columns NOT NULL before.",
                sql if step.columns else None,
                lock="SHARE UPDATE EXCLUSIVE while it builds; ACCESS EXCLUSIVE for a moment",
                undo=f"ALTER TABLE {table} DROP CONSTRAINT {name};",
            ),
        )

    yield from reviewed(evidence, judge)


@check("schema.migration-exclusion-constraint", catalogue="S118", severity=Severity.MEDIUM, needs=[Repository])
def migration_exclusion_constraint(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration adds an exclusion constraint, which builds its index and compares all rows under ACCESS EXCLUSIVE.

    There is no way to add one NOT VALID, nor from an index built before. Nobody reads or writes the table until it is done.

    Fix: Add it while the table is small, or in a maintenance window; else make a new table with it and move the rows.

    Example: ALTER TABLE bookings ADD EXCLUDE USING gist (room_id WITH =, during WITH &&): each booking is looked up in
    the index that is being built, and nobody reads bookings meanwhile.

    Source: PostgreSQL manual, "ALTER TABLE"; "CREATE TABLE", EXCLUDE

    Observed: tables, rows, applied, commit
    """

    def judge(change: Change) -> Iterator[Finding]:
        if steps := change.steps("add_exclusion"):
            yield change.finding(
                steps,
                f"Migration adds an exclusion constraint to {change.tables(steps)} under ACCESS EXCLUSIVE",
                Fix(
                    "Do it in a maintenance window, with lock_timeout set, or make a new table with the constraint and move "
                    "the rows to it in batches.",
                    lock="ACCESS EXCLUSIVE",
                    undo="ALTER TABLE ... DROP CONSTRAINT ...;",
                ),
            )

    yield from reviewed(evidence, judge)
