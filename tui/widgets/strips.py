"""One line of Content as it goes to the screen. Textual's own way also wraps, aligns, selects and looks for links, which takes
three times as long, and a page has seventy lines."""

from __future__ import annotations

from rich.segment import Segment
from textual.content import Content
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget


def strip_of(widget: Widget, content: Content, style: Style, width: int) -> Strip:
    """`content`, which is one line, on the look of `style`, `width` cells long."""
    parse = widget.app.stylesheet.parse_style
    kept = content.truncate(width) if content.cell_length > width else content

    def look(spanned: Style | str) -> Style:
        return parse(spanned) if isinstance(spanned, str) else spanned

    segments = [Segment(text, (style + own).rich_style) for text, own in kept.render(style, "", look)]
    return Strip(segments, kept.cell_length).adjust_cell_length(width, style.rich_style)
