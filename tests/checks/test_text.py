from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.text import visible, visible_line

BIDI = {chr(code) for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("orders", "orders"),
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b]52;c;aGk=\x07", r"\x1b]52;c;aGk=\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("user\u202etxt.exe", r"user\u202etxt.exe"),
        ("a\x00b\x7f", r"a\x00b\x7f"),
        ("größe 表", "größe 表"),
        ("\udc80", r"\udc80"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_only_what_a_terminal_or_reader_would_misread_is_written_out(given_text: str, shown: str) -> None:
    assert visible(given_text) == shown


def test_a_long_text_is_cut_and_says_so() -> None:
    assert visible("a" * 50, limit=10) == "a" * 9 + "…"
    assert len(visible("\x1b" * 50, limit=10)) <= 10
    assert visible("a" * 5_000, limit=None) == "a" * 5_000


def test_one_line() -> None:
    assert visible_line("a\n  b\t\tc\r\nd") == "a b c d"


@given(st.text(alphabet=st.characters(), max_size=80))
def test_nothing_a_terminal_obeys_is_left(text: str) -> None:
    shown = visible(text, limit=None)
    assert not [c for c in shown if c not in "\n\t" and (unicodedata.category(c) in {"Cc", "Cs"} or c in BIDI)]
    assert visible(shown, limit=None) == shown
    assert shown.encode("utf-8").decode("utf-8") == shown
