"""Do new migrations work as a whole, for any search_path, and without checks on domains?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import MigrationStep, Repository
from checks.model import Examined, Finding, Fix, Location, Severity, Subject, quote_identifier
from checks.registry import check
from checks.relations import reviewed_tables
from checks.schema.migration_review import SHOWN, Change, Review, reviewed, some

# What is better done outside a transaction, in which its locks would be held to the end.
_OUTSIDE = frozenset(["validate_constraint", "update", "delete", "insert_select", "end_transaction"])


@check("schema.migration-ends-transaction", catalogue="S125", severity=Severity.LOW, needs=[Repository])
def migration_ends_transaction(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration ends the transaction in which its tool runs it, and goes on changing tables.

    The tool counts on all or nothing: when a statement after the COMMIT fails, what came before it stays, the tool has not noted
    the migration, and the next run fails on what is there already. Left out is a migration that does nothing behind it but what a
    transaction would forbid or hold up: CONCURRENTLY, validation of constraints, changes of data.

    Fix: A migration of its own for what must run outside, in the manner of the tool; IF NOT EXISTS, where that is not to be had.

    Example: CREATE TABLE invoices (...); COMMIT; ALTER TABLE orders ADD COLUMN invoice_id bigint: if the ALTER fails,
    invoices stays, and the next run stops with "relation "invoices" already exists".

    Source: PostgreSQL manual, "COMMIT"; "CREATE INDEX", "Building Indexes Concurrently"

    Observed: tables, rows, applied, commit, statements_behind
    """

    def judge(change: Change) -> Iterator[Finding]:
        ends = [step for step in change.file.steps if step.kind == "end_transaction"]
        behind = _behind(change.file.steps)
        if not ends or not behind:
            return
        yield change.finding(
            ends,
            f"Migration commits at line {ends[0].location.line} and changes {some(_changed(behind))} behind that",
            Fix("Split it: what has to run outside a transaction into a migration that the tool runs without one."),
            severity=Severity.LOW if change.pending else Severity.NOTE,
            observed={"statements_behind": len(behind)},
        )

    yield from reviewed(evidence, judge)


def _behind(steps: tuple[MigrationStep, ...]) -> list[MigrationStep]:
    """What is done after the transaction of the tool ended, and would better have been done within it."""
    found: list[MigrationStep] = []
    ended = False
    for step in steps:
        ended |= step.kind == "end_transaction"
        if ended and not step.in_transaction and not step.concurrently and step.kind not in _OUTSIDE:
            found.append(step)
    return found


def _changed(steps: list[MigrationStep]) -> list[str]:
    return list(dict.fromkeys(".".join(map(quote_identifier, step.table)) or step.name for step in steps))


@check(
    "schema.migration-unqualified-name",
    catalogue="S128",
    severity=Severity.NOTE,
    needs=[Catalog, Repository],
    style=True,
)
def migration_unqualified_name(evidence: Evidence) -> Iterator[Finding | Examined]:
    """New migrations make tables without naming their schema, in a database with several.

    Where the table goes is for the search_path of whoever runs the migration to say: another role, another tool or a setting of
    the database puts it elsewhere, and the next statement finds it there or not at all. Told once for each series of migrations.

    Fix: Write the schema, or SET search_path in the migration.

    Example: CREATE TABLE invoices (id bigint) in a database with the schemas public and billing: run with search_path =
    billing it goes to billing, and SELECT ... FROM public.invoices fails.

    Source: PostgreSQL manual, "The Schema Search Path"

    Observed: tables, migrations, schemas
    """
    review = Review(evidence)
    schemas = sorted({table.schema for table in reviewed_tables(evidence.get(Catalog))})
    by_folder: dict[str, list[MigrationStep]] = {}
    for change in review.changes:
        found = [step for step in change.file.steps if step.kind == "create_table" and step.unqualified]
        if found and len(schemas) > 1:
            by_folder.setdefault(change.file.folder, []).extend(found)
    findings = [_unqualified(folder, steps, schemas) for folder, steps in by_folder.items()]
    yield from findings
    failing = {step.location.path for steps in by_folder.values() for step in steps}
    yield Examined(len(review.changes), review.total, "migrations", unmet=len(failing))


def _unqualified(folder: str, steps: list[MigrationStep], schemas: list[str]) -> Finding:
    names = list(dict.fromkeys(quote_identifier(step.table[-1]) for step in steps))
    places: tuple[Location, ...] = tuple(dict.fromkeys(step.location for step in steps))
    return Finding(
        Subject("file", (folder or ".",)),
        f"Migrations make {some(names)} in whatever schema the search_path names first",
        Fix("Write the schema before the name, or SET search_path at the head of each migration."),
        observed={
            "tables": names[:SHOWN],
            "migrations": len({place.path for place in places}),
            "schemas": schemas[:SHOWN],
        },
        locations=places[:SHOWN],
    )


@check("schema.migration-domain-constraint", catalogue="S130", severity=Severity.LOW, needs=[Repository])
def migration_domain_constraint(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A migration gives a domain a constraint.

    A constraint added to a domain is checked at once against every row of every table that has a column of it, under locks that
    stop writes to all of them. One that a new domain is made with costs nothing then, but can later only be changed like that; a
    CHECK of the table can be added NOT VALID and validated table by table.

    Fix: ADD CONSTRAINT ... NOT VALID, then VALIDATE CONSTRAINT in a transaction of its own; or a CHECK on the tables.

    Example: ALTER DOMAIN email ADD CHECK (VALUE LIKE '%@%'): every row of every table with a column of type email is
    read at once, and writes to all of them wait.

    Source: PostgreSQL manual, "ALTER DOMAIN"; "CREATE DOMAIN"

    Observed: tables, rows, applied, commit, domains
    """

    def judge(change: Change) -> Iterator[Finding]:
        made, added = change.steps("create_domain"), change.steps("add_domain_check")
        if not made and not added:
            return
        names = [quote_identifier(step.name) for step in (*added, *made)]
        yield change.finding(
            [*added, *made],
            f"Migration checks every row of every column of domain {some(names)}"
            if added
            else f"Migration makes domain {some(names)} with a constraint",
            Fix(
                "Add it NOT VALID and validate it in a transaction of its own."
                if added
                else "Keep the rule in a CHECK of the tables, if it may ever change."
            ),
            severity=Severity.LOW if added and change.pending else Severity.NOTE,
            observed={"domains": names[:SHOWN]},
        )

    yield from reviewed(evidence, judge)
