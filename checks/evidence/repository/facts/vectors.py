"""How code uses vectors: embedding models, searches and writes through client libraries, frameworks with tables of their own."""

from __future__ import annotations

import msgspec

from checks.model import Location


class EmbeddingModel(msgspec.Struct, frozen=True):
    """An embedding model named in code or configuration. `use`: ingest, query, or empty where the code does not tell.
    `dimensions` where the code asks for a number of them."""

    name: str
    location: Location
    use: str = ""
    dimensions: int | None = None
    function: str | None = None


class VectorCall(msgspec.Struct, frozen=True):
    """A call of a vector store's client. `store`: pgvector, pinecone, qdrant, weaviate, milvus, chroma, ...; `library` is what
    speaks to it (langchain, llama_index, the store's own client, ...). `action`: search, write, delete, create. `collection`,
    `distance` and `limit` where they are literals; `filters` are the names of the fields filtered by. `where_from`: for a
    search through a function of the database, its name (Supabase `match_*`)."""

    store: str
    library: str
    action: str
    location: Location
    collection: str | None = None
    distance: str | None = None
    limit: int | None = None
    filters: tuple[str, ...] = ()
    where_from: str | None = None
    function: str | None = None


class FrameworkUse(msgspec.Struct, frozen=True):
    """A framework that brings tables of its own, where the code makes use of it. `component` is its class or module;
    `version` what the repository's lock file or manifest says."""

    name: str
    component: str
    location: Location
    version: str | None = None
