from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Outcome, Severity
from tests.checks.survey import examine, finding, names
from tests.servers import Database

ROWS = 2000

SCHEMA = """
    CREATE EXTENSION btree_gist;
    CREATE TABLE parents (id bigint PRIMARY KEY, region int NOT NULL, name text UNIQUE, UNIQUE (region, id));
    INSERT INTO parents SELECT n, n % 3, 'p' || n FROM generate_series(1, 500) n;
    CREATE TABLE kinds (id int PRIMARY KEY);
    INSERT INTO kinds SELECT generate_series(1, 5);
    CREATE TABLE of_kind (kind_id int REFERENCES kinds);
    INSERT INTO of_kind SELECT 1 + n % 5 FROM generate_series(1, 2000) n;

    CREATE TABLE bare (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents);
    CREATE TABLE covered (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents);
    CREATE INDEX covered_parent ON covered (parent_id, id);
    CREATE TABLE second_only (id bigint, parent_id bigint REFERENCES parents);
    CREATE INDEX second_only_index ON second_only (id, parent_id);
    CREATE TABLE swapped (id bigint PRIMARY KEY, region int, parent_id bigint,
        CONSTRAINT swapped_parent FOREIGN KEY (region, parent_id) REFERENCES parents (region, id));
    CREATE INDEX swapped_index ON swapped (parent_id, region, id);
    CREATE TABLE half (id bigint PRIMARY KEY, region int, parent_id bigint,
        CONSTRAINT half_parent FOREIGN KEY (region, parent_id) REFERENCES parents (region, id));
    CREATE INDEX half_index ON half (region);
    CREATE TABLE half_enough (id bigint PRIMARY KEY, region int, parent_id bigint,
        CONSTRAINT half_enough_parent FOREIGN KEY (region, parent_id) REFERENCES parents (region, id));
    CREATE INDEX half_enough_index ON half_enough (parent_id);
    CREATE TABLE half_unique (id bigint PRIMARY KEY, region int, parent_id bigint UNIQUE,
        CONSTRAINT half_unique_parent FOREIGN KEY (region, parent_id) REFERENCES parents (region, id));
    CREATE TABLE partial_not_null (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents);
    CREATE INDEX ON partial_not_null (parent_id) WHERE parent_id IS NOT NULL;
    CREATE TABLE partial_other (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents, deleted_at timestamptz);
    CREATE INDEX ON partial_other (parent_id) WHERE deleted_at IS NULL;
    CREATE TABLE hashed (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents);
    CREATE INDEX ON hashed USING hash (parent_id);
    CREATE TABLE brin_only (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents);
    CREATE INDEX ON brin_only USING brin (parent_id);
    CREATE TABLE included (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents);
    CREATE INDEX ON included (id) INCLUDE (parent_id);
    CREATE TABLE expression (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents);
    CREATE INDEX ON expression ((parent_id + 0));
    CREATE TABLE collated (id bigint PRIMARY KEY, name text REFERENCES parents (name));
    CREATE INDEX ON collated (name COLLATE "C");
    CREATE TABLE patterned (id bigint PRIMARY KEY, name text REFERENCES parents (name));
    CREATE INDEX ON patterned (name text_pattern_ops);
    CREATE TABLE excluded (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents, during tstzrange,
        EXCLUDE USING gist (parent_id WITH =, during WITH &&));
    CREATE TABLE tiny (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents);
    INSERT INTO tiny SELECT n, 1 + n % 50 FROM generate_series(1, 100) n;
    CREATE TABLE "Odd; table" ("the id" bigint PRIMARY KEY, "Parent ""Id" bigint CONSTRAINT "of ""parent" REFERENCES parents);
    CREATE TABLE parted (id bigint, parent_id bigint REFERENCES parents, day date) PARTITION BY RANGE (day);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    INSERT INTO parted SELECT n, 1 + n % 50, date '2026-01-01' + n % 59 FROM generate_series(1, 2000) n;
    CREATE TABLE leafwise (id bigint, parent_id bigint REFERENCES parents, day date) PARTITION BY RANGE (day);
    CREATE TABLE leafwise_1 (day date, spare int, parent_id bigint, id bigint);
    ALTER TABLE leafwise_1 DROP COLUMN spare;
    ALTER TABLE leafwise ATTACH PARTITION leafwise_1 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE INDEX ON leafwise_1 (parent_id);
    INSERT INTO leafwise SELECT n, 1 + n % 50, '2026-01-01' FROM generate_series(1, 2000) n;
"""
FILLED = (
    "bare covered second_only swapped half half_enough half_unique partial_not_null partial_other hashed brin_only included "
    "expression"
).split()


