"""Before a statement is run, a person sees it with its values and says yes: in the terminal program, and at a plain terminal."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path

import pytest
from textual.widgets import Input

from checks.evidence.consent import Answer, Parameter, Proposal
from checks.evidence.database.facts import GivenPlans
from checks.evidence.observe import Target
from tests.checks.workload import prepare, send
from tests.servers import Database
from tests.tui.conftest import MakeApp
from tests.tui.screen import screen_text, until
from tui import approval
from tui.app import SurveyorApp
from tui.screens.approve import Approve
from tui.screens.preflight import Preflight

PROPOSAL = Proposal(
    1, 2, "77", "SELECT id FROM orders WHERE status = $1 AND lower(note) = $2 LIMIT $3",
    (
        Parameter(1, "text", "it's open", "the most common value of public.orders.status, of 41% of its rows"),
        Parameter(2, "text", None, "nothing is known of it"),
        Parameter(3, "bigint", "20", "the rows that it returns on average"),
    ),
    "app", 1204, 812.4, 30.0,
)  # fmt: skip


def _answers(monkeypatch: pytest.MonkeyPatch, typed: str) -> Answer:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    monkeypatch.setattr(approval.select, "select", lambda *_: ([1], [], []))
    return approval.ask(PROPOSAL, threading.Event())


def test_at_a_terminal_it_is_shown_as_it_would_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _answers(monkeypatch, "a\ny\n") == Answer(True, {1: "it's open", 2: "a", 3: "20"})
    shown = capsys.readouterr().err
    assert "1,204 calls, 812.4 ms on average" in shown
    assert "$1 = it's open   (text; the most common value of public.orders.status, of 41% of its rows)" in shown
    assert "status = 'it''s open'::text AND lower(note) = 'a'::text LIMIT '20'::bigint" in shown


def test_what_else_may_be_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _answers(monkeypatch, "a\nn\n") == approval.NO
    assert _answers(monkeypatch, "a\n\n") == approval.NO
    assert _answers(monkeypatch, "\n") == approval.NO
    assert _answers(monkeypatch, "a\nq\n") == approval.NO_MORE
    assert _answers(monkeypatch, "") == approval.NO_MORE
    assert _answers(monkeypatch, "a\nc\n\nb\n5\nyes\n") == Answer(True, {1: "it's open", 2: "b", 3: "5"})


def test_where_there_is_no_terminal_there_is_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\ny\ny\n"))
    assert approval.asker(threading.Event()) is None


def test_ctrl_c_ends_the_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approval.select, "select", lambda *_: ([], [], []))
    cancelled = threading.Event()
    cancelled.set()
    assert approval.ask(PROPOSAL, cancelled) == approval.NO_MORE


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_terminal_program_shows_it_and_needs_every_value(make_app: MakeApp, size: tuple[int, int]) -> None:
    answers: list[Answer | None] = []
    async with make_app().run_test(size=size) as pilot:
        pilot.app.push_screen(Approve(PROPOSAL), answers.append)
        await until(pilot, lambda: "Run this statement once?" in screen_text(pilot))
        shown = screen_text(pilot)
        assert "status = 'it''s open'::text" in shown
        assert "= $2" in shown
        assert "the most common value" in shown
        await pilot.press("y")
        await until(pilot, lambda: "$2 needs a value" in screen_text(pilot))
        assert not answers
        await pilot.press("a", "ctrl+s")
        await until(pilot, lambda: bool(answers))
        assert answers == [Answer(True, {1: "it's open", 2: "a", 3: "20"})]
        pilot.app.push_screen(Approve(PROPOSAL, hides=True), answers.append)
        await until(pilot, lambda: "Run this statement once?" in screen_text(pilot))
        assert "it's" not in screen_text(pilot)
        assert "it''s" not in screen_text(pilot)
        await pilot.press("x")
        await until(pilot, lambda: len(answers) == 2)
        assert answers[1] == approval.NO_MORE


async def test_a_review_asks_runs_and_keeps_the_plan(make_app: MakeApp, database: Database) -> None:
    prepare(database, "CREATE TABLE orders AS SELECT n AS id, n % 7 AS kind FROM generate_series(1, 9000) n")
    send(database.connect(), "SELECT count(*) FROM orders WHERE kind = %s", [(3,)] * 3)
    app = make_app(target=Target(database.dsn), start="preflight")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "never ANALYZE" in screen_text(pilot))
        await pilot.press("a")
        await until(pilot, lambda: "with its values" in screen_text(pilot))
        assert isinstance(pilot.app.screen, Preflight)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Approve), seconds=60)
        while "Ready" not in screen_text(pilot):
            if isinstance(pilot.app.screen, Approve):
                await pilot.press("y")
            await pilot.pause(0.05)
        await pilot.press("enter")
        assert isinstance(pilot.app, SurveyorApp)
        await until(pilot, lambda: app.review is not None)
        assert app.review is not None
        given = app.review.evidence.get(GivenPlans)
        assert given.plans
        assert any(plan.root.measured for plan in given.plans)


async def test_files_with_plans_are_named_on_the_start_page(
    make_app: MakeApp, database: Database, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.txt"
    plan.write_text("Seq Scan on orders  (cost=0.00..35.50 rows=2550 width=4)\n")
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: pilot.app.focused is pilot.app.screen.query_one("#dsn"))
        pilot.app.screen.query_one("#dsn", Input).value = database.dsn
        pilot.app.screen.query_one("#plans", Input).value = str(tmp_path / "absent.txt")
        pilot.app.screen.query_one("#plans").focus()
        await pilot.press("enter")
        await until(pilot, lambda: any("is no file" in told.message for told in app._notifications))
        pilot.app.screen.query_one("#plans", Input).value = f"{plan}, "
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Preflight))
        assert app.target is not None
        assert app.target.plans == (plan,)
