"""The first screen in Markdown: verdict, red flags, scorecard, what moves the needle, what could not be seen."""

from __future__ import annotations

from scorecards.exports import telling
from scorecards.exports.across import chains, cost_words, costs, worth_telling
from scorecards.exports.advising import advised_indexes, title
from scorecards.exports.escape import code, inline
from scorecards.exports.growing import breaks_first
from scorecards.maturity import HIGHEST
from scorecards.model import Move, Scorecard
from scorecards.rubric import load_rubric

MOVES = 5
UNSEEN = 12
REOPENED = 10


def front(scorecard: Scorecard) -> list[str]:
    """Blocks of text, each with its heading; only what there is to say."""
    changed = [text for text in (changed_thresholds(scorecard),) if text]
    return [*changed, *(f"## {title}\n\n{text}" for title, text in sections(scorecard))]


def sections(scorecard: Scorecard) -> list[tuple[str, str]]:
    """Title and text, in their order; only what there is to say. The first four are what to know at a glance."""
    found = (
        ("Verdict", verdict(scorecard)),
        ("Red flags", _red_flags(scorecard)),
        ("Scorecard", _table(scorecard)),
        ("What moves the needle next", _moves(scorecard)),
        ("Breaks first", breaks_first(scorecard)),
        (title(scorecard.advice) if scorecard.advice else "", advised_indexes(scorecard)),
        ("Across the areas", chains(scorecard)),
        ("Cost", costs(scorecard)),
        ("What we could not see", _unseen(scorecard)),
        ("Said versus measured", _contradictions(scorecard)),
    )
    return [(title, text) for title, text in found if text]


def changed_thresholds(scorecard: Scorecard) -> str:
    """Thresholds that the reviewed repository lowered, and what is open again, stand above everything else."""
    lowered = [line for line in scorecard.overrides if "lowered" in line]
    stricter = [line for line in scorecard.overrides if "lowered" not in line]
    lines = [f"> **Threshold** {inline(line)}" for line in (*lowered, *stricter)]
    lines += [f"> **Open again** {inline(line)}" for line in scorecard.reopened[:REOPENED]]
    rest = len(scorecard.reopened) - REOPENED
    if rest > 0:
        lines.append(f"> **Open again** and {rest} more")
    return "\n>\n".join(lines)


def verdict(scorecard: Scorecard) -> str:
    overall = scorecard.overall
    scope = f"Scope: {' · '.join(inline(part) for part in telling.scope(scorecard))}"
    if overall.demonstrated is None:
        return f"Nothing could be scored: no criterion applies.\n\n{scope}"
    return (
        f"**Level {overall.demonstrated} of {HIGHEST}** (claimed {overall.claimed}, possible {overall.possible}), "
        f"index {overall.index} of 100{telling.index_change(scorecard)}. {telling.reason(scorecard)} "
        f"{telling.coverage(scorecard)}; as of {scorecard.as_of}.\n\n{scope}"
    )


def _red_flags(scorecard: Scorecard) -> str:
    rubric = load_rubric(scorecard.rubric)
    lines = []
    for id in scorecard.overall.red_flags:
        status, criterion = telling.status(scorecard, id), rubric.criterion(id)
        accepted = (
            f" Accepted by {inline(status.accepted.by)} until {status.accepted.until}." if status.accepted else ""
        )
        action = f" **Now:** {criterion.action}." if criterion else ""
        seen = inline(status.observed or "it fails")
        lines.append(f"- **{id}** {seen}. What must hold: {telling.within(status.statement)}{action}{accepted}")
    unknown = [telling.status(scorecard, id) for id in scorecard.overall.red_flags_unknown]
    if unknown:
        words = ", ".join(f"{entry.id} ({telling.why_unknown(entry)})" for entry in unknown)
        lead = f"{len(unknown)} could not be checked: {words}. Until then no level above 2 counts there."
        lines.append(f"- {lead}" if lines else f"None found; {lead}")
    return "\n".join(lines) or "None found."


