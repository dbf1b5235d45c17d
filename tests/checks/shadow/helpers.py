"""What the tests of embedded servers share."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg

QUICK = {"fsync": "off"}
ROOT = Path(__file__).parents[3]

OWNER = """
import sys, time
from pathlib import Path
from checks.shadow.server import start
running = start({"fsync": "off"}, folder=Path(sys.argv[1]) if len(sys.argv) > 1 else None)
print(running.folder, running.pid, running.data, running.dsn(), sep="|", flush=True)
time.sleep(600)
"""


class Owner:
    """A process that has started a server and holds it until it is killed."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        folder, pid, data, self.dsn = self.process.stdout.readline().strip().split("|")
        self.folder, self.pid, self.data = Path(folder), int(pid), Path(data)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def ask(dsn: str, query: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def make_a_row(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)
