"""What to do when the terminal is gone: a closed window, a lost connection, a killed tmux.

Textual's input thread then reads nothing as fast as it can, for ever, and SIGHUP does not reach a program that a wrapper
such as su has put into a session of its own.
"""

from __future__ import annotations

import errno
import os
import sys
import termios
import threading

LOOK_EVERY_S = 1.0
PATIENCE_S = 5.0
STATUS = 129


def terminal_is_gone() -> bool:
    """Whether standard input was a terminal that hung up. What is no terminal cannot hang up."""
    if sys.__stdin__ is None or sys.__stdin__.closed:
        return False
    try:
        termios.tcgetattr(sys.__stdin__.fileno())
    except termios.error as error:
        return bool(error.args[0] == errno.EIO)
    except (OSError, ValueError):
        return False
    return False


def has_shell() -> bool:
    """Whether a shell started this as a job, which it can stop and continue. What a terminal or container runs directly would
    stop for good."""
    return os.getpgrp() != os.getsid(0)


def leave_for_certain() -> None:
    """Ends the process soon, even if something waits for the terminal; all that was decided is saved already."""
    timer = threading.Timer(PATIENCE_S, os._exit, (STATUS,))
    timer.daemon = True
    timer.start()
