"""Preflight: what will be read, under which role and limits, and what will stay unknown. Nothing else has been asked yet."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from textual.app import ComposeResult

from checks.errors import ReviewError
from tui.actions import bindings
from tui.background import Finished, start
from tui.screens.base import SurveyScreen
from tui.text import Part, line, prose
from tui.widgets.document import Document, Paragraph
from tui.widgets.progress import problem_paragraphs

if TYPE_CHECKING:
    from tui.foresight import Foresight

LABEL = 14
SEES = {
    "superuser": "a superuser",
    "full": "sees all statistics, statements and tables",
    "monitor": "sees all statistics and statements",
    "plain": "sees only what every role sees",
}

SHADOW_WORDS = (
    "If there are fixes to try, pg_dump reads the schema for a shadow, no row: it holds one snapshot and ACCESS SHARE on the "
    "tables, for {seconds:.0f} s at most, and gives up where a lock does not come within {wait} ms. --no-shadow leaves it out."
)

ROWS_WORDS = (
    "--read-rows looks at up to 1,000 rows of each table, on the server, for a minute at most. Counts are kept, no value; tables "
    "of which this role may not read all rows are left out."
)


class Preflight(SurveyScreen):
    NAME = "preflight"
    BINDINGS = bindings("preflight")

    def __init__(self) -> None:
        super().__init__()
        self.seen: Foresight | None = None
        self.problem: ReviewError | None = None
        self._cancelled = threading.Event()

    def compose_body(self) -> ComposeResult:
        yield Document(id="preflight", measure=120)

    def on_mount(self) -> None:
        self.query_one("#preflight").focus()
        self._ask()

    def _ask(self) -> None:
        """One question to the server, in a thread."""
        from tui import targets

        target = self.surveyor.target
        if target is None:
            return
        self.seen, self.problem = None, None
        self._cancelled = threading.Event()
        cancelled = self._cancelled
        self.surveyor.target_words = targets.display(target)

        def work() -> Foresight:
            from tui.foresight import foresee

            return foresee(target, cancelled)

        start("foresight", self, work)
        self._paint()
        self.show_bars()

    def on_finished(self, event: Finished) -> None:
        event.stop()
        self.seen, self.problem = event.result, event.error
        self._paint()
        self.show_bars()

    def _paint(self) -> None:
        self.query_one("#preflight", Document).show(self.paragraphs(), keep_place=True)

    def paragraphs(self) -> list[Paragraph]:
        shown = [Paragraph(), Paragraph(line(("Before anything is read", "bold $strong")), line(" ")), Paragraph()]
        if self.problem is not None:
            shown += problem_paragraphs("The database does not answer", self.problem)
            if self._has_repository:
                shown.append(Paragraph(line("The repository can be reviewed alone."), line(" ")))
            return shown
        if self.seen is None:
            return [*shown, Paragraph(line(("asking the server who it is ...", "$muted")), line(" "))]
        target = self.surveyor.target
        shown += foresight_paragraphs(self.seen, runs=target is not None and target.analyze)
        if target is not None and target.shadow and not target.redact_names:
            from checks.shadow.dump import LOCK_WAIT_MS, WALL_S

            words = SHADOW_WORDS.format(seconds=WALL_S, wait=LOCK_WAIT_MS)
            shown += [Paragraph(), Paragraph(prose(words, "$muted"), line(" "))]
        if target is not None and target.read_rows:
            shown += [Paragraph(), Paragraph(prose(ROWS_WORDS, "$muted"), line(" "))]
        return shown

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "start":
            return self.seen is not None or (self.problem is not None and self._has_repository)
        if action == "again":
            return self.seen is not None or self.problem is not None
        if action == "analyze":
            return self.seen is not None and self.seen.server is not None
        if action == "copy_grants":
            return bool(self._grants())
        return super().check_action(action, parameters)

    @property
    def _has_repository(self) -> bool:
        return self.surveyor.target is not None and self.surveyor.target.repository is not None

    def _grants(self) -> list[str]:
        return [spot.unlock for spot in self.seen.blind if spot.is_sql] if self.seen else []

    def action_start(self) -> None:
        target = self.surveyor.target
        if target is not None:
            self.surveyor.observe(target)

    def action_again(self) -> None:
        self._ask()

    def action_analyze(self) -> None:
        """Statements are run too, or no more."""
        target = self.surveyor.target
        if target is not None:
            self.surveyor.target = msgspec.structs.replace(target, analyze=not target.analyze)
            self._paint()

    def action_copy_grants(self) -> None:
        self.surveyor.copy("The GRANTs", "\n".join(self._grants()))

    def action_back(self) -> None:
        self._cancelled.set()
        self.surveyor.action_go("connect")


def foresight_paragraphs(seen: Foresight, *, runs: bool = False) -> list[Paragraph]:
    """The page of what will and won't be seen. `runs`: statements are run too, each after a yes."""
    from tui.foresight import EXPLAINED, LIMITS, READ, READ_OF_REPOSITORY, RUN

    shown: list[Paragraph] = []
    server = seen.server
    if server is not None:
        provider = "" if server.flavour == "postgresql" else f", {server.flavour}"
        about = f"PostgreSQL {server.version} {server.role}{provider}"
        way = "TLS" if seen.uses_tls else "a local socket" if "[local]" in seen.place else "no TLS"
        ways = [way, *(["through a pooler"] if server.through_pooler else [])]
        shown += [
            _labelled("database", (seen.place, "$code"), (f"   {about}; {', '.join(ways)}", "$muted")),
            _labelled("role", (server.user, "$code"), (f"   {SEES.get(server.user_sees, server.user_sees)}", "$muted")),
        ]
        if server.user_sees == "superuser":
            shown.append(_labelled("", ("a role with pg_monitor would be enough, and can do less", "$warning")))
    shown += [_labelled("node" if not number else "", (node, "$code")) for number, node in enumerate(seen.nodes)]
    if seen.repository is not None:
        shown.append(_labelled("repository", (_from_home(seen.repository), "$code")))
    shown += _heading("What will be read")
    for words in READ if server is not None else ():
        shown.append(Paragraph(prose(words), line((" ✓ ", "$success"))))
    if seen.repository is not None:
        shown.append(Paragraph(prose(READ_OF_REPOSITORY), line((" ✓ ", "$success"))))
    if server is None:
        shown.append(
            Paragraph(line("no database is given: what only a database shows stays unknown"), line((" ? ", "$warning")))
        )
        return shown
    shown += _heading("Under which limits")
    shown += [Paragraph(prose(words), line((" ✓ ", "$success"))) for words in LIMITS]
    shown.append(
        Paragraph(prose(RUN if runs else EXPLAINED), line((" ! ", "$warning") if runs else (" ✓ ", "$success")))
    )
    shown += _heading("What will stay unknown")
    for spot in seen.blind:
        shown.append(Paragraph(prose(spot.what), line((" ? ", "$warning"))))
        if spot.unlock:
            shown.append(Paragraph(line((spot.unlock, "$code")), line(("   ▸ ", "$accent"))))
    if not seen.blind:
        shown.append(Paragraph(line("nothing that a role could be given"), line((" ✓ ", "$success"))))
    if seen.repository is None:
        shown.append(Paragraph(line("where statements come from: no repository is given"), line((" ? ", "$warning"))))
    return shown


def _from_home(path: Path) -> str:
    home = str(Path.home())
    return f"~{str(path)[len(home) :]}" if str(path).startswith(f"{home}/") else str(path)


def _labelled(name: str, *parts: Part) -> Paragraph:
    return Paragraph(line(*parts), line((f" {name:<{LABEL}}", "$muted")))


def _heading(title: str) -> list[Paragraph]:
    return [Paragraph(), Paragraph(line((title, "bold $accent")), line(" "))]
