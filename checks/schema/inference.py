"""References that no foreign key declares, inferred from names and from the joins of the workload: precision before recall."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

import msgspec

from checks.evidence.database.facts import Catalog, Column, Table
from checks.evidence.patterns import AccessPattern, ColumnRef
from checks.model import Location
from checks.relations import is_reviewed, keys_of, leaves, reviewed_tables

_KEY_NAMES = frozenset({"id", "uuid", "guid"})
_ROLES = frozenset(
    """
    accepted actor added affected approved approver assigned assignee author base billing child closed creator current
    default deleted destination editor first for from home initial invited inviter last latest linked main manager merged
    moderator modified new next old origin original other owner owning parent payer previous primary receiver recipient
    reference referenced referrer related reply reporter requester resolved reviewer root secondary sender shipping source
    submitted submitter target team to updated updater uploaded uploader
    """.split()
)
_FOREIGN_IDS = frozenset({"correlation_id", "external_id", "idempotency_id", "request_id", "span_id", "trace_id"})
_FOREIGN_SYSTEMS = frozenset(
    """
    anthropic auth0 aws azure clerk cohere discord external ext firebase foreign gcp gemini github gitlab google hubspot
    jira langfuse legacy linear microsoft notion okta openai paypal provider remote salesforce sentry shopify slack stripe
    telegram third twilio vendor whatsapp zendesk
    """.split()
)
_OUTLIVES_ALWAYS = re.compile(
    r"(^|_)(analytics|archives?|archived|audits?|auditing|backups?|bak|dumps?|history|histories|imports?|logs?|logging|raw|"
    r"staging|stg|telemetry|temp|tmp)(_|$)"
)
_OUTLIVES_OFTEN = re.compile(r"(^|_)(events?|metrics?|snapshots?|spans?|stats|statistics|traces?)(_|$)")
_GENERATORS = frozenset({"gen_random_uuid", "uuid_generate_v4", "uuid_generate_v1", "uuidv4", "uuidv7"})
_TEXT = frozenset({"text", "varchar"})
_DISCRIMINATORS = ("type", "kind", "class", "model", "table", "entity")


class Reference(msgspec.Struct, frozen=True):
    """`column` holds keys of `target`, by its column `key`. `patterns` are the statements that join them, if any; `relation` is
    where a model of the code says so."""

    column: Column
    target: Table
    key: Column
    by_name: bool
    patterns: tuple[AccessPattern, ...] = ()
    relation: Location | None = None


Relations = Mapping[tuple[int, int], tuple[Column, Location]]


def undeclared_references(
    catalog: Catalog, patterns: Iterable[AccessPattern], relations: Relations = MappingProxyType({})
) -> list[Reference]:
    """Columns that refer to another table's key without a foreign key, in the order of tables and columns.

    Left out: views, partitions, tables of extensions and tools; logs, archives and other tables whose rows outlive what
    they mention; polymorphic pairs; identifiers of other systems; and whatever has two possible targets. `relations` are
    those that models of the code declare: by table and column number the key that is meant, and the place.
    """
    keys = _single_keys(catalog)
    joins = _joined_keys(catalog, patterns, keys)
    stems = _tables_by_stem(catalog, keys)
    declared = {(entry.table, number) for entry in catalog.constraints if entry.kind == "foreign_key"
                for number in entry.columns}  # fmt: skip
    declared |= _declared_on_every_partition(catalog, declared)
    found = []
    for table in reviewed_tables(catalog):
        outlives = bool(_OUTLIVES_ALWAYS.search(_snake(table.name)))
        for column in catalog.columns_of(table.oid).values():
            if (table.oid, column.number) in declared or _polymorphic(catalog, column):
                continue
            if (related := relations.get((table.oid, column.number))) is not None:
                key, place = related
                seen = joins.get((table.oid, column.number), {}).get((key.table, key.number), [])
                target = catalog.table_by_oid[key.table]
                found.append(Reference(column, target, key, False, tuple(seen), place))
                continue
            if outlives or _makes_its_values(column):
                continue
            reference = _by_name(table, column, keys, stems)
            joined = joins.get((table.oid, column.number), {})
            if reference:
                seen = joined.get((reference.target.oid, reference.key.number), [])
                reference = msgspec.structs.replace(reference, patterns=tuple(seen))
            # A parent is of any kind: rows of the same table only where statements say so.
            vague = _OUTLIVES_OFTEN.search(_snake(table.name)) or _says_parent_only(column)
            if not reference or (vague and not reference.patterns):
                reference = _by_join(catalog, column, joined)
            if reference and not (reference.target.persistence == "unlogged" and table.persistence == "permanent"):
                found.append(reference)
    return [
        entry for entry in found if entry.relation or not _probably_foreign(catalog, entry, len(declared), len(found))
    ]


def _declared_on_every_partition(catalog: Catalog, declared: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Columns of partitioned tables that have a foreign key on each partition instead of one at the root."""
    found = set()
    for table in catalog.tables:
        parts = leaves(catalog, table) if table.kind == "partitioned" else []
        for column in catalog.columns_of(table.oid).values() if parts else ():
            below = [catalog.column_named(part.oid, column.name) for part in parts]
            if all(same and (same.table, same.number) in declared for same in below):
                found.add((table.oid, column.number))
    return found


