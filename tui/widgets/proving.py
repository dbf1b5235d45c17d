"""What a fix did when it was tried in a shadow: the statements that became cheaper or dearer, and a plan before and after."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from textual.content import Content

from checks.figures import bytes_in_words
from checks.proofs import Proof, ProvenStatement, Verdict
from tui.text import Part, line, prose
from tui.widgets.document import Paragraph
from tui.widgets.growth import before_and_after
from tui.words import plural

LISTED = 5
BAR = 10
COST = 9
FIGURES = 2 * COST + 16
SPACE = Content(" ")

VERDICTS = {
    Verdict.HELPS: ("✓", "$success", "helps"),
    Verdict.DOUBTFUL: ("?", "$warning", "cheaper for the planner, not proven to be faster"),
    Verdict.HARMLESS: ("✓", "$success", "changes no plan, as it should"),
    Verdict.NO_EFFECT: ("!", "$warning", "changes no plan"),
    Verdict.REGRESSES: ("✗", "$error", "makes something dearer"),
    Verdict.UNTRIED: ("-", "$muted", "not tried"),
}


def proof_paragraphs(proof: Proof, width: int) -> list[Paragraph]:
    """The verdict, the costs before and after, and the plans of the statement that gains or loses most."""
    symbol, look, words = VERDICTS[proof.verdict]
    by = f"   tried in a shadow by PostgreSQL {proof.server_major}" if proof.verdict != Verdict.UNTRIED else ""
    shown = [
        Paragraph(),
        Paragraph(line(("Proof", "bold $accent"), (by, "$muted")), SPACE),
        Paragraph(
            line((words, f"bold {look}"), (f": {proof.note}" if proof.note else "", "$foreground"), _counted(proof)),
            line((f" {symbol} ", f"bold {look}")),
        ),
    ]
    if not proof.statements:
        return shown
    shown += [
        Paragraph(),
        Paragraph(line((f" {'before':>{COST}}   {'after':>{COST}}   cost of the plan", "$muted")), wrapped=False),
    ]
    shown += compared(proof.statements, LISTED, width)
    if len(proof.statements) > LISTED:
        shown.append(Paragraph(line((f"and {len(proof.statements) - LISTED} more", "$muted")), SPACE))
    changed = next((entry for entry in proof.statements if entry.plan_changed and entry.plan_before), None)
    if changed is not None:
        shown += before_and_after("Before", changed.plan_before, "After", changed.plan_after, width)
    return shown


def _counted(proof: Proof) -> Content:
    if proof.verdict == Verdict.UNTRIED:
        return Content("")
    counted = [f"{plural(proof.planned, 'statement')} planned"]
    if proof.proven:
        counted.append(f"{len(proof.proven)} proven to be faster")
    if proof.doubtful and proof.proven:
        counted.append(f"{len(proof.doubtful)} cheaper only for the planner")
    if proof.worse:
        counted.append(f"{len(proof.worse)} dearer")
    if proof.unplanned:
        counted.append(f"{proof.unplanned} more could not be planned")
    if proof.index_bytes is not None:
        counted.append(f"the index takes about {bytes_in_words(proof.index_bytes)}")
    return line(("   " + "; ".join(counted), "$muted"))


def compared(statements: Sequence[ProvenStatement], listed: int, width: int) -> list[Paragraph]:
    """So many of them: costs before and after, and below one that only the planner prefers those with every page in memory."""
    shown = []
    most = max((abs(_magnitude(entry)) for entry in statements), default=0.0)
    for entry in statements[:listed]:
        shown.append(_compared(entry, most, width))
        if entry.better and not entry.proven:
            shown.append(_doubt(entry))
    return shown


def _compared(entry: ProvenStatement, most: float, width: int) -> Paragraph:
    """The costs, how many times less or more, with a bar where there is room, and what the statement does."""
    dearer = entry.worse
    look = "$error" if dearer else "$success" if entry.proven else "$warning" if entry.better else "$muted"
    filled = max(1, round(BAR * abs(_magnitude(entry)) / most)) if most and (dearer or entry.better) else 0
    parts: list[Part] = [
        (f"{_cost(entry.cost_before):>{COST}}", "$foreground"),
        (" → ", "$muted"),
        (f"{_cost(entry.cost_after):>{COST}}", "bold $strong"),
        "   ",
    ]
    if width >= FIGURES + BAR + 30:
        parts += [("━" * filled, look), ("─" * (BAR - filled), "$faint"), " "]
    parts.append((f"{_times(entry):<12} ", f"bold {look}"))
    return Paragraph(prose(entry.does or f"statement {entry.statement}", "$code", limit=300), line(" ", *parts))


def _doubt(entry: ProvenStatement) -> Paragraph:
    """Its costs with every page in memory, under those that the planner counts."""
    if entry.memory_before is None or entry.memory_after is None:
        return Paragraph(
            line(("not proven: it could not be counted with every page in memory", "$warning")), line(f"{'':{COST}}   ")
        )
    costs = line(f" {_cost(entry.memory_before):>{COST}} → {_cost(entry.memory_after):>{COST}}   ")
    return Paragraph(line(("with every page in memory: not proven to be faster", "$warning")), costs)


def _magnitude(entry: ProvenStatement) -> float:
    return log10(max(entry.cost_before, 0.01) / max(entry.cost_after, 0.01))


def _times(entry: ProvenStatement) -> str:
    low, high = sorted((max(entry.cost_before, 0.01), max(entry.cost_after, 0.01)))
    ratio = high / low
    if not (entry.better or entry.worse):
        return "the same"
    words = f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.1f}x"
    return f"{words} {'more' if entry.worse else 'less'}"


def _cost(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
