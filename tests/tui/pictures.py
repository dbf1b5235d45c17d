"""Pictures of screens as text that a person can read: the lines, and below them the looks of each line.

SNAPSHOTS=write .venv/bin/python -m pytest tests/tui/test_pictures.py     writes them anew; look at the difference
"""

from __future__ import annotations

import os
from pathlib import Path

from rich.style import Style
from textual.app import App

FOLDER = Path(__file__).with_name("pictures")
NAMES = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def picture(app: App[None]) -> str:
    """The screen in front. Below the lines stands for each line which look its cells have, one letter for a look, and below
    that what the letters mean."""
    looks: dict[str, str] = {}
    lines, dressed = [], []
    for strip in app.screen._compositor.render_strips():
        lines.append("".join(segment.text for segment in strip).rstrip())
        letters = ""
        for segment in strip:
            look = _look(segment.style)
            letters += looks.setdefault(look, NAMES[len(looks) % len(NAMES)]) * segment.cell_length
        dressed.append(letters)
    meaning = [f"{letter} {look}" for look, letter in looks.items()]
    return "\n".join([*lines, "", *map(_runs, dressed), "", *meaning, ""])


def _runs(letters: str) -> str:
    """`a3b12`: how many cells in a row have a look."""
    runs, at = [], 0
    while at < len(letters):
        end = at
        while end < len(letters) and letters[end] == letters[at]:
            end += 1
        runs.append(f"{letters[at]}{end - at}")
        at = end
    return " ".join(runs)


def _look(style: Style | None) -> str:
    if style is None:
        return "plain"
    words = [word for word in ("bold", "dim", "italic", "underline", "reverse") if getattr(style, word)]
    for name, color in (("", style.color), ("on ", style.bgcolor)):
        triplet = color.get_truecolor() if color is not None else None
        words += [f"{name}{triplet.hex}"] if triplet is not None else []
    return " ".join(words) or "plain"


def is_grey(text: str) -> bool:
    """Whether a picture has no colour."""
    colours = {word for word in text.split() if len(word) == 7 and word.startswith("#")}
    return all(len({colour[1:3], colour[3:5], colour[5:7]}) == 1 for colour in colours)


def compare(name: str, text: str) -> str:
    """What differs from the picture of that name; "" if nothing does. Writes it instead where SNAPSHOTS=write says so."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get("SNAPSHOTS") == "write":
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text)
    if not path.exists():
        return f"there is no picture {name}"
    known = path.read_text()
    if known == text:
        return ""
    pairs = zip(known.splitlines(), text.splitlines(), strict=False)
    lines = [f"- {old}\n+ {new}" for old, new in pairs if old != new]
    return f"{name} looks different:\n" + "\n".join(lines[:12])
