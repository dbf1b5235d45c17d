"""A line of blocks for the last values of something, and the figures beside it."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from tui.text import Part, line

BLOCKS = "▁▂▃▄▅▆▇█"


def blocks(values: Sequence[float | None], width: int) -> str:
    """The last `width` values as blocks, the highest of them full; a dot where there is none."""
    shown = list(values)[-width:]
    highest = max((value for value in shown if value is not None), default=0.0)
    drawn = "".join(
        "·" if value is None else " " if value <= 0 else BLOCKS[min(7, int(value / highest * 7.999))] for value in shown
    )
    return drawn.rjust(width)


def sparkline(name: str, values: Sequence[float | None], words: str, beside: str, width: int) -> Content:
    """`name`, the blocks, the present value, and, where it is given, what stands beside it."""
    parts: list[Part] = [
        (f" {name:<22}", "$muted"),
        (blocks(values, width), "$accent"),
        (f"  {words:>12}", "bold $strong"),
        (f"  {beside}" if beside else "", "$muted"),
    ]
    return line(*parts)
