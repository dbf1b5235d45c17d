"""Framework tables with the defects that they are shipped with, and histories of agents that nobody prunes."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Server, Table, Usage
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.families import once_per_family
from checks.figures import bytes_in_words, days_in_words
from checks.hybrid.dimensions import vector_without_dimension
from checks.hybrid.framework_tables import Recognised, framework_tables
from checks.hybrid.json_columns import json_not_jsonb
from checks.hybrid.jsonb_filters import jsonb_filter_without_index
from checks.hybrid.searches import ann_indexes
from checks.hybrid.vector_indexes import vector_without_index
from checks.indexing.foreign_keys import foreign_key_without_index
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    Location,
    NotApplicable,
    Reason,
    Severity,
    Subject,
    Unknown,
    quote_identifier,
)
from checks.registry import CheckFunction, check
from checks.relations import estimated_rows, is_usable, leaves


@check("hybrid.framework-table", catalogue="N08", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def framework_table(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table is as its framework ships it, with what that leaves out.

    Frameworks make their tables so that the first example runs: without a dimension, without an index, with json for metadata,
    without an index on what every search filters by. Nothing tells when the data has outgrown that. What another finding tells
    of the same table is left out here, and says there how the framework is told.

    Fix: The framework's own options where it has them, else a migration of your own on its table.

    Example: lightrag_vdb_chunks with content_vector vector(1536) and no index but the primary key: LightRAG makes one if it is
    started with POSTGRES_VECTOR_INDEX_TYPE=HNSW.

    Source: catalogue N08; issues langchain 23853, langchain-postgres 34 and 230, llama_index 12131, haystack 2199, LightRAG 2663

    Observed: framework, lacks, rows, version
    """
    catalog = evidence.get(Catalog)
    known = framework_tables(catalog)
    if not known:
        raise NotApplicable("no table is one that a known framework makes")
    told = _told(evidence)
    for entry in known:
        lacks = _lacks(catalog, entry, told)
        if not lacks:
            continue
        rows = estimated_rows(evidence, entry.table)
        places, version = _used(evidence, entry)
        yield Finding(
            entry.table.subject,
            f"{entry.table.subject.name} is as {entry.shape.framework} ships it: {', '.join(lacks)}",
            Fix(entry.shape.remedy or "A migration of your own on its table."),
            severity=Severity.MEDIUM if (rows or 0) > evidence.limit("vector_rows") else Severity.LOW,
            observed={
                "framework": entry.shape.framework,
                "lacks": lacks,
                "rows": None if rows is None else round(rows),
                "version": version,
            },
            locations=(*places, *evidence.locations(entry.table.subject)),
        )
    yield Examined(len(known), len(known), "tables of frameworks")


def _told(evidence: Evidence) -> set[Subject]:
    """Columns and constraints that other checks have found what a framework's table may lack."""
    others: tuple[CheckFunction, ...] = (
        vector_without_dimension, vector_without_index, json_not_jsonb, jsonb_filter_without_index, foreign_key_without_index,
    )  # fmt: skip
    found: set[Subject] = set()
    for function in others:
        try:
            findings = [item for item in function(evidence) if isinstance(item, Finding)]
        except (NotApplicable, Unknown):
            continue
        # What stands for several columns names them.
        found |= {subject for item in findings for subject in (item.subject, *item.related)}
    return found


def _lacks(catalog: Catalog, entry: Recognised, told: set[Subject]) -> list[str]:
    table, shape = entry.table, entry.shape
    columns = catalog.column_names[table.oid]
    lacks = []

    def is_told(name: str) -> bool:
        return catalog.column_subject(columns[name]) in told

    # Without a dimension there can be no index.
    if shape.vector and not ann_indexes(catalog, columns[shape.vector]) and not is_told(shape.vector):
        lacks.append("no vector index")
    if shape.document and columns[shape.document].base_type == "json" and not is_told(shape.document):
        lacks.append(f"{quote_identifier(shape.document)} is json")
    for key in shape.keys:
        number = columns[key].number
        references = [rule for rule in catalog.constraints_of(table.oid) if rule.columns == (number,)]
        if not _leads(catalog, table, number) and not any(
            catalog.constraint_subject(rule) in told for rule in references
        ):
            lacks.append(f"no index on {quote_identifier(key)}")
    if shape.framework == "mem0" and not _indexed(catalog, table, columns["payload"].number) and not is_told("payload"):
        lacks.append("no index on what memories are filtered by")
    return lacks


