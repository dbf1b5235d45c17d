from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot

from checks.checklist import run_checks
from checks.evidence.database.facts import (
    Catalog,
    Column,
    Index,
    IndexKey,
    Plan,
    PlanNode,
    Plans,
    Statement,
    Statements,
    Table,
)
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import CodeStatement, Declared, Match, Repository
from checks.model import Location, Subject
from scorecards.review import Decision, Event
from scorecards.session import Review
from scorecards.store import ReviewFolder
from tests.tui.conftest import MakeApp, MakeReview
from tests.tui.findings import HOSTILE, NOW, make_evidence
from tests.tui.screen import screen_text, until
from tests.tui.test_links import evidence as linked_evidence
from tui.pace import duration, pace
from tui.screens.browse import Browse, end_of_path
from tui.screens.pick import Pick
from tui.screens.walk import Walk
from tui.widgets.document import Document


@pytest.fixture
def review(tmp_path: Path) -> Review:
    """Of a real checklist over evidence with tables, statements and code."""
    found = linked_evidence()
    folder = ReviewFolder.create(tmp_path / "reviews", found, title="support", now=NOW)
    return Review(folder, run_checks(found))


def browse(pilot: Pilot[None]) -> Browse:
    screen = pilot.app.screen
    assert isinstance(screen, Browse)
    return screen


def detail(pilot: Pilot[None]) -> str:
    return browse(pilot).query_one("#browse-detail", Document).text


async def test_from_a_table_to_its_statement_to_its_code_and_back(make_app: MakeApp, review: Review) -> None:
    async with make_app(review=review, start="browse").run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "files 3" in screen_text(pilot))
        assert "public.events" in detail(pilot)
        await pilot.press("j")
        assert "SELECT from users" in detail(pilot)
        await pilot.press("l")
        assert isinstance(pilot.app.screen, Pick)
        await pilot.press(*"select from", "enter")
        await until(pilot, lambda: "users_email_idx" in detail(pilot))
        assert browse(pilot).kind == "statement"
        await pilot.press("l", *"db.py", "enter")
        await until(pilot, lambda: browse(pilot).kind == "file" and "sends" in detail(pilot))
        await pilot.press("b", "b")
        assert browse(pilot).kind == "table"
        assert "public.users" in detail(pilot)


def test_of_a_long_path_the_end_is_shown() -> None:
    assert end_of_path("app/db.py", 20) == "app/db.py"
    assert end_of_path("worker/src/features/evaluation/create.ts", 24) == "…/evaluation/create.ts"
    assert end_of_path("a_name_of_a_file_without_any_slash.py", 10) == "…_slash.py"


async def test_filtering_and_zooming(make_app: MakeApp, review: Review) -> None:
    async with make_app(review=review, start="browse").run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "files 3" in screen_text(pilot))
        await pilot.press("3", "/", *"delete", "enter")
        await until(pilot, lambda: len(browse(pilot).shown) == 1)
        await pilot.press("enter")
        assert not browse(pilot).query_one("#browse-list").region
        await pilot.press("y")
        assert pilot.app.clipboard.startswith("DELETE FROM parts_1")
        await pilot.press("escape", "escape", "2", "y")
        assert pilot.app.clipboard == "users_email_idx"
        await pilot.press("4", "/", *"nothing like this", "enter")
        await until(pilot, lambda: "Nothing is like that" in detail(pilot))
        browse(pilot).go_to("\x1f".join(("file", "app/db.py")))
        await pilot.pause()
        assert not browse(pilot).filter.is_open
        assert "app/db.py" in screen_text(pilot)


async def test_from_a_finding_to_what_belongs_to_it(make_app: MakeApp, review: Review) -> None:
    async with make_app(review=review, start="walk").run_test(size=(120, 40)) as pilot:
        walk = pilot.app.screen
        assert isinstance(walk, Walk)
        await pilot.press("/", *"public.users", "enter")
        await until(pilot, lambda: len(walk.shown) > 0 and "users" in screen_text(pilot))
        await pilot.press("l", *"table", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Browse) and "public." in detail(pilot))
        await pilot.press("b")
        await until(pilot, lambda: pilot.app.screen is walk)


async def test_nothing_to_browse_is_said(make_app: MakeApp, make_review: MakeReview) -> None:
    async with make_app(review=make_review(), start="browse").run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "No tables" in screen_text(pilot))
        await pilot.press("3")
        assert "No statements" in detail(pilot)
        await pilot.press("l", "e", "y", "enter", "escape")


