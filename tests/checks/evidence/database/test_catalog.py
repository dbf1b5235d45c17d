from __future__ import annotations

import datetime as dt

import psycopg
import pytest
from msgspec.structs import replace

from checks.evidence.database.defaults import read_default
from checks.evidence.database.facts import Catalog, Index
from checks.evidence.database.nodes import columns_of_expressions
from checks.evidence.database.observe import observe_database
from tests.servers import Database


def _catalog(database: Database, user: str = "postgres") -> Catalog:
    catalog = observe_database(database.server.dsn(database.name, user)).catalog
    assert isinstance(catalog, Catalog)
    return catalog


def _index(catalog: Catalog, name: str) -> Index:
    [index] = [index for index in catalog.indexes if index.name == name]
    return index


def test_an_empty_database(database: Database) -> None:
    catalog = _catalog(database)

    assert replace(catalog, system_tables=(), highest_oid=None) == Catalog()
    assert {"pg_attribute", "pg_proc"} <= {entry.name for entry in catalog.system_tables if entry.rows > 100}
    assert (catalog.highest_oid or 0) > 1_000


def test_where_range_partitions_end(database: Database) -> None:
    database.execute(
        """CREATE TABLE days (at timestamptz) PARTITION BY RANGE (at);
        CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2026-01-01+00') TO ('2026-02-01 02:00+02');
        CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM ('2026-02-01+00') TO (MAXVALUE);
        CREATE TABLE days_3 PARTITION OF days DEFAULT;
        CREATE TABLE numbers (n bigint) PARTITION BY RANGE (n);
        CREATE TABLE numbers_1 PARTITION OF numbers FOR VALUES FROM (-10) TO ('1000');
        CREATE TABLE pairs (at date, n int) PARTITION BY RANGE (at, n);
        CREATE TABLE pairs_1 PARTITION OF pairs FOR VALUES FROM ('2026-01-01', 1) TO ('2026-02-01', 1);
        CREATE TABLE words (word text) PARTITION BY RANGE (word);
        CREATE TABLE words_1 PARTITION OF words FOR VALUES FROM ('a') TO ('n')"""
    )

    bounds = {table.name: (table.upper_bound, table.unbounded) for table in _catalog(database).tables if table.parent}

    assert bounds == {
        "days_1": (dt.datetime(2026, 2, 1, tzinfo=dt.UTC), False),
        "days_2": (None, True),
        "days_3": (None, False),
        "numbers_1": (1000, False),
        "pairs_1": (None, False),
        "words_1": (None, False),
    }


def test_kinds_partitions_and_inheritance(database: Database) -> None:
    database.execute(
        """CREATE TABLE plain (id int); CREATE UNLOGGED TABLE fast (id int) WITH (fillfactor = 70);
        CREATE TEMP TABLE gone (id int);
        CREATE VIEW shown AS SELECT * FROM plain; CREATE MATERIALIZED VIEW kept AS SELECT * FROM plain;
        CREATE TABLE part (at date, region text) PARTITION BY LIST (region);
        CREATE TABLE part_eu PARTITION OF part FOR VALUES IN ('eu') PARTITION BY RANGE (at);
        CREATE TABLE part_eu_26 PARTITION OF part_eu FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
        CREATE TABLE base (id int); CREATE TABLE other (x int); CREATE TABLE kid () INHERITS (base, other);
        CREATE EXTENSION pg_stat_statements;
        COMMENT ON TABLE plain IS 'documented'; ALTER TABLE plain REPLICA IDENTITY FULL;
        ALTER TABLE plain ENABLE ROW LEVEL SECURITY"""
    )
    catalog = _catalog(database)
    tables = {table.name: table for table in catalog.tables}
    assert {name: table.kind for name, table in tables.items()} == {
        "plain": "table",
        "fast": "table",
        "shown": "view",
        "kept": "materialized_view",
        "part": "partitioned",
        "part_eu": "partitioned",
        "part_eu_26": "table",
        "base": "table",
        "other": "table",
        "kid": "table",
        "pg_stat_statements": "view",
        "pg_stat_statements_info": "view",
    }
    part, eu, eu_26 = (tables[name] for name in ("part", "part_eu", "part_eu_26"))
    assert (part.is_partition, part.parent, part.root) == (False, None, None)
    assert (eu.is_partition, eu.parent, eu.root) == (True, part.oid, part.oid)
    assert (eu_26.is_partition, eu_26.parent, eu_26.root, eu_26.inherits) == (True, eu.oid, part.oid, ())
    assert tables["kid"].inherits == (tables["base"].oid, tables["other"].oid)
    assert (tables["fast"].persistence, tables["fast"].options) == ("unlogged", {"fillfactor": "70"})
    assert (tables["plain"].has_comment, tables["plain"].row_security) == (True, True)
    assert tables["plain"].replica_identity == "full"
    assert tables["pg_stat_statements"].extension == "pg_stat_statements"
    assert tables["plain"].extension is None
    assert tables["shown"].rows is None


