"""A plan as a tree: what each node does, the rows that the planner expects, and the share of the cost that is its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from checks.evidence.database.facts import Measured, Plan, PlanNode
from checks.model import qualified_name
from tui.text import Part, line
from tui.widgets.document import Paragraph

COSTLY = 0.25
DEEPEST = 60
MOST_NODES = 200
WIDE = 72


class Columns(NamedTuple):
    """How many cells the figures take: rows, the bar, and the share with the gap before it."""

    rows: int
    bar: int
    share: int = 7


class Weighed(NamedTuple):
    """A node, its place in the drawing, and its own share of the plan's cost, 0 to 1."""

    node: PlanNode
    before: str
    below: str
    share: float


def plan_paragraphs(plan: Plan, width: int, title: str = "The plan") -> list[Paragraph]:
    """The tree of `plan` for that many columns, the costly nodes marked."""
    root = plan.root
    nodes = list(weigh(root))
    head: list[Part] = [(f" {title}", "bold $accent"), (f"   cost {_count(root.total_cost)}", "$foreground")]
    if root.measured is not None:
        head.append((f"   {plan.planned_as}", "$muted"))
    elif plan.planned_as:
        head.append((f"   planned as {plan.planned_as}", "$muted"))
    columns = Columns(13, 6) if width >= WIDE else Columns(11, 0)
    room = max(20, width - sum(columns) - 2)
    names = ("rows expected", "own cost") if columns.bar else ("rows", "cost")
    labels = f"{names[0]:>{columns.rows}}{names[1]:>{columns.bar + columns.share}}"
    shown = [
        Paragraph(),
        Paragraph(line(*head), wrapped=False),
        Paragraph(line((f"{'':<{room}}{labels}", "$muted")), wrapped=False),
    ]
    for entry in nodes[:MOST_NODES]:
        shown += _drawn(entry, room, columns)
    if len(nodes) > MOST_NODES:
        shown.append(Paragraph(line((f" and {len(nodes) - MOST_NODES} more nodes", "$muted"))))
    return shown


def _drawn(entry: Weighed, room: int, columns: Columns) -> Iterator[Paragraph]:
    costly = entry.share >= COSTLY
    words: list[Part] = [
        (f" {entry.before}", "$faint"),
        ("▲ " if costly else "", "bold $severity-high"),
        (_does(entry.node), "bold $strong" if costly else "$foreground"),
    ]
    if on := _on(entry.node, with_index=bool(columns.bar)):
        words += [(" on ", "$muted"), (on, "$code")]
    left = line(*words).truncate(room, ellipsis=True)
    filled = round(columns.bar * entry.share)
    look = "bold $severity-high" if costly else "$muted"
    percent = f"{entry.share:.0%}" if entry.share >= 0.005 else "-"
    yield Paragraph(
        line(
            left, " " * (room - left.cell_length), (f"{_count(entry.node.rows):>{columns.rows}}", "$foreground"),
            "  " if columns.bar else "", ("━" * filled, look), ("─" * (columns.bar - filled), "$faint"),
            (f"{percent:>{columns.share - (2 if columns.bar else 0)}}", look),
        ),
        wrapped=False,
    )  # fmt: skip
    if entry.node.index and entry.node.relation and not columns.bar:
        by = line((f" {entry.below}    ", "$faint"), ("by ", "$muted"), (entry.node.index, "$code"))
        yield Paragraph(by.truncate(room + sum(columns), ellipsis=True), wrapped=False)
    for name, text in _conditions(entry.node):
        indent = line((f" {entry.below}    ", "$faint"), (f"{name} ", "$muted"))
        kept = line((text, "$code"), limit=400)
        yield Paragraph(line(indent, kept).truncate(room + sum(columns), ellipsis=True), wrapped=False)


