"""The only way in which text reaches the screen.

Names, comments, SQL, paths and error texts of the target are written by strangers. Given to a widget as a plain string they
would be read as markup, and their control characters would reach the terminal. Everything here returns Content, which
Textual never parses, made of text in which every control character is written out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual.content import Content

from checks.model import Area, Severity
from checks.text import visible, visible_line

if TYPE_CHECKING:
    from textual.app import App
    from textual.notifications import SeverityLevel

Part = str | tuple[str, str] | Content

SEVERITY_SYMBOLS = {
    Severity.CRITICAL: "◆",
    Severity.HIGH: "▲",
    Severity.MEDIUM: "■",
    Severity.LOW: "●",
    Severity.NOTE: "○",
}
SEVERITY_SHORT = {
    Severity.CRITICAL: "crit",
    Severity.HIGH: "high",
    Severity.MEDIUM: "med",
    Severity.LOW: "low",
    Severity.NOTE: "note",
}
AREA_SHORT = {
    Area.SCHEMA: "SCH",
    Area.INDEXING: "IDX",
    Area.PLANS: "PLN",
    Area.REPLICATION: "REP",
    Area.OBSERVABILITY: "OBS",
    Area.HYBRID: "HYB",
}
STATUS_SYMBOLS = {"open": " ", "accepted": "✓", "waived": "~", "follow-up": "→", "disputed": "≠"}

IN_PUBLIC = re.compile(r"\bpublic\.(?=[\w\"])")
"""The schema that goes without saying, where there is little room."""

_worn: Callable[[str], str] | None = None


def wear(mask: Callable[[str], str] | None) -> None:
    """From now on all text that reaches the screen goes through `mask` first; None takes it off."""
    global _worn
    _worn = mask


def _masked(text: str) -> str:
    return text if _worn is None else _worn(text)


_CODE = re.compile(r"`([^`\n]+)`")


def line(*parts: Part, limit: int | None = 1_000) -> Content:
    """One line of `parts`, each a string, or a string with a style, or Content made here."""
    return Content.assemble(*(_part(part, limit) for part in parts))


def _part(part: Part, limit: int | None) -> Content:
    if isinstance(part, Content):
        return part
    text, style = (part, "") if isinstance(part, str) else part
    kept = visible(_masked(text).replace("\n", " ").replace("\t", " "), limit)
    return Content.styled(kept, style) if style else Content(kept)


def block(text: str, style: str = "", limit: int | None = 20_000) -> Content:
    """Text of several lines, as it is."""
    kept = visible(_masked(text), limit).expandtabs(4)
    return Content.styled(kept, style) if style else Content(kept)


def prose(text: str, style: str = "", limit: int | None = 20_000) -> Content:
    """Sentences in which `backticks` mark code."""
    parts: list[Content] = []
    for number, piece in enumerate(_CODE.split(visible(_masked(text), limit).expandtabs(4))):
        if piece:
            look = f"{style} $code".strip() if number % 2 else style
            parts.append(Content.styled(piece, look) if look else Content(piece))
    return Content.assemble(*parts)


def severity_style(severity: Severity) -> str:
    return f"$severity-{severity.value}"


def severity_mark(severity: Severity) -> Content:
    """Symbol and word, so that colour is never the only signal."""
    return line((f"{SEVERITY_SYMBOLS[severity]} {SEVERITY_SHORT[severity]:<4}", severity_style(severity)))


def tell(
    app: App[Any], message: str, *, title: str = "", severity: SeverityLevel = "information", seconds: float = 6
) -> None:
    """A notification whose text is shown as it is."""
    app.notify(
        visible(_masked(message), 600),
        title=visible_line(title, 80),
        severity=severity,
        timeout=seconds,
        markup=False,
    )