def fill(database: Database) -> None:
    database.execute(SCHEMA)
    for name in FILLED:
        value = "n" if name == "half_unique" else "1 + n % 50"
        if name == "half_unique":
            database.execute("ALTER TABLE half_unique DROP CONSTRAINT half_unique_parent")
        region = ", region" if name in {"swapped", "half", "half_enough", "half_unique"} else ""
        regions = ", (1 + n % 50) % 3" if region else ""
        database.execute(
            f"INSERT INTO {name} (id, parent_id{region}) SELECT n, {value}{regions} FROM generate_series(1, {ROWS}) n"
        )
    database.execute(
        "ALTER TABLE half_unique ADD CONSTRAINT half_unique_parent FOREIGN KEY (region, parent_id) "
        "REFERENCES parents (region, id) NOT VALID",
        f"INSERT INTO collated SELECT n, 'p1' FROM generate_series(1, {ROWS}) n",
        f"INSERT INTO patterned SELECT n, 'p1' FROM generate_series(1, {ROWS}) n",
        "INSERT INTO excluded SELECT n, 1 + n % 50, tstzrange(now() + n * interval '1h', now() + n * interval '1h 1s') "
        f"FROM generate_series(1, {ROWS}) n",
        f'INSERT INTO "Odd; table" SELECT n, 1 FROM generate_series(1, {ROWS}) n',
        "ANALYZE",
    )


def test_foreign_keys_that_no_index_covers(database: Database) -> None:
    fill(database)

    result = examine(database, "indexing.foreign-key-without-index")

    assert names(result) == {
        "public.bare.bare_parent_id_fkey",
        "public.second_only.second_only_parent_id_fkey",
        "public.half.half_parent",
        "public.partial_other.partial_other_parent_id_fkey",
        "public.brin_only.brin_only_parent_id_fkey",
        "public.included.included_parent_id_fkey",
        "public.expression.expression_parent_id_fkey",
        "public.collated.collated_name_fkey",
        'public."Odd; table"."of ""parent"',
        "public.parted.parted_parent_id_fkey",
    }
    assert (result.examined, result.of) == (21, 21)
    assert finding(result, "public.parted.parted_parent_id_fkey").observed["rows"] == 2000


def test_the_fix_covers_it(database: Database) -> None:
    fill(database)

    for found in examine(database, "indexing.foreign-key-without-index").findings:
        assert found.fix.sql is not None
        database.execute(*found.fix.sql.splitlines())

    assert examine(database, "indexing.foreign-key-without-index").outcome is Outcome.PASSED


def test_an_invalid_index_covers_nothing(database: Database) -> None:
    fill(database)
    database.execute(
        "CREATE INDEX bare_parent ON bare (parent_id)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'bare_parent'::regclass",
    )

    assert "public.bare.bare_parent_id_fkey" in names(examine(database, "indexing.foreign-key-without-index"))


def test_parents_that_are_deleted_and_lookups_make_it_worse(database: Database) -> None:
    database.execute(
        """
        CREATE EXTENSION pg_stat_statements;
        CREATE TABLE kept (id bigint PRIMARY KEY);
        CREATE TABLE pruned (id bigint PRIMARY KEY);
        INSERT INTO kept SELECT generate_series(1, 500);
        INSERT INTO pruned SELECT generate_series(1, 500);
        CREATE TABLE quiet (kept_id bigint CONSTRAINT quiet_key REFERENCES kept);
        CREATE TABLE looked_up (kept_id bigint CONSTRAINT looked_up_key REFERENCES kept);
        CREATE TABLE orphaned (pruned_id bigint CONSTRAINT orphaned_key REFERENCES pruned);
        INSERT INTO quiet SELECT 1 FROM generate_series(1, 100000);
        INSERT INTO looked_up SELECT 1 FROM generate_series(1, 100000);
        INSERT INTO orphaned SELECT 1 FROM generate_series(1, 100000);
        DELETE FROM pruned WHERE id = 10;
        SELECT pg_stat_force_next_flush();
        """,
        "SELECT pg_stat_statements_reset()",
        "SELECT count(*) FROM looked_up WHERE kept_id = 5",
        "ANALYZE",
    )

    result = examine(database, "indexing.foreign-key-without-index", limits={"window_days": 0})

    assert {found.subject.path[2]: found.severity for found in result.findings} == {
        "quiet_key": Severity.LOW,
        "looked_up_key": Severity.HIGH,
        "orphaned_key": Severity.HIGH,
    }
    assert result.unmet == 2
    assert len(finding(result, "public.looked_up.looked_up_key").observed["statements"]) == 1

    young = examine(database, "indexing.foreign-key-without-index")
    assert finding(young, "public.quiet.quiet_key").severity is Severity.MEDIUM


