"""Below the first screen in Markdown: findings by area and check, open questions, method and provenance."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from checks.model import Severity
from scorecards.exports import proving, telling
from scorecards.exports.across import cost_words
from scorecards.exports.escape import code, fence, html, inline
from scorecards.model import FindingEntry, Scorecard

SHOWN = 5
LONGEST_WHY = 1_200
LONGEST_STATEMENT = 300


def area_findings(scorecard: Scorecard, level: int = 3) -> list[tuple[str, str, list[str]]]:
    """Of each area: its name, the words on its fold, and one block per check, the worst check first."""
    titles = {check.id: check.title for check in scorecard.checks}
    found = []
    for area in scorecard.areas:
        mine = [finding for finding in scorecard.findings if finding.area == area.area]
        if not mine:
            continue
        counts = Counter(finding.severity for finding in mine)
        words = ", ".join(f"{counts[severity]} {severity}" for severity in Severity if counts[severity])
        groups: dict[str, list[FindingEntry]] = {}
        for finding in mine:
            groups.setdefault(finding.check, []).append(finding)
        blocks = [_check(scorecard, titles.get(check) or check, group, level + 1) for check, group in groups.items()]
        found.append((area.area.capitalize(), words, blocks))
    return found


def folded(summary: str, blocks: list[str]) -> str:
    """A collapsed section. GitHub reads Markdown in it only after an empty line."""
    body = "\n\n".join(blocks)
    return f"<details>\n<summary>{html(summary)}</summary>\n\n{body}\n\n</details>"


def _check(scorecard: Scorecard, title: str, findings: list[FindingEntry], level: int) -> str:
    shared = {finding.why for finding in findings}
    parts = [f"{'#' * level} {inline(title)} ({len(findings)})", code(findings[0].check)]
    if len(shared) == 1:
        parts.append(inline(findings[0].why, LONGEST_WHY))
    if len(findings) > SHOWN:
        parts.append(_worst(findings))
        parts.append(_fix(findings[0], "Fix of the first"))
    else:
        parts += [_finding(scorecard, finding, with_why=len(shared) > 1) for finding in findings]
    return "\n\n".join(part for part in parts if part)


def _worst(findings: list[FindingEntry]) -> str:
    lines = ["| Severity | Finding | Where | Seen | Decision |", "|---|---|---|---|---|"]
    for finding in findings[:SHOWN]:
        where = code(telling.place(finding), cell=True) if finding.locations else ""
        seen, decided = inline(telling.observed(finding), 160), inline(telling.decision(finding.decision))
        lines.append(
            f"| {telling.certainty(finding)} | {inline(telling.title(finding), 200)} | {where} | {seen} | {decided} |"
        )
    lines.append(f"\nand {len(findings) - SHOWN} more; all in the JSON.")
    return "\n".join(lines)


def _finding(scorecard: Scorecard, finding: FindingEntry, *, with_why: bool) -> str:
    places = ", ".join(code(f"{entry.path}:{entry.line}") for entry in finding.locations[:3])
    more = len(finding.locations) - 3
    where = f" · {places}" + (f" and {more} more" if more > 0 else "") if places else ""
    parts = [f"**{inline(telling.title(finding))}**", f"{telling.certainty(finding)}{where} · {code(finding.id)}"]
    statement = telling.statement_of(scorecard, finding)
    if statement:
        parts.append(fence(statement, limit=LONGEST_STATEMENT))
    observed = inline(telling.observed(finding), 400)
    if observed:
        parts.append(f"Seen: {observed}")
    cost = cost_words(finding.cost, scorecard.currency)
    if cost:
        parts.append(f"Cost: {cost}")
    if with_why:
        parts.append(inline(finding.why, LONGEST_WHY))
    if finding.decision:
        parts.append(f"Decided: {inline(telling.decision(finding.decision))}")
    parts += [f"Note by {inline(note.by)}, {note.on}: {inline(note.text)}" for note in finding.notes]
    parts.append(_fix(finding))
    return "\n\n".join(parts)


def _fix(finding: FindingEntry, lead: str = "Fix") -> str:
    fix = finding.fix
    parts = [f"{lead}: {inline(fix.summary, 600)}"]
    if fix.sql:
        parts.append(fence(fix.sql))
    terms = []
    if fix.lock:
        terms.append(f"Lock: {inline(fix.lock)}")
    if fix.rewrites:
        terms.append("rewrites the table")
    if fix.undo:
        terms.append(f"Undo: {code(fix.undo, 600)}" if telling.is_sql(fix.undo) else f"Undo: {inline(fix.undo, 600)}")
    if terms:
        parts.append(" · ".join(terms))
    if finding.proof is not None:
        parts.append(inline(proving.proof_words(finding.proof), 400))
        if lines := proving.changes(finding.proof):
            parts.append("\n".join(f"- {inline(text, 300)}" for text in lines))
        if told := proving.plans(finding.proof):
            parts += [fence(told[0]), "becomes", fence(told[1])]
    return "\n\n".join(parts)


def open_questions(scorecard: Scorecard) -> str:
    """Questions that nobody has answered and that would count, folded."""
    open_ones = telling.open_questions(scorecard)
    if not open_ones:
        return ""
    lines = []
    for entry in open_ones:
        seen = f" *Seen:* {inline(entry.seen)}." if entry.seen else ""
        lines.append(
            f"- **{entry.id}** {inline(entry.question)}{seen} *Why:* {inline(entry.why)} "
            f"*A good answer names:* {inline(entry.good)}"
        )
    return folded(f"{len(open_ones)} questions that only people can answer", ["\n".join(lines)])


def method(scorecard: Scorecard) -> str:
    """How all this was found out, and what was never done."""
    return "\n".join(f"- {inline(line, 400)}" for line in telling.method(scorecard))


def failed_gate(scorecard: Scorecard) -> str:
    return "\n".join(f"- {inline(line, 400)}" for line in scorecard.gate.failed)


def checks_in_error(scorecard: Scorecard) -> list[str]:
    """Checks that failed by themselves, which no reader should take for a pass."""
    return [check for check, _ in groupby(check.id for check in scorecard.checks if check.outcome == "error")]
