"""Views, functions, triggers and policies: which of them only the database has, and which only the migrations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from checks.evidence.database.facts import Catalog
from checks.evidence.repository.facts import Declared, Lineage
from checks.model import Subject
from checks.relations import is_of_the_application, is_reviewed
from checks.schema.differences import ONLY_DECLARED, ONLY_LIVE, Difference
from checks.schema.lineages import Fit

# What these tools write down holds no views, functions, triggers and policies, or not all of them.
_TABLES_ONLY = frozenset(["rails", "django", "alembic"])

Key = tuple[str, tuple[str, ...]]


def object_differences(
    catalog: Catalog, lineages: Iterable[Lineage], fits: list[Fit]
) -> Iterator[tuple[Subject, list[Difference], Fit]]:
    """By table for triggers and policies, by schema and kind for views and functions."""
    lineages = list(lineages)
    named = {
        entry.subject.path[-1] for lineage in lineages for entry in lineage.objects if entry.subject.kind != "function"
    }
    named |= {
        entry.subject.path[1] for lineage in lineages for entry in lineage.objects if entry.subject.kind == "function"
    }
    uncertain = {name for lineage in lineages for name in lineage.uncertain}
    kinds = {kind for lineage in lineages for kind in lineage.uncertain_kinds}
    live = _live(catalog)
    names = {(kind, path[-1]) for kind, path in live}
    grouped: dict[Subject, list[Difference]] = {}
    owner: dict[Subject, Fit] = {}
    for fit in fits:
        for entry in fit.lineage.objects:
            key = _key(entry, fit)
            if key is None or (key[0], key[1][-1]) in names or key[1][-1] in uncertain:
                continue
            if key[0] in ("trigger", "policy") and key[1][:2] not in fit.declared:
                continue
            if key[0] == "view" and key[1][-1] in catalog.tables_named:
                continue
            subject = _subject(key)
            owner.setdefault(subject, fit)
            what = f"{key[0]} {key[1][-1]}"
            grouped.setdefault(subject, []).append(Difference(ONLY_DECLARED, key[0], what, entry.location))
    complete = [fit for fit in fits if fit.lineage.tool not in _TABLES_ONLY]
    schemas = {path[0]: fit for fit in reversed(complete) for path in fit.declared}
    for kind, path in live if complete and len(complete) == len(fits) else ():
        if path[0] not in schemas or path[-1] in named or path[-1] in uncertain or kind in kinds:
            continue
        fit = schemas[path[0]]
        if kind in ("trigger", "policy"):
            if path[:2] not in fit.declared:
                continue
            place = fit.declared[(path[0], path[1])].location
        else:
            place = None
        subject = _subject((kind, path))
        owner.setdefault(subject, fit)
        grouped.setdefault(subject, []).append(Difference(ONLY_LIVE, kind, f"{kind} {path[-1]}", place))
    by_kind: dict[tuple[Subject, str], list[Difference]] = {}
    for subject, differences in grouped.items():
        for difference in dict.fromkeys(differences):
            by_kind.setdefault((subject, difference.kind), []).append(difference)
    for (subject, _), found in by_kind.items():
        yield subject, found, owner[subject]


def _subject(key: Key) -> Subject:
    kind, path = key
    return Subject("table", path[:2]) if kind in ("trigger", "policy") else Subject("schema", path[:1])


def _key(entry: Declared, fit: Fit) -> Key | None:
    """Its kind and its path in this database, a function's without its arguments; None for a type."""
    kind, path = entry.subject.kind, entry.subject.path
    if kind == "type":
        return None
    schema = fit.schema if path[0] == "public" else path[0]
    return kind, (schema, *path[1:]) if kind != "function" else (schema, path[1])


def _live(catalog: Catalog) -> set[Key]:
    found: set[Key] = {
        ("view", (table.schema, table.name))
        for table in catalog.tables
        if table.kind in ("view", "materialized_view") and is_of_the_application(table)
    }
    found |= {
        ("function", (entry.schema, entry.name))
        for entry in catalog.functions
        if entry.extension is None and entry.kind in ("function", "procedure")
    }
    for trigger in catalog.triggers:
        table = catalog.table_by_oid.get(trigger.table)
        if table is not None and is_reviewed(table) and trigger.parent is None and trigger.extension is None:
            found.add(("trigger", (table.schema, table.name, trigger.name)))
    for policy in catalog.policies:
        table = catalog.table_by_oid.get(policy.table)
        if table is not None and is_reviewed(table):
            found.add(("policy", (table.schema, table.name, policy.name)))
    return found