def _probably_foreign(catalog: Catalog, reference: Reference, declared: int, found: int) -> bool:
    """Whether a text column known by name alone rather holds another system's identifier: the application declares most of
    its references, and none to that table."""
    text = reference.key.base_type in _TEXT and reference.key.type_modifier < 0
    return text and not reference.patterns and declared > found and not catalog.references_to(reference.target.oid)


def _makes_its_values(column: Column) -> bool:
    """Whether the column's values arise in it, as a key's do, and not in the table it would refer to."""
    made = column.default == "sequence" or column.identity or column.generated
    return bool(made) or column.default_function in _GENERATORS


def _polymorphic(catalog: Catalog, column: Column) -> bool:
    """Whether a neighbour says which table the identifier is of (`subject_id` beside `subject_type`)."""
    stem, _, ending = _snake(column.name).rpartition("_")
    if ending not in _KEY_NAMES or not stem:
        return False
    neighbours = {_snake(other.name) for other in catalog.columns_of(column.table).values()}
    return any(f"{stem}_{word}" in neighbours for word in _DISCRIMINATORS)


def _says_parent_only(column: Column) -> bool:
    """Whether the name says that there is a parent and not of what."""
    return _snake(column.name).rpartition("_")[0] == "parent"


def _same_type(column: Column, key: Column) -> bool:
    same_base = column.base_type == key.base_type or {column.base_type, key.base_type} <= _TEXT
    return same_base and column.type_modifier == key.type_modifier


def _single_keys(catalog: Catalog) -> dict[int, list[Column]]:
    """Columns of each reviewed table that alone are a key, its primary key first."""
    return {
        table.oid: [
            catalog.column(table.oid, index.columns[0]) for index in keys_of(catalog, table.oid) if len(index.keys) == 1
        ]
        for table in catalog.tables
        if is_reviewed(table)
    }


def _tables_by_stem(catalog: Catalog, keys: dict[int, list[Column]]) -> dict[str, list[Table]]:
    """Reviewed tables with a key, by each singular that a column may call them."""
    found: dict[str, list[Table]] = {}
    for oid, columns in keys.items():
        if columns:
            table = catalog.table_by_oid[oid]
            for stem in {_snake(table.name), *singulars(_snake(table.name))}:
                found.setdefault(stem, []).append(table)
    return found


def singulars(name: str) -> set[str]:
    """What a plural table name may be called in the singular; the name itself where it does not end in s."""
    if name.endswith("ies"):
        return {name[:-3] + "y", name[:-1]}
    if re.search(r"(ss|x|z|ch|sh)es$", name):
        return {name[:-2]}
    if name.endswith("ses"):
        return {name[:-1], name[:-2]}
    if name.endswith("people"):
        return {name[:-6] + "person"}
    if name.endswith("children"):
        return {name[:-3]}
    if name.endswith("s") and not name.endswith(("ss", "us", "is")):
        return {name[:-1]}
    return {name}


