"""The first screen in Markdown: verdict, red flags, scorecard, what moves the needle, what could not be seen."""

from __future__ import annotations

from collections.abc import Iterator

from checks.settings import bytes_in_words
from scorecards.exports.across import chains, cost_words, costs
from scorecards.exports.escape import code, inline
from scorecards.maturity import HIGHEST, PROVISIONAL_COVERAGE
from scorecards.model import AreaScore, CriterionStatus, FindingEntry, Move, Scorecard
from scorecards.rubric import load_rubric
from scorecards.words import window_words

MOVES = 5
HELD_BACK = 3
UNSEEN = 12
REOPENED = 10
NEEDS_ANSWER = ("needs_answer", "stale_answer")


def front(scorecard: Scorecard, level: int = 2) -> list[str]:
    """Blocks of text, each with its heading of that level; only what there is to say."""
    sections = (
        ("Verdict", verdict(scorecard)),
        ("Red flags", _red_flags(scorecard)),
        ("Scorecard", _table(scorecard)),
        ("What moves the needle next", _moves(scorecard)),
        ("Across the areas", chains(scorecard)),
        ("Cost", costs(scorecard)),
        ("What we could not see", _unseen(scorecard)),
        ("Said versus measured", _contradictions(scorecard)),
    )
    blocks = [f"{'#' * level} {title}\n\n{text}" for title, text in sections if text]
    return [_changed(scorecard), *blocks] if _changed(scorecard) else blocks


def _changed(scorecard: Scorecard) -> str:
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
    coverage = (
        f"{overall.coverage:.0%} of the criteria could be judged" if overall.coverage is not None else "nothing known"
    )
    if overall.demonstrated is None:
        return f"Nothing could be scored: no criterion applies.\n\n{_scope(scorecard)}"
    lines = [
        f"**Level {overall.demonstrated} of {HIGHEST}** (claimed {overall.claimed}, possible {overall.possible}), "
        f"index {overall.index} of 100{_index_change(scorecard)}. {_reason(scorecard)} "
        f"{coverage[0].upper()}{coverage[1:]}; as of {scorecard.as_of}.",
        _scope(scorecard),
    ]
    return "\n\n".join(lines)


def _index_change(scorecard: Scorecard) -> str:
    since = scorecard.since
    if since is None or since.old.index is None or since.new.index is None:
        return ""
    change = since.new.index - since.old.index
    return f" ({f'{change:+d}' if change else 'unchanged'} since {since.old.as_of})"


def _reason(scorecard: Scorecard) -> str:
    overall = scorecard.overall
    if overall.red_flags:
        many = len(overall.red_flags) > 1
        flags = f"{len(overall.red_flags)} red flags are" if many else "1 red flag is"
        return f"{flags} open: {', '.join(overall.red_flags)}."
    lowest = [area.area for area in scorecard.areas if area.demonstrated == overall.demonstrated]
    if overall.demonstrated == HIGHEST:
        return "Every criterion is proven."
    return f"Held back by {_and(lowest)}."


def _scope(scorecard: Scorecard) -> str:
    """What was looked at, with which eyes, over which window."""
    target, parts = scorecard.target, []
    database = target.database
    if database is None:
        parts.append("no database")
    else:
        size = f", {bytes_in_words(database.size_bytes)}" if database.size_bytes is not None else ""
        tables = f", {database.tables} tables" if database.tables is not None else ""
        parts.append(
            f"database {inline(database.name)} (PostgreSQL {database.server_version} {database.role}{size}{tables})"
        )
    unreached = sum(line.startswith("replica ") and line.endswith("reached") for line in scorecard.notices)
    if target.replicas or unreached:
        parts.append(f"{len(target.replicas)} of {len(target.replicas) + unreached} replicas")
    if target.repository is None:
        parts.append("no repository")
    else:
        commit = f" at {target.repository.commit[:7]}" if target.repository.commit else ""
        parts.append(f"repository {inline(target.repository.name)}{commit}")
    asked = [entry for entry in scorecard.questions if _status(scorecard, entry.id).status != "not_applicable"]
    parts.append(f"{sum(entry.answer is not None for entry in asked)} of {len(asked)} questions answered")
    if database is not None:
        parts.append(f"role sees: {database.user_sees}")
        parts.append(f"statistics window {window_words(database.statistics_window_days)}")
    return "Scope: " + " · ".join(parts)


