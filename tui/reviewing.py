"""A review in a thread of its own: observe, check, save; and what it tells the screen meanwhile."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from textual.message import Message

from checks.errors import ReviewError
from checks.model import Area, CheckResult
from tui.screens.approve import asker

if TYPE_CHECKING:
    from checks.checklist import Selection
    from checks.evidence.observe import Target
    from scorecards.session import Review


class Looking(Message):
    """What is being looked at now."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words


class Checking(Message):
    """Observing has ended; so many checks are to be run in each area."""

    def __init__(self, target: str, totals: Counter[Area]) -> None:
        super().__init__()
        self.target = target
        self.totals = totals


class Checked(Message):
    """One check has a result."""

    def __init__(self, result: CheckResult) -> None:
        super().__init__()
        self.result = result


class Outcomes(msgspec.Struct, frozen=True):
    """What a run left: the saved review, and what was asked for and could not be reached."""

    review: Review
    problems: tuple[ReviewError, ...]


def review_target(
    target: Target,
    selection: Selection | None,
    report: Callable[[Message], None],
    cancelled: threading.Event,
    **how: Any,
) -> Outcomes:
    """In a thread: observe, check, save. Raises ReviewError if nothing could be observed."""
    from checks.checklist import EVERYTHING, run_checks
    from checks.errors import TargetError
    from checks.evidence.database.facts import Catalog
    from checks.evidence.observe import observe
    from checks.evidence.repository.facts import Repository
    from checks.registry import all_checks
    from scorecards.history import last_seen
    from scorecards.remembered import keep
    from scorecards.session import Review
    from scorecards.store import ReviewFolder, default_root
    from tui.words import target_words

    observation = observe(
        target,
        user_folder=how["configuration"],
        progress=lambda words: report(Looking(words)),
        cancelled=cancelled,
        clock=how["clock"],
        ask=asker(report, cancelled),
        last=lambda evidence: last_seen(evidence, how["root"] or default_root()),
        meter=how["meter"],
    )
    evidence = observation.evidence
    if cancelled.is_set() and evidence.find(Catalog) is None and evidence.find(Repository) is None:
        raise TargetError("cancelled before anything was observed", "start again")
    totals = Counter(check.area for check in all_checks().values())
    title = target_words(evidence)
    report(Checking(title, totals))
    results = run_checks(evidence, selection or EVERYTHING, lambda result: report(Checked(result)))
    folder = ReviewFolder.create(
        how["root"] or default_root(),
        evidence,
        title=title,
        reviewers=(how["reviewer"],),
        now=how["clock"](),
    )
    if selection is None or selection == EVERYTHING:
        keep(folder, results, how["cache"])
    return Outcomes(Review(folder, results), observation.problems)
