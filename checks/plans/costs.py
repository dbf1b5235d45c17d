"""What single statements cost the server: time, blocks, temporary files, WAL, planning."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from checks.evidence.database.facts import Catalog, Server, Settings, Statement, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.figures import bytes_in_words
from checks.model import Examined, Finding, Fix, NotApplicable, Severity
from checks.plans.sequential_scans import wasteful_scans
from checks.registry import check
from checks.settings import is_on
from checks.workload import (
    as_subject,
    counted_days,
    pattern_by_query_id,
    place_in_words,
    statement_figures,
    statement_in_words,
    statement_places,
    statement_subject,
    unread_statements,
)

BLOCK_BYTES = 8192
# No statement is named more often than that by one check: those behind are cheaper.
SHOWN = 5


def _costly(
    evidence: Evidence, statements: Statements, cost: Callable[[Statement], float], least: Callable[[Statement], bool]
) -> list[tuple[Statement, AccessPattern]]:
    """The five statements with the highest cost of those that are at least so dear, with what they do."""
    known = pattern_by_query_id(evidence)
    found = sorted(
        (entry for entry in statements.entries if entry.toplevel and least(entry)), key=lambda entry: -cost(entry)
    )
    return [
        (entry, known.get(entry.query_id) or AccessPattern("other", entry.text, query_id=entry.query_id))
        for entry in found[:SHOWN]
    ]


def _examined(evidence: Evidence, statements: Statements) -> Examined:
    if not statements.entries and not statements.hidden:
        raise NotApplicable("no statement ran")
    total = len(statements.entries) + statements.hidden
    return Examined(len(statements.entries), total, "statements", gap=unread_statements(evidence))


def _words(evidence: Evidence, pattern: AccessPattern) -> str:
    return as_subject(statement_in_words(pattern, evidence.find(Catalog)))


def _finding(
    evidence: Evidence, pattern: AccessPattern, says: str, advice: str, severity: Severity, **observed: object
) -> Finding:
    places = statement_places(evidence, pattern)
    return Finding(
        statement_subject(pattern),
        f"{_words(evidence, pattern)} {says}{place_in_words(places)}",
        Fix(advice),
        severity=severity,
        observed={**statement_figures(evidence, pattern), **observed},
        locations=places,
    )


@check(
    "plans.slow-statement", catalogue="P02", severity=Severity.MEDIUM, needs=[Statements, Server], window="window_days"
)
def slow_statement(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement that runs often is slow each time.

    GitLab allows a query 100 ms: above that a page that needs ten of them is slow for everybody. Here a second is the limit, for
    statements that run day after day; single reports are left out.

    Fix: Look at its plan with real parameters: an index, fewer rows, or work that is done once and kept.

    Example: SELECT ... FROM conversations WHERE title ILIKE $1 takes 1,800 ms on average, 9,000 times a day: the search box of
    the start page.

    Source: GitLab, "Query performance guidelines"; PostgreSQL manual, "pg_stat_statements"

    Observed: calls, mean_ms, max_ms, stddev_ms, share, statement
    """
    statements = evidence.get(Statements)
    days = counted_days(evidence, "window_days")
    yield _examined(evidence, statements)
    often = max(10.0, evidence.limit("slow_calls_per_day") * days)
    for entry, pattern in _costly(
        evidence, statements, lambda entry: entry.total_ms,
        lambda entry: entry.mean_ms >= evidence.limit("slow_mean_ms") and entry.calls >= often,
    ):  # fmt: skip
        slow = entry.mean_ms >= 5 * evidence.limit("slow_mean_ms")
        yield _finding(
            evidence, pattern, f"takes {entry.mean_ms / 1000:.1f} s on average, {entry.calls:,} times",
            "See its plan with real parameters (EXPLAIN with ANALYZE and BUFFERS, away from production): most of the time goes "
            "into rows that are read and thrown away.",
            Severity.HIGH if slow else Severity.MEDIUM,
            max_ms=_rounded(entry.max_ms), stddev_ms=_rounded(entry.stddev_ms),
        )  # fmt: skip


