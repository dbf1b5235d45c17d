"""What the list and the text have in common: they scroll, and draw no more than what changed."""

from __future__ import annotations

from itertools import zip_longest

from rich.segment import Segment
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.strip import Strip


class StillScrollBar(ScrollBar):
    """Draws again only those of its cells that look different. Textual's own draws all of them for every step of the cursor,
    which is more than all the rest of a page."""

    def __init__(self, vertical: bool = True, name: str | None = None, *, thickness: int = 1) -> None:
        super().__init__(vertical, name, thickness=thickness)
        self._cells: list[Segment] = []
        self._drawn_for: tuple[object, ...] = ()

    def _renew(self) -> list[int]:
        """Works the cells out anew; gives those that have changed."""
        bar = self.render()
        assert isinstance(bar, ScrollBarRender)
        state = (self.size.height, bar.virtual_size, bar.window_size, bar.position, bar.style)
        if state == self._drawn_for:
            return []
        rich_style = self.app.console.get_style(bar.style)
        assert rich_style.bgcolor is not None
        assert rich_style.color is not None
        before, self._drawn_for = self._cells, state
        drawn = bar.render_bar(
            size=self.size.height,
            virtual_size=bar.virtual_size,
            window_size=bar.window_size,
            position=bar.position,
            thickness=self.thickness,
            back_color=rich_style.bgcolor,
            bar_color=rich_style.color,
        )
        self._cells = list(Segment.apply_style(drawn.segments, self.visual_style.rich_style))
        return [row for row, (old, new) in enumerate(zip_longest(before, self._cells)) if old != new]

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> StillScrollBar:
        if regions or layout or recompose or not repaint or not self.size.height:
            super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        elif rows := self._renew():
            super().refresh(Region(0, rows[0], self.size.width, rows[-1] - rows[0] + 1))
        return self

    def render_lines(self, crop: Region) -> list[Strip]:
        self._renew()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        return Strip([self._cells[y]], self.thickness) if y < len(self._cells) else Strip.blank(self.size.width)


class Scrolling(ScrollView):
    """A view with such a bar."""

    @property
    def vertical_scrollbar(self) -> ScrollBar:
        if self._vertical_scrollbar is None:
            bar = StillScrollBar(vertical=True, name="vertical", thickness=self.scrollbar_size_vertical)
            bar.display = False
            self._vertical_scrollbar = bar
            self.app._start_widget(self, bar)
        return self._vertical_scrollbar

    def resize_content(self, size: Size) -> None:
        """Sets how much there is to scroll. Textual would lay out and draw the whole screen again, where nothing moves but a
        scrollbar; only a view that is as high as what is in it needs that."""
        height = self.styles.height
        if not self.size or height is None or height.is_auto:
            self.virtual_size = size
            return
        self.set_reactive(ScrollView.virtual_size, size)
        self._scroll_update(size)
