from __future__ import annotations

from typing import Any

import msgspec
import pytest

from checks.evidence.repository.facts import Behaviour, EmbeddingModel, Repository, VectorCall
from checks.model import Location, Outcome, Severity
from tests.checks.survey import conclude, finding, names, survey
from tests.servers import Database

pytestmark = pytest.mark.vector

PROVENANCE, DIFFER, DUAL, OUTLIVES, LOAD = (
    "hybrid.no-embedding-provenance",
    "hybrid.embedding-models-differ",
    "hybrid.dual-write",
    "hybrid.embedding-outlives-source",
    "hybrid.index-before-load",
)
PLACE = Location("ingest.py", 4)
SCHEMA = """
    CREATE EXTENSION vector;
    CREATE TABLE bases (id int PRIMARY KEY, embedding_model text);
    CREATE TABLE documents (id int PRIMARY KEY, base_id int REFERENCES bases);
    CREATE TABLE bare (id int PRIMARY KEY, document_id int REFERENCES documents ON DELETE SET NULL, embedding vector(3));
    CREATE TABLE told (id int PRIMARY KEY, document_id int REFERENCES documents ON DELETE CASCADE, model text,
        content_hash bytea, embedding vector(3));
    CREATE TABLE alone (id int PRIMARY KEY, content text, embedding vector(3));
    CREATE TABLE owned (id int PRIMARY KEY, team_id int REFERENCES bases ON DELETE SET NULL, content text, model text,
        embedding vector(3));
    CREATE INDEX told_ann ON told USING hnsw (embedding vector_cosine_ops);
"""


def with_code(evidence: Any, **facts: Any) -> Any:
    return msgspec.structs.replace(evidence, repository=Repository("app", **facts))


def test_models_and_sources_of_embeddings(database: Database) -> None:
    database.execute(SCHEMA)
    evidence = survey(database)

    result = conclude(evidence, PROVENANCE)

    assert {found.subject.name: found.observed["missing"] for found in result.findings} == {
        # Its model stands two foreign keys away; nothing tells that a source changed.
        "public.bare.embedding": ["source hash or time"],
        "public.alone.embedding": ["model"],
    }
    alone = finding(result, "public.alone.embedding")
    assert alone.severity is Severity.LOW
    database.execute(alone.fix.sql or "", alone.fix.undo or "")
    two = (EmbeddingModel("text-embedding-3-small", PLACE), EmbeddingModel("bge-m3", PLACE))
    database.execute("CREATE TABLE vectors_text_embedding_3_small (content text, embedding vector(3))")
    named = conclude(with_code(survey(database), embedding_models=two), PROVENANCE)
    assert names(named) == {"public.bare.embedding", "public.alone.embedding"}
    several = conclude(with_code(evidence, embedding_models=two), PROVENANCE)
    assert finding(several, "public.alone.embedding").severity is Severity.MEDIUM

    outlives = conclude(evidence, OUTLIVES)
    assert names(outlives) == {"public.bare.bare_document_id_fkey"}
    assert outlives.findings[0].severity is Severity.MEDIUM
    database.execute(outlives.findings[0].fix.sql or "")


def test_what_goes_with_the_owner_of_its_source(database: Database) -> None:
    database.execute(
        """
        CREATE EXTENSION vector;
        CREATE TABLE sites (id int PRIMARY KEY);
        CREATE TABLE pages (id int PRIMARY KEY, site_id int REFERENCES sites ON DELETE CASCADE);
        CREATE TABLE parts (id int PRIMARY KEY, site_id int NOT NULL REFERENCES sites ON DELETE CASCADE,
            page_id int REFERENCES pages ON DELETE SET NULL, embedding vector(3));
        CREATE TABLE strays (id int PRIMARY KEY, site_id int REFERENCES sites,
            page_id int REFERENCES pages ON DELETE SET NULL, embedding vector(3));
        """
    )

    result = conclude(survey(database), OUTLIVES)

    assert {found.subject.name: found.severity for found in result.findings} == {
        "public.parts.parts_page_id_fkey": Severity.LOW,
        "public.strays.strays_page_id_fkey": Severity.MEDIUM,
    }


