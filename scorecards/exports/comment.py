"""The review as a comment on a pull request: one screen, the rest folded; it fits, and says what it left out to fit."""

from __future__ import annotations

from scorecards.exports.details import area_findings, failed_gate, folded, method
from scorecards.exports.escape import code, inline
from scorecards.exports.front import changed_thresholds, sections
from scorecards.exports.since import changes, verdict
from scorecards.model import Scorecard

LONGEST = 60_000
RESERVE = 400
OPEN = ("Verdict", "Red flags", "Scorecard", "What moves the needle next")


def render(scorecard: Scorecard) -> str:
    """At most 60,000 characters: findings are left out from the bottom, check by check, and counted."""
    head = [f"### PostgreSQL review: {inline(scorecard.review.title, 100)}"]
    if changed := changed_thresholds(scorecard):
        head.append(changed)
    if scorecard.gate.failed:
        head.append(f"#### Gate failed\n\n{failed_gate(scorecard)}")
    told = sections(scorecard)
    head += [f"#### {title}\n\n{text}" for title, text in told if title in OPEN]
    head += _since(scorecard)
    head += [folded(title, [text]) for title, text in told if title not in OPEN]
    tail = folded("Method and provenance", [method(scorecard)])
    areas = area_findings(scorecard, level=4)
    kept = _cut(areas, LONGEST - len("\n\n".join([*head, tail])) - RESERVE)
    dropped = sum(len(blocks) for _, _, blocks in areas) - sum(len(blocks) for _, _, blocks in kept)
    blocks = [*head, *(folded(f"{name}: {words}", checks) for name, words, checks in kept)]
    if dropped:
        names = [name for name, _, _ in areas if name not in {name for name, _, _ in kept}]
        wholly = f", all of {', '.join(names)}" if names else ""
        blocks.append(
            f"Left out to fit into a comment: the findings of {dropped} checks{wholly}. They are in the scorecard."
        )
    return "\n\n".join([*blocks, tail])[:LONGEST].rstrip("\n") + "\n"


def _since(scorecard: Scorecard) -> list[str]:
    """What the change that is discussed does: in one sentence, and folded one by one."""
    since = scorecard.since
    if since is None:
        return []
    lead = f"#### Since {code(since.old.id)} of {since.old.as_of}\n\n{verdict(since)}"
    told = changes(since, 5)
    return [lead, folded("What changed, one by one", told)] if told else [lead]


def _cut(areas: list[tuple[str, str, list[str]]], budget: int) -> list[tuple[str, str, list[str]]]:
    """As many blocks as fit, in order, with what folds them."""
    kept: list[tuple[str, str, list[str]]] = []
    for name, words, blocks in areas:
        fitting: list[str] = []
        budget -= len(folded(f"{name}: {words}", [])) + 2
        for block in blocks:
            budget -= len(block) + 2
            if budget < 0:
                break
            fitting.append(block)
        if fitting:
            kept.append((name, words, fitting))
        if len(fitting) < len(blocks):
            break
    return kept
