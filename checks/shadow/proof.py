"""Tries the fixes of findings in a shadow: plans the statements concerned before and after, and sizes what would be created."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import psycopg

from checks.evidence.database.facts import PlanNode, Statements
from checks.evidence.evidence import Evidence
from checks.model import Finding, qualified_name
from checks.proofs import Lacking, Proof, Proofs, ProvenStatement, Verdict
from checks.shadow.clone import Shadow
from checks.shadow.in_memory import InMemory, proven
from checks.shadow.index_trees import index_trees
from checks.shadow.sizing import predicted_sizes
from checks.shadow.trials import PREFIX, Trial, trials
from checks.shadow.workload import never_ran, with_limits

STATEMENTS = 200
TRIALS = 200
PLAN_LINES = 40
CHANGED_SHOWN = 10
LACKING_SHOWN = 200
_SAME = 0.01

Progress = Callable[[str], None]
Path = tuple[str, str]


class Asked(NamedTuple):
    id: str
    text: str
    role: str


class _Known(NamedTuple):
    """The statements as they are planned without any fix. `in_memory` keeps their second counts, as they are asked for."""

    asked: Mapping[str, Asked]
    plans: Mapping[str, PlanNode]
    unplanned: Sequence[Asked]
    counting: InMemory
    in_memory: dict[str, float | None]
    gain: float


class _Made(NamedTuple):
    """The indexes of one trial: what it shows to the planner and what it hides, with those of partitions."""

    trial: Trial
    shown: tuple[Path, ...]
    hidden: tuple[Path, ...]
    tables: frozenset[Path]
    index_bytes: int | None


def _silent(_: str) -> None:
    return


def prove(
    shadow: Shadow,
    evidence: Evidence,
    findings: Iterable[Finding],
    *,
    progress: Progress = _silent,
    cancelled: threading.Event | None = None,
) -> Proofs:
    """Tries every fix that creates or drops indexes or writes statements otherwise. The shadow keeps the tried indexes, hidden.
    What was not reached before `cancelled` was set has no proof."""
    worst_first = sorted(findings, key=lambda finding: finding.severity.rank if finding.severity else 0)
    chosen = trials(worst_first)[:TRIALS]
    entries: list[Proof] = []
    made = [outcome for outcome in _create(shadow, chosen, entries) if isinstance(outcome, _Made)] if chosen else []
    if made:
        known = _known(shadow, evidence, progress)
    for number, outcome in enumerate(made, 1):
        if cancelled is not None and cancelled.is_set():
            break
        progress(f"trying fix {number} of {len(made)} in the shadow")
        entries.append(_try(shadow, outcome, known))
    return Proofs(
        server_major=shadow.major,
        target_major=shadow.blueprint.major,
        entries=tuple(sorted(entries, key=lambda entry: entry.finding)),
        lacking=tuple(
            Lacking(entry.kind, entry.name, entry.reason, tuple(qualified_name(*path) for path in entry.relations))
            for entry in sorted(set(shadow.omissions))[:LACKING_SHOWN]
        ),
        disk_bytes=shadow.rounded_disk_bytes,
        snapshot_s=shadow.blueprint.snapshot_s,
    )


def asked(evidence: Evidence) -> list[Asked]:
    """The statements that took most time, then those of code that never ran."""
    statements = evidence.find(Statements)
    entries = sorted(statements.entries, key=lambda entry: -entry.total_ms)[:STATEMENTS] if statements else []
    found = [
        Asked(
            entry.query_id,
            with_limits(entry.text, entry.rows, entry.calls),
            entry.users[0] if entry.users else "",
        )
        for entry in entries
    ]
    found += [Asked(place, text, "") for place, text in never_ran(evidence)]
    return found


def _create(shadow: Shadow, chosen: Sequence[Trial], entries: list[Proof]) -> list[_Made]:
    """Creates the indexes of all trials, each sized, and hides them again. A trial that cannot be made goes to `entries`."""
    possible = []
    for trial in chosen:
        lacking = trial.unprovable or next(
            (f"extension {name}: {why}" for name in trial.extensions if (why := shadow.create_extension(name))), ""
        )
        if lacking:
            entries.append(Proof(trial.finding.id, shadow.major, Verdict.UNTRIED, note=lacking))
        else:
            possible.append(trial)
    standing = _standing(shadow, possible, entries)
    trees = index_trees(shadow)
    made_by = {path[1]: parts for path, parts in trees.items() if path[1].startswith(PREFIX)}
    sizes = predicted_sizes(
        shadow, [path for trial in standing for made in trial.creates for path, _ in made_by.get(made.name, ())]
    )
    if sizes:
        shadow.resize(sizes.values())
    found = []
    for trial in standing:
        shown = [place for creation in trial.creates for place in made_by.get(creation.name, ())]
        hidden = [place for path in trial.drops for place in trees.get(path, ())]
        if len({path for path, _ in hidden}) < len(trial.drops):
            note = "the shadow does not have the index"
            entries.append(Proof(trial.finding.id, shadow.major, Verdict.UNTRIED, note=note))
            continue
        predicted = [sizes[path].pages * 8192 for path, _ in shown if path in sizes]
        found.append(
            _Made(
                trial,
                tuple(path for path, _ in shown),
                tuple(path for path, _ in hidden),
                frozenset(table for _, table in (*shown, *hidden)),
                sum(predicted) if predicted else None,
            )
        )
    shadow.switch({path: False for made in found for path in made.shown})
    return found


def _standing(shadow: Shadow, chosen: Sequence[Trial], entries: list[Proof]) -> list[Trial]:
    """Those that could be made: together, else one by one."""
    statements = [creation.sql for trial in chosen for creation in trial.creates]
    try:
        if statements:
            shadow.apply(statements)
    except psycopg.Error as error:
        if len(chosen) > 1:
            return [trial for one in chosen for trial in _standing(shadow, [one], entries)]
        words = (error.diag.message_primary or str(error))[:200]
        note = f"the shadow refuses it: {words}"
        entries += [Proof(trial.finding.id, shadow.major, Verdict.UNTRIED, note=note) for trial in chosen]
        return []
    return list(chosen)


def _known(shadow: Shadow, evidence: Evidence, progress: Progress) -> _Known:
    asking = {entry.id: entry for entry in asked(evidence)}
    plans: dict[str, PlanNode] = {}
    unplanned = []
    counting = InMemory(shadow, evidence.limit("visited_rows"))
    for number, entry in enumerate(asking.values(), 1):
        progress(f"planning statement {number} of {len(asking)} in the shadow")
        plan = shadow.explain(entry.text, entry.role)
        if isinstance(plan, PlanNode):
            plans[entry.id] = plan
        else:
            unplanned.append(entry)
    return _Known(asking, plans, unplanned, counting, {}, evidence.limit("proven_gain"))


def _try(shadow: Shadow, made: _Made, known: _Known) -> Proof:
    texts = dict(made.trial.rewritten)
    concerned = [id for id, plan in known.plans.items() if made.tables & _relations(plan) or id in texts]
    names = {table.casefold() for _, table in made.tables}
    missed = sum(1 for entry in known.unplanned if any(name in entry.text.casefold() for name in names))
    changed = {**dict.fromkeys(made.shown, True), **dict.fromkeys(made.hidden, False)}
    statements = []
    shadow.switch(changed)
    try:
        for id in concerned:
            text, role = texts.get(id, known.asked[id].text), known.asked[id].role
            plan = shadow.explain(text, role)
            if not isinstance(plan, PlanNode):
                missed += 1
            elif (statement := _compared(id, known.plans[id], plan)) is not None:
                after = known.counting.cost(text, role, plan) if statement.better else None
                statements.append(msgspec.structs.replace(statement, memory_after=after))
    finally:
        shadow.switch({path: not visible for path, visible in changed.items()})
    statements = [_proven(statement, known) for statement in statements]
    statements.sort(key=lambda entry: (entry.cost_after - entry.cost_before, entry.statement))
    shown = (
        statements if len(statements) <= 2 * CHANGED_SHOWN else statements[:CHANGED_SHOWN] + statements[-CHANGED_SHOWN:]
    )
    proof = Proof(
        made.trial.finding.id,
        shadow.major,
        Verdict.HARMLESS,
        tuple(shown),
        planned=len(concerned),
        unplanned=missed,
        index_bytes=made.index_bytes,
    )
    return msgspec.structs.replace(proof, **_judged(made, proof, statements))


def _proven(statement: ProvenStatement, known: _Known) -> ProvenStatement:
    """With its second count before, where it is one that is cheaper; nothing of what is tried is there now."""
    if not statement.better:
        return statement
    id = statement.statement
    if id not in known.in_memory:
        entry = known.asked[id]
        known.in_memory[id] = known.counting.cost(entry.text, entry.role, known.plans[id])
    before, after = known.in_memory[id], statement.memory_after
    return msgspec.structs.replace(
        statement,
        memory_before=before,
        proven=proven(known.gain, (statement.cost_before, statement.cost_after), (before, after)),
    )


def _judged(made: _Made, proof: Proof, statements: Sequence[ProvenStatement]) -> dict[str, object]:
    if any(entry.regresses for entry in statements):
        return {"verdict": Verdict.REGRESSES}
    if any(entry.proven for entry in statements):
        return {"verdict": Verdict.HELPS}
    if any(entry.better for entry in statements) and (made.shown or made.trial.rewritten):
        return {"verdict": Verdict.DOUBTFUL}
    if not proof.planned:
        return {"verdict": Verdict.UNTRIED, "note": "no statement that is known reads or writes the table"}
    if any(creation.needs_constants for creation in made.trial.creates):
        return {
            "verdict": Verdict.UNTRIED,
            "note": "statements are known without their constants, and this index serves those with certain ones",
        }
    return {"verdict": Verdict.NO_EFFECT if made.shown or made.trial.rewritten else Verdict.HARMLESS}


def _compared(id: str, before: PlanNode, after: PlanNode) -> ProvenStatement | None:
    """None where nothing changed but the name of an index."""
    lines_before, lines_after = plan_lines(before), plan_lines(after)
    if abs(after.total_cost - before.total_cost) <= _SAME * before.total_cost and _shape(before) == _shape(after):
        return None
    changed = _shape(before) != _shape(after)
    return ProvenStatement(
        id, before.total_cost, after.total_cost, changed,
        lines_before if changed else (), lines_after if changed else (),
    )  # fmt: skip


def plan_lines(root: PlanNode) -> tuple[str, ...]:
    """A plan in a few words a node, indented; the first forty nodes."""
    lines: list[str] = []
    waiting = [(root, 0)]
    while waiting and len(lines) < PLAN_LINES:
        node, depth = waiting.pop()
        place = f" on {node.relation}" if node.relation else ""
        index = (
            f" using {node.index}"
            if node.index and "tried_" not in node.index
            else " using the new index"
            if node.index
            else ""
        )
        lines.append(
            f"{'  ' * min(depth, 20)}{node.node_type}{index}{place} (cost {node.total_cost:,.0f}, rows {node.rows:,.0f})"
        )
        waiting += [(child, depth + 1) for child in reversed(node.children)]
    return tuple(lines)


def _shape(root: PlanNode) -> tuple[tuple[str, str | None, str | None], ...]:
    return tuple((node.node_type, node.relation, node.index) for node in root.walk())


def _relations(plan: PlanNode) -> frozenset[Path]:
    return frozenset((node.schema, node.relation) for node in plan.walk() if node.schema and node.relation)
