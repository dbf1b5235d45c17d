"""Who else looks at a review: each terminal keeps one small file beside it, which says where its cursor is.

The files lie in a folder that git ignores and that no milestone holds; losing one loses nothing. A terminal that has not been
heard of for a while counts as gone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

import msgspec

from checks.typed import decode_json

FOLDER = ".presence"
HEARTBEAT_S = 4.0
GONE_S = 12.0
FORGOTTEN_S = 86_400.0
MAXIMUM_BYTES = 16_384
MOST = 50
DRIVER, NAVIGATOR = "driver", "navigator"


class Seat(msgspec.Struct, frozen=True):
    """Who sits at a terminal: the name that decisions are signed with, driver or navigator or neither, and who sits beside."""

    name: str = ""
    role: str = ""
    partner: str = ""

    def swapped(self) -> Seat:
        """Two at one terminal change places; one alone changes the role."""
        if self.partner:
            return Seat(self.partner, self.role, self.name)
        return Seat(self.name, NAVIGATOR if self.role == DRIVER else DRIVER)

    @property
    def words(self) -> str:
        """`anna (driver) with bo`."""
        role = f" ({self.role})" if self.role else ""
        return f"{self.name}{role}{f' with {self.partner}' if self.partner else ''}"


class Present(msgspec.Struct, frozen=True):
    """One terminal: who sits there, which screen and place is shown, and when that was said (seconds of the epoch)."""

    id: str
    seat: Seat
    screen: str = ""
    place: str = ""
    at: float = 0.0


class Company:
    """Of one review, seen from one terminal."""

    def __init__(self, review: Path) -> None:
        self.id = secrets.token_hex(6)
        self._folder = review / FOLDER
        self._said = Present(self.id, Seat())

    def tell(self, seat: Seat, screen: str, place: str, now: float) -> None:
        """Says where this terminal is; nothing is written while that is known already."""
        mine = Present(self.id, seat, screen, place, now)
        if now - self._said.at < HEARTBEAT_S and msgspec.structs.replace(mine, at=self._said.at) == self._said:
            return
        with contextlib.suppress(OSError):
            if not self._folder.is_dir():
                self._folder.mkdir(mode=0o700)
                (self._folder / ".gitignore").write_text("*\n")
            if not self._said.at:
                self._forget_the_killed()
            new = self._folder / f".{self.id}.new"
            new.write_bytes(msgspec.json.encode(mine))
            new.replace(self._folder / f"{self.id}.json")
        self._said = mine

    def _forget_the_killed(self) -> None:
        """Takes away what terminals left that ended without a word, a day ago or earlier by the clock of the files."""
        new = self._folder / f".{self.id}.new"
        new.touch()
        present = new.stat().st_mtime
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(OSError):
                if present - path.stat().st_mtime > FORGOTTEN_S:
                    path.unlink()

    def others(self, now: float) -> list[Present]:
        """The other terminals that are there now, in a stable order. What can't be read is passed over."""
        found = []
        try:
            entries = [entry for entry in os.scandir(self._folder) if entry.name.endswith(".json")][:MOST]
        except OSError:
            return []
        for entry in entries:
            if entry.name == f"{self.id}.json":
                continue
            with contextlib.suppress(OSError, msgspec.DecodeError, RecursionError):
                if entry.stat().st_size <= MAXIMUM_BYTES:
                    present = decode_json(Path(entry.path).read_bytes(), Present)
                    if abs(now - present.at) < GONE_S:
                        found.append(present)
        return sorted(found, key=lambda present: present.id)

    def leave(self) -> None:
        with contextlib.suppress(OSError):
            (self._folder / f"{self.id}.json").unlink(missing_ok=True)


def leader(others: list[Present]) -> Present | None:
    """Whom to follow: the driver, of several the one who moved last; without a driver whoever moved last."""
    drivers = [present for present in others if present.seat.role == DRIVER]
    return max(drivers or others, key=lambda present: present.at, default=None)
