"""How much of everything there is in the catalogs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Server
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.figures import bytes_in_words
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity, Subject, quote_identifier
from checks.registry import check
from checks.relations import is_of_the_application
from checks.schema.columns import words
from checks.schema.habits import CROWD, once_per_habit

_ENVIRONMENTS = frozenset(
    "dev development staging stage stg test testing qa uat prod production preprod sandbox".split()
)
_OID_RANGE = 2**32
_BYTES_PER_ROW = 700
_SHOWN = 5


@check("schema.very-many-tables", catalogue="S71", severity=Severity.MEDIUM, needs=[Catalog, Server])
def very_many_tables(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A database has very many tables, or several environments share it.

    Every session caches what it touches, autovacuum walks through all of it, pg_dump locks each table in one transaction, and a
    migration runs once per schema: some ten thousand tables is where that begins to hurt. Schemas named after environments
    share one failure, one backup and one set of connections with production.

    Fix: One set of tables with a tenant column, or several databases; an environment each its own server.

    Example: 500 schemas, one per tenant, of 60 tables each: an ALTER TABLE of one release is 500 statements, and
    pg_dump takes 30,000 locks, for which max_locks_per_transaction has to be raised.

    Source: PostgreSQL manual, "PostgreSQL Limits"; "Routine Vacuuming"

    Observed: tables, schemas, environments.
    """
    catalog, server = evidence.get(Catalog), evidence.get(Server)
    tables = [table for table in catalog.tables if table.kind in {"table", "partitioned"} and table.extension is None]
    if not tables:
        raise NotApplicable("the database has no tables")
    per_schema = Counter(table.schema for table in tables)
    subject = Subject("database", (server.database,))
    if len(tables) > evidence.limit("tables"):
        yield Finding(
            subject,
            f"Database {subject.name} has {len(tables):,} tables in {len(per_schema):,} schemas",
            Fix("Keep tenants in one set of tables with a tenant column, or spread them over several databases."),
            observed={"tables": len(tables), "schemas": len(per_schema), "environments": []},
        )
    environments = sorted(schema for schema in per_schema if _ENVIRONMENTS & set(words(schema)))
    kinds = {word for schema in environments for word in words(schema) if word in _ENVIRONMENTS}
    if len(kinds) > 1:
        yield Finding(
            subject,
            f"Database {subject.name} holds several environments: {', '.join(map(quote_identifier, environments[:_SHOWN]))}",
            Fix("Give each environment a server of its own, or at least a database and roles of its own."),
            confidence=Confidence.INFERRED,
            observed={"tables": len(tables), "schemas": len(per_schema), "environments": environments},
            discriminator="environments",
        )
    yield Examined(len(tables), len(tables), "tables")


