"""Facts about tables, keys and indexes that decide criteria."""

from __future__ import annotations

import re

from checks.evidence.database.facts import Catalog, Column, Earlier, FreezeAges, Index, Server, Table, Usage
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.figures import bytes_in_words, days_in_words
from checks.indexing.validity import explained_by_parts, is_spare
from checks.model import NotApplicable, Reason, Subject, qualified_name
from checks.relations import leaves, reviewed_tables
from checks.schema.sequences import numbered_columns
from scorecards.facts.verdict import Verdict, absent, listed, met, undecided, unknown, unmet
from scorecards.rubric import Strength

GB = 10**9
LARGE_TABLE_BYTES = 10 * GB
HUGE_TABLE_BYTES = 100 * GB
REWRITTEN_TABLE_BYTES = GB
REWRITE_DAYS = 90
HALF = 0.5
BUSIEST_TABLES = 20
INDEXES_PER_TABLE = 15
BUDGETED_HEAP_BYTES = 100 * 10**6
INDEX_TO_HEAP = 2.0
UPDATED_TABLES = 5
UPDATES_WORTH_JUDGING = 1_000
HOT_SHARE = 0.8

_FLOATS = frozenset({"float4", "float8"})
_TEXTS = frozenset({"text", "varchar", "bpchar"})
_UUID_FUNCTIONS = frozenset({"gen_random_uuid", "uuid_generate_v1", "uuid_generate_v4", "uuidv4", "uuidv7"})
_MONEY = re.compile(r"(^|_)(price|amount|cost|balance|fee|subtotal|revenue|salary|tax|discount)(_|$)", re.IGNORECASE)
_MIGRATION_FOLDER = re.compile(r"(^|/)(migrations?|migrate|alembic|versions|changelog)s?/", re.IGNORECASE)


def sequences_have_room(evidence: Evidence) -> Verdict:
    """Every sequence, against its own last value."""
    catalog, red = evidence.get(Catalog), evidence.limit("key_used_red")
    sequences = [sequence for sequence in catalog.sequences if not sequence.cycle and sequence.extension is None]
    if not sequences:
        return absent("the database has no sequence")
    readable = [sequence for sequence in sequences if sequence.readable]
    used: dict[Subject, float] = {}
    for sequence in readable:
        end = sequence.maximum if sequence.increment > 0 else sequence.minimum
        last = sequence.last_value
        if last is not None and end and (last < 0) == (end < 0):
            used[sequence.subject] = last / end
    full = sorted((one for one, share in used.items() if share >= red), key=lambda one: (-used[one], one.name))
    if full:
        return unmet(f"{listed([one.name for one in full])}: {used[full[0]]:.0%} used", objects=full)
    if len(readable) < len(sequences):
        hidden = len(sequences) - len(readable)
        return unknown(Reason.NOT_PERMITTED, _grant(evidence), f"{hidden} of {len(sequences)} sequences are hidden")
    return met(f"{len(sequences)} sequences, the fullest {max(used.values(), default=0):.0%} used")


def small_keys_below_half(evidence: Evidence) -> Verdict:
    """Numbered columns of 32 bits or fewer, but those whose sequence begins again."""
    try:
        numbered = numbered_columns(evidence.get(Catalog))
        small = [entry for entry in numbered if entry.column.base_type != "int8" and not entry.cycles]
    except NotApplicable as fact:
        return absent(str(fact))
    if not small:
        return met("every numbered key is 64-bit")
    over = [entry for entry in small if (entry.used or 0) > HALF]
    if over:
        words = f"{len(over)} of {len(small)} keys of 32 bits or fewer are more than half used"
        return unmet(words, objects=(evidence.get(Catalog).column_subject(entry.column) for entry in over))
    hidden = sum(entry.used is None for entry in small)
    if hidden:
        return unknown(Reason.NOT_PERMITTED, _grant(evidence), f"{hidden} of {len(small)} sequences are hidden")
    return met(f"{len(small)} of {len(small)} keys of 32 bits or fewer are at most half used")


def freeze_ages_below_failsafe(evidence: Evidence) -> Verdict:
    """Transaction-id and multixact ages of databases and of the oldest tables."""
    ages, red = evidence.get(FreezeAges), evidence.limit("xid_age_red")
    entries = (*ages.databases, *ages.oldest_tables)
    if not entries:
        return unknown(Reason.NOT_PERMITTED, _grant(evidence))
    oldest = max(max(entry.xid_age, entry.multixact_age) for entry in entries)
    words = f"oldest age {oldest / 1e6:,.0f} million" if oldest >= 1e6 else f"oldest age {oldest:,}"
    if oldest < red:
        return met(words)
    tables, databases = (
        [entry.path for entry in group if max(entry.xid_age, entry.multixact_age) >= red]
        for group in (ages.oldest_tables, ages.databases)
    )
    here = (evidence.get(Server).database,)
    # A database is as old as its oldest table: where that is known, mending it is enough.
    others = [path for path in databases if not tables or path != here]
    objects = [*(Subject("table", path) for path in tables), *(Subject("database", path) for path in others)]
    return unmet(words, objects=objects)


