"""Values out of line: tables that are mostly TOAST, how it is compressed, its bloat, and what updates of it cost."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Server, Settings, Statement, Statements, Table, Usage
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.families import once_per_family
from checks.figures import bytes_in_words
from checks.hybrid.vectors import VECTOR_TYPES
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Reason,
    Severity,
    Unknown,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import leaves, reviewed_tables
from checks.settings import setting_fix, setting_subject
from checks.workload import (
    observed_workload,
    place_in_words,
    rows_per_call,
    statement_figures,
    statement_places,
    statement_subject,
    unread_statements,
)

SHOWN = 5
WIDE_TYPES = frozenset({"json", "jsonb", "text", "bytea", "xml", "hstore"}) | VECTOR_TYPES
_DOCUMENTS = frozenset({"json", "jsonb", "xml", "hstore"})
LZ4_SINCE = 14


def _out_of_line(catalog: Catalog, table: Table) -> list[Column]:
    """Columns whose values may stand out of line."""
    return [column for column in catalog.columns_of(table.oid).values()
            if column.base_type in WIDE_TYPES and column.storage in {"extended", "external", "main"}]  # fmt: skip


def _toast_bytes(catalog: Catalog, table: Table) -> tuple[int, int]:
    """Bytes out of line and in the rows themselves, of all partitions together."""
    parts = leaves(catalog, table)
    return sum(part.toast_bytes or 0 for part in parts), sum(part.heap_bytes or 0 for part in parts)


@check("hybrid.toast-heavy-table", catalogue="H09", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def toast_heavy_table(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Most of a large table stands out of line.

    Values above 2 kB are cut into pieces in a table of their own. Each statement that returns such a column, and every SELECT *,
    fetches all pieces; backups, replication and restores carry them. The planner counts none of it.

    Fix: Name the columns that are needed; move documents that are rarely read to a table of their own, or to object storage.

    Example: messages with a jsonb of 40 kB a row: 300 MB of rows and 60 GB out of line, which SELECT * FROM messages WHERE
    chat_id = $1 fetches for a list that shows titles.

    Source: PostgreSQL manual, "TOAST"

    Observed: toast_bytes, heap_bytes, columns
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    for table in tables:
        toast, heap = _toast_bytes(catalog, table)
        columns = _out_of_line(catalog, table)
        # Vectors belong there, and are weighed by other checks.
        if toast < evidence.limit("toast_table_bytes") or toast < evidence.limit("toast_heavy_factor") * max(heap, 1):
            continue
        if columns and all(column.base_type in VECTOR_TYPES for column in columns):
            continue
        yield Finding(
            table.subject,
            f"{table.subject.name}: {bytes_in_words(toast)} stand out of line, beside {bytes_in_words(heap)} of rows",
            Fix(
                "See which of these columns statements return, and whether they need them: "
                + ", ".join(quote_identifier(column.name) for column in columns[:SHOWN])
                + ". What is rarely read goes into a table of its own."
            ),
            observed={"toast_bytes": toast, "heap_bytes": heap, "columns": [column.name for column in columns]},
            locations=evidence.locations(table.subject),
        )
    yield Examined(len(tables), len(tables), "tables")


@check("hybrid.toast-compression", catalogue="H10", severity=Severity.NOTE, needs=[Catalog, Settings, Server])
def toast_compression(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Large documents are compressed with pglz, the slower method.

    lz4 compresses and decompresses several times as fast, at about the same size, and is the default from PostgreSQL 19 on. It
    needs a server built with it, as nearly all packages and services are.

    Fix: default_toast_compression = lz4 for what is written from now on; ALTER COLUMN ... SET COMPRESSION for single columns.

    Example: documents of 20 kB with default_toast_compression = pglz: SET default_toast_compression = lz4 for what is written
    from now on.

    Source: PostgreSQL manual, "default_toast_compression"; release notes of 19

    Observed: value, toast_bytes, tables
    """
    catalog, settings, server = evidence.get(Catalog), evidence.get(Settings), evidence.get(Server)
    entry = settings.by_name.get("default_toast_compression")
    if server.major < LZ4_SINCE:
        raise NotApplicable("before PostgreSQL 14 there is one method only")
    if entry is None:
        raise Unknown(Reason.NOT_PERMITTED, "GRANT pg_read_all_settings")
    documents = [
        (table, toast)
        for table in reviewed_tables(catalog)
        if any(column.base_type in _DOCUMENTS | {"text"} for column in _out_of_line(catalog, table))
        and (toast := _toast_bytes(catalog, table)[0])
    ]
    total = sum(toast for _, toast in documents)
    yield Examined(len(documents), len(documents), "tables with values out of line")
    if entry.value != "pglz" or total < evidence.limit("toast_table_bytes"):
        return
    # An empty TOAST table has a page too.
    largest = [pair for pair in sorted(documents, key=lambda pair: -pair[1]) if pair[1] > total / 100][:SHOWN]
    yield Finding(
        setting_subject("default_toast_compression"),
        f"{bytes_in_words(total)} of documents and texts are compressed with pglz",
        setting_fix(server, "Write with lz4 from now on.", {"default_toast_compression": "lz4"}),
        confidence=Confidence.INFERRED,
        observed={
            "value": entry.value,
            "toast_bytes": total,
            "tables": [table.subject.name for table, _ in largest],
        },
        related=tuple(table.subject for table, _ in largest),
    )


