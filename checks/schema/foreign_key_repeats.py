"""Do foreign keys say the same twice?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from checks.evidence.database.facts import Catalog, Constraint
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Examined, Finding, Severity, quote_identifier
from checks.registry import check
from checks.relations import column_names
from checks.schema.foreign_key_fixes import drop_foreign_key
from checks.schema.foreign_keys import reviewed_foreign_keys
from checks.schema.habits import CROWD, once_per_habit


@check("schema.duplicate-foreign-key", catalogue="S05", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} foreign keys of schema {schema} repeat others", CROWD)
def duplicate_foreign_key(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table has the same foreign key twice.

    Every insert and update of the child, and every delete of the parent, pays for both, and where their ON DELETE actions
    differ, which of the two decides is an accident. It usually comes from a migration that was written twice.

    Fix: Drop the one that is not meant.

    Example: orders.user_id has one foreign key ON DELETE CASCADE and one ON DELETE RESTRICT: whether DELETE FROM users
    deletes the orders or fails depends on which of the two was made first.

    Source: PostgreSQL manual, "Constraints", section "Foreign Keys"

    Observed: duplicate_of, on_delete, other_on_delete.
    """
    catalog = evidence.get(Catalog)
    keys = reviewed_foreign_keys(catalog)
    same: dict[tuple[object, ...], list[Constraint]] = {}
    for key in keys:
        pairs = frozenset(zip(key.columns, key.referenced_columns, strict=True))
        same.setdefault((key.table, key.referenced_table, pairs), []).append(key)
    for group in same.values():
        kept, *others = sorted(group, key=lambda key: (not (key.validated and key.enforced), key.oid))
        for key in others:
            subject, other = catalog.constraint_subject(key), catalog.constraint_subject(kept)
            actions_differ = (key.on_delete, key.on_update) != (kept.on_delete, kept.on_update)
            yield Finding(
                subject,
                f"Foreign key {subject.name} repeats {quote_identifier(kept.name)}"
                + (f": ON DELETE {key.on_delete} against {kept.on_delete}" if key.on_delete != kept.on_delete else ""),
                drop_foreign_key(catalog, key, "Drop one of the two, after deciding which action is meant."
                      if actions_differ else "Drop one of the two."),
                severity=Severity.MEDIUM if actions_differ else Severity.LOW,
                observed={"duplicate_of": other.name, "on_delete": key.on_delete, "other_on_delete": kept.on_delete},
                related=(other,),
            )  # fmt: skip
    yield Examined(len(keys), len(keys), "foreign keys")


@check("schema.overlapping-foreign-key", catalogue="S06", severity=Severity.NOTE, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} foreign keys of schema {schema} say what others say too", CROWD)
def overlapping_foreign_key(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Two foreign keys of a table refer to the same table by some of the same columns.

    A composite foreign key (tenant_id, order_id) already guarantees what a second one on order_id alone says, if order_id
    is unique by itself. Each costs a look-up per write.

    Fix: Keep the wider one if the narrower says nothing more.

    Example: FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id) beside FOREIGN KEY (order_id)
    REFERENCES orders (id): each INSERT looks into orders twice to learn the same thing.

    Source: PostgreSQL manual, "Constraints", section "Foreign Keys"

    Observed: wider, columns.
    """
    catalog = evidence.get(Catalog)
    keys = reviewed_foreign_keys(catalog)
    by_pair: dict[tuple[int, int | None], list[Constraint]] = {}
    for key in keys:
        by_pair.setdefault((key.table, key.referenced_table), []).append(key)
    for group in by_pair.values():
        for one, other in combinations(group, 2):
            narrow, wide = sorted((one, other), key=lambda key: len(key.columns))
            inner, outer = (set(zip(key.columns, key.referenced_columns, strict=True)) for key in (narrow, wide))
            # MATCH SIMPLE: the wider one says nothing as soon as one of its other columns is null.
            holds = all(
                catalog.column(wide.table, number).not_null for number in set(wide.columns) - set(narrow.columns)
            )
            if not (inner < outer and holds):
                continue
            subject, wider = catalog.constraint_subject(narrow), catalog.constraint_subject(wide)
            yield Finding(
                subject,
                f"Foreign key {subject.name} says what {quote_identifier(wide.name)} says too",
                drop_foreign_key(
                    catalog, narrow, "Drop the narrower one, if it has no ON DELETE action of its own that is wanted."
                ),
                severity=Severity.NOTE,
                observed={"wider": wider.name, "columns": column_names(catalog, wide.table, wide.columns)},
                related=(wider,),
            )
    yield Examined(len(keys), len(keys), "foreign keys")
