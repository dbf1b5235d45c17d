"""Mistakes that a statement's own text tells."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from checks.evidence.database.facts import Catalog, Statements, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.evidence.repository.facts import Repository
from checks.evidence.shapes import (
    assumes_order,
    compares_with_null,
    inserts_without_columns,
    negated_subqueries,
    relations_joined,
    selects_of,
    sorts_at_random,
    unconnected,
)
from checks.evidence.sql import parse_tolerantly
from checks.model import Examined, Finding, Fix, Location, NotApplicable, Severity, qualified_name
from checks.registry import check
from checks.relations import estimated_rows
from checks.workload import (
    TEXT_LIMIT,
    counters,
    equality_columns,
    is_of_this_database,
    observed_workload,
    place_in_words,
    rows_per_call,
    short_text,
    statement_confidence,
    statement_figures,
    statement_in_words,
    statement_places,
    statement_subject,
    unread_statements,
)

# What ran less often was typed by hand or is a load.
_REPEATED = 5


def _trees(evidence: Evidence) -> dict[int, Any]:
    """The parsed statements of the workload by the identity of their pattern, without those that somebody typed by hand, and
    those that stand in tests and migrations alone or are meant for another database. Computed once per evidence."""
    known = vars(evidence)
    if "_statement_trees" not in known:
        from checks.evidence.repository.behaviour.reader import is_production

        found: dict[int, Any] = {}
        for pattern in observed_workload(evidence):
            if not is_of_this_database(evidence, pattern):
                continue
            places = statement_places(evidence, pattern)
            calls = counters(evidence, pattern.query_id).get("calls", 0)
            in_code = any(is_production(place.path) for place in places)
            if in_code or (pattern.query_id is not None and calls >= _REPEATED and not places):
                tree = parse_tolerantly(pattern.text)
                if tree is not None and tree.stmts:
                    found[id(pattern)] = tree
        known["_statement_trees"] = found
    trees: dict[int, Any] = known["_statement_trees"]
    return trees


def _read(evidence: Evidence) -> list[tuple[AccessPattern, Any]]:
    trees = _trees(evidence)
    return [(pattern, trees[id(pattern)]) for pattern in observed_workload(evidence) if id(pattern) in trees]


def _examined(evidence: Evidence, read: list[tuple[AccessPattern, Any]]) -> Examined:
    if not read and unread_statements(evidence) is None:
        raise NotApplicable("no statement ran or stands in code")
    return Examined(len(read), len(read), "statements", gap=unread_statements(evidence))


def _literal(evidence: Evidence) -> frozenset[Location]:
    """Where SQL stands as it is sent, not as an ORM call stands for it."""
    repository = evidence.find(Repository)
    return frozenset(statement.location for statement in (repository.statements if repository else ()))


def _finding(
    evidence: Evidence, pattern: AccessPattern, title: str, fix: Fix, severity: Severity, **observed: object
) -> Finding:
    places = statement_places(evidence, pattern)
    return Finding(
        statement_subject(pattern),
        f"{title}{place_in_words(places)}",
        fix,
        severity=severity,
        confidence=statement_confidence(pattern),
        observed={**statement_figures(evidence, pattern), **observed},
        locations=places,
    )


def _words(evidence: Evidence, pattern: AccessPattern) -> str:
    return statement_in_words(pattern, evidence.find(Catalog))


def _tables(evidence: Evidence, pattern: AccessPattern) -> list[Table]:
    catalog = evidence.find(Catalog)
    return [catalog.table_by_oid[oid] for oid in pattern.tables if oid in catalog.table_by_oid] if catalog else []


@check("plans.insert-without-columns", catalogue="P51", severity=Severity.NOTE, needs=[Repository])
def insert_without_columns(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An INSERT in code does not name its columns.

    It depends on the order in which the columns were once added: after a migration it fails, or fills the wrong ones where types
    allow that.

    Fix: INSERT INTO table (columns) VALUES (...).

    Example: INSERT INTO users VALUES ($1, $2, now()): after ALTER TABLE users DROP COLUMN name and ADD COLUMN name text the
    name is the last column, and the statement fails or writes into others.

    Source: PostgreSQL manual, "INSERT"; "Inserting Data"

    Observed: statement, calls
    """
    read, literal = _read(evidence), _literal(evidence)
    yield _examined(evidence, read)
    for pattern, tree in read:
        if literal.intersection(statement_places(evidence, pattern)) and inserts_without_columns(tree):
            yield _finding(
                evidence, pattern, f"{_words(evidence, pattern)} names no columns", Fix("Name the columns that it fills."),
                Severity.NOTE,
            )  # fmt: skip


