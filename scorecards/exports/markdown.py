"""The whole review as one Markdown document: plain on the first screen, folded below."""

from __future__ import annotations

from scorecards.exports.details import area_findings, checks_in_error, failed_gate, folded, method, open_questions
from scorecards.exports.escape import inline
from scorecards.exports.front import front
from scorecards.exports.pages import accepted_risks, area_pages, other_decisions, records
from scorecards.exports.since import since, trend_table
from scorecards.model import Scorecard


def render(scorecard: Scorecard) -> str:
    blocks = [f"# PostgreSQL review: {inline(scorecard.review.title)}", *front(scorecard)]
    if scorecard.gate.failed:
        blocks.append(f"## Gate failed\n\n{failed_gate(scorecard)}")
    blocks += ["## Areas", *area_pages(scorecard), "## Findings"]
    areas = area_findings(scorecard)
    blocks += [folded(f"{name}: {words}", checks) for name, words, checks in areas]
    if not areas:
        blocks.append("None.")
    broken = checks_in_error(scorecard)
    if broken:
        blocks.append(f"Checks that failed by themselves, a defect of the tool: {', '.join(broken)}.")
    questions = open_questions(scorecard)
    if questions:
        blocks += ["## Open questions", questions]
    decided = (
        ("Accepted risks", accepted_risks(scorecard)),
        ("Decided otherwise", other_decisions(scorecard)),
    )
    blocks += [f"## {title}\n\n{text}" for title, text in decided if text]
    if scorecard.since is not None:
        blocks += ["## Since last review", *since(scorecard.since)]
    if len(scorecard.trend) > 1:
        blocks += ["## Trend", trend_table(scorecard.trend)]
    stubs = records(scorecard)
    if stubs:
        blocks += ["## Decisions to record", stubs]
    blocks.append(f"## Method and provenance\n\n{method(scorecard)}")
    return "\n\n".join(blocks) + "\n"