@check(
    "plans.variable-statement", catalogue="P04", severity=Severity.LOW, needs=[Statements, Server], window="window_days"
)
def variable_statement(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement is quick on average and now and then very slow.

    The average hides it. Either some parameters touch far more rows than others (the one tenant that is large), or its plan
    changes, or it waits for locks: users meet it as "sometimes it hangs".

    Fix: Catch the slow call: auto_explain or log_min_duration_statement tell its parameters and plan.

    Example: mean 12 ms, standard deviation 400 ms, maximum 31 s: WHERE tenant_id = $1 for a tenant with half of all rows.

    Source: PostgreSQL manual, "pg_stat_statements" (stddev_exec_time, max_exec_time)

    Observed: calls, mean_ms, max_ms, stddev_ms, share, statement
    """
    statements = evidence.get(Statements)
    counted_days(evidence, "window_days")
    yield _examined(evidence, statements)

    def varies(entry: Statement) -> bool:
        spread = entry.stddev_ms or 0
        slow = (entry.max_ms or 0) >= evidence.limit("slow_mean_ms") and spread >= evidence.limit(
            "variable_factor"
        ) * entry.mean_ms
        return (
            slow
            and entry.calls >= evidence.limit("chatty_calls_min")
            and spread * 3 > evidence.limit("slow_mean_ms") / 2
        )

    for entry, pattern in _costly(evidence, statements, lambda entry: entry.stddev_ms or 0, varies):
        yield _finding(
            evidence, pattern,
            f"takes {entry.mean_ms:.1f} ms on average and up to {(entry.max_ms or 0) / 1000:.1f} s",
            "Log it when it is slow, with its parameters and plan; look for one tenant or key that has far more rows.",
            Severity.LOW, max_ms=_rounded(entry.max_ms), stddev_ms=_rounded(entry.stddev_ms),
        )  # fmt: skip


@check(
    "plans.block-heavy-statement",
    catalogue="P06",
    severity=Severity.LOW,
    needs=[Statements, Server],
    window="window_days",
)
def block_heavy_statement(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement touches very many blocks for the rows that it returns.

    Each block is 8 kB that must be found in memory or read, and that pushes out another. Hundreds of blocks for each row that
    comes back say that most of what is read is thrown away: a missing index, a bloated table, a join in the wrong order.

    Fix: An index that finds only what is returned; VACUUM or REINDEX where dead rows are in the way.

    Example: SELECT ... FROM messages WHERE chat_id = $1 AND deleted_at IS NULL touches 9,000 blocks for 20 rows: the index on
    (chat_id) leads to ten thousand deleted messages first.

    Source: PostgreSQL manual, "pg_stat_statements" (shared_blks_hit, shared_blks_read)

    Observed: calls, mean_ms, share, blocks_per_call, blocks_per_row, blocks_share, statement
    """
    statements = evidence.get(Statements)
    counted_days(evidence, "window_days")
    yield _examined(evidence, statements)
    total = sum(_blocks(entry) for entry in statements.entries) or 1
    known = pattern_by_query_id(evidence)
    explained = {plan.query_id for plan, _, _ in wasteful_scans(evidence)}

    def reads_much(entry: Statement) -> bool:
        """A count or a sum reads many rows for one; a table that is read whole for few is plans.wasteful-sequential-scan's."""
        pattern = known.get(entry.query_id)
        if entry.query_id in explained or (pattern is not None and pattern.aggregates):
            return False
        return (
            _blocks(entry) >= evidence.limit("heavy_share") * total
            and _blocks(entry) / entry.calls >= evidence.limit("blocks_per_call")
            and _blocks(entry) / max(entry.rows, entry.calls) >= evidence.limit("blocks_per_row")
        )

    for entry, pattern in _costly(evidence, statements, _blocks, reads_much):
        each = _blocks(entry) / entry.calls
        yield _finding(
            evidence, pattern, f"touches {bytes_in_words(each * BLOCK_BYTES)} of blocks each time",
            "See with EXPLAIN (ANALYZE, BUFFERS), away from production, which node reads them and how many rows it throws away.",
            Severity.MEDIUM if _blocks(entry) >= total / 2 else Severity.LOW,
            blocks_per_call=round(each), blocks_per_row=round(_blocks(entry) / max(entry.rows, 1), 1),
            blocks_share=round(_blocks(entry) / total, 4),
        )  # fmt: skip


def _blocks(entry: Statement) -> float:
    return entry.shared_blocks_hit + entry.shared_blocks_read


@check("plans.io-heavy-statement", catalogue="P10", severity=Severity.LOW, needs=[Statements, Server, Settings],
       window="window_days")  # fmt: skip
def io_heavy_statement(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement spends most of its time waiting for the disk.

    It reads what is not in memory. It slows down with the disk, at the worst moment, and slows the others down by what it evicts.

    Fix: Read less: an index, fewer columns out of line, a smaller table; then more memory.

    Example: 1,200 ms a call, of which 1,050 ms are reads (track_io_timing): SELECT body FROM documents WHERE collection_id =
    $1, with 4,000 long texts of which the page shows titles.

    Source: PostgreSQL manual, "pg_stat_statements" (shared_blk_read_time); "track_io_timing"

    Observed: calls, mean_ms, share, read_ms, read_share, statement
    """
    statements, settings = evidence.get(Statements), evidence.get(Settings)
    counted_days(evidence, "window_days")
    if not is_on(settings.value("track_io_timing")) and not any(entry.read_ms for entry in statements.entries):
        raise NotApplicable("track_io_timing is off: no time of reading is known")
    yield _examined(evidence, statements)
    for entry, pattern in _costly(
        evidence, statements, lambda entry: entry.read_ms or 0,
        lambda entry: (entry.read_ms or 0) >= 0.5 * entry.total_ms
        and statements.share(entry) >= evidence.limit("heavy_share")
        and entry.total_ms >= evidence.limit("dominant_total_ms"),
    ):  # fmt: skip
        share = (entry.read_ms or 0) / entry.total_ms
        yield _finding(
            evidence, pattern, f"waits for the disk {share:.0%} of its time",
            "See which table it reads: an index, or fewer wide columns, leaves less to read.",
            Severity.MEDIUM if statements.share(entry) >= evidence.limit("dominant_share") else Severity.LOW,
            read_ms=_rounded(entry.read_ms), read_share=round(share, 4),
        )  # fmt: skip


@check(
    "plans.many-rows-returned", catalogue="P07", severity=Severity.LOW, needs=[Statements, Server], window="window_days"
)
def many_rows_returned(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement that runs often returns very many rows each time.

    No page shows ten thousand rows. They are sent, parsed and turned into objects to be filtered or counted in the
    application, and the more customers there are, the more they become.

    Fix: LIMIT with a key to go on from; count and filter in SQL; a cursor or COPY for exports.

    Example: SELECT * FROM events WHERE project_id = $1, 800 calls an hour with 26,000 rows each, of which the code shows how
    many there are.

    Source: PostgreSQL manual, "pg_stat_statements" (rows)

    Observed: calls, mean_ms, share, rows_per_call, statement
    """
    statements = evidence.get(Statements)
    days = counted_days(evidence, "window_days")
    yield _examined(evidence, statements)
    known = pattern_by_query_id(evidence)
    often = max(10.0, evidence.limit("slow_calls_per_day") * days)

    def returns_many(entry: Statement) -> bool:
        pattern = known.get(entry.query_id)
        reads = pattern is not None and pattern.verb == "select"
        return reads and entry.calls >= often and entry.rows / entry.calls >= evidence.limit("rows_per_call")

    for entry, pattern in _costly(evidence, statements, lambda entry: entry.rows, returns_many):
        yield _finding(
            evidence, pattern, f"returns {entry.rows / entry.calls:,.0f} rows each time, {entry.calls:,} times",
            "See what becomes of them in the code: a page, a sum or a filter belongs into the statement.", Severity.LOW,
        )  # fmt: skip


@check(
    "plans.spilling-statement",
    catalogue="P08",
    severity=Severity.MEDIUM,
    needs=[Statements, Server],
    window="window_days",
)
def spilling_statement(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement writes temporary files each time it runs.

    What it sorts or hashes does not fit into work_mem and goes to the disk and back: several times slower, and worse the more of
    them run at once. It is often a sort that an index would spare, or columns that nobody needs in it.

    Fix: An index in the order asked for, fewer columns; then more work_mem for its role, or SET LOCAL around it.

    Example: SELECT DISTINCT ON (user_id) * FROM events ORDER BY user_id, created_at DESC writes 600 MB of temporary files a
    call; an index on (user_id, created_at) spares the sort.

    Source: PostgreSQL manual, "work_mem"; "pg_stat_statements" (temp_blks_written)

    Observed: calls, mean_ms, share, temp_bytes_per_call, temp_bytes, statement
    """
    statements = evidence.get(Statements)
    counted_days(evidence, "window_days")
    yield _examined(evidence, statements)
    for entry, pattern in _costly(
        evidence, statements, lambda entry: entry.temp_blocks_written,
        lambda entry: entry.temp_blocks_written * BLOCK_BYTES / entry.calls >= evidence.limit("temp_bytes_per_call")
        and entry.calls >= 5,
    ):  # fmt: skip
        size = entry.temp_blocks_written * BLOCK_BYTES
        yield _finding(
            evidence, pattern, f"writes {bytes_in_words(size / entry.calls)} of temporary files each time",
            "Spare the sort by an index in that order, or sort fewer and narrower rows; else give the role more work_mem.",
            Severity.MEDIUM if statements.share(entry) >= evidence.limit("heavy_share") else Severity.LOW,
            temp_bytes_per_call=round(size / entry.calls), temp_bytes=size,
        )  # fmt: skip


@check(
    "plans.wal-heavy-statement",
    catalogue="P09",
    severity=Severity.LOW,
    needs=[Statements, Server],
    window="window_days",
)
def wal_heavy_statement(evidence: Evidence) -> Iterator[Finding | Examined]:
    """One statement writes a large share of all WAL.

    Every standby, the archive and the disk carry it. Mostly rows are written again that did not change, a wide row is
    rewritten for a counter in it, or each change writes many indexes.

    Fix: Write only what changed (WHERE old IS DISTINCT FROM new), counters in a narrow table of their own, fewer indexes.

    Example: UPDATE sessions SET data = $1, last_seen = now() WHERE id = $2 for each request writes 55 % of all WAL: data, 6 kB
    of jsonb, is the same as before nearly always.

    Source: PostgreSQL manual, "pg_stat_statements" (wal_bytes)

    Observed: calls, mean_ms, share, wal_bytes, wal_share, wal_bytes_per_row, statement
    """
    statements = evidence.get(Statements)
    days = counted_days(evidence, "window_days")
    yield _examined(evidence, statements)
    total = sum(entry.wal_bytes or 0 for entry in statements.entries)
    if total / max(days, 1) < evidence.limit("wal_bytes_per_day") / 10:
        return
    for entry, pattern in _costly(
        evidence, statements, lambda entry: entry.wal_bytes or 0,
        lambda entry: (entry.wal_bytes or 0) >= evidence.limit("dominant_share") * total,
    ):  # fmt: skip
        size = entry.wal_bytes or 0
        yield _finding(
            evidence, pattern, f"writes {size / total:.0%} of all WAL, {bytes_in_words(size / max(entry.rows, 1))} a row",
            "See whether it writes rows that did not change, and how many indexes each of its writes touches.",
            Severity.LOW,
            wal_bytes=size, wal_share=round(size / total, 4), wal_bytes_per_row=round(size / max(entry.rows, 1)),
        )  # fmt: skip


@check("plans.planning-time", catalogue="P11", severity=Severity.LOW, needs=[Statements, Server, Settings],
       window="window_days")  # fmt: skip
def planning_time(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Planning a statement takes longer than running it.

    Many joins, hundreds of partitions, or a driver that never prepares: each call is planned anew, for a plan that was the same
    all day.

    Fix: Prepared statements (through the pooler too, from PgBouncer 1.21); fewer partitions touched; plan_cache_mode.

    Example: mean_plan_time 38 ms and mean_exec_time 2 ms: a join of nine tables, sent as a new statement by each request.

    Source: PostgreSQL manual, "pg_stat_statements.track_planning"; "PREPARE"

    Observed: calls, mean_ms, share, planning_ms, statement
    """
    statements, settings = evidence.get(Statements), evidence.get(Settings)
    counted_days(evidence, "window_days")
    if not is_on(settings.value("pg_stat_statements.track_planning")):
        raise NotApplicable("pg_stat_statements.track_planning is off: no time of planning is known")
    yield _examined(evidence, statements)
    for entry, pattern in _costly(
        evidence, statements, lambda entry: entry.planning_ms or 0,
        lambda entry: (entry.planning_ms or 0) > entry.total_ms
        and (entry.planning_ms or 0) >= evidence.limit("dominant_total_ms")
        and entry.calls >= evidence.limit("chatty_calls_min"),
    ):  # fmt: skip
        yield _finding(
            evidence, pattern,
            f"is planned for {(entry.planning_ms or 0) / entry.calls:.1f} ms and runs for {entry.mean_ms:.1f} ms each time",
            "Prepare it, so that its plan is kept; see how many partitions and joins the planner has to look at.",
            Severity.LOW, planning_ms=_rounded(entry.planning_ms),
        )  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
