"""Recall measured: what vector indexes return, against exact search for the same vectors (--measure-recall).

Sampled rows are named by their place (ctid) and compared on the server: no vector and no value leaves it. Read-only, in
short transactions of one snapshot each, within a bounded time.
"""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import psycopg

from checks.evidence.database.facts import (
    BodyStatement,
    Catalog,
    Column,
    Extension,
    Index,
    Recall,
    RecallAt,
    RecallMeasurement,
    Table,
)
from checks.evidence.database.session import MANNERS, MARKER, Session
from checks.evidence.database.unreadable import unreadable
from checks.evidence.patterns import NearestSearch, read_pattern
from checks.model import qualified_name, quote_identifier

SAMPLES = 200
FEWEST_SAMPLES = 20
SECONDS = 120.0
DEFAULT_K = 10
LARGEST_K = 200
_KS, _FILTERS = 2, 2
_RESAMPLES = 1000
_SETTINGS = {"hnsw": "hnsw.ef_search", "ivfflat": "ivfflat.probes"}
_DEFAULTS = {"hnsw": 40, "ivfflat": 1}
_LARGEST = {"hnsw": 1000, "ivfflat": 32768}
_LISTS = 100
_OPERATORS = {"l2_ops": "<->", "ip_ops": "<#>", "cosine_ops": "<=>", "l1_ops": "<+>"}
_MANNERS: Mapping[str, str] = {
    **MANNERS,
    "search_path": "pg_catalog",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    # Rather an error than a search among some of the rows.
    "row_security": "off",
}
_EXACT = dict.fromkeys(("enable_seqscan", "enable_sort", "enable_indexscan", "enable_bitmapscan"), "on")
_APPROXIMATE = {
    **dict.fromkeys(("enable_seqscan", "enable_sort", "enable_bitmapscan"), "off"),
    "enable_indexscan": "on",
}
_LARGE_TABLE = 100_000


class Wanted(NamedTuple):
    """How the application searches a column: each k that is known, and the columns it filters by, for each of its searches."""

    ks: tuple[int, ...]
    filters: tuple[tuple[str, ...], ...]


class _Subject(msgspec.Struct, frozen=True):
    """`searched` is the column of a row `{0}`, `cast` what the index casts it to."""

    table: Table
    column: Column
    index: Index
    operator: str
    searched: str
    cast: str


def wanted_searches(
    catalog: Catalog, statements: Iterable[tuple[str, int | None]], bodies: Iterable[BodyStatement]
) -> dict[tuple[int, str], Wanted]:
    """What statements (text, LIMIT if known) and bodies of functions search for, by table and column."""
    ks: dict[tuple[int, str], dict[int, None]] = {}
    filters: dict[tuple[int, str], dict[tuple[str, ...], None]] = {}
    told = [*statements, *((body.text, body.limit) for body in bodies)]
    for text, limit in told:
        pattern = read_pattern(text, catalog)
        for search in pattern.searches if pattern else ():
            table = catalog.table_by_oid.get(search.column.table or 0)
            if table is None or search.place != "order":
                continue
            key = (table.root or table.oid, search.column.column)
            if found := search.limit or limit:
                ks.setdefault(key, {})[min(found, LARGEST_K)] = None
            if names := _filters(search, table):
                filters.setdefault(key, {})[names] = None
    return {
        key: Wanted(tuple(sorted(ks.get(key, ())))[:_KS], tuple(sorted(filters.get(key, ())))[:_FILTERS])
        for key in {*ks, *filters}
    }


def _filters(search: NearestSearch, table: Table) -> tuple[str, ...]:
    """The plain columns that it compares for equality; empty if it compares anything else, which cannot be made up."""
    names = []
    for entry in search.filters:
        plain = entry.operator == "=" and not (entry.function or entry.json_operator or entry.under_or or entry.other)
        if not plain or entry.column.table != table.oid:
            return ()
        names.append(entry.column.column)
    return tuple(sorted(set(names)))


