from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from checks.evidence.observe import Target
from scorecards.store import recent
from tests.servers import Database
from tests.tui.conftest import MakeApp, MakeReview
from tests.tui.screen import screen_text, until
from tui.app import SurveyorApp
from tui.screens.connect import Connect
from tui.screens.preflight import Preflight
from tui.screens.run import Run
from tui.screens.walk import Walk


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A DSN of a port where connections are taken and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"postgresql://app:sesame@127.0.0.1:{listening.getsockname()[1]}/app"


def app_of(pilot: Pilot[None]) -> SurveyorApp:
    assert isinstance(pilot.app, SurveyorApp)
    return pilot.app


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_the_start_page_offers_what_the_environment_names(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    app = make_app()
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:sesame@db.example.com/support")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "app@db.example.com/support" in screen_text(pilot))
        shown = screen_text(pilot)
        assert "sesame" not in shown
        for words in (
            "READ-ONLY",
            "statement_timeout 5 s",
            "lock_timeout 200 ms",
            "EXPLAIN; runs none without your yes",
        ):
            assert words in shown


async def test_resuming_a_recent_review(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review()
    async with make_app().run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "support" in screen_text(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Walk))
        opened = app_of(pilot).review
        assert opened is not None
        assert opened.folder.id == review.folder.id
        await pilot.press("H")
        await until(pilot, lambda: isinstance(pilot.app.screen, Connect))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Walk))
        assert app_of(pilot).review is not opened


async def test_a_run_fills_in_is_saved_and_walked(
    make_app: MakeApp, database: Database, repository: Callable[[Mapping[str, str]], Path], tmp_path: Path
) -> None:
    with database.connect() as connection:
        connection.execute("CREATE TABLE loose (a int, at timestamp)")
        connection.execute("INSERT INTO loose SELECT g, now() FROM generate_series(1, 5000) g")
        connection.execute("ANALYZE loose")
    code = repository({"migrations/001.sql": "CREATE TABLE loose (a int, at timestamp);\n"})
    async with make_app(target=Target(database.dsn, code)).run_test(size=(120, 36)) as pilot:
        assert isinstance(pilot.app.screen, Run)
        await until(pilot, lambda: "Ready" in screen_text(pilot), seconds=60)
        shown = screen_text(pilot)
        assert "statements sent" in shown
        assert "to walk through" in shown
        assert len(recent(tmp_path / "reviews")) == 1
        await pilot.press("enter")
        await until(pilot, lambda: "loose" in screen_text(pilot))
        review = app_of(pilot).review
        assert review is not None
        assert any(finding.check == "schema.no-primary-key" for finding in review.findings)
        assert app_of(pilot).repository == code
        for key, words in (("Q", "answered"), ("S", "demonstrated"), ("E", "Preview")):
            await pilot.press(key)
            await until(pilot, lambda words=words: words in screen_text(pilot), seconds=20)


async def test_what_cannot_be_reached_is_said_with_what_to_do(make_app: MakeApp) -> None:
    target = Target("postgresql://app:sesame@127.0.0.1:1/app")
    async with make_app(target=target).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Stopped" in screen_text(pilot), seconds=30)
        shown = screen_text(pilot)
        assert "Nothing could be observed" in shown
        assert "▸" in shown
        assert "sesame" not in shown
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Connect))


async def test_cancelling_and_quitting_do_not_wait_for_the_server(make_app: MakeApp, silent_server: str) -> None:
    app = make_app(target=Target(silent_server))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Observing" in screen_text(pilot))
        await pilot.press("c")
        await until(pilot, lambda: "Cancelling" in screen_text(pilot) or isinstance(pilot.app.screen, Connect))
        begun = time.monotonic()
        await pilot.press("q")
    assert time.monotonic() - begun < 3
    assert app.cancelled.is_set()


async def test_a_password_is_neither_shown_back_nor_remembered(
    make_app: MakeApp, silent_server: str, tmp_path: Path
) -> None:
    async with make_app().run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: pilot.app.focused is pilot.app.screen.query_one("#dsn"))
        field = pilot.app.screen.query_one("#dsn", Input)
        field.value = silent_server
        await pilot.press("enter", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Preflight))
        assert "sesame" not in screen_text(pilot)
        await until(pilot, lambda: "does not answer" in screen_text(pilot), 30)
        assert "sesame" not in screen_text(pilot)
        assert "sesame" not in field.value
        assert "127.0.0.1" in field.value
        await pilot.press("q")
    assert not any(b"sesame" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