@lru_cache(maxsize=100_000)
def _snake(name: str) -> str:
    """`customerId` and `CustomerID` as `customer_id`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _by_name(
    table: Table, column: Column, keys: dict[int, list[Column]], stems: dict[str, list[Table]]
) -> Reference | None:
    name = _snake(column.name)
    stem, _, ending = name.rpartition("_")
    if not stem or ending not in _KEY_NAMES or name in _FOREIGN_IDS or stem.split("_")[0] in _FOREIGN_SYSTEMS:
        return None
    called = _without_role(stem, stems)
    candidates = [table] if stem == "parent" and not called and keys[table.oid] else stems.get(called, [])
    candidates = [target for target in candidates if target.schema == table.schema] or candidates
    if len(candidates) != 1:
        return None
    target = candidates[0]
    if target.oid == table.oid and called == stem:
        return None
    wanted = {ending, name, f"{called}_{ending}"}
    if target.oid == table.oid and stem == "parent":
        wanted.add(_snake(keys[target.oid][0].name))
    key = next((key for key in keys[target.oid] if _snake(key.name) in wanted), None)
    if key is None or not _same_type(column, key) or (key.table, key.number) == (column.table, column.number):
        return None
    return Reference(column, target, key, by_name=True)


def _without_role(stem: str, stems: dict[str, list[Table]]) -> str:
    """The part of `stem` that names a table: all of it, or what follows words for a role (`reply_to_message`)."""
    words = stem.split("_")
    while words and "_".join(words) not in stems and words[0] in _ROLES:
        words = words[1:]
    return "_".join(words)


def _by_join(catalog: Catalog, column: Column, joined: dict[tuple[int, int], list[AccessPattern]]) -> Reference | None:
    if len(joined) != 1:
        return None
    (table, number), patterns = next(iter(joined.items()))
    key = catalog.column(table, number)
    # Statements that backfill a table join it with itself by whatever identifies a row.
    if table == column.table or not _same_type(column, key):
        return None
    # Two tables may be joined by a value that both of them have: a path, an address, a key of some storage.
    shared = key.base_type in _TEXT and _snake(column.name) == _snake(key.name)
    if shared and _snake(key.name).rpartition("_")[2] not in _KEY_NAMES:
        return None
    return Reference(column, catalog.table_by_oid[table], key, by_name=False, patterns=tuple(patterns))


def _joined_keys(
    catalog: Catalog, patterns: Iterable[AccessPattern], keys: dict[int, list[Column]]
) -> dict[tuple[int, int], dict[tuple[int, int], list[AccessPattern]]]:
    """For each column (table, number) the primary keys it is joined with, and the statements that do so."""
    primary = {(table, entry.columns[0]) for table in keys for entry in catalog.constraints_of(table)
               if entry.kind == "primary_key" and len(entry.columns) == 1}  # fmt: skip
    alone = {(column.table, column.number) for columns in keys.values() for column in columns}
    found: dict[tuple[int, int], dict[tuple[int, int], list[AccessPattern]]] = {}
    for pattern in patterns:
        for comparison in pattern.comparisons:
            plain = comparison.operator == "=" and not comparison.function and not comparison.json_operator
            if comparison.other is None or not plain or comparison.under_or:
                continue
            left, right = _resolve(catalog, comparison.column), _resolve(catalog, comparison.other)
            for one, other in ((left, right), (right, left)):
                if one and other and other in primary and one not in alone and one[0] in keys:
                    seen = found.setdefault(one, {}).setdefault(other, [])
                    if pattern not in seen:
                        seen.append(pattern)
    return found


def _resolve(catalog: Catalog, reference: ColumnRef) -> tuple[int, int] | None:
    """The column by its table, of a partition its root, and number."""
    table = catalog.table_by_oid.get(reference.table or 0)
    if table is None:
        return None
    root = table.root or table.oid
    column = catalog.column_named(root, reference.column)
    return (root, column.number) if column else None
