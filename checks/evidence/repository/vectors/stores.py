"""Calls of vector stores: their own clients, and the frameworks that speak to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tree_sitter import Node

from checks.evidence.repository.behaviour.outline import Call, Outline
from checks.evidence.repository.facts import VectorCall
from checks.evidence.repository.orm.syntax import field, named, text
from checks.model import Location


class _Client(NamedTuple):
    """`word` is what the file must name; `holder` what the methods are called on, as a regular expression."""

    store: str
    word: str
    holder: str
    actions: dict[str, str]


def _methods(**actions: str) -> dict[str, str]:
    return {name: action for action, names in actions.items() for name in names.split()}


_CLIENTS = (
    _Client("pinecone", "pinecone", r"index|idx|pinecone|namespace\(|\bns\b|Index\(|\bpc\b", _methods(
        search="query search search_records searchRecords", 
        write="upsert update upsert_records upsertRecords upsert_from_dataframe",
        delete="delete deleteOne deleteMany deleteAll delete_many", create="create_index createIndex create_index_for_model")),
    _Client("qdrant", "qdrant", r"client|qdrant|qd", _methods(
        search="search query_points query search_batch query_batch_points recommend queryPoints searchPoints scroll",
        write="upsert upload_points upload_collection upload_records add set_payload upsertPoints", delete="delete delete_points",
        create="create_collection recreate_collection createCollection")),
    _Client("weaviate", "weaviate", r"", _methods(
        search="near_vector near_text hybrid nearVector nearText withNearVector withNearText withHybrid",
        write="insert_many insertMany add_object add_data_object withObjects replace",
        delete="delete_many deleteMany delete_by_id",
        create="create create_from_dict createFromSchema")),
    _Client("milvus", "milvus", r"client|collection|milvus|conn|\bcol\b", _methods(
        search="search hybrid_search hybridSearch", write="insert upsert", delete="delete",
        create="create_collection createCollection create_index createIndex")),
    _Client("chroma", "chroma", r"collection|chroma|client|\bcol\b", _methods(
        search="query", write="add upsert update", delete="delete delete_collection deleteCollection",
        create="create_collection get_or_create_collection createCollection getOrCreateCollection")),
    _Client("turbopuffer", "turbopuffer", r"ns|namespace|tpuf", _methods(search="query multi_query", write="write upsert",
        delete="delete_all deleteAll")),
    _Client("lancedb", "lancedb", r"table|tbl|db|conn", _methods(
        search="search vector_search vectorSearch", write="add merge_insert mergeInsert", delete="delete",
        create="create_table createTable")),
    _Client("faiss", "faiss", r"index|faiss", _methods(search="search range_search", write="add add_with_ids train",
        delete="remove_ids")),
    _Client("pgvector", "vecs", r"collection|docs|vx|vecs|client|\bcol\b", _methods(
        search="query", write="upsert", delete="delete", create="create_collection get_or_create_collection create_index")),
)  # fmt: skip
_OPENSEARCH = _Client(
    "opensearch",
    "knn",
    r"client|opensearch|elastic|\bes\b|_os",
    _methods(search="search", write="index bulk", create="create"),
)

_FRAMEWORK_ACTIONS = _methods(
    search="similarity_search similarity_search_with_score similarity_search_with_relevance_scores similarity_search_by_vector "
    "asimilarity_search asimilarity_search_with_score max_marginal_relevance_search amax_marginal_relevance_search as_retriever "
    "similaritySearch similaritySearchWithScore similaritySearchVectorWithScore maxMarginalRelevanceSearch asRetriever "
    "as_query_engine "
    "asQueryEngine",
    write="add_documents aadd_documents add_texts aadd_texts from_documents afrom_documents from_texts afrom_texts addDocuments "
    "fromDocuments fromTexts addVectors add_embeddings write_documents insert_nodes",
    delete="adelete delete_collection adelete_collection delete_documents",
    create="init_vectorstore_table ainit_vectorstore_table create_collection acreate_collection",
)
# By what a file imports: the store behind a framework's class.
_BEHIND = (
    ("pgvector", re.compile(r"\bPGVector(?:Store)?\b|PGVectorStore|SupabaseVectorStore|PgvectorDocumentStore"
        r"|PrismaVectorStore|NeonPostgres|PGEngine")),
    ("pinecone", re.compile(r"PineconeVectorStore|PineconeStore|langchain_pinecone")),
    ("qdrant", re.compile(r"QdrantVectorStore|langchain_qdrant|QdrantDocumentStore")),
    ("weaviate", re.compile(r"WeaviateVectorStore|WeaviateStore|langchain_weaviate")),
    ("chroma", re.compile(r"langchain_chroma|\bChroma\b|ChromaVectorStore")),
    ("milvus", re.compile(r"langchain_milvus|MilvusVectorStore|\bMilvus\b")),
    ("opensearch", re.compile(r"OpenSearchVectorSearch|OpensearchVectorStore")),
    ("faiss", re.compile(r"\bFAISS\b|FaissVectorStore")),
    ("redis", re.compile(r"RedisVectorStore")),
    ("memory", re.compile(r"InMemoryVectorStore|MemoryVectorStore")),
)  # fmt: skip
_FRAMEWORKS = (
    ("llama_index", ("llama_index", "llamaindex")),
    ("haystack", ("haystack",)),
    ("langchain", ("langchain",)),
)
_ORM_DISTANCES = {
    "cosine_distance": "cosine", "l2_distance": "l2", "max_inner_product": "inner product", "l1_distance": "l1",
    "hamming_distance": "hamming", "jaccard_distance": "jaccard", "CosineDistance": "cosine", "L2Distance": "l2",
    "MaxInnerProduct": "inner product", "cosineDistance": "cosine", "l2Distance": "l2", "innerProduct": "inner product",
    "l1Distance": "l1", "hammingDistance": "hamming", "jaccardDistance": "jaccard",
}  # fmt: skip
_LIMIT = re.compile(
    r"(?<![\w.])[\"']?(?:top_?k|limit|k|n_?results|match_count|similarity_top_k|num_results)[\"']?\s*[:=]\s*(\d{1,6})\b",
    re.IGNORECASE,
)
_DISTANCE = re.compile(
    r"[\"']?(?:distance(?:_?strategy|_?metric)?|metric(?:_?type)?|space|hnsw:space|similarity)[\"']?\s*[:=]\s*(?:\w+\.)*[\"']?"
    r"(cosine|l2|euclid\w*|dot(?:_?product)?|inner_?product|ip|l1|manhattan|max_inner_product)\b",
    re.IGNORECASE,
)
_COLLECTIONS = (
    "collection_name",
    "collectionName",
    "table_name",
    "tableName",
    "index_name",
    "indexName",
    "collection",
    "namespace",
    "name",
)
_FILTERS = ("filter", "filters", "where", "query_filter", "metadata_filter", "expr", "where_filter")
_WORDS = (
    *dict.fromkeys(client.word for client in _CLIENTS), "knn", "langchain", "llama_index", "llamaindex", "haystack", ".rpc(",
    *_ORM_DISTANCES,
)  # fmt: skip


def is_candidate(code: str) -> bool:
    lowered = code.lower()
    return any(word.lower() in lowered for word in _WORDS)


def vector_calls_of(outline: Outline) -> Iterator[VectorCall]:
    """Searches, writes, deletions and creations of vector stores in the file."""
    code = outline.source.file.text
    lowered = code.lower()
    clients = [client for client in _CLIENTS if re.search(rf"(?:import|from|require\()[^\n]*{client.word}", lowered)]
    if "knn" in lowered and re.search(r"(?:import|from|require\()[^\n]*(?:opensearch|elasticsearch)", lowered):
        clients.append(_OPENSEARCH)
    framework = next((name for name, words in _FRAMEWORKS if any(word in lowered for word in words)), None)
    behind = [store for store, pattern in _BEHIND if pattern.search(code)] if framework else []
    for call in outline.calls:
        if call.name in _ORM_DISTANCES and ("pgvector" in lowered or "drizzle" in lowered):
            yield _call(
                outline,
                call,
                "pgvector",
                "drizzle" if "drizzle" in lowered else "pgvector",
                "search",
                _ORM_DISTANCES[call.name],
            )
        elif call.name == "rpc" and "supabase" in call.holder.lower() + lowered:
            yield from _of_function(outline, call)
        elif framework and call.name in _FRAMEWORK_ACTIONS:
            if len(behind) == 1:
                yield _call(outline, call, behind[0], framework, _FRAMEWORK_ACTIONS[call.name])
        else:
            client = next(
                (
                    c
                    for c in clients
                    if call.name in c.actions and call.holder and re.search(c.holder, call.holder, re.IGNORECASE)
                ),
                None,
            )
            if client is not None and _is_meant(client, call):
                store = "elasticsearch" if client is _OPENSEARCH and "opensearch" not in lowered else client.store
                library = store if client is _OPENSEARCH else client.word
                yield _call(outline, call, store, library, client.actions[call.name])


def _is_meant(client: _Client, call: Call) -> bool:
    """Whether a common name, such as create() or add(), is the client's here."""
    if client.store == "weaviate":
        common = call.name in ("create", "replace", "hybrid")
        return not common or bool(re.search(r"collections$|query$|data$|schema", call.holder))
    if call.name in ("add", "update", "index", "create", "delete", "search", "query", "insert", "get"):
        return not re.search(
            r"session|\bdb$|redis|cache|logger|router|app$|set$|list$|prisma", call.holder, re.IGNORECASE
        )
    return True


