from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorecards.exports.escape import BREAK, code, fence, html, inline

MARKUP = "abc019 _*`~|\\<>[]()!#@&;:/.$+-=\n\r\t\x00\x1b\x9b\u202e\u2066{}'\"ABCgh"
HOSTILE = st.text(alphabet=st.sampled_from(MARKUP), max_size=60) | st.text(max_size=40)
LIVE = re.compile(r"@\w|#\d|(?i:gh-\d|https?://|ftp://|www\.|mailto:)")


def unescaped(text: str) -> str:
    """What is shown: breaks are invisible, and a backslash before punctuation goes away."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text.replace(BREAK, ""))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Table public.user_events has no primary key", "Table public.user_events has no primary key"),
        ("a|b", r"a\|b"),
        ("<script>", r"\<script\>"),
        ("[x](http://e.vil)", f"\\[x\\](http{BREAK}://e.vil)"),
        ("@ada", f"@{BREAK}ada"),
        ("see #123", f"see #{BREAK}123"),
        ("GH-12", f"GH{BREAK}-12"),
        ("www.example.org", f"www{BREAK}.example.org"),
        ("__init__", r"\_\_init\_\_"),
        ("# heading", r"\# heading"),
        ("- item", r"\- item"),
        ("1. item", f"1{BREAK}. item"),
        ("&lt;b&gt;", r"\&lt;b\&gt;"),
        ("R & D", "R & D"),
        ("a\nb", "a b"),
        ("$1 + $2", r"\$1 + \$2"),
        ("12:00:00Z", "12:00:00Z"),
        (":tada:", f":{BREAK}tada:"),
        ("\x1b[31m", r"\\x1b\[31m"),
    ],
)
def test_inline(text: str, written: str) -> None:
    assert inline(text) == written


@given(HOSTILE)
def test_running_text_reads_as_it_is_and_starts_nothing(text: str) -> None:
    from checks.text import visible_line

    written = inline(text)
    assert unescaped(written) == unescaped(re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", visible_line(text, 300)))
    assert "\n" not in written
    assert not LIVE.search(unescaped(written.replace(BREAK, "\x00")).replace("\x00", BREAK))
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`<>*\[\]~]", written)
    assert not re.match(r"[#+=>-]|\d+[.)]", written)


@given(HOSTILE, st.booleans())
def test_a_code_span_holds_what_it_holds(text: str, cell: bool) -> None:
    from checks.text import visible_line

    span = code(text, cell=cell)
    shown = visible_line(text, 300)
    if not shown:
        assert span == ""
        return
    if cell:
        assert not re.search(r"(?<!\\)\|", span)
        span = span.replace("\\|", "|")
    fence_mark = re.match("`+", span)
    assert fence_mark is not None
    inner = span[len(fence_mark.group()) : -len(fence_mark.group())]
    assert inner in (shown, f" {shown} ")
    assert not re.search(rf"(?<!`){fence_mark.group()}(?!`)", inner)


@given(HOSTILE)
def test_nothing_gets_out_of_a_fence(text: str) -> None:
    lines = fence(text).split("\n")
    mark = lines[0].removesuffix("sql")
    assert set(mark) == {"`"}
    assert lines[-1] == mark
    assert not [line for line in lines[1:-1] if line.strip().startswith(mark)]
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", fence(text))


@given(HOSTILE)
def test_nothing_is_markup_in_html(text: str) -> None:
    assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", html(text))


def test_long_text_is_cut() -> None:
    assert len(inline("a" * 1_000)) == 300
    assert len(code("a" * 1_000)) == 302
    assert len(fence("a" * 10_000)) < 4_100
