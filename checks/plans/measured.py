"""What plans that were really run tell: spills, lossy bitmaps, workers that never came, estimates that were wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from checks.evidence.database.facts import Catalog, GivenPlan, GivenPlans, Measured, PlanNode
from checks.evidence.evidence import Evidence
from checks.figures import bytes_in_words
from checks.model import Examined, Finding, Fix, Reason, Severity, Subject, Unknown, quote_identifier
from checks.registry import check
from checks.workload import TEXT_LIMIT, counters, pattern_by_query_id, short_text, statement_in_words, statement_places

KILOBYTE = 1024
_BLIND = frozenset({"Limit", "Gather", "Gather Merge", "BitmapAnd", "BitmapOr", "Bitmap Index Scan"})


def _run(evidence: Evidence) -> list[GivenPlan]:
    """The given plans that were run. Raises Unknown if none of them was."""
    plans = [plan for plan in evidence.get(GivenPlans).plans if plan.analyzed]
    if not plans:
        raise Unknown(
            Reason.NOT_OPTED_IN,
            "--analyze runs statements that you say yes to; or give plans of EXPLAIN (ANALYZE, BUFFERS) with --plan",
        )
    return plans


def _words(evidence: Evidence, plan: GivenPlan) -> str:
    """The statement in words, else where its plan stands."""
    pattern = pattern_by_query_id(evidence).get(plan.query_id or "")
    if pattern is not None:
        return statement_in_words(pattern, evidence.find(Catalog))
    return short_text(plan.text, 60) if plan.text else f"plan {plan.number} of {plan.file}"


def _finding(
    evidence: Evidence,
    plan: GivenPlan,
    node: PlanNode | None,
    says: str,
    fix: Fix,
    severity: Severity,
    **observed: object,
) -> Finding:
    pattern = pattern_by_query_id(evidence).get(plan.query_id or "")
    subject = Subject("statement", (plan.query_id,) if plan.query_id else (plan.file, str(plan.number)))
    return Finding(
        subject,
        f"{_words(evidence, plan)}: {says}",
        fix,
        severity=severity,
        observed={
            "plan": f"{plan.file}:{plan.number}", "node": _node_in_words(node) if node else None,
            "execution_ms": plan.execution_ms, "statement": short_text(plan.text, TEXT_LIMIT),
            **counters(evidence, plan.query_id), **({"values": "; ".join(plan.values)} if plan.values else {}), **observed,
        },
        locations=statement_places(evidence, pattern) if pattern else (),
    )  # fmt: skip


def _node_in_words(node: PlanNode) -> str:
    words = node.node_type
    if node.index:
        words += f" using {quote_identifier(node.index)}"
    return f"{words} on {quote_identifier(node.relation)}" if node.relation else words


def _worst(plan: GivenPlan, weight: Callable[[PlanNode, Measured], float]) -> tuple[PlanNode, Measured] | None:
    """The node that was run with the highest weight, if that is above zero: one finding names one node of a plan."""
    found = [(weight(node, node.measured), node) for node in plan.root.walk() if node.measured is not None]
    best = max(found, key=lambda entry: entry[0], default=None)
    if best is None or best[0] <= 0 or best[1].measured is None:
        return None
    return best[1], best[1].measured


def _once(findings: Iterator[tuple[float, Finding]]) -> Iterator[Finding]:
    """Of each statement the worst: a log has its plan many times."""
    best: dict[Subject, tuple[float, Finding]] = {}
    for weight, finding in findings:
        if finding.subject not in best or best[finding.subject][0] < weight:
            best[finding.subject] = (weight, finding)
    return (finding for _, finding in best.values())


def _is_short(evidence: Evidence, plan: GivenPlan) -> bool:
    """Whether the statement took so little time that nothing of it is worth a look."""
    return plan.execution_ms is not None and plan.execution_ms < evidence.limit("plan_ms")


@check("plans.sort-on-disk", catalogue="P23", severity=Severity.MEDIUM, needs=[GivenPlans])
def sort_on_disk(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A sort does not fit into work_mem and goes through the disk.

    It writes and reads what it sorts, once or more, where memory would do it in a fraction of the time; many at once compete for
    the same disk.

    Fix: An index in that order spares the sort; else fewer and narrower rows, or more work_mem for the role (SET LOCAL).

    Example: Sort Method: external merge Disk: 204800kB for ORDER BY created_at DESC LIMIT 20 after a join; an index on
    (tenant_id, created_at) gives the 20 rows in order.

    Source: PostgreSQL manual, "Using EXPLAIN"; "work_mem"

    Observed: plan, node, disk_bytes, rows, execution_ms, statement
    """
    plans = _run(evidence)
    yield Examined(len(plans), len(plans), "plans")
    yield from _once(_sorts(evidence, plans))


