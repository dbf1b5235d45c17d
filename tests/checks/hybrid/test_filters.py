from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from checks.model import Confidence, Severity
from tests.checks.hybrid.test_filtered_search import FILTERED, LIMITS, QUERY, table
from tests.checks.survey import examine
from tests.checks.workload import prepare, send
from tests.servers import Database

pytestmark = pytest.mark.vector


def test_a_filter_around_a_limit(database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]) -> None:
    """The nearest are taken first, whosoever they are; no index is to blame, and none helps."""
    prepare(database, "CREATE EXTENSION vector", table("chunks", tenants=10).partition("CREATE INDEX")[0])
    inner = "SELECT id, tenant_id, live, embedding <=> %s::vector AS d FROM chunks ORDER BY d LIMIT {}"
    connection = database.connect()
    late = f"SELECT id FROM ({inner.format(20)}) x WHERE x.tenant_id = %s"
    assert len(send(connection, late, [(QUERY, 7)])) < 10
    fine = (
        # A tenth of 200 is what is asked for, all rows are live, a threshold cuts by the distance itself.
        f"WITH x AS ({inner.format(200)}) SELECT id FROM x WHERE tenant_id = %s LIMIT 10",
        f"SELECT id FROM ({inner.format(20)}) x WHERE x.live AND x.d < %s",
        "SELECT a.id FROM chunks a, LATERAL (SELECT b.id FROM chunks b ORDER BY b.embedding <=> a.embedding LIMIT 5) n"
        " WHERE a.tenant_id = %s",
    )
    code = repository(
        {
            "search.py": "import psycopg\n"
            + "".join(f'def f{n}(c, v):\n    c.execute("{text}", v)\n' for n, text in enumerate((late, *fine)))
        }
    )

    (found,) = examine(database, FILTERED, code, limits=LIMITS).findings

    assert found.title == (
        "A search of public.chunks.embedding takes its nearest rows and only then filters them by tenant_id: about 10% are left "
        "(search.py:3)"
    )
    assert found.observed["matching_share"] == pytest.approx(0.1, abs=0.02)
    assert (found.severity, found.confidence) == (Severity.MEDIUM, Confidence.MEASURED)


def test_a_filter_around_a_limit_by_what_is_not_known(database: Database) -> None:
    """Nobody knows how many documents hold that; but other numbers of rows come back each time."""
    prepare(
        database,
        "CREATE EXTENSION vector",
        table("chunks").partition("CREATE INDEX")[0],
        "UPDATE chunks SET metadata = jsonb_build_object('kind', 'k' || id % 12)",
    )
    connection = database.connect()
    late = (
        "SELECT id FROM (SELECT id, metadata FROM chunks ORDER BY embedding <=> %s::vector LIMIT {}) x"
        " WHERE x.metadata @> %s::jsonb LIMIT 5"
    )
    few = [(f"[{n},2,3,4]", f'{{"kind": "k{n}"}}') for n in range(7)]
    rows = len(send(connection, late.format(20), few))
    assert rows % 7
    # Enough are taken that as many are left as are asked for, each time.
    assert len(send(connection, f"{late.format(2000)} OFFSET 0", few)) == 35

    (found,) = examine(database, FILTERED, limits=LIMITS).findings

    assert found.title == (
        "A search of public.chunks.embedding takes its nearest rows and only then filters them by metadata: "
        f"{rows / 7:,.1f} are left on average"
    )
    assert (found.observed["matching_share"], found.observed["returned_rows"]) == (None, round(rows / 7, 2))