def test_rows_and_sizes(database: Database) -> None:
    database.execute(
        """CREATE TABLE counted (id int PRIMARY KEY, doc text);
        ALTER TABLE counted ALTER doc SET STORAGE EXTERNAL;
        INSERT INTO counted SELECT g, repeat('x', 4000) FROM generate_series(1, 300) g;
        CREATE TABLE uncounted (id int PRIMARY KEY, doc text);
        ALTER TABLE uncounted ALTER doc SET STORAGE EXTERNAL;
        INSERT INTO uncounted SELECT g, repeat('x', 4000) FROM generate_series(1, 300) g""",
        "VACUUM ANALYZE counted",
    )
    catalog = _catalog(database)
    for name, rows in (("counted", 300.0), ("uncounted", None)):
        table = catalog.table_by_name["public", name]
        assert table.rows == rows
        assert table.heap_bytes is not None
        assert 0 < table.heap_bytes < 100_000
        assert table.toast_bytes is not None
        assert table.toast_bytes > 1_200_000
        [index] = catalog.indexes_of(table.oid)
        assert index.size_bytes == table.index_bytes
        assert table.total_bytes == table.heap_bytes + table.toast_bytes + (table.index_bytes or 0)


def test_sizes_behind_a_lock_stay_unknown_and_nothing_else_does(database: Database) -> None:
    database.execute("CREATE TABLE locked (id int); CREATE TABLE other (id int PRIMARY KEY)")
    with database.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        catalog = _catalog(database)
        blocker.rollback()
    assert {table.name for table in catalog.tables} == {"locked", "other"}
    assert catalog.table_by_name["public", "locked"].heap_bytes is None


def test_columns(database: Database) -> None:
    database.execute(
        """CREATE DOMAIN short AS varchar(20); CREATE DOMAIN shorter AS short;
        CREATE TYPE mood AS ENUM ('glad');
        CREATE TABLE c (
            id bigint GENERATED ALWAYS AS IDENTITY, other int GENERATED BY DEFAULT AS IDENTITY, old serial,
            name shorter NOT NULL DEFAULT 'SECRET', made timestamptz DEFAULT now(), key uuid DEFAULT gen_random_uuid(),
            local timestamp DEFAULT (now() AT TIME ZONE 'SECRET'),
            total numeric(10, 2) DEFAULT 0, twice numeric GENERATED ALWAYS AS (total * 2) STORED,
            c_text text COLLATE "C", tags text[] DEFAULT '{}', mood mood, doc jsonb, gone int
        ); ALTER TABLE c DROP COLUMN gone"""
    )
    catalog = _catalog(database)
    table = catalog.table_by_name["public", "c"]
    columns = {column.name: column for column in catalog.columns_of(table.oid).values()}
    assert "gone" not in columns
    assert (columns["id"].identity, columns["other"].identity) == ("always", "by default")
    old = columns["old"]
    assert (old.default, catalog.sequence_by_oid[old.default_sequence or 0].name) == ("sequence", "c_old_seq")
    assert (columns["name"].base_type, columns["name"].type_modifier) == ("varchar", 24)
    assert (columns["name"].default, columns["name"].not_null) == ("constant", True)
    assert (columns["made"].default, columns["made"].default_function) == ("function", "now")
    assert (columns["key"].default, columns["key"].default_function) == ("function", "gen_random_uuid")
    assert (columns["local"].default, columns["local"].default_function) == ("expression", None)
    assert (columns["twice"].generated, columns["twice"].default) == ("stored", "none")
    assert (columns["c_text"].collation, columns["doc"].collation, columns["name"].collation) == ("C", None, None)
    assert (columns["tags"].base_type, columns["tags"].default) == ("_text", "constant")
    assert (columns["mood"].type_category, columns["doc"].base_type) == ("E", "jsonb")
    assert "SECRET" not in repr(catalog)


