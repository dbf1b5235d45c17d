from __future__ import annotations

import psycopg
import pytest

from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.checks.workload import NO_WINDOW, flush, prepare, send
from tests.servers import Database

CLASS, BTREE, PENDING = "hybrid.gin-operator-class-mismatch", "hybrid.btree-on-jsonb", "hybrid.gin-pending-list"
LIMITS = {"seq_scan_rows": 1000, "unused_index_bytes": 1000}
TABLE = """
    CREATE TABLE {0} (id int PRIMARY KEY, payload jsonb NOT NULL);
    INSERT INTO {0} SELECT i, jsonb_build_object('kind', 'k' || i % 100, 'key' || i % 500, i) FROM generate_series(1, 3000) i;
"""


def plan(database: Database, statement: str) -> str:
    """With sequential scans forbidden as far as that goes."""
    with database.connect() as connection:
        connection.execute("SET enable_seqscan = off")
        return " ".join(row[0] for row in connection.execute(f"EXPLAIN {statement}".encode()))


def test_operator_classes(database: Database) -> None:
    tables = ("paths", "twofold", "keys", "wide")
    prepare(
        database,
        *map(TABLE.format, tables),
        "CREATE INDEX paths_gin ON paths USING gin (payload jsonb_path_ops)",
        "CREATE INDEX twofold_paths ON twofold USING gin (payload jsonb_path_ops)",
        "CREATE INDEX twofold_keys ON twofold USING gin (payload)",
        "CREATE INDEX keys_gin ON keys USING gin (payload)",
        "CREATE INDEX wide_gin ON wide USING gin (payload)",
    )
    connection = database.connect()
    for name in tables:
        send(connection, f"SELECT id FROM {name} WHERE payload @> %s::jsonb", [('{"kind": "k1"}',)] * 3)
    for name in ("paths", "twofold", "keys"):
        send(connection, f"SELECT id FROM {name} WHERE payload ? %s", [("key7",)] * 3)
    # What the class does not know is not served, and ->> by none.
    assert "paths_gin" not in plan(database, "SELECT id FROM paths WHERE payload ? 'key7'")
    assert "paths_gin" in plan(database, 'SELECT id FROM paths WHERE payload @> \'{"kind": "k1"}\'')
    assert "keys_gin" in plan(database, "SELECT id FROM keys WHERE payload ? 'key7'")
    assert "keys_gin" not in plan(database, "SELECT id FROM keys WHERE payload ->> 'kind' = 'k1'")

    result = examine(database, CLASS, limits=LIMITS)

    assert names(result) == {"public.paths_gin", "public.wide_gin"}
    paths = finding(result, "public.paths_gin")
    assert paths.title == "GIN index public.paths_gin (jsonb_path_ops) does not serve ? of 1 statement"
    assert (paths.severity, paths.confidence) == (Severity.MEDIUM, Confidence.MEASURED)
    database.execute(paths.fix.sql or "")
    assert "jsonb_ops_idx" in plan(database, "SELECT id FROM paths WHERE payload ? 'key7'")
    wide = finding(result, "public.wide_gin")
    assert wide.severity is Severity.LOW
    before = wide.observed["index_bytes"]
    database.execute(wide.fix.sql or "")
    row = database.connect().execute("SELECT pg_relation_size('wide_payload_jsonb_path_ops_idx')").fetchone()
    assert row is not None
    assert row[0] < before


CONTAINING = {
    "@>": ("payload @> %s::jsonb", '{"kind": "k1"}'),
    "@?": ("payload @? %s::jsonpath", '$.kind ? (@ == "k1")'),
    "@@": ("payload @@ %s::jsonpath", '$.kind == "k1"'),
}
EXISTING = {
    "?": ("payload ? %s", "key7"),
    "?|": ("payload ?| %s::text[]", "{key7,key8}"),
    "?&": ("payload ?& %s::text[]", "{kind,key7}"),
}


def test_each_operator_and_the_classes_that_serve_it(database: Database) -> None:
    """jsonb_ops serves all six, jsonb_path_ops the three that ask for a value at a path."""
    cases = [(number, *entry) for number, entry in enumerate({**CONTAINING, **EXISTING}.items())]
    statements = []
    for number, _, _ in cases:
        for kind, operator_class in (("all", ""), ("path", "jsonb_path_ops")):
            name = f"{kind}_{number}"
            statements += [
                TABLE.format(name),
                f"CREATE INDEX {name}_gin ON {name} USING gin (payload {operator_class})",
            ]
    prepare(database, *statements)
    connection = database.connect()
    for number, operator, (condition, value) in cases:
        for kind in ("all", "path"):
            name = f"{kind}_{number}"
            text = f"SELECT id FROM {name} WHERE {condition}"
            send(connection, text, [(value,)] * 3)
            served = kind == "all" or operator in CONTAINING
            assert (f"{name}_gin" in plan(database, text.replace("%s", f"'{value}'"))) is served, (operator, kind)

    result = examine(database, CLASS, limits={"seq_scan_rows": 1000})

    assert names(result) == {f"public.path_{number}_gin" for number, operator, _ in cases if operator in EXISTING}
    found = {operator for entry in result.findings for operator in entry.observed["operators"]}
    assert found == set(EXISTING)


def test_documents_as_keys_of_a_btree(database: Database) -> None:
    prepare(
        database,
        TABLE.format("plain") + TABLE.format("keyed"),
        "CREATE INDEX plain_whole ON plain (payload)",
        "CREATE INDEX ON keyed ((payload ->> 'kind'))",
        "CREATE TABLE rollups (name text, tags jsonb, UNIQUE (name, tags))",
    )
    with pytest.raises(psycopg.Error, match=r"index row (size|requires) "):
        database.execute("INSERT INTO plain SELECT 0, jsonb_agg(md5(i::text)) FROM generate_series(1, 500) i")

    result = examine(database, BTREE)

    assert names(result) == {"public.plain_whole", "public.rollups_name_tags_key"}
    plain = finding(result, "public.plain_whole")
    assert plain.severity is Severity.MEDIUM
    database.execute(plain.fix.sql or "")
    # Small documents of which each may be there once: by a hash, and never without.
    unique = finding(result, "public.rollups_name_tags_key")
    assert (unique.severity, unique.fix.sql) == (Severity.LOW, None)
    assert "hash" in unique.fix.summary


def test_pending_lists(database: Database) -> None:
    prepare(
        database,
        TABLE.format("busy") + TABLE.format("chosen") + TABLE.format("calm"),
        "CREATE INDEX busy_gin ON busy USING gin (payload)",
        "CREATE INDEX chosen_gin ON chosen USING gin (payload) WITH (fastupdate = off)",
        "CREATE INDEX calm_gin ON calm USING gin (payload)",
    )
    connection = database.connect()
    for name in ("busy", "chosen"):
        for _ in range(3):
            connection.execute(f"UPDATE {name} SET payload = payload || jsonb_build_object('n', random())".encode())
    flush(connection)

    result = examine(database, PENDING, limits=NO_WINDOW)

    assert names(result) == {"public.busy_gin"}
    assert result.findings[0].observed["hot_share"] == 0
    database.execute(result.findings[0].fix.sql or "")


def test_without_documents(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    evidence = survey(database)

    for check in (CLASS, BTREE, PENDING):
        assert conclude(evidence, check).outcome is Outcome.NOT_APPLICABLE, check
