"""Untrusted text made safe to show: names, comments and paths of the target may hold terminal escapes or bidi overrides."""

from __future__ import annotations

import re

MAXIMUM = 1_000
ELLIPSIS = "…"

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # C0 but tab and newline, DEL, C1: what a terminal obeys
    "|[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"  # bidi controls, line separators, zero widths
    "|[\ud800-\udfff]"  # surrogates, which no encoding writes
    "|[\U000e0000-\U000e007f]"  # tags, invisible everywhere
)


def visible(text: str, limit: int | None = MAXIMUM) -> str:
    r"""`text` with every control, bidi and zero-width character written out (`\x1b`, `\u202e`), at most `limit` characters
    long (None: no limit). Tabs and newlines stay."""
    if limit is not None and len(text) > limit:
        text = text[: max(0, limit - 1)] + ELLIPSIS
    shown = _HIDDEN.sub(lambda match: _written_out(match.group()), text)
    if limit is not None and len(shown) > limit:
        shown = shown[: max(0, limit - 1)] + ELLIPSIS
    return shown


def visible_line(text: str, limit: int | None = MAXIMUM) -> str:
    r"""`text` as `visible` gives it and on one line: runs of white space become one space."""
    return visible(" ".join(text.split()), limit)


def _written_out(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