def _of_function(outline: Outline, call: Call) -> Iterator[VectorCall]:
    """`supabase.rpc("match_documents", {...})`: a search where the function's name or arguments say so."""
    arguments = named(field(call.node, "arguments"))
    name = _string(arguments[0]) if arguments else None
    whole = outline.text(field(call.node, "arguments"))
    if name and (name.startswith("match_") or "embedding" in whole or "query_vector" in whole):
        found = _call(outline, call, "pgvector", "supabase", "search")
        yield VectorCall(
            found.store,
            found.library,
            found.action,
            found.location,
            None,
            None,
            found.limit,
            found.filters,
            name[:63],
            found.function,
        )


def _call(
    outline: Outline, call: Call, store: str, library: str, action: str, distance: str | None = None
) -> VectorCall:
    arguments = field(call.node, "arguments")
    whole = outline.text(arguments)[:4_000] if arguments is not None else ""
    limit = _LIMIT.search(whole) if action == "search" else None
    said = _DISTANCE.search(whole)
    function = outline.function_at(call.start)
    return VectorCall(
        store,
        library,
        action,
        Location(outline.path, call.line),
        _collection(arguments, store) if distance is None else None,
        distance or (said.group(1).lower() if said else None),
        int(limit.group(1)) if limit else None,
        _filters(arguments),
        None,
        function.name if function else None,
    )


