"""The indexes chosen for the whole workload within a budget: what they take, what they save, and whose gain is proven."""

from __future__ import annotations

from textual.content import Content

from checks.figures import bytes_in_words
from checks.proofs import ProvenStatement
from scorecards.exports.advising import basis_words, serves_words, short_sql, title
from scorecards.model import AdviceEntry, AdvisedIndexEntry, AdvisedStatementEntry
from tui.text import Part, line, prose
from tui.widgets.document import Paragraph
from tui.widgets.proving import compared
from tui.words import plural

LISTED = 40
BAR = 40
FIGURES = 24
SPACE = Content(" ")


def advice_paragraphs(advice: AdviceEntry | None, width: int) -> list[Paragraph]:
    """The set, and the statements that it makes cheaper, those that are proven to be faster apart from the others."""
    if advice is None:
        words = "No budget was given: start a review with --index-budget 500MB, say, and a set of indexes is chosen within it."
        return [Paragraph(), Paragraph(line((words, "$muted")), SPACE)]
    shown = [Paragraph(), Paragraph(line((title(advice), "bold $accent")), SPACE)]
    if not advice.indexes:
        words = f"None of {advice.candidates} indexes tried saves enough of the workload's planner cost to be worth its size."
        return [*shown, Paragraph(line(words), SPACE)]
    better = sorted((entry for entry in advice.statements if _converted(entry).better), key=_gain)
    proven = [_converted(entry) for entry in better if entry.proven]
    doubtful = [_converted(entry) for entry in better if not entry.proven]
    shown += [*_summary(advice, len(proven), len(doubtful)), *_indexes(advice)]
    shown += _statements("Proven to be faster", "by both counts", "$success", proven, width)
    shown += _statements("Only the planner prefers them", "not proven to be faster", "$warning", doubtful, width)
    return [*shown, Paragraph(), Paragraph(line((basis_words(advice), "$muted")), SPACE)]


def _summary(advice: AdviceEntry, proven: int, doubtful: int) -> list[Paragraph]:
    taken = min(1.0, advice.bytes / advice.budget_bytes) if advice.budget_bytes else 0.0
    filled = max(1, round(BAR * taken))
    size: list[Part] = [
        ("━" * filled, "$accent"), ("─" * (BAR - filled), "$faint"),
        (f" {bytes_in_words(advice.bytes)}", "bold $strong"), (f", at most {bytes_in_words(advice.bytes_at_most)}", "$muted"),
    ]  # fmt: skip
    gain: list[Part] = [
        (f"{advice.saved:.1%}", "bold $strong"), " of the workload's planner cost saved; of ",
        f"{plural(len(advice.statements), 'statement')} {proven or 'none'} proven to be faster",
        (f", {doubtful} cheaper only for the planner" if doubtful else "", "$warning"),
    ]  # fmt: skip
    return [Paragraph(line(*size), SPACE), Paragraph(line(*gain), SPACE)]


def _indexes(advice: AdviceEntry) -> list[Paragraph]:
    shown = [
        Paragraph(),
        Paragraph(line((plural(len(advice.indexes), "new index", "new indexes"), "bold $accent")), SPACE),
        Paragraph(line((f" {'size':>9}   {'lost without it':<15}", "$muted")), wrapped=False),
    ]
    for entry in advice.indexes[:LISTED]:
        shown += _index(entry)
    if len(advice.indexes) > LISTED:
        shown.append(Paragraph(line((f"and {len(advice.indexes) - LISTED} more", "$muted")), SPACE))
    return shown


def _index(entry: AdvisedIndexEntry) -> list[Paragraph]:
    figures = line(f" {bytes_in_words(entry.bytes):>9}   ", (f"{entry.loss:>6.1%}  ", "bold $strong"))
    look = "$muted" if entry.proven else "$warning"
    return [
        Paragraph(prose(short_sql(entry), "$code", limit=600), figures),
        Paragraph(line((f"serves {serves_words(entry)}", look)), line(" " * figures.cell_length)),
    ]


def _statements(name: str, about: str, look: str, statements: list[ProvenStatement], width: int) -> list[Paragraph]:
    if not statements:
        return []
    count = plural(len(statements), "statement")
    shown = [
        Paragraph(),
        Paragraph(line((name, f"bold {look}"), (f"   {count}, {about}", "$muted")), SPACE),
        *compared(statements, LISTED, width),
    ]
    if len(statements) > LISTED:
        shown.append(Paragraph(line((f"and {len(statements) - LISTED} more", "$muted")), SPACE))
    return shown


def _gain(entry: AdvisedStatementEntry) -> tuple[float, str]:
    return entry.calls * (entry.cost_after - entry.cost_before), entry.query_id


def _converted(entry: AdvisedStatementEntry) -> ProvenStatement:
    return ProvenStatement(
        entry.query_id, entry.cost_before, entry.cost_after, False, does=entry.does,
        memory_before=entry.memory_before, memory_after=entry.memory_after, proven=entry.proven,
    )  # fmt: skip