def _table(scorecard: Scorecard) -> str:
    since = {entry.area: entry for entry in scorecard.since.levels} if scorecard.since else {}
    change = " Since |" if since else ""
    lines = [
        f"| Area | Level |{change} | Claimed / possible | Target | Coverage | Held back by |",
        f"|---|---|---|---|---|---|---|{'---|' if since else ''}",
    ]
    for area in scorecard.areas:
        name = area.area.capitalize()
        moved = since.get(area.area)
        if area.demonstrated is None:
            lines.append(f"| {name} | n/a |{' |' if since else ''} | | | | {inline(area.not_applicable or '')} |")
            continue
        delta = ""
        if moved is not None and moved.was is not None:
            delta = f" {area.demonstrated - moved.was:+d} |" if area.demonstrated != moved.was else " = |"
        elif since:
            delta = " |"
        target = "?" if area.target is None else str(area.target)
        coverage = "?" if area.coverage is None else f"{area.coverage:.0%}"
        lines.append(
            f"| {name} | {telling.level(area)} |{delta} {bar(area.demonstrated)} | {area.claimed} / {area.possible} | {target} "
            f"| {coverage} | {'; '.join(inline(part) for part in telling.held_back(area))} |"
        )
    return "\n".join(lines)


def bar(level: int) -> str:
    return "■" * level + "□" * (HIGHEST - level)


def _moves(scorecard: Scorecard) -> str:
    if not scorecard.moves:
        return ""
    lines = ["| | Do | Effect | Effort | Proof |", "|---|---|---|---|---|"]
    for number, move in enumerate(scorecard.moves[:MOVES], 1):
        lines.append(
            f"| {number} | {_action(scorecard, move)} | {inline(move.effect)}{_saves(scorecard, move)} | {move.effort} "
            f"| {telling.proof(scorecard, move)} |"
        )
    rest = len(scorecard.moves) - MOVES
    if rest > 0:
        lines.append(f"\nand {rest} more in the JSON.")
    return "\n".join(lines)


def _saves(scorecard: Scorecard, move: Move) -> str:
    words = cost_words(move.saves, scorecard.currency) if worth_telling(move.saves) else ""
    return f"; {inline(words)}" if words else ""


def _action(scorecard: Scorecard, move: Move) -> str:
    """The move, with the worst finding that it is about and where that stands."""
    if move.action.startswith("look: "):
        return f"Look: {unlocking(move.action.removeprefix('look: '))}"
    action = inline(f"{move.action[0].upper()}{move.action[1:]}", 400)
    finding = telling.first_finding(scorecard, move)
    if finding is None:
        return action
    where = f", {code(telling.place(finding), cell=True)}" if finding.locations else ""
    return f"{action}. First: {inline(telling.title(finding), 160)}{where}"


def _unseen(scorecard: Scorecard) -> str:
    """By reason and unlock line, with the number of criteria that each hides."""
    rows = telling.unseen(scorecard)
    if not rows:
        return f"Nothing: every criterion that counts could be judged.\n\n{telling.provisional(scorecard)}".rstrip()
    lines = ["| Why | Hides | What unlocks it |", "|---|---|---|"]
    lines += [f"| {why} | {hides} | {unlocking(unlock)} |" for why, hides, unlock in rows[:UNSEEN]]
    rest = len(rows) - UNSEEN
    if rest > 0:
        lines.append(f"\nand {rest} more reasons in the JSON.")
    if words := telling.provisional(scorecard):
        lines.append(f"\n{words}")
    return "\n".join(lines)


def unlocking(line: str) -> str:
    """A command, an option or SQL as code, words as words."""
    return code(line, cell=True) if telling.is_code(line) else inline(line)


def _contradictions(scorecard: Scorecard) -> str:
    return "\n".join(f"- **{entry.criterion}** {inline(entry.words)}" for entry in scorecard.contradictions)
