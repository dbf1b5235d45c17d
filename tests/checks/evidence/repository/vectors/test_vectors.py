from __future__ import annotations

from textwrap import dedent

import pytest

from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.vectors.reader import VectorReader


def read(files: dict[str, str]) -> VectorReader:
    reader = VectorReader()
    for path, text in files.items():
        reader.read(SourceFile(path, dedent(text), path.rpartition(".")[2]))
    return reader


def test_embedding_models_with_their_use() -> None:
    reader = read({
        "app/ingest.py": """\
            def ingest(documents):
                return client.embeddings.create(model="text-embedding-3-small", input=documents, dimensions=512)
            """,
        "app/search.py": """\
            def search(text):
                return voyage.embed([text], model="voyage-3-large", input_type="query")
            """,
        "src/embed.ts": """\
            export const model = openai.embedding("text-embedding-3-large");
            """,
        "app/store.py": """\
            EMBEDDING_DIMENSIONS = 384
            def keep(cur, text):
                vector = SentenceTransformer("sentence-transformers/all-MiniLM-L6-v2").encode(text)
                cur.execute("INSERT INTO chunks (embedding) VALUES (%s)", (vector,))
            """,
        ".env.example": "EMBEDDING_MODEL=nomic-embed-text\nCHAT_MODEL=gpt-4o-mini\n# EMBEDDING_MODEL=mistral-embed\n",
    })  # fmt: skip
    assert [(model.name, model.use, model.dimensions, model.location.line) for model in reader.models] == [
        ("text-embedding-3-small", "ingest", 512, 2),
        ("voyage-3-large", "query", None, 2),
        ("text-embedding-3-large", "", None, 1),
        ("sentence-transformers/all-MiniLM-L6-v2", "ingest", 384, 3),
        ("nomic-embed-text", "", None, 1),
    ]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("app/prices.py", 'PRICES = {"text-embedding-3-small": 0.02}'),
        ("app/models.py", 'CHOICES = ["text-embedding-3-small", "text-embedding-3-large"]'),
        ("app/check.py", 'known = name == "text-embedding-3-small"'),
        (
            "app/help.py",
            'parser.add_argument("--m", help="which embedding model, such as text-embedding-3-small, to use")',
        ),
        ("app/doc.py", '"""We embed with text-embedding-3-small."""'),
        ("app/comment.py", "# embed with text-embedding-3-small"),
        ("src/form.tsx", 'const a = <Input placeholder="text-embedding-3-small" />;'),
        ("tests/test_a.py", 'embed("text-embedding-3-small")'),
        ("examples/a.py", 'embed("text-embedding-3-small")'),
        ("app/tokenizer.py", 'def count(model="text-embedding-3-small"): embed(model)'),
    ],
)
def test_a_model_that_is_only_named_is_not_used(path: str, code: str) -> None:
    assert read({path: code + "\n"}).models == []