def _red_flags(scorecard: Scorecard) -> str:
    rubric = load_rubric(scorecard.rubric)
    lines = []
    for id in scorecard.overall.red_flags:
        status, criterion = _status(scorecard, id), rubric.criterion(id)
        accepted = (
            f" Accepted by {inline(status.accepted.by)} until {status.accepted.until}." if status.accepted else ""
        )
        action = f" **Now:** {criterion.action}." if criterion else ""
        lines.append(f"- **{id}** {status.statement} Seen: {inline(status.observed or 'it fails')}.{action}{accepted}")
    unknown = [_status(scorecard, id) for id in scorecard.overall.red_flags_unknown]
    if unknown:
        words = ", ".join(f"{entry.id} ({_why_unknown(entry)})" for entry in unknown)
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
            f"| {name} | {_level(area)} |{delta} {bar(area.demonstrated)} | {area.claimed} / {area.possible} | {target} "
            f"| {coverage} | {_held_back(area)} |"
        )
    return "\n".join(lines)


def bar(level: int) -> str:
    return "■" * level + "□" * (HIGHEST - level)


def _level(area: AreaScore) -> str:
    provisional = area.coverage is not None and area.coverage < PROVISIONAL_COVERAGE
    return f"≥{area.demonstrated} provisional" if provisional else str(area.demonstrated)


def _held_back(area: AreaScore) -> str:
    by_id = {entry.id: entry for entry in area.criteria}
    known = sorted((by_id[id] for id in area.held_back_by), key=lambda entry: entry.status != "unmet")
    shown = "; ".join(f"{entry.id} ({_short(entry)})" for entry in known[:HELD_BACK])
    rest = len(known) - HELD_BACK
    return f"{shown}; {rest} more" if rest > 0 else shown


def _short(entry: CriterionStatus) -> str:
    if entry.status == "unknown":
        return _why_unknown(entry)
    if entry.status == "met":
        return f"{entry.evidence} only"
    return inline(entry.observed or "unmet", 70)


def _moves(scorecard: Scorecard) -> str:
    if not scorecard.moves:
        return ""
    lines = ["| | Do | Effect | Effort | Proof |", "|---|---|---|---|---|"]
    for number, move in enumerate(scorecard.moves[:MOVES], 1):
        lines.append(
            f"| {number} | {_action(scorecard, move)} | {inline(move.effect)}{_saves(scorecard, move)} | {move.effort} "
            f"| {_proof(scorecard, move)} |"
        )
    rest = len(scorecard.moves) - MOVES
    if rest > 0:
        lines.append(f"\nand {rest} more in the JSON.")
    return "\n".join(lines)


def _saves(scorecard: Scorecard, move: Move) -> str:
    words = cost_words(move.saves, scorecard.currency)
    return f"; {inline(words)}" if words else ""


def _action(scorecard: Scorecard, move: Move) -> str:
    """The move, with the worst finding that it is about and where that stands."""
    if move.action.startswith("look: "):
        return f"Look: {unlocking(move.action.removeprefix('look: '))}"
    action = inline(f"{move.action[0].upper()}{move.action[1:]}", 400)
    finding = next(_findings_of(scorecard, move), None)
    if finding is None or _status(scorecard, move.criterion).status != "unmet":
        return action
    where = f", {code(place(finding), cell=True)}" if finding.locations else ""
    return f"{action}. First: {inline(finding.title, 160)}{where}"


