from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec
import pytest

from checks.evidence.repository import cache as caches
from checks.evidence.repository import observe
from checks.evidence.repository.cache import Cache, NoCache, digest
from checks.evidence.repository.facts import CodeStatement, Repository
from checks.evidence.repository.observe import observe_repository

MODELS = """\
from sqlalchemy import Column, Integer
class User(Base):
    __tablename__ = 'users'
    id = Column(Integer, primary_key=True)
"""
CALLS = """\
from sqlalchemy import select
from app.models import User
def f(s):
    return s.execute(select(User).where(User.id == 1)).all()
"""
FILES = {
    "app/db.py": "q = \"SELECT id FROM users WHERE token = 'hunter2'\"\n",
    "app/other.py": 'q = "SELECT id FROM posts WHERE id = %s"\n',
    "app/models.py": MODELS,
    "app/calls.py": CALLS,
    "compose.yaml": "services:\n  db:\n    image: postgres:17\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the files whose statements are read."""
    found: list[str] = []
    original = observe.read_statements

    def note(file: observe.SourceFile) -> list[CodeStatement]:
        found.append(file.path)
        return original(file)

    monkeypatch.setattr(observe, "read_statements", note)
    return found


def look(root: Path, kept: Path) -> Repository:
    return observe_repository(root, cache=Cache(root, kept))


def test_only_what_changed_is_read_again(root: Path, kept: Path, read: list[str]) -> None:
    first = look(root, kept)
    assert first.calls
    assert first == observe_repository(root)
    read.clear()
    assert look(root, kept) == first
    assert read == []

    (root / "app/other.py").write_text('q = "SELECT name FROM posts"\n')
    second = look(root, kept)
    assert read == ["app/other.py"]
    assert second == observe_repository(root)
    assert second != first


def test_a_file_at_another_place_is_another_one(root: Path, kept: Path) -> None:
    look(root, kept)
    (root / "tests").mkdir()
    (root / "app/db.py").rename(root / "tests/db.py")
    assert [statement.location.path for statement in look(root, kept).statements] == ["app/other.py"]


def test_calls_are_read_again_when_a_model_changes(root: Path, kept: Path) -> None:
    look(root, kept)
    (root / "app/models.py").write_text(MODELS.replace("'users'", "'people'"))
    assert [call.text for call in look(root, kept).calls] == [
        'SELECT "people"."id" FROM "people" WHERE "people"."id" = $1'
    ]


def test_nothing_is_kept_that_evidence_would_not_hold(root: Path, kept: Path) -> None:
    look(root, kept)
    (pack,) = kept.iterdir()
    content = msgspec.msgpack.encode(Cache(root, kept)._known)
    assert b"SELECT id FROM users" in content
    assert b"hunter2" not in content
    assert pack.stat().st_mode & 0o777 == 0o600
    assert kept.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other", "link", "folder", "version"])
def test_a_damaged_pack_is_as_good_as_none(
    root: Path, kept: Path, damage: str, read: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = look(root, kept)
    (pack,) = kept.iterdir()
    content = pack.read_bytes()
    if damage == "cut":
        pack.write_bytes(content[:-10])
    elif damage == "flip":
        pack.write_bytes(content[:-10] + bytes([content[-10] ^ 1]) + content[-9:])
    elif damage == "empty":
        pack.write_bytes(b"")
    elif damage == "other":
        pack.write_bytes(b"\0" * 1_000)
    elif damage == "link":
        pack.unlink()
        (tmp_path / "elsewhere").write_bytes(content)
        pack.symlink_to(tmp_path / "elsewhere")
    elif damage == "folder":
        pack.unlink()
        pack.mkdir()
    else:
        monkeypatch.setattr(caches, "_version", lambda: "another")
    read.clear()
    assert look(root, kept) == first
    assert len(read) == 5


def test_writers_at_once_leave_a_whole_pack(root: Path, kept: Path) -> None:
    expected = observe_repository(root)
    threads = [threading.Thread(target=look, args=(root, kept)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.suffix for path in kept.iterdir()] == [".pack"]
    assert Cache(root, kept)
    assert look(root, kept) == expected


def test_what_is_not_asked_for_any_more_is_dropped(root: Path, kept: Path) -> None:
    look(root, kept)
    before = Cache(root, kept)._known.keys()
    (root / "app/db.py").unlink()
    look(root, kept)
    after = Cache(root, kept)._known.keys()
    assert len(after) < len(before)


def test_the_folder_stays_small(root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.mkdir()
    for number in range(3):
        old = kept / f"{number}.pack"
        old.write_bytes(b"x" * 1_000)
        os.utime(old, (number, number))
    monkeypatch.setattr(caches, "MAXIMUM_FOLDER_BYTES", 6_000)
    look(root, kept)
    names = {path.name for path in kept.iterdir()}
    assert "0.pack" not in names or sum(path.stat().st_size for path in kept.iterdir()) <= 6_000
    monkeypatch.setattr(caches, "MAXIMUM_FOLDER_BYTES", 0)
    (root / "app/db.py").write_text("")
    look(root, kept)
    assert [path.name for path in kept.iterdir()] == [f"{digest(os.fsencode(root.resolve()))}.pack"]


def test_a_folder_that_cannot_be_written_to_costs_time_only(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert look(root, tmp_path / "file") == observe_repository(root)


def test_an_observation_that_was_ended_is_not_kept(root: Path, kept: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    observe_repository(root, cancelled=cancelled, cache=Cache(root, kept))
    assert not kept.exists()


def test_no_cache_keeps_nothing() -> None:
    nothing = NoCache()
    nothing.put("a", [])
    assert nothing.get("a", list) is None
    assert not nothing
