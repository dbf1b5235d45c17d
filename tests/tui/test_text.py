from __future__ import annotations

import ast
import unicodedata
from pathlib import Path

import pytest

import tui
from checks.model import Area, Severity
from tests.tui.findings import HOSTILE
from tui.text import AREA_SHORT, SEVERITY_SHORT, SEVERITY_SYMBOLS, block, line, prose, severity_mark

SHOWN_BY = {"line", "block", "prose", "severity_mark"}
WIDGETS = {
    "Static",
    "Label",
    "Button",
    "Checkbox",
    "Collapsible",
    "Option",
    "Tab",
    "TabPane",
    "RadioButton",
    "Link",
    "Digits",
}
ATTRIBUTES = {"border_title", "border_subtitle", "tooltip", "label", "renderable", "content"}


@pytest.mark.parametrize("text", HOSTILE)
def test_no_control_character_is_left(text: str) -> None:
    for content in (line(text, (text, "bold")), block(text), prose(text)):
        bad = [c for c in content.plain if unicodedata.category(c) in {"Cc", "Cs"} and c != "\n"]
        bad += [c for c in content.plain if "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069"]
        assert not bad


def test_markup_stays_literal() -> None:
    assert line("a[/b]c [red]x[/red]").plain == "a[/b]c [red]x[/red]"
    assert prose("[@click=app.leave]`x[/]`").plain == "[@click=app.leave]x[/]"
    assert "\n" not in line("a\nb").plain


def test_every_severity_and_area_has_its_own_signs() -> None:
    assert len(set(SEVERITY_SYMBOLS.values())) == len(set(SEVERITY_SHORT.values())) == len(Severity)
    assert set(AREA_SHORT) == set(Area)
    assert severity_mark(Severity.HIGH).plain == "▲ high"


def screen_modules() -> list[Path]:
    root = Path(tui.__file__).parent
    skipped = {"cli.py", "unattended.py", "arguments.py", "explain.py"}
    return [path for path in sorted(root.rglob("*.py")) if "demo" not in path.parts and path.name not in skipped]


@pytest.mark.parametrize("path", screen_modules(), ids=lambda path: path.stem)
def test_text_reaches_widgets_only_through_the_helpers(path: Path) -> None:
    """A widget given a plain string reads it as markup: what is not a constant must come from tui.text."""
    problems = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in WIDGETS and node.args and not is_safe(node.args[0]):
                problems.append(f"{node.lineno}: {name}(...)")
            if name == "update" and isinstance(node.func, ast.Attribute) and node.args and not is_safe(node.args[0]):
                problems.append(f"{node.lineno}: update(...)")
            if name in {"notify", "from_markup"} and path.name != "text.py":
                problems.append(f"{node.lineno}: {name}(...)")
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Attribute) and target.attr in ATTRIBUTES and not is_safe(node.value):
                    problems.append(f"{node.lineno}: .{target.attr} =")
    assert not problems


def is_safe(value: ast.expr | None) -> bool:
    """A constant, what a helper made, or text that went through visible() on its way to a Markdown preview."""
    if value is None or isinstance(value, ast.Constant):
        return True
    if isinstance(value, ast.Call):
        return getattr(value.func, "id", "") in SHOWN_BY | {"visible"}
    return False
