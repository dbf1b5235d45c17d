"""Where embeddings come from: their model, their source, and whether both stores know the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Table
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import EmbeddingModel, Repository, VectorCall
from checks.families import once_per_family
from checks.hybrid.document_keys import referenced_table
from checks.hybrid.models import dimensions_of, plain_name
from checks.hybrid.searches import ann_indexes
from checks.hybrid.vectors import VECTOR_TYPES, vector_columns
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Reason,
    Severity,
    Subject,
    Unknown,
    qualified_name,
)
from checks.registry import check
from checks.relations import estimated_rows, reviewed_tables

_MODEL = re.compile(r"model|embedder|encoder|(?:^|_)embedding_(?:version|type|provider|config)", re.IGNORECASE)
_SOURCE = re.compile(r"hash|checksum|digest|md5|sha(?:1|256)|etag|revision|(?:^|_)version(?:_|$)", re.IGNORECASE)
_CHANGED = re.compile(
    r"(?:^|_)(?:updated|modified|embedded|indexed|synced|ingested)_?(?:at|on|time|date)?$|[a-z](?:Updated|Embedded)At$"
)
_SYNCED = re.compile(
    r"^(?:vector|embedding|index(?:ing)?)?_?sync_?(?:state|status)$|^(?:vector|embedding|indexing)_?(?:state|status)$"
    r"|^needs_(?:sync|embedding|indexing|reindex)$|^(?:vector|embedding)_?(?:indexed_at|synced_at|next_attempt_at|retry_count)$",
    re.IGNORECASE,
)
_TEXTS = frozenset({"text", "varchar", "jsonb", "json"})
# More stores than that are adapters to choose from.
ADAPTERS = 2
IN_PROCESS = frozenset({"faiss", "lancedb"})
INSIDE = frozenset({"pgvector", "supabase", "postgresql", "postgres", "vecs", "alloydb", "timescale"})


@check("hybrid.no-embedding-provenance", catalogue="H42", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def no_embedding_provenance(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Nothing beside an embedding says which model made it, or from which text.

    Vectors of two models cannot be compared, and nothing shows that they stand in one column. When the model is retired, or a
    source changed, nobody can tell which rows must be embedded again but by embedding all.

    Fix: Columns for the model with its version and for a hash of the embedded text; both set by whatever writes the vector.

    Example: CREATE TABLE vectors (id bigint PRIMARY KEY, embedding vector(1536)): after half of them were renewed by another
    model of 1,536 dimensions, nobody can tell which half.

    Source: rubric 2026.1, HYB-1.2; catalogue N10

    Observed: missing, rows, models_in_code
    """
    catalog = evidence.get(Catalog)
    columns = vector_columns(catalog)
    models = _models_in_code(evidence)
    unexplained: dict[tuple[int, tuple[str, ...]], list[tuple[Table, Column]]] = {}
    for table, column in columns:
        if missing := _missing(catalog, table, column, models):
            unexplained.setdefault((table.oid, missing), []).append((table, column))
    for (_, missing), found in unexplained.items():
        yield _unexplained(evidence, found[0][0], [column for _, column in found], missing)
    yield Examined(len(columns), len(columns), "vector columns")


def _models_in_code(evidence: Evidence) -> list[str]:
    repository = evidence.find(Repository)
    return sorted({plain_name(entry.name) for entry in repository.embedding_models} if repository else ())


def _is_named_after(table: Table, models: list[str]) -> bool:
    """Whether the table has a model's name in its own: one table for each model."""
    name = re.sub(r"[^a-z0-9]", "", table.name.lower())
    return any(plain in name for plain in (re.sub(r"[^a-z0-9]", "", model) for model in models) if len(plain) > 4)


def _missing(catalog: Catalog, table: Table, column: Column, models: list[str]) -> tuple[str, ...]:
    """What of the vector's origin neither its row nor a row that it refers to has a column for."""
    missing = [] if model_columns(catalog, table) or _is_named_after(table, models) else ["model"]
    siblings = [other for other in catalog.columns_of(table.oid).values() if other.number != column.number]
    tracks = any(_SOURCE.search(other.name) or _CHANGED.search(other.name) for other in siblings)
    own_text = any(other.base_type in _TEXTS and not other.name.lower().endswith("id") for other in siblings)
    return tuple(missing) if tracks or own_text else (*missing, "source hash or time")


