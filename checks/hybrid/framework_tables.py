"""Tables that frameworks for AI applications make, recognised in the catalog by their names and columns."""

from __future__ import annotations

import re

import msgspec

from checks.evidence.database.facts import Catalog, Table
from checks.model import Fix
from checks.relations import reviewed_tables


class Shape(msgspec.Struct, frozen=True):
    """A table as a framework ships it: `names` its name as a regular expression, `columns` those that it must have.

    `vector` and `document` are its columns for the embedding and the metadata, `keys` those that every search of it filters by.
    `history`: rows are only ever added, one for each step of an agent or message of a chat. `remedy` is how the framework is
    told to do better.
    """

    framework: str
    names: str
    columns: frozenset[str]
    vector: str = ""
    document: str = ""
    keys: tuple[str, ...] = ()
    history: bool = False
    remedy: str = ""


def _columns(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Sources: the frameworks' own code that creates these tables; issues langchain 23853, langchain-postgres 34 and 230,
# llama_index 12131, haystack-core-integrations 2199, LightRAG 2663, langgraphjs 1138.
SHAPES = (
    Shape("LangChain (PGVector)", r"langchain_pg_embedding", _columns("collection_id embedding document cmetadata"),
          "embedding", "cmetadata", ("collection_id",),
          remedy="PGVector(embedding_length=..., use_jsonb=True), and an index made by a migration of your own; or "
          "PGVectorStore, with apply_vector_index()."),
    Shape("LangChain (PGVectorStore)", r".*", _columns("langchain_id content embedding langchain_metadata"),
          "embedding", "langchain_metadata",
          remedy="init_vectorstore_table(metadata_columns=[...]) for what is filtered by; apply_vector_index(HNSWIndex())."),
    Shape("LlamaIndex", r"data_.*", _columns("id text metadata_ node_id embedding"), "embedding", "metadata_", ("node_id",),
          remedy="PGVectorStore.from_params(use_jsonb=True, hnsw_kwargs={...}, indexed_metadata_keys={...})."),
    Shape("mem0", r".*", _columns("id vector payload"), "vector", "payload",
          remedy="hnsw: true in the store's configuration, and indexes on payload ->> 'user_id', 'agent_id' and 'run_id'."),
    Shape("Haystack", r".*", _columns("id embedding content blob_data blob_meta blob_mime_type meta"), "embedding", "meta",
          remedy="PgvectorDocumentStore(search_strategy='hnsw', vector_function=...) as the embedding model needs it."),
    Shape("LightRAG", r"lightrag_vdb_.*", _columns("id workspace content_vector"), "content_vector", "", ("workspace",),
          remedy="POSTGRES_VECTOR_INDEX_TYPE=HNSW, and a partition or an index on workspace where there are many."),
    Shape("n8n", r"n8n_vectors.*", _columns("id text metadata embedding"), "embedding", "metadata",
          remedy="Alter the table that n8n made: a dimension for the column, then an HNSW index."),
    Shape("Flowise", r".*", _columns("id pageContent metadata embedding"), "embedding", "metadata",
          remedy="Alter the table that Flowise made: a dimension for the column, then an HNSW index."),
    Shape("Dify", r"(?i)embedding_.*|vector_index_.*", _columns("id text meta embedding"), "embedding", "meta"),
    Shape("Agno", r".*", _columns("id name meta_data filters content embedding usage content_hash"), "embedding", "meta_data",
          remedy="PgVector(vector_index=HNSW(...)), and vector_store.optimize() after loading."),
    Shape("Supabase's vector example", r"documents", _columns("id content metadata embedding"), "embedding", "metadata",
          remedy="An HNSW index, one on what match_documents() filters by, and SET hnsw.iterative_scan in that function."),
    Shape("Supabase's documentation search", r"(?:nods_)?page_section", _columns("id page_id content token_count embedding"),
          "embedding", "", ("page_id",)),
    Shape("LangGraph", r"checkpoints", _columns("thread_id checkpoint_ns checkpoint_id checkpoint metadata"), history=True,
          remedy="Delete the checkpoints of finished threads: delete_thread(); or keep the last one of each."),
    Shape("LangGraph", r"checkpoint_blobs", _columns("thread_id checkpoint_ns channel version blob"), history=True,
          remedy="They go with their checkpoints: delete_thread() for finished threads."),
    Shape("LangGraph", r"checkpoint_writes", _columns("thread_id checkpoint_ns checkpoint_id task_id blob"), history=True,
          remedy="They go with their checkpoints: delete_thread() for finished threads."),
    Shape("n8n", r"n8n_chat_histories.*", _columns("id session_id message"), keys=("session_id",), history=True,
          remedy="An index on session_id, and a job that deletes old sessions."),
    Shape("n8n", r"execution_data", _columns("executionId data workflowData"), history=True,
          remedy="EXECUTIONS_DATA_PRUNE and EXECUTIONS_DATA_MAX_AGE."),
    Shape("LangChain", r"message_store|.*chat_histor(?:y|ies).*", _columns("id session_id message"),
          keys=("session_id",), history=True, remedy="An index on session_id, and a job that deletes old sessions."),
    Shape("OpenTelemetry traces", r"(?:otel_|agent_|llm_)?(?:spans|traces)", _columns("trace_id"), history=True,
          remedy="Partition by day, and drop old partitions."),
)  # fmt: skip


class Recognised(msgspec.Struct, frozen=True):
    table: Table
    shape: Shape


def advised(catalog: Catalog, table: Table, fix: Fix) -> Fix:
    """The fix, with how the framework that made the table is told to do better; as it is where none made it."""
    known = next((entry for entry in framework_tables(catalog) if entry.table.oid == table.oid), None)
    if known is None or not known.shape.remedy:
        return fix
    return msgspec.structs.replace(fix, summary=f"{fix.summary} {known.shape.framework} made it: {known.shape.remedy}")


def framework_tables(catalog: Catalog) -> list[Recognised]:
    """The application's tables that a framework made, each as the first shape that fits."""
    found = []
    for table in reviewed_tables(catalog):
        names = set(catalog.column_names.get(table.oid, {}))
        kinds = {column.name: column.base_type for column in catalog.columns_of(table.oid).values()}
        for shape in SHAPES:
            if not (shape.columns <= names and re.fullmatch(shape.names, table.name, re.IGNORECASE)):
                continue
            # A table of these common words is a framework's only if they hold what they hold there.
            if shape.vector and kinds[shape.vector] not in {"vector", "halfvec"}:
                continue
            if shape.names == r".*" and len(shape.columns) < 4 and len(names) > len(shape.columns) + 2:
                continue
            found.append(Recognised(table, shape))
            break
    return found