def test_constraints(database: Database) -> None:
    database.execute(
        """CREATE TABLE parent (a int, b int, PRIMARY KEY (a, b));
        CREATE TABLE child (x int, y int, z int CHECK (z > 4711), during int4range,
            CONSTRAINT fk FOREIGN KEY (y, x) REFERENCES parent (b, a) MATCH FULL ON DELETE CASCADE ON UPDATE SET NULL
                DEFERRABLE,
            UNIQUE (z), EXCLUDE USING gist (during WITH &&));
        ALTER TABLE child ADD CONSTRAINT late CHECK (z > 0) NOT VALID;
        CREATE TABLE part (a int, b int, FOREIGN KEY (a, b) REFERENCES parent) PARTITION BY LIST (a);
        CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1)"""
    )
    catalog = _catalog(database)
    constraints = {constraint.name: constraint for constraint in catalog.constraints}
    fk = constraints["fk"]
    assert (fk.kind, fk.columns, fk.referenced_columns, fk.match) == ("foreign_key", (2, 1), (2, 1), "full")
    assert (fk.on_delete, fk.on_update, fk.deferrable) == ("cascade", "set null", True)
    assert fk.referenced_table == catalog.table_by_name["public", "parent"].oid
    assert (constraints["late"].validated, constraints["late"].enforced) == (False, True)
    assert {constraint.kind for constraint in catalog.constraints} == {
        "primary_key", "unique", "foreign_key", "check", "exclusion"
    }  # fmt: skip
    root, inherited = (
        catalog.constraints_of(catalog.table_by_name["public", name].oid)[0] for name in ("part", "part_1")
    )
    assert (root.parent, inherited.parent) == (None, root.oid)
    assert constraints["parent_pkey"].index == _index(catalog, "parent_pkey").oid


@pytest.mark.since(18)
def test_constraints_that_are_not_enforced(database: Database) -> None:
    database.execute("CREATE TABLE t (a int CONSTRAINT held CHECK (a > 0), CONSTRAINT lax CHECK (a > 1) NOT ENFORCED)")
    found = {constraint.name: constraint.enforced for constraint in _catalog(database).constraints}
    assert found == {"held": True, "lax": False}


def test_indexes_key_by_key(database: Database) -> None:
    database.execute(
        """CREATE TABLE t (id int PRIMARY KEY, name text, status text, "a ""b" text, doc jsonb);
        CREATE INDEX plain ON t (name, status DESC, id DESC NULLS LAST);
        CREATE INDEX pattern ON t (name text_pattern_ops, status COLLATE "C") INCLUDE (id);
        CREATE INDEX expression ON t (lower(status), (doc ->> 'kind'), ("a ""b" || 'SECRET'), id);
        CREATE INDEX partial_1 ON t (id) WHERE status = 'SECRET1'; CREATE INDEX partial_2 ON t (id) WHERE status = 'SECRET2';
        CREATE INDEX partial_3 ON t (id) WHERE status = 'SECRET1';
        CREATE INDEX not_null ON t (id) WHERE name IS NOT NULL AND "a ""b" IS NOT NULL;
        CREATE INDEX almost ON t (id) WHERE name IS NOT NULL AND status = 'x';
        CREATE INDEX documents ON t USING gin (doc jsonb_path_ops); CREATE INDEX ranges ON t USING brin (id);
        ALTER TABLE t REPLICA IDENTITY USING INDEX t_pkey"""
    )
    catalog = _catalog(database)
    table = catalog.table_by_name["public", "t"]
    columns = {column.name: number for number, column in catalog.columns_of(table.oid).items()}
    plain = _index(catalog, "plain")
    assert plain.columns == (columns["name"], columns["status"], columns["id"])
    assert [(key.descending, key.nulls_first) for key in plain.keys] == [(False, False), (True, True), (True, False)]
    assert [key.operator_class for key in plain.keys] == ["text_ops", "text_ops", "int4_ops"]
    pattern = _index(catalog, "pattern")
    assert pattern.included == (columns["id"],)
    assert (pattern.keys[0].operator_class, pattern.keys[1].collation) == ("text_pattern_ops", "C")
    expression = _index(catalog, "expression")
    assert expression.columns == (0, 0, 0, columns["id"])
    assert [key.expression_columns for key in expression.keys] == [
        (columns["status"],), (columns["doc"],), (columns['a "b'],), ()
    ]  # fmt: skip
    assert expression.keys[0].expression == "lower(status)"
    assert expression.keys[3].expression is None
    first, second, third = (_index(catalog, f"partial_{number}") for number in (1, 2, 3))
    assert first.predicate == second.predicate == third.predicate == "(status = $1::text)"
    assert first.definition_hash == third.definition_hash != second.definition_hash
    assert first.predicate_not_null == ()
    assert _index(catalog, "not_null").predicate_not_null == (columns["name"], columns['a "b'])
    assert _index(catalog, "almost").predicate_not_null == ()
    assert (_index(catalog, "documents").method, _index(catalog, "ranges").method) == ("gin", "brin")
    assert _index(catalog, "documents").keys[0].operator_class == "jsonb_path_ops"
    key = _index(catalog, "t_pkey")
    assert (key.primary, key.unique, key.replica_identity) == (True, True, True)
    assert key.constraint == catalog.constraints_of(table.oid)[0].oid
    assert "SECRET" not in repr(catalog)


