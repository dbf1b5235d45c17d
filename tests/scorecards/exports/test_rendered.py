"""Hostile names after a Markdown parser has read them: as text, in the places where they belong."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

import cmarkgfm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from checks.model import Area
from checks.text import visible
from scorecards.exports import render
from scorecards.exports.escape import BREAK, code, inline
from scorecards.model import Scorecard
from tests.scorecards.exports.test_reports import HOSTILE, hostile
from tests.scorecards.reviewed import scorecard

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
MARKUP = st.text(alphabet=st.sampled_from("ab1 _*`~|\\<>[]()!#&;:.$+-='\"\n"), max_size=40)


def flat(text: str) -> list[Token]:
    return [inner for token in PARSER.parse(text) for inner in (token, *(token.children or ()))]


def blocks(text: str) -> Counter[str]:
    return Counter(token.type for token in PARSER.parse(text) if token.type != "html_block")


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", ["markdown", "comment"])
def test_a_report_has_the_same_structure_whatever_the_names(name: str, text: str) -> None:
    plain, spoilt = render(hostile("name"), name), render(hostile(text), name)
    assert blocks(spoilt) == blocks(plain)
    live = {token.type for token in flat(spoilt)} & {"link_open", "image", "html_inline", "s_open"}
    assert not live
    html = {line for token in flat(spoilt) if token.type == "html_block" for line in token.content.split("\n")}
    assert {line for line in html if not line.startswith("<summary>")} <= {"<details>", "</details>", ""}


@given(MARKUP)
@settings(max_examples=300)
def test_running_text_is_text(text: str) -> None:
    shown = " ".join(text.split())
    tokens = flat(
        f"before {inline(text)} after\n\n- {inline(text)}\n\n| {inline(text)} | b |\n|---|---|\n| {inline(text)} | b |\n"
    )
    words = [token.content for token in tokens if token.type == "inline"]
    assert not {token.type for token in tokens} & {
        "em_open",
        "strong_open",
        "code_inline",
        "link_open",
        "html_inline",
        "s_open",
    }
    assert len(words) == 5 + (1 if shown else 0)
    texts = ["".join(part.content for part in token.children or ()) for token in tokens if token.type == "inline"]
    assert texts[0].replace(BREAK, "") == f"before {shown} after" or not shown
    assert texts[-2].replace(BREAK, "").strip() == shown


@given(MARKUP)
@settings(max_examples=300)
def test_a_code_span_in_a_cell_is_one_cell(text: str) -> None:
    shown = " ".join(text.split())
    tokens = flat(f"| a | b |\n|---|---|\n| {code(text, cell=True)} | b |\n")
    assert sum(token.type == "td_open" for token in tokens) == 2
    spans = [token.content for token in tokens if token.type == "code_inline"]
    if shown:
        assert [span.replace("\\|", "|").strip() for span in spans] == [shown.replace("\\|", "|").strip()]


def test_the_report_itself_has_no_stray_markup() -> None:
    types = Counter(token.type for token in flat(render(scorecard(), "markdown")))
    assert types["table_open"] == 14
    assert types["heading_open"] > 10


class Page(HTMLParser):
    """What a browser makes of the file: elements, attributes that could load or run something, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.parametrize("text", HOSTILE)
def test_html_has_the_same_elements_whatever_the_names(text: str) -> None:
    plain, spoilt = Page(render(hostile("name"), "html")), Page(render(hostile(text), "html"))
    assert spoilt.tags == plain.tags
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(spoilt.tags)
    assert not [name for name, _ in spoilt.attributes if name.startswith("on") or name in {"src", "style"}]
    assert {value for name, value in spoilt.attributes if name == "href"} <= {f"#area-{area}" for area in Area}
    assert visible(text, None).split()[0] in " ".join(spoilt.words)


def test_html_is_one_file_that_loads_nothing(reviewed: Scorecard) -> None:
    text = render(reviewed, "html")
    assert "default-src 'none'" in text
    assert not re.search(r"url\(|@import", text)
    assert not [value for _, value in Page(text).attributes if "//" in value]
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert text.count('<svg class="bar"') == 6


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", ["markdown", "comment", "adr"])
def test_github_renders_the_same_elements_whatever_the_names(name: str, text: str) -> None:
    """cmark-gfm is the renderer of GitHub: tables, strikethrough and links by themselves."""

    def rendered(given: str) -> Page:
        options = cmarkgfm.Options.CMARK_OPT_UNSAFE
        return Page(cmarkgfm.github_flavored_markdown_to_html(render(hostile(given), name), options))

    plain, spoilt = rendered("name"), rendered(text)
    assert spoilt.tags - plain.tags == Counter()
    assert set(spoilt.tags) <= {
        "h1", "h2", "h3", "h4", "h5", "h6", "p", "table", "thead", "tbody", "tr", "th", "td", "ul", "ol", "li", "code", "pre",
        "strong", "em", "blockquote", "details", "summary", "hr",
    }  # fmt: skip
    assert spoilt.tags["table"] == plain.tags["table"]
    assert spoilt.tags["td"] == plain.tags["td"]
