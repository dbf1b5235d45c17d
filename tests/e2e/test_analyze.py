"""--analyze from the command line: with a person at a terminal, and with nobody."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from pathlib import Path

from checks.evidence import store
from checks.evidence.database.facts import GivenPlans
from tests.checks.workload import prepare, send
from tests.e2e.conftest import PROGRAM, Run
from tests.servers import Database

WAITS_S = 90.0


def _with_a_workload(database: Database) -> None:
    prepare(database, "CREATE TABLE orders AS SELECT n AS id, n % 7 AS kind FROM generate_series(1, 60000) n")
    send(database.connect(), "SELECT count(*) FROM orders a JOIN orders b USING (id) WHERE a.kind = %s", [(3,)] * 4)


def test_with_nobody_to_ask_nothing_is_run_and_the_rest_is_written(pgsurveyor: Run, database: Database) -> None:
    _with_a_workload(database)
    done = pgsurveyor("run", database.dsn, "--no-repo", "--no-shadow", "--analyze", "--format", "json")
    assert done.returncode == 3
    assert "there is nobody to ask" in done.stderr
    told = {check["id"]: (check["outcome"], check["reason"]) for check in json.loads(done.stdout)["checks"]}
    assert told["plans.sort-on-disk"] == ("unknown", "needs_answer")
    assert told["plans.dominant-statement"][0] != "error"


def test_a_person_at_a_terminal_says_yes(database: Database, home: Path, tmp_path: Path) -> None:
    _with_a_workload(database)
    saved = tmp_path / "evidence.json.gz"
    ours, theirs = pty.openpty()
    words = ["collect", database.dsn, "--no-repo", "--no-shadow", "--analyze", "-o", str(saved)]
    with subprocess.Popen(
        [*PROGRAM, *words], stdin=theirs, stderr=theirs, stdout=subprocess.DEVNULL, cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm-256color"},
    ) as program:  # fmt: skip
        os.close(theirs)
        shown = _answered(ours, program)
    os.close(ours)
    assert program.returncode == 0, shown
    assert "the most common value of public.orders.kind" in shown
    given = store.load(saved).given_plans
    assert isinstance(given, GivenPlans)
    assert given.asked == len(given.plans) >= 1
    assert given.plans[0].root.measured is not None


def _answered(terminal: int, program: subprocess.Popen[bytes]) -> str:
    """All that was shown, a yes given to each question."""
    shown, answered, deadline = b"", 0, time.monotonic() + WAITS_S
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:
                break
            if shown.count(b"[q] no more: ") > answered:
                answered += 1
                os.write(terminal, b"y\n")
        elif program.poll() is not None:
            break
    return shown.decode("utf-8", "replace")
