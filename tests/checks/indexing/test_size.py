from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Catalog, Usage
from checks.evidence.evidence import Evidence
from checks.model import Confidence, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

SMALL = {"large_index_bytes": 100_000, "window_days": 0}


def test_indexes_whose_rows_share_no_entries(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE t (id int PRIMARY KEY, state int, code int, price numeric, label text, old int);
        INSERT INTO t SELECT n, n % 6, n, n % 6, 'label ' || n % 6, n % 6 FROM generate_series(1, 30000) n;
        CREATE INDEX t_state ON t (state);
        CREATE INDEX t_state_apart ON t (state) WITH (deduplicate_items = off);
        CREATE INDEX t_code ON t (code);
        CREATE INDEX t_price ON t (price);
        CREATE INDEX t_label ON t (label);
        CREATE INDEX t_old ON t (old) WITH (deduplicate_items = off);
        ALTER INDEX t_old RESET (deduplicate_items);
        ANALYZE t;
        """
    )

    result = examine(database, "indexing.index-without-deduplication", limits=SMALL)

    assert names(result) == {"public.t_state_apart", "public.t_old"}
    apart, old = finding(result, "public.t_state_apart"), finding(result, "public.t_old")
    assert (apart.confidence, old.confidence) == (Confidence.MEASURED, Confidence.INFERRED)
    assert apart.observed["rows_per_value"] == 5000
    assert apart.fix.sql is not None
    assert apart.fix.sql.startswith("ALTER INDEX public.t_state_apart RESET (deduplicate_items);")
    assert old.fix.sql == "REINDEX INDEX CONCURRENTLY public.t_old;"
    database.execute("REINDEX INDEX t_old")
    assert names(examine(database, "indexing.index-without-deduplication", limits=SMALL)) == {"public.t_state_apart"}


def grown(evidence: Evidence, table: str, inserted: int) -> Evidence:
    usage = evidence.get(Usage)
    oid = next(entry.oid for entry in evidence.get(Catalog).tables if entry.name == table)
    entries = tuple(
        msgspec.structs.replace(entry, inserted=inserted if entry.table == oid else 0, deleted=0)
        for entry in usage.tables
    )
    return msgspec.structs.replace(evidence, usage=msgspec.structs.replace(usage, tables=entries))


def test_an_index_that_doubles_within_a_month(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE t (id int PRIMARY KEY, label text);
        INSERT INTO t SELECT n, 'a label that is long enough ' || n FROM generate_series(1, 30000) n;
        CREATE INDEX t_label ON t (label);
        ANALYZE t;
        """
    )
    evidence = survey(database, limits=SMALL)

    result = conclude(grown(evidence, "t", 10_000), "indexing.fast-growing-index")

    assert {found.subject.name: found.severity for found in result.findings} == {"public.t_label": Severity.NOTE}
    found = finding(result, "public.t_label")
    assert (found.observed["rows_per_day"], found.observed["doubles_in_days"]) == (10_000, 3.0)
    assert names(conclude(grown(evidence, "t", 500), "indexing.fast-growing-index")) == set()