def migrations_in_repository(evidence: Evidence) -> Verdict:
    """Migration files that declare objects, or a migration tool that the repository uses."""
    repository = evidence.get(Repository)
    tools = sorted({fact.detail for fact in repository.deployment if fact.kind == "migrations"})
    files = {entry.location.path for entry in repository.declared if _MIGRATION_FOLDER.search(entry.location.path)}
    if tools:
        return met(f"migrations: {listed(tools)}", Strength.INFERRED)
    if files:
        return met(f"{len(files)} migration files", Strength.INFERRED)
    return undecided("no migration seen in the repository")


def exact_types(evidence: Evidence) -> Verdict:
    """Amounts of money in floating point, judged by their names, and uuids in text, by their defaults."""
    catalog = evidence.get(Catalog)
    columns = [
        (table, column) for table in reviewed_tables(catalog) for column in catalog.columns_of(table.oid).values()
    ]
    floats = [_name(table, column) for table, column in columns if _is_money_in_float(column)]
    uuids = [
        _name(table, column)
        for table, column in columns
        if column.base_type in _TEXTS and column.default_function in _UUID_FUNCTIONS
    ]
    if floats:
        return unmet(f"floating point for {listed(floats)}", Strength.INFERRED)
    if uuids:
        return unmet(f"uuids as text in {listed(uuids)}")
    return met("no money in floating point, no uuid in text")


def _is_money_in_float(column: Column) -> bool:
    return column.base_type in _FLOATS and _MONEY.search(column.name) is not None


def no_huge_unpartitioned_table(evidence: Evidence) -> Verdict:
    """Sizes with TOAST and indexes."""
    catalog = evidence.get(Catalog)
    plain = [table for table in reviewed_tables(catalog) if table.kind == "table"]
    if any(table.total_bytes is None for table in plain):
        return unknown(Reason.NOT_PERMITTED, _grant(evidence))
    huge = [table.subject.name for table in plain if (table.total_bytes or 0) > HUGE_TABLE_BYTES]
    if huge:
        return unmet(f"{len(huge)} of {len(plain)} tables are larger than 100 GB: {listed(sorted(huge))}")
    largest = max(((table.total_bytes or 0) for table in plain), default=0)
    return met(f"the largest of {len(plain)} tables has {bytes_in_words(largest)}")


def no_large_table_rewritten(evidence: Evidence) -> Verdict:
    """By the files of tables: a rewrite puts another in a table's place. The first bears the table's oid; a later one is
    compared with that of the last review. Of a table that was filled anew, TRUNCATE may have done it."""
    catalog, server = evidence.get(Catalog), evidence.get(Server)
    plain = [table for table in catalog.tables if table.kind == "table" and table.extension is None]
    if any(table.heap_bytes is None for table in plain):
        return unknown(Reason.NOT_PERMITTED, _grant(evidence))
    large = [table for table in plain if (table.heap_bytes or 0) + (table.toast_bytes or 0) > REWRITTEN_TABLE_BYTES]
    if not large:
        return absent("no table is larger than 1 GB")
    if any(table.filenode is None for table in large):
        return undecided("evidence of an older version, without the files of tables")
    later = [table for table in large if table.filenode != table.oid]
    if not later:
        return met(f"{len(large)} of {len(large)} tables larger than 1 GB still have their first file")
    earlier, usage = evidence.find(Earlier), evidence.find(Usage)
    files = earlier.filenodes if earlier else {}
    days = (server.observed_at - earlier.observed_at).days if earlier else 0
    replaced = [
        table for table in later if table.filenode and files.get(str(table.oid), table.filenode) != table.filenode
    ]
    filled = {entry.table for entry in usage.tables if entry.inserted >= entry.live_tuples / 2} if usage else set()
    rewritten = sorted(table.subject.name for table in replaced if usage and table.oid not in filled)
    if rewritten and days <= REWRITE_DAYS:
        return unmet(f"rewritten since the review {days_in_words(days)} ago: {listed(rewritten)}")
    if not replaced and days >= REWRITE_DAYS and all(str(table.oid) in files for table in later):
        return met(f"{len(large)} tables larger than 1 GB have the file of {days_in_words(days)} ago, or their first")
    names = listed(sorted(table.subject.name for table in later))
    return undecided(f"rewritten or truncated at some time since they were created: {names}")


