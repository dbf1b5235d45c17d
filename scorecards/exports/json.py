"""The scorecard as CONTRACT.md has it, indented, keys in the contract's order."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from scorecards.model import Scorecard

# Characters that a terminal obeys or that change the order of reading: JSON can write them so that they do neither.
_HIDDEN = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")


def render(scorecard: Scorecard) -> str:
    document = msgspec.to_builtins(scorecard)
    for area in document["areas"]:
        area["criteria"] = sorted(area["criteria"], key=lambda entry: str(entry["id"]))
    return dumps(document)


def dumps(document: Any) -> str:
    """JSON with two spaces and a last newline, its hidden characters escaped."""
    return _HIDDEN.sub(_escaped, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match.group())[1:-1]
