"""Does the form of each index make sense for its columns?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Index, PlannerStatistics
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.indexing.duplicates import drop_index, is_needed, scans
from checks.model import Examined, Finding, Fix, NotApplicable, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import column_list, estimated_rows, is_usable, new_name, reviewed_indexes, size_bytes


@check("indexing.btree-on-array", catalogue="I11", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def btree_on_array(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A B-tree index has a whole array as its first key.

    It finds rows by the whole array, in the same order of elements, and by nothing else: `tags @> '{a}'` and `'a' = ANY (tags)`
    read the table all the same. Arrays of some thousand bytes do not even fit into it, and their INSERT fails.

    Fix: GIN, and `@>` or `&&` in the statements; `= ANY (column)` cannot use it.

    Example: CREATE INDEX ON posts (tags), where statements ask WHERE tags @> ARRAY['sale'].

    Source: PostgreSQL manual, "GIN Indexes"; "B-Tree Indexes"

    Observed: table, column, size_bytes, scans.
    """
    catalog = evidence.get(Catalog)
    indexes = [index for index in reviewed_indexes(catalog) if index.method == "btree" and is_usable(index)]
    for index in indexes:
        column = catalog.columns_of(index.table).get(index.columns[0])
        if column is None or column.type_category != "A" or is_needed(index):
            continue
        table = catalog.table_by_oid[index.table]
        name = new_name(catalog, table.schema, table.name, column.name, "gin", "idx")
        how = "" if table.kind == "partitioned" else " CONCURRENTLY"
        yield Finding(
            index.subject,
            f"B-tree index {index.subject.name} holds whole arrays of {quote_identifier(column.name)}",
            Fix(
                f"Make a GIN index in its place, then drop {index.subject.name}, unless statements compare whole arrays.",
                f"CREATE INDEX{how} {quote_identifier(name)} ON {qualified_name(table.schema, table.name)} "
                f"USING gin ({quote_identifier(column.name)});",
                lock="SHARE UPDATE EXCLUSIVE" if how else "SHARE",
                undo=f"DROP INDEX{how} {qualified_name(table.schema, name)};",
            ),
            severity=Severity.LOW if estimated_rows(evidence, table) == 0 else Severity.MEDIUM,
            observed={
                "table": table.subject.name,
                "column": column.name,
                "size_bytes": size_bytes(catalog, index),
                "scans": scans(evidence, index),
            },
            related=(table.subject, catalog.column_subject(column)),
        )
    yield Examined(len(indexes), len(indexes), "B-tree indexes")