def _collection(arguments: Node | None, store: str) -> str | None:
    entries = _entries(arguments)
    for key in _COLLECTIONS:
        if key in entries and (name := _string(entries[key])):
            return name[:100]
    positional = [argument for argument in named(arguments) if argument.type == "string"]
    first = (
        _string(positional[0])
        if positional and store in ("qdrant", "milvus", "chroma", "lancedb", "pgvector")
        else None
    )
    return first[:100] if first and re.fullmatch(r"[\w.-]+", first) else None


def _filters(arguments: Node | None) -> tuple[str, ...]:
    entries = _entries(arguments)
    for key in _FILTERS:
        value = entries.get(key)
        if value is not None and value.type in ("dictionary", "object"):
            return tuple(name for name in list(_pairs(value))[:20] if not name.startswith("$"))
    return ()


def _entries(arguments: Node | None) -> dict[str, Node]:
    """Keyword arguments, and the entries of an argument that is an object."""
    found: dict[str, Node] = {}
    for argument in named(arguments):
        if argument.type == "keyword_argument":
            value = field(argument, "value")
            if value is not None:
                found[text(field(argument, "name"))] = value
        elif argument.type in ("object", "dictionary"):
            found |= _pairs(argument)
    return found


def _pairs(node: Node) -> dict[str, Node]:
    found = {}
    for pair in named(node):
        key, value = field(pair, "key"), field(pair, "value")
        if pair.type == "pair" and key is not None and value is not None:
            found[(_string(key) or text(key)).strip("\"'")[:63]] = value
    return found


def _string(node: Node) -> str | None:
    if node.type not in ("string", "template_string"):
        return None
    parts = [child for child in node.named_children if child.type in ("string_content", "string_fragment")]
    return text(parts[0]) if len(parts) == 1 and len(node.named_children) <= 3 else None
