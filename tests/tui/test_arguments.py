"""Sizes as people write them."""

from __future__ import annotations

import pytest

from checks.errors import UsageError
from tui.arguments import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("8192", 8192), ("100 kB", 102_400), ("240MB", 240 << 20), ("1.5 gb", 3 << 29), (" 2TB ", 2 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1e9", "5 apples", "1,5GB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        parse_size(text)
