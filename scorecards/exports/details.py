"""Below the first screen in Markdown: findings by area and check, open questions, method and provenance."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import Any

from checks.model import Severity
from scorecards.exports.across import cost_words
from scorecards.exports.escape import code, fence, html, inline
from scorecards.exports.front import place
from scorecards.model import DecisionTaken, FindingEntry, Scorecard
from scorecards.words import window_words

SHOWN = 5
OBSERVED = 8
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
        where = code(place(finding), cell=True) if finding.locations else ""
        seen, decided = _observed(finding, 160), _decision(finding.decision)
        lines.append(f"| {_certainty(finding)} | {inline(finding.title, 200)} | {where} | {seen} | {decided} |")
    lines.append(f"\nand {len(findings) - SHOWN} more; all in the JSON.")
    return "\n".join(lines)


def _finding(scorecard: Scorecard, finding: FindingEntry, *, with_why: bool) -> str:
    places = ", ".join(code(f"{entry.path}:{entry.line}") for entry in finding.locations[:3])
    more = len(finding.locations) - 3
    where = f" · {places}" + (f" and {more} more" if more > 0 else "") if places else ""
    parts = [f"**{inline(finding.title)}**", f"{_certainty(finding)}{where} · {code(finding.id)}"]
    statement = _statement(scorecard, finding)
    if statement:
        parts.append(fence(statement, limit=LONGEST_STATEMENT))
    observed = _observed(finding)
    if observed:
        parts.append(f"Seen: {observed}")
    cost = cost_words(finding.cost, scorecard.currency)
    if cost:
        parts.append(f"Cost: {cost}")
    if with_why:
        parts.append(inline(finding.why, LONGEST_WHY))
    if finding.decision:
        parts.append(f"Decided: {_decision(finding.decision)}")
    parts += [f"Note by {inline(note.by)}, {note.on}: {inline(note.text)}" for note in finding.notes]
    parts.append(_fix(finding))
    return "\n\n".join(parts)


def _statement(scorecard: Scorecard, finding: FindingEntry) -> str:
    """The normalised text of the statement that a finding is about."""
    if finding.subject.kind != "statement":
        return ""
    return next((entry.text for entry in scorecard.statements if entry.query_id == finding.subject.path[0]), "")


def _certainty(finding: FindingEntry) -> str:
    return finding.severity if finding.confidence == "measured" else f"{finding.severity}, {finding.confidence}"


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
        terms.append(f"Undo: {code(fix.undo, 600)}" if _is_sql(fix.undo) else f"Undo: {inline(fix.undo, 600)}")
    if terms:
        parts.append(" · ".join(terms))
    return "\n\n".join(parts)


def _is_sql(text: str) -> bool:
    return text.rstrip().endswith(";") or text.partition(" ")[0].isupper()


def _observed(finding: FindingEntry, limit: int = 400) -> str:
    """The observed figures, as `key: value`; what is empty says nothing."""
    pairs = [(key, value) for key, value in finding.observed.items() if value not in (None, "", [], {})]
    return inline(", ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in pairs[:OBSERVED]), limit)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"
    if isinstance(value, list):
        shown = ", ".join(_value(entry) for entry in value[:3])
        return f"{shown} and {len(value) - 3} more" if len(value) > 3 else shown
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(entry)}" for key, entry in list(value.items())[:3])
    return str(value)


def _decision(decision: DecisionTaken | None) -> str:
    if decision is None:
        return ""
    parts = [decision.kind]
    for word, value in (
        ("", decision.reason),
        ("owner ", decision.owner),
        ("until ", decision.expires),
        ("due ", decision.due),
    ):
        if value:
            parts.append(f"{word}{value}")
    if decision.expired:
        parts.append("(expired: open again)")
    if decision.note:
        parts.append(f"({decision.note})")
    return inline(" ".join(parts))


def open_questions(scorecard: Scorecard) -> str:
    """Questions that nobody has answered and that would count, folded: first those that hold a level back now."""
    asked = {
        entry.id
        for area in scorecard.areas
        for entry in area.criteria
        if entry.reason in ("needs_answer", "stale_answer") and not entry.provisional
    }
    blocking = {id for area in scorecard.areas for id in area.held_back_by}
    open_ones = [entry for entry in scorecard.questions if entry.id in asked]
    open_ones.sort(key=lambda entry: entry.id not in blocking)
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
    target, provenance = scorecard.target, scorecard.provenance
    lines = [
        f"- {scorecard.tool.name} {scorecard.tool.version}, rubric {scorecard.rubric}, review {code(scorecard.review.id)}"
        + (f", by {inline(', '.join(scorecard.review.reviewers))}" if scorecard.review.reviewers else ""),
        f"- Evidence {code(scorecard.evidence_sha256)}, the same bytes for the same facts",
    ]
    if provenance:
        lines.append(
            f"- Observed at {provenance.observed_at}: {provenance.statements_sent} statements sent, "
            f"{provenance.server_ms / 1000:.1f} s of server time"
        )
    for node in ([target.database] if target.database else []) + list(target.replicas):
        window = window_words(node.statistics_window_days)
        lines.append(
            f"- Node {inline(node.name)}: {node.role}, {node.server_version}, {node.flavour}, statistics window {window}, "
            f"role sees {node.user_sees}"
        )
    if scorecard.profile:
        lines.append(f"- Scale profile {scorecard.profile.scale or 'unknown'}, {inline(scorecard.profile.basis)}")
    outcomes = Counter(check.outcome for check in scorecard.checks)
    words = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in sorted(outcomes.items()))
    lines.append(f"- {len(scorecard.checks)} checks: {words}")
    lines += [f"- Threshold {inline(line)}" for line in scorecard.overrides]
    lines += [f"- Notice: {inline(notice)}" for notice in scorecard.notices]
    lines.append(
        "- Dropped before anything was saved: row values, constants of SQL and of plans, the most common values of the "
        "planner's statistics, addresses and paths of machines"
    )
    lines.append(
        "- Never done: a write to the target, EXPLAIN ANALYZE of anything but a SELECT that a person confirmed, a copy of row "
        "values, a connection to anybody else"
    )
    return "\n".join(lines)


def failed_gate(scorecard: Scorecard) -> str:
    return "\n".join(f"- {inline(line, 400)}" for line in scorecard.gate.failed)


def checks_in_error(scorecard: Scorecard) -> list[str]:
    """Checks that failed by themselves, which no reader should take for a pass."""
    return [check for check, _ in groupby(check.id for check in scorecard.checks if check.outcome == "error")]
