from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

from tests.e2e.conftest import PROGRAM

WAIT_S = 30


def test_the_program_ends_with_its_terminal_even_where_no_signal_tells_it(home: Path) -> None:
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        PROGRAM,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm-256color"},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    os.close(theirs)
    try:
        shown, begun = b"", time.monotonic()
        while b"READ-ONLY" not in shown:
            assert time.monotonic() - begun < WAIT_S, shown[-500:]
            if select.select([ours], [], [], 0.2)[0]:
                shown += os.read(ours, 65536)
        assert program.poll() is None
        os.close(ours)
        program.wait(timeout=WAIT_S)
    finally:
        program.kill()
        program.wait()
