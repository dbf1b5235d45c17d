"""The live page: latency, throughput, waits and locks of the server, sampled while one looks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.message import Message

from checks.errors import ReviewError
from checks.figures import bytes_in_words
from checks.text import visible
from tui.actions import bindings
from tui.background import Finished, send, start
from tui.live import EVERY_S, KEPT, Sample, watch
from tui.screens.base import SurveyScreen
from tui.text import Part, line
from tui.widgets.document import Document, Paragraph
from tui.widgets.progress import problem_paragraphs
from tui.widgets.sparkline import sparkline
from tui.words import figure, plural

STATEMENTS_SHOWN = 8
WAITS_SHOWN = 6
BLOCKED_SHOWN = 6
STANDBYS_SHOWN = 6
NEGLIGIBLE = 0.005
NARROWEST, FIGURES, WIDE = 12, 54, 96


class Sampled(Message):
    def __init__(self, sample: Sample) -> None:
        super().__init__()
        self.sample = sample


class Live(SurveyScreen):
    NAME = "live"
    BINDINGS = bindings("live")

    def __init__(self) -> None:
        super().__init__()
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self.problem: ReviewError | None = None
        self.paused = False
        self._stop = threading.Event()

    def compose_body(self) -> ComposeResult:
        yield Document(id="live", measure=140)

    def on_mount(self) -> None:
        page = self.query_one("#live", Document)
        page.rebuild = self._paint
        page.focus()

    def refresh_content(self) -> None:
        if self._stop.is_set() or not self.samples:
            self._watch()
        self._paint()

    def on_screen_suspend(self) -> None:
        """Nobody looks any more: the connection goes."""
        self._stop.set()

    def on_unmount(self) -> None:
        self._stop.set()

    def _watch(self) -> None:
        target = self.surveyor.target
        if target is None or target.dsn is None:
            return
        self._stop.set()
        self._stop = stop = threading.Event()
        self.problem = None
        dsn = target.dsn
        start("live", self, lambda: watch(dsn, lambda sample: send(self, Sampled(sample)), stop))

    def on_sampled(self, event: Sampled) -> None:
        self.samples.append(event.sample)
        if len(self.samples) == 1:
            self.show_keys()
        if not self.paused:
            self._paint()

    def on_finished(self, event: Finished) -> None:
        event.stop()
        if event.error is not None:
            self.problem = event.error
            self._stop.set()
            self._paint()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "pause":
            return bool(self.samples)
        if action == "back":
            return len(self.app.screen_stack) > 1 or self.surveyor.review is not None
        return super().check_action(action, parameters)

    def action_pause(self) -> None:
        self.paused = not self.paused
        self._paint()

    def action_back(self) -> None:
        """To the run that it lies on, else to the page that one came from."""
        if len(self.app.screen_stack) > 1:
            self.app.pop_screen()
        else:
            self.surveyor.action_go(self.surveyor.came_from)

    def action_again(self) -> None:
        self.samples.clear()
        self.paused = False
        self._watch()
        self._paint()

    def _paint(self) -> None:
        page = self.query_one("#live", Document)
        page.show(self.paragraphs(page.room), keep_place=True)

    def paragraphs(self, width: int) -> list[Paragraph]:
        if self.surveyor.target is None or self.surveyor.target.dsn is None:
            words = "This review was opened without its server. `pgsurveyor review DSN REPO` opens both."
            return [Paragraph(), Paragraph(line((words, "$muted")), line(" "))]
        if self.problem is not None:
            return [Paragraph(), *problem_paragraphs("The server cannot be watched", self.problem)]
        if not self.samples:
            return [Paragraph(), Paragraph(line(("looking; the first rates in a moment ...", "$muted")), line(" "))]
        return live_paragraphs(list(self.samples), width, paused=self.paused)


def live_paragraphs(samples: Sequence[Sample], width: int, *, paused: bool = False) -> list[Paragraph]:
    """The page for those samples, the newest last."""
    last = samples[-1]
    bar = max(NARROWEST, min(60, width - FIGURES - (24 if width >= WIDE else 0)))
    state: Part = ("Paused", "bold $warning") if paused else ("Live", "bold $success")
    ours = f"{plural(last.statements_sent, 'statement')}, {last.server_ms:,.0f} ms"
    effort = f"   every {EVERY_S:g} s; our own looks so far: {ours}"
    shown = [Paragraph(), Paragraph(line(" ", state, (effort, "$muted"))), Paragraph()]
    for name, value, words, compared in ROWS:
        values = [value(sample) for sample in samples]
        known = [one for one in values if one is not None]
        now = "-" if values[-1] is None else words(values[-1])
        beside = [compared(last)] if compared is not None else []
        if known and width >= WIDE:
            beside.append(f"highest {words(max(known))}")
        shown.append(Paragraph(sparkline(name, values, now, ", ".join(filter(None, beside)), bar), wrapped=False))
    if last.activity.states_hidden:
        hidden = "what others do is hidden from this role; pg_monitor shows it"
        shown.append(Paragraph(line((hidden, "$muted")), line((" ? ", "$warning"))))
    return [*shown, *_sessions(last), *_replication(last), *_waits(last), *_statements(last, width)]


def _rate(value: float) -> str:
    return f"{value:,.0f}/s" if value >= 10 or value == int(value) else f"{value:,.1f}/s"


def _ever(sample: Sample) -> str:
    ever = sample.rates.mean_ms_ever
    return "" if ever is None else f"ever {figure('mean_ms', ever)}"


def _most(sample: Sample) -> str:
    return f"of {sample.activity.max_connections:,}"


# What is drawn, its value in a sample, that in words, and what it is compared with.
ROWS: tuple[
    tuple[str, Callable[[Sample], float | None], Callable[[float], str], Callable[[Sample], str] | None], ...
] = (
    ("mean latency", lambda sample: sample.rates.mean_ms, lambda value: figure("mean_ms", value), _ever),
    ("statements", lambda sample: sample.rates.calls_per_s, _rate, None),
    ("transactions", lambda sample: sample.rates.transactions_per_s, _rate, None),
    ("writing transactions", lambda sample: sample.rates.write_transactions_per_s, _rate, None),
    ("WAL", lambda sample: sample.rates.wal_bytes_per_s, lambda value: f"{bytes_in_words(value)}/s", None),
    ("connections", lambda sample: float(len(sample.activity.sessions)), lambda value: f"{value:.0f}", _most),
    ("active sessions", lambda sample: float(sample.active), lambda value: f"{value:.0f}", None),
    ("idle in transaction", lambda sample: float(sample.idle_in_transaction), lambda value: f"{value:.0f}", None),
    ("waiting for a lock", lambda sample: float(sample.blocked), lambda value: f"{value:.0f}", None),
    ("replication lag", lambda sample: sample.lag_bytes, bytes_in_words, None),
)


def _heading(title: str, about: str = "") -> list[Paragraph]:
    return [
        Paragraph(),
        Paragraph(line((title, "bold $accent"), (f"   {about}" if about else "", "$muted")), line(" ")),
    ]


def _sessions(sample: Sample) -> list[Paragraph]:
    held = sorted(
        (session for session in sample.activity.sessions if session.blocked or session.blocks),
        # Who waits for nobody is where a chain begins.
        key=lambda session: (session.blocked, -session.blocks, -(session.transaction_age_s or 0)),
    )
    waiting = sample.blocked
    shown = _heading("Locks", f"{plural(waiting, 'session')} {'waits' if waiting == 1 else 'wait'}" if waiting else "")
    if not held:
        shown.append(
            Paragraph(line(("nobody waits for a lock of another session", "$muted")), line((" ✓ ", "$success")))
        )
    for session in held[:BLOCKED_SHOWN]:
        holds = f"holds up {plural(session.blocks, 'session')}"
        role = ("waits, and " * session.blocked + holds) if session.blocks else "waits"
        age = (
            f", transaction open for {session.transaction_age_s:,.0f} s"
            if session.transaction_age_s is not None
            else ""
        )
        who = session.application_name or session.user
        shown.append(
            Paragraph(
                line((who, "$code"), f" {role}{age}", (f"   {session.state or ''}", "$muted")),
                line((" ▲ ", "$warning") if not session.blocked else " "),
            )
        )
    if len(held) > BLOCKED_SHOWN:
        shown.append(Paragraph(line((f"and {len(held) - BLOCKED_SHOWN} more", "$muted")), line(" ")))
    return shown


def _replication(sample: Sample) -> list[Paragraph]:
    if not sample.standbys:
        return [
            *_heading("Replication"),
            Paragraph(line(("nobody receives WAL from this server", "$muted")), line(" ")),
        ]
    shown = _heading("Replication", plural(len(sample.standbys), "receiver"))
    furthest = sorted(sample.standbys, key=lambda entry: -(entry.replay_lag_bytes or 0))
    for entry in furthest[:STANDBYS_SHOWN]:
        behind = (
            "how far is hidden"
            if entry.replay_lag_bytes is None
            else f"{bytes_in_words(entry.replay_lag_bytes)} behind"
        )
        late = f", {entry.replay_lag_s:,.1f} s" if entry.replay_lag_bytes and entry.replay_lag_s else ""
        state = ", ".join(filter(None, (entry.state, entry.sync_state, "logical" if entry.logical else "")))
        name = visible(entry.application_name or "unnamed", 60)
        shown.append(Paragraph(line((name, "$code"), f" {behind}{late}", (f"   {state}", "$muted")), line(" ")))
    return shown


def _waits(sample: Sample) -> list[Paragraph]:
    waits = sorted(sample.activity.waits, key=lambda wait: -wait.sessions)
    shown = _heading("What active sessions wait for", "" if waits else "none is active")
    for wait in waits[:WAITS_SHOWN]:
        name = f"{wait.type}: {wait.event}" if wait.type else "nothing: they compute"
        shown.append(Paragraph(line(f"{wait.sessions:>4}  ", (name, "$foreground")), line(" ")))
    return shown


def _statements(sample: Sample, width: int) -> list[Paragraph]:
    entries = sorted(sample.rates.statements, key=lambda entry: -entry.ms_per_s)
    if sample.rates.calls_per_s is None:
        return [
            *_heading("Statements"),
            Paragraph(line(("pg_stat_statements cannot be read", "$muted")), line((" ? ", "$warning"))),
        ]
    shown = _heading("Statements that took the most time", "share, waits included" if entries else "none ended")
    total = sum(entry.ms_per_s for entry in entries)
    for entry in entries[:STATEMENTS_SHOWN]:
        share = entry.ms_per_s / total if total else 0.0
        if share < NEGLIGIBLE:
            break
        mean = entry.ms_per_s / entry.calls_per_s if entry.calls_per_s else 0.0
        figures = line((f" {share:>6.1%}", "bold"), (f"  {_rate(entry.calls_per_s):>9}", "$foreground"),
                       (f"  {figure('mean_ms', mean):>9}  ", "$muted"))  # fmt: skip
        text = " ".join(visible(sample.texts.get(entry.query_id, f"text not read ({entry.query_id})"), 300).split())
        room = max(10, width - figures.cell_length)
        shown.append(Paragraph(line(figures, line((text, "$code")).truncate(room, ellipsis=True)), wrapped=False))
    return shown
