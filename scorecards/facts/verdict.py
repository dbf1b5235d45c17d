"""What a predicate over evidence says about a criterion."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from checks.evidence.evidence import Evidence
from checks.model import Reason, Unobserved
from scorecards.rubric import Strength


class Verdict(msgspec.Struct, frozen=True):
    """`status`: met, unmet, unknown, not_applicable. `observed` is the fact in words, also of what is not applicable."""

    status: str
    observed: str = ""
    strength: Strength | None = None
    reason: Reason | None = None
    unlock: str = ""


Predicate = Callable[[Evidence], Verdict]
Precondition = Callable[[Evidence], str]


def met(observed: str, strength: Strength = Strength.MEASURED) -> Verdict:
    return Verdict("met", observed, strength)


def unmet(observed: str, strength: Strength = Strength.MEASURED) -> Verdict:
    return Verdict("unmet", observed, strength)


def judged(passes: bool, observed: str) -> Verdict:
    """Measured either way."""
    return met(observed) if passes else unmet(observed)


def absent(fact: str) -> Verdict:
    """Not applicable, by that fact."""
    return Verdict("not_applicable", fact)


def unknown(reason: Reason, unlock: str = "", observed: str = "") -> Verdict:
    return Verdict("unknown", observed, None, reason, unlock)


def undecided(observed: str = "") -> Verdict:
    """Evidence does not decide it; a person can."""
    return unknown(Reason.NEEDS_ANSWER, "", observed)


def missing(gap: Unobserved) -> Verdict:
    return unknown(gap.reason, gap.unlock)


def listed(names: list[str], shown: int = 3) -> str:
    """`a, b, c and 4 more`."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
