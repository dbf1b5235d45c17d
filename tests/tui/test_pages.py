"""Questions, scorecard, export and the help, over a review made by hand."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import msgspec
import pytest
from textual.widgets import Input

from scorecards.rubric import load_rubric
from scorecards.store import ReviewFolder
from tests.tui.conftest import MakeApp, MakeReview
from tests.tui.findings import HOSTILE, make_finding
from tests.tui.screen import screen_text, until
from tui.actions import ACTIONS, MAXIMUM_SHOWN
from tui.screens.form import Form
from tui.screens.help import Help
from tui.screens.questions import Questions
from tui.screens.walk import Walk
from tui.widgets.bars import KeyBar
from tui.widgets.document import Document


async def test_questions_are_answered_in_one_key(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review()
    async with make_app(review=review, start="questions").run_test(size=(120, 36)) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, Questions)
        await pilot.press("y", "n", "d")
        ids = [criterion.id for criterion in screen.criteria[:3]]
        assert [review.state.answers[id].value for id in ids] == ["yes", "no", "unknown"]
        assert f"3 of {len(load_rubric().questions)} answered" in screen_text(pilot)
        await pilot.press("u")
        assert ids[2] not in review.state.answers
        await pilot.press("i")
        assert isinstance(pilot.app.screen, Form)
        await pilot.press("tab", *"as said", "tab", *"a.md", "tab", *"2026-11-01", "enter")
        answer = review.state.answers[screen.criteria[3].id]
        assert (answer.value, answer.artefact, str(answer.artefact_date)) == ("yes, as said", "a.md", "2026-11-01")


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_the_scorecard_names_levels_in_words(
    make_app: MakeApp, make_review: MakeReview, size: tuple[int, int]
) -> None:
    async with make_app(review=make_review(), start="scorecard").run_test(size=size) as pilot:
        await until(pilot, lambda: "demonstrated" in screen_text(pilot))
        shown = screen_text(pilot)
        for area in ("schema", "indexing", "plans", "replication", "observability", "hybrid"):
            assert area in shown
        assert "(possible" in shown
        text = pilot.app.screen.query_one("#scorecard", Document).text
        assert "What could not be seen" in text
        await pilot.press("4")
        assert "REP-1.1" in pilot.app.screen.query_one("#scorecard", Document).text
        await pilot.press("l", "h", "0")
        assert "Red flags" in pilot.app.screen.query_one("#scorecard", Document).text


async def test_exporting_asks_before_it_overwrites(make_app: MakeApp, make_review: MakeReview, tmp_path: Path) -> None:
    async with make_app(review=make_review(), start="export").run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "lines," in screen_text(pilot))
        await pilot.press("w")
        written = tmp_path / "scorecard.md"
        await until(pilot, written.exists)
        assert written.read_text().startswith("#")
        written.write_text("mine")
        await pilot.press("w")
        await until(pilot, lambda: "Overwrite?" in screen_text(pilot))
        await pilot.press("n")
        assert written.read_text() == "mine"
        await pilot.press("w", "y")
        await until(pilot, lambda: written.read_text() != "mine")
        names = pilot.app.screen.formats
        for _ in range(names.index("json")):
            await pilot.press("j")
        await until(pilot, lambda: '"schema"' in screen_text(pilot))
        await pilot.press("w")
        await until(pilot, (tmp_path / "scorecard.json").exists)
        assert json.loads((tmp_path / "scorecard.json").read_text())["schema"] == "pgsurveyor.scorecard/1"


async def test_an_export_that_cannot_be_written_says_so(make_app: MakeApp, make_review: MakeReview) -> None:
    async with make_app(review=make_review(), start="export").run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "lines," in screen_text(pilot))
        await pilot.press("p", "home", *"no/such/", "enter")
        assert "No such file" in screen_text(pilot)


@pytest.mark.parametrize("start", ["questions", "scorecard", "export"])
async def test_hostile_text_on_every_page(make_app: MakeApp, make_review: MakeReview, start: str) -> None:
    review = make_review([make_finding(number, text) for number, text in enumerate(HOSTILE)])
    now = review.folder.started
    for text, question in zip(HOSTILE, load_rubric().questions, strict=False):
        review.answer(question, f"yes {text[:2000]}", by=text[:200], now=now, artefact=text[:2000])
        review.note(review.findings[0].id, text[:2000], by=text[:200], now=now)
    async with make_app(review=review, start=start).run_test(size=(100, 30)) as pilot:
        for key in ("j", "j", "j", "4", "W", "y"):
            await pilot.press(key)
            await pilot.pause(0.1)
            shown = screen_text(pilot)
            assert not [
                c for c in shown if c != "\n" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or "\u202a" <= c <= "\u202e")
            ]


async def test_help_lists_what_can_be_done_and_runs_it(make_app: MakeApp, make_review: MakeReview) -> None:
    async with make_app(review=make_review()).run_test(size=(100, 30)) as pilot:
        await pilot.press("?")
        assert isinstance(pilot.app.screen, Help)
        await pilot.press(*"waive", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Form))
        await pilot.press("escape", "?", *"scorecard", "enter")
        await until(pilot, lambda: "demonstrated" in screen_text(pilot))


async def test_the_palette_finds_findings(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review()
    async with make_app(review=review, start="scorecard").run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "demonstrated" in screen_text(pilot))
        await pilot.press(":", *"slots may", "down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Walk))
        walk = pilot.app.screen
        assert isinstance(walk, Walk)
        await until(pilot, lambda: walk.current is not None and walk.current.title.startswith("Slots"))


async def test_light_theme_and_no_colour(
    make_app: MakeApp, make_review: MakeReview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(review=make_review())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("t")
        assert "◆ crit" in screen_text(pilot)
    assert make_app().theme == "surveyor-light"


def test_every_action_is_reached_with_plain_keys_and_few_are_shown() -> None:
    plain = {"escape", "space", "tab", "enter", "down", "up", "left", "right", "home", "end", "pagedown", "pageup"}
    for scope, actions in ACTIONS.items():
        used: set[str] = set()
        for action in actions:
            keys = action.keys.split()
            reached = any(len(key) == 1 or key in plain for key in keys)
            assert reached or scope == "form" or action.run == "suspend", (scope, action)
            assert not used & set(keys), (scope, action)
            used |= set(keys)


@pytest.mark.parametrize("start", ["walk", "questions", "scorecard", "export", "connect"])
async def test_at_most_six_keys_in_the_bar(make_app: MakeApp, make_review: MakeReview, start: str) -> None:
    async with make_app(review=make_review(), start=start).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        actions = pilot.app.screen.query_one(KeyBar).actions
        assert 0 < len(actions) <= MAXIMUM_SHOWN
        assert actions[-1].run in {"help", "back"}
        assert actions[-1].label in screen_text(pilot).splitlines()[-1]


async def test_records_are_exported_into_a_folder(make_app: MakeApp, make_review: MakeReview, tmp_path: Path) -> None:
    async with make_app(review=make_review(), start="export").run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "lines," in screen_text(pilot))
        names = pilot.app.screen.formats
        for _ in range(names.index("adr")):
            await pilot.press("j")
        await until(pilot, lambda: "adr/0001" in screen_text(pilot))
        await pilot.press("w")
        await until(pilot, lambda: list((tmp_path / "adr").glob("0001-*.md")) != [])


async def test_an_export_is_written_when_it_is_ready_and_each_format_keeps_its_path(
    make_app: MakeApp, make_review: MakeReview, tmp_path: Path
) -> None:
    async with make_app(review=make_review(), start="export").run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "lines," in screen_text(pilot))
        path = pilot.app.screen.query_one("#export-path", Input)
        path.value = str(tmp_path / "mine.md")
        await pilot.press("j", "j", "w")
        await until(pilot, (tmp_path / "scorecard.json").exists)
        assert path.value == str(tmp_path / "scorecard.json")
        await pilot.press("k", "k")
        assert path.value == str(tmp_path / "mine.md")


async def test_the_scorecard_is_compared_with_the_last_review(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review()
    async with make_app(review=review, start="scorecard").run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "Level" in screen_text(pilot))
        await pilot.press("c")
        await until(pilot, lambda: "No earlier review" in screen_text(pilot))
        earlier = msgspec.structs.replace(
            review.evidence, observed_at=review.evidence.observed_at - dt.timedelta(days=30)
        )
        ReviewFolder.create(review.folder.path.parent, earlier, title="before", now=earlier.observed_at)
        await pilot.press("c")
        await until(pilot, lambda: "compared" in screen_text(pilot) and "Yours" in screen_text(pilot))
        await pilot.press("c")
        await until(pilot, lambda: "Yours" not in screen_text(pilot))