@check("hybrid.toast-bloat", catalogue="H11", severity=Severity.MEDIUM, needs=[Catalog, Usage])
@once_per_family
def toast_bloat(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Much of what stands out of line is dead.

    A changed document is written whole, and its old pieces stay until vacuum comes. The TOAST table has its own dead rows
    and thresholds, which the statistics of the table itself do not show: it can be mostly dead while the table looks well.

    Fix: VACUUM now; lower toast.autovacuum_vacuum_scale_factor for this table; and write less of the document at a time.

    Example: documents of 30 kB that an agent changes with each step: the table has 40 MB and 3 % dead rows, its TOAST table 12
    GB, of which nine tenths are dead.

    Source: PostgreSQL manual, "TOAST"; "Storage Parameters" (toast.*)

    Observed: dead_share, dead_chunks, live_chunks, toast_bytes
    """
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    examined = 0
    for root in reviewed_tables(catalog):
        for table in leaves(catalog, root):
            entry = usage.table_by_oid.get(table.oid)
            if entry is None or not table.toast_bytes:
                continue
            examined += 1
            chunks = entry.toast_live_tuples + entry.toast_dead_tuples
            share = entry.toast_dead_tuples / chunks if chunks else 0
            # A tenth of what makes a table heavy is enough to be worth the vacuum.
            large = table.toast_bytes * 10 >= evidence.limit("toast_table_bytes")
            if share < evidence.limit("toast_dead_share") or not large:
                continue
            relation = qualified_name(table.schema, table.name)
            yield Finding(
                table.subject,
                f"{share:.0%} of what {table.subject.name} keeps out of line ({bytes_in_words(table.toast_bytes)}) is dead",
                Fix(
                    "Vacuum it, and have autovacuum come earlier.",
                    sql=f"ALTER TABLE {relation} SET (toast.autovacuum_vacuum_scale_factor = 0.05); VACUUM {relation};",
                    lock="SHARE UPDATE EXCLUSIVE",
                    undo=f"ALTER TABLE {relation} RESET (toast.autovacuum_vacuum_scale_factor);",
                ),
                observed={
                    "dead_share": round(share, 4),
                    "dead_chunks": entry.toast_dead_tuples,
                    "live_chunks": entry.toast_live_tuples,
                    "toast_bytes": table.toast_bytes,
                },
            )
    yield Examined(examined, examined, "tables with values out of line")


@check("hybrid.wide-hot-row", catalogue="H14", severity=Severity.MEDIUM, needs=[Catalog, Statements])
@once_per_family
def wide_hot_row(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An update of one key writes a whole document.

    PostgreSQL has no partial update of a value: jsonb_set() of one key of a 22 kB document writes 47 kB of WAL for each row, 150
    times what the change of a plain column costs; replicas, archives and vacuum pay it too. An unchanged document out of line is
    not written again.

    Fix: What changes often, counters, states and times, in plain columns; the document for what stays.

    Example: UPDATE runs SET state = jsonb_set(state, '{step}', '7') on documents of 22 kB: 47 kB of WAL for each step; UPDATE
    runs SET step = 7 on an integer column writes 0.3 kB.

    Source: PostgreSQL manual, "TOAST", "JSON Types" (8.14.2); measured: 46.9 kB against 0.3 kB a row

    Observed: wal_bytes_per_row, columns, rows_per_call, statement, calls, mean_ms
    """
    catalog, statements = evidence.get(Catalog), evidence.get(Statements)
    updates = [
        (pattern, entry)
        for pattern in observed_workload(evidence)
        if pattern.verb == "update" and (entry := statements.by_id.get(pattern.query_id or "")) and entry.rows
    ]
    if not updates and unread_statements(evidence) is None:
        raise NotApplicable("no UPDATE ran")
    for pattern, entry in updates:
        written = _documents_written(catalog, pattern)
        if not written or entry.wal_bytes is None:
            continue
        each = entry.wal_bytes / entry.rows
        if each < evidence.limit("document_update_bytes") or not _keeps_part(pattern, written):
            continue
        yield _rewriting(evidence, pattern, entry, written, each)
    yield Examined(len(updates), len(updates), "updates", gap=unread_statements(evidence))


def _documents_written(catalog: Catalog, pattern: AccessPattern) -> list[tuple[Table, Column]]:
    found = []
    for ref in pattern.written_columns:
        table = catalog.table_by_oid.get(ref.table or 0)
        column = catalog.column_named(table.oid, ref.column) if table else None
        if table and column and column.base_type in _DOCUMENTS:
            found.append((table, column))
    return found


def _keeps_part(pattern: AccessPattern, written: list[tuple[Table, Column]]) -> bool:
    """Whether the new document is made of the old one, so that most of it is written as it was."""
    text = pattern.text.lower()
    functions = ("jsonb_set", "jsonb_insert", "jsonb_set_lax", "||", "#-", "json_build", "jsonb_build")
    return any(word in text for word in functions) and any(text.count(column.name.lower()) > 1 for _, column in written)


def _rewriting(
    evidence: Evidence, pattern: AccessPattern, entry: Statement, written: list[tuple[Table, Column]], each: float
) -> Finding:
    table, column = written[0]
    places = statement_places(evidence, pattern)
    subject = evidence.get(Catalog).column_subject(column)
    heavy = each * entry.rows > 100 * evidence.limit("document_update_bytes") * 100
    return Finding(
        subject,
        f"An update of a part of {subject.name} writes {bytes_in_words(each)} of WAL for each row{place_in_words(places)}",
        Fix(
            f"Move the keys that change to columns of {table.subject.name} (a plain column costs about 0.3 kB a row), or to "
            "a table of their own with a row for each change."
        ),
        severity=Severity.MEDIUM if heavy else Severity.LOW,
        observed={
            "wal_bytes_per_row": round(each),
            "columns": [other.name for _, other in written],
            "rows_per_call": round(rows_per_call(entry), 2),
            **statement_figures(evidence, pattern),
        },
        related=(table.subject, statement_subject(pattern)),
        locations=places,
        discriminator=pattern.query_id or "",
    )
