"""Do new migrations change columns without rewriting or scanning large tables under a lock?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import MigrationStep, Repository
from checks.model import Examined, Finding, Fix, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.schema.migration_review import Change, reviewed, some

# Functions that give another value for each row; of others the database tells, if there is one.
_VOLATILE = frozenset(
    """
    gen_random_uuid random clock_timestamp timeofday nextval uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 uuidv4 uuidv7
    gen_random_bytes random_normal setval nanoid cuid gen_ulid generate_ulid uuid_generate_v7 uuid_v7
    """.split()
)


@check("schema.migration-volatile-default", catalogue="S113", severity=Severity.HIGH, needs=[Repository])
def migration_volatile_default(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration adds a column whose default differs from row to row, which rewrites the table.

    A constant, or now(), is kept once in the catalog. gen_random_uuid(), random() and the like must be computed for each row:
    the server writes the whole table and all its indexes anew under ACCESS EXCLUSIVE, and nobody reads or writes meanwhile.

    Fix: Add the column without default, set the default for new rows, fill the old ones in batches.

    Example: ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid(): the whole table and its indexes are
    written anew, and each SELECT on users waits.

    Source: PostgreSQL manual, "ALTER TABLE", Notes

    Observed: tables, rows, applied, commit, functions
    """

    def judge(change: Change) -> Iterator[Finding]:
        steps = [step for step in change.steps("add_column_function_default") if _is_volatile(change, step)]
        if steps:
            functions = sorted({step.detail for step in steps})
            yield change.finding(
                steps,
                f"Migration rewrites {change.tables(steps)} to fill a new column with {some(functions)}()",
                _fill(steps),
                observed={"functions": functions},
            )

    yield from reviewed(evidence, judge)


def _is_volatile(change: Change, step: MigrationStep) -> bool:
    catalog = change.review.catalog
    for name in step.detail.split(", "):
        known = [entry for entry in catalog.functions if entry.name == name] if catalog else []
        if name in _VOLATILE or any(entry.volatility in ("volatile", "v") for entry in known):
            return True
    return False


def _fill(steps: list[MigrationStep]) -> Fix:
    step = steps[0]
    table, column = qualified_name(*step.table), quote_identifier(step.name)
    default = f"{step.detail.split(', ')[0]}()"
    return Fix(
        "Add the column without its default, then set the default, which holds for new rows; fill the others a few thousand "
        "at a time, each batch in a transaction of its own.",
        f"ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {default};",
        lock="ACCESS EXCLUSIVE, for a moment; ROW EXCLUSIVE for the batches",
        undo=f"ALTER TABLE {table} DROP COLUMN {column};",
    )


