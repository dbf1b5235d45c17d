from __future__ import annotations

import msgspec

from checks.evidence.database.facts import SystemTable
from checks.model import Outcome
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database


def test_many_tables_and_environments(database: Database) -> None:
    database.execute(
        "CREATE SCHEMA staging; CREATE SCHEMA app_prod; CREATE TABLE staging.t (id int); CREATE TABLE app_prod.t (id int); "
        "CREATE TABLE public.t (id int)"
    )

    many = examine(database, "schema.very-many-tables", limits={"tables": 2})

    assert [found.discriminator for found in many.findings] == ["", "environments"]
    assert many.findings[1].observed["environments"] == ["app_prod", "staging"]
    database.execute("DROP SCHEMA staging CASCADE")
    assert examine(database, "schema.very-many-tables").outcome is Outcome.PASSED


def test_system_catalogs_that_are_mostly_holes(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)", "VACUUM ANALYZE pg_catalog.pg_attribute")
    evidence = survey(database)
    assert conclude(evidence, "schema.catalog-bloat").outcome is Outcome.PASSED

    bloated = SystemTable("pg_attribute", 3_000, 400 * 1024**2, 600 * 1024**2)
    wide = SystemTable("pg_proc", 3_000, 400 * 1024**2, 600 * 1024**2)
    catalog = msgspec.structs.replace(evidence.catalog, system_tables=(bloated, wide), highest_oid=3_900_000_000)
    result = conclude(msgspec.structs.replace(evidence, catalog=catalog), "schema.catalog-bloat")

    assert names(result) == {"pg_catalog.pg_attribute", "pg_catalog.pg_class"}
    assert finding(result, "pg_catalog.pg_attribute").fix.sql == "VACUUM FULL pg_catalog.pg_attribute;"


def test_views_on_views_on_views(database: Database) -> None:
    database.execute(
        """CREATE TABLE t (id int); CREATE VIEW a AS SELECT * FROM t; CREATE VIEW b AS SELECT * FROM a;
        CREATE VIEW c AS SELECT * FROM b; CREATE VIEW d AS SELECT c.* FROM c JOIN t USING (id);
        CREATE VIEW e AS SELECT * FROM d; CREATE VIEW flat AS SELECT * FROM t;
        CREATE MATERIALIZED VIEW kept AS SELECT * FROM b; CREATE VIEW above AS SELECT * FROM kept"""
    )

    result = examine(database, "schema.nested-views")

    assert names(result) == {"public.e"}
    assert finding(result, "public.e").observed == {
        "depth": 5,
        "chain": ["public.e", "public.d", "public.c", "public.b", "public.a"],
        "tables": 1,
    }
