"""A curve over two logarithmic axes, drawn by plotext."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

from tui.text import line
from tui.widgets.document import Paragraph

HEIGHT = 9
WIDEST = 72
NARROWEST = 56


def curve_paragraphs(
    points: Sequence[tuple[float, float]],
    limit: float | None,
    x_names: Sequence[str],
    y_names: Sequence[str],
    width: int,
) -> list[Paragraph]:
    """`points` are positive; `x_names` stand below them, `y_names` beside the powers of ten of `decades`. `limit` is drawn
    as a line. Nothing where there is no room, or nothing to see."""
    if width < NARROWEST or len(points) < 2:
        return []
    import plotext

    lowest, highest = decades(points, limit)
    ticks = range(lowest, highest + 1)
    x = [log10(at) for at, _ in points]
    y = [log10(value) for _, value in points]
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(min(width - 2, WIDEST), HEIGHT)
    plotext.plot(x, y, marker="braille")
    plotext.scatter(x, y, marker="●")
    if limit is not None:
        plotext.hline(log10(limit))
    plotext.ylim(lowest, highest)
    plotext.xticks(x, list(x_names))
    plotext.yticks(list(ticks), list(y_names))
    drawn = plotext.uncolorize(plotext.build())
    return [Paragraph(line((" " + text.rstrip(), "$accent")), wrapped=False) for text in drawn.splitlines()]


def decades(points: Sequence[tuple[float, float]], limit: float | None) -> tuple[int, int]:
    """The powers of ten that frame the values and the limit."""
    values = [value for _, value in points] + ([limit] if limit is not None else [])
    lowest, highest = floor(log10(min(values))), ceil(log10(max(values)))
    return lowest, max(highest, lowest + 1)