def _findings_of(scorecard: Scorecard, move: Move) -> Iterator[FindingEntry]:
    rubric = load_rubric(scorecard.rubric)
    for id in move.criteria or (move.criterion,):
        criterion = rubric.criterion(id)
        checks = criterion.rule.checks if criterion and criterion.rule else ()
        yield from (finding for finding in scorecard.findings if finding.check in checks)


def _proof(scorecard: Scorecard, move: Move) -> str:
    """Which criteria the move closes, and what will show that it is done."""
    ids = move.criteria or (move.criterion,)
    shown = ", ".join(f"{id} ({_closing(scorecard, id)})" for id in ids[:HELD_BACK])
    return shown + (f" and {len(ids) - HELD_BACK} more" if len(ids) > HELD_BACK else "")


def _closing(scorecard: Scorecard, id: str) -> str:
    criterion = load_rubric(scorecard.rubric).criterion(id)
    if criterion is None:
        return "measured"
    words = {"artefact": "dated link", "stated": "answer"}
    if criterion.rule is None or _status(scorecard, id).reason in NEEDS_ANSWER:
        return words.get(criterion.minimum, criterion.minimum)
    return "measured" if criterion.minimum in words else criterion.minimum


def _unseen(scorecard: Scorecard) -> str:
    """By reason and unlock line, with the number of criteria that each hides."""
    hidden: dict[tuple[str, str], list[str]] = {}
    for area in scorecard.areas:
        for entry in area.criteria:
            if entry.status == "unknown" and not entry.provisional and entry.reason:
                unlock = "" if entry.reason in NEEDS_ANSWER else entry.unlock or ""
                hidden.setdefault((entry.reason, unlock), []).append(entry.id)
    provisional = [entry.id for area in scorecard.areas for entry in area.criteria if entry.provisional]
    aside = (
        f"{len(provisional)} more criteria are provisional in this rubric: no check measures them yet, so they count for "
        f"nothing ({', '.join(provisional[:HELD_BACK])}, …)."
    )
    if not hidden:
        return f"Nothing: every criterion that counts could be judged.\n\n{aside}"
    lines = ["| Why | Hides | What unlocks it |", "|---|---|---|"]
    blocking = {id for area in scorecard.areas for id in area.held_back_by}
    ordered = sorted(hidden.items(), key=lambda item: (-len(item[1]), item[0]))
    for (reason, unlock), ids in ordered[:UNSEEN]:
        ids.sort(key=lambda id: id not in blocking)
        if reason in NEEDS_ANSWER:
            unlock = f"pgsurveyor answer {scorecard.review.id} {ids[0]} yes|no"
        count = f"{len(ids)} criteria" if len(ids) > 1 else "1 criterion"
        names = ", ".join(ids[:HELD_BACK]) + (", …" if len(ids) > HELD_BACK else "")
        lines.append(f"| {reason.replace('_', ' ')} | {count} ({names}) | {unlocking(unlock)} |")
    rest = len(ordered) - UNSEEN
    if rest > 0:
        lines.append(f"\nand {rest} more reasons in the JSON.")
    lines.append(f"\n{aside}")
    return "\n".join(lines)


def unlocking(line: str) -> str:
    """A command, an option or SQL as code, words as words."""
    is_code = line.startswith(("--", "pgsurveyor ")) or line.partition(" ")[0].isupper()
    return code(line, cell=True) if is_code else inline(line)


def _contradictions(scorecard: Scorecard) -> str:
    return "\n".join(f"- **{entry.criterion}** {inline(entry.words)}" for entry in scorecard.contradictions)


def place(finding: FindingEntry) -> str:
    first = finding.locations[0]
    return f"{first.path}:{first.line}"


def _why_unknown(entry: CriterionStatus) -> str:
    return (entry.reason or "unknown").replace("_", " ")


def _status(scorecard: Scorecard, id: str) -> CriterionStatus:
    return next(entry for area in scorecard.areas for entry in area.criteria if entry.id == id)


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