def model_columns(catalog: Catalog, table: Table, steps: int = 2) -> list[Column]:
    """The column that names the embedding model, of the table or of one that its rows refer to."""
    own = [column for column in catalog.columns_of(table.oid).values() if _MODEL.search(column.name)]
    if own or steps == 0:
        return own
    referenced = {entry.referenced_table for entry in catalog.constraints_of(table.oid) if entry.kind == "foreign_key"}
    # Columns named like references are, also where no foreign key says so.
    named = [referenced_table(catalog, table, column.name) for column in catalog.columns_of(table.oid).values()]
    tables = [catalog.table_by_oid.get(oid or 0) for oid in sorted(referenced, key=str)]
    return [
        column
        for other in {found.oid: found for found in (*tables, *named) if found and found.oid != table.oid}.values()
        for column in model_columns(catalog, other, steps - 1)
    ]


def _unexplained(evidence: Evidence, table: Table, columns: list[Column], missing: tuple[str, ...]) -> Finding:
    subject, models = evidence.get(Catalog).column_subject(columns[0]), _models_in_code(evidence)
    rows = estimated_rows(evidence, table)
    relation = qualified_name(table.schema, table.name)
    wanted = []
    if "model" in missing:
        wanted.append("ADD COLUMN embedding_model text")
    if len(missing) > 1 or "model" not in missing:
        wanted.append("ADD COLUMN source_sha256 bytea")
    severe = "model" in missing and len(models) > 1
    return Finding(
        subject,
        f"Nothing beside {subject.name}{f' and {len(columns) - 1} more' if len(columns) > 1 else ''} tells "
        f"{'its' if len(columns) == 1 else 'their'} {' or '.join(missing)}",
        Fix(
            "Add the columns, fill them for the rows there are with what is known of them, and write them with every vector.",
            sql=f"ALTER TABLE {relation} {', '.join(wanted)};",
            lock="ACCESS EXCLUSIVE",
            undo=f"ALTER TABLE {relation} {', '.join(part.replace('ADD', 'DROP').rsplit(' ', 1)[0] for part in wanted)};",
        ),
        severity=Severity.MEDIUM if severe else Severity.LOW,
        confidence=Confidence.INFERRED,
        observed={"missing": list(missing), "rows": None if rows is None else round(rows), "models_in_code": models},
        related=(table.subject, *(evidence.get(Catalog).column_subject(column) for column in columns[1:])),
        locations=evidence.locations(subject),
    )


