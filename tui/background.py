"""Work beside the screen, in threads that only send messages.

Textual's own thread workers keep the program from ending until they return; a slow server must not do that. These are daemon
threads: quitting leaves them behind.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from textual.message import Message
from textual.message_pump import MessagePump

from checks.errors import ReviewError

TURN_S = 0.001
"""How long such a thread may compute while a key waits; Python's own 5 ms add up to a frame."""


class Finished(Message):
    """Work of that name ended with `result`, or with an error for people."""

    def __init__(self, name: str, result: Any = None, error: ReviewError | None = None) -> None:
        super().__init__()
        self.name = name
        self.result = result
        self.error = error


def send(receiver: MessagePump, message: Message) -> None:
    """From a thread. A receiver whose program has ended is no error."""
    with contextlib.suppress(RuntimeError):
        receiver.post_message(message)


def start(name: str, receiver: MessagePump, work: Callable[[], Any]) -> threading.Thread:
    """Runs `work` in a thread; `receiver` gets Finished. What is no ReviewError is a defect and is reported as one."""

    def run() -> None:
        try:
            message = Finished(name, work())
        except ReviewError as error:
            message = Finished(name, error=error)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            words = f"{type(error).__name__}: {error} ({place.name}, line {place.lineno})"
            message = Finished(name, error=ReviewError(words, "This is a defect of pgsurveyor: please report it"))
        send(receiver, message)

    sys.setswitchinterval(TURN_S)
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
