from __future__ import annotations

import datetime as dt

import pytest

from tui.days import how_long_ago, read_day

TODAY = dt.date(2026, 1, 31)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("", None),
        ("2026-12-01", dt.date(2026, 12, 1)),
        ("+30d", dt.date(2026, 3, 2)),
        ("2 w", dt.date(2026, 2, 14)),
        ("+1m", dt.date(2026, 2, 28)),
        ("1y", dt.date(2027, 1, 31)),
    ],
)
def test_days(text: str, day: dt.date | None) -> None:
    assert read_day(text, TODAY) == day


@pytest.mark.parametrize("text", ["soon", "2026-13-01", "31.12.2026", "+9999y"])
def test_no_days(text: str) -> None:
    with pytest.raises(ValueError, match=r"day is written|too far"):
        read_day(text, TODAY)


def test_how_long_ago() -> None:
    now = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
    ages = [
        (20, "just now"),
        (600, "10 min ago"),
        (3 * 3600, "3 h ago"),
        (30 * 3600, "yesterday"),
        (12 * 86400, "12 days ago"),
    ]
    assert [how_long_ago(now - dt.timedelta(seconds=age), now) for age, _ in ages] == [words for _, words in ages]
    assert how_long_ago(now - dt.timedelta(days=90), now) == "2025-11-02"
