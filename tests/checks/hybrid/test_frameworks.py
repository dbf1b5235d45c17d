from __future__ import annotations

import msgspec
import pytest

from checks.evidence.repository.facts import FrameworkUse, Repository
from checks.hybrid.framework_tables import framework_tables
from checks.model import Location, Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.checks.workload import NO_WINDOW, flush
from tests.servers import Database

pytestmark = pytest.mark.vector

TABLES, HISTORY = "hybrid.framework-table", "hybrid.unpruned-agent-history"
SCHEMA = """
    CREATE EXTENSION vector;
    CREATE TABLE langchain_pg_collection (uuid uuid PRIMARY KEY, name text, cmetadata json);
    CREATE TABLE langchain_pg_embedding (id text PRIMARY KEY, collection_id uuid REFERENCES langchain_pg_collection ON DELETE
        CASCADE, embedding vector, document text, cmetadata json);
    CREATE TABLE notes_store (langchain_id uuid PRIMARY KEY, content text, embedding vector(3), langchain_metadata json);
    CREATE TABLE data_llama (id bigserial PRIMARY KEY, text varchar, metadata_ jsonb, node_id varchar, embedding vector(3));
    CREATE INDEX ON data_llama USING hnsw (embedding vector_cosine_ops);
    CREATE INDEX ON data_llama (node_id);
    CREATE TABLE mem0_memories (id uuid PRIMARY KEY, vector vector(3), payload jsonb);
    CREATE INDEX ON mem0_memories USING gin (to_tsvector('simple', payload ->> 'text_lemmatized'));
    CREATE TABLE haystack_documents (id text PRIMARY KEY, embedding vector(3), content text, blob_data bytea, blob_meta jsonb,
        blob_mime_type text, meta jsonb);
    CREATE TABLE lightrag_vdb_chunks (id text, workspace text, content_vector vector(3), PRIMARY KEY (workspace, id));
    CREATE TABLE n8n_vectors (id uuid PRIMARY KEY, text text, metadata jsonb, embedding vector);
    CREATE TABLE n8n_chat_histories (id serial PRIMARY KEY, session_id text, message jsonb);
    CREATE TABLE flow_docs (id uuid PRIMARY KEY, "pageContent" text, metadata jsonb, embedding vector);
    CREATE TABLE embedding_vector_index_1 (id uuid PRIMARY KEY, text text, meta jsonb, embedding vector(3));
    CREATE TABLE documents (id bigserial PRIMARY KEY, content text, metadata jsonb, embedding vector(3));
    CREATE TABLE checkpoints (thread_id text, checkpoint_ns text, checkpoint_id text, checkpoint jsonb, metadata jsonb,
        PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id));
    CREATE TABLE checkpoint_blobs (thread_id text, checkpoint_ns text, channel text, version text, type text, blob bytea);
    -- An application's own, of the same common words.
    CREATE TABLE pictures (id int PRIMARY KEY, vector vector(3), payload jsonb, title text, width int, height int);
    CREATE TABLE data_points (id int PRIMARY KEY, text text, embedding vector(3));
    CREATE TABLE reports (id int PRIMARY KEY, content text, metadata jsonb);
"""


def test_tables_of_frameworks(database: Database) -> None:
    database.execute(SCHEMA)
    evidence = survey(database)

    known = {entry.table.name: entry.shape.framework for entry in framework_tables(evidence.catalog)}  # type: ignore[arg-type]
    assert known == {
        "langchain_pg_embedding": "LangChain (PGVector)",
        "notes_store": "LangChain (PGVectorStore)",
        "data_llama": "LlamaIndex",
        "mem0_memories": "mem0",
        "haystack_documents": "Haystack",
        "lightrag_vdb_chunks": "LightRAG",
        "n8n_vectors": "n8n",
        "n8n_chat_histories": "n8n",
        "flow_docs": "Flowise",
        "embedding_vector_index_1": "Dify",
        "documents": "Supabase's vector example",
        "checkpoints": "LangGraph",
        "checkpoint_blobs": "LangGraph",
    }
    result = conclude(evidence, TABLES)
    assert names(result) == {f"public.{name}" for name in known} - {
        "public.data_llama",
        "public.checkpoints",
        "public.checkpoint_blobs",
        # What they lack is told of their columns.
        "public.langchain_pg_embedding",
        "public.n8n_vectors",
        "public.flow_docs",
    }
    dimension = finding(
        conclude(evidence, "hybrid.vector-without-dimension"), "public.langchain_pg_embedding.embedding"
    )
    assert dimension.fix.summary.endswith(
        " LangChain (PGVector) made it: PGVector(embedding_length=..., use_jsonb=True), and an index made by a migration of "
        "your own; or PGVectorStore, with apply_vector_index()."
    )
    assert finding(result, "public.mem0_memories").observed["lacks"][-1] == "no index on what memories are filtered by"
    langchain = finding(result, "public.notes_store")
    assert (langchain.severity, langchain.observed["lacks"]) == (Severity.LOW, ["no vector index"])
    used = FrameworkUse("langchain", "PGVector", Location("rag.py", 2), "0.0.15")
    told = conclude(msgspec.structs.replace(evidence, repository=Repository("app", frameworks=(used,))), TABLES)
    langchain = finding(told, "public.notes_store")
    assert (langchain.observed["version"], langchain.locations) == ("0.0.15", (Location("rag.py", 2),))
    assert finding(told, "public.n8n_chat_histories").observed["lacks"] == ["no index on session_id"]


def test_histories_that_only_grow(database: Database) -> None:
    database.execute(SCHEMA)
    connection = database.connect()
    connection.execute(
        "INSERT INTO checkpoints SELECT 't' || i, '', i::text, jsonb_build_object('state', repeat(md5(i::text), 30)), '{}'"
        " FROM generate_series(1, 3000) i;"
        "INSERT INTO n8n_chat_histories (session_id, message) SELECT 's' || i, to_jsonb(repeat(md5(i::text), 30))"
        " FROM generate_series(1, 3000) i; DELETE FROM n8n_chat_histories WHERE id <= 1000"
    )
    flush(connection)
    database.execute("ANALYZE")

    result = examine(database, HISTORY, limits=NO_WINDOW)

    assert names(result) == {"public.checkpoints"}
    (found,) = result.findings
    assert found.observed["inserted"] == 3000
    assert (result.examined, result.of) == (3, 3)


def test_no_framework(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")

    assert examine(database, TABLES).outcome is Outcome.NOT_APPLICABLE
    assert examine(database, HISTORY).outcome is Outcome.NOT_APPLICABLE
