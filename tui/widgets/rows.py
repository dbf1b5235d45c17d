"""A list that draws only the rows that can be seen, so that its length costs nothing."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from tui.actions import bindings
from tui.widgets.scrolling import Scrolling
from tui.widgets.strips import strip_of

MOST_KEPT = 2_000

Draw = Callable[[int, int], Content]


def _nothing(row: int, width: int) -> Content:
    del row, width
    return Content("")


class RowList(Scrolling, can_focus=True):
    """`draw(row, width)` gives the one line of a row. When the cursor moves, `moved` is called, so that what it shows elsewhere
    is drawn in the same frame; without one, Moved is posted. Posts Chosen for enter or a second click. What was drawn is kept, so
    that scrolling by a row draws one row: who changes what `draw` says calls `redraw` or `refresh_row`."""

    BINDINGS = bindings("rows")
    ALLOW_SELECT = False
    COMPONENT_CLASSES = {"row-list--row", "row-list--cursor", "row-list--cursor-blurred"}  # noqa: RUF012  # as Textual has it

    cursor: reactive[int] = reactive(0, repaint=False)

    class Moved(Message):
        def __init__(self, rows: RowList, row: int) -> None:
            super().__init__()
            self.rows = rows
            self.row = row

        @property
        def control(self) -> RowList:
            return self.rows

    class Chosen(Moved):
        pass

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._count = 0
        self._draw: Draw = _nothing
        self.moved: Callable[[], None] | None = None
        self._high = 1
        self._drawn: dict[tuple[int, int, str], Strip] = {}

    @property
    def count(self) -> int:
        return self._count

    def show(self, count: int, draw: Draw, cursor: int = 0) -> None:
        """Shows `count` rows with the cursor on that one."""
        self._count, self._draw = count, draw
        self._drawn.clear()
        self.resize_content(Size(1, count * self._high))
        self.set_reactive(RowList.cursor, self.validate_cursor(cursor))
        self._keep_in_sight()
        self.refresh()

    def space_out(self, lines: int) -> None:
        """Each row takes that many lines, all but the first of them blank."""
        if lines != self._high:
            self._high = lines
            self.resize_content(Size(1, self._count * lines))
            self._keep_in_sight()
            self.refresh()

    def redraw(self) -> None:
        """The rows are the same and say something else."""
        self._drawn.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        self._drawn.clear()
        super().notify_style_update()

    def validate_cursor(self, row: int) -> int:
        return max(0, min(row, self._count - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        if old == new:
            return
        self._repaint(old)
        self._repaint(new)
        self._keep_in_sight()
        if self._count and self.moved is not None:
            self.moved()
        elif self._count:
            self.post_message(self.Moved(self, new))

    def rows_in_sight(self) -> list[tuple[int, int]]:
        """Those whose first line can be seen, each with how many lines from the top it stands."""
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        first = -(-top // self._high)
        last = min(self._count, -(-(top + height) // self._high))
        return [(row, row * self._high - top) for row in range(first, last)]

    def refresh_row(self, row: int) -> None:
        """That row says something else."""
        self._drawn = {key: strip for key, strip in self._drawn.items() if key[0] != row}
        self._repaint(row)

    def _repaint(self, row: int) -> None:
        self.refresh_lines(row * self._high, self._high)

    def _keep_in_sight(self) -> None:
        height = self.scrollable_content_region.height
        if not height:
            return
        top, at = self.scroll_offset.y, self.cursor * self._high
        margin = min(2, (height - 1) // 2)
        if at < top + margin:
            self.scroll_to(y=max(0, at - margin), animate=False)
        elif at + self._high > top + height - margin:
            self.scroll_to(y=at + self._high - height + margin, animate=False)

    def on_resize(self) -> None:
        self._keep_in_sight()

    def render_line(self, y: int) -> Strip:
        row, blank = divmod(self.scroll_offset.y + y, self._high)
        width = self.scrollable_content_region.width
        if row == self.cursor and self._count:
            name = "row-list--cursor" if self.has_focus else "row-list--cursor-blurred"
            bar = Content.styled("▌", "$accent" if self.has_focus else "$faint")
        else:
            name, bar = "row-list--row", Content(" ")
        if row >= self._count or width < 4:
            return Strip.blank(width, self.get_visual_style(name).rich_style)
        key = (-1 if blank else row, width, name)
        known = self._drawn.get(key)
        if known is None:
            content = bar if blank else bar + self._draw(row, width - 2)
            if len(self._drawn) >= MOST_KEPT:
                self._drawn.clear()
            style = self.get_visual_style(name)
            known = self._drawn[key] = strip_of(self, content.truncate(width - 1, ellipsis=True), style, width)
        return known

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        row = (self.scroll_offset.y + event.y) // self._high
        if 0 <= row < self._count:
            if row == self.cursor and event.chain > 1:
                self.action_choose()
            self.cursor = row

    def action_move(self, by: int) -> None:
        self.cursor += by

    def action_page(self, direction: int) -> None:
        self.cursor += direction * max(1, self.scrollable_content_region.height // self._high - 2)

    def action_edge(self, direction: int) -> None:
        self.cursor = 0 if direction < 0 else self._count - 1

    def action_choose(self) -> None:
        if self._count:
            self.post_message(self.Chosen(self, self.cursor))
