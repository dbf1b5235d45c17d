"""Evidence and findings made by hand, for screens that need some."""

from __future__ import annotations

import datetime as dt

from checks.evidence.database.facts import Server
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.model import CheckResult, Finding, Fix, Location, Outcome, Severity, Subject

NOW = dt.datetime(2026, 11, 23, 15, 0, tzinfo=dt.UTC)

HOSTILE = (
    "a[/b]c [/]",
    "[@click=app.leave]go[/]",
    "\x1b]0;TITLE\x07\x1b]52;c;aGk=\x1b\\ \x9b31m",
    "left \u202eright\u202c \u2066x\u2069",
    "x" * 10_000,
    "two\nlines\tand a tab",
    "[red]r[/red] $accent {0} %s",
    "表 \U0001f600 e\u0301",
)

_KINDS = (
    ("schema.integer-key-running-out", Severity.CRITICAL, "Sequence public.events_id_seq has used 96 % of its range"),
    ("indexing.foreign-key-without-index", Severity.HIGH, "Foreign key public.messages (conversation_id) has no index"),
    ("plans.offset-pagination", Severity.MEDIUM, "A statement pages through messages with OFFSET"),
    ("replication.unlimited-slot-retention", Severity.HIGH, "Slots may retain WAL without limit"),
    ("observability.slow-log", Severity.LOW, "Slow statements are not logged"),
    ("hybrid.json-not-jsonb", Severity.NOTE, "Column public.events.payload is json"),
)


def make_finding(number: int, title: str | None = None) -> Finding:
    check, severity, words = _KINDS[number % len(_KINDS)]
    text = f"{words} ({number})" if title is None else title
    return Finding(
        subject=Subject("table", ("public", f"t{number}" if title is None else title)),
        title=text,
        fix=Fix(
            "Make it `so`.",
            f"CREATE INDEX i{number} ON public.t{number} (a);",
            "SHARE",
            False,
            f"DROP INDEX i{number};",
        ),
        severity=severity,
        observed={"rows": 1_204_332, "heap_bytes": 4_194_304, "names": [text[:40]]},
        locations=(Location("app/db.py", number + 1),),
        check=check,
        why=f"Because {text[:80]}.",
    )


def make_results(findings: list[Finding]) -> tuple[CheckResult, ...]:
    checks: dict[str, list[Finding]] = {}
    for finding in findings:
        checks.setdefault(finding.check, []).append(finding)
    return tuple(
        CheckResult(check, Outcome.FOUND, tuple(found), examined=len(found), of=len(found), unmet=len(found))
        for check, found in sorted(checks.items())
    )


def make_evidence() -> Evidence:
    server = Server(
        database="support",
        version="18.6",
        version_num=180006,
        role="primary",
        flavour="postgresql",
        user="app",
        user_sees="monitor",
        observed_at=NOW,
        started_at=NOW - dt.timedelta(days=40),
        statistics_since=NOW - dt.timedelta(days=40),
        size_bytes=123_456_789,
    )
    return Evidence(tool_version="0.1.0", observed_at=NOW, server=server, repository=Repository("support-assistant"))
