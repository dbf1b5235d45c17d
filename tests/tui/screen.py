"""What a terminal would show, and waiting for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.pilot import Pilot


def screen_text(pilot: Pilot[None]) -> str:
    """The lines of the screen in front, without colours."""
    return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())


async def until(pilot: Pilot[None], holds: Callable[[], bool], seconds: float = 60) -> None:
    """Waits until that holds; fails with the screen as it is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return
        await pilot.pause(0.05)
    raise AssertionError(screen_text(pilot))
