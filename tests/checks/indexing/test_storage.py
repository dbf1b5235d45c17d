from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Catalog, CollationVersion, Usage
from checks.model import Outcome
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

SCHEMA = """
    CREATE TABLE bloated (id int PRIMARY KEY, v int);
    INSERT INTO bloated SELECT n, n FROM generate_series(1, 30000) n;
    CREATE INDEX bloated_v ON bloated (v);
    DELETE FROM bloated WHERE id % 300 <> 0;
    VACUUM ANALYZE bloated;
    CREATE TABLE tight (id int PRIMARY KEY, v text);
    INSERT INTO tight SELECT n, 'same' FROM generate_series(1, 30000) n;
    CREATE INDEX tight_v ON tight (v);
    CREATE INDEX tight_expression ON tight ((id + 1));
    ANALYZE tight;
"""


def test_indexes_that_are_mostly_empty(database: Database) -> None:
    database.execute(*(part for part in SCHEMA.split(";") if part.strip()))

    result = examine(database, "indexing.bloated-index", limits={"large_index_bytes": 100_000})

    assert names(result) == {"public.bloated_pkey", "public.bloated_v"}
    assert finding(result, "public.bloated_v").observed["empty_share"] > 0.9
    assert (result.examined, result.of) == (4, 4)
    assert examine(database, "indexing.bloated-index").outcome is Outcome.PASSED


def test_an_index_that_is_often_not_in_memory(database: Database) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v int)", "CREATE INDEX t_v ON t (v)")
    evidence = survey(database, limits={"window_days": 0})
    usage, catalog = evidence.get(Usage), evidence.get(Catalog)
    names_of = {index.oid: index.name for index in catalog.indexes}
    changed = tuple(
        msgspec.structs.replace(
            entry, scans=10, blocks_read=60_000, blocks_hit=10_000 if names_of[entry.index] == "t_v" else 10_000_000
        )
        for entry in usage.indexes
    )

    result = conclude(
        msgspec.structs.replace(evidence, usage=msgspec.structs.replace(usage, indexes=changed)), "indexing.cold-index"
    )

    assert names(result) == {"public.t_v"}


def test_indexes_sorted_by_an_older_collation(database: Database) -> None:
    database.execute(
        "CREATE COLLATION german (provider = libc, locale = 'C')",
        'CREATE TABLE t (id int PRIMARY KEY, a text COLLATE german UNIQUE, b text UNIQUE, c text COLLATE "C")',
        "CREATE INDEX t_c ON t (c)",
        'CREATE INDEX t_b_c ON t (b COLLATE "C")',
        "CREATE INDEX t_pattern ON t (a text_pattern_ops)",
        "CREATE INDEX t_hash ON t USING hash (a)",
    )
    evidence = survey(database)
    known = (
        CollationVersion("german", "i", "153.112", "153.128"),
        CollationVersion("en_US.utf8", "c", "2.31", "2.39", default=True),
        CollationVersion("C.utf8", "c", "2.31", "2.31"),
    )
    catalog = msgspec.structs.replace(evidence.get(Catalog), collations=known)

    result = conclude(msgspec.structs.replace(evidence, catalog=catalog), "indexing.corruption-risk")

    assert {found.discriminator: found.observed["first"] for found in result.findings} == {
        "german": ["public.t_a_key"],
        "default": ["public.t_b_key"],
    }
    (german,) = (found for found in result.findings if found.discriminator == "german")
    assert german.fix.sql == ("REINDEX INDEX CONCURRENTLY public.t_a_key; ALTER COLLATION german REFRESH VERSION;")
    assert (result.examined, result.of) == (3, 3)
