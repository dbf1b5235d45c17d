from __future__ import annotations

import tomllib
from pathlib import Path

from tests.tui.conftest import MakeApp, MakeReview
from tests.tui.screen import screen_text
from tui.actions import ACTIONS
from tui.keymap import NAME, overrides, read_keymap, template
from tui.screens.form import Form


def write(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / NAME).write_text(text)
    return folder / NAME


def test_names_of_actions_are_unique_on_each_screen() -> None:
    for actions in ACTIONS.values():
        names = [action.name for action in actions]
        assert len(set(names)) == len(names)
        assert all(name.replace("-", "").isalnum() for name in names)


def test_the_template_is_a_keymap_that_changes_nothing(tmp_path: Path) -> None:
    assert set(tomllib.loads(template())) == set(ACTIONS)
    assert read_keymap(write(tmp_path, template())) == (ACTIONS, ())
    uncommented = template().replace("# ", "", 1).replace("\n# ", "\n")
    registry, complaints = read_keymap(write(tmp_path, uncommented.partition("\n")[2]))
    assert (overrides(registry), complaints) == ({}, ())
    assert read_keymap(tmp_path / "none") == (ACTIONS, ())


def test_clashes_and_mistakes_are_said_and_change_nothing(tmp_path: Path) -> None:
    text = """
    moon = 3
    [walk]
    decide-accept = "w"
    decide-waive = "z"
    undo = "W"
    nothing = "q"
    note = ""
    mark = "U space"
    """
    registry, complaints = read_keymap(write(tmp_path, text))
    keys = {action.name: action.keys for action in registry["walk"]}
    assert keys["decide-accept"] == "w"
    assert keys["decide-waive"] == "z"
    assert keys["undo"] == "u"
    assert keys["mark"] == "U space"
    said = "\n".join(complaints)
    assert "no screen 'moon'" in said
    assert "no action 'nothing'" in said
    assert "walk.note needs a key" in said
    assert "walk.undo cannot have 'W'" in said
    _, complaints = read_keymap(write(tmp_path, '[walk]\ndecide-accept = "f"\n'))
    assert complaints == ("keymap.toml: walk.decide-accept cannot have 'f': that is 'Follow up'",)
    _, complaints = read_keymap(
        write(tmp_path, '[walk]\ndecide-waive = "j"\n[rows]\nmove = "n"\n[app]\npresent = "]"\n')
    )
    assert [words.partition(": that is ")[0] for words in sorted(complaints)] == [
        "keymap.toml: app.present cannot have ']'",
        "keymap.toml: rows.move cannot have 'n'",
        "keymap.toml: walk.decide-waive cannot have 'j'",
    ]
    assert read_keymap(write(tmp_path, "[walk"))[1][0].startswith("keymap.toml cannot be read")


async def test_keys_of_the_user_work_and_are_shown(make_app: MakeApp, make_review: MakeReview, tmp_path: Path) -> None:
    write(tmp_path / "configuration", '[walk]\ndecide-accept = "ctrl+a !"\nfilter = "a"\n')
    async with make_app(review=make_review()).run_test(size=(120, 36), notifications=True) as pilot:
        await pilot.pause()
        assert "^a accept" in screen_text(pilot).splitlines()[-1]
        await pilot.press("!")
        assert isinstance(pilot.app.screen, Form)
        await pilot.press("escape", "ctrl+a")
        assert isinstance(pilot.app.screen, Form)
        await pilot.press("escape", "a")
        assert pilot.app.screen.query_one("#walk-filter").has_focus


async def test_a_clash_is_told_at_the_start(make_app: MakeApp, make_review: MakeReview, tmp_path: Path) -> None:
    write(tmp_path / "configuration", '[walk]\nnote = "q"\n')
    async with make_app(review=make_review()).run_test(size=(120, 36), notifications=True) as pilot:
        await pilot.pause(0.3)
        assert "cannot have 'q'" in screen_text(pilot)
