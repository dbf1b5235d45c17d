"""Values as a scorecard writes them: JSON only, the same bytes for the same facts."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec

from checks.figures import instant as instant
from checks.text import visible

_ABSOLUTE_PATH = re.compile(r"(?<![\w.:/\\])(?:/|[A-Za-z]:\\)(?:[^\s/\\'\"`,;:()]+[/\\])+(?=[^\s'\"`,;:()]*)")


def ratio(value: float | None) -> float | None:
    """With four decimals."""
    return None if value is None else round(value, 4)


def without_paths(text: str) -> str:
    """`text` with the folders of absolute paths left out: they are of the reviewer's machine."""
    return _ABSOLUTE_PATH.sub("…/", text)


def encodable(text: str) -> str:
    """`text` with lone surrogates, of names that are not UTF-8, written out."""
    return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match.group()):04x}", text)


def cleaned(value: Any) -> Any:
    """Any observed value as JSON has it: mappings sorted by key, instants and days as text, floats with four decimals."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float | Decimal):
        number = round(float(value), 4)
        return None if number != number or number in (float("inf"), float("-inf")) else number
    if isinstance(value, Enum):
        return cleaned(value.value)
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dt.datetime):
        return instant(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return round(value.total_seconds(), 4)
    if isinstance(value, Mapping):
        return {visible(str(key)): cleaned(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, set | frozenset):
        return sorted((cleaned(entry) for entry in value), key=str)
    if isinstance(value, list | tuple):
        return [cleaned(entry) for entry in value]
    if isinstance(value, msgspec.Struct):
        return cleaned(msgspec.to_builtins(value))
    return visible(str(value))