def weigh(root: PlanNode) -> Iterator[Weighed]:
    """Every node, outermost first, with its own share. A LIMIT stops its input early and a nested loop runs its inner side
    for each row of the outer one: both are reckoned in, so that the shares add up to one."""
    total = root.total_cost or 1.0
    stack: list[tuple[PlanNode, str, str, float]] = [(root, "", "", 1.0)]
    while stack:
        node, before, below, factor = stack.pop()
        parts = _parts(node)
        inner = sum(parts)
        own = max(0.0, node.total_cost - inner) * factor
        yield Weighed(node, before, below, min(1.0, own / total))
        if len(below) > DEEPEST * 3:
            continue
        shrink = min(1.0, node.total_cost / inner) if inner > 0 else 1.0
        for number in range(len(node.children) - 1, -1, -1):
            child, part = node.children[number], parts[number]
            last = number == len(node.children) - 1
            times = part / child.total_cost if child.total_cost > 0 else 1.0
            stack.append((child, f"{below}{'└─ ' if last else '├─ '}", f"{below}{'   ' if last else '│  '}",
                          factor * shrink * times))  # fmt: skip


def _parts(node: PlanNode) -> list[float]:
    """What each child contributes to the cost of its parent."""
    costs = [child.total_cost for child in node.children]
    if node.node_type == "Nested Loop" and len(costs) >= 2:
        outer, inner = node.children[0], node.children[1]
        repeated = inner.total_cost * max(1.0, outer.rows)
        costs[1] = max(inner.total_cost, min(repeated, node.total_cost - sum(costs) + inner.total_cost))
    return costs


def _does(node: PlanNode) -> str:
    kind = f" {node.join_type}" if node.join_type and node.join_type != "Inner" else ""
    strategy = f" {node.strategy}" if node.strategy and node.strategy not in ("Plain", "Sorted") else ""
    parallel = "Parallel " if node.parallel and not node.node_type.startswith("Parallel") else ""
    return f"{parallel}{node.node_type}{strategy}{kind}"


def _on(node: PlanNode, with_index: bool) -> str:
    relation = qualified_name(*(part for part in (node.schema, node.relation) if part)) if node.relation else ""
    if relation.startswith("public."):
        relation = relation.removeprefix("public.")
    if node.index and relation and with_index:
        return f"{relation} by {node.index}"
    return relation or node.index or ""


def _conditions(node: PlanNode) -> Iterator[tuple[str, str]]:
    if node.measured is not None:
        yield "ran", _ran(node.measured)
    if node.index_condition:
        yield "index", node.index_condition
    if node.hash_condition:
        yield "hash", node.hash_condition
    if node.filter:
        yield "filter", node.filter
    if node.sort_key:
        yield "sort", ", ".join(node.sort_key)
    if node.order_by:
        yield "order", node.order_by


def _ran(measured: Measured) -> str:
    """What was measured, totals of all loops but for rows."""
    parts = [f"{_count(measured.rows)} rows"]
    if measured.loops > 1:
        parts[0] += f" each of {_count(measured.loops)} times"
    if measured.total_ms is not None:
        parts.append(f"{measured.total_ms:,.1f} ms")
    if measured.removed:
        parts.append(f"{_count(measured.removed)} removed")
    if blocks := (measured.hit_blocks or 0) + (measured.read_blocks or 0):
        parts.append(f"{_count(blocks)} blocks, {_count(measured.read_blocks or 0)} of them read")
    if measured.sort_on_disk and measured.sort_kb:
        parts.append(f"sorted through {_count(measured.sort_kb)} kB on disk")
    if (measured.batches or 0) > 1:
        parts.append(f"{measured.batches} batches")
    if measured.heap_fetches:
        parts.append(f"{_count(measured.heap_fetches)} rows from the table")
    return ", ".join(parts)


def _count(value: float) -> str:
    if value < 10 and value != int(value):
        return f"{value:.1f}"
    return f"{value:,.0f}" if value < 1e9 else f"{value:.1e}"


def plain(plan: Plan, width: int) -> str:
    """The tree as text, to copy."""
    return "\n".join(paragraph.text.plain for paragraph in plan_paragraphs(plan, width))