@pytest.mark.since(15)
def test_nulls_that_are_not_distinct(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (a int); CREATE UNIQUE INDEX one ON t (a) NULLS NOT DISTINCT; CREATE UNIQUE INDEX many ON t (a)"
    )
    catalog = _catalog(database)
    assert (_index(catalog, "one").nulls_not_distinct, _index(catalog, "many").nulls_not_distinct) == (True, False)


@pytest.mark.vector
def test_vector_columns_and_their_indexes(database: Database) -> None:
    database.execute(
        """CREATE EXTENSION vector; CREATE DOMAIN embedding AS vector(3);
        CREATE TABLE t (v vector(3), w embedding, anyhow vector);
        CREATE INDEX near ON t USING hnsw (v vector_cosine_ops) WITH (m = 8, ef_construction = 32);
        CREATE INDEX lists ON t USING ivfflat (v) WITH (lists = 7)"""
    )
    catalog = _catalog(database)
    columns = catalog.columns_of(catalog.table_by_name["public", "t"].oid).values()
    assert [(column.base_type, column.type_modifier) for column in columns] == [
        ("vector", 3),
        ("vector", 3),
        ("vector", -1),
    ]
    near = _index(catalog, "near")
    assert (near.method, near.options) == ("hnsw", {"m": "8", "ef_construction": "32"})
    assert near.keys[0].operator_class == "vector_cosine_ops"
    assert _index(catalog, "lists").keys[0].operator_class == "vector_l2_ops"
    assert _index(catalog, "lists").options == {"lists": "7"}