def measure_recall(
    session: Session,
    catalog: Catalog,
    extension: Extension,
    wanted: Mapping[tuple[int, str], Wanted],
    in_force: Mapping[str, str],
    *,
    seconds: float = SECONDS,
    progress: Callable[[str], None] = lambda _: None,
) -> Recall:
    """Each HNSW and IVFFlat index at the k and under the filters that the application uses, at the breadth `in_force` and two
    larger ones. Raises Cancelled, ConnectionLost."""
    begun = time.monotonic()
    measurements: list[RecallMeasurement] = []
    skipped: dict[str, str] = {}
    jobs: list[tuple[_Subject, int, tuple[str, ...]]] = []
    closed = unreadable(session)
    for index in catalog.indexes:
        if index.method not in _SETTINGS or not index.valid or index.parent is not None:
            continue
        subject = _subject(catalog, extension, index)
        if subject is None:
            skipped[str(index.oid)] = "unsupported"
            continue
        if index.table in closed:
            skipped[str(index.oid)] = "not_permitted"
            continue
        asked = wanted.get((subject.table.oid, subject.column.name), Wanted((), ()))
        jobs += [(subject, k, filters) for filters in ((), *asked.filters) for k in asked.ks or (DEFAULT_K,)]
    for number, (subject, k, filters) in enumerate(jobs):
        progress(f"measuring recall of {subject.index.name}")
        # What is left of the time is for all that is left to measure.
        now = time.monotonic()
        until = now + (begun + seconds - now) / (len(jobs) - number)
        found = _measured(session, extension, subject, k, filters, in_force, until)
        if isinstance(found, str):
            skipped[str(subject.index.oid)] = found
        else:
            measurements.append(found)
    return Recall(tuple(measurements), skipped, round(time.monotonic() - begun, 1))


def _measured(
    session: Session,
    extension: Extension,
    subject: _Subject,
    k: int,
    filters: tuple[str, ...],
    in_force: Mapping[str, str],
    until: float,
) -> RecallMeasurement | str:
    try:
        return _measure(session, extension, subject, k, filters, in_force, until)
    except psycopg.errors.QueryCanceled:
        return "no_time"
    except psycopg.errors.InsufficientPrivilege:
        return "not_permitted"
    except psycopg.Error:
        return "unsupported"


def _subject(catalog: Catalog, extension: Extension, index: Index) -> _Subject | None:
    """What to compare, written out; None for indexes on parts of the rows, on bits or on several columns."""
    table = catalog.table_by_oid.get(index.table)
    if table is None or len(index.keys) != 1 or index.predicate is not None:
        return None
    key = index.keys[0]
    name = key.operator_class.rpartition(".")[2]
    operator = next((sign for suffix, sign in _OPERATORS.items() if name.endswith(suffix)), None)
    number = key.column or (key.expression_columns[0] if len(key.expression_columns) == 1 else 0)
    column = catalog.columns_of(table.oid).get(number)
    if operator is None or column is None or column.base_type not in {"vector", "halfvec"}:
        return None
    plain = f"{{0}}.{quote_identifier(column.name)}"
    if key.column:
        return _Subject(table, column, index, operator, plain, "")
    match = re.fullmatch(r"\(?\(?\w+\)?::(?:[\w\"]+\.)?halfvec(?:\(\s*[\w$]+\s*\))?\)?", key.expression or "")
    if match is None or column.type_modifier <= 0:
        return None
    cast = f"::{qualified_name(extension.schema, 'halfvec')}({column.type_modifier})"
    return _Subject(table, column, index, operator, plain, cast)


def _breadths(subject: _Subject, in_force: Mapping[str, str]) -> tuple[int, ...]:
    """The one in force, and two larger ones."""
    method, index = subject.index.method, subject.index
    value = in_force.get(_SETTINGS[method], "")
    now = int(value) if value.isdigit() else _DEFAULTS[method]
    if method == "hnsw":
        further = [round(now * 2.5), now * 5]
    else:
        lists = int(index.options.get("lists", _LISTS))
        further = [max(now * 2, round(lists**0.5)), max(now * 4, round(2 * lists**0.5))]
    return tuple(dict.fromkeys(min(value, _LARGEST[method]) for value in (now, *further)))


class _Statements(NamedTuple):
    exact: str
    approximate: str


