"""Figures as people read them."""

from __future__ import annotations

import datetime as dt


def instant(moment: dt.datetime) -> str:
    """UTC, in whole seconds, with Z."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bytes_in_words(size: float) -> str:
    """A size for people, in binary units: `1.5 GB` as PostgreSQL's pg_size_pretty() means it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def seconds_in_words(seconds: float) -> str:
    """A duration for people: `45 s`, `12 min`, `3.5 h`, `9 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.0f} days"


def days_in_words(days: float | None) -> str:
    """How long statistics cover, as `seconds_in_words` has it; `an unknown time` for None."""
    return "an unknown time" if days is None else seconds_in_words(days * 86_400)
