from __future__ import annotations

import pytest

from checks.model import Outcome
from tests.checks.survey import examine, finding, names
from tests.checks.workload import NO_WINDOW, prepare, send
from tests.servers import Database

NAME = "indexing.overlapping-index"


def test_two_gin_indexes_on_one_column(database: Database) -> None:
    prepare(
        database,
        """CREATE TABLE t (id int PRIMARY KEY, body jsonb, other jsonb, tags text[]);
           CREATE INDEX t_all ON t USING gin (body);
           CREATE INDEX t_paths ON t USING gin (body jsonb_path_ops);
           CREATE INDEX t_part ON t USING gin (body jsonb_path_ops) WHERE id > 5;
           CREATE INDEX t_other ON t USING gin (other jsonb_path_ops);
           CREATE INDEX t_tags ON t USING gin (tags)""",
    )

    result = examine(database, NAME)

    assert names(result) == {"public.t_paths"}
    assert result.findings[0].observed["kept"] == "public.t_all"
    database.execute(result.findings[0].fix.sql or "")
    assert examine(database, NAME).outcome is Outcome.PASSED


@pytest.mark.vector
def test_two_vector_indexes_on_one_column(database: Database) -> None:
    prepare(
        database,
        "CREATE EXTENSION vector",
        """CREATE TABLE doubled (id int PRIMARY KEY, embedding vector(3));
           CREATE TABLE metrics (id int PRIMARY KEY, embedding vector(3));
           CREATE TABLE asked (id int PRIMARY KEY, embedding vector(3));
           CREATE INDEX doubled_hnsw ON doubled USING hnsw (embedding vector_cosine_ops);
           CREATE INDEX doubled_ivf ON doubled USING ivfflat (embedding vector_cosine_ops) WITH (lists = 1);
           CREATE INDEX metrics_cosine ON metrics USING hnsw (embedding vector_cosine_ops);
           CREATE INDEX metrics_l2 ON metrics USING hnsw (embedding vector_l2_ops);
           CREATE INDEX asked_cosine ON asked USING hnsw (embedding vector_cosine_ops);
           CREATE INDEX asked_l2 ON asked USING hnsw (embedding vector_l2_ops);
           CREATE TABLE tenants (id int PRIMARY KEY, tenant text, embedding vector(3));
           CREATE INDEX tenants_a ON tenants USING hnsw (embedding vector_cosine_ops) WHERE tenant = 'a';
           CREATE INDEX tenants_b ON tenants USING hnsw (embedding vector_cosine_ops) WHERE tenant = 'b';
           CREATE TABLE thrice (id int PRIMARY KEY, tenant text, embedding vector(3));
           CREATE INDEX thrice_a ON thrice USING hnsw (embedding vector_cosine_ops) WHERE tenant = 'a';
           CREATE INDEX thrice_b ON thrice USING hnsw (embedding vector_cosine_ops) WHERE tenant = 'a';
           CREATE INDEX thrice_c ON thrice USING hnsw (embedding vector_cosine_ops) WHERE tenant = 'a'""",
    )
    connection = database.connect()
    search = "SELECT id FROM {} ORDER BY embedding {} %s::vector LIMIT 5"
    for name, operator in (("metrics", "<=>"), ("asked", "<=>"), ("asked", "<->")):
        send(connection, search.format(name, operator), [("[1,2,3]",)] * 3)

    result = examine(database, NAME, limits=NO_WINDOW)

    assert names(result) == {"public.doubled_ivf", "public.metrics_l2", "public.thrice_b", "public.thrice_c"}
    assert len(result.findings) == 4
    assert finding(result, "public.metrics_l2").observed["why"] == "nothing searches by its distance"
    # Counters that cover a moment are no reason to drop anything.
    assert names(examine(database, NAME)) == {"public.doubled_ivf", "public.thrice_b", "public.thrice_c"}
