from __future__ import annotations

from checks.evidence.observe import Target
from tests.servers import Database
from tests.tui.conftest import MakeApp
from tests.tui.screen import screen_text, until


async def test_preflight_says_that_rows_are_looked_at(make_app: MakeApp, database: Database) -> None:
    async with make_app(target=Target(database.dsn, read_rows=True), start="preflight").run_test(
        size=(120, 60)
    ) as pilot:
        await until(pilot, lambda: "up to 1,000 rows of each table" in screen_text(pilot))
    async with make_app(target=Target(database.dsn), start="preflight").run_test(size=(120, 60)) as pilot:
        await until(pilot, lambda: "Before anything is read" in screen_text(pilot) and "role" in screen_text(pilot))
        assert "--read-rows" not in screen_text(pilot)
