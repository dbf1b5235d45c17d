"""Untrusted text inside Markdown: it reads as it is, and starts, links and mentions nothing."""

from __future__ import annotations

import re

from checks.text import visible, visible_line

LONGEST_INLINE = 300
LONGEST_FENCE = 4_000
# Mentions, issue numbers, links and emoji are recognised after rendering, where no backslash is left to stop them.
BREAK = "\u200b"

_PUNCTUATION = re.compile(r"[\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_])")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_LIVE = re.compile(
    r"@(?=\\?\w)|#(?=\d)|(?i:\bGH(?=-\d))|(?i:(?:https?|ftp)(?=://))|(?i:\bwww(?=\.))|(?i:\bmailto(?=:))|:(?=[A-Za-z][\w+-]*:)"
)
_OPENING = re.compile(r"^(?:[#+=-]|\d+(?=[.)]))")


def inline(text: str, limit: int = LONGEST_INLINE) -> str:
    """One line of running text, also for a table's cell."""
    escaped = _PUNCTUATION.sub(lambda match: "\\" + match.group(), visible_line(text, limit))
    escaped = _ENTITY.sub(r"\\&", escaped)
    escaped = _LIVE.sub(lambda match: match.group() + BREAK, escaped)
    return _OPENING.sub(_harmless, escaped)


def code(text: str, limit: int = LONGEST_INLINE, *, cell: bool = False) -> str:
    """A code span. In a table's cell, a bar would end the cell even there."""
    shown = visible_line(text, limit)
    if not shown:
        return ""
    fence = "`" * (_longest_run(shown) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    span = f"{fence}{pad}{shown}{pad}{fence}"
    return span.replace("|", "\\|") if cell else span


def fence(text: str, language: str = "sql", limit: int = LONGEST_FENCE) -> str:
    """A fenced block that the text cannot end."""
    shown = visible(text.strip("\n"), limit).replace("\t", "    ")
    ticks = "`" * max(3, _longest_run(shown) + 1)
    return f"{ticks}{language}\n{shown}\n{ticks}"


def html(text: str, limit: int = LONGEST_INLINE) -> str:
    """Text inside an HTML element, where Markdown is not read."""
    shown = visible_line(text, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _LIVE.sub(lambda match: match.group() + BREAK, shown)


def _harmless(match: re.Match[str]) -> str:
    opening = match.group()
    return f"{opening}{BREAK}" if opening[0].isdigit() else "\\" + opening


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
