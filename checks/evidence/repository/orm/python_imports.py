"""Names that a module of Python imports from others."""

from __future__ import annotations

import re

_IMPORT = re.compile(r"^[ \t]*from\s+(\.*[\w.]*)\s+import\s+(\([^)]*\)|[^\n\\]*(?:\\\n[^\n]*)*)", re.MULTILINE)
_NAME = re.compile(r"([A-Za-z_]\w*)(?:\s+as\s+([A-Za-z_]\w*))?")


def imported_names(code: str) -> dict[str, str]:
    """Local names of what the module imports from others, with their own."""
    found: dict[str, str] = {}
    for match in _IMPORT.finditer(code):
        listed = re.sub(r"#[^\n]*", "", match.group(2))
        for entry in _NAME.finditer(listed):
            found[entry.group(2) or entry.group(1)] = entry.group(1)
    return found


def imported_from(code: str) -> dict[str, str]:
    """Local names of what the module imports from others, with the module as it is written there."""
    found: dict[str, str] = {}
    for match in _IMPORT.finditer(code):
        listed = re.sub(r"#[^\n]*", "", match.group(2))
        for entry in _NAME.finditer(listed):
            found[entry.group(2) or entry.group(1)] = match.group(1)
    return found
