"""Wrapped text to read: the detail of a finding, the scorecard, a preview."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from textual.content import Content
from textual.geometry import Size
from textual.strip import Strip

from tui.actions import bindings
from tui.widgets.scrolling import Scrolling
from tui.widgets.strips import strip_of

EMPTY = Content("")


class Paragraph(NamedTuple):
    """`first` stands before the first line, `rest` before the others (by default as many spaces)."""

    text: Content = EMPTY
    first: Content = EMPTY
    rest: Content | None = None
    wrapped: bool = True


class Document(Scrolling, can_focus=True):
    """Paragraphs, wrapped at the width there is, at most `measure` cells."""

    BINDINGS = bindings("document")
    ALLOW_SELECT = False

    def __init__(self, *, measure: int = 96, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._measure = measure
        self._paragraphs: tuple[Paragraph, ...] = ()
        self._lines: list[Content] = []
        self._width = 0
        self.rebuild: Callable[[], None] | None = None

    def show(self, paragraphs: Sequence[Paragraph], *, keep_place: bool = False, more_comes: bool = False) -> None:
        """Shows `paragraphs` from the top, or where one was reading with `keep_place`. If `more_comes` in a moment, the scrollbar
        does not shrink meanwhile."""
        self._paragraphs = tuple(paragraphs)
        before = self._lines
        self._wrap(least=len(before) if more_comes else 0)
        if not keep_place:
            self.scroll_to(y=0, animate=False)
        self._redraw_after(before)

    def _redraw_after(self, before: Sequence[Content]) -> None:
        """Draws what differs from those lines."""
        count = max(len(before), len(self._lines))
        changed = [
            row
            for row, (old, new) in enumerate(zip_longest(before, self._lines))
            if old is None or new is None or old.plain != new.plain or old.spans != new.spans
        ]
        if changed:
            self.refresh_lines(changed[0], count - changed[0])

    @property
    def text(self) -> str:
        """What is shown, without its looks."""
        return "\n".join(line.plain for line in self._lines)

    @property
    def room(self) -> int:
        """How many cells a line may have."""
        return min(self.scrollable_content_region.width - 1, self._measure)

    def on_resize(self) -> None:
        """What is laid out for a width is made again by `rebuild`, if there is one; all else is only wrapped again."""
        if self.room != self._width:
            self._wrap()
            self.refresh()
            if self.rebuild is not None:
                self.rebuild()

    def _wrap(self, least: int = 0) -> None:
        self._width = self.room
        self._lines = []
        for paragraph in self._paragraphs if self._width > 4 else ():
            before = paragraph.first.cell_length
            rest = Content(" " * before) if paragraph.rest is None else paragraph.rest
            room = max(8, self._width - before)
            lines = paragraph.text.wrap(room) if paragraph.wrapped else paragraph.text.split(allow_blank=True)
            for number, text in enumerate(lines or [EMPTY]):
                self._lines.append((rest if number else paragraph.first) + text)
        self.resize_content(Size(1, max(least, len(self._lines))))

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        style = self.visual_style
        row = self.scroll_offset.y + y
        if row >= len(self._lines) or width < 1:
            return Strip.blank(width, style.rich_style)
        return strip_of(self, self._lines[row], style, width)

    def action_scroll(self, by: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + by, animate=False)

    def action_scroll_page(self, direction: int) -> None:
        self.action_scroll(direction * max(1, self.scrollable_content_region.height - 2))

    def action_scroll_edge(self, direction: int) -> None:
        self.scroll_to(y=0 if direction < 0 else len(self._lines), animate=False)
