"""What the terminal program remembers between runs: recent targets, and where each review was left.

It lies in the user's state folder, apart from the reviews, which are shared. Losing it loses comfort, never work: what can't be
read counts as absent, and what can't be written is not kept.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TypeVar

import msgspec

from checks.files import write_atomically
from checks.typed import decode_json

KEPT_TARGETS = 8
MAXIMUM_BYTES = 1024 * 1024

Kind = TypeVar("Kind")


class RecentTarget(msgspec.Struct, frozen=True):
    """A target as it may be shown and stored: `dsn` without a password, `repository` an absolute path."""

    dsn: str = ""
    repository: str = ""


class Presence(msgspec.Struct, frozen=True):
    """Where a review was left: the finding, the screen, and where its repository lies on this machine."""

    finding: str = ""
    screen: str = "walk"
    repository: str = ""


class Comfort(msgspec.Struct, frozen=True):
    targets: tuple[RecentTarget, ...] = ()
    theme: str = ""


class State:
    """`folder` is made when something is first remembered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def comfort(self) -> Comfort:
        return self._read(self.folder / "terminal.json", Comfort) or Comfort()

    def remember_target(self, target: RecentTarget) -> None:
        known = self.comfort()
        others = [other for other in known.targets if other != target]
        self._write(
            self.folder / "terminal.json", msgspec.structs.replace(known, targets=(target, *others)[:KEPT_TARGETS])
        )

    def forget_targets(self) -> None:
        self._write(self.folder / "terminal.json", msgspec.structs.replace(self.comfort(), targets=()))

    def remember_theme(self, theme: str) -> None:
        self._write(self.folder / "terminal.json", msgspec.structs.replace(self.comfort(), theme=theme))

    def keep_copy(self, words: str) -> Path | None:
        """Writes what was copied last into a file, for terminals whose clipboard cannot be reached; None if it cannot be."""
        path = self.folder / "copied.txt"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, words.encode("utf-8", "replace"), mode=0o600)
        except OSError:
            return None
        return path

    def presence(self, review: str) -> Presence | None:
        return self._read(self._presence_file(review), Presence)

    def remember_presence(self, review: str, presence: Presence) -> None:
        self._write(self._presence_file(review), presence)

    def _presence_file(self, review: str) -> Path:
        kept = "".join(character if character.isalnum() or character in "-_" else "_" for character in review)
        return self.folder / "presence" / f"{kept[:100]}.json"

    def _read(self, path: Path, kind: type[Kind]) -> Kind | None:
        try:
            if path.stat().st_size > MAXIMUM_BYTES:
                return None
            return decode_json(path.read_bytes(), kind)
        except (OSError, msgspec.DecodeError, RecursionError):
            return None

    def _write(self, path: Path, value: msgspec.Struct) -> None:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, msgspec.json.encode(value), mode=0o600)