def _leads(catalog: Catalog, table: Table, number: int) -> bool:
    return any(is_usable(index) and index.columns[:1] == (number,) for index in catalog.indexes_of(table.oid))


def _indexed(catalog: Catalog, table: Table, number: int) -> bool:
    """Whether an index is over the document, or over one of the ids in it."""
    return any(
        key.column == number or (number in key.expression_columns and "_id'" in (key.expression or ""))
        for index in catalog.indexes_of(table.oid)
        if is_usable(index)
        for key in index.keys
    )


def _used(evidence: Evidence, entry: Recognised) -> tuple[tuple[Location, ...], str | None]:
    """Where the code uses the framework, and which version."""
    repository = evidence.find(Repository)
    word = entry.shape.framework.lower().split()[0].replace("'s", "")
    uses = [
        use for use in (repository.frameworks if repository else ())
        if use.name.lower().replace("_", "").replace("-", "") == word.replace("-", "")
    ]  # fmt: skip
    return tuple(use.location for use in uses), next((use.version for use in uses if use.version), None)


@check("hybrid.unpruned-agent-history", catalogue="N09", severity=Severity.MEDIUM, needs=[Catalog, Usage, Server])
@once_per_family
def unpruned_agent_history(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The history of agents grows and is never pruned.

    A checkpointer keeps the whole state at each step of each thread, a tracer each call with its prompt. Most of it is
    never read again after a week: one production database was 40 % checkpoints, 95 % of them older than that. Backups,
    replicas and vacuum carry all of it.

    Fix: Delete with the thread, or by age in batches; or partition by time and drop partitions.

    Example: checkpoints, checkpoint_blobs and checkpoint_writes of LangGraph took 4 million rows in a month and lost none;
    checkpointer.delete_thread(thread_id) after a finished run would delete them.

    Source: langgraphjs issue 1138; catalogue N09

    Observed: framework, bytes, share, inserted, deleted, days
    """
    catalog, usage, server = evidence.get(Catalog), evidence.get(Usage), evidence.get(Server)
    histories = [entry for entry in framework_tables(catalog) if entry.shape.history]
    if not histories:
        raise NotApplicable("no table of a known framework keeps the history of agents or chats")
    if server.is_standby:
        raise Unknown(Reason.DATABASE_NOT_GIVEN, "give the DSN of the primary: only it counts changes")
    days = evidence.require_window("window_days")
    total = sum(table.total_bytes or 0 for table in catalog.tables)
    for entry in histories:
        table = entry.table
        parts = [found for part in leaves(catalog, table) if (found := usage.table_by_oid.get(part.oid))]
        inserted, deleted = sum(part.inserted for part in parts), sum(part.deleted for part in parts)
        size = sum(part.total_bytes or 0 for part in leaves(catalog, table))
        share = size / total if total else 0.0
        if deleted > inserted / 100 or not inserted or table.kind == "partitioned":
            continue
        if share < evidence.limit("history_share") and size < evidence.limit("toast_table_bytes"):
            continue
        places, _ = _used(evidence, entry)
        yield Finding(
            table.subject,
            f"{table.subject.name} ({entry.shape.framework}), {bytes_in_words(size)} and {share:.0%} of the database, took "
            f"{inserted:,} rows in {days_in_words(days)} and lost {deleted:,}",
            Fix(entry.shape.remedy),
            severity=Severity.MEDIUM,
            confidence=Confidence.MEASURED,
            observed={
                "framework": entry.shape.framework,
                "bytes": size,
                "share": round(share, 4),
                "inserted": inserted,
                "deleted": deleted,
                "days": round(days, 1),
            },
            locations=(*places, *evidence.locations(table.subject)),
        )
    yield Examined(len(histories), len(histories), "histories")