def _statements(extension: Extension, subject: _Subject, k: int, filters: tuple[str, ...]) -> _Statements:
    relation = qualified_name(subject.table.schema, subject.table.name)
    operator = f"OPERATOR({quote_identifier(extension.schema)}.{subject.operator})"

    def of_sample(expression: str) -> str:
        return (
            f"(SELECT {expression.format('q')} FROM {relation} AS q WHERE q.tableoid = %(part)s::pg_catalog.oid "
            "AND q.ctid = %(place)s::pg_catalog.tid)"
        )

    full = f"{subject.searched.format('t')} {operator} {of_sample(subject.searched)}"
    indexed = (
        f"({subject.searched.format('t')}){subject.cast} {operator} ({of_sample(subject.searched)}){subject.cast}"
        if subject.cast
        else full
    )
    conditions = [f"t.{quote_identifier(name)} = {of_sample('{0}.' + quote_identifier(name))}" for name in filters]
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    head = f"SELECT {MARKER} t.tableoid::bigint AS part, t.ctid::text AS place, {full} AS distance FROM {relation} AS t {where}"
    # A sum is what no vector index gives in order.
    return _Statements(f"{head}ORDER BY ({full}) + 0 LIMIT {k + 1}", f"{head}ORDER BY {indexed} LIMIT {k + 1}")


def _measure(
    session: Session,
    extension: Extension,
    subject: _Subject,
    k: int,
    filters: tuple[str, ...],
    in_force: Mapping[str, str],
    until: float,
) -> RecallMeasurement | str:
    """The measurement, or why there is none."""
    samples, unit_length, zero_length = _sample(session, extension, subject, filters)
    if not samples:
        return "no_rows"
    breadths = _breadths(subject, in_force)
    statements = _statements(extension, subject, k, filters)
    used = _is_used(session, subject, statements, samples[0], forced=False)
    if not used and not _is_used(session, subject, statements, samples[0], forced=True):
        return "unsupported"
    recalls: dict[int, list[float]] = {breadth: [] for breadth in breadths}
    times: dict[int, list[float]] = {breadth: [] for breadth in breadths}
    returned: dict[int, list[int]] = {breadth: [] for breadth in breadths}
    exact_ms: list[float] = []
    for sample in samples:
        if time.monotonic() > until:
            break
        with session.transaction(_MANNERS, one_snapshot=True, ends=True, may_fail=True):
            _set(session, _EXACT)
            truth, took = _timed(session, statements.exact, sample)
            if truth is None or not truth:
                continue
            exact_ms.append(took)
            _set(session, _APPROXIMATE)
            for breadth in breadths:
                _set(session, {_SETTINGS[subject.index.method]: str(breadth)} | _iterating(subject, in_force))
                rows, took = _timed(session, statements.approximate, sample)
                found = _without(rows or [], sample)[:k]
                recalls[breadth].append(_share_found(_without(truth, sample)[:k], found))
                times[breadth].append(took)
                returned[breadth].append(len(found))
    if len(exact_ms) < min(FEWEST_SAMPLES, len(samples)):
        return "no_time"
    return RecallMeasurement(
        index=subject.index.oid,
        table=subject.table.oid,
        column=subject.column.number,
        operator=subject.operator,
        k=k,
        at=tuple(_at(breadth, recalls[breadth], returned[breadth], times[breadth]) for breadth in breadths),
        filtered_by=filters,
        exact_ms=round(statistics.median(exact_ms), 3),
        used=used,
        unit_length=unit_length,
        zero_length=zero_length,
    )


def _iterating(subject: _Subject, in_force: Mapping[str, str]) -> dict[str, str]:
    name = f"{subject.index.method}.iterative_scan"
    value = in_force.get(name, "")
    return {name: value} if re.fullmatch(r"off|relaxed_order|strict_order", value) else {}