@check("schema.catalog-bloat", catalogue="S72", severity=Severity.MEDIUM, needs=[Catalog])
def catalog_bloat(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The system catalogs are much larger than what they describe.

    Temporary tables, and schemas that come and go, leave dead rows in pg_attribute and its like. Each new session reads through
    them, and so does every plan; when oids have gone round once, each new object has to look for a free one.

    Fix: Make temporary tables once per session, not per request; then VACUUM FULL the catalog in a maintenance window.

    Example: Each request runs CREATE TEMP TABLE cart (...) ON COMMIT DROP: pg_attribute gets a row for every column and
    as many dead ones, and has grown to 4 GB for a database of 200 tables.

    Source: PostgreSQL manual, "Routine Vacuuming"; "System Catalogs"

    Observed: bytes, rows, bytes_per_row, highest_oid.
    """
    catalog = evidence.get(Catalog)
    if not catalog.system_tables:
        raise NotApplicable("the system catalogs were never analyzed")
    for entry in catalog.system_tables:
        per_row = entry.heap_bytes / max(entry.rows, 1)
        # What is wide by nature: definitions of functions, views, statistics.
        if entry.name in _WIDE or entry.heap_bytes < evidence.limit("catalog_bytes") or per_row < _BYTES_PER_ROW:
            continue
        subject = Subject("table", ("pg_catalog", entry.name))
        yield Finding(
            subject,
            f"System catalog {entry.name} has {bytes_in_words(entry.heap_bytes)} for about {entry.rows:,.0f} rows",
            Fix(
                "Find what makes and drops tables all the time (temporary tables per request), and stop it. Then shrink the "
                "catalog in a maintenance window, as superuser.",
                f"VACUUM FULL pg_catalog.{entry.name};",
                lock="ACCESS EXCLUSIVE",
                rewrites=True,
                undo="There is nothing to undo.",
            ),
            observed={
                "bytes": entry.heap_bytes,
                "rows": round(entry.rows),
                "bytes_per_row": round(per_row),
                "highest_oid": catalog.highest_oid,
            },
        )
    if (catalog.highest_oid or 0) > 0.75 * _OID_RANGE:
        yield Finding(
            Subject("table", ("pg_catalog", "pg_class")),
            f"The newest relation has oid {catalog.highest_oid:,} of {_OID_RANGE:,}: tables come and go all the time",
            Fix("Find what creates and drops tables all the time, and let it reuse them (ON COMMIT DELETE ROWS)."),
            severity=Severity.LOW,
            observed={"highest_oid": catalog.highest_oid},
            discriminator="oid",
        )
    yield Examined(len(catalog.system_tables), len(catalog.system_tables), "system catalogs")


_WIDE = frozenset({"pg_statistic", "pg_statistic_ext_data", "pg_rewrite", "pg_proc", "pg_largeobject", "pg_trigger"})


@check("schema.nested-views", catalogue="S73", severity=Severity.LOW, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} views of schema {schema} stand on many levels of views", CROWD)
def nested_views(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A view stands on views that stand on views.

    The planner unfolds all of them into one statement of many joins, most of which the caller doesn't need; past
    join_collapse_limit it stops looking for the best order. And none of those below can be changed without dropping those above.

    Fix: Let the topmost views read tables.

    Example: monthly_report selects from sales_summary, that from active_orders, that from orders_with_users: SELECT
    count(*) FROM monthly_report joins every table that any of them names, and active_orders cannot be dropped without
    CASCADE.

    Source: PostgreSQL manual, "Controlling the Planner with Explicit JOIN Clauses"; "CREATE VIEW", Notes

    Observed: depth, chain, tables.
    """
    catalog = evidence.get(Catalog)
    views = [
        view
        for view in catalog.views
        if (table := catalog.table_by_oid[view.table]).kind == "view" and is_of_the_application(table)
    ]
    if not views:
        raise NotApplicable("the database has no views")
    depths: dict[int, tuple[int, tuple[int, ...]]] = {}
    limit = evidence.limit("view_depth")
    used = {below for view in views for below in view.depends_on}
    for view in views:
        depth, chain = _depth(catalog, view.table, depths, frozenset())
        # The topmost view of a chain stands for those it is made of.
        if depth < limit or view.table in used:
            continue
        subject = catalog.table_by_oid[view.table].subject
        names = [catalog.table_by_oid[oid].subject.name for oid in chain]
        yield Finding(
            subject,
            f"View {subject.name} stands on {depth - 1} further levels of views",
            Fix("Let the view read the tables it needs, without the views in between."),
            observed={"depth": depth, "chain": names, "tables": len(_tables_below(catalog, view.table))},
            related=tuple(catalog.table_by_oid[oid].subject for oid in chain[1:_SHOWN]),
        )
    yield Examined(len(views), len(views), "views")


def _depth(
    catalog: Catalog, oid: int, known: dict[int, tuple[int, tuple[int, ...]]], above: frozenset[int]
) -> tuple[int, tuple[int, ...]]:
    """How many views stand on each other from this one down, and one longest chain of them."""
    view = catalog.view_by_oid.get(oid)
    if view is None or oid in above or len(above) > 100 or catalog.table_by_oid[oid].kind != "view":
        return 0, ()
    if oid not in known:
        below = [_depth(catalog, other, known, above | {oid}) for other in view.depends_on]
        deepest = max(below, key=lambda found: found[0], default=(0, ()))
        known[oid] = (deepest[0] + 1, (oid, *deepest[1]))
    return known[oid]


def _tables_below(catalog: Catalog, oid: int) -> set[int]:
    found: set[int] = set()
    waiting, seen = [oid], set[int]()
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        view = catalog.view_by_oid.get(current)
        if view is None:
            found.add(current)
        else:
            waiting += view.depends_on
    return found
