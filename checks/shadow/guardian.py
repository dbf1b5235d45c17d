"""Removes a folder as soon as the process that made it is gone, however that ended."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

# It waits on a pipe that only we hold; then for the server in the folder, which ends with us, and makes an end of it if it has
# to.
_SCRIPT = """
cat >/dev/null
for file in "$1"/server/*/postmaster.pid; do
    [ -f "$file" ] || continue
    pid=$(head -n 1 "$file")
    case $pid in ''|*[!0-9]*) continue;; esac
    n=0
    while kill -0 "$pid" 2>/dev/null && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.1; done
    kill -QUIT "$pid" 2>/dev/null && sleep 6
done
n=0
while [ -e "$1" ] && [ $n -lt 100 ]; do
    rm -rf -- "$1" && break
    n=$((n + 1)); sleep 0.1
done
"""


class Guardian:
    """A small shell process that outlives us by the time it takes to remove `folder`."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "sh", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def dismiss(self) -> None:
        """Ends it; the folder is gone already."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
