from __future__ import annotations

from checks.evidence.database.facts import Catalog, RowSamples
from checks.evidence.database.samples import ROWS
from checks.evidence.evidence import Evidence
from checks.evidence.observe import Target, observe
from checks.evidence.store import encode
from checks.model import Reason
from tests.servers import Database

SCHEMA = """
    CREATE TABLE things (
        id int PRIMARY KEY, flag text, number varchar(20), price text, key text, at text, document text, xml text, refs text,
        city text, note text, long text, is_on int, nothing text, "odd %s {name}" text
    );
    INSERT INTO things SELECT i, CASE WHEN i % 2 = 0 THEN 'yes' ELSE 'No' END, i::text, i || '.50', md5(i::text)::uuid::text,
        '2026-01-02T03:04:05.678Z', '{"a": [' || i || ']}', '<?xml version="1.0"?><a/>', i || ', ' || i + 1,
        (ARRAY['Berlin', 'berlin ', 'Rome'])[1 + i % 3], CASE WHEN i % 4 = 0 THEN ' note' ELSE '007' END, repeat('x', 5000),
        i % 2, NULL, 'secret-' || i
    FROM generate_series(1, 1500) i;
    ANALYZE things;
    CREATE TABLE empty (id int PRIMARY KEY, word text);
    CREATE TABLE guarded (id int PRIMARY KEY, word text);
    INSERT INTO guarded VALUES (1, 'a');
    ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
    CREATE TABLE parted (day date, word text) PARTITION BY RANGE (day);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    INSERT INTO parted SELECT '2026-02-02', 'true' FROM generate_series(1, 10);
"""


def sampled(evidence: Evidence) -> tuple[RowSamples, dict[str, dict[str, int]]]:
    """The samples, and by column the counts that are not zero."""
    catalog, samples = evidence.get(Catalog), evidence.get(RowSamples)
    found = {}
    for entry in samples.columns:
        counts = {name: getattr(entry, name) for name in entry.__struct_fields__[2:]}
        name = catalog.column_subject(catalog.column(entry.table, entry.column)).name.removeprefix("public.")
        found[name] = {key: count for key, count in counts.items() if count}
    return samples, found


def test_forms_of_values_are_counted(database: Database) -> None:
    database.execute(SCHEMA)

    evidence = observe(Target(database.dsn, read_rows=True)).evidence

    samples, found = sampled(evidence)
    assert found.pop("things.id")["values"] == ROWS
    assert found == {
        "things.flag": {"values": 1000, "booleans": 1000, "distinct": 2, "folded": 2},
        "things.number": {"values": 1000, "booleans": 1, "integers": 1000, "distinct": 1000, "folded": 1000},
        "things.price": {"values": 1000, "numbers": 1000, "distinct": 1000, "folded": 1000},
        "things.key": {"values": 1000, "uuids": 1000, "distinct": 1000, "folded": 1000},
        "things.at": {"values": 1000, "times": 1000, "distinct": 1, "folded": 1},
        "things.document": {"values": 1000, "documents": 1000, "distinct": 1000, "folded": 1000},
        "things.xml": {"values": 1000, "markup": 1000, "distinct": 1, "folded": 1},
        "things.refs": {"values": 1000, "lists": 1000, "distinct": 1000, "folded": 1000},
        "things.city": {"values": 1000, "padded": 334, "distinct": 3, "folded": 2},
        "things.note": {"values": 1000, "padded": 250, "distinct": 2, "folded": 2},
        "things.is_on": {"values": 1000, "booleans": 1000},
        'things."odd %s {name}"': {"values": 1000, "distinct": 1000, "folded": 1000},
        "guarded.id": {"values": 1, "booleans": 1},
        "guarded.word": {"values": 1, "distinct": 1, "folded": 1},
        "parted.word": {"values": 10, "booleans": 10, "distinct": 1, "folded": 1},
    }
    assert (samples.tables, samples.skipped) == (4, {})
    assert b"secret" not in encode(evidence)
    assert b"erlin" not in encode(evidence)


def test_nobody_asked_for_rows(database: Database) -> None:
    gap = observe(Target(database.dsn)).evidence.gap(RowSamples)

    assert gap is not None
    assert (gap.reason, "--read-rows" in gap.unlock) == (Reason.NOT_OPTED_IN, True)


def test_tables_that_this_role_may_not_read_whole(database: Database) -> None:
    reader = f"reader_of_{database.name}"
    database.execute(SCHEMA, f"CREATE ROLE {reader} LOGIN", f"GRANT SELECT ON things, guarded TO {reader}")
    try:
        evidence = observe(Target(f"{database.dsn} user={reader}", read_rows=True)).evidence
    finally:
        database.execute(f"DROP OWNED BY {reader}", f"DROP ROLE {reader}")

    catalog, samples = evidence.get(Catalog), evidence.get(RowSamples)
    assert {catalog.table_by_oid[int(oid)].name: why for oid, why in samples.skipped.items()} == {
        "guarded": "not_permitted", "parted": "not_permitted", "empty": "not_permitted",
    }  # fmt: skip
    assert samples.tables == 1