def _sample(
    session: Session, extension: Extension, subject: _Subject, filters: tuple[str, ...]
) -> tuple[list[tuple[int, str]], float | None, float | None]:
    """Places of rows with a vector, chosen by a hash of their place; and the shares of them with vectors of length 1 and 0."""
    relation, column = qualified_name(subject.table.schema, subject.table.name), quote_identifier(subject.column.name)
    norm = "vector_norm" if subject.column.base_type == "vector" else "l2_norm"
    rows = subject.table.rows or 0
    # Blocks of a large table, or else all of it: few rows are in a block, as vectors stand out of line.
    share = (
        f" TABLESAMPLE SYSTEM ({max(0.01, 100 * 40 * SAMPLES / rows):.4f}) REPEATABLE (7)"
        if rows > _LARGE_TABLE
        else ""
    )
    given = "".join(f" AND t.{quote_identifier(name)} IS NOT NULL" for name in filters)
    with session.transaction(_MANNERS, ends=True, may_fail=True):
        found = session.rows(
            f"SELECT {MARKER} s.part, s.place, {qualified_name(extension.schema, norm)}(s.v) AS norm FROM ("
            f"SELECT t.tableoid::bigint AS part, t.ctid::text AS place, t.{column} AS v FROM {relation} AS t{share} "
            f"WHERE t.{column} IS NOT NULL{given} ORDER BY md5(t.ctid::text) LIMIT {SAMPLES}) AS s"
        )
    norms = [row.norm for row in found]
    # The cosine of a zero vector is no number.
    places = [(row.part, row.place) for row in found if row.norm > 0]
    if not norms:
        return places, None, None
    unit = sum(abs(norm - 1) < 0.002 for norm in norms) / len(norms)
    return places, round(unit, 4), round(1 - len(places) / len(norms), 4)


def _set(session: Session, settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        session.rows(
            f"SELECT {MARKER} pg_catalog.set_config(%(name)s, %(value)s, true)", {"name": name, "value": value}
        )


def _timed(session: Session, statement: str, sample: tuple[int, str]) -> tuple[list[Any] | None, float]:
    begun = time.monotonic()
    rows = session.rows(statement, {"part": sample[0], "place": sample[1]})
    return rows, (time.monotonic() - begun) * 1000


def _is_used(
    session: Session, subject: _Subject, statements: _Statements, sample: tuple[int, str], *, forced: bool
) -> bool:
    """Whether the planner takes a vector index; `forced`: where it can."""
    with session.transaction(_MANNERS, ends=True, may_fail=True):
        if forced:
            _set(session, _APPROXIMATE)
        rows = session.rows(
            f"EXPLAIN (COSTS OFF, FORMAT TEXT) {statements.approximate}", {"part": sample[0], "place": sample[1]}
        )
    text = "\n".join(str(row[0]) for row in rows)
    # Of a partitioned index the names are its partitions'.
    return "Order By: " in text and (subject.table.kind == "partitioned" or subject.index.name in text)


def _without(rows: list[Any], sample: tuple[int, str]) -> list[Any]:
    return [row for row in rows if (row.part, row.place) != sample]


def _share_found(truth: list[Any], found: list[Any]) -> float:
    """By distance and not by identity, for equal distances are equally right."""
    if not truth:
        return 1.0
    farthest = float(truth[-1].distance)
    near = sum(float(row.distance) <= farthest + abs(farthest) * 1e-6 + 1e-9 for row in found)
    return min(near, len(truth)) / len(truth)


def _at(breadth: int, recalls: list[float], returned: list[int], times: list[float]) -> RecallAt:
    low, high = interval(recalls)
    ordered = sorted(times)
    return RecallAt(
        breadth=breadth,
        recall=round(statistics.fmean(recalls), 4),
        low=low,
        high=high,
        searches=len(recalls),
        returned=round(statistics.fmean(returned), 2),
        median_ms=round(statistics.median(times), 3),
        p95_ms=round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 3),
    )


def interval(recalls: list[float]) -> tuple[float, float]:
    """Bounds of the mean with 95 % confidence, by resampling the searches; always the same for the same recalls."""
    chance = random.Random(0)
    means = sorted(statistics.fmean(chance.choices(recalls, k=len(recalls))) for _ in range(_RESAMPLES))
    return round(means[int(0.025 * _RESAMPLES)], 4), round(means[int(0.975 * _RESAMPLES) - 1], 4)