@check("plans.order-by-random", catalogue="P52", severity=Severity.LOW, needs=[])
def order_by_random(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement sorts by random() to pick a few rows.

    Every row is read, given a random number and sorted, for one of them: the time grows with the table and no index helps.

    Fix: TABLESAMPLE, a random key to start from (WHERE id >= $1 ORDER BY id LIMIT 1), or a stored random column with an index.

    Example: SELECT * FROM quotes ORDER BY random() LIMIT 1 sorts 2 million quotes; SELECT * FROM quotes TABLESAMPLE
    SYSTEM_ROWS(1), of tsm_system_rows, reads one block.

    Source: PostgreSQL manual, "SELECT", "TABLESAMPLE"

    Observed: table_rows, statement, calls, mean_ms
    """
    read = _read(evidence)
    yield _examined(evidence, read)
    for pattern, tree in read:
        if not sorts_at_random(tree):
            continue
        rows = [estimated_rows(evidence, table) for table in _tables(evidence, pattern)]
        largest = max((count for count in rows if count is not None), default=None)
        if largest is not None and largest < evidence.limit("seq_scan_rows"):
            continue
        yield _finding(
            evidence, pattern, f"{_words(evidence, pattern)} sorts all rows by random()",
            Fix("Pick by a random key or TABLESAMPLE; a sort of everything is not needed for a few rows."),
            Severity.MEDIUM if (largest or 0) >= 100_000 else Severity.LOW,
            table_rows=None if largest is None else round(largest),
        )  # fmt: skip


@check("plans.over-complex-statement", catalogue="P53", severity=Severity.LOW, needs=[])
def over_complex_statement(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement joins eight relations or more.

    From join_collapse_limit (8) on, the planner no longer compares all orders of joining, and each estimate is multiplied with
    the errors of those before it. One such statement that chose a bad plan brought a large service down.

    Fix: Split it: find the keys first, then fetch what belongs to them; or keep what is always joined in one table.

    Example: a report over orders with eleven JOINs and as many tables: from the ninth on, the order written in the statement
    decides with which table the planner begins.

    Source: PostgreSQL manual, "join_collapse_limit"; OpenAI, "Scaling PostgreSQL" (2026-01-22), a join of 12 tables

    Observed: relations, statement, calls, mean_ms, share
    """
    read = _read(evidence)
    yield _examined(evidence, read)
    for pattern, tree in read:
        joined = max((relations_joined(select) for select in selects_of(tree)), default=0)
        if joined < evidence.limit("joined_relations"):
            continue
        share = counters(evidence, pattern.query_id).get("share", 0)
        yield _finding(
            evidence, pattern, f"{_words(evidence, pattern)} joins {joined} relations",
            Fix("Split it in two: the keys that are wanted, then the rows that belong to them."),
            Severity.MEDIUM if share >= 0.05 or joined >= 12 else Severity.LOW, relations=joined,
        )  # fmt: skip


@check("plans.null-comparison", catalogue="P54", severity=Severity.MEDIUM, needs=[])
def null_comparison(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A comparison with NULL that is never true.

    `x = NULL` is unknown for every x, so that no row is found. NOT IN over a subquery in which one value is null is unknown for
    every row: the day the first null arrives, the statement returns nothing at all, without an error.

    Fix: IS NULL; NOT EXISTS in place of NOT IN, which also plans better.

    Example: WHERE deleted_at = NULL finds no row. WHERE id NOT IN (SELECT user_id FROM bans) finds none as soon as one ban has
    no user_id.

    Source: PostgreSQL manual, "Comparison Functions and Operators"; "Subquery Expressions", "NOT IN"

    Observed: statement, columns, calls
    """
    read, catalog = _read(evidence), evidence.find(Catalog)
    yield _examined(evidence, read)
    for pattern, tree in read:
        if compares_with_null(tree):
            yield _finding(
                evidence, pattern, f"{_words(evidence, pattern)} compares with NULL, which is never true",
                Fix("Use IS NULL or IS NOT NULL, or IS NOT DISTINCT FROM for a parameter."), Severity.MEDIUM,
            )  # fmt: skip
            continue
        columns = sorted({name for link in negated_subqueries(tree) if catalog and (name := _nullable(catalog, *link))})
        if columns:
            yield _finding(
                evidence, pattern, f"{_words(evidence, pattern)} returns nothing once {columns[0]} is null in one row (NOT IN)",
                Fix("Write NOT EXISTS (SELECT FROM ... WHERE ... = ...); or SET NOT NULL on that column."), Severity.LOW,
                columns=columns,
            )  # fmt: skip


def _nullable(catalog: Catalog, schema: str, table: str, column: str) -> str | None:
    """The column's name if the catalog knows it and lets it be null."""
    named = [entry for entry in catalog.tables_named.get(table, ()) if schema in {"", entry.schema}]
    found = catalog.column_named(named[0].oid, column) if len(named) == 1 else None
    return None if found is None or found.not_null else catalog.column_subject(found).name


@check("plans.join-without-condition", catalogue="P56", severity=Severity.MEDIUM, needs=[Catalog])
def join_without_condition(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Two tables are listed in FROM and nothing ties them together.

    Every row of one is paired with every row of the other: a thousand and a thousand are a million. Mostly a condition was
    forgotten, and DISTINCT or LIMIT hides it. An explicit CROSS JOIN is taken for meant.

    Fix: JOIN ... ON with the condition that is missing; CROSS JOIN where it is meant.

    Example: SELECT o.id, u.email FROM orders o, users u WHERE o.status = 'open': each open order with each user; AND u.id =
    o.user_id was forgotten.

    Source: PostgreSQL manual, "Table Expressions", "Joined Tables"

    Observed: tables, statement, calls, mean_ms
    """
    read, catalog = _read(evidence), evidence.get(Catalog)
    yield _examined(evidence, read)
    for pattern, tree in read:
        if pattern.partial:
            continue

        for select in selects_of(tree):
            loose = [
                table
                for table in unconnected(select, partial(_owner, catalog))
                if _multiplies(evidence, catalog, pattern, table)
            ]
            if loose:
                names = [qualified_name(*(part for part in table[:2] if part)) for table in loose]
                yield _finding(
                    evidence, pattern, f"{_words(evidence, pattern)} pairs every row with every row of {' and '.join(names)}",
                    Fix("Add the join condition that is missing; write CROSS JOIN if every pair is wanted."),
                    Severity.MEDIUM, tables=names,
                )  # fmt: skip
                break


def _owner(catalog: Catalog, name: str, tables: list[tuple[str, str, str]]) -> str | None:
    """The alias of the only table that has a column of that name."""
    owning = [
        alias
        for schema, table, alias in tables
        if any(name in catalog.column_names.get(entry.oid, {}) for entry in _named(catalog, schema, table))
    ]
    return owning[0] if len(owning) == 1 else None


def _named(catalog: Catalog, schema: str, table: str) -> list[Table]:
    return [entry for entry in catalog.tables_named.get(table, ()) if schema in {"", entry.schema}]


def _multiplies(evidence: Evidence, catalog: Catalog, pattern: AccessPattern, table: tuple[str, str, str]) -> bool:
    """Whether it is a table of more than a few rows, of which the statement does not take one by its key."""
    found = _named(catalog, table[0], table[1])
    if len(found) != 1:
        return False
    rows = estimated_rows(evidence, found[0])
    if rows is None or rows <= 1:
        return False
    compared = set(equality_columns(pattern, found[0].oid))
    return not any(
        index.unique and index.valid
        and {catalog.column(index.table, number).name for number in index.columns if number} <= compared
        for index in catalog.indexes_of(found[0].oid)
        if 0 not in index.columns
    )  # fmt: skip


@check("plans.order-assumed", catalogue="P63", severity=Severity.LOW, needs=[])
def order_assumed(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Rows are taken by their place in an order that nothing defines.

    Without ORDER BY, rows come as the plan happens to find them: pages by OFFSET repeat and skip rows after each update, and
    DISTINCT ON keeps any row of a group. In tests it works, since a small table is read from its beginning.

    Fix: ORDER BY unique columns; for DISTINCT ON its columns first, then what says which row is wanted.

    Example: SELECT * FROM users LIMIT 20 OFFSET 40 without ORDER BY: a user who was updated meanwhile moves to another page,
    and is seen twice or not at all.

    Source: PostgreSQL manual, "Sorting Rows (ORDER BY)"; "SELECT", "DISTINCT Clause", "LIMIT Clause"

    Observed: taken_by, statement, calls
    """
    read = _read(evidence)
    yield _examined(evidence, read)
    for pattern, tree in read:
        taken_by = assumes_order(tree)
        if (
            taken_by is None
            or pattern.partial
            or (taken_by == "OFFSET" and (pattern.offset is None or pattern.aggregates))
        ):
            continue
        yield _finding(
            evidence, pattern, f"{_words(evidence, pattern)} takes rows by {taken_by} without an ORDER BY",
            Fix("Give it an ORDER BY that ends in a unique column."), Severity.LOW, taken_by=taken_by,
        )  # fmt: skip


@check("plans.unbounded-read", catalogue="P07", severity=Severity.LOW, needs=[Catalog])
def unbounded_read(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Code reads a large table whole.

    No condition and no LIMIT: the result is as large as the table, is sent as a whole and kept in the process's memory. It works
    until the table has grown, and then the process is killed.

    Fix: A condition, pages by key (WHERE id > $1 ORDER BY id LIMIT 1000), or a server-side cursor for what has to see all.

    Example: rows = session.query(Event).all() in a nightly job: 30 million rows become objects in one process; yield_per(1000)
    with stream_results takes them piece by piece.

    Source: PostgreSQL manual, "LIMIT and OFFSET"; psycopg documentation, "Server-side cursors"

    Observed: table_rows, statement, calls, mean_ms
    """
    read, statements = _read(evidence), evidence.find(Statements)
    yield _examined(evidence, read)
    for pattern, tree in read:
        tables = _tables(evidence, pattern)
        if not _is_unbounded(pattern) or len(tables) != 1 or tables[0].kind not in {"table", "partitioned"}:
            continue
        rows = estimated_rows(evidence, tables[0])
        entry = statements.by_id.get(pattern.query_id or "") if statements else None
        if (
            rows is None
            or rows < evidence.limit("seq_scan_rows")
            or any(select.group_clause for select in selects_of(tree))
        ):
            continue
        if entry is not None and (
            rows_per_call(entry) < rows / 2 or rows_per_call(entry) >= evidence.limit("rows_per_call")
        ):
            # Fewer came, or plans.many-rows-returned says it.
            continue
        yield _finding(
            evidence, pattern, f"{short_text(pattern.text, TEXT_LIMIT // 3)} reads all {rows:,.0f} rows",
            Fix("Read it in pages by its key, or through a server-side cursor."),
            Severity.MEDIUM if rows >= 1_000_000 else Severity.LOW, table_rows=round(rows),
        )  # fmt: skip


def _is_unbounded(pattern: AccessPattern) -> bool:
    if pattern.verb != "select" or pattern.partial or pattern.aggregates or pattern.unresolved or pattern.functions:
        return False
    return pattern.limit is None and not pattern.comparisons and pattern.joined_relations == 1