def test_models_of_data_and_of_queries(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    evidence = survey(database)

    def uses(*pairs: tuple[str, str]) -> Any:
        return with_code(evidence, embedding_models=tuple(EmbeddingModel(name, PLACE, use) for name, use in pairs))

    (found,) = conclude(
        uses(("text-embedding-ada-002", "ingest"), ("text-embedding-3-small", "query")), DIFFER
    ).findings
    assert found.title == (
        "Queries are embedded with text-embedding-3-small (ingest.py:4), the data with text-embedding-ada-002 (ingest.py:4)"
    )
    for pairs in (
        [("openai/text-embedding-3-small", "ingest"), ("text-embedding-3-small", "query")],
        [("bge-m3", "ingest"), ("gte-base", "")],
        [("bge-m3", ""), ("gte-base", "")],
        # Code that knows more models takes one by its configuration.
        [("bge-m3", "ingest"), ("gte-base", "query"), ("text-embedding-3-small", "")],
    ):
        assert conclude(uses(*pairs), DIFFER).outcome is Outcome.PASSED
    assert conclude(uses(), DIFFER).outcome is Outcome.NOT_APPLICABLE


def test_a_second_store(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    evidence = survey(database)
    write, delete = (VectorCall("qdrant", "qdrant", action, PLACE) for action in ("write", "delete"))
    inside = VectorCall("pgvector", "langchain", "write", PLACE)

    (found,) = conclude(with_code(evidence, vector_calls=(write, inside)), DUAL).findings
    assert found.title == "The code writes vectors to qdrant and never deletes one (ingest.py:4)"
    assert found.severity is Severity.MEDIUM
    (found,) = conclude(with_code(evidence, vector_calls=(write, delete)), DUAL).findings
    assert found.severity is Severity.LOW
    many = tuple(VectorCall(store, store, "write", PLACE) for store in ("qdrant", "pinecone", "milvus"))
    assert conclude(with_code(evidence, vector_calls=many), DUAL).outcome is Outcome.UNKNOWN
    assert conclude(with_code(evidence, vector_calls=(inside,)), DUAL).outcome is Outcome.NOT_APPLICABLE
    faiss = with_code(evidence, vector_calls=(VectorCall("faiss", "langchain", "write", PLACE),))
    assert names(conclude(faiss, DUAL)) == {"ingest.py"}
    database.execute("CREATE EXTENSION vector; CREATE TABLE kept (embedding vector(3))")
    faiss = with_code(survey(database), vector_calls=(*faiss.repository.vector_calls, write))
    assert [found.observed["store"] for found in conclude(faiss, DUAL).findings] == ["qdrant"]
    # Rows that say whether the other store has them are an outbox too.
    database.execute("CREATE TABLE notes (id int, vector_next_attempt_at timestamptz)")
    assert conclude(with_code(survey(database), vector_calls=(write, delete)), DUAL).outcome is Outcome.PASSED
    database.execute("DROP TABLE notes; CREATE TABLE vector_outbox (id int)")
    assert conclude(with_code(survey(database), vector_calls=(write, delete)), DUAL).outcome is Outcome.PASSED


def test_rows_one_by_one(database: Database) -> None:
    database.execute(SCHEMA)
    evidence = survey(database)
    loop = Behaviour("insert_in_loop", Location("load.py", 9), table="told")

    (found,) = conclude(with_code(evidence, behaviours=(loop,)), LOAD).findings
    assert found.subject.name == "public.told.embedding"
    assert [(place.path, place.line) for place in found.locations] == [("load.py", 9)]
    later = msgspec.structs.replace(loop, text='INSERT INTO "told" ("id") VALUES ($1)')
    assert conclude(with_code(evidence, behaviours=(later,)), LOAD).outcome is Outcome.PASSED
    with_vector = msgspec.structs.replace(loop, text='INSERT INTO "told" ("id", "embedding") VALUES ($1, $2)')
    assert len(conclude(with_code(evidence, behaviours=(with_vector,)), LOAD).findings) == 1
    other = Behaviour("insert_in_loop", Location("load.py", 9), table="documents")
    assert conclude(with_code(evidence, behaviours=(other,)), LOAD).outcome is Outcome.PASSED
