"""Comments that say that a reference deliberately has no foreign key."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.repository.facts import Remark
from checks.evidence.repository.files import SourceFile
from checks.model import Location

_CANDIDATE = re.compile(r"\b(?:fks?|foreign[ -]?keys?)\b", re.IGNORECASE)
_SAYS = re.compile(
    r"\b(?:no|not|without|never|isn't|instead of)(?:\s+(?:an?|the|any|real|actual|hard|strict|database|db|enforced))*\s+"
    r"(?:fks?|foreign[ -]?keys?)\b",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"^\s*(?://|/\*|\*|#|--)")
_TRAILING = re.compile(r"(?://|/\*|\s#|--)")
_NAMED = re.compile(r"`(\w{1,63})`")
MAXIMUM_LINES = 60


def read_remarks(file: SourceFile) -> list[Remark]:
    """Each such comment of the file, with the line of code that it stands at or before."""
    return list(_remarks(file)) if _CANDIDATE.search(file.text) else []


def _remarks(file: SourceFile) -> Iterator[Remark]:
    lines = file.text.split("\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        if not _COMMENT.match(line):
            opened = _TRAILING.search(line)
            if opened and _SAYS.search(line, opened.start()):
                yield Remark(Location(file.path, number + 1))
            number += 1
            continue
        end = number
        while end < len(lines) and _COMMENT.match(lines[end]) and end - number < MAXIMUM_LINES:
            end += 1
        text = " ".join(re.sub(r"^\s*(?://+|/\*+|\*|#+|--)", "", each) for each in lines[number:end])
        if _SAYS.search(text) and end < len(lines):
            yield Remark(Location(file.path, end + 1), tuple(dict.fromkeys(_NAMED.findall(text))))
        number = end
