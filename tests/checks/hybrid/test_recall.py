from __future__ import annotations

import pytest

from checks.evidence.evidence import Evidence
from checks.evidence.observe import Target, observe
from checks.model import Confidence, Outcome, Reason, Severity
from tests.checks.evidence.database.test_recall import clustered, fill
from tests.checks.survey import conclude, survey
from tests.servers import Database

pytestmark = pytest.mark.vector

RECALL, PRODUCT = "hybrid.recall", "hybrid.inner-product-candidate"


def measured(database: Database) -> Evidence:
    return observe(Target(database.dsn, measure_recall=True)).evidence


def test_an_index_built_before_its_rows(database: Database) -> None:
    """The centres of its lists were made of nothing; the same index rebuilt, and a graph, are well."""
    connection = database.connect()
    notices: list[str] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    fill(connection, clustered()[:0])
    connection.execute("CREATE INDEX docs_ann ON docs USING ivfflat (v vector_cosine_ops) WITH (lists = 50)")
    assert any("created with little data" in notice for notice in notices)
    connection.execute("ALTER TABLE docs RENAME TO early")
    fill(connection, clustered())
    connection.execute("INSERT INTO early SELECT * FROM docs; ANALYZE")
    connection.execute(f"ALTER DATABASE {database.name} SET enable_seqscan = off".encode())
    connection.execute(f"ALTER DATABASE {database.name} SET enable_sort = off".encode())
    connection.execute("CREATE INDEX late_ann ON docs USING hnsw (v vector_cosine_ops)")

    evidence = measured(database)
    result = conclude(evidence, RECALL)

    (found,) = result.findings
    assert found.subject.name == "public.docs_ann"
    assert found.observed["recall"] < 0.9
    assert found.confidence is Confidence.MEASURED
    assert found.severity in {Severity.MEDIUM, Severity.HIGH}
    assert len(found.observed["larger"]) == 2
    assert (result.examined, result.of) == (2, 2)
    assert conclude(evidence, PRODUCT).outcome is Outcome.PASSED


@pytest.mark.vector((0, 7))
def test_vectors_of_length_one(database: Database) -> None:
    connection = database.connect()
    vectors = clustered()[:1000]
    fill(connection, vectors)
    connection.execute("UPDATE docs SET v = l2_normalize(v); CREATE INDEX ON docs USING hnsw (v vector_cosine_ops)")

    (found,) = conclude(measured(database), PRODUCT).findings

    assert found.observed["unit_length"] == 1
    assert found.subject.name == "public.docs.v"


def test_unasked(database: Database) -> None:
    database.execute("CREATE EXTENSION vector; CREATE TABLE docs (id int, v vector(3))")

    assert conclude(measured(database), RECALL).outcome is Outcome.NOT_APPLICABLE
    assert conclude(survey(database), RECALL).outcome is Outcome.NOT_APPLICABLE
    database.execute("CREATE INDEX ON docs USING hnsw (v vector_l2_ops)")
    result = conclude(survey(database), RECALL)
    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.NOT_OPTED_IN)
    result = conclude(measured(database), RECALL)
    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.NOT_RUN)
    assert "docs_v_idx: no_rows" in (result.unlock or "")