def test_invalid_and_partition_indexes(database: Database) -> None:
    database.execute(
        """CREATE TABLE part (a int) PARTITION BY LIST (a); CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
        CREATE INDEX on_part ON part (a); CREATE TABLE twice (a int); INSERT INTO twice VALUES (1), (1)"""
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        database.connect().execute("CREATE UNIQUE INDEX CONCURRENTLY failed ON twice (a)")
    catalog = _catalog(database)
    parent, child = _index(catalog, "on_part"), _index(catalog, "part_1_a_idx")
    assert (parent.parent, child.parent) == (None, parent.oid)
    assert parent.size_bytes is None
    failed = _index(catalog, "failed")
    assert (failed.valid, failed.being_built) == (False, False)


def test_sequences(database: Database) -> None:
    database.execute(
        """CREATE TABLE t (id bigserial, small smallint GENERATED ALWAYS AS IDENTITY (MAXVALUE 100 CYCLE));
        INSERT INTO t DEFAULT VALUES; INSERT INTO t DEFAULT VALUES;
        CREATE SEQUENCE never AS int INCREMENT -1; CREATE SEQUENCE \"it's ; --\"; SELECT nextval('\"it''s ; --\"');
        DROP ROLE IF EXISTS sees_nothing; CREATE ROLE sees_nothing LOGIN; GRANT SELECT ON SEQUENCE never TO sees_nothing"""
    )
    try:
        sequences = {sequence.name: sequence for sequence in _catalog(database).sequences}
        used = sequences["t_id_seq"]
        table = _catalog(database).table_by_name["public", "t"].oid
        assert (used.last_value, used.owned_by_table, used.owned_by_column) == (2, table, 1)
        small = sequences["t_small_seq"]
        assert (small.type, small.maximum, small.cycle, small.last_value) == ("smallint", 100, True, 2)
        never = sequences["never"]
        assert (never.last_value, never.readable, never.increment) == (None, True, -1)
        assert sequences["it's ; --"].last_value == 1
        unseen = {sequence.name: sequence for sequence in _catalog(database, "sees_nothing").sequences}
        assert {name for name, sequence in unseen.items() if sequence.readable} == {"never"}
        assert unseen["t_id_seq"].last_value is None
    finally:
        database.execute("DROP OWNED BY sees_nothing; DROP ROLE sees_nothing")


def test_more_sequences_than_one_transaction_locks(database: Database) -> None:
    database.execute(
        """DO $$ BEGIN FOR i IN 1..1100 LOOP EXECUTE format('CREATE SEQUENCE s%s', i);
        PERFORM setval(format('s%s', i), i); END LOOP; END $$"""
    )
    sequences = _catalog(database).sequences
    assert {sequence.name: sequence.last_value for sequence in sequences} == {f"s{i}": i for i in range(1, 1101)}


def test_functions(database: Database) -> None:
    database.execute(
        """CREATE EXTENSION citext;
        CREATE FUNCTION risky(a int, b text DEFAULT 'SECRET') RETURNS int LANGUAGE plpgsql STABLE SECURITY DEFINER
            SET search_path = public SET work_mem = '4711kB' AS $$BEGIN RETURN 1; END$$"""
    )
    functions = [function for function in _catalog(database).functions if not function.extension]
    [risky] = functions
    assert (risky.name, risky.arguments, risky.language) == ("risky", "a integer, b text", "plpgsql")
    assert (risky.volatility, risky.security_definer) == ("stable", True)
    assert risky.settings == ("search_path=public", "work_mem=(set)")
    assert any(function.extension == "citext" for function in _catalog(database).functions)


def test_hostile_names(database: Database) -> None:
    long = "x" * 63
    names = ['we"ird.[red]', "new\nline", "esc\x1b[31m", "ünïcode 表", "';--", long, "SELECT", "%s", "{0}"]
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    with database.connect() as connection:
        for schema, other in zip(quoted, reversed(quoted), strict=True):
            connection.execute(f"CREATE SCHEMA {schema}".encode())
            connection.execute(f"CREATE TABLE {schema}.{other} ({other} serial PRIMARY KEY, b int)".encode())
            connection.execute(f"CREATE INDEX ON {schema}.{other} (b) WHERE {other} IS NOT NULL".encode())
    catalog = _catalog(database)
    assert {table.schema for table in catalog.tables} == set(names)
    assert {table.name for table in catalog.tables} == set(names)
    assert all(sequence.readable for sequence in catalog.sequences)
    assert [index.predicate_not_null for index in catalog.indexes if index.predicate] == [(1,)] * len(names)


@pytest.mark.parametrize(
    ("text", "kind", "function"),
    [
        (None, "none", None),
        ("'it''s'::character varying", "constant", None),
        ("'-1'::integer", "constant", None),
        ("(-1.5)", "constant", None),
        ("'{}'::jsonb", "constant", None),
        ("ARRAY[]::text[]", "constant", None),
        ("NULL::character varying(20)", "none", None),
        ("NULL::timestamp without time zone", "none", None),
        ("'a'::\"My types\".enum", "constant", None),
        ("now()", "function", "now"),
        ("CURRENT_TIMESTAMP(3)", "function", "current_timestamp"),
        ("(gen_random_uuid())::text", "function", "gen_random_uuid"),
        ("timezone('utc'::text, now())", "function", "timezone"),
        ("nextval('s'::regclass)", "sequence", "nextval"),
        ("(now() AT TIME ZONE 'utc'::text)", "expression", None),
        ("(now() + '7 days'::interval)", "expression", None),
        ("lower('A'::text) || upper('b'::text)", "expression", None),
    ],
)
def test_defaults(text: str | None, kind: str, function: str | None) -> None:
    assert read_default(text, feeds=True) == (kind, function)


def test_columns_of_expression_trees() -> None:
    call = r"{FUNCEXPR :args ({VAR :varattno 3 :x \}} {CONST :constvalue 4 [ 1 ]})}"
    tree = "(" + call + " {OPEXPR :args ({VAR :varattno 2} {VAR :varattno 1})})"
    assert columns_of_expressions(tree) == [(3,), (1, 2)]
    assert columns_of_expressions("") == []


def test_the_file_of_a_table_tells_that_it_was_rewritten(database: Database) -> None:
    """An UPDATE of all rows, a column with a constant default and VACUUM leave the file; a change of type does not."""
    names = ("first", "written", "rewritten")
    database.execute(*(f"CREATE TABLE {name} (id int); INSERT INTO {name} VALUES (1)" for name in names))
    database.execute(
        "UPDATE written SET id = 2; ALTER TABLE written ADD COLUMN n int NOT NULL DEFAULT 7",
        "VACUUM written",
        "ALTER TABLE rewritten ALTER COLUMN id TYPE bigint",
        "CREATE VIEW shown AS SELECT * FROM first",
    )

    tables = _catalog(database).tables

    assert {table.name: table.filenode == table.oid for table in tables if table.kind == "table"} == {
        "first": True, "written": True, "rewritten": False,
    }  # fmt: skip
    assert [table.filenode for table in tables if table.kind == "view"] == [None]