@check("hybrid.embedding-models-differ", catalogue="H45", severity=Severity.HIGH, needs=[Repository])
def embedding_models_differ(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Queries are embedded by another model than the data.

    Distances between vectors of two models mean nothing: the search answers, and its answers are noise. With equal dimensions
    nothing fails either.

    Fix: One constant for the model, used by ingestion and by queries.

    Example: ingest.py embeds with text-embedding-3-small and search.py with text-embedding-ada-002: both give 1,536 dimensions,
    nothing fails, and the nearest rows have nothing to do with the question.

    Source: catalogue H45; model cards

    Observed: ingest, query
    """
    models = evidence.get(Repository).embedding_models
    if not models:
        raise NotApplicable("the code names no embedding model")
    ingest = _by_name(entry for entry in models if entry.use == "ingest")
    query = _by_name(entry for entry in models if entry.use == "query")
    yield Examined(len(models), len(models), "places that name an embedding model")
    # Of code that knows many models, a configuration takes one.
    choice = len(_by_name(iter(models))) > len(ingest) + len(query) or len(ingest) > 1 or len(query) > 1
    if not ingest or not query or choice or ingest.keys() & query.keys():
        return
    written, asked = next(iter(ingest.values())), next(iter(query.values()))
    sizes = {dimensions_of(written.name), dimensions_of(asked.name)}
    words = "" if None in sizes or len(sizes) < 2 else ", of another dimension"
    yield Finding(
        Subject("file", (asked.location.path,)),
        f"Queries are embedded with {asked.name} ({asked.location.path}:{asked.location.line}), the data with {written.name} "
        f"({written.location.path}:{written.location.line}){words}",
        Fix("Use the model that the stored vectors were made with, from one constant; or embed all data anew."),
        confidence=Confidence.INFERRED,
        observed={"ingest": sorted(ingest), "query": sorted(query)},
        locations=(asked.location, written.location),
    )


def _by_name(models: Iterator[EmbeddingModel]) -> dict[str, EmbeddingModel]:
    return {plain_name(entry.name): entry for entry in models}


@check("hybrid.dual-write", catalogue="N17", severity=Severity.MEDIUM, needs=[Repository])
def dual_write(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Rows live in PostgreSQL and their vectors in another store, kept together by code alone.

    Two stores have no common transaction: whatever fails between the two writes leaves one without the other. A vector whose row
    was deleted is still found, and what it says is shown to whoever asks.

    Fix: An outbox: the change is written with the row in one transaction, and a worker brings it to the other store until it
    is there; or the vectors in PostgreSQL too, with a foreign key and ON DELETE CASCADE.

    Example: session.commit(), then index.upsert(vectors) of Pinecone: a process that ends between the two leaves a row without
    its vector, and without a delete() beside each DELETE its vectors are found for ever.

    Source: catalogue N17; microservices.io, "Transactional outbox"

    Observed: store, writes, deletes, outbox
    """
    repository = evidence.get(Repository)
    outside = [call for call in repository.vector_calls if call.store not in INSIDE]
    catalog = evidence.find(Catalog)
    # A library in the process that the code can do with in place of the database is no second store beside it.
    kept = catalog is not None and any(column.base_type in VECTOR_TYPES for column in catalog.columns)
    stores = sorted({call.store for call in outside if call.action == "write"} - (IN_PROCESS if kept else frozenset()))
    if not stores:
        raise NotApplicable("the code writes to no vector store outside PostgreSQL")
    if len(stores) > ADAPTERS:
        raise Unknown(Reason.NEEDS_ANSWER, f"the code has clients of {len(stores)} vector stores: which one is in use?")
    outbox = _outboxes(catalog) if catalog else []
    for store in stores:
        calls = [call for call in outside if call.store == store]
        writes = [call for call in calls if call.action == "write"]
        deletes = [call for call in calls if call.action == "delete"]
        if deletes and outbox:
            continue
        yield _kept_by_code(store, writes, deletes, outbox)
    yield Examined(len(stores), len(stores), "vector stores outside PostgreSQL")


def _outboxes(catalog: Catalog) -> list[str]:
    """Outbox tables, and tables whose rows say themselves whether the other store has them."""
    tables = {table.oid: table.name for table in catalog.tables if table.kind in {"table", "partitioned"}}
    found = [name for name in tables.values() if re.search(r"outbox", name, re.IGNORECASE)]
    found += [
        f"{tables[column.table]}.{column.name}"
        for column in catalog.columns
        if column.table in tables and _SYNCED.search(column.name)
    ]
    return found


def _kept_by_code(store: str, writes: list[VectorCall], deletes: list[VectorCall], outbox: list[str]) -> Finding:
    first = writes[0]
    if not deletes:
        title = (
            f"The code writes vectors to {store} and never deletes one ({first.location.path}:{first.location.line})"
        )
    else:
        title = f"Rows and their vectors in {store} are written one after the other, without an outbox"
        title += f" ({first.location.path}:{first.location.line})"
    return Finding(
        Subject("file", (first.location.path,)),
        title,
        Fix(
            "Write the change into an outbox table with the row, and let a worker carry it over; delete there as here."
        ),
        severity=Severity.LOW if deletes else Severity.MEDIUM,
        confidence=Confidence.INFERRED,
        observed={"store": store, "writes": len(writes), "deletes": len(deletes), "outbox": outbox},
        locations=tuple(call.location for call in (*writes, *deletes)),
        discriminator=store,
    )


@check("hybrid.embedding-outlives-source", catalogue="N17", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def embedding_outlives_source(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A deleted source leaves its embeddings behind.

    The reference from the chunk to its document is set to NULL when the document goes: its text stays searchable, and shows
    up in answers, which for deleted content is a leak and not only a bug.

    Fix: ON DELETE CASCADE on that foreign key, and an index on its column.

    Example: chunks.document_id REFERENCES documents ON DELETE SET NULL: DELETE FROM documents WHERE id = 7 leaves the chunks of
    document 7, with their text, in every search.

    Source: catalogue N17; PostgreSQL manual, "Foreign Keys"

    Observed: references, on_delete
    """
    catalog = evidence.get(Catalog)
    tables = {table.oid: table for table, _ in vector_columns(catalog)}
    keys = [
        (table, entry)
        for table in tables.values()
        for entry in catalog.constraints_of(table.oid)
        if entry.kind == "foreign_key" and entry.parent is None and entry.referenced_table not in {None, table.oid}
    ]
    sources = re.compile(
        r"doc|file|page|source|article|message|note|content|asset|chunk|item|post|record", re.IGNORECASE
    )
    for table, entry in keys:
        target = catalog.table_by_oid.get(entry.referenced_table or 0)
        if target is None or entry.on_delete not in {"set null", "set default"} or not sources.search(target.name):
            continue
        owners = {
            other.referenced_table
            for other in catalog.constraints_of(target.oid)
            if other.kind == "foreign_key" and other.on_delete == "cascade" and other.referenced_table != target.oid
        }
        # Both go with what owns both: only a source deleted by itself leaves embeddings.
        owned = any(
            other.kind == "foreign_key" and other.on_delete == "cascade" and other.referenced_table in owners
            for other in catalog.constraints_of(table.oid)
        )
        relation, name = qualified_name(table.schema, table.name), qualified_name(entry.name)
        names = ", ".join(qualified_name(catalog.column(table.oid, number).name) for number in entry.columns)
        yield Finding(
            catalog.constraint_subject(entry),
            f"Embeddings in {table.subject.name} outlive their {target.subject.name} (ON DELETE {entry.on_delete.upper()})",
            Fix(
                "Let them go with their source; rows that have lost theirs already are to be looked at first.",
                sql=f"ALTER TABLE {relation} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} FOREIGN KEY ({names}) "
                f"REFERENCES {target.subject.name} ON DELETE CASCADE;",
                lock="SHARE ROW EXCLUSIVE",
                undo=f"The same with ON DELETE {entry.on_delete.upper()}.",
            ),
            severity=Severity.LOW if owned else Severity.MEDIUM,
            confidence=Confidence.INFERRED,
            observed={"references": target.subject.name, "on_delete": entry.on_delete},
            related=(table.subject, target.subject),
            locations=evidence.locations(catalog.constraint_subject(entry)),
        )
    yield Examined(len(keys), len(keys), "foreign keys of tables with vectors")


@check("hybrid.index-before-load", catalogue="H43", severity=Severity.LOW, needs=[Catalog, Repository])
@once_per_family
def index_before_load(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Vectors are inserted one by one into a table that has its vector index already.

    Each insert searches the graph for its neighbours. Loading first, by COPY, and building the index then takes a fraction of
    the time, and for IVFFlat it is what its recall depends on.

    Fix: COPY, or INSERT of many rows at once; for a first load the index afterwards.

    Example: for chunk in chunks: cur.execute("INSERT INTO chunks (body, embedding) VALUES (%s, %s)", ...) into a table with an
    HNSW index; COPY into a table that gets its index afterwards loads it in a fraction of the time.

    Source: pgvector README, "Loading", "Index Build Time"

    Observed: rows, indexes
    """
    catalog, repository = evidence.get(Catalog), evidence.get(Repository)
    indexed = [(table, column) for table, column in vector_columns(catalog) if ann_indexes(catalog, column)]
    if not indexed:
        raise NotApplicable("no vector column has an index for approximate search")
    known = {table.name for table in reviewed_tables(catalog)}
    for table, column in indexed:
        loops = [
            entry
            for entry in repository.behaviours
            if entry.kind == "insert_in_loop"
            and entry.certain
            and entry.table == table.name
            and table.name in known
            and _writes(entry.text or "", column.name)
        ]
        if loops:
            first = loops[0].location
            yield Finding(
                catalog.column_subject(column),
                f"Vectors are inserted into {table.subject.name} one by one ({first.path}:{first.line})",
                Fix("Send many rows at once: COPY, or INSERT with several VALUES."),
                confidence=Confidence.INFERRED,
                observed={
                    "rows": round(estimated_rows(evidence, table) or 0),
                    "indexes": [index.subject.name for index in ann_indexes(catalog, column)],
                },
                related=(table.subject,),
                locations=tuple(entry.location for entry in loops),
            )
    yield Examined(len(indexed), len(indexed), "indexed vector columns")


def _writes(insert: str, column: str) -> bool:
    """Whether the statement may write the column: rows whose vector comes later are not inserted with it."""
    columns = re.match(r"\s*INSERT\s+INTO\s+[^\s(]+\s*\(([^)]*)\)", insert, re.IGNORECASE)
    return columns is None or column in {name.strip(' "') for name in columns[1].split(",")}
