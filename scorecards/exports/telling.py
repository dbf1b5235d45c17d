"""What a report says, in plain words and before any markup: shared by Markdown and HTML, which escape each word themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from checks.figures import bytes_in_words, days_in_words, seconds_in_words
from scorecards.maturity import HIGHEST, PROVISIONAL_COVERAGE
from scorecards.model import (
    AreaScore,
    CriterionStatus,
    DecisionTaken,
    FindingEntry,
    Move,
    QuestionEntry,
    Scorecard,
)
from scorecards.rubric import load_rubric

HELD_BACK = 3
FEW = 1 / 3
OPTION_WORDS = 2
NEEDS_ANSWER = ("needs_answer", "stale_answer")
OBSERVED = 8
_DECIDED = {"accept": "accepted", "waive": "waived", "follow-up": "to be found out", "dispute": "disputed"}
NEVER_KEPT = (
    "Dropped before anything was saved: row values, constants of SQL and of plans, the most common values of the planner's "
    "statistics, addresses and paths of machines"
)
NEVER_DONE = (
    "Never done: a write to the target, EXPLAIN ANALYZE of anything but a SELECT that a person confirmed, a copy of row values, "
    "a connection to anybody else"
)


def reason(scorecard: Scorecard) -> str:
    """Why the overall level is what it is, in one sentence."""
    overall = scorecard.overall
    if overall.red_flags:
        many = len(overall.red_flags) > 1
        flags = f"{len(overall.red_flags)} red flags are" if many else "1 red flag is"
        return f"{flags} open: {', '.join(overall.red_flags)}."
    lowest = [area.area for area in scorecard.areas if area.demonstrated == overall.demonstrated]
    if overall.demonstrated == HIGHEST:
        return "Every criterion is proven."
    return f"Held back by {_and(lowest)}."


def coverage(scorecard: Scorecard) -> str:
    covered = scorecard.overall.coverage
    return "Nothing known" if covered is None else f"{covered:.0%} of the criteria could be judged"


def index_change(scorecard: Scorecard) -> str:
    """` (+3 since 2026-08-01)`, empty without a baseline."""
    since = scorecard.since
    if since is None or since.old.index is None or since.new.index is None:
        return ""
    change = since.new.index - since.old.index
    return f" ({f'{change:+d}' if change else 'unchanged'} since {since.old.as_of})"


def scope(scorecard: Scorecard) -> list[str]:
    """What was looked at, with which eyes, over which window."""
    target, parts = scorecard.target, []
    database = target.database
    if database is None:
        parts.append("no database")
    else:
        size = f", {bytes_in_words(database.size_bytes)}" if database.size_bytes is not None else ""
        tables = f", {database.tables} tables" if database.tables is not None else ""
        parts.append(f"database {database.name} (PostgreSQL {database.server_version} {database.role}{size}{tables})")
    unreached = sum(line.startswith("replica ") and line.endswith("reached") for line in scorecard.notices)
    if target.replicas or unreached:
        named = len(target.replicas) + unreached
        parts.append(f"{len(target.replicas)} of {named} {'replica' if named == 1 else 'replicas'}")
    if target.repository is None:
        parts.append("no repository")
    else:
        commit = f" at {target.repository.commit[:7]}" if target.repository.commit else ""
        parts.append(f"repository {target.repository.name}{commit}")
    answered = sum(entry.answer is not None for entry in scorecard.questions)
    parts.append(f"{answered} questions answered, {len(open_questions(scorecard))} open")
    if database is not None:
        parts.append(f"role sees: {database.user_sees}")
        parts.append(f"statistics window {days_in_words(database.statistics_window_days)}")
    return parts


def level(area: AreaScore) -> str:
    if area.demonstrated is None:
        return "n/a"
    provisional = area.coverage is not None and area.coverage < PROVISIONAL_COVERAGE
    return f"≥{area.demonstrated} provisional" if provisional else str(area.demonstrated)


def held_back(area: AreaScore) -> list[str]:
    """The criteria that hold an area back, those that fail first, each with what was seen; and, where its level rests on few
    criteria, how few."""
    by_id = {entry.id: entry for entry in area.criteria}
    known = sorted((by_id[id] for id in area.held_back_by), key=lambda entry: entry.status != "unmet")
    shown = [f"{entry.id} ({_short(entry)})" for entry in known[:HELD_BACK]]
    rest = len(known) - HELD_BACK
    if rest > 0:
        shown.append(f"{rest} more")
    counted = [entry for entry in area.criteria if not entry.provisional]
    applying = sum(entry.status != "not_applicable" for entry in counted)
    if applying < FEW * len(counted):
        shown.append(f"only {applying} of {len(counted)} criteria apply")
    return shown


def _short(entry: CriterionStatus) -> str:
    if entry.status == "unknown":
        return why_unknown(entry)
    if entry.status == "met":
        return f"{entry.evidence} only"
    seen = entry.observed or "unmet"
    return seen if len(seen) <= 70 else f"{seen[:69]}…"


def why_unknown(entry: CriterionStatus) -> str:
    return (entry.reason or "unknown").replace("_", " ")


def status(scorecard: Scorecard, id: str) -> CriterionStatus:
    return next(entry for area in scorecard.areas for entry in area.criteria if entry.id == id)


def within(sentence: str) -> str:
    """A sentence as it goes on after a colon; what begins in capitals or with a name in code stays as it is."""
    return sentence if sentence[1:2].isupper() or not sentence[:1].isupper() else sentence[0].lower() + sentence[1:]


def first_finding(scorecard: Scorecard, move: Move) -> FindingEntry | None:
    """The worst finding that a move is about, if it is one that mends something."""
    if status(scorecard, move.criterion).status != "unmet":
        return None
    ids = [id for criterion in move.criteria or (move.criterion,) for id in status(scorecard, criterion).findings]
    return next((finding for id in ids for finding in scorecard.findings if finding.id == id), None)


def proof(scorecard: Scorecard, move: Move) -> str:
    """Which criteria the move closes, and what will show that it is done."""
    ids = move.criteria or (move.criterion,)
    shown = ", ".join(f"{id} ({_closing(scorecard, id)})" for id in ids[:HELD_BACK])
    return shown + (f" and {len(ids) - HELD_BACK} more" if len(ids) > HELD_BACK else "")


def _closing(scorecard: Scorecard, id: str) -> str:
    criterion = load_rubric(scorecard.rubric).criterion(id)
    if criterion is None:
        return "measured"
    words = {"artefact": "dated link", "stated": "answer"}
    if criterion.rule is None or status(scorecard, id).reason in NEEDS_ANSWER:
        return words.get(criterion.minimum, criterion.minimum)
    return "measured" if criterion.minimum in words else criterion.minimum


def unseen(scorecard: Scorecard) -> list[tuple[str, str, str]]:
    """By reason: why, how many criteria that hides, and what unlocks it; what hides most first."""
    hidden: dict[tuple[str, str], list[str]] = {}
    for area in scorecard.areas:
        for entry in area.criteria:
            if entry.status == "unknown" and not entry.provisional and entry.reason:
                unlock = "" if entry.reason in NEEDS_ANSWER else entry.unlock or ""
                hidden.setdefault((entry.reason, unlock), []).append(entry.id)
    blocking = {id for area in scorecard.areas for id in area.held_back_by}
    rows = []
    for (why, unlock), ids in sorted(hidden.items(), key=lambda item: (-len(item[1]), item[0])):
        ids.sort(key=lambda id: id not in blocking)
        if why in NEEDS_ANSWER:
            unlock = f"pgsurveyor answer {scorecard.review.id} {ids[0]} yes|no"
        count = f"{len(ids)} criteria" if len(ids) > 1 else "1 criterion"
        names = ", ".join(ids[:HELD_BACK]) + (", …" if len(ids) > HELD_BACK else "")
        rows.append((why.replace("_", " "), f"{count} ({names})", unlock))
    return rows


def provisional(scorecard: Scorecard) -> str:
    """What is said of criteria that count for nothing; empty if there is none."""
    ids = [entry.id for area in scorecard.areas for entry in area.criteria if entry.provisional]
    if not ids:
        return ""
    return (
        f"{len(ids)} more criteria are provisional in this rubric: no check measures them yet, so they count for "
        f"nothing ({', '.join(ids[:HELD_BACK])}, …)."
    )


def is_code(words: str) -> bool:
    """Whether it is a command, an option or SQL rather than words."""
    option = words.startswith("--") and len(words.split()) <= OPTION_WORDS
    return option or words.startswith("pgsurveyor ") or words.partition(" ")[0].isupper()


def is_sql(words: str) -> bool:
    return words.rstrip().endswith(";") or words.partition(" ")[0].isupper()


def place(finding: FindingEntry) -> str:
    first = finding.locations[0]
    return f"{first.path}:{first.line}"


def certainty(finding: FindingEntry) -> str:
    return finding.severity if finding.confidence == "measured" else f"{finding.severity}, {finding.confidence}"


def statement_of(scorecard: Scorecard, finding: FindingEntry) -> str:
    """The normalised text of the statement that a finding is about."""
    if finding.subject.kind != "statement":
        return ""
    return next((entry.text for entry in scorecard.statements if entry.query_id == finding.subject.path[0]), "")


def title(finding: FindingEntry) -> str:
    """Without the place that stands beside it."""
    return finding.title.replace(f" ({place(finding)})", "") if finding.locations else finding.title


def observed(finding: FindingEntry) -> str:
    """The observed figures, as `key: value; key: value`; what is empty says nothing."""
    pairs = [(key, value) for key, value in finding.observed.items() if value not in (None, "", [], {})]
    return "; ".join(": ".join(_figure(key, value)) for key, value in pairs[:OBSERVED])


def _figure(key: str, value: Any) -> tuple[str, str]:
    """A key and its value in words: the unit that ends a key stands with its value."""
    name, _, unit = key.rpartition("_")
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        if key == "share" or unit == "share":
            return key.replace("_", " "), f"{value:.3g}" if value > 1 else f"{100 * value:.3g} %"
        if name and unit in _UNITS and not name.endswith("_per"):
            return name.replace("_", " "), _UNITS[unit](value)
    return key.replace("_", " "), _value(value)


_UNITS: dict[str, Callable[[float], str]] = {
    "bytes": bytes_in_words,
    "ms": lambda value: f"{value:,.4g} ms",
    "s": seconds_in_words,
    "seconds": seconds_in_words,
    "days": days_in_words,
}


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


def decision(taken: DecisionTaken | None) -> str:
    """`waived, accepted-risk, owner grace, until 2027-03-01 (why)`."""
    if taken is None:
        return ""
    terms = (("", taken.reason), ("owner ", taken.owner), ("until ", taken.expires), ("due ", taken.due))
    told = ", ".join(f"{word}{value}" for word, value in terms if value)
    words = f"{_DECIDED.get(taken.kind, taken.kind)}{', ' if told else ''}{told}"
    if taken.expired:
        words += " (expired: open again)"
    return f"{words} ({taken.note})" if taken.note else words


def status_words(entry: CriterionStatus) -> str:
    """`unmet, accepted by @ada until 2027-03-01`, `unknown: needs answer`."""
    words = entry.status.replace("_", " ")
    if entry.reason:
        words += f": {entry.reason.replace('_', ' ')}"
    if entry.accepted:
        words += f", accepted by {entry.accepted.by} until {entry.accepted.until}"
    return words


def worst(scorecard: Scorecard, entry: CriterionStatus) -> list[str]:
    """The objects of the findings that count against a criterion, the worst first."""
    if not entry.findings:
        return []
    counted, does = set(entry.findings), {entry.query_id: entry.does for entry in scorecard.statements}
    named = [
        (finding.subject.kind == "statement" and does.get(finding.subject.name)) or finding.subject.name
        for finding in scorecard.findings
        if finding.id in counted
    ]
    return list(dict.fromkeys(named))


def open_questions(scorecard: Scorecard) -> list[QuestionEntry]:
    """Those that nobody has answered and that would count: first those that hold a level back now."""
    asked = {
        entry.id
        for area in scorecard.areas
        for entry in area.criteria
        if entry.reason in NEEDS_ANSWER and not entry.provisional
    }
    blocking = {id for area in scorecard.areas for id in area.held_back_by}
    open_ones = [entry for entry in scorecard.questions if entry.id in asked]
    return sorted(open_ones, key=lambda entry: entry.id not in blocking)


def waived(scorecard: Scorecard) -> list[tuple[str, str, str, str]]:
    """Risks that are accepted now: what, why, owner, until; those of one check, reason, owner and day in one line."""
    groups: dict[tuple[str, str, str, str], list[FindingEntry]] = {}
    for finding in scorecard.findings:
        taken = finding.decision
        if taken and taken.kind == "waive" and not taken.expired:
            words = f"{taken.reason or ''}{f': {taken.note}' if taken.note else ''}"
            key = (finding.check, words, taken.owner or taken.by or "", taken.expires or "")
            groups.setdefault(key, []).append(finding)
    rows = []
    for (_, words, owner, until), group in groups.items():
        more = f" and {len(group) - 1} more" if len(group) > 1 else ""
        rows.append((f"{group[0].title}{more}", words, owner, until))
    for entry in (entry for area in scorecard.areas for entry in area.criteria):
        if entry.accepted:
            rows.append((f"{entry.id} {entry.statement}", "", entry.accepted.by, entry.accepted.until))
    return rows


def method(scorecard: Scorecard) -> list[str]:
    """How all this was found out, and what was never done."""
    target, provenance = scorecard.target, scorecard.provenance
    by = f", by {', '.join(scorecard.review.reviewers)}" if scorecard.review.reviewers else ""
    tool = f"{scorecard.tool.name} {scorecard.tool.version}"
    lines = [
        f"{tool}, rubric {scorecard.rubric}, review {scorecard.review.id}{by}",
        f"Evidence {scorecard.evidence_sha256}, the same bytes for the same facts",
    ]
    if provenance:
        lines.append(
            f"Observed at {provenance.observed_at}: {provenance.statements_sent:,} statements sent, "
            f"{provenance.server_ms / 1000:.1f} s of server time"
        )
    for node in ([target.database] if target.database else []) + list(target.replicas):
        window = days_in_words(node.statistics_window_days)
        lines.append(
            f"Node {node.name}: {node.role}, {node.server_version}, {node.flavour}, statistics window {window}, "
            f"role sees {node.user_sees}"
        )
    if scorecard.profile:
        lines.append(f"Scale profile {scorecard.profile.scale or 'unknown'}, {scorecard.profile.basis}")
    outcomes = Counter(check.outcome for check in scorecard.checks)
    words = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in sorted(outcomes.items()))
    lines.append(f"{len(scorecard.checks)} checks: {words}")
    lines += [f"Threshold {line}" for line in scorecard.overrides]
    lines += [f"Notice: {notice}" for notice in scorecard.notices]
    return [*lines, NEVER_KEPT, NEVER_DONE]


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
