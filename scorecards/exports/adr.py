"""Architecture decision records (MADR 4), a file for each: risks that are accepted, costly changes that were chosen, and the
principle that no check can decide. The confirmation of each is a command."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import msgspec

from checks.model import Area
from checks.text import visible_line
from scorecards.exports.escape import code, inline
from scorecards.model import CriterionStatus, FindingEntry, Scorecard
from scorecards.rubric import Criterion, load_rubric

FOLDER = "adr"
PRINCIPLES = ("SCH-5.1",)
OBJECTS = 10
LONGEST_SLUG = 50


class Record(msgspec.Struct, frozen=True):
    """`status`: accepted or proposed. Words are escaped already but `title`, `owner` and `makers`."""

    title: str
    status: str
    day: str
    makers: tuple[str, ...]
    context: tuple[str, ...]
    options: tuple[str, ...]
    chosen: str
    good: tuple[str, ...]
    bad: tuple[str, ...]
    confirmation: str


def render(scorecard: Scorecard) -> str:
    """All of them one below the other, for reading; `render_files` gives what is written."""
    parts = [f"<!-- {path} -->\n\n{text}" for path, text in render_files(scorecard).items()]
    return "\n".join(parts) or "There is no decision to record.\n"


def render_files(scorecard: Scorecard) -> dict[str, str]:
    """Text by path: `adr/NNNN-slug.md`, numbered in the order of areas and checks."""
    return {path(number, record): _text(record) for number, record in enumerate(records(scorecard), 1)}


def path(number: int, record: Record) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", record.title.lower()).strip("-")
    whole = words[: LONGEST_SLUG + 1].rpartition("-")[0] if len(words) > LONGEST_SLUG else words
    slug = whole or words[:LONGEST_SLUG]
    return f"{FOLDER}/{number:04d}-{slug or 'decision'}.md"


def records(scorecard: Scorecard) -> tuple[Record, ...]:
    """Waivers of one check, reason, owner and day are one decision; so are accepted changes of one check and owner."""
    waived: dict[tuple[str, ...], list[FindingEntry]] = {}
    chosen: dict[tuple[str, ...], list[FindingEntry]] = {}
    for finding in scorecard.findings:
        decision = finding.decision
        if decision is None or decision.expired:
            continue
        if decision.kind == "waive":
            key = (finding.check, decision.reason or "", decision.owner or "", decision.expires or "")
            waived.setdefault(key, []).append(finding)
        elif decision.kind == "accept" and (finding.fix.rewrites or "ACCESS EXCLUSIVE" in (finding.fix.lock or "")):
            chosen.setdefault((finding.check, decision.owner or "", decision.due or ""), []).append(finding)
    titles = {check.id: check.title or check.id for check in scorecard.checks}
    found = [_waiver(scorecard, titles[group[0].check], group) for _, group in sorted(waived.items(), key=_order)]
    found += [_change(scorecard, titles[group[0].check], group) for _, group in sorted(chosen.items(), key=_order)]
    return (*found, *_criteria(scorecard, {key[0] for key in waived}), *_principles(scorecard))


def _order(item: tuple[tuple[str, ...], list[FindingEntry]]) -> tuple[int, tuple[str, ...]]:
    return list(Area).index(Area(item[1][0].area)), item[0]


def _waiver(scorecard: Scorecard, title: str, group: Sequence[FindingEntry]) -> Record:
    first = group[0]
    decision = first.decision
    assert decision is not None
    reason = (decision.reason or "accepted-risk").replace("-", " ")
    note = f": {decision.note}" if decision.note else ""
    until = f"Leave it as it is until {decision.expires}"
    return Record(
        f"Leave as it is: {title}",
        "accepted",
        decision.on or scorecard.as_of.isoformat(),
        _makers(decision.by, decision.owner),
        (inline(first.why, 1_200), _objects(group)),
        (f"Fix it: {inline(first.fix.summary, 600)}", until),
        f'"{until}", because of {inline(reason + note, 600)}',
        ("nothing changes in production now",),
        ("what the finding warns of can happen meanwhile", f"after {decision.expires} it counts as open again"),
        _confirmation(first.check, f"The waiver ends on {decision.expires}, and the gate then fails."),
    )


def _change(scorecard: Scorecard, title: str, group: Sequence[FindingEntry]) -> Record:
    first = group[0]
    decision = first.decision
    assert decision is not None
    price = "rewrites the table" if first.fix.rewrites else f"takes {first.fix.lock}"
    due = f" by {decision.due}" if decision.due else ""
    return Record(
        f"Change it: {title}",
        "accepted",
        decision.on or scorecard.as_of.isoformat(),
        _makers(decision.by, decision.owner),
        (inline(first.why, 1_200), _objects(group)),
        (inline(first.fix.summary, 600), "Leave it as it is, with a waiver"),
        f'"{inline(first.fix.summary, 600)}"{due}, because the finding is accepted'
        + (f": {inline(decision.note, 600)}" if decision.note else ""),
        ("the cause of the finding is gone",),
        (f"the change {inline(price)}: it needs a plan and a window",),
        _confirmation(first.check, "It finds nothing more."),
    )


def _criteria(scorecard: Scorecard, checks: set[str]) -> list[Record]:
    """Criteria that are waived themselves, rather than by their findings."""
    rubric, found = load_rubric(scorecard.rubric), []
    for area in scorecard.areas:
        for entry in area.criteria:
            criterion = rubric.criterion(entry.id)
            if (
                entry.accepted is None
                or criterion is None
                or (criterion.rule and checks & {*criterion.rule.related_checks})
            ):
                continue
            until = f"Do without until {entry.accepted.until}"
            found.append(
                Record(
                    f"Do without {entry.id}",
                    "accepted",
                    scorecard.as_of.isoformat(),
                    _makers(entry.accepted.by),
                    (_statement(entry), *([f"Seen: {inline(entry.observed)}"] if entry.observed else [])),
                    (inline(f"{criterion.action[0].upper()}{criterion.action[1:]}"), until),
                    f'"{until}"',
                    ("nothing changes now",),
                    (f"{entry.id} stays unmet, and holds its area back",),
                    f"`pgsurveyor run`; {entry.id} is unmet until it is met.",
                )
            )
    return found


def _principles(scorecard: Scorecard) -> list[Record]:
    rubric = load_rubric(scorecard.rubric)
    found = []
    for area in scorecard.areas:
        for entry in area.criteria:
            criterion = rubric.criterion(entry.id)
            if entry.id in PRINCIPLES and criterion and entry.status in ("unmet", "unknown"):
                found.append(_principle(scorecard, entry, criterion))
    return found


def _principle(scorecard: Scorecard, entry: CriterionStatus, criterion: Criterion) -> Record:
    question = criterion.question
    action = f"{criterion.action[0].upper()}{criterion.action[1:]}"
    return Record(
        action.split(",")[0],
        "proposed",
        scorecard.as_of.isoformat(),
        (),
        (_statement(entry), *([inline(question.why)] if question else [])),
        (inline(action), "Decide case by case"),
        "To be decided" + (f". The record should name: {inline(question.good)}" if question else ""),
        ("what is let in is decided before it is built",),
        ("somebody has to say no",),
        f"`pgsurveyor answer {scorecard.review.id} {entry.id} yes --artefact LINK --artefact-date DATE`",
    )


def _statement(entry: CriterionStatus) -> str:
    return f"{entry.id} of the rubric: {inline(entry.statement)}"


def _makers(*names: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(visible_line(name) for name in names if name))


def _objects(group: Sequence[FindingEntry]) -> str:
    lines = [f"* {inline(finding.title)} ({code(finding.id)})" for finding in group[:OBJECTS]]
    if len(group) > OBJECTS:
        lines.append(f"* and {len(group) - OBJECTS} more")
    return "\n".join(lines)


def _confirmation(check: str, words: str) -> str:
    return f"{code(f'pgsurveyor run --only {check}')} {words}"


def _text(record: Record) -> str:
    """JSON strings are YAML strings, whatever is in them."""
    makers = json.dumps(list(record.makers), ensure_ascii=True)
    outcome = record.chosen if record.status == "proposed" else f"Chosen option: {record.chosen}."
    head = f"---\nstatus: {record.status}\ndate: {record.day}\ndecision-makers: {makers}\n---"
    blocks = [
        f"{head}\n\n# {inline(record.title)}",
        "## Context and Problem Statement",
        *record.context,
        "## Considered Options",
        "\n".join(f"* {option}" for option in record.options),
        "## Decision Outcome",
        outcome,
        "### Consequences",
        "\n".join(
            [
                *(f"* Good, because {words}" for words in record.good),
                *(f"* Bad, because {words}" for words in record.bad),
            ]
        ),
        "### Confirmation",
        record.confirmation,
    ]
    return "\n\n".join(blocks) + "\n"
