"""Keeps a shadow from filling the disk, whatever the schema that it was made of does when it is restored."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from checks.shadow.files import disk_bytes

MOST_BYTES = 1 << 30
PERIOD_S = 0.5
_LOOK_AGAIN_BYTES = 128 << 20
# PostgreSQL writes a whole segment of its log at a time.
_FULL_BYTES = 8 << 20


class DiskWatch:
    """Looks every half second at the room left on the disk, and at the folder itself where that has shrunk; ends the server whose
    folder takes more than `most` bytes. `exceeded` says that it did."""

    def __init__(self, folder: Path, pid: Callable[[], int], most: int = MOST_BYTES) -> None:
        self.exceeded = False
        self._folder, self._pid, self._most = folder, pid, most
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="shadow-disk", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        """Whether so little room is left on the disk that nothing goes on."""
        try:
            return self._room() < _FULL_BYTES
        except OSError:
            return False

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        room = self._room()
        step = min(_LOOK_AGAIN_BYTES, self._most)
        while not self._ended.wait(PERIOD_S):
            now = self._room()
            if room - now < step:
                room = max(room, now)
                continue
            room = now
            if disk_bytes(self._folder) > self._most:
                self.exceeded = True
                with suppress(ProcessLookupError, RuntimeError):
                    os.kill(self._pid(), signal.SIGQUIT)
                return

    def _room(self) -> int:
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize
