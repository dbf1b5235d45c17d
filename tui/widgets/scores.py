"""A scorecard as text: bars of block characters, and always the words beside them."""

from __future__ import annotations

from collections import Counter

from textual.content import Content

from checks.model import Area
from scorecards.model import AreaScore, CriterionStatus, Scorecard
from tui.text import Part, line, prose
from tui.widgets.document import EMPTY, Paragraph
from tui.words import plural

LEVELS = 5
CELLS = 3
UNKNOWNS_SHOWN = 12
WORDS = 24
COUNTS = 20
ANSWERABLE = {"needs_answer": "answer the questions: Q", "stale_answer": "answer them again: Q"}
SPACE = Content(" ")
STATUS = {
    "met": ("✓", "$success"),
    "unmet": ("✗", "$error"),
    "unknown": ("?", "$warning"),
    "not_applicable": ("-", "$muted"),
}


def overview_paragraphs(card: Scorecard, width: int) -> list[Paragraph]:
    """Overall, the six areas, red flags, moves, and what could not be seen."""
    return [
        Paragraph(),
        *_verdict(card),
        Paragraph(),
        *_areas(card, width),
        *_red_flags(card),
        *_contradictions(card),
        *_moves(card),
        *_unknowns(card),
    ]


def bar(score: AreaScore) -> Content:
    """Five levels: demonstrated, claimed and possible as ever lighter blocks."""
    demonstrated, claimed, possible = score.demonstrated or 0, score.claimed or 0, score.possible or 0
    parts: list[Part] = []
    for level in range(1, LEVELS + 1):
        if level <= demonstrated:
            parts.append(("█" * CELLS, "$accent"))
        elif level <= claimed:
            parts.append(("▓" * CELLS, "$accent"))
        elif level <= possible:
            parts.append(("░" * CELLS, "$accent"))
        else:
            parts.append(("·" * CELLS, "$faint"))
    return Content(" ").join(line(part) for part in parts)


def _counts(score: AreaScore) -> Content:
    """How many criteria are met, unmet and unknown, in a column."""
    counted = Counter(status.status for status in score.criteria if not status.provisional)
    parts: list[Part] = []
    for status in ("met", "unmet", "unknown"):
        symbol, look = STATUS[status]
        parts.append((f"{symbol} {counted[status]:<3} ", look if counted[status] else "$faint"))
    shown = line(*parts)
    return line(shown, " " * max(0, COUNTS - shown.cell_length))


def level_words(demonstrated: int | None, claimed: int | None, possible: int | None) -> str:
    """`2 (claimed 3, possible 4)`; what adds nothing is left out."""
    if demonstrated is None:
        return "n/a"
    more = []
    if claimed is not None and claimed > demonstrated:
        more.append(f"claimed {claimed}")
    if possible is not None and possible > (claimed or 0):
        more.append(f"possible {possible}")
    return f"{demonstrated} ({', '.join(more)})" if more else str(demonstrated)


def _verdict(card: Scorecard) -> list[Paragraph]:
    overall = card.overall
    parts: list[Part] = [
        ("Level ", "bold $strong"),
        (level_words(overall.demonstrated, overall.claimed, overall.possible), "bold $accent"),
        ("     index ", "$muted"),
        ("-" if overall.index is None else str(overall.index), "bold $strong"),
        (" of 100     ", "$muted"),
        (_percent(overall.coverage), "bold $strong"),
        (" of the criteria known", "$muted"),
    ]
    about = f"rubric {card.rubric} · as of {card.as_of} · {plural(len(card.findings), 'finding')}"
    return [Paragraph(line(*parts), SPACE), Paragraph(line((about, "$muted")), SPACE)]


def _areas(card: Scorecard, width: int) -> list[Paragraph]:
    head = f"{'':<17}{'1   2   3   4   5':<{LEVELS * (CELLS + 1) + 1}}{'level':<{WORDS}}"
    wide = len(head) + COUNTS + 24 <= width
    more = f"{'criteria':<{COUNTS}}held back by" if wide else ""
    shown = [Paragraph(line((f"{head}{more}", "$muted")), SPACE, wrapped=False)]
    for number, score in enumerate(card.areas, 1):
        words = level_words(score.demonstrated, score.claimed, score.possible)
        first = line((f" {number} ", "bold $accent"), f"{score.area:<15}", bar(score), "  ")
        if score.not_applicable:
            shown.append(Paragraph(line((f"n/a: {score.not_applicable}", "$muted")), first))
            continue
        level = line((f"{words:<{WORDS}}", "bold"))
        held = ", ".join(score.held_back_by[:5]) + (" ..." if len(score.held_back_by) > 5 else "")
        red = any("-R" in id for id in score.held_back_by)
        if wide:
            shown.append(
                Paragraph(line((held, "$error" if red else "$foreground")), line(first, level, _counts(score)))
            )
        else:
            shown.append(Paragraph(level, first))
            back = (f"held back by {held}" if held else "", "$error" if red else "$muted")
            shown.append(Paragraph(line(back), line(" " * 18, _counts(score))))
    legend = line(("███", "$accent"), (" demonstrated  ", "$muted"), ("▓▓▓", "$accent"), (" claimed  ", "$muted"),
                  ("░░░", "$accent"), (" possible", "$muted"))  # fmt: skip
    signs = line(("✓", "$success"), (" met  ", "$muted"), ("✗", "$error"), (" unmet  ", "$muted"), ("?", "$warning"),
                 (" unknown", "$muted"))  # fmt: skip
    return [*shown, Paragraph(), Paragraph(line(legend, "   ", signs), line(" " * (18 if wide else 1)))]


