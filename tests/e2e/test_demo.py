from __future__ import annotations

import json
from typing import Any

from tests.e2e.conftest import Run
from tui.demo.launch import Demo

WINDOWED = {"indexing.unused-index", "plans.chatty-statement", "plans.dominant-statement"}


def scorecard(pgsurveyor: Run, *words: str) -> dict[str, Any]:
    done = pgsurveyor("run", *words, "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_fresh_demo_has_too_young_statistics_for_some_checks(pgsurveyor: Run, demo: Demo) -> None:
    replicas = [word for dsn in demo.replica_dsns for word in ("--replica", dsn)]
    checks = scorecard(pgsurveyor, demo.dsn, *replicas, "--no-repo")["checks"]
    young = {entry["id"] for entry in checks if entry["reason"] == "window_too_short"}
    assert young >= WINDOWED
    assert all("window_days" in entry["unlock"] for entry in checks if entry["id"] in WINDOWED)


def test_its_own_configuration_lowers_the_window_and_the_report_says_so_first(pgsurveyor: Run, demo: Demo) -> None:
    replicas = [word for dsn in demo.replica_dsns for word in ("--replica", dsn)]
    done = pgsurveyor("run", demo.dsn, str(demo.repository), *replicas)
    assert done.returncode == 0, done.stderr
    before_the_verdict = done.stdout.partition("## Verdict")[0]
    assert "window_days: 7 → 0 (lowered by the repository)" in before_the_verdict
    assert "would be unknown (window_too_short): indexing." in before_the_verdict


def test_the_demo_has_findings_of_all_six_areas(pgsurveyor: Run, demo: Demo) -> None:
    found = scorecard(pgsurveyor, demo.dsn, str(demo.repository))
    assert {entry["area"] for entry in found["findings"]} == {area["area"] for area in found["areas"]}
    assert not [entry for entry in found["checks"] if entry["outcome"] == "error"]
    text = json.dumps(found)
    assert str(demo.repository) not in text
    assert str(demo.server.folder) not in text
