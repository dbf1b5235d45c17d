"""What pgsurveyor costs: time and memory here, statements and time on the reviewed server. Prints figures, judges nothing.

Without arguments: start-up, a long review at the terminal, the demo, and a database of 1,000 tables. `bench.py walk` measures
the terminal program alone, `bench.py 10001 100001` databases of so many tables, which takes minutes, `bench.py repository
500000` the reading of a repository of so many lines, `bench.py shadow` a shadow of 1,000 tables and its growth.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg
from bench_catalogs import SIZES, measure
from bench_repository import measure_repository
from bench_shadow import measure_shadow
from bench_walk import measure_walk

PROGRAM = str(Path(sys.executable).with_name("pgsurveyor"))
REPEATS = 7
QUIET_S = 0.25
FRAME_BYTES = 2_000
FRAME_WAIT_S = 15.0

MEASURE = """
import resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
seconds = time.perf_counter() - began
print(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, done.returncode)
"""


class Cost(NamedTuple):
    """Wall-clock seconds and the peak of resident memory in bytes of one process."""

    seconds: float
    peak_bytes: int
    status: int


class Work(NamedTuple):
    """What a server did: statements, as pg_stat_statements counts them, and milliseconds of planning and executing."""

    statements: int
    milliseconds: float


def cost(command: Sequence[str]) -> Cost:
    """Measured from a small process: a child's peak begins with what its parent holds."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=True)
    seconds, peak, status = done.stdout.split()
    return Cost(float(seconds), int(peak) * (1 if sys.platform == "darwin" else 1024), int(status))


def first_frame(command: Sequence[str]) -> tuple[float, float]:
    """Seconds from the start of `command` in a terminal of 100x30 to the beginning and the end of its first full frame."""
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        os.execv(command[0], list(command))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    seen, first, last = 0, 0.0, 0.0
    while True:
        waited = QUIET_S if seen >= FRAME_BYTES else FRAME_WAIT_S
        if not select.select([terminal], [], [], waited)[0]:
            break
        try:
            data = os.read(terminal, 65_536)
        except OSError:
            data = b""
        if not data:
            break
        seen += len(data)
        last = time.perf_counter() - began
        first = first or (last if seen >= FRAME_BYTES else 0.0)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(terminal)
    if seen < FRAME_BYTES:
        raise SystemExit(f"{' '.join(command)} drew no frame within {FRAME_WAIT_S:.0f} s")
    return first, last


def work(dsn: str) -> Work:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(
            "SELECT sum(calls), sum(total_plan_time + total_exec_time) FROM pg_stat_statements WHERE toplevel"
        ).fetchone()
    assert row is not None
    return Work(int(row[0]), float(row[1]))


def say(what: str, *figures: str) -> None:
    print(f"{what:<44}" + "".join(f"{figure:>18}" for figure in figures), flush=True)


def milliseconds(values: Sequence[float]) -> tuple[str, str]:
    return f"{statistics.median(values) * 1000:.0f} ms", f"worst {max(values) * 1000:.0f} ms"


def mebibytes(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"


def start_up() -> None:
    for what, command in (
        ("python -c pass", [sys.executable, "-c", "pass"]),
        ("import tui.cli", [sys.executable, "-c", "import tui.cli"]),
        ("import tui.app", [sys.executable, "-c", "import tui.app"]),
        ("pgsurveyor --help", [PROGRAM, "--help"]),
        ("pgsurveyor checks", [PROGRAM, "checks"]),
    ):
        costs = [cost(command) for _ in range(REPEATS)]
        assert all(one.status == 0 for one in costs), what
        say(what, *milliseconds([one.seconds for one in costs]), mebibytes(max(one.peak_bytes for one in costs)))


def terminal_program() -> None:
    frames = [first_frame([PROGRAM]) for _ in range(REPEATS)]
    say("first frame begins", *milliseconds([frame[0] for frame in frames]))
    say("first frame is complete", *milliseconds([frame[1] for frame in frames]))


def whole_review() -> None:
    from tui.demo.launch import start_demo

    began = time.perf_counter()
    sample = start_demo(progress=None)
    say("the demo is ready", f"{time.perf_counter() - began:.1f} s")
    try:
        with tempfile.TemporaryDirectory() as folder:
            replicas = [word for dsn in sample.replica_dsns for word in ("--replica", dsn)]
            apart = ["env", f"XDG_DATA_HOME={folder}"]
            command = [
                *apart,
                PROGRAM,
                "run",
                sample.dsn,
                str(sample.repository),
                *replicas,
                "--output",
                f"{folder}/scorecard.md",
            ]
            before = work(sample.dsn)
            spent = cost(command)
            after = work(sample.dsn)
            nothing = work(sample.dsn)
    finally:
        sample.stop()
    assert spent.status == 0, f"exit status {spent.status}"
    counting = Work(nothing.statements - after.statements, nothing.milliseconds - after.milliseconds)
    say("pgsurveyor run on the demo", f"{spent.seconds:.1f} s", mebibytes(spent.peak_bytes))
    say("  statements on the primary", f"{after.statements - before.statements - counting.statements}")
    used = after.milliseconds - before.milliseconds - counting.milliseconds
    say("  time of the primary", f"{used:.0f} ms")


if (sizes := sys.argv[1:]) == ["walk"]:
    terminal_program()
    measure_walk(say, PROGRAM)
elif sizes == ["shadow"]:
    measure_shadow(say)
elif sizes[:1] == ["repository"]:
    measure_repository([int(size) for size in sizes[1:]] or [500_000, 2_000_000], cost, say, mebibytes)
elif sizes:
    if unknown := set(sizes) - set(SIZES):
        raise SystemExit(f"no such size: {', '.join(sorted(unknown))}; there are {', '.join(SIZES)}")
    measure(sizes, cost, say, PROGRAM)
else:
    start_up()
    terminal_program()
    measure_walk(say, PROGRAM)
    whole_review()
    measure(["1000"], cost, say, PROGRAM)
    measure_repository([500_000], cost, say, mebibytes)
    measure_shadow(say)
