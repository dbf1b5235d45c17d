from __future__ import annotations

from tui.widgets.markdown import markdown_paragraphs


def shown(text: str, width: int = 100) -> list[str]:
    return [(paragraph.first + paragraph.text).plain for paragraph in markdown_paragraphs(text, 50, width)]


def test_headings_lists_code_and_folds() -> None:
    text = (
        "# A *b*\n\n- **x** `y|z`\n\n<details>\n<summary>More</summary>\n\n```sql\nSELECT 1;\n```\n\n</details>\n> note"
    )
    assert [line.strip() for line in shown(text) if line.strip()] == [
        "A *b*", "• x y|z", "▸ More", "┃ SELECT 1;", "┃ note",
    ]  # fmt: skip


def test_tables_are_aligned_and_give_way_when_narrow() -> None:
    text = "| Area | Coverage of it | Why |\n|---|---|---|\n| plans | 6% | a \\| b |\n| x | 10% | c |"
    assert shown(text) == [
        " Area   Coverage of it  Why",
        " plans  6%              a | b",
        " x      10%             c",
    ]
    assert [line.rstrip() for line in shown(text, 22)] == [
        " Area   Cover…",
        " plans  6%",
        "    a | b",
        " x      10%",
        "    c",
    ]


def test_escapes_and_hostile_text() -> None:
    assert shown("\\[a\\]\\(b\\) \x1b[31m")[0] == " [a](b) \\x1b[31m"
    assert len(markdown_paragraphs("x\n" * 500, 50, 80)) == 52
    assert shown("| | |\n") == []
