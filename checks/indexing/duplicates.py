"""Does each index do something that no other does?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Index, IndexKey, Usage
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.indexing.coverage import collation
from checks.indexing.crowds import as_one
from checks.model import Confidence, Examined, Finding, Fix, Severity, Unknown, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import (
    index_parts,
    is_usable,
    local_indexes,
    quote_literal,
    reviewed_indexes,
    root_of,
    size_bytes,
)
from checks.schema.habits import CROWD

_TUNED_METHODS = frozenset({"hnsw", "ivfflat", "brin", "bloom"})
_MUCH_SMALLER = 3
_SHOWN = 5
_DROPPED = 100


@check("indexing.duplicate-index", catalogue="I02", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def duplicate_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Two indexes are the same in everything but their names.

    Both are written on every insert, and on every update that touches them; both take memory, WAL, vacuum time and backup
    space, and the planner considers both. One of them answers no query that the other does not.

    Fix: Drop the one that nothing depends on.

    Example: users_email_key, of the UNIQUE constraint, and users_email_unique, UNIQUE (email) as well.

    Source: PostgreSQL manual, "System Catalogs", pg_index; "DROP INDEX"

    Observed: duplicate_of, table, size_bytes, unique, referenced_by, scans, partitions.
    """
    catalog = evidence.get(Catalog)
    indexes = reviewed_indexes(catalog)
    for redundant, kept in _duplicates(catalog):
        if redundant.unique == kept.unique and redundant.exclusion == kept.exclusion:
            yield _finding(evidence, redundant, kept, f"Index {redundant.subject.name} duplicates {kept.subject.name}")
    yield from _of_partitions(evidence)
    yield Examined(len(indexes), len(indexes), "indexes")


@check("indexing.index-duplicates-unique", catalogue="I04", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def index_duplicates_unique(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A plain index repeats the index of a primary key, unique or exclusion constraint.

    The constraint's own index already answers every lookup on these columns, so the plain one only costs writes, memory and
    space. It is usually a migration tool or an ORM option (`unique` and `index` at once) that made both.

    Fix: Drop the plain index.

    Example: email text UNIQUE, and CREATE INDEX ON users (email).

    Source: PostgreSQL manual, "Indexes", section "Unique Indexes"

    Observed: duplicate_of, table, size_bytes, unique, referenced_by, scans.
    """
    catalog = evidence.get(Catalog)
    indexes = reviewed_indexes(catalog)
    for redundant, kept in _duplicates(catalog):
        if redundant.unique != kept.unique or redundant.exclusion != kept.exclusion:
            what = "primary key" if kept.primary else "unique index" if kept.unique else "exclusion constraint"
            title = f"Index {redundant.subject.name} repeats the {what} {kept.subject.name}"
            yield _finding(evidence, redundant, kept, title)
    yield Examined(len(indexes), len(indexes), "indexes")


@check("indexing.redundant-index", catalogue="I03", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def redundant_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An index is the beginning of another index.

    A B-tree over (a, b) answers every search on (a) too, so the index over (a) alone costs writes, memory and space for
    little. It is worth keeping only where it is much smaller and read very often. An index that begins with all of a unique one
    is redundant too: behind a key there is nothing left to narrow.

    Fix: Drop the shorter index, after a look at how much it is read.

    Example: CREATE INDEX ON orders (customer_id) beside CREATE INDEX ON orders (customer_id, created_at).

    Source: PostgreSQL manual, "Indexes", section "Multicolumn Indexes"

    Observed: duplicate_of, table, size_bytes, other_size_bytes, scans, other_scans.
    """
    catalog = evidence.get(Catalog)
    indexes = reviewed_indexes(catalog)
    reported = {redundant.oid for redundant, _ in _duplicates(catalog)}
    small, unmet = [], 0
    for index in indexes:
        if index.oid in reported or index.method != "btree" or not is_usable(index) or is_needed(index):
            continue
        wider = _wider(evidence, index)
        if not wider and (key := _key_it_begins_with(catalog, index)):
            title = f"Index {index.subject.name} begins with the unique {key.subject.name}, which finds the same rows"
            found = _finding(evidence, index, key, title)
            unmet += 1
            yield msgspec.structs.replace(found, severity=Severity.LOW, confidence=Confidence.INFERRED)
        if not wider:
            continue
        unmet += 1
        # Not one that another makes redundant in its turn.
        staying = [
            other for other in wider if is_needed(other) or not any(_begins_with(next_, other) for next_ in wider)
        ]
        other = min(staying or wider, key=lambda entry: (len(entry.keys), size_bytes(catalog, entry), entry.oid))
        title = f"Index {index.subject.name} is the beginning of {other.subject.name}"
        finding = _prefix_finding(evidence, _finding(evidence, index, other, title), index, other)
        if size_bytes(catalog, index) < evidence.limit("unused_index_bytes"):
            small.append(finding)
        else:
            yield finding
    yield from as_one(
        evidence,
        small,
        CROWD,
        lambda number, schema: f"{number} small indexes of schema {schema} are the beginning of another index",
        "Drop them, after a look at how much each is read: the longer index serves the same searches.",
        undo="Keep what pg_get_indexdef() says of each; it makes the index again.",
    )
    yield Examined(len(indexes), len(indexes), "indexes", unmet=unmet)


def _of_partitions(evidence: Evidence) -> Iterator[Finding]:
    """Indexes that partitions have of their own beside an equal one, which may come from the partitioned table: those over the
    same columns of one table once."""
    catalog = evidence.get(Catalog)
    own = local_indexes(catalog)
    partitions = {index.table for index in own}
    pairs = _duplicates_among(catalog, [index for oid in partitions for index in catalog.indexes_of(oid)])
    trees: dict[tuple[object, ...], list[tuple[Index, Index]]] = {}
    for redundant, kept in pairs:
        if redundant.parent is None:
            root = root_of(catalog, catalog.table_by_oid[redundant.table])
            names = tuple(
                catalog.column(redundant.table, number).name if number else "" for number in redundant.columns
            )
            trees.setdefault((root.oid, names, redundant.method, redundant.definition_hash), []).append(
                (redundant, kept)
            )
    for found in trees.values():
        (redundant, kept), *others = sorted(found, key=lambda pair: pair[0].subject.path)
        finding = _finding(evidence, redundant, kept, f"Index {redundant.subject.name} duplicates {kept.subject.name}")
        yield _with_partitions(evidence, finding, [redundant, *(index for index, _ in others)]) if others else finding


def _with_partitions(evidence: Evidence, finding: Finding, indexes: list[Index]) -> Finding:
    """The finding for the first of these indexes, which are equal on partitions of one table, for all of them."""
    catalog = evidence.get(Catalog)
    size = sum(size_bytes(catalog, index) for index in indexes)
    more = "one more partition" if len(indexes) == 2 else f"{len(indexes) - 1} more partitions"
    drops = [f"DROP INDEX CONCURRENTLY {qualified_name(index.schema, index.name)};" for index in indexes[:_DROPPED]]
    if len(indexes) > _DROPPED:
        drops.append(f"-- and so on {len(indexes) - _DROPPED} more partitions")
    return msgspec.structs.replace(
        finding,
        title=f"{finding.title}, as on {more}",
        severity=Severity.MEDIUM if size >= evidence.limit("unused_index_bytes") else Severity.LOW,
        observed={**finding.observed, "size_bytes": size, "partitions": len(indexes)},
        fix=msgspec.structs.replace(finding.fix, sql="\n".join(drops)),
        related=(*finding.related, *(index.subject for index in indexes[1:_SHOWN])),
    )


def _duplicates(catalog: Catalog) -> list[tuple[Index, Index]]:
    """Each redundant index with the equal one to keep."""
    return _duplicates_among(catalog, reviewed_indexes(catalog))


def _duplicates_among(catalog: Catalog, indexes: Iterable[Index]) -> list[tuple[Index, Index]]:
    groups: dict[tuple[object, ...], list[Index]] = {}
    for index in indexes:
        if is_usable(index):
            groups.setdefault((index.table, *_signature(index)), []).append(index)
    found = []
    for group in groups.values():
        best, *rest = sorted(group, key=lambda index: _importance(catalog, index))
        for index in rest:
            enforces = index.unique or index.exclusion
            same_rule = index.unique == best.unique and index.nulls_not_distinct == best.nulls_not_distinct
            if not enforces or (same_rule and not index.exclusion):
                found.append((index, best))
    return found


def _signature(index: Index) -> tuple[object, ...]:
    """What makes two indexes answer the same searches in the same order; uniqueness apart."""
    options = tuple(sorted(index.options.items())) if index.method in _TUNED_METHODS else ()
    return (
        index.method,
        _forwards(index.keys),
        tuple(sorted(index.included)),
        index.predicate,
        index.definition_hash,
        options,
    )


def _forwards(keys: tuple[IndexKey, ...]) -> tuple[IndexKey, ...]:
    """The keys as an index scanned in the direction in which the first key ascends, with one spelling of collations."""
    turned = keys[0].descending
    return tuple(
        msgspec.structs.replace(
            key,
            collation=collation(key.collation),
            descending=key.descending != turned,
            nulls_first=key.nulls_first != turned,
        )
        for key in keys
    )


def _importance(catalog: Catalog, index: Index) -> tuple[bool, bool, bool, bool, bool, bool, int]:
    """Sorts the index that most depends on first, a part of a partitioned index before others; of equals the older."""
    return (
        index.parent is None,
        not index.primary,
        not index.replica_identity,
        not _referencing(catalog, index),
        index.constraint is None,
        not (index.unique or index.exclusion),
        index.oid,
    )


def _referencing(catalog: Catalog, index: Index) -> list[str]:
    """Foreign keys that need this index, by name."""
    return [
        catalog.constraint_subject(entry).name
        for entry in catalog.references_to(index.table)
        if entry.index == index.oid
    ]


def is_needed(index: Index) -> bool:
    """Whether the index enforces a rule or identifies rows for replication."""
    return index.unique or index.exclusion or index.constraint is not None or index.replica_identity


def _begins_with(wider: Index, index: Index) -> bool:
    """Whether `wider` is another usable B-tree that starts with all of `index` and holds its included columns."""
    if wider.oid == index.oid or wider.method != "btree" or not is_usable(wider) or wider.predicate != index.predicate:
        return False
    masked = index.predicate is not None or 0 in index.columns
    if masked and wider.definition_hash != index.definition_hash:
        return False
    length = len(index.keys)
    if _forwards(wider.keys[:length]) != _forwards(index.keys):
        return False
    if not set(index.included) <= {*wider.columns, *wider.included}:
        return False
    return len(wider.keys) > length or set(wider.included) > set(index.included)


def _wider(evidence: Evidence, index: Index) -> list[Index]:
    """The indexes that start with all of this one and are there to stay: none that is found unused, for with both of them gone
    nothing would serve what this one does."""
    wider = [other for other in evidence.get(Catalog).indexes_of(index.table) if _begins_with(other, index)]
    if not wider or not _use_is_judged(evidence):
        return wider
    from checks.indexing.usage import is_read  # it judges by what is redundant

    return [other for other in wider if is_needed(other) or is_read(evidence, other) is not False]


def _use_is_judged(evidence: Evidence) -> bool:
    """Whether indexes are called unused at all: the counters reach back far enough, and every node was asked."""
    from checks.indexing.usage import nodes_asked, unseen_nodes  # they judge by what is redundant

    try:
        evidence.get(Usage)
        evidence.require_window("unused_window_days")
        return unseen_nodes(evidence, nodes_asked(evidence)) is None
    except Unknown:
        return False


def redundant_anyhow(evidence: Evidence) -> set[int]:
    """The indexes, by oid, that an equal or a longer one makes redundant."""
    catalog = evidence.get(Catalog)
    found = {redundant.oid for redundant, _ in _duplicates(catalog)}
    for index in reviewed_indexes(catalog):
        if index.method != "btree" or not is_usable(index) or is_needed(index):
            continue
        if _wider(evidence, index) or _key_it_begins_with(catalog, index):
            found.add(index.oid)
    return found


def _key_it_begins_with(catalog: Catalog, index: Index) -> Index | None:
    """A unique index over fewer columns, which are the first of this one: one row at most is left for the others to narrow. None
    where INCLUDE says that statements are to read further columns from the index alone."""
    if index.predicate is not None or index.included or 0 in index.columns:
        return None
    for other in catalog.indexes_of(index.table):
        enforces = other.unique and other.method == "btree" and is_usable(other) and other.predicate is None
        if enforces and len(other.keys) < len(index.keys) and index.keys[: len(other.keys)] == other.keys:
            return other
    return None


def _finding(evidence: Evidence, redundant: Index, kept: Index, title: str) -> Finding:
    catalog = evidence.get(Catalog)
    size = size_bytes(catalog, redundant)
    return Finding(
        redundant.subject,
        title,
        drop_index(catalog, redundant, f"Drop it: {kept.subject.name} serves the same searches."),
        severity=Severity.MEDIUM if size >= evidence.limit("unused_index_bytes") else Severity.LOW,
        observed={
            "duplicate_of": kept.subject.name,
            "table": catalog.table_by_oid[redundant.table].subject.name,
            "size_bytes": size,
            "unique": redundant.unique,
            "referenced_by": _referencing(catalog, redundant),
            "scans": scans(evidence, redundant),
        },
        related=(kept.subject, catalog.table_by_oid[redundant.table].subject),
    )


def _prefix_finding(evidence: Evidence, finding: Finding, index: Index, other: Index) -> Finding:
    """The finding with both sizes and uses; low and inferred where the shorter index may be kept on purpose."""
    catalog = evidence.get(Catalog)
    size, other_size = size_bytes(catalog, index), size_bytes(catalog, other)
    used, other_used = scans(evidence, index), scans(evidence, other)
    deliberate = used is not None and used > (other_used or 0) and size * _MUCH_SMALLER <= other_size
    observed = {**finding.observed, "other_size_bytes": other_size, "other_scans": other_used}
    fix = finding.fix
    if deliberate:
        summary = f"It is read more often than {other.subject.name} and much smaller: drop it only if that speed is not needed."
        fix = msgspec.structs.replace(fix, summary=summary)
    return msgspec.structs.replace(
        finding,
        observed=observed,
        fix=fix,
        severity=Severity.LOW if deliberate else finding.severity,
        confidence=Confidence.INFERRED if deliberate else Confidence.MEASURED,
    )


def scans(evidence: Evidence, index: Index) -> int | None:
    """Scans of an index and its partitions on the node that was asked; None if they could not be observed."""
    usage = evidence.find(Usage)
    if usage is None:
        return None
    parts = index_parts(evidence.get(Catalog), index)
    return sum(usage.index_by_oid[part.oid].scans for part in parts if part.oid in usage.index_by_oid)


def drop_index(catalog: Catalog, index: Index, summary: str) -> Fix:
    """How to remove an index, which may be a constraint's or a partitioned one."""
    name = qualified_name(index.schema, index.name)
    table = catalog.table_by_oid[index.table]
    definition = f"SELECT pg_get_indexdef({quote_literal(name)}::regclass)"
    if needed := _referencing(catalog, index):
        summary += f" Foreign keys depend on it and must be made anew first: {', '.join(needed)}."
    if index.replica_identity:
        summary += " It is the table's replica identity: choose another first."
    if index.constraint is not None:
        constraint = next((entry for entry in catalog.constraints_of(table.oid) if entry.oid == index.constraint), None)
        label = quote_identifier(constraint.name if constraint else index.name)
        return Fix(summary, f"ALTER TABLE {qualified_name(table.schema, table.name)} DROP CONSTRAINT {label};",
                   lock="ACCESS EXCLUSIVE",
                   undo=f"Keep what {definition} says; make the index again and add the constraint USING INDEX.")  # fmt: skip
    undo = f"Keep what {definition} says; it makes the index again."
    if table.kind == "partitioned":
        return Fix(summary, f"DROP INDEX {name};", lock="ACCESS EXCLUSIVE", undo=undo)
    return Fix(summary, f"DROP INDEX CONCURRENTLY {name};", lock="SHARE UPDATE EXCLUSIVE", undo=undo)
