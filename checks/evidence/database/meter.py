"""What a run costs the server, while it goes on."""

from __future__ import annotations

import threading


class Meter:
    """What all connections of a run have cost so far, for whoever looks on: statements, and milliseconds of waiting for them."""

    def __init__(self) -> None:
        self.statements = 0
        self.server_ms = 0.0
        self._writing = threading.Lock()

    def add(self, milliseconds: float) -> None:
        with self._writing:
            self.statements += 1
            self.server_ms += milliseconds