def test_a_mostly_null_column_gets_a_partial_index(database: Database) -> None:
    database.execute(
        "CREATE TABLE parents (id bigint PRIMARY KEY)",
        "INSERT INTO parents SELECT generate_series(1, 500)",
        "CREATE TABLE children (parent_id bigint CONSTRAINT rarely REFERENCES parents)",
        "INSERT INTO children SELECT CASE WHEN n % 100 = 0 THEN 1 END FROM generate_series(1, 2000) n",
        "ANALYZE",
    )

    fix = finding(examine(database, "indexing.foreign-key-without-index"), "public.children.rarely").fix

    assert fix.sql == (
        "CREATE INDEX CONCURRENTLY children_parent_id_idx ON public.children (parent_id) WHERE parent_id IS NOT NULL;"
    )
    assert fix.lock == "SHARE UPDATE EXCLUSIVE"


def test_no_foreign_keys(database: Database) -> None:
    database.execute("CREATE TABLE alone (id int PRIMARY KEY)")

    result = examine(database, "indexing.foreign-key-without-index")

    assert (result.outcome, result.fact) == (Outcome.NOT_APPLICABLE, "no foreign keys")


def test_foreign_keys_that_partitions_have_of_their_own(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE owners (id bigint PRIMARY KEY);
        CREATE TABLE parted (id bigint, owner_id bigint, maker_id bigint, day date) PARTITION BY RANGE (day);
        CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
        CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
        CREATE TABLE parted_3 PARTITION OF parted FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
        ALTER TABLE parted_1 ADD CONSTRAINT first_owner FOREIGN KEY (owner_id) REFERENCES owners;
        ALTER TABLE parted_2 ADD CONSTRAINT second_owner FOREIGN KEY (owner_id) REFERENCES owners;
        ALTER TABLE parted_1 ADD CONSTRAINT first_maker FOREIGN KEY (maker_id) REFERENCES owners;
        ALTER TABLE parted_2 ADD CONSTRAINT second_maker FOREIGN KEY (maker_id) REFERENCES owners;
        CREATE INDEX ON parted_1 (maker_id);
        CREATE INDEX ON parted_2 (maker_id);
        """
    )

    result = examine(database, "indexing.foreign-key-without-index")

    assert names(result) == {"public.parted_1.first_owner"}
    found = finding(result, "public.parted_1.first_owner")
    assert found.title.endswith("has no index on (owner_id), as on 1 more partition")
    assert found.fix.sql is not None
    first, *parts = found.fix.sql.splitlines()
    assert first == "CREATE INDEX parted_owner_id_idx ON ONLY public.parted (owner_id);"
    assert parts[:2] == [
        "CREATE INDEX CONCURRENTLY parted_1_owner_id_idx ON public.parted_1 (owner_id);",
        "ALTER INDEX public.parted_owner_id_idx ATTACH PARTITION public.parted_1_owner_id_idx;",
    ]
    database.execute(first, *parts)
    assert names(examine(database, "indexing.foreign-key-without-index")) == set()


def test_foreign_keys_of_empty_tables_that_nothing_looks_up_are_noted_together(
    database: Database, repository: Callable[[Mapping[str, str]], Path]
) -> None:
    database.execute(
        "CREATE TABLE owners (id bigint PRIMARY KEY)",
        *(f"CREATE TABLE t{n} (id int, owner_id bigint REFERENCES owners, maker_id bigint)" for n in range(9)),
    )
    code = repository({"app.py": "cursor.execute('SELECT id FROM t3 WHERE owner_id = %s', [owner])\n"})

    result = examine(database, "indexing.foreign-key-without-index", code)

    assert names(result) == {"public", "public.t3.t3_owner_id_fkey"}
    crowd = finding(result, "public")
    assert crowd.title == "8 foreign keys of schema public have no index; their tables are empty here"
    assert crowd.observed["names"] == [f"public.t{n}.t{n}_owner_id_fkey" for n in range(9) if n != 3]
    assert crowd.fix.sql is not None
    assert crowd.fix.sql.count("CREATE INDEX CONCURRENTLY") == 8
    assert crowd.fix.undo is not None
    assert crowd.fix.undo.count("DROP INDEX CONCURRENTLY") == 8

    database.execute("DROP TABLE t8")
    assert len(names(examine(database, "indexing.foreign-key-without-index", code))) == 8
