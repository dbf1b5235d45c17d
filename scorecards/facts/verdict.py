"""What a predicate over evidence says about a criterion."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from checks.evidence.evidence import Evidence
from checks.limits import LIMITS
from checks.model import Reason, Subject, Unobserved
from scorecards.rubric import Strength


class Verdict(msgspec.Struct, frozen=True):
    """`status`: met, unmet, unknown, not_applicable. `observed` is the fact in words, also of what is not applicable. `objects`
    are those that make it unmet, where they can be named."""

    status: str
    observed: str = ""
    strength: Strength | None = None
    reason: Reason | None = None
    unlock: str = ""
    objects: tuple[Subject, ...] = ()


Predicate = Callable[[Evidence], Verdict]
Precondition = Callable[[Evidence], str]


def met(observed: str, strength: Strength = Strength.MEASURED) -> Verdict:
    return Verdict("met", observed, strength)


def unmet(observed: str, strength: Strength = Strength.MEASURED, *, objects: Iterable[Subject] = ()) -> Verdict:
    return Verdict("unmet", observed, strength, objects=tuple(objects))


def judged(passes: bool, observed: str, *, objects: Iterable[Subject] = ()) -> Verdict:
    """Measured either way."""
    return met(observed) if passes else unmet(observed, objects=objects)


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


def by_override(evidence: Evidence, limit: str, found: float) -> str:
    """For an observation that would not do without an override, so that the criterion's own words do not hold: ` (an override
    asks for 0 days in place of 7)`; else empty. `found` is what was held against the threshold of that name."""
    asked, known = evidence.limit(limit), LIMITS[limit]
    enough = found >= known.default if known.stricter == "higher" else found <= known.default
    return "" if enough else f" (an override asks for {asked:g} {known.unit} in place of {known.default:g})"
