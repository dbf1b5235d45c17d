"""How every screen looks, at two sizes and without colour. The rubric and the findings are made by hand, so that only a change of
the screens changes a picture."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from checks.evidence.database.facts import Server
from checks.evidence.observe import Target
from checks.growth import Breaking, GrownStatement, Growth
from checks.model import CheckResult, Outcome, Severity
from scorecards.rubric import Criterion, Question, Rubric, Rule, Strength
from scorecards.session import Review
from scorecards.store import ReviewFolder
from tests.tui.conftest import MakeApp
from tests.tui.findings import NOW, make_evidence, make_finding, make_results
from tests.tui.pictures import compare, is_grey, picture
from tests.tui.screen import screen_text, until
from tests.tui.test_jump_and_explain import proven
from tests.tui.test_links import evidence as linked_evidence
from tests.tui.test_live import client, sample
from tui.foresight import Blind, Foresight
from tui.look import THEMES
from tui.reviewing import Checked, Checking, Looking
from tui.screens.live import Live, Sampled
from tui.screens.preflight import Preflight
from tui.screens.run import Run
from tui.screens.walk import Walk
from tui.widgets.bars import HeaderBar

SIZES = [(80, 24), (120, 40)]
MODULES = (
    "tui.screens.questions",
    "tui.screens.agenda",
    "scorecards.scorecard",
    "scorecards.effects",
    "scorecards.session",
)


BESIDE = {"scorecard", "workload", "effects", "links", "recent", "foresight", "preview"}


def criterion(id: str, level: int, statement: str, *checks: str, question: str = "") -> Criterion:
    return Criterion(
        id, level, statement, Strength.STATED if question else Strength.MEASURED, "S", f"see to {id}", ("a manual",),
        rule=Rule(checks, at_least=Severity.NOTE) if checks else None,
        question=Question(question, "It matters.", "A name and a date.") if question else None,
    )  # fmt: skip


RUBRIC = Rubric(
    "2026.1",
    (
        criterion("SCH-1.1", 1, "Keys have room.", "schema.integer-key-running-out"),
        criterion("SCH-2.1", 2, "Changes are reviewed.", question="Is every change of the schema reviewed?"),
        criterion("IDX-R1", 0, "No index is broken.", "indexing.invalid"),
        criterion("IDX-1.1", 1, "Foreign keys have indexes.", "indexing.foreign-key-without-index"),
        criterion("PLN-1.1", 1, "Nobody pages with OFFSET.", "plans.offset-pagination"),
        criterion("REP-1.1", 1, "Slots are bounded.", "replication.unlimited-slot-retention"),
        criterion("REP-2.1", 2, "A restore was tested.", question="When was the last restore tested?"),
        criterion("OBS-1.1", 1, "Slow statements are logged.", "observability.slow-log"),
        criterion("HYB-1.1", 1, "Documents are jsonb.", "hybrid.json-not-jsonb"),
    ),
)


GROWN = GrownStatement(
    "8", (20.0, 180.0, 900.0, 8_600.0), 0.9, (100.0,), Breaking(24.0, "mean above 100 ms", dt.date(2028, 3, 1)), 8.0, 5,
    ("public.events",),
    plan_now=("Seq Scan on events (cost 20, rows 5)",),
    plan_then=("Gather (cost 8,600, rows 5,000)", "  Parallel Seq Scan on events (cost 7,100, rows 5,000)"),
)  # fmt: skip


@pytest.fixture
def review(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Review:
    for module in MODULES:
        monkeypatch.setattr(f"{module}.load_rubric", lambda *_: RUBRIC)
    server, linked = make_evidence().server, linked_evidence()
    growth = Growth((1.0, 10.0, 100.0, 1_000.0), 100.0, 18, 17, (GROWN,))
    found = msgspec.structs.replace(linked, server=server, growth=growth)
    findings = [make_finding(number) for number in range(16)]
    findings[1] = msgspec.structs.replace(findings[1], proof=proven("messages"))
    results = [*make_results(findings)]
    results.append(CheckResult("indexing.invalid", Outcome.PASSED, examined=3, of=3, unmet=0, noun="indexes"))
    folder = ReviewFolder.create(tmp_path / "reviews", found, title="support", reviewers=("anna",), now=NOW)
    made = Review(folder, results)
    first, second, third = made.findings[:3]
    made.decide(first.id, "accept", by="anna", now=NOW, owner="bo", due=NOW.date() + dt.timedelta(days=9))
    made.note(first.id, "Ask billing first.", by="bo", now=NOW)
    expires = NOW.date() + dt.timedelta(days=90)
    made.decide(second.id, "waive", by="bo", now=NOW, reason="planned", owner="bo", expires=expires)
    made.decide(third.id, "accept", by="anna", now=NOW, over="")
    made.decide(third.id, "dispute", by="bo", now=NOW, note="The column is unique.", over="")
    made.answer("SCH-2.1", "yes", by="anna", now=NOW)
    return made


async def quiet(pilot: Pilot[None]) -> None:
    """Until nothing is said in the header any more, and what works beside the screen has ended."""
    await pilot.pause(0.3)
    await until(pilot, lambda: not BESIDE & {thread.name for thread in threading.enumerate()}, 60)
    await pilot.pause(0.3)
    for bar in pilot.app.screen.query(HeaderBar):
        bar.said = ""
    for field in pilot.app.screen.query(Input):
        field.cursor_blink = False
        field._cursor_visible = True
    await pilot.pause(0.1)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("color", [True, False], ids=["", "no-color"])
async def test_every_screen_of_a_review(
    make_app: MakeApp, review: Review, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], color: bool
) -> None:
    if not color:
        monkeypatch.setenv("NO_COLOR", "1")
    problems = []
    name = f"{size[0]}x{size[1]}{'' if color else '-no-color'}"
    async with make_app(review=review).run_test(size=size) as pilot:
        for keys, screen in (
            (("W",), "walk"), (("j", "j"), "walk-conflict"), (("j", "l"), "walk-links"), (("escape", "a"), "walk-form"),
            (("escape", "enter"), "walk-detail"), (("escape", "B"), "browse"), (("3",), "browse-statement"),
            (("Q",), "questions"), (("S",), "scorecard"), (("1",), "scorecard-area"), (("0", "w", "space"), "what-if"),
            (("A",), "agenda"), (("?",), "help"), (("escape", "E", *"jjjjjj"), "export"), (("W", "f1"), "explain"),
            (("escape", "'"), "jump"),
        ):  # fmt: skip
            await pilot.press(*keys)
            await quiet(pilot)
            text = picture(pilot.app)
            problems.append(compare(f"{screen}-{name}", text))
            assert color or is_grey(text)
    assert not [problem for problem in problems if problem]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("color", [True, False], ids=["", "no-color"])
async def test_how_a_statement_grows_and_the_server_live(
    make_app: MakeApp, review: Review, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], color: bool
) -> None:
    if not color:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(Live, "_watch", lambda _: None)
    name = f"{size[0]}x{size[1]}{'' if color else '-no-color'}"
    async with make_app(review=review).run_test(size=size) as pilot:
        await pilot.press("B", "3", "j")
        await quiet(pilot)
        problems = [compare(f"growth-{name}", picture(pilot.app))]
        await pilot.press("enter", "ctrl+d")
        await quiet(pilot)
        problems.append(compare(f"growth-detail-{name}", picture(pilot.app)))
        pilot.app.target = Target("host=db.example.com dbname=support", None)
        await pilot.press("escape", "L")
        live = pilot.app.screen
        assert isinstance(live, Live)
        for calls in (2.0, 5.0, 40.0, 12.0):
            one = sample(calls, client(blocks=1), client(blocked=True))
            live.on_sampled(Sampled(msgspec.structs.replace(one, texts={"7": "SELECT id FROM users WHERE email = $1"})))
        await quiet(pilot)
        problems.append(compare(f"live-{name}", picture(pilot.app)))
        assert color or is_grey(picture(pilot.app))
    assert not [problem for problem in problems if problem]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("color", [True, False], ids=["", "no-color"])
async def test_before_and_while_looking(
    make_app: MakeApp, review: Review, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], color: bool
) -> None:
    if not color:
        monkeypatch.setenv("NO_COLOR", "1")
    name = f"{size[0]}x{size[1]}{'' if color else '-no-color'}"
    server = review.evidence.get(Server)
    async with make_app().run_test(size=size) as pilot:
        await until(pilot, lambda: "support" in screen_text(pilot))
        await pilot.press("escape")
        await quiet(pilot)
        problems = [compare(f"connect-{name}", picture(pilot.app))]
        assert color or is_grey(picture(pilot.app))
        pilot.app.target = Target(None, None)
        pilot.app.switch_mode("preflight")
        await pilot.pause(0.5)
        preflight = pilot.app.screen
        assert isinstance(preflight, Preflight)
        blind = (Blind("what others do", "GRANT pg_monitor TO app;", True), Blind("what the service hides", ""))
        preflight.problem, preflight.seen = None, Foresight("app@db/support", server, blind, ("app@db2/support",))
        pilot.app.target_words = "app@db/support"
        preflight.on_screen_resume()
        preflight._paint()
        await quiet(pilot)
        problems.append(compare(f"preflight-{name}", picture(pilot.app)))
        assert color or is_grey(picture(pilot.app))
        pilot.app.target = None
        pilot.app.switch_mode("run")
        await pilot.pause(0.5)
        run = pilot.app.screen
        assert isinstance(run, Run)
        run._ended = run._begun + 7
        run.on_looking(Looking("reading the catalog"))
        run.meter.statements, run.meter.server_ms = 63, 120.0
        run.on_checking(Checking("support", Counter({result.area: 4 for result in review.results})))
        for result in review.results[:4]:
            run.on_checked(Checked(result))
        run._paint()
        await quiet(pilot)
        problems.append(compare(f"run-{name}", picture(pilot.app)))
        assert color or is_grey(picture(pilot.app))
    assert not [problem for problem in problems if problem]


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
async def test_every_theme_is_legible(make_app: MakeApp, review: Review, theme: str) -> None:
    """Text against its ground: at least 4.5 to 1 for what is read, 7 to 1 in high contrast."""
    app = make_app(review=review)
    app.theme = theme
    async with app.run_test(size=(120, 40)) as pilot:
        await quiet(pilot)
        assert isinstance(pilot.app.screen, Walk)
        least = 7.0 if "contrast" in theme else 4.5
        for _, line in enumerate(pilot.app.screen._compositor.render_strips()):
            for segment in line:
                style = segment.style
                if (
                    style is None
                    or style.color is None
                    or style.bgcolor is None
                    or not segment.text.strip(" ▏▌▇◷0123456789:")
                ):
                    continue
                ratio = contrast(style.color.get_truecolor(), style.bgcolor.get_truecolor())
                assert ratio >= least, (segment.text, style, round(ratio, 1))


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """As WCAG 2 reckons it."""

    def luminance(color: tuple[int, int, int]) -> float:
        parts = [value / 255 for value in color]
        parts = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)
