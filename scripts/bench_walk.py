"""What a long review costs at the terminal: one with 10,000 findings and 5,000 statements, driven on a pseudo-terminal."""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import pty
import select
import signal
import socket
import statistics
import struct
import tempfile
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from checks.checklist import EVERYTHING, run_checks
from checks.evidence.database.facts import (
    Catalog,
    Column,
    PlannerStatistics,
    Plans,
    Server,
    Statement,
    Statements,
    Table,
    Usage,
)
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from scorecards.remembered import keep
from scorecards.store import ReviewFolder

TABLES, STATEMENTS = 5_000, 5_000
WIDTH, HEIGHT = 120, 40
FRAME_GAP_S = 0.025
REST_S = 0.25
LONGEST_S = 20.0
KEYS = 60
NOW = dt.datetime(2026, 11, 23, 15, 0, tzinfo=dt.UTC)
NAMES = "orders users events chats messages documents chunks invoices payments sessions".split()

Say = Callable[..., None]


def long_review(root: Path, cache: Path) -> tuple[Path, int]:
    """The folder of a saved review, its results kept as after a run, and how many findings it has: two for each table."""
    tables, columns = [], []
    for number in range(TABLES):
        oid, size = 20_000 + number, 81_920 * (1 + number % 97)
        tables.append(
            Table(oid, "public", f"{NAMES[number % 10]}_{number}", "table", "app", rows=1_000.0 + number, pages=10,
                  heap_bytes=size, toast_bytes=0, index_bytes=0, total_bytes=size)
        )  # fmt: skip
        names = ("a", "b", f"c{number % 13}", f"d{number % 7}")
        columns += [Column(oid, place, name, "text", "text", not_null=True) for place, name in enumerate(names, 1)]
    statements = tuple(
        Statement(
            str(10**9 + number),
            f"SELECT a, b FROM public.{tables[number % TABLES].name} "
            f"WHERE c{number % 13} = $1 AND b > ${2 + number % 3} ORDER BY a LIMIT $5",
            100 + number,
            float(number * 7 % 1_000 + 1),
            0.5,
            10 * number,
        )
        for number in range(STATEMENTS)
    )
    since = NOW - dt.timedelta(days=40)
    server = Server(
        "support", "18.6", 180006, "primary", "postgresql", "app", "monitor", NOW, since, since, 123_456_789
    )
    evidence = Evidence(
        tool_version="0",
        observed_at=NOW,
        server=server,
        catalog=Catalog(tuple(tables), tuple(columns)),
        usage=Usage(),
        planner_statistics=PlannerStatistics(),
        plans=Plans(),
        statements=Statements("1.12", since, 0, 0, statements),
        repository=Repository("support-assistant"),
    )
    folder = ReviewFolder.create(root, evidence, title="long", now=NOW)
    results = run_checks(evidence, EVERYTHING)
    keep(folder, results, cache)
    return folder.path, sum(len(result.findings) for result in results)


