"""`f1`: what the pane with the keyboard shows, and what its signs mean."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen

from checks.model import Severity
from tui.actions import bindings
from tui.text import SEVERITY_SYMBOLS, STATUS_SYMBOLS, line, prose, severity_style
from tui.widgets.document import EMPTY, Document, Paragraph

INDENT = line(" ")

SIGNS = "signs"
"""Stands for the signs of a list of findings."""

FINDINGS = (
    "Every finding on one line: its severity, what is wrong, what was decided, and its area. Worst first: severity times "
    "confidence times how much of the database or of its time it concerns; `o` orders otherwise.",
    SIGNS,
    "`a` `w` `f` `x` decide on the finding under the cursor and go to the next undecided one. `space` marks several, for one "
    "decision on all. `/` narrows the list, `1` to `6` show one area.",
)

TEXTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "walk-rows": ("The findings", FINDINGS),
    "walk-detail": (
        "One finding",
        (
            "What is wrong and why it matters; the evidence: what it is about, where in the code, and the figures; the fix, with "
            "the lock it takes and how to undo it; and what it did when it was tried in a shadow, a server of ours with your "
            "schema and statistics and no row of yours.",
            "`measured` was seen on the server, `inferred` follows from what was seen, `stated` is somebody's word.",
            "`If it is fixed` names the criteria of the scorecard that would be met, and the levels that would move.",
            "`y` copies the SQL of the fix, `Y` commands that find it again, `e` opens the code, `l` goes to what belongs to it.",
        ),
    ),
    "walk-filter": (
        "The filter",
        (
            "Words that a finding must have, in its title, check, subject or file; and tokens: `sev:high` or `sev:medium+` "
            "for that and worse, `area:idx`, `check:duplicate`, `owner:me`, and `status:` `open`, `accepted`, `waived`, "
            "`follow-up`, `disputed`, `decided`, `noted`, `marked`, `conflict`. Commas mean or.",
            "`enter` keeps it, `n` and `N` go from match to match, `esc` clears it.",
        ),
    ),
    "browse": (
        "Browsing",
        (
            "Tables and indexes, the largest first; statements, the costliest first; and the files that use them. The right side "
            "shows one of them with what touches it. At the end of a row stand the worst severity of its findings, and how many.",
            "`l` goes from a table to its statements, code and findings, and from these to their tables; `b` comes back.",
        ),
    ),
    "questions": (
        "The questions",
        (
            "What no server can be asked: each is a criterion of the scorecard, beside the evidence that bears on it.",
            "`y` yes, `n` no, `d` nobody knows: then it stays unknown. `i` answers in words, with a link or file that shows it. "
            "A word alone is a claim, and where evidence contradicts it, that is shown.",
            "✓ yes   ✗ no   ? don't know   ✎ in words   ≠ answered, and not borne out by what was seen",
        ),
    ),
    "scorecard": (
        "The scorecard",
        (
            "Six areas, each at a level from 0 to 5: the highest up to which all its criteria are met. `Demonstrated` takes the "
            "evidence that each criterion asks for, `claimed` also somebody's word, and `possible` takes what is unknown as met.",
            "Overall is the lowest area; the index, 0 to 100, is for trends only. `w` lets you mark what you would fix, and "
            "shows the levels as they would be; `c` compares with an earlier review.",
        ),
    ),
    "agenda": (
        "The agenda",
        ("What is left to decide and to answer, what was promised and by when, and how long the rest takes at this pace.",),
    ),
    "export": (
        "Exports",
        (
            "What a file would hold is shown beside it before it is written. Names and paths are in it, no row values, no "
            "literals of statements, no passwords.",
        ),
    ),
    "live": (
        "The server, live",
        ("What happens while you look, from the server's own counters. Each look costs the statements that are shown.",),
    ),
    "run": (
        "The run",
        (
            "Passed: looked, and nothing was wrong. Found: at least one finding. Unknown: it could not be seen, and the "
            "scorecard says what would show it. n/a: this database has nothing of the kind.",
            "Findings appear as they are made; `o` opens one. `c` ends the run with what there is.",
        ),
    ),
    "preflight": (
        "Before anything is read",
        ("Under which role and limits this database will be read, what stays unknown, and the GRANT that would show it.",),
    ),
    "connect": (
        "The start page",
        (
            "On one side what was reviewed before, to go on with; on the other a database, a repository or both to review.",
            "A database is named as psql names it: `postgresql://...`, `host=... dbname=...` or `service=...`; a password is "
            "best left to .pgpass or the service file.",
        ),
    ),
}  # fmt: skip


def explanation(screen: Screen[object]) -> tuple[str, list[Paragraph]]:
    """Of the focused widget, else of what it is in, else of the screen."""
    nodes = screen.focused.ancestors_with_self if screen.focused is not None else [screen]
    names = [*(node.id or "" for node in nodes), getattr(screen, "NAME", "")]
    title, texts = next((TEXTS[name] for name in names if name in TEXTS), ("", ()))
    shown: list[Paragraph] = []
    for text in texts:
        shown += _signs() if text == SIGNS else [Paragraph(prose(text), INDENT)]
        shown.append(Paragraph(EMPTY))
    return title, shown[:-1]


def _signs() -> list[Paragraph]:
    severities = [
        (f"{SEVERITY_SYMBOLS[severity]} {severity.value}   ", severity_style(severity)) for severity in Severity
    ]
    statuses = [f"{sign} {name}   " for name, sign in STATUS_SYMBOLS.items() if sign.strip()]
    return [
        Paragraph(line(*severities), INDENT),
        Paragraph(line(*statuses, "▪ has notes   ≠! decided twice at once   * marked"), INDENT),
    ]


class Explain(ModalScreen[None]):
    """To read; any of its keys closes it."""

    BINDINGS = bindings("explain")

    def __init__(self, title: str, paragraphs: list[Paragraph]) -> None:
        super().__init__()
        keys = (("?", "bold $accent"), (" lists what can be done here   ", "$muted"), ("esc", "bold $accent"))
        foot = line(*keys, (" close", "$muted"))
        head = [Paragraph(line((title, "bold $strong")), INDENT), Paragraph(EMPTY)]
        self._paragraphs = [*head, *paragraphs, Paragraph(EMPTY), Paragraph(foot, INDENT)]

    def compose(self) -> ComposeResult:
        with Vertical(id="explain"):
            yield Document(id="explain-text")

    def on_mount(self) -> None:
        page = self.query_one(Document)
        page.focus()
        self.call_after_refresh(lambda: page.show(self._paragraphs))

    def action_close(self) -> None:
        self.dismiss(None)
