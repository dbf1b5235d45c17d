"""The field for a DSN, which never shows a password: not while it is typed, not afterwards."""

from __future__ import annotations

import re

from rich.text import Text
from textual.widgets import Input

_PASSWORD = re.compile(
    r"://[^/?#@:\s]*:(?P<in_url>\S*)@"
    r"|://[^/?#@:\s\[]*:(?P<being_typed>[^/?#\s@]*)$"
    r"|password\s*=\s*(?P<in_words>'(?:[^'\\]|\\.)*'?|[^\s&']*)",
    re.IGNORECASE,
)


def masked(dsn: str) -> str:
    """`dsn` with every character of a password as a dot, so that a cursor stays where it is."""
    characters = list(dsn)
    for match in _PASSWORD.finditer(dsn):
        group = match.lastgroup or ""
        for index in range(match.start(group), match.end(group)):
            characters[index] = "•"
    return "".join(characters)


class DsnInput(Input):
    @property
    def _value(self) -> Text:
        return Text(masked(self.value), no_wrap=True, overflow="ignore", end="")
