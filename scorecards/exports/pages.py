"""The long half of the Markdown report: each area's criteria, what was decided, and the decisions to record."""

from __future__ import annotations

from checks.model import Area
from scorecards.exports import adr, telling
from scorecards.exports.details import folded
from scorecards.exports.escape import code, inline
from scorecards.exports.growing import FIRST, LISTED, breaking_entries, breaks_first
from scorecards.model import AreaScore, CriterionStatus, Scorecard
from scorecards.rubric import load_rubric

WORST = 5
DECISIONS = 40
_KINDS = {"accept": "to be fixed", "follow-up": "to be found out", "dispute": "disputed"}


def area_pages(scorecard: Scorecard) -> list[str]:
    """A folded table of criteria for each area that applies."""
    return [folded(_summary(area), _blocks(scorecard, area)) for area in scorecard.areas if area.criteria]


def _blocks(scorecard: Scorecard, area: AreaScore) -> list[str]:
    page = _page(scorecard, area)
    # The first of them stand above already.
    more = area.area == Area.PLANS and len(breaking_entries(scorecard)) > FIRST
    return [page, f"Breaks first:\n\n{breaks_first(scorecard, LISTED)}"] if more else [page]


def _summary(area: AreaScore) -> str:
    name = area.area.capitalize()
    if area.demonstrated is None:
        return f"{name}: not applicable, {area.not_applicable}"
    counted = [entry.status for entry in area.criteria if not entry.provisional]
    words = ", ".join(
        f"{counted.count(status)} {status.replace('_', ' ')}"
        for status in ("met", "unmet", "unknown", "not_applicable")
        if status in counted
    )
    return f"{name}: level {area.demonstrated} (claimed {area.claimed}, possible {area.possible}); {words}"


def _page(scorecard: Scorecard, area: AreaScore) -> str:
    rubric = load_rubric(scorecard.rubric)
    lines = ["| Criterion | Status | Evidence | Seen | Worst | Source |", "|---|---|---|---|---|---|"]
    for entry in area.criteria:
        if entry.provisional:
            continue
        criterion = rubric.criterion(entry.id)
        sources = "; ".join(criterion.sources) if criterion else ""
        lines.append(
            f"| **{entry.id}** {inline(entry.statement)} | {inline(telling.status_words(entry))} | {entry.evidence or ''} "
            f"| {inline(entry.observed or '', 160)} | {_worst(scorecard, entry)} | {inline(sources, 160)} |"
        )
    provisional = [entry.id for entry in area.criteria if entry.provisional]
    if provisional:
        lines.append(f"\nProvisional, counted for nothing: {', '.join(provisional)}.")
    return "\n".join(lines)


def _worst(scorecard: Scorecard, entry: CriterionStatus) -> str:
    names = telling.worst(scorecard, entry)
    shown = ", ".join(code(name, 80, cell=True) for name in names[:WORST])
    return shown + (f" and {len(names) - WORST} more" if len(names) > WORST else "")


def accepted_risks(scorecard: Scorecard) -> str:
    """Waivers that hold."""
    rows = telling.waived(scorecard)
    if not rows:
        return ""
    lines = ["| Risk | Why | Owner | Until |", "|---|---|---|---|"]
    for what, why, owner, until in rows:
        lines.append(f"| {inline(what, 200)} | {inline(why, 200)} | {inline(owner)} | {until} |")
    return "\n".join(lines)


def other_decisions(scorecard: Scorecard) -> str:
    """What was accepted to be fixed, what is followed up, what is disputed: who, and by when."""
    decided = [finding for finding in scorecard.findings if finding.decision and finding.decision.kind in _KINDS]
    if not decided:
        return ""
    lines = ["| Decision | Finding | Owner | Due | Words |", "|---|---|---|---|---|"]
    ordered = sorted(decided, key=lambda finding: (finding.decision.due or "9999") if finding.decision else "")
    for finding in ordered[:DECISIONS]:
        decision = finding.decision
        assert decision is not None
        words = "; ".join(part for part in (decision.reason, decision.note) if part)
        lines.append(
            f"| {_KINDS[decision.kind]} | {inline(finding.title, 160)} | {inline(decision.owner or decision.by or '')} "
            f"| {decision.due or ''} | {inline(words, 200)} |"
        )
    rest = len(ordered) - DECISIONS
    if rest > 0:
        lines.append(f"\nand {rest} more in the JSON.")
    return "\n".join(lines)


def records(scorecard: Scorecard) -> str:
    """The stubs that `--format adr` writes."""
    found = adr.records(scorecard)
    if not found:
        return ""
    lines = [
        f"- {inline(record.title)} ({record.status}): {code(adr.path(number, record))}"
        for number, record in enumerate(found, 1)
    ]
    lines.append(f"\n{code(f'pgsurveyor export {scorecard.review.id} --format adr --output .')} writes them.")
    return "\n".join(lines)
