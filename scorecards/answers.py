"""The answers file: one TOML table per question, for reviews that run without people. Every mistake names its line."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from pathlib import Path
from typing import Any

from checks.errors import UsageError
from scorecards.review import Answer
from scorecards.rubric import Question, load_rubric

MAXIMUM_BYTES = 1024 * 1024
_KEYS = ("answer", "by", "on", "artefact", "artefact_date")
_DATES = ("on", "artefact_date")


def read_answers(path: Path) -> dict[str, Answer]:
    """Answers by question id. Raises UsageError with file and line for an unknown id or key, or a wrong type."""
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise UsageError(f"{path} is larger than 1 MiB", "give the answers file")
        text = path.read_text("utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"cannot read answers from {path}: {error.strerror}", "check the path of --answers") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {error}", "correct the answers file") from error
    return {id: _answer(path, text, id, entry) for id, entry in _tables(document)}


def _tables(document: dict[str, Any]) -> list[tuple[str, Any]]:
    """`[REP-2.2]` without quotes is a table 2 inside a table REP-2 to TOML; both spellings are taken."""
    found: list[tuple[str, Any]] = []
    for key, value in document.items():
        nested = isinstance(value, dict) and value and all(isinstance(entry, dict) for entry in value.values())
        found += [(f"{key}.{part}", entry) for part, entry in value.items()] if nested else [(key, value)]
    return found


def _answer(path: Path, text: str, id: str, entry: Any) -> Answer:
    def wrong(message: str, key: str = "") -> UsageError:
        return UsageError(f"{path}, line {_line(text, id, key)}: {message}", "correct the answers file")

    question = load_rubric().questions.get(id)
    if question is None:
        raise wrong(f"there is no question {id}")
    if not isinstance(entry, dict):
        raise wrong(f"{id} must be a table with an answer")
    for key, value in entry.items():
        if key not in _KEYS:
            raise wrong(f"{id} has an unknown key {key!r}", key)
        date = isinstance(value, dt.date) and not isinstance(value, dt.datetime)
        if key in _DATES and not date:
            raise wrong(f"{key} must be a date like 2026-11-01, without quotes", key)
        if key not in _DATES and not isinstance(value, str):
            raise wrong(f"{key} must be a string", key)
    if "answer" not in entry:
        raise wrong(f"{id} has no answer")
    answer = Answer(
        entry["answer"], entry.get("by"), entry.get("on"), entry.get("artefact"), entry.get("artefact_date")
    )
    problem = check_answer(question, answer)
    if problem:
        raise wrong(problem, "answer")
    return answer


def check_answer(question: Question, answer: Answer) -> str:
    """What is wrong with an answer, or ""."""
    if not answer.value.strip():
        return "the answer is empty"
    if question.type == "yes/no" and not answer.word:
        return "the answer must be yes, no or unknown, or begin with one of them"
    if answer.artefact_date is not None and not answer.artefact:
        return "a date of an artefact needs the artefact"
    if answer.artefact_date is not None and answer.on is not None and answer.artefact_date > answer.on:
        return "the artefact is dated after the answer"
    return ""


def _line(text: str, id: str, key: str) -> int:
    """The line of a table's head, or of a key in it; 1 if it is written in some other way."""
    lines = text.splitlines()
    head = re.compile(rf"\s*\[\s*[\"']?{re.escape(id)}[\"']?\s*\]|\s*[\"']?{re.escape(id)}[\"']?\s*[=.]")
    start = next((number for number, line in enumerate(lines) if head.match(line)), None)
    if start is None:
        return 1
    if key:
        for number in range(start + 1, len(lines)):
            if lines[number].lstrip().startswith("["):
                break
            if re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", lines[number]):
                return number + 1
    return start + 1
