"""The six areas as they are and as they would be."""

from __future__ import annotations

from textual.content import Content

from scorecards.maturity import AreaLevels, Levels
from tui.text import Part, line
from tui.widgets.document import Paragraph

LEVELS = 5
CELLS = 3
NAME = 15


def what_if_paragraphs(before: Levels, after: Levels, words: str, chosen: int) -> list[Paragraph]:
    """Each area's level now and then, and what changes in words."""
    index = _moved(before.index, after.index)
    overall: list[Part] = [
        ("Level ", "bold $strong"), *_moved(before.demonstrated, after.demonstrated), ("     index ", "$muted"), *index,
        (" of 100", "$muted"),
    ]  # fmt: skip
    shown = [Paragraph(), Paragraph(line(*overall), line(" ")), Paragraph()]
    for old, new in zip(before.areas, after.areas, strict=True):
        name = line(f" {old.area.value:<{NAME}}")
        if old.demonstrated is None:
            shown.append(Paragraph(line(name, ("not applicable", "$muted"))))
        else:
            shown.append(Paragraph(line(name, _bar(old, new), "   ", *_moved(old.demonstrated, new.demonstrated),
                                        _progress(old, new)), wrapped=False))  # fmt: skip
    said: Part = (words, "bold $success") if words else ("no level moves yet", "$muted")
    if not chosen:
        said = ("space marks what you would fix; the levels above answer at once", "$muted")
    shown += [Paragraph(), Paragraph(line(said), line(" "))]
    return shown


def _bar(old: AreaLevels, new: AreaLevels) -> Content:
    """Levels that are demonstrated as blocks, those that would be gained as lighter ones."""
    parts: list[Part] = []
    for level in range(1, LEVELS + 1):
        if level <= (old.demonstrated or 0):
            parts.append(("█" * CELLS, "$accent"))
        elif level <= (new.demonstrated or 0):
            parts.append(("▒" * CELLS, "bold $success"))
        else:
            parts.append(("·" * CELLS, "$faint"))
    return Content(" ").join(line(part) for part in parts)


def _progress(old: AreaLevels, new: AreaLevels) -> Content:
    """How much of the level after the one that would hold is there."""
    if (new.demonstrated or 0) >= LEVELS:
        return Content("")
    level = (new.demonstrated or 0) + 1
    look = "$success" if (new.demonstrated, new.progress) != (old.demonstrated, old.progress) else "$muted"
    return line((f"   {new.progress:.0%} of level {level}", look))


def _moved(before: int | None, after: int | None) -> list[Part]:
    if before is None:
        return [("-", "bold $strong")]
    if before == after:
        return [(str(before), "bold $strong")]
    return [(str(before), "$muted"), (" → ", "$muted"), (str(after), "bold $success")]