async def test_the_agenda_tells_what_is_left_and_leads_there(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review()
    first, second = review.findings[:2]
    review.decide(first.id, "accept", by="bo", now=NOW, owner="cleo", due=NOW.date() - dt.timedelta(days=1))
    review.decide(second.id, "follow-up", by="bo", now=NOW, note="who?", owner="dan")
    async with make_app(review=review, start="agenda").run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        shown = screen_text(pilot)
        assert "2 of 12 decided" in shown
        assert "@cleo   due 2026-11-22, overdue" in shown
        assert "@dan   no due day" in shown
        await pilot.press("j", "enter")
        await pilot.pause(0.2)
        assert isinstance(pilot.app.screen, Walk)
        assert pilot.app.screen.area == "indexing"
        await pilot.press("A", "G", "enter")
        await pilot.pause(0.2)
        assert isinstance(pilot.app.screen, Walk)
        assert pilot.app.screen.current in (first, second)


def test_the_pace_leaves_breaks_out() -> None:
    def decided(seconds: int) -> Event:
        return Event("decided", "bo", NOW + dt.timedelta(seconds=seconds), decision=Decision("accept"))

    assert pace([decided(0), decided(10), decided(10)]) is None
    assert pace([decided(at) for at in (0, 60, 60, 150, 10_000, 10_060)]) == dt.timedelta(seconds=60)
    assert [duration(dt.timedelta(seconds=at)) for at in (40, 600, 5_000, 7_300)] == [
        "40 s",
        "10 min",
        "83 min",
        "2 h 2 min",
    ]


@pytest.mark.parametrize("size", [(60, 15), (130, 40)])
async def test_hostile_names_on_every_screen(make_app: MakeApp, tmp_path: Path, size: tuple[int, int]) -> None:
    """Names of tables, columns, statements, files and roles as strangers may write them."""
    review = Review(ReviewFolder.create(tmp_path / "reviews", hostile_evidence(), title=HOSTILE[1], now=NOW), ())
    review = Review(review.folder, run_checks(review.evidence))
    assert review.findings
    app = make_app(review=review)
    async with app.run_test(size=size, notifications=True) as pilot:
        for keys in ("W", "B", "2", "3", "4", "S", "w", "A", "Q", "E", "WY", "Wl"):
            await pilot.press(*keys)
            for _ in range(len(HOSTILE) if keys in {"W", "B", "2", "3", "4"} else 2):
                await pilot.press("down")
                shown = screen_text(pilot)
                assert not [c for c in shown if c != "\n" and is_obeyed(c)], keys
            await pilot.press("escape")
        await pilot.press("W", "P")


def is_obeyed(character: str) -> bool:
    """Whether a terminal would take it for a command."""
    return ord(character) < 32 or 0x7F <= ord(character) < 0xA0 or "\u202a" <= character <= "\u202e"


def hostile_evidence() -> Evidence:
    tables, columns, indexes, entries, declared, matches = [], [], [], [], [], []
    for number, name in enumerate(HOSTILE, 1):
        tables.append(Table(number, name, name, "table", name, rows=10_000.0, total_bytes=10**8 * number))
        columns.append(Column(number, 1, name, "json", "json"))
        indexes.append(Index(100 + number, number, name, name, "btree", (IndexKey(1, name),), valid=False))
        entries.append(
            Statement(f"{number}", f'SELECT "{name}" FROM t WHERE a = $1', 10, 1_000.0, 100.0, 10, users=(name,))
        )
        declared.append(Declared(Subject("table", (name, name)), Location(name, number)))
        matches.append(Match(f"{number}", Location(name, number), "text"))
    plans = tuple(
        Plan(f"{number}", PlanNode("Seq Scan", 0, 10, 10, 8, schema=name, relation=name, filter=name), name)
        for number, name in enumerate(HOSTILE, 1)
    )
    return msgspec.structs.replace(
        make_evidence(),
        catalog=Catalog(tuple(tables), tuple(columns), indexes=tuple(indexes)),
        statements=Statements("1.11", NOW - dt.timedelta(days=40), 0, 0, tuple(entries)),
        plans=Plans(plans),
        repository=Repository(
            HOSTILE[0],
            statements=tuple(CodeStatement(Location(name, 1), "python", "SELECT 1") for name in HOSTILE),
            declared=tuple(declared),
            matches=tuple(matches),
        ),
        notices=HOSTILE,
    )
