"""Comments that say that a reference deliberately has no foreign key."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.repository.facts import Remark
from checks.evidence.repository.files import SourceFile
from checks.model import Location

_CANDIDATE = re.compile(
    r"\b(?:fks?|foreign[ -]?keys?)\b|\bforeign\s*$|\bno `?REFERENCES\b", re.IGNORECASE | re.MULTILINE
)
_SAYS = re.compile(
    r"\b(?:no|not|without|never|isn't|instead of)(?:\s+(?:an?|the|any|real|actual|hard|strict|database|db|enforced))*\s+"
    r"(?:fks?|foreign[ -]?keys?)\b"
    r"|\b(?:no|without|never) `?REFERENCES\b",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"^\s*(?://|/\*|\*|#|--)")
_MARKS = re.compile(r"^\s*(?://+|/\*+|\*|#+|--)")
_TRAILING = re.compile(r"(?://|/\*|\s#|--)")
_NAMED = re.compile(r"`(\w{1,63})`")
_SENTENCE = re.compile(r"\.\s")
_QUOTES = '"""'
MAXIMUM_LINES = 60


def read_remarks(file: SourceFile) -> list[Remark]:
    """Each such comment of the file, a docstring too, with the line of code that it stands at or before."""
    return list(_remarks(file)) if _CANDIDATE.search(file.text) else []


def _remarks(file: SourceFile) -> Iterator[Remark]:
    lines = file.text.split("\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        end = _end(lines, number, docstrings=file.extension == "py")
        if end == number:
            opened = _TRAILING.search(line)
            if opened and _SAYS.search(line, opened.start()):
                yield Remark(Location(file.path, number + 1))
            number += 1
            continue
        text = " ".join(_MARKS.sub("", each).strip() for each in lines[number:end])
        saying = [sentence for sentence in _SENTENCE.split(text) if _SAYS.search(sentence)]
        if saying and end < len(lines):
            yield Remark(Location(file.path, end + 1), tuple(dict.fromkeys(_NAMED.findall(" ".join(saying)))))
        number = end


def _end(lines: list[str], number: int, *, docstrings: bool) -> int:
    """The line after the comment that begins at that line; the line itself if none does."""
    end, last = number, min(len(lines), number + MAXIMUM_LINES)
    if docstrings and lines[number].lstrip().startswith(_QUOTES):
        rest = lines[number].lstrip()[len(_QUOTES) :]
        while _QUOTES not in rest and end + 1 < last:
            end += 1
            rest = lines[end]
        return end + 1
    while end < last and _COMMENT.match(lines[end]):
        end += 1
    return end