@check("schema.migration-required-column", catalogue="S114", severity=Severity.HIGH, needs=[Repository])
def migration_required_column(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration adds a NOT NULL column without a default, which fails as soon as the table has a row.

    It passes in every test with an empty table, and stops the deployment where there are rows. A migration that ran here
    already is left out, and so is a table without rows.

    Fix: Add it with a default, or nullable; fill it; then make it NOT NULL.

    Example: ALTER TABLE users ADD COLUMN country text NOT NULL: it passes on an empty table and fails in production
    with "column "country" of relation "users" contains null values".

    Source: PostgreSQL manual, "ALTER TABLE"

    Observed: tables, rows, applied, commit, columns
    """

    def judge(change: Change) -> Iterator[Finding]:
        steps = [step for step in change.steps("add_required_column") if change.rows(step) != 0]
        if not steps or change.pending is False:
            return
        step, rows = steps[0], any(change.rows(step) for step in steps)
        table, column = qualified_name(*step.table), quote_identifier(step.name)
        yield change.finding(
            steps,
            (
                f"Migration adds a NOT NULL column without default to {change.tables(steps)}, which fails where there are rows"
            ),
            Fix(
                "Give it a default, which costs nothing if it is a constant, or add it nullable, fill it, and make it NOT NULL "
                "then; the default can be dropped again.",
                lock="ACCESS EXCLUSIVE, for a moment",
                undo=f"ALTER TABLE {table} DROP COLUMN {column};",
            ),
            severity=Severity.HIGH if change.pending and rows else Severity.LOW,
            observed={"columns": [step.name for step in steps]},
        )

    yield from reviewed(evidence, judge)


@check("schema.migration-set-not-null", catalogue="S115", severity=Severity.HIGH, needs=[Repository])
def migration_set_not_null(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration makes a column NOT NULL and reads the whole table under ACCESS EXCLUSIVE to see whether it may.

    Nobody reads or writes the table meanwhile. Where a valid CHECK (column IS NOT NULL) already tells it, the server does not
    look; from PostgreSQL 18 on NOT NULL itself can be added NOT VALID and validated later.

    Fix: Add CHECK (column IS NOT NULL) NOT VALID, validate it, then SET NOT NULL, and drop the check.

    Example: ALTER TABLE orders ALTER COLUMN user_id SET NOT NULL on 100 million rows: all of them are read under ACCESS
    EXCLUSIVE, and each SELECT on orders waits.

    Source: PostgreSQL manual, "ALTER TABLE", SET NOT NULL

    Observed: tables, rows, applied, commit, columns
    """

    def judge(change: Change) -> Iterator[Finding]:
        if not (steps := change.steps("set_not_null")):
            return
        step = steps[0]
        table, column = qualified_name(*step.table), quote_identifier(step.name)
        name = quote_identifier(f"{step.name}_not_null"[:63])
        yield change.finding(
            steps,
            (
                f"Migration reads all of {change.tables(steps)} under ACCESS EXCLUSIVE to make "
                f"{'a column' if len(steps) == 1 else f'{len(steps)} columns'} NOT NULL"
            ),
            Fix(
                "Prove it before with a check that is validated under a lock that lets everybody work, each statement in a "
                "transaction of its own.",
                f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID;\n"
                f"ALTER TABLE {table} VALIDATE CONSTRAINT {name};\n"
                f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL;\n"
                f"ALTER TABLE {table} DROP CONSTRAINT {name};",
                lock="ACCESS EXCLUSIVE, for moments; SHARE UPDATE EXCLUSIVE while it validates",
                undo=f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL;",
            ),
            observed={"columns": [step.name for step in steps]},
        )

    yield from reviewed(evidence, judge)


@check("schema.migration-type-rewrite", catalogue="S119", severity=Severity.HIGH, needs=[Repository])
def migration_type_rewrite(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration changes a column's type in a way that rewrites the table.

    The server writes the whole table and its indexes anew under ACCESS EXCLUSIVE. It does not where the old values are good as
    they are: a longer or unlimited varchar, varchar to text, more precision of a numeric with the same scale, cidr to inet;
    those are left out. Between timestamp and timestamptz it does unless the session's TimeZone is UTC.

    Fix: Add a column of the new type, write both, fill in batches, switch the readers, drop the old one.

    Example: ALTER TABLE orders ALTER COLUMN id TYPE bigint on a table of 200 GB: table and indexes are written anew
    under ACCESS EXCLUSIVE, for hours in which nobody reads orders.

    Source: PostgreSQL manual, "ALTER TABLE", Notes

    Observed: tables, rows, applied, commit, changes
    """

    def judge(change: Change) -> Iterator[Finding]:
        if not (steps := change.steps("change_type")):
            return
        changes = [f"{step.name}: {step.detail}" for step in steps]
        yield change.finding(
            steps,
            f"Migration rewrites {change.tables(steps)} under ACCESS EXCLUSIVE to change a type ({some(changes)})",
            Fix(
                "On a table of any size: add a column of the new type, have the application or a trigger write both, fill it "
                "in batches, switch the readers, then drop the old column and rename the new one.",
                lock="ACCESS EXCLUSIVE, for moments",
                undo="Drop the new column.",
            ),
            observed={"changes": changes},
        )

    yield from reviewed(evidence, judge)


@check("schema.migration-generated-column", catalogue="S120", severity=Severity.MEDIUM, needs=[Repository])
def migration_generated_column(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration adds a serial, identity or stored generated column, which rewrites the table.

    Each row needs a value of its own: the server writes the whole table anew under ACCESS EXCLUSIVE, and nobody reads or
    writes meanwhile. A virtual generated column (PostgreSQL 18) costs nothing.

    Fix: Add a plain column with a default for new rows, fill it in batches, then make it identity.

    Example: ALTER TABLE users ADD COLUMN number bigserial: every row gets its number at once, so the whole table is
    written anew while reads and writes wait.

    Source: PostgreSQL manual, "ALTER TABLE", Notes

    Observed: tables, rows, applied, commit, columns
    """

    def judge(change: Change) -> Iterator[Finding]:
        if steps := change.steps("add_generated_column"):
            kinds = sorted({step.detail for step in steps})
            yield change.finding(
                steps,
                f"Migration rewrites {change.tables(steps)} to add a column that is {' and '.join(kinds)}",
                Fix(
                    "Add a plain column, let a trigger or a default fill new rows, fill the others in batches; of a number, "
                    "make it identity then with a sequence that goes on above the highest.",
                    lock="ACCESS EXCLUSIVE, for moments",
                    undo="Drop the column.",
                ),
                observed={"columns": [step.name for step in steps]},
            )

    yield from reviewed(evidence, judge)