class Terminal:
    """The program on a pseudo-terminal. Raises SystemExit where it draws nothing."""

    def __init__(self, command: Sequence[str], home: Path) -> None:
        self.begun = time.perf_counter()
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "HOME": str(home)}
            for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
                os.environ.pop(name, None)
            os.execv(command[0], list(command))
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))

    def frame(self, *, until: bytes = b"", begun: float | None = None, quiet: float = FRAME_GAP_S) -> float:
        """Seconds from `begun` (now) to the last byte of the next frame, or of the one with `until` in it."""
        begun = time.perf_counter() if begun is None else begun
        last, seen, found = 0.0, b"", False
        while time.perf_counter() - begun < LONGEST_S:
            found = found or until in seen
            waiting = quiet if last and found else LONGEST_S
            if not select.select([self._terminal], [], [], waiting)[0]:
                return last - begun
            try:
                seen = seen[-4_000:] + os.read(self._terminal, 65_536)
            except OSError:
                return time.perf_counter() - begun
            last = time.perf_counter()
        raise SystemExit(f"no frame with {until!r} within {LONGEST_S:.0f} s: {seen[-300:]!r}")

    def rest(self) -> None:
        """Reads what still comes, so that the next frame is the next key's."""
        end = time.perf_counter() + REST_S
        while (left := end - time.perf_counter()) > 0:
            if select.select([self._terminal], [], [], left)[0]:
                os.read(self._terminal, 65_536)

    def press(self, keys: bytes) -> float:
        """Seconds from writing `keys` to the last byte of the frame."""
        begun = time.perf_counter()
        os.write(self._terminal, keys)
        return self.frame(begun=begun)

    def write(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    @property
    def waited_s(self) -> float:
        """How long its main thread was ready and had no processor so far."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9

    @property
    def peak_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024

    def end(self) -> float:
        """Seconds until the process is gone after `q`."""
        begun = time.perf_counter()
        os.write(self._terminal, b"q")
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if time.perf_counter() - begun > LONGEST_S:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                break
            if select.select([self._terminal], [], [], 0.005)[0]:
                try:
                    os.read(self._terminal, 65_536)
                except OSError:
                    time.sleep(0.005)
        os.close(self._terminal)
        return time.perf_counter() - begun


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def measure_walk(say: Say, program: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        review, findings = long_review(home / "reviews", home / ".cache" / "pgsurveyor" / "results")
        say(f"a review of {findings:,} findings, {STATEMENTS:,} statements")
        terminal = Terminal([program, "walk", str(review)], home)
        opened = terminal.frame(until=b"READ-ONLY", begun=terminal.begun, quiet=0.3)
        terminal.rest()
        say("  open: from the start to the whole page", f"{opened:.2f} s")
        _moving(terminal, say)
        _filtering(terminal, say)
        _pages(terminal, say)
        say("  memory, at most", f"{terminal.peak_bytes / 2**20:.0f} MiB")
        say("  quitting", f"{terminal.end() * 1000:.0f} ms")
    _quitting_while_a_server_is_silent(say, program)


def _moving(terminal: Terminal, say: Say) -> None:
    """Behind the times stand the same without the waiting for a processor, which on a busy machine is most of them."""
    for what, keys in (("j", b"j"), ("page down", b"\x04"), ("next undecided", b"]")):
        times, alone = [], []
        for _ in range(KEYS):
            waited = terminal.waited_s
            times.append(terminal.press(keys))
            alone.append(max(0.0, times[-1] - (terminal.waited_s - waited)))
            terminal.rest()
        say(
            f"  {what}", f"{statistics.median(times) * 1000:.0f} ms", f"p95 {percentile(times, 0.95) * 1000:.0f} ms",
            f"less waits {percentile(alone, 0.95) * 1000:.0f} ms",
        )  # fmt: skip


def _filtering(terminal: Terminal, say: Say) -> None:
    times = []
    for word in ("sev:high", "invoices", "messages_1", "orders", "area:schema users", "chunks_77"):
        terminal.write(b"/")
        terminal.rest()
        terminal.write(b"\x15")
        terminal.rest()
        for letter in word[:-1]:
            terminal.write(letter.encode())
        terminal.rest()
        times.append(terminal.press(word[-1].encode()))
        terminal.rest()
        terminal.write(b"\r")
        terminal.rest()
    terminal.write(b"\x1b")
    terminal.rest()
    say("  filtering", f"{statistics.median(times) * 1000:.0f} ms", f"worst {max(times) * 1000:.0f} ms")


def _pages(terminal: Terminal, say: Say) -> None:
    for what, key in (
        ("browse", b"B"),
        ("statements", b"3"),
        ("scorecard", b"S"),
        ("agenda", b"A"),
        ("back to the walk", b"W"),
    ):
        begun = time.perf_counter()
        terminal.write(key)
        first = terminal.frame(begun=begun, quiet=0.1)
        say(f"  {what}", f"{first * 1000:.0f} ms")
        time.sleep(3)
        terminal.rest()


def _quitting_while_a_server_is_silent(say: Say, program: str) -> None:
    """A server that accepts and never answers, which is what a slow statement looks like from here."""
    with socket.socket() as silent, tempfile.TemporaryDirectory() as scratch:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        dsn = f"postgresql://app@127.0.0.1:{silent.getsockname()[1]}/app"
        terminal = Terminal([program, "review", dsn, "--no-repo"], Path(scratch))
        terminal.frame(until=b"READ-ONLY", begun=terminal.begun, quiet=0.3)
        say("quitting while a server does not answer", f"{terminal.end() * 1000:.0f} ms")