def _sorts(evidence: Evidence, plans: list[GivenPlan]) -> Iterator[tuple[float, Finding]]:
    for plan in plans:
        found = _worst(plan, lambda _, measured: float(measured.sort_kb or 0) if measured.sort_on_disk else 0)
        if found is None or _is_short(evidence, plan):
            continue
        node, measured = found
        size = (measured.sort_kb or 0) * KILOBYTE
        key = ", ".join(node.sort_key[:3])
        yield size, _finding(
            evidence, plan, node, f"sorts {measured.rows:,.0f} rows through {bytes_in_words(size)} on disk",
            Fix(f"An index in the order of {key or 'the sort'} spares it; else sort fewer columns, or SET LOCAL work_mem above "
                f"{bytes_in_words(2 * size)} around it."),
            Severity.MEDIUM if size >= 10 * 1024**2 else Severity.LOW, disk_bytes=size, rows=measured.rows,
        )  # fmt: skip


@check("plans.hash-batches", catalogue="P24", severity=Severity.MEDIUM, needs=[GivenPlans])
def hash_batches(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A hash does not fit into memory and is done in batches on disk.

    Both sides of the join, or the groups, are written to temporary files and read again, part by part.

    Fix: Fewer rows or columns into the hash; hash_mem_multiplier or work_mem for the role; better estimates, since the smaller
    side should be hashed.

    Example: Hash: Batches: 32, Memory Usage: 4096kB: the smaller side of the join was written to disk in 32 parts, and the
    larger side too.

    Source: PostgreSQL manual, "hash_mem_multiplier"; "Using EXPLAIN"

    Observed: plan, node, batches, memory_bytes, disk_bytes, execution_ms, statement
    """
    plans = _run(evidence)
    yield Examined(len(plans), len(plans), "plans")
    yield from _once(_hashes(evidence, plans))


def _hashes(evidence: Evidence, plans: list[GivenPlan]) -> Iterator[tuple[float, Finding]]:
    for plan in plans:
        found = _worst(plan, lambda _, measured: float(measured.batches or 0) if (measured.batches or 0) > 1 else 0)
        if found is None or _is_short(evidence, plan):
            continue
        node, measured = found
        memory, disk = (measured.memory_kb or 0) * KILOBYTE, (measured.disk_kb or 0) * KILOBYTE
        yield float(measured.batches or 0), _finding(
            evidence, plan, node, f"hashes {measured.rows:,.0f} rows in {measured.batches} batches on disk",
            Fix("Filter or narrow what is hashed; give the role more work_mem or hash_mem_multiplier; see whether the "
                "estimate of the hashed side is right."),
            Severity.MEDIUM, batches=measured.batches, memory_bytes=memory, disk_bytes=disk or None,
        )  # fmt: skip


@check("plans.lossy-bitmap", catalogue="P25", severity=Severity.LOW, needs=[GivenPlans])
def lossy_bitmap(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A bitmap of rows does not fit into work_mem and remembers whole blocks.

    Every row of those blocks is then looked at and compared again.

    Fix: More work_mem for that role; an index that leaves fewer rows.

    Example: Heap Blocks: exact=1200 lossy=86000: work_mem of 4 MB did not hold the places of the rows, and all rows of 86,000
    blocks are compared again.

    Source: PostgreSQL manual, "work_mem"; "Combining Multiple Indexes"

    Observed: plan, node, lossy_blocks, exact_blocks, removed, execution_ms, statement
    """
    plans = _run(evidence)
    yield Examined(len(plans), len(plans), "plans")

    def lossy() -> Iterator[tuple[float, Finding]]:
        for plan in plans:
            found = _worst(plan, lambda _, measured: float(measured.lossy_blocks or 0))
            if found is None or _is_short(evidence, plan) or (found[1].lossy_blocks or 0) < 1_000:
                continue
            node, measured = found
            yield float(measured.lossy_blocks or 0), _finding(
                evidence, plan, node, f"{measured.lossy_blocks:,} blocks of a bitmap are lossy",
                Fix("SET LOCAL work_mem for it, a few times as large; or an index that finds fewer rows."), Severity.LOW,
                lossy_blocks=measured.lossy_blocks, exact_blocks=measured.exact_blocks, removed=measured.removed,
            )  # fmt: skip

    yield from _once(lossy())


@check("plans.heap-fetches", catalogue="P26", severity=Severity.LOW, needs=[GivenPlans])
def heap_fetches(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An index-only scan goes to the table for most of its rows.

    It may leave the table alone only where the visibility map says that all rows of a block are visible; vacuum writes that map.

    Fix: VACUUM the table, and more often: lower autovacuum_vacuum_insert_scale_factor and autovacuum_vacuum_scale_factor for it.

    Example: Index Only Scan ... Heap Fetches: 48210 for 50,000 rows: the table was last vacuumed before most of them were
    inserted.

    Source: PostgreSQL manual, "Index-Only Scans and Covering Indexes"

    Observed: plan, node, heap_fetches, rows, execution_ms, statement
    """
    plans = _run(evidence)
    yield Examined(len(plans), len(plans), "plans")

    def fetching() -> Iterator[tuple[float, Finding]]:
        for plan in plans:
            found = _worst(plan, lambda _, measured: float(measured.heap_fetches or 0))
            if found is None or _is_short(evidence, plan):
                continue
            node, measured = found
            rows, fetches = measured.rows * measured.loops, measured.heap_fetches or 0
            if fetches < 1_000 or fetches < rows / 2:
                continue
            table = quote_identifier(node.relation or "")
            yield float(fetches), _finding(
                evidence, plan, node, f"fetches {fetches:,} rows of {table} from the table in an index-only scan",
                Fix(f"VACUUM {table}, and let autovacuum do so earlier for it."),
                Severity.LOW, heap_fetches=fetches, rows=rows,
            )  # fmt: skip

    yield from _once(fetching())


@check("plans.workers-not-launched", catalogue="P32", severity=Severity.LOW, needs=[GivenPlans])
def workers_not_launched(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A parallel plan did not get its workers.

    The plan was chosen because several processes would share it; with none of them it is slower than
    the plan that was passed over.

    Fix: More max_parallel_workers, or fewer per statement (max_parallel_workers_per_gather) where many run at once.

    Example: Workers Planned: 4, Workers Launched: 0: the eight of max_parallel_workers were busy with other statements.

    Source: PostgreSQL manual, "Parallel Query", "max_parallel_workers"

    Observed: plan, node, planned, launched, execution_ms, statement
    """
    plans = _run(evidence)
    yield Examined(len(plans), len(plans), "plans")

    def missing() -> Iterator[tuple[float, Finding]]:
        for plan in plans:
            found = _worst(plan, lambda _, measured: _missing_workers(measured))
            if found is None or _is_short(evidence, plan):
                continue
            node, measured = found
            yield _missing_workers(measured), _finding(
                evidence, plan, node,
                f"{measured.workers_launched} of {measured.workers_planned} parallel workers were launched",
                Fix("Raise max_parallel_workers with the cores there are, or take parallelism from roles of short ones."),
                Severity.LOW, planned=measured.workers_planned, launched=measured.workers_launched,
            )  # fmt: skip

    yield from _once(missing())


def _missing_workers(measured: Measured) -> float:
    if measured.workers_planned is None or measured.workers_launched is None:
        return 0
    return float(max(0, measured.workers_planned - measured.workers_launched))


@check("plans.jit-dominates", catalogue="P33", severity=Severity.MEDIUM, needs=[GivenPlans])
def jit_dominates(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Compiling a statement takes a large part of the time it runs.

    Just-in-time compilation is decided by estimated cost: where that is too high, a statement of 20 ms is compiled for 300.

    Fix: jit = off for the roles of short statements, or a higher jit_above_cost.

    Example: JIT: Functions: 84, Timing: Total 310.2 ms in a plan with Execution Time: 340.5 ms; with SET jit = off the
    statement takes 30 ms.

    Source: PostgreSQL manual, "When to JIT?"

    Observed: plan, jit_ms, execution_ms, statement
    """
    plans = _run(evidence)
    yield Examined(len(plans), len(plans), "plans")

    def compiled() -> Iterator[tuple[float, Finding]]:
        for plan in plans:
            if not plan.jit_ms or not plan.execution_ms or plan.jit_ms < plan.execution_ms / 3:
                continue
            if plan.jit_ms >= evidence.limit("plan_ms"):
                yield plan.jit_ms, _finding(
                    evidence, plan, None,
                    f"compiling (JIT) takes {plan.jit_ms:,.0f} of {plan.execution_ms:,.0f} ms",
                    Fix("ALTER ROLE ... SET jit = off for the application's role."), Severity.MEDIUM, jit_ms=plan.jit_ms,
                )  # fmt: skip

    yield from _once(compiled())


@check("plans.trigger-dominates", catalogue="P34", severity=Severity.MEDIUM, needs=[GivenPlans])
def trigger_dominates(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Triggers take most of a statement's time.

    Mostly it is a foreign key: each deleted parent row searches its children, without an index by reading the whole table.

    Fix: An index on the referencing columns; a statement-level trigger in place of one for each row.

    Example: DELETE FROM users WHERE id = $1: Trigger for constraint messages_user_id_fkey: time=8420.1 calls=1, for
    messages.user_id has no index.

    Source: PostgreSQL manual, "Using EXPLAIN", "Foreign Keys"

    Observed: plan, trigger, trigger_ms, trigger_calls, execution_ms, statement
    """
    plans = _run(evidence)
    yield Examined(len(plans), len(plans), "plans")

    def triggered() -> Iterator[tuple[float, Finding]]:
        for plan in plans:
            worst = max(plan.triggers, key=lambda entry: entry.ms, default=None)
            if worst is None or plan.execution_ms is None or worst.ms < plan.execution_ms / 2:
                continue
            if not _is_short(evidence, plan):
                yield worst.ms, _finding(
                    evidence, plan, None,
                    f"trigger {worst.name} takes {worst.ms:,.0f} of {plan.execution_ms:,.0f} ms in {worst.calls:,} calls",
                    Fix("If it is a foreign key: index its referencing columns. Else do its work once for each statement."),
                    Severity.MEDIUM, trigger=worst.name, trigger_ms=worst.ms, trigger_calls=worst.calls,
                )  # fmt: skip

    yield from _once(triggered())


@check("plans.reads-dominate", catalogue="P35", severity=Severity.LOW, needs=[GivenPlans])
def reads_dominate(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A statement spends most of its time waiting for blocks that are not in memory.

    What it reads does not stay in shared_buffers, nor in the system's cache: it is as fast as the disk, and its reads push out
    what others need.

    Fix: Fewer blocks: an index that finds what is returned, narrower rows, less bloat. Then memory for what is read all the time.

    Example: Execution Time: 2400 ms with I/O Timings: shared read=2210 ms: a Bitmap Heap Scan over 40,000 blocks, of which 300
    were in memory.

    Source: PostgreSQL manual, "track_io_timing"; "Using EXPLAIN" (BUFFERS)

    Observed: plan, node, read_ms, read_blocks, ms_per_block, execution_ms, statement
    """
    plans = [plan for plan in _run(evidence) if plan.root.measured and plan.root.measured.read_ms is not None]
    if not plans:
        raise Unknown(Reason.NOT_OPTED_IN, "plans tell it that were made with BUFFERS, under track_io_timing = on")
    yield Examined(len(plans), len(plans), "plans with times of reading")

    def waiting() -> Iterator[tuple[float, Finding]]:
        for plan in plans:
            whole = plan.root.measured
            if whole is None or whole.read_ms is None or _is_short(evidence, plan):
                continue
            # Workers read at the same time: what they wait for adds up to more than the time that passed.
            share = whole.read_ms / max(plan.execution_ms or whole.total_ms or 0.0, 0.001)
            blocks = whole.read_blocks or 0
            if share < 0.5 or blocks < 100:
                continue
            found = _worst(plan, lambda node, measured: 0.0 if node.children else measured.read_ms or 0.0)
            yield whole.read_ms, _finding(
                evidence, plan, found[0] if found else None,
                f"waits {whole.read_ms:,.0f} ms for {blocks:,} blocks that are not in memory",
                Fix("See what it reads more than it returns: an index, narrower rows, a vacuumed table. Then look at memory."),
                Severity.LOW, read_ms=round(whole.read_ms, 1), read_blocks=blocks,
                ms_per_block=round(whole.read_ms / blocks, 3),
            )  # fmt: skip

    yield from _once(waiting())


@check("plans.row-misestimate", catalogue="P22", severity=Severity.MEDIUM, needs=[GivenPlans])
def row_misestimate(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The planner was wrong by a hundred times about the rows of a part of a plan.

    What it takes for one row and is ten thousand makes a nested loop of what should be a hash join, and each error multiplies
    with those above it. It comes from correlated columns, expressions without statistics, documents, or statistics out of date.

    Fix: ANALYZE; CREATE STATISTICS (dependencies, ndistinct, mcv) on columns that go together, or on the expression.

    Example: WHERE city = $1 AND zip = $2, rows=3 expected and 4,100 found: the two go together; CREATE STATISTICS city_zip ON
    city, zip FROM addresses, then ANALYZE.

    Source: PostgreSQL manual, "Extended Statistics"; pgMustard, "Rows"

    Observed: plan, node, estimated_rows, rows, factor, execution_ms, statement
    """
    plans = _run(evidence)
    yield Examined(len(plans), len(plans), "plans")

    def wrong() -> Iterator[tuple[float, Finding]]:
        for plan in plans:
            found = _first_error(evidence, plan)
            if found is None or _is_short(evidence, plan):
                continue
            factor, node, measured = found
            where = f"{_node_in_words(node)}: {node.rows:,.0f} rows expected, {measured.rows:,.0f} came"
            yield factor, _finding(
                evidence, plan, node, where,
                Fix("ANALYZE the table first; if it stays wrong, CREATE STATISTICS on the columns or the expression of its "
                    f"condition ({short_text(node.filter or node.index_condition or node.hash_condition or 'see it', 99)})."),
                Severity.HIGH if factor >= 1_000 and node.rows < measured.rows else Severity.MEDIUM,
                estimated_rows=node.rows, rows=measured.rows, factor=round(factor),
            )  # fmt: skip

    yield from _once(wrong())


def _first_error(evidence: Evidence, plan: GivenPlan) -> tuple[float, PlanNode, Measured] | None:
    """The lowest node that is off by the limit's factor: those above inherit its error. Below a LIMIT, and inside a join that
    stops early, rows that never came say nothing."""
    found: list[tuple[int, float, PlanNode, Measured]] = []
    waiting: list[tuple[PlanNode, int, bool]] = [(plan.root, 0, False)]
    while waiting:
        node, depth, cut = waiting.pop()
        measured = node.measured
        stops = (
            cut or node.node_type == "Limit" or (node.join_type in {"Semi", "Anti"}) or node.node_type == "Merge Join"
        )
        waiting.extend((child, depth + 1, stops) for child in node.children)
        if measured is None or node.node_type in _BLIND:
            continue
        rows = max(measured.rows, 1.0)
        factor = max(rows / max(node.rows, 1.0), max(node.rows, 1.0) / rows)
        total = max(measured.rows * measured.loops, 0 if cut else node.rows)
        too_many = rows > node.rows
        if (
            factor >= evidence.limit("row_misestimate")
            and total > evidence.limit("seq_scan_rows")
            and (too_many or not cut)
        ):
            found.append((depth, factor, node, measured))
    deepest = max(found, key=lambda entry: (entry[0], entry[1]), default=None)
    return None if deepest is None else deepest[1:]
