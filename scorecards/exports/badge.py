"""The shields.io endpoint badge: level and index, or that a red flag is open."""

from __future__ import annotations

from scorecards.exports.json import dumps
from scorecards.model import Scorecard

COLOURS = ("red", "orange", "yellow", "yellowgreen", "green", "brightgreen")
CACHE_S = 3_600


def render(scorecard: Scorecard) -> str:
    """Only keys that shields knows: it refuses others."""
    overall = scorecard.overall
    if overall.demonstrated is None:
        message, colour = "not scored", "lightgrey"
    elif overall.red_flags:
        message, colour = "red flag", "red"
    else:
        message, colour = f"level {overall.demonstrated} · {overall.index}", COLOURS[overall.demonstrated]
    return dumps(
        {"schemaVersion": 1, "label": "pg review", "message": message, "color": colour, "cacheSeconds": CACHE_S}
    )