def _red_flags(card: Scorecard) -> list[Paragraph]:
    criteria = _by_id(card)
    shown = _heading("Red flags")
    for id in card.overall.red_flags:
        status = criteria.get(id)
        words = status.statement if status else ""
        seen = f"  {status.observed}" if status and status.observed else ""
        shown.append(Paragraph(line(words, (seen, "$muted")), line((f" ✗ {id:<8} ", "bold $error"))))
    if not card.overall.red_flags:
        shown.append(Paragraph(line("none found"), line((" ✓ ", "$success"))))
    if card.overall.red_flags_unknown:
        unknown = ", ".join(card.overall.red_flags_unknown)
        shown.append(Paragraph(line((f"could not be checked: {unknown}", "$warning")), line((" ? ", "$warning"))))
    return shown


def _contradictions(card: Scorecard) -> list[Paragraph]:
    if not card.contradictions:
        return []
    shown = _heading("Said, and not borne out")
    for one in card.contradictions:
        shown.append(Paragraph(prose(one.words), line((f" ≠ {one.criterion:<8} ", "$warning"))))
    return shown


def _moves(card: Scorecard) -> list[Paragraph]:
    if not card.moves:
        return []
    shown = _heading("What moves the needle next")
    for number, move in enumerate(card.moves[:5], 1):
        shown.append(
            Paragraph(prose(move.action), line((f" {number}  ", "bold $accent"), (f"{move.criterion:<8} ", "$muted")))
        )
        shown.append(Paragraph(line((move.effect, "$success"), (f"   effort {move.effort}", "$muted")), line(" " * 13)))
    return shown


def _unknowns(card: Scorecard) -> list[Paragraph]:
    """What is unknown, gathered by what would unlock it."""
    hidden: dict[tuple[str, str], list[str]] = {}
    for score in card.areas:
        for status in score.criteria:
            if status.status == "unknown" and not status.provisional:
                reason = status.reason or ""
                hidden.setdefault((reason, ANSWERABLE.get(reason, status.unlock or "")), []).append(status.id)
    if not hidden:
        return []
    ranked = sorted(hidden.items(), key=lambda item: -len(item[1]))
    shown = _heading("What could not be seen, and what would unlock it")
    for (reason, unlock), ids in ranked[:UNKNOWNS_SHOWN]:
        words = line(
            (reason.replace("_", " "), "bold"), (f"  {', '.join(ids[:6])}{' ...' if len(ids) > 6 else ''}", "$muted")
        )
        shown.append(Paragraph(words, line((f" {len(ids):>2}  ", "$warning"))))
        if unlock:
            shown.append(Paragraph(prose(unlock), line(("     ▸ ", "$accent"))))
    if len(ranked) > UNKNOWNS_SHOWN:
        shown.append(
            Paragraph(line((f"and {len(ranked) - UNKNOWNS_SHOWN} more reasons: see the area", "$muted")), line("     "))
        )
    return shown


def area_paragraphs(card: Scorecard, area: Area, width: int) -> list[Paragraph]:
    """Every criterion of one area, level by level."""
    del width
    score = next(score for score in card.areas if score.area == area)
    words = level_words(score.demonstrated, score.claimed, score.possible)
    title: list[Part] = [
        (area.value.capitalize(), "bold $strong"),
        ("   level ", "$muted"),
        (words, "bold $accent"),
        "   ",
    ]
    if score.target is not None:
        title.append((f"target {score.target}   ", "$muted"))
    title.append((f"{_percent(score.coverage)} known", "$muted"))
    shown = [Paragraph(), Paragraph(line(*title), SPACE), Paragraph(bar(score), SPACE)]
    if score.not_applicable:
        shown.append(Paragraph(line(f"not applicable: {score.not_applicable}"), SPACE))
    level = -1
    for status in score.criteria:
        if status.level != level:
            level = status.level
            shown += _heading("Red flags" if level == 0 else f"Level {level}")
        shown += _criterion(status)
    return shown


def _criterion(status: CriterionStatus) -> list[Paragraph]:
    symbol, look = STATUS.get(status.status, ("·", "$muted"))
    indent = line(" " * 12)
    words = line(
        (status.statement, "$muted" if status.status == "not_applicable" or status.provisional else "$foreground"),
        ("  provisional" if status.provisional else "", "$muted"),
    )
    shown = [Paragraph(words, line((f" {symbol} ", f"bold {look}"), (f"{status.id:<8} ", "$muted")))]
    said: list[Part] = [(status.status.replace("_", " "), look)]
    if status.evidence:
        said.append((f", {status.evidence}", "$muted"))
    if status.observed:
        said.append(f": {status.observed}")
    if status.reason:
        said.append((f"  ({status.reason.replace('_', ' ')})", "$muted"))
    shown.append(Paragraph(line(*said), indent))
    if status.unlock and status.status == "unknown":
        shown.append(Paragraph(prose(status.unlock, "$muted"), line(" " * 12, ("▸ ", "$accent"))))
    if status.accepted:
        shown.append(
            Paragraph(line((f"accepted by {status.accepted.by} until {status.accepted.until}", "$accent")), indent)
        )
    return shown


def _by_id(card: Scorecard) -> dict[str, CriterionStatus]:
    return {status.id: status for score in card.areas for status in score.criteria}


def _heading(title: str) -> list[Paragraph]:
    return [Paragraph(EMPTY), Paragraph(line((title, "bold $accent")), SPACE)]


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.0%}"