@check("indexing.useless-index-predicate", catalogue="I15", severity=Severity.NOTE, needs=[Catalog])
@once_per_family
def useless_index_predicate(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A partial index leaves out rows that there cannot be.

    Its predicate says only that columns are not null which are declared NOT NULL. It leaves out nothing; but a statement has to
    compare that column, or the planner does not consider the index.

    Fix: Build it without the predicate.

    Example: CREATE INDEX ON orders (customer_id) WHERE customer_id IS NOT NULL, where customer_id is NOT NULL.

    Source: PostgreSQL manual, "Partial Indexes"

    Observed: table, predicate, size_bytes.
    """
    catalog = evidence.get(Catalog)
    indexes = [index for index in reviewed_indexes(catalog) if index.predicate is not None]
    if not indexes:
        raise NotApplicable("no index is partial")
    for index in indexes:
        columns = [catalog.column(index.table, number) for number in index.predicate_not_null]
        if not columns or not all(column.not_null for column in columns):
            continue
        table = catalog.table_by_oid[index.table]
        names = column_list(column.name for column in columns)
        yield Finding(
            index.subject,
            f"Index {index.subject.name} is partial for nothing: {names} cannot be null",
            Fix("Build the same index without its WHERE, then drop this one."),
            observed={
                "table": table.subject.name,
                "predicate": index.predicate,
                "size_bytes": size_bytes(catalog, index),
            },
            related=(table.subject,),
        )
    yield Examined(len(indexes), len(indexes), "partial indexes")


@check("indexing.wide-index", catalogue="I26", severity=Severity.NOTE, needs=[Catalog])
@once_per_family
def wide_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An index has many key columns, or long texts as keys.

    Keys are kept in full in every entry: a wide index is large, shallow in nothing, and any change to one of its columns writes
    it. After the columns that narrow a search to a few rows, further keys rarely help; a column that is only returned belongs
    into INCLUDE, and a long text that is only compared for equality is as well found by its hash.

    Fix: Keep the columns that narrow; INCLUDE what is only returned; a hash index, or one on md5(), for long texts.

    Example: an index on (tenant_id, url, title), with titles of 300 bytes: four keys to a kilobyte.

    Source: PostgreSQL manual, "Multicolumn Indexes"; "Index-Only Scans and Covering Indexes"

    Observed: table, columns, key_bytes, size_bytes, scans.
    """
    catalog, statistics = evidence.get(Catalog), evidence.find(PlannerStatistics)
    indexes = [
        index
        for index in reviewed_indexes(catalog)
        if index.method == "btree" and is_usable(index) and not is_needed(index)
    ]
    for index in indexes:
        size = size_bytes(catalog, index)
        width = _key_bytes(index, statistics)
        many = len(index.keys) > evidence.limit("index_columns")
        if size < evidence.limit("unused_index_bytes") or not (many or width > evidence.limit("index_key_bytes")):
            continue
        table = catalog.table_by_oid[index.table]
        what = f"{len(index.keys)} key columns" if many else f"keys of {width:.0f} bytes on average"
        yield Finding(
            index.subject,
            f"Index {index.subject.name} is wide: {what}",
            Fix("See which of its columns narrow a search; leave out the others, or move them into INCLUDE."),
            observed={
                "table": table.subject.name,
                "columns": len(index.keys),
                "key_bytes": round(width),
                "size_bytes": size,
                "scans": scans(evidence, index),
            },
            related=(table.subject,),
        )
    yield Examined(len(indexes), len(indexes), "B-tree indexes that enforce nothing")


def _key_bytes(index: Index, statistics: PlannerStatistics | None) -> float:
    """Average width of its plain key columns together, 0 where nothing is known."""
    entries = (statistics.by_column.get((index.table, number)) for number in index.columns) if statistics else ()
    return float(sum(entry.average_width for entry in entries if entry))


@check("indexing.redundant-unique-index", catalogue="I05", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def redundant_unique_index(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A unique index enforces what a narrower one enforces already.

    Where `id` is unique, `(id, anything)` is unique too. The wider index costs writes, memory and space; it finds no row that
    the narrower does not find as well. One that foreign keys refer to is needed and is no finding, and neither is one that
    begins with another column, which serves other searches.

    Fix: Drop the wider one.

    Example: UNIQUE (id, project_id) on a table whose primary key is (id), and that no foreign key refers to.

    Source: PostgreSQL manual, "Unique Indexes"

    Observed: implied_by, table, size_bytes, scans.
    """
    catalog = evidence.get(Catalog)
    unique = [
        index
        for index in reviewed_indexes(catalog)
        if index.unique and index.method == "btree" and is_usable(index) and all(index.columns)
    ]
    if not unique:
        raise NotApplicable("no table has a unique index")
    referenced = {entry.index for entry in catalog.constraints if entry.kind == "foreign_key"}
    for index in unique:
        if index.primary or index.replica_identity or index.oid in referenced:
            continue
        narrower = [
            other
            for other in unique
            if other.table == index.table
            and other.predicate is None
            and len(other.columns) < len(index.columns)
            and index.keys[: len(other.keys)] == other.keys
            and not set(index.included) - {*other.included, *other.columns}
        ]
        if not narrower:
            continue
        other, table = min(narrower, key=lambda entry: len(entry.columns)), catalog.table_by_oid[index.table]
        yield Finding(
            index.subject,
            f"Unique index {index.subject.name} enforces nothing that {other.subject.name} does not",
            drop_index(catalog, index, "Drop it, unless index-only scans of its further columns are worth it."),
            observed={
                "implied_by": other.subject.name,
                "table": table.subject.name,
                "size_bytes": size_bytes(catalog, index),
                "scans": scans(evidence, index),
            },
            related=(other.subject, table.subject),
        )
    yield Examined(len(unique), len(unique), "unique indexes")
