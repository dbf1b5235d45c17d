"""Plans that somebody gave: what takes their time where nothing in particular is wrong, and what they leave out."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, GivenPlan, GivenPlans, Measured, PlanNode
from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding, Fix, NotApplicable, Reason, Severity, Subject, Unknown, quote_identifier
from checks.registry import check
from checks.workload import TEXT_LIMIT, pattern_by_query_id, short_text, statement_in_words, statement_places

_MOST = 0.5
_FEW_LEFT = 0.1
_ANALYZED_HERE = "--analyze"


@check("plans.costliest-node", catalogue="P39", severity=Severity.NOTE, needs=[GivenPlans])
def costliest_node(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Most of a statement's time goes into one step of its plan.

    It does what it was planned to do: nothing spills, and few rows are thrown away, which would be findings of their own. To make
    the statement quicker is to give this step fewer rows, or to do without it.

    Fix: Fewer rows for that step: an earlier filter, a summary that is kept, a smaller range.

    Example: HashAggregate takes 2.1 s of 2.4 s: it groups 5 million rows for a page that shows ten.

    Source: PostgreSQL manual, "Using EXPLAIN"

    Observed: plan, node, own_ms, execution_ms, share, rows, statement
    """
    plans = [plan for plan in evidence.get(GivenPlans).plans if plan.analyzed]
    if not plans:
        raise Unknown(
            Reason.NOT_OPTED_IN,
            "--analyze runs statements that you say yes to; or give plans of EXPLAIN (ANALYZE, BUFFERS) with --plan",
        )
    worst: dict[Subject, tuple[float, Finding]] = {}
    for plan in plans:
        if plan.execution_ms is None or plan.execution_ms < evidence.limit("plan_ms"):
            continue
        own, node, measured = max(_own_times(plan.root), key=lambda entry: entry[0])
        share = min(own / plan.execution_ms, 1.0)
        if share < _MOST or measured.loops >= evidence.limit("nested_loops") or _is_told_elsewhere(node, measured):
            continue
        finding = _costliest(evidence, plan, node, measured, own, share)
        if finding.subject not in worst or worst[finding.subject][0] < own:
            worst[finding.subject] = (own, finding)
    yield from (finding for _, finding in worst.values())
    yield Examined(len(plans), len(plans), "plans")


def _own_times(root: PlanNode) -> Iterator[tuple[float, PlanNode, Measured]]:
    """Milliseconds that pass in each node and not in those below it; below a Gather so many processes share its loops."""
    pending = [(root, 1.0)]
    while pending:
        node, divisor = pending.pop()
        measured, below = node.measured, divisor
        if measured is not None and node.node_type.startswith("Gather"):
            below = (measured.workers_launched or 0) + 1.0
        if measured is not None:
            spent = sum(_total(child, below) for child in node.children)
            yield max(_total(node, divisor) - spent, 0.0), node, measured
        pending += [(child, below) for child in node.children]


def _total(node: PlanNode, divisor: float) -> float:
    return 0.0 if node.measured is None else (node.measured.total_ms or 0.0) / divisor


def _is_told_elsewhere(node: PlanNode, measured: Measured) -> bool:
    """Whether a check of its own says what is wrong with the node."""
    seen = measured.rows + measured.removed
    return (
        measured.sort_on_disk
        or (measured.batches or 0) > 1
        or bool(measured.disk_kb)
        or bool(measured.lossy_blocks)
        or (measured.heap_fetches or 0) > measured.rows * measured.loops / 2
        or (measured.removed > 0 and measured.rows < seen * _FEW_LEFT)
        or (measured.read_ms or 0) > (measured.total_ms or 0) * _MOST
        or node.node_type in {"ModifyTable", "LockRows"}
    )


def _costliest(
    evidence: Evidence, plan: GivenPlan, node: PlanNode, measured: Measured, own: float, share: float
) -> Finding:
    pattern = pattern_by_query_id(evidence).get(plan.query_id or "")
    words = f"plan {plan.number} of {plan.file}"
    if pattern is not None:
        words = statement_in_words(pattern, evidence.find(Catalog))
    elif plan.text:
        words = short_text(plan.text, 60)
    what = node.node_type + (f" on {quote_identifier(node.relation)}" if node.relation else "")
    rows = measured.rows * measured.loops
    return Finding(
        Subject("statement", (plan.query_id,) if plan.query_id else (plan.file, str(plan.number))),
        f"{words}: {what} takes {share:.0%} of {plan.execution_ms:,.0f} ms",
        Fix(f"Give {what} fewer rows than its {rows:,.0f}, or keep what it computes."),
        observed={
            "plan": f"{plan.file}:{plan.number}",
            "node": what,
            "own_ms": round(own, 1),
            "execution_ms": plan.execution_ms,
            "share": round(share, 3),
            "rows": round(rows),
            "statement": short_text(plan.text, TEXT_LIMIT),
        },
        locations=statement_places(evidence, pattern) if pattern else (),
    )


@check("plans.plan-without-measures", catalogue="P40", severity=Severity.NOTE, needs=[GivenPlans])
def plan_without_measures(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Plans were given that do not say how long each step took, or how much it read.

    EXPLAIN alone tells what the planner expects. Whether a step took the time, spilled or read from the disk stands in the plan
    of a statement that ran, with ANALYZE and BUFFERS; what is judged by these stays unknown.

    Fix: EXPLAIN (ANALYZE, BUFFERS); for auto_explain log_analyze and log_buffers.

    Example: ten plans of auto_explain with log_analyze = off: durations of statements, and none of a step.

    Source: PostgreSQL manual, "EXPLAIN"; "auto_explain"

    Observed: plans, not_run, without_buffers
    """
    given = [plan for plan in evidence.get(GivenPlans).plans if plan.file != _ANALYZED_HERE]
    if not given:
        raise NotApplicable("no plans were given in files")
    files: dict[str, list[GivenPlan]] = {}
    for plan in given:
        files.setdefault(plan.file, []).append(plan)
    unmet = 0
    for file, plans in files.items():
        not_run = sum(not plan.analyzed for plan in plans)
        without = sum(plan.analyzed and not _has_buffers(plan) for plan in plans)
        if not not_run and not without:
            continue
        unmet += not_run + without
        lacks = [f"{number} of {len(plans)} plans in {file} {says}" for number, says in (
            (not_run, "were not run (no ANALYZE)"), (without, "do not say what was read (no BUFFERS)")) if number]  # fmt: skip
        yield Finding(
            Subject("file", (file,)),
            "; ".join(lacks),
            Fix(
                "Make them with EXPLAIN (ANALYZE, BUFFERS); for auto_explain: auto_explain.log_analyze and log_buffers = on."
            ),
            observed={"plans": len(plans), "not_run": not_run, "without_buffers": without},
        )
    yield Examined(len(given), len(given), "plans", unmet=unmet)


def _has_buffers(plan: GivenPlan) -> bool:
    """EXPLAIN in text leaves out what is zero: a node that read nothing tells nothing either."""
    return any(
        node.measured is not None and (node.measured.hit_blocks is not None or node.measured.read_blocks is not None)
        for node in plan.root.walk()
    )
