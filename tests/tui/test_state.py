from __future__ import annotations

from pathlib import Path

from checks.evidence.database.dsn import understand
from checks.evidence.observe import Target
from tui.state import KEPT_TARGETS, Presence, RecentTarget, State
from tui.targets import display, recent, without_password


def test_targets_newest_first_and_each_once(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    for number in range(12):
        state.remember_target(RecentTarget(f"dbname=d{number}"))
    state.remember_target(RecentTarget("dbname=d9"))
    names = [target.dsn for target in state.comfort().targets]
    assert names[:3] == ["dbname=d9", "dbname=d11", "dbname=d10"]
    assert len(names) == len(set(names)) == KEPT_TARGETS


def test_presence_and_damage(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.remember_presence("../odd id", Presence("f1", "questions", "/r"))
    assert state.presence("../odd id") == Presence("f1", "questions", "/r")
    assert all(path.is_relative_to(tmp_path) for path in tmp_path.rglob("*.json"))
    (tmp_path / "terminal.json").write_bytes(b"\xff{")
    assert state.comfort().targets == ()


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = State(tmp_path / "file")
    state.remember_theme("surveyor-light")
    assert state.comfort().theme == ""


def test_no_password_is_kept() -> None:
    dsn = "postgresql+asyncpg://app:sesame@db.example.com:6432/app?sslmode=require&password=sesame"
    target = Target(dsn, Path("code"))
    kept = recent(target)
    assert "sesame" not in kept.dsn + display(target)
    assert understand(kept.dsn).parameters["host"] == "db.example.com"
    assert without_password(understand(kept.dsn)) == kept.dsn
