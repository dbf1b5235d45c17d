"""Are the references between tables declared?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence import patterns
from checks.evidence.database.facts import Catalog, Server, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import estimated_rows, is_reviewed, new_name
from checks.schema.code_relations import declared_relations
from checks.schema.habits import CROWD, once_per_habit
from checks.schema.inference import Reference, undeclared_references
from checks.schema.remarks import without_key_on_purpose


@check("schema.missing-foreign-key", catalogue="S10", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
@once_per_habit(
    lambda schema, number: f"{number} columns of schema {schema} refer to keys without a foreign key", CROWD
)
def missing_foreign_key(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A column refers to another table's key and no foreign key says so.

    The application keeps such references right only as long as every path of it does: a delete that misses a child, a retry, a
    manual correction leave orphans that surface later as missing users, wrong totals or retrieval of deleted documents. The
    planner knows less too. The column is recognised by its name and type, by statements that join it with that key, or by a
    relation that a model of the code declares; a parent_id, whose name says not of what, never by its name.

    Fix: Add the foreign key NOT VALID, clean up orphans, then validate it, and index the column if no index leads with it.

    Example: orders.user_id bigint beside users (id bigint PRIMARY KEY), without a constraint: DELETE FROM users WHERE
    id = 7 leaves the orders of user 7, and JOIN users drops them from the totals.

    Source: PostgreSQL manual, "Constraints", section "Foreign Keys"; "ALTER TABLE", Notes

    A comment beside the column that says that there is none on purpose settles it. Many of one schema are one finding.

    Observed: references, type, known_by, joining_statements, rows, parent_deletes, commit.
    """
    catalog = evidence.get(Catalog)
    declared = [
        entry
        for entry in catalog.constraints
        if entry.kind == "foreign_key" and entry.parent is None and is_reviewed(catalog.table_by_oid[entry.table])
    ]
    on_purpose = without_key_on_purpose(evidence)
    missing = [
        reference
        for reference in undeclared_references(catalog, patterns.workload(evidence), declared_relations(evidence))
        if (reference.column.table, reference.column.number) not in on_purpose
    ]
    total = len(declared) + len(missing)
    if not total:
        raise NotApplicable("no column refers to another table")
    usage = evidence.find(Usage)
    for reference in missing:
        table = catalog.table_by_oid[reference.column.table]
        column, key = catalog.column_subject(reference.column), catalog.column_subject(reference.key)
        rows = estimated_rows(evidence, table)
        counted = usage.table_by_oid.get(reference.target.oid) if usage else None
        deletes = counted.deleted if counted else None
        yield Finding(
            column,
            f"Column {column.name} refers to {key.name} without a foreign key",
            _fix(evidence, reference),
            severity=_severity(evidence, rows, deletes),
            confidence=Confidence.INFERRED,
            observed={
                "references": key.name,
                "type": reference.column.type,
                "known_by": [*(["name"] if reference.by_name else []), *(["join"] if reference.patterns else []),
                             *(["model"] if reference.relation else [])],
                "joining_statements": [entry.query_id for entry in reference.patterns if entry.query_id][:5],
                "rows": None if rows is None else round(rows),
                "parent_deletes": deletes,
                "commit": evidence.commit(column),
            },
            related=(key, reference.target.subject),
            locations=tuple(dict.fromkeys((
                *((reference.relation,) if reference.relation else ()),
                *(evidence.locations(column) or (place for entry in reference.patterns for place in entry.locations)),
            ))),
        )  # fmt: skip
    unmet = len(missing) + sum(not (entry.validated and entry.enforced) for entry in declared)
    yield Examined(total, total, "references", unmet=unmet)


def _severity(evidence: Evidence, rows: float | None, parent_deletes: int | None) -> Severity:
    if rows is not None and rows < evidence.limit("table_rows_min"):
        return Severity.LOW
    return Severity.HIGH if parent_deletes else Severity.MEDIUM


def _fix(evidence: Evidence, reference: Reference) -> Fix:
    catalog, server = evidence.get(Catalog), evidence.find(Server)
    table = catalog.table_by_oid[reference.column.table]
    name, parent = (qualified_name(entry.schema, entry.name) for entry in (table, reference.target))
    column, key = quote_identifier(reference.column.name), quote_identifier(reference.key.name)
    constraint = quote_identifier(new_name(catalog, table.schema, table.name, reference.column.name, "fkey"))
    add = f"ALTER TABLE {name} ADD CONSTRAINT {constraint} FOREIGN KEY ({column}) REFERENCES {parent} ({key})"
    at_once = table.kind == "partitioned" and (server is None or server.major < 18)
    validate = f"ALTER TABLE {name} VALIDATE CONSTRAINT {constraint};"
    return Fix(
        "Declare the reference, with the ON DELETE action that the application means. Orphans make the "
        + ("statement fail" if at_once else "validation fail")
        + f"; find them with: SELECT DISTINCT {column} FROM {name} c WHERE {column} IS NOT NULL AND NOT EXISTS "
        f"(SELECT FROM {parent} p WHERE p.{key} = c.{column}).",
        f"{add};" if at_once else f"{add} NOT VALID;\n{validate}",
        lock="SHARE ROW EXCLUSIVE on both tables"
        + ("" if at_once else ", briefly; validating takes SHARE UPDATE EXCLUSIVE"),
        undo=f"ALTER TABLE {name} DROP CONSTRAINT {constraint};",
    )
