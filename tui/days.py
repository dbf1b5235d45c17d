"""Days as people type them into a form."""

from __future__ import annotations

import calendar
import datetime as dt
import re

_SHIFT = re.compile(r"\+?(\d{1,4})\s*([dwmy])", re.IGNORECASE)


def read_day(text: str, today: dt.date) -> dt.date | None:
    """`2026-12-01`, `+30d`, `6w`, `3m`, `1y`; None for nothing. Raises ValueError with words for people."""
    text = text.strip()
    if not text:
        return None
    if match := _SHIFT.fullmatch(text):
        number, unit = int(match[1]), match[2].lower()
        try:
            return (
                today + dt.timedelta(days=number * {"d": 1, "w": 7}[unit])
                if unit in "dw"
                else _months(today, number * (12 if unit == "y" else 1))
            )
        except (OverflowError, ValueError):
            raise ValueError(f"{text} is too far away") from None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ValueError("a day is written 2026-12-01, or +30d, +6w, +3m") from None


def _months(day: dt.date, months: int) -> dt.date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def how_long_ago(moment: dt.datetime, now: dt.datetime) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `yesterday`, `12 days ago`, and the day itself after a month."""
    seconds = (now - moment).total_seconds()
    if seconds < 90:
        return "just now"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min ago"
    if seconds < 24 * 3600:
        return f"{round(seconds / 3600)} h ago"
    days = (now.date() - moment.date()).days
    if days <= 1:
        return "yesterday"
    return f"{days} days ago" if days <= 31 else moment.date().isoformat()
