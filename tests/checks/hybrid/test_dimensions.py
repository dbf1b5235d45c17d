from __future__ import annotations

from typing import Any

import msgspec
import psycopg
import pytest

from checks.evidence.repository.facts import EmbeddingModel, Model, ModelColumn, Repository
from checks.hybrid.models import dimensions_of, plain_name
from checks.model import Location, Outcome, Severity
from tests.checks.survey import conclude, finding, names, survey
from tests.servers import Database

pytestmark = pytest.mark.vector((0, 7))

LOOSE, WIDE, DIFFERS = (
    "hybrid.vector-without-dimension",
    "hybrid.too-many-dimensions",
    "hybrid.dimension-differs-from-code",
)
TABLES = """
    CREATE EXTENSION vector;
    CREATE TABLE loose (id int PRIMARY KEY, embedding vector);
    CREATE TABLE by_model (id int PRIMARY KEY, model text, embedding vector);
    CREATE INDEX ON by_model USING hnsw ((embedding::vector(3)) vector_cosine_ops) WHERE model = 'small';
    CREATE TABLE bases (id int PRIMARY KEY, embedding_model_id int);
    CREATE TABLE of_a_base (id int PRIMARY KEY, base_id int, embedding vector);
    CREATE INDEX ON of_a_base USING hnsw ((embedding::vector(3)) vector_cosine_ops) WHERE base_id = 1;
    CREATE TABLE unindexed (id int PRIMARY KEY, base_id int, embedding vector);
    CREATE TABLE typed (id int PRIMARY KEY, embedding vector(1536));
    CREATE TABLE wide (id int PRIMARY KEY, embedding vector(3072));
    CREATE TABLE known (id int PRIMARY KEY, embedding vector(3072));
    CREATE INDEX ON known USING hnsw ((embedding::halfvec(3072)) halfvec_cosine_ops);
    CREATE TABLE halved (id int PRIMARY KEY, embedding halfvec(3072));
    CREATE TABLE huge (id int PRIMARY KEY, embedding halfvec(8000));
    CREATE TABLE parted (id int, embedding vector) PARTITION BY LIST (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
"""


def with_code(evidence: Any, **facts: Any) -> Any:
    return msgspec.structs.replace(evidence, repository=Repository("app", **facts))


def test_dimensions(database: Database) -> None:
    database.execute(TABLES)
    for statement, words in (
        ("CREATE INDEX ON loose USING hnsw (embedding vector_l2_ops)", "does not have dimensions"),
        ("CREATE INDEX ON wide USING hnsw (embedding vector_l2_ops)", "more than 2000 dimensions"),
        ("CREATE INDEX ON wide USING ivfflat (embedding vector_l2_ops)", "more than 2000 dimensions"),
    ):
        with pytest.raises(psycopg.Error, match=words):
            database.execute(statement)
    evidence = survey(database)

    loose = conclude(evidence, LOOSE)
    assert {found.subject.name: found.severity for found in loose.findings} == {
        "public.loose.embedding": Severity.MEDIUM,
        "public.parted.embedding": Severity.MEDIUM,
        "public.unindexed.embedding": Severity.MEDIUM,
    }
    assert (
        "public.bases.embedding_model_id"
        in finding(conclude(evidence, LOOSE), "public.unindexed.embedding").fix.summary
    )
    models = (EmbeddingModel("text-embedding-3-small", Location("embed.py", 3)),)
    told = finding(conclude(with_code(evidence, embedding_models=models), LOOSE), "public.loose.embedding")
    assert told.fix.sql == "ALTER TABLE public.loose ALTER COLUMN embedding TYPE vector(1536);"
    database.execute(told.fix.sql)
    unheard = (*models, EmbeddingModel("an-unheard-of-model", Location("embed.py", 4)))
    open_ = finding(conclude(with_code(evidence, embedding_models=unheard), LOOSE), "public.parted.embedding")
    assert (open_.fix.sql, open_.observed["dimensions_in_code"]) == (None, [1536])

    wide = conclude(evidence, WIDE)
    assert names(wide) == {"public.wide.embedding", "public.huge.embedding"}
    found = finding(wide, "public.wide.embedding")
    assert found.title == "public.wide.embedding has 3,072 dimensions, and an index takes at most 2,000 of a vector"
    # Where an index can be built, that there is none is another finding.
    large = conclude(survey(database, limits={"vector_rows": -1}), WIDE)
    assert {entry.subject.path[1]: entry.severity for entry in large.findings} == {
        "wide": Severity.LOW,
        "huge": Severity.HIGH,
    }
    database.execute(found.fix.sql or "")
    assert finding(wide, "public.huge.embedding").fix.sql is None


def test_wide_columns_for_models_not_in_use(database: Database) -> None:
    database.execute(
        "CREATE EXTENSION vector",
        "CREATE TABLE chunks (id int PRIMARY KEY, of_3 vector(3), of_3072 vector(3072))",
        "CREATE TABLE waiting (id int PRIMARY KEY, of_3072 vector(3072))",
        *(f"INSERT INTO {name} (id) SELECT generate_series(1, 100)" for name in ("chunks", "waiting")),
        "UPDATE chunks SET of_3 = '[1,2,3]'",
        "ANALYZE",
    )

    assert names(conclude(survey(database), WIDE)) == {"public.waiting.of_3072"}


def test_what_the_code_declares(database: Database) -> None:
    database.execute("CREATE EXTENSION vector; CREATE TABLE docs (id int, embedding vector(768))")
    evidence = survey(database)

    def declared(dimensions: int) -> Any:
        column = ModelColumn("embedding", "embedding", Location("models.py", 8), "Vector", dimensions=dimensions)
        return with_code(
            evidence, models=(Model("Doc", "sqlalchemy", "docs", Location("models.py", 5), columns=(column,)),)
        )

    (found,) = conclude(declared(1536), DIFFERS).findings
    assert found.title == "public.docs.embedding has 768 dimensions, and model Doc declares 1,536 (models.py:8)"
    assert found.severity is Severity.HIGH or found.severity is None
    assert conclude(declared(768), DIFFERS).outcome is Outcome.PASSED

    def uses(*models: EmbeddingModel) -> Any:
        return with_code(evidence, embedding_models=models)

    place = Location("embed.py", 2)
    ada = EmbeddingModel("text-embedding-ada-002", place)
    (found,) = conclude(uses(ada), DIFFERS).findings
    assert (found.severity, found.observed["dimensions_in_code"]) == (Severity.MEDIUM, 1536)
    # Of models that shorten what they give, and of several models, nothing follows.
    for models in (
        (EmbeddingModel("text-embedding-3-small", place),),
        (EmbeddingModel("text-embedding-3-small", place, dimensions=768),),
        (ada, EmbeddingModel("nomic-embed-text", place)),
        (EmbeddingModel("an-unheard-of-model", place),),
    ):
        assert conclude(uses(*models), DIFFERS).outcome is Outcome.PASSED, models
    assert conclude(evidence, DIFFERS).outcome is Outcome.UNKNOWN


def test_names_of_models() -> None:
    assert plain_name("openai/Text-Embedding-3-Small") == "text-embedding-3-small"
    assert plain_name("all-MiniLM-L6-v2/256") == "all-minilm-l6-v2"
    assert plain_name("nomic-embed-text:latest") == "nomic-embed-text"
    assert plain_name("voyage:voyage-code-3") == "voyage-code-3"
    assert plain_name("ollama:nomic-embed-text:v1.5") == "nomic-embed-text"
    assert dimensions_of("sentence-transformers/all-MiniLM-L6-v2") == 384
    assert dimensions_of("models/text-embedding-004") == 768
    assert dimensions_of("") is None
