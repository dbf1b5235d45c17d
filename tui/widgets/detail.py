"""A finding, in full: what, how sure, the figures, where, why, the fix, and what was decided."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Mapping, Sequence

import msgspec
from textual.content import Content

from checks.evidence.database.facts import Plan, Statement
from checks.growth import GrownStatement, Growth
from checks.model import Finding
from checks.text import visible
from scorecards.effects import Effect
from scorecards.review import Decision, Event, Note
from tui.queue import STATUSES
from tui.text import SEVERITY_SYMBOLS, STATUS_SYMBOLS, Part, block, line, prose, severity_style
from tui.widgets.document import EMPTY, Paragraph
from tui.widgets.growth import growth_paragraphs
from tui.widgets.plan import plan_paragraphs
from tui.widgets.proving import proof_paragraphs
from tui.words import figure, label, plural

PLACES_SHOWN = 8
RELATED_SHOWN = 6
STATEMENTS_SHOWN = 3
SHORT_LABEL = 16
LABEL = 12
LONGEST_LABEL = 40
INDENT = Content(" ")

_KEYWORD = re.compile(
    r"\b(ADD|ALTER|ANALYZE|AS|BEGIN|BY|CASCADE|CHECK|COLUMN|COMMIT|CONCURRENTLY|CONSTRAINT|CREATE|DATABASE|DEFAULT|DELETE|DROP|"
    r"EXTENSION|FOREIGN|FROM|GRANT|IF|IN|INDEX|INSERT|INTO|IS|KEY|NOT|NULL|ON|OR|ORDER|PRIMARY|REFERENCES|REINDEX|RESET|"
    r"RESTRICT|ROLE|SELECT|SET|SYSTEM|TABLE|TO|TYPE|UNIQUE|UPDATE|USING|VACUUM|VALID|VALIDATE|VALUES|WHERE|WITH)\b"
)


class Surroundings(msgspec.Struct, frozen=True):
    """What stands around a finding: what people said, oldest first, and what evidence and repository have on it. `conflict` are
    two decisions that did not know of each other; `effect` is what fixing it would change, None while that is not known, and
    `criteria` says in words what the criteria are that it names."""

    owner: str = ""
    decision: Decision | None = None
    notes: tuple[Note, ...] = ()
    history: tuple[str, ...] = ()
    statements: tuple[Statement, ...] = ()
    excerpt: tuple[tuple[int, str], ...] = ()
    plans: tuple[Plan, ...] = ()
    related: tuple[Finding, ...] = ()
    effect: Effect | None = None
    criteria: Mapping[str, str] = msgspec.field(default_factory=dict)
    conflict: tuple[Event, Event] | None = None
    growth: tuple[tuple[Growth, GrownStatement], ...] = ()


def detail(finding: Finding, seen: Surroundings, width: int = 0) -> list[Paragraph]:
    """What the detail pane shows of `finding`; short figures in two columns where `width` allows."""
    below = {statement.query_id for statement in seen.statements}
    return [
        *_heading(finding),
        *_conflict(seen.conflict),
        *_decided(seen.decision, seen.owner, seen.notes),
        *_why(finding.why),
        *_section("Evidence"),
        *_facts(finding, width, below),
        *_observed(finding, width, below),
        *_fix(finding, width),
        *_effect(seen.effect, seen.criteria),
        *_statements(seen, width),
        *_excerpt(seen.excerpt),
        *_related(seen.related),
        *_history(seen.history),
    ]


def _heading(finding: Finding) -> list[Paragraph]:
    severity = finding.severity
    assert severity is not None
    kind: list[Part] = [
        (f"{SEVERITY_SYMBOLS[severity]} {severity.value.upper()}", f"bold {severity_style(severity)}"),
        (f"   {finding.confidence.value}   ", "$muted"),
        (finding.check, "$muted"),
    ]
    return [
        Paragraph(line(*kind), INDENT),
        Paragraph(prose(finding.title, "bold $strong", limit=2_000), INDENT),
        Paragraph(),
    ]


def _facts(finding: Finding, width: int, statements: Collection[str]) -> list[Paragraph]:
    about = line(f"{finding.subject.kind} ", (finding.subject.name, "$code"))
    said_below = finding.subject.kind == "file" and finding.subject.path[0] in {
        place.path for place in finding.locations
    }
    shown = [] if said_below else [_labelled("subject", about)]
    room = max(20, (width or 96) - LABEL - 1)
    for number, location in enumerate(finding.locations[:PLACES_SHOWN]):
        place = f"{location.path}:{location.line}"
        for part, words in enumerate(folded(place, room)):
            shown.append(_labelled("" if number or part else "where", line((words, "$code"))))
    if len(finding.locations) > PLACES_SHOWN:
        shown.append(_labelled("", line((f"and {len(finding.locations) - PLACES_SHOWN} more places", "$muted"))))
    others = [subject for subject in finding.related if subject.kind != "statement" or subject.name not in statements]
    if others:
        related = ", ".join(f"{subject.kind} {subject.name}" for subject in others[:RELATED_SHOWN])
        more = len(others) - RELATED_SHOWN
        shown.append(_labelled("related", line(related, f", and {more} more" if more > 0 else "")))
    return shown


def folded(path: str, room: int) -> list[str]:
    """A long path on several lines, folded behind its slashes, so that a name stays whole where it can."""
    lines: list[str] = []
    while len(path) > room:
        at = path.rfind("/", 0, room) + 1
        if at <= 0:
            break
        lines.append(path[:at])
        path = path[at:]
    return [*lines, path]


def _observed(finding: Finding, width: int, statements: Collection[str]) -> list[Paragraph]:
    """Labels and figures: long ones on lines of their own, then short ones in two columns where the pane is wide. The numbers of
    `statements` tell nothing, for these are shown below, and neither does a figure that there is not."""
    observed = {
        key: value
        for key, value in finding.observed.items()
        if value is not None and not _stands_below(value, statements)
    }
    if not observed:
        return []
    shown: list[Paragraph] = []
    named = [(visible(label(key), 60), figure(key, value)) for key, value in observed.items()]
    half = (width - 1) // 2
    short = [(name, words) for name, words in named if len(name) <= SHORT_LABEL and len(words) < half - SHORT_LABEL - 2]
    if len(short) < 4:
        short = []
    long = [pair for pair in named if pair not in short]
    column = max(LABEL, min(LONGEST_LABEL, max((len(name) for name, _ in long), default=0) + 2))
    for name, words in long:
        shown.append(Paragraph(block(words, limit=2_000), line((f" {name:<{column - 1}} ", "$muted"))))
    rows = (len(short) + 1) // 2
    column = max(LABEL, max((len(name) for name, _ in short[:rows]), default=0) + 2)
    second = max((len(name) for name, _ in short[rows:]), default=0) + 2
    for number, (name, words) in enumerate(short[:rows]):
        parts: list[Part] = [(f" {name:<{column}}", "$muted"), words]
        if number + rows < len(short):
            other, figures = short[number + rows]
            gap = " " * (half - column - 1 - len(words))
            parts += [gap, (f"{other:<{second}}", "$muted"), figures]
        shown.append(Paragraph(line(*parts)))
    return shown


def _stands_below(value: object, statements: Collection[str]) -> bool:
    if isinstance(value, str):
        return value in statements
    return isinstance(value, list | tuple) and bool(value) and all(one in statements for one in value)


def _effect(effect: Effect | None, criteria: Mapping[str, str]) -> list[Paragraph]:
    if effect is None or not (effect.words or effect.criteria or effect.held_by):
        return []
    shown = _section("If it is fixed")
    if effect.words:
        words = f"overall {effect.words} of 100" if effect.words.startswith("index ") else effect.words
        shown.append(Paragraph(line((words, "bold $success")), line((" ▸ ", "$accent"))))
    for id in effect.criteria:
        shown.append(Paragraph(line(f"{id} ", (criteria.get(id, "is met"), "$muted")), line((" ✓ ", "$success"))))
    for id, others in effect.held_by:
        why = (
            f"Still unmet: {plural(others, 'other finding')} of its kind."
            if others
            else "Still unmet, for other reasons."
        )
        held = f"{criteria.get(id, '')} {why}"
        shown.append(Paragraph(line(f"{id} ", (held.strip(), "$muted")), line((" ✗ ", "$muted"))))
    return shown


def _related(related: Sequence[Finding]) -> list[Paragraph]:
    if not related:
        return []
    shown = _section("About the same tables or statements")
    for other in related[:RELATED_SHOWN]:
        assert other.severity is not None
        mark = line(" ", (SEVERITY_SYMBOLS[other.severity], severity_style(other.severity)), " ")
        shown.append(Paragraph(prose(other.title, limit=300), mark))
    if len(related) > RELATED_SHOWN:
        shown.append(Paragraph(line((f"and {len(related) - RELATED_SHOWN} more", "$muted")), line("   ")))
    shown.append(Paragraph(line(("l", "bold $accent"), (" goes to any of them", "$muted")), line("   ")))
    return shown


def _conflict(conflict: tuple[Event, Event] | None) -> list[Paragraph]:
    """Both decisions, and which one holds."""
    if conflict is None:
        return []
    shown = []
    for event in conflict:
        assert event.decision is not None
        status = STATUSES.get(event.decision.kind, "open again")
        words: list[Part] = [(event.by, "bold"), f" {status}"]
        if event.decision.reason or event.decision.note:
            words.append((f": {event.decision.reason or event.decision.note}", "$foreground"))
        words.append((f"   {event.at:%H:%M:%S}{'   this one holds' if event is conflict[1] else ''}", "$muted"))
        shown.append(Paragraph(line(*words), line((" ┃ ", "$warning"))))
    head = line(("Two decisions, taken unaware of each other", "bold $warning"))
    foot = line(("Talk, then decide again: that settles it. Both stay in the history.", "$muted"))
    return [
        Paragraph(head, line((" ≠ ", "bold $warning"))),
        *shown,
        Paragraph(foot, line((" ┃ ", "$warning"))),
        Paragraph(),
    ]


def _statements(seen: Surroundings, width: int) -> list[Paragraph]:
    shown: list[Paragraph] = []
    statements = seen.statements
    planned = {plan.query_id: plan for plan in seen.plans}
    grown = {entry.statement: (growth, entry) for growth, entry in seen.growth}
    for statement in statements[:STATEMENTS_SHOWN]:
        shown += _section("The statement" if len(statements) == 1 else f"Statement {statement.query_id}")
        times = f"{statement.calls:,} calls, mean {figure('mean_ms', statement.mean_ms)}, {statement.rows:,} rows"
        shown += [Paragraph(line((times, "$muted")), INDENT), *sql_paragraphs(visible(dedented(statement.text), 1_500))]
        if statement.query_id in planned:
            shown += plan_paragraphs(planned[statement.query_id], width or 80, "Its plan")
        if statement.query_id in grown:
            shown += growth_paragraphs(*grown[statement.query_id], width or 80)
    if len(statements) > STATEMENTS_SHOWN:
        shown.append(Paragraph(line((f"and {len(statements) - STATEMENTS_SHOWN} more statements", "$muted")), INDENT))
    return shown


def _excerpt(lines: Sequence[tuple[int, str]]) -> list[Paragraph]:
    """Lines of code with their numbers; they are not wrapped."""
    if not lines:
        return []
    shown = _section("The code")
    for number, text in lines:
        shown.append(Paragraph(line((text, "$code"), limit=300), line((f" {number:>5}  ", "$muted")), wrapped=False))
    return shown


def _why(why: str) -> list[Paragraph]:
    shown: list[Paragraph] = []
    for part in why.split("\n\n"):
        shown += [*([Paragraph()] if shown else []), Paragraph(prose(part), INDENT)]
    return shown


def _fix(finding: Finding, width: int) -> list[Paragraph]:
    fix = finding.fix
    shown = [*_section("Fix"), Paragraph(prose(fix.summary), INDENT)]
    if fix.sql:
        shown += [Paragraph(), *sql_paragraphs(fix.sql), Paragraph()]
    if fix.lock:
        rewrite = "; rewrites the table" if fix.rewrites else "; no rewrite"
        shown.append(_labelled("lock", line(fix.lock, (rewrite, "$warning" if fix.rewrites else "$muted"))))
    elif fix.rewrites:
        shown.append(_labelled("lock", line(("rewrites the table", "$warning"))))
    if fix.undo:
        shown.append(_labelled("undo", prose(fix.undo)))
    if finding.proof is not None:
        shown += proof_paragraphs(finding.proof, width or 80)
    return shown


def dedented(sql: str) -> str:
    """As it would stand without the indentation that it has in the program, which its first line lacks."""
    first, newline, rest = sql.strip().partition("\n")
    return first + newline + textwrap.dedent(rest.expandtabs(4))


def sql_paragraphs(sql: str) -> list[Paragraph]:
    """SQL behind a bar, its key words set apart."""
    bar = line(("  ┃ ", "$accent"))
    shown = []
    for text in sql.splitlines():
        content = block(text, "$code", limit=4_000)
        for match in _KEYWORD.finditer(content.plain):
            content = content.stylize("bold", match.start(), match.end())
        shown.append(Paragraph(content, bar, bar))
    return shown


def _decided(decision: Decision | None, owner: str, notes: Sequence[Note]) -> list[Paragraph]:
    shown: list[Paragraph] = []
    if decision is not None:
        status = STATUSES.get(decision.kind, decision.kind)
        parts: list[Part] = [(f"{STATUS_SYMBOLS.get(status, '·')} {status}", "bold $accent")]
        if decision.reason:
            parts.append(f": {decision.reason}")
        if decision.due:
            parts.append(f", due {decision.due}")
        if decision.expires:
            parts.append(f", until {decision.expires}")
        parts.append((f"   {decision.by}", "$muted"))
        shown.append(_labelled("decided", line(*parts)))
        if decision.note:
            shown.append(_labelled("", block(decision.note)))
    if owner:
        shown.append(_labelled("owner", line(f"@{owner}")))
    for number, note in enumerate(notes):
        shown.append(
            _labelled("" if number else "notes", line(block(note.text), (f"   {note.by}", "$muted"), limit=None))
        )
    return [*shown, Paragraph()] if shown else []


def _history(history: Sequence[str]) -> list[Paragraph]:
    if not history:
        return []
    return [*_section("History"), *(Paragraph(line((words, "$muted")), INDENT) for words in history)]


def _section(title: str) -> list[Paragraph]:
    return [Paragraph(EMPTY), Paragraph(line((title, "bold $accent")), INDENT)]


def _labelled(name: str, text: Content) -> Paragraph:
    return Paragraph(text, line((f" {name:<{LABEL}}", "$muted")))
