from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Catalog
from checks.evidence.evidence import Evidence
from checks.model import Outcome
from tests.checks.survey import conclude, survey
from tests.servers import Database


def test_one_table_that_is_most_of_the_database(database: Database) -> None:
    database.execute(
        *(f"CREATE TABLE t{number} (id int)" for number in range(5)),
        "CREATE TABLE log (day date) PARTITION BY RANGE (day)",
        "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        "CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
    )
    evidence = survey(database)

    def sized(**gigabytes: float) -> Evidence:
        catalog = evidence.get(Catalog)
        tables = tuple(
            msgspec.structs.replace(table, total_bytes=round(gigabytes.get(table.name, 0) * 1024**3))
            for table in catalog.tables
        )
        return msgspec.structs.replace(evidence, catalog=msgspec.structs.replace(catalog, tables=tables))

    name = "observability.size-concentrated"
    (found,) = conclude(sized(log_1=20, log_2=20, t0=10, t1=5), name).findings
    assert found.title == "public.log is 73% of the 55 GB of all tables with their indexes"
    assert list(found.observed["largest"])[:2] == ["public.log", "public.t0"]
    assert conclude(sized(log_1=10, log_2=10, t0=15, t1=15), name).outcome is Outcome.PASSED
    assert conclude(sized(t0=5, t1=1), name).outcome is Outcome.PASSED