def hot_updates(evidence: Evidence) -> Verdict:
    """HOT share of the five most updated tables, over the window of the statistics."""
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    if evidence.get(Server).is_standby:
        return unknown(Reason.DATABASE_NOT_GIVEN, "give the DSN of the primary: only it counts updates")
    evidence.require_window("window_days")
    known = [entry for entry in usage.tables if entry.table in catalog.table_by_oid]
    updated = sorted(known, key=lambda entry: (-entry.updated, entry.table))[:UPDATED_TABLES]
    updated = [entry for entry in updated if entry.updated >= UPDATES_WORTH_JUDGING]
    if not updated:
        return absent("no table is updated much")
    cold = [
        f"{catalog.table_by_oid[entry.table].subject.name} ({entry.hot_updated / entry.updated:.0%})"
        for entry in updated
        if entry.hot_updated < HOT_SHARE * entry.updated
    ]
    if cold:
        return unmet(f"HOT below 80 %: {listed(cold)}")
    return met(f"HOT at 80 % or more on {len(updated)} most updated tables")


def unique_indexes_valid(evidence: Evidence) -> Verdict:
    """Unique and primary-key indexes that no build is working on. What REINDEX CONCURRENTLY left beside an index that is valid
    leaves no rule unenforced."""
    catalog = evidence.get(Catalog)
    unique = [index for index in catalog.indexes if index.unique and index.extension is None]
    broken = sorted(
        (index for index in unique if not index.valid and not index.being_built and not is_spare(catalog, index)),
        key=lambda index: index.subject.name,
    )
    if broken:
        words = f"{listed([index.subject.name for index in broken])} {'is' if len(broken) == 1 else 'are'} invalid"
        return unmet(words, objects=(index.subject for index in broken if not explained_by_parts(catalog, index)))
    return met(f"{len(unique)} of {len(unique)} unique indexes")


def index_budget(evidence: Evidence) -> Verdict:
    """Of the tables that are read and written most."""
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    activity = {}
    for table in reviewed_tables(catalog):
        parts = [usage.table_by_oid[part.oid] for part in leaves(catalog, table) if part.oid in usage.table_by_oid]
        activity[table.oid] = sum(
            part.sequential_scans + part.index_scans + part.inserted + part.updated + part.deleted for part in parts
        )
    busiest = sorted((oid for oid, count in activity.items() if count), key=lambda oid: (-activity[oid], oid))
    busiest = busiest[:BUSIEST_TABLES]
    if not busiest:
        return absent("no table has been used")
    over = [problem for oid in busiest if (problem := _over_budget(catalog, catalog.table_by_oid[oid]))]
    if over:
        return unmet(listed(over))
    return met(f"{len(busiest)} of {len(busiest)} busiest tables are within the budget")


def _over_budget(catalog: Catalog, table: Table) -> str:
    name, count = table.subject.name, len(catalog.indexes_of(table.oid))
    if count > INDEXES_PER_TABLE:
        return f"{name} has {count} indexes"
    heap = (table.heap_bytes or 0) + (table.toast_bytes or 0)
    if table.index_bytes is not None and heap >= BUDGETED_HEAP_BYTES and table.index_bytes > INDEX_TO_HEAP * heap:
        return f"the indexes of {name} are {table.index_bytes / heap:.1f} times its heap"
    return ""


def _name(table: Table, column: Column) -> str:
    return qualified_name(table.schema, table.name, column.name)


def _grant(evidence: Evidence) -> str:
    server = evidence.find(Server)
    role = qualified_name(server.user) if server else "the reviewing role"
    return f"GRANT pg_monitor, pg_read_all_data TO {role};"


# Preconditions: the fact by which a criterion does not apply, or "".


def json_columns(evidence: Evidence) -> str:
    return "" if _columns(evidence, {"json", "jsonb"}) else "no table has a json or jsonb column"


def documents(evidence: Evidence) -> str:
    """The repository may hold documents elsewhere, so both must have been seen to say that there are none."""
    catalog = evidence.get(Catalog)
    if _columns(evidence, {"json", "jsonb", "hstore"}) or any(column.type.endswith("[]") for column in catalog.columns):
        return ""
    if any(fact.kind == "document_store" for fact in evidence.get(Repository).deployment):
        return ""
    return "no document column, no array column and no document store"


def gin_indexes(evidence: Evidence) -> str:
    indexes: tuple[Index, ...] = evidence.get(Catalog).indexes
    return "" if any(index.method == "gin" for index in indexes) else "no GIN index"


def large_tables(evidence: Evidence) -> str:
    catalog = evidence.get(Catalog)
    kept = [table for table in catalog.tables if table.kind in ("table", "partitioned", "materialized_view")]
    large = any(_is_large(leaves(catalog, table)) for table in kept)
    return "" if large else "no table is larger than 10 GB"


def _is_large(parts: list[Table]) -> bool:
    """Whether the parts of a table are together, or may be where a size is not known."""
    sizes = [part.total_bytes for part in parts]
    return any(size is None for size in sizes) or sum(size or 0 for size in sizes) > LARGE_TABLE_BYTES


def _columns(evidence: Evidence, types: set[str]) -> bool:
    catalog = evidence.get(Catalog)
    return any(
        column.base_type in types and (table := catalog.table_by_oid.get(column.table)) and table.extension is None
        for column in catalog.columns
    )
