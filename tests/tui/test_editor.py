from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from checks.model import Location
from tests.tui.conftest import MakeApp, MakeReview
from tests.tui.findings import make_evidence
from tests.tui.screen import until
from tui import editor
from tui.excerpts import repository_at_hand


def test_only_files_inside_the_repository(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "a.py").write_text("x")
    (tmp_path / "secret").write_text("x")
    (root / "link").symlink_to(tmp_path / "secret")
    assert editor.place(root, Location("a.py", 3)) == (root / "a.py").resolve()
    for path in ("../secret", "link", "absent.py", str(tmp_path / "secret"), "a\x00b", "."):
        assert editor.place(root, Location(path, 1)) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("vim -p", ["vim", "-p", "+7", "/r/a.py"]),
        ("code -w", ["code", "--goto", "/r/a.py:7"]),
        ("cursor --reuse-window --wait", ["cursor", "--reuse-window", "--goto", "/r/a.py:7"]),
        ("hx", ["hx", "/r/a.py:7"]),
        ("pycharm", ["pycharm", "--line", "7", "/r/a.py"]),
    ],
)
def test_the_line_in_the_editors_own_way(
    words: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, words.split()[0])
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert editor.command(Path("/r/a.py"), 7, {"EDITOR": words}) == expected


def program(folder: Path, name: str, body: str = "") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_an_editor_that_is_usually_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert editor.command(Path("/r/a.py"), 7, {}) is None
    program(tmp_path, "nano")
    assert editor.command(Path("/r/a.py"), 7, {"EDITOR": ""}) == ["nano", "+7", "/r/a.py"]


@pytest.mark.parametrize("words", ["surely-not-installed", "vim 'half a quote", " "])
def test_no_editor(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert editor.command(Path("/r/a.py"), 7, {"EDITOR": words}) is None


async def test_where_it_cannot_be_opened_it_is_said_why(
    make_app: MakeApp, make_review: MakeReview, tmp_path: Path
) -> None:
    """The terminal of this test cannot be given away."""
    root = tmp_path / "code"
    app = make_app(review=make_review())
    async with app.run_test(size=(120, 40), notifications=True) as pilot:

        async def told(words: str) -> None:
            await pilot.press("e")
            await until(pilot, lambda: any(words in one.message for one in app._notifications))
            app.clear_notifications()

        await told("its repository is not at hand")
        app.repository = root
        await told("its repository is not at hand")
        (root / "app").mkdir(parents=True)
        await told("has no such file any more")
        (root / "app" / "db.py").write_text("x\n")
        await told("cannot be given away")


def test_the_repository_around_the_review_or_the_current_folder(tmp_path: Path) -> None:
    evidence = make_evidence()
    review = tmp_path / "support-assistant" / "reviews" / "one"
    review.mkdir(parents=True)
    assert repository_at_hand(evidence, review) is None
    (tmp_path / "support-assistant" / ".git").mkdir()
    assert repository_at_hand(evidence, tmp_path, review) == tmp_path / "support-assistant"
    assert repository_at_hand(msgspec.structs.replace(evidence, repository=None), review) is None
