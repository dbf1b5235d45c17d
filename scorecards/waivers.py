"""Waivers: who accepted what, until when. They silence the gate and show in the report, and move no level."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from fnmatch import fnmatchcase

from checks.configuration import Waiver


def is_expired(expires: dt.date, day: dt.date) -> bool:
    """A waiver holds on the day it expires, and no longer."""
    return day > expires


def waives_finding(waiver: Waiver, finding: str, check: str, subject: str) -> bool:
    """By fingerprint, or by check (id or glob) and, if any are given, globs over the subject's name."""
    if waiver.finding:
        return waiver.finding == finding
    return fnmatchcase(check, waiver.check) and (
        not waiver.objects or any(fnmatchcase(subject, pattern) for pattern in waiver.objects)
    )


def waives_criterion(waiver: Waiver, criterion: str) -> bool:
    """A waiver may name a criterion instead of a check; objects make no sense there."""
    return bool(waiver.check) and not waiver.objects and fnmatchcase(criterion, waiver.check)


def longest(waivers: Iterable[Waiver]) -> Waiver | None:
    """Of several that apply, the one that holds longest."""
    return max(waivers, key=lambda waiver: (waiver.expires, waiver.owner), default=None)
