"""How far a run is: the areas fill in, what is being looked at, what it cost the server, and how it ended."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from textual.content import Content

from checks.errors import ReviewError
from checks.evidence.database.meter import Meter
from checks.model import Area, Outcome
from tui.pace import duration
from tui.reviewing import Outcomes
from tui.text import Part, line, prose
from tui.widgets.document import EMPTY, Paragraph
from tui.words import figure, plural

BAR = 12
AREA = 15
COLUMNS = {"checks": 9, "passed": 8, "found": 7, "unknown": 9, "n/a": 5, "findings": 10}
COUNT = re.compile(r"(\d+) of (\d+)")
NOTICES_SHOWN = 6


class Progress(NamedTuple):
    """Of a run just now. `totals` are the checks of each area, `outcomes` those that have one, `findings` what they found;
    `looks` is what is looked at, the latest last, since `looking_s` seconds; `done` or `failure` is how it ended."""

    elapsed_s: float
    looks: Sequence[str]
    looking_s: float
    totals: Counter[Area]
    outcomes: Counter[tuple[Area, Outcome]]
    findings: Counter[Area]
    meter: Meter
    cancelled: bool
    failure: ReviewError | None = None
    done: Outcomes | None = None


def progress_paragraphs(run: Progress) -> list[Paragraph]:
    """The whole page but the list of findings."""
    shown = [Paragraph(), Paragraph(_headline(run)), Paragraph()]
    shown += [Paragraph(text) for text in _table(run)]
    shown += [Paragraph(), Paragraph(_effort(run)), Paragraph()]
    if run.failure is not None:
        shown += problem_paragraphs("Nothing could be observed", run.failure)
    elif run.done is not None:
        for problem in run.done.problems:
            shown += problem_paragraphs("Not observed", problem)
        shown += _conclusion(run.done)
        for notice in run.done.review.evidence.notices[:NOTICES_SHOWN]:
            shown.append(Paragraph(prose(notice, "$muted", limit=500), line((" · ", "$muted"))))
    else:
        for number, words in enumerate(run.looks):
            last = number == len(run.looks) - 1
            shown.append(
                Paragraph(
                    line((words, "$foreground" if last else "$muted"), _counted(words, run.looking_s) if last else ""),
                    line((" ▸ " if last else "   ", "$accent")),
                )
            )
    return shown


def _counted(words: str, spent: float) -> Content:
    """A bar behind `200 of 18438 files`, and how long the rest will take at the present pace."""
    match = COUNT.search(words)
    if match is None or not int(match[2]):
        return Content("")
    share = min(1.0, int(match[1]) / int(match[2]))
    filled = round(BAR * share)
    rest = spent / share - spent if share > 0 and spent > 3 else 0
    left = f"  about {duration(dt.timedelta(seconds=rest))} more" if rest >= 1 else ""
    return line("  ", ("━" * filled, "bold $accent"), ("─" * (BAR - filled), "$faint"), (left, "$muted"))


def _headline(run: Progress) -> Content:
    clock = f"{int(run.elapsed_s) // 60}:{int(run.elapsed_s) % 60:02d}"
    if run.failure is not None:
        state: Part = ("Stopped", "bold $error")
    elif run.done is not None:
        state = ("Cancelled, with what there was" if run.cancelled else "Ready", "bold $success")
    elif run.cancelled:
        state = ("Cancelling", "bold $warning")
    elif run.totals:
        state = ("Checking", "bold $accent")
    else:
        state = ("Observing", "bold $accent")
    return line(" ", state, ("   elapsed ", "$muted"), clock)


def _table(run: Progress) -> list[Content]:
    head = "".join(f"{name:>{width}}" for name, width in COLUMNS.items())
    rows = [line((f" {'area':<{AREA + BAR}}{head}", "$muted"))]
    for area in Area:
        total = run.totals[area]
        counted = {outcome: run.outcomes[area, outcome] for outcome in Outcome}
        done, errors = sum(counted.values()), counted[Outcome.ERROR]
        filled = round(BAR * done / total) if total else 0
        figures = {
            "checks": (f"{done}/{total}", "$foreground"),
            "passed": (f"{counted[Outcome.PASSED]}", "$success"),
            "found": (f"{counted[Outcome.FOUND]}", "$severity-high"),
            "unknown": (f"{counted[Outcome.UNKNOWN]}", "$foreground"),
            "n/a": (f"{counted[Outcome.NOT_APPLICABLE]}", "$foreground"),
            "findings": (f"{run.findings[area]}", "bold $severity-high"),
        }
        parts: list[Part] = [
            f" {area.value:<{AREA}}",
            ("━" * filled, "bold $accent"),
            ("─" * (BAR - filled), "$faint"),
        ]
        for name, (words, look) in figures.items():
            shown = words if total else "-"
            parts.append((f"{shown:>{COLUMNS[name]}}", "$muted" if shown in {"-", "0"} else look))
        if errors:
            parts.append((f"  {plural(errors, 'error')}", "$error"))
        rows.append(line(*parts))
    return rows


def _effort(run: Progress) -> Content:
    return line(
        (" statements sent ", "$muted"), f"{run.meter.statements:,}",
        ("   time on the server ", "$muted"), figure("server_ms", run.meter.server_ms),
    )  # fmt: skip


def _conclusion(done: Outcomes) -> list[Paragraph]:
    count = len(done.review.findings)
    words = f"{plural(count, 'finding')} to walk through. " if count else "No findings. "
    return [
        Paragraph(
            line((words, "bold $strong"), ("enter", "bold $accent"), " opens " + ("them." if count else "the walk.")),
            line(" "),
        ),
        Paragraph(line(("The review is saved as you decide; quit whenever you like.", "$muted")), line(" ")),
        Paragraph(EMPTY),
    ]


def problem_paragraphs(heading: str, problem: ReviewError) -> list[Paragraph]:
    """What went wrong, and what to do next."""
    shown = [Paragraph(line((heading, "bold $error")), line(" "))]
    shown.append(Paragraph(prose(str(problem), limit=2_000), line(" ")))
    if problem.hint:
        shown.append(Paragraph(prose(problem.hint, limit=2_000), line((" ▸ ", "$accent"))))
    return [*shown, Paragraph(EMPTY)]
