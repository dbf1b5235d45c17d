"""Makes screenshots/*.png: every screen of the terminal program over the demo, with the look it has in a terminal.

Run by `make screenshots`. It decides and answers a little in a review that is thrown away.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import resvg_py
from textual.pilot import Pilot

from checks.evidence.observe import Target
from tui.app import SurveyorApp
from tui.demo.launch import start_demo
from tui.screens.walk import Walk
from tui.state import RecentTarget, State
from tui.widgets.bars import HeaderBar
from tui.widgets.document import Document

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "screenshots"
SIZE = (120, 36)
SMALL = (80, 24)
CELL = 10.7  # pixels: with more a picture has 300 kB and more
LONGEST_WAIT_S = 240
FONTS = {"Fira Code": "DejaVu Sans Mono", "arial": "DejaVu Sans"}


async def until(pilot: Pilot[None], words: str) -> None:
    """Waits until the screen shows those words. Raises TimeoutError."""
    async with asyncio.timeout(LONGEST_WAIT_S):
        while not any(words in strip.text for strip in pilot.app.screen._compositor.render_strips()):
            await pilot.pause(0.1)


def save(pilot: Pilot[None], name: str) -> None:
    """As PNG. The pictures name fonts that are not installed; without a replacement no letter would be drawn."""
    picture = pilot.app.export_screenshot()
    for font, installed in FONTS.items():
        picture = picture.replace(font, installed)
    path = FOLDER / f"{name}.png"
    path.write_bytes(bytes(resvg_py.svg_to_bytes(svg_string=picture, width=round(pilot.app.size.width * CELL))))
    print(f"{path.relative_to(ROOT)} {path.stat().st_size / 1024:.0f} kB")


async def take(folder: Path, target: Target) -> None:
    def app(**how: Any) -> SurveyorApp:
        return SurveyorApp(
            user="anna",
            state=folder / "state",
            reviews=folder / "reviews",
            configuration=folder / "configuration",
            cache=folder / "cache",
            **how,
        )

    async with app(target=target, start="preflight").run_test(size=SIZE) as pilot:
        await until(pilot, "What will stay unknown")
        save(pilot, "preflight")
        await pilot.press("enter")
        await until(pilot, "Ready")
        save(pilot, "run")
        await pilot.press("enter")
        await until(pilot, "Evidence")
        await decide_a_little(pilot)
        save(pilot, "walk")
        assert isinstance(pilot.app, SurveyorApp)
        review = pilot.app.review
        await pilot.press("enter")
        await until(pilot, "Proof")
        page = pilot.app.screen.query_one("#walk-detail", Document)
        page.scroll_to(y=next(at for at, words in enumerate(page.text.splitlines()) if "Proof" in words), animate=False)
        await pilot.pause(0.5)
        save(pilot, "proof")
        await pilot.press("escape")
        await pilot.press("l")
        await until(pilot, "go there")
        save(pilot, "links")
        await pilot.press("escape", "B")
        await until(pilot, "files 3")
        await pilot.press("3", "j")
        await pilot.pause(0.5)
        save(pilot, "browse")
        await pilot.press("Q", "y", "n", "y", "d")
        await quiet(pilot)
        save(pilot, "questions")
        await pilot.press("S")
        await until(pilot, "demonstrated")
        await quiet(pilot)
        save(pilot, "scorecard")
        await pilot.press("w", "space", "j", "space", "j", "space")
        await quiet(pilot)
        save(pilot, "what-if")
        await pilot.press("w", "A")
        await quiet(pilot)
        save(pilot, "agenda")
        await pilot.press("E")
        await until(pilot, "lines,")
        await pilot.pause(1)
        save(pilot, "export")
    async with app(review=review, start="walk").run_test(size=SMALL) as pilot:
        await pilot.pause(0.5)
        save(pilot, "walk-80x24")
    async with app(review=review, start="walk", presenting=True).run_test(size=SIZE) as pilot:
        await pilot.pause(0.5)
        save(pilot, "presenter")
    State(folder / "state").forget_targets()
    State(folder / "state").remember_target(
        RecentTarget("postgresql://app@db.example.com/support", "support-assistant")
    )
    async with app(start="connect").run_test(size=SIZE) as pilot:
        await until(pilot, "from DATABASE_URL")
        save(pilot, "connect")


async def quiet(pilot: Pilot[None]) -> None:
    """Until the header has nothing to say any more."""
    await pilot.pause(0.5)
    for bar in pilot.app.screen.query(HeaderBar):
        bar.said = ""
    await pilot.pause(0.2)


async def decide_a_little(pilot: Pilot[None]) -> None:
    await pilot.press("a", "enter", "j", "w", "enter", "a", *"billing", "enter")
    walk = pilot.app.screen
    assert isinstance(walk, Walk)
    best = next(
        (
            finding
            for finding in walk.review.findings
            if finding.check == "indexing.missing-index" and finding.locations and finding.fix.sql
        ),
        walk.review.findings[0],
    )
    walk.show_finding(best.id)
    await quiet(pilot)


def main(report: Callable[[str], None]) -> None:
    FOLDER.mkdir(exist_ok=True)
    os.environ["DATABASE_URL"] = "postgresql://app@db.example.com/support"
    with start_demo(progress=report) as demo, tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        asyncio.run(take(Path(scratch), Target(demo.dsn, demo.repository, demo.replica_dsns, shadow=True)))


if __name__ == "__main__":
    main(lambda words: print(words, file=sys.stderr))
