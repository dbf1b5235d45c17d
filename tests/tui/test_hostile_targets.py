"""Names of databases, servers and files as strangers may write them, before there is a review."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from checks.evidence.observe import Target
from scorecards.store import ReviewFolder
from tests.tui.conftest import MakeApp
from tests.tui.findings import HOSTILE, NOW, make_evidence, make_finding, make_results
from tests.tui.screen import screen_text, until
from tests.tui.test_browse_and_agenda import is_obeyed
from tui.foresight import Blind, Foresight
from tui.reviewing import Checked, Checking, Looking
from tui.screens.connect import Connect
from tui.screens.preflight import Preflight
from tui.screens.run import Run
from tui.state import RecentTarget
from tui.widgets.rows import RowList


@pytest.mark.parametrize("size", [(60, 15), (130, 40)])
async def test_hostile_names_before_and_during_a_run(make_app: MakeApp, tmp_path: Path, size: tuple[int, int]) -> None:
    for name in HOSTILE:
        ReviewFolder.create(tmp_path / "reviews", make_evidence(), title=name, now=NOW)
    app = make_app()
    for name in HOSTILE:
        app.state.remember_target(RecentTarget(name, f"/tmp/{name[:100]}"))
    evidence = make_evidence()
    assert evidence.server is not None

    def is_literal() -> bool:
        return not [character for character in screen_text(pilot) if character != "\n" and is_obeyed(character)]

    async with app.run_test(size=size, notifications=True) as pilot:
        start = pilot.app.screen
        assert isinstance(start, Connect)
        await until(pilot, lambda: start.query_one("#recent", RowList).count > 8)
        for _ in range(2 * len(HOSTILE)):
            await pilot.press("down")
            assert is_literal()
        app.target, app.target_words = Target(None, None), HOSTILE[1]
        app.switch_mode("preflight")
        await until(pilot, lambda: isinstance(pilot.app.screen, Preflight) and pilot.app.screen.is_ready)
        preflight = pilot.app.screen
        assert isinstance(preflight, Preflight)
        for name in HOSTILE:
            server = msgspec.structs.replace(evidence.server, database=name, user=name, version=name)
            preflight.problem, preflight.seen = None, Foresight(name, server, (Blind(name, name, True),), (name,))
            preflight._paint()
            await pilot.pause()
            assert is_literal()
        app.target = None
        app.switch_mode("run")
        await until(pilot, lambda: isinstance(pilot.app.screen, Run) and pilot.app.screen.is_ready)
        run = pilot.app.screen
        assert isinstance(run, Run)
        for number, name in enumerate(HOSTILE):
            run.on_looking(Looking(f"connecting to {name}: 1 of 3 files"))
            run.on_checking(Checking(name, Counter()))
            for result in make_results([make_finding(number, name)]):
                run.on_checked(Checked(result))
            run._paint()
            await pilot.pause()
            assert is_literal()
        for _ in HOSTILE:
            await pilot.press("down", "o")
            await pilot.pause()
            assert is_literal()
            await pilot.press("escape")