def test_clients_of_vector_stores() -> None:
    reader = read({
        "app/pinecone_store.py": """\
            from pinecone import Pinecone
            def find(index, vector):
                return index.query(vector=vector, top_k=20, namespace="docs", filter={"tenant": 1, "kind": {"$eq": "a"}})
            def keep(index, vectors):
                index.upsert(vectors=vectors)
            """,
        "src/qdrant.ts": """\
            import { QdrantClient } from "@qdrant/js-client-rest";
            const client = new QdrantClient({});
            export const find = (vector: number[]) => client.search("pages", { vector, limit: 5 });
            export const make = () => client.createCollection("pages", { vectors: { size: 8, distance: "Cosine" } });
            """,
        "app/chroma_store.py": """\
            import chromadb
            collection = chromadb.Client().get_or_create_collection("notes", metadata={"hnsw:space": "cosine"})
            collection.add(ids=["1"], documents=["a"])
            collection.query(query_texts=["a"], n_results=3, where={"owner": 1})
            """,
        "src/search.ts": """\
            import { createClient } from "@supabase/supabase-js";
            export async function search(embedding: number[]) {
              await supabase.rpc("match_documents", { query_embedding: embedding, match_count: 10, filter: { tenant: 1 } });
              await supabase.rpc("count_visits", { id: 1 });
            }
            """,
        "app/rag.py": """\
            from langchain_postgres import PGVector
            store = PGVector(embeddings=e, collection_name="docs", connection=url)
            def answer(q):
                return store.similarity_search(q, k=4, filter={"tenant": 1})
            def ingest(docs):
                store.add_documents(docs)
            """,
        "app/models.py": """\
            from pgvector.sqlalchemy import Vector
            def near(session, v):
                return session.scalars(select(Item).order_by(Item.embedding.cosine_distance(v)).limit(5))
            """,
    })  # fmt: skip
    assert [
        (
            call.store,
            call.library,
            call.action,
            call.collection,
            call.distance,
            call.limit,
            call.filters,
            call.where_from,
        )
        for call in reader.calls
    ] == [
        ("pinecone", "pinecone", "search", "docs", None, 20, ("tenant", "kind"), None),
        ("pinecone", "pinecone", "write", None, None, None, (), None),
        ("qdrant", "qdrant", "search", "pages", None, 5, (), None),
        ("qdrant", "qdrant", "create", "pages", "cosine", None, (), None),
        ("chroma", "chroma", "create", "notes", "cosine", None, (), None),
        ("chroma", "chroma", "write", None, None, None, (), None),
        ("chroma", "chroma", "search", None, None, 3, ("owner",), None),
        ("pgvector", "supabase", "search", None, None, 10, ("tenant",), "match_documents"),
        ("pgvector", "langchain", "search", None, None, 4, ("tenant",), None),
        ("pgvector", "langchain", "write", None, None, None, (), None),
        ("pgvector", "pgvector", "search", None, "cosine", None, (), None),
    ]
    assert [call.function for call in reader.calls[:2]] == ["find", "keep"]


@pytest.mark.parametrize(
    "code",
    [
        "from app.db import session\nsession.query(User)\nindex.query(1)\n",
        "import pinecone_text\nitems = {}\nitems.update(a=1)\n",
        "from qdrant_client import QdrantClient\nlogger.add(1)\ncache.delete(1)\n",
        "from langchain_openai import ChatOpenAI\nregistry.delete(1)\nstore.similarity_search(1)\n",
    ],
)
def test_other_calls_of_those_names_are_none(code: str) -> None:
    assert read({"app/a.py": code}).calls == []


def test_frameworks_with_tables_of_their_own() -> None:
    reader = read({
        "pyproject.toml": """\
            dependencies = [
              "langgraph-checkpoint-postgres>=2.0.8",
              "langchain-postgres==0.0.15",
            ]
            """,
        "app/memory.py": """\
            from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
            from langchain_postgres import (
                PGVector,
            )
            # PGVector(...) was here
            async def checkpointer(pool):
                saver = AsyncPostgresSaver(pool)
                await saver.setup()
            store = PGVector(embeddings=e)
            """,
        "src/memory.ts": """\
            import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
            export const saver = PostgresSaver.fromConnString(url);
            """,
        "app/own.py": "class PGVector:\n    pass\nPGVector()\n",
        "tests/test_memory.py": "from langgraph.checkpoint.postgres import PostgresSaver\nPostgresSaver(conn)\n",
    })  # fmt: skip
    assert [(use.name, use.component, use.location.path, use.location.line, use.version) for use in reader.uses()] == [
        ("langgraph", "AsyncPostgresSaver", "app/memory.py", 7, ">=2.0.8"),
        ("langchain", "PGVector", "app/memory.py", 9, "==0.0.15"),
        ("langgraph", "PostgresSaver", "src/memory.ts", 2, ">=2.0.8"),
    ]
