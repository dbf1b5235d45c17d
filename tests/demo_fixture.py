"""The running demo, for every test that wants a real application to review: import `demo` in a conftest."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest

from tui.demo.launch import Demo, start_demo


def tell(words: str) -> None:
    """Shows a figure in the test's captured output."""
    sys.stderr.write(f"{words}\n")


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    """The demo from the user's cache, built by the first test run that needs it; each worker has one of its own."""
    begun = time.monotonic()
    running = start_demo()
    tell(f"the demo was ready after {time.monotonic() - begun:.1f} s")
    try:
        yield running
    finally:
        running.stop()
