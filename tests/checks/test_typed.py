from __future__ import annotations

import subprocess
import sys

FIRST_IN_EIGHT_THREADS = """
import threading

import checks.typed
from checks.evidence.evidence import Evidence
from scorecards.model import Scorecard

together = threading.Barrier(8)

def read(kind):
    together.wait()
    try:
        checks.typed.decode_json(b"{}", kind)
    except ValueError:
        pass
    checks.typed.convert([], list[kind])

threads = [threading.Thread(target=read, args=(kind,)) for kind in [Evidence, Scorecard] * 4]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("read")
"""


def test_threads_that_are_the_first_to_read_a_type() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_IN_EIGHT_THREADS], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr
