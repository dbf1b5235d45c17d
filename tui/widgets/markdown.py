"""Markdown as it will look, quickly: what our own exports write, and no more. One pass over the lines, no widgets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from textual.content import Content

from checks.text import visible
from tui.text import Part, line
from tui.widgets.detail import sql_paragraphs
from tui.widgets.document import Paragraph

_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_INLINE = re.compile(r"`` ?(.+?) ?``|`([^`]+)`|\*\*(.+?)\*\*|\[([^\]]+)\]\([^)]*\)")
_ITEM = re.compile(r"(\s*)(?:[-*]|\d+\.)\s+(.*)")
_SEPARATOR = re.compile(r"\|?[\s:|-]+\|?")
_TAG = re.compile(r"</?(?:details|br ?/?)>", re.IGNORECASE)
_SUMMARY = re.compile(r"<summary>(.*)</summary>", re.IGNORECASE)
WIDEST_CELL = 32
NARROWEST_LAST = 18
SHORTEST_HEAD = 6
SPACE = Content(" ")


def markdown_paragraphs(text: str, limit: int, width: int) -> list[Paragraph]:
    """The first `limit` lines of `text` as paragraphs for that width."""
    lines = visible(text, None).expandtabs(4).splitlines()
    shown = list(_blocks(lines[:limit], width))
    if len(lines) > limit:
        shown += [Paragraph(), Paragraph(line((f"and {len(lines) - limit:,} more lines", "$muted")), SPACE)]
    return shown


def _blocks(lines: list[str], width: int) -> Iterator[Paragraph]:
    position = 0
    while position < len(lines):
        source = lines[position]
        position += 1
        if source.startswith("```"):
            begun = position
            while position < len(lines) and not lines[position].startswith("```"):
                position += 1
            yield from sql_paragraphs("\n".join(lines[begun:position]))
            position += 1
        elif source.startswith("|"):
            begun = position - 1
            while position < len(lines) and lines[position].startswith("|"):
                position += 1
            yield from _table(lines[begun:position], width)
        elif match := _SUMMARY.fullmatch(source.strip()):
            yield Paragraph(_inline(match[1], "bold"), line((" ▸ ", "$accent")))
        elif source.startswith("#"):
            level = len(source) - len(source.lstrip("#"))
            look = "bold $strong" if level == 1 or level > 3 else "bold $accent"
            yield Paragraph(_inline(source.lstrip("# "), look), SPACE)
        elif source.startswith(">"):
            yield Paragraph(_inline(source.lstrip("> ")), line((" ┃ ", "$warning")))
        elif match := _ITEM.fullmatch(source):
            yield Paragraph(_inline(match[2]), line(f" {match[1]}", ("• ", "$accent")))
        elif not _TAG.fullmatch(source.strip()):
            yield Paragraph(_inline(source), SPACE)


def _inline(source: str, look: str = "") -> Content:
    parts: list[Part] = []
    at = 0
    for match in _INLINE.finditer(source):
        parts.append((_plain(source[at : match.start()]), look))
        if code := match[1] or match[2]:
            parts.append((code, f"{look} $code".strip()))
        elif match[3]:
            parts.append((_plain(match[3]), f"{look} bold".strip()))
        else:
            parts.append((_plain(match[4]), f"{look} underline".strip()))
        at = match.end()
    return line(*parts, (_plain(source[at:]), look), limit=None)


def _plain(source: str) -> str:
    return _ESCAPED.sub(r"\1", source)


def _table(rows: list[str], room: int) -> Iterator[Paragraph]:
    """Columns as wide as what is in them below the head, and as the head where there is room; the last one takes the rest
    and wraps, or a line of its own."""
    cells = [_cells(row) for row in rows if not _SEPARATOR.fullmatch(row)]
    columns = max((len(row) for row in cells), default=0)
    padded = [row + [""] * (columns - len(row)) for row in cells]
    drawn = [[_inline(cell, "$muted" if number == 0 else "") for cell in row] for number, row in enumerate(padded)]
    widths = [_width([row[column].cell_length for row in drawn]) for column in range(columns)]
    left = room - sum(widths[:-1]) - 2 * columns
    spare = left - NARROWEST_LAST if left >= NARROWEST_LAST else left + 2
    for column, head in enumerate(drawn[0][:-1] if drawn else ()):
        wanted = max(0, min(WIDEST_CELL, head.cell_length) - widths[column])
        if wanted <= spare:
            widths[column] += wanted
            left, spare = left - wanted, spare - wanted
    for row in drawn:
        first = Content(" ")
        for content, width in zip(row[:-1], widths, strict=False):
            shown = content.truncate(width, ellipsis=True)
            first = first + shown + " " * (width - shown.cell_length + 2)
        if left >= NARROWEST_LAST:
            yield Paragraph(row[-1] if row else Content(""), first)
        else:
            yield Paragraph(first, wrapped=False)
            if row is not drawn[0] and row[-1]:
                yield Paragraph(row[-1], Content("    "))


def _width(lengths: list[int]) -> int:
    """Of a column: a long head over short cells is cut."""
    return min(WIDEST_CELL, max(min(lengths[0], SHORTEST_HEAD), *lengths[1:], 1))


def _cells(row: str) -> list[str]:
    inner = row.strip().removeprefix("|").removesuffix("|")
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]
