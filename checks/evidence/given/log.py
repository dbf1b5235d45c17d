"""What a server's log counts: errors by kind, in stderr's format, as CSV or as JSON. No text of it is kept."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from checks.evidence.database.facts import LogEvents

_SEVERITIES = frozenset(["LOG", "WARNING", "ERROR", "FATAL", "PANIC"])
_FAILURES = frozenset(["ERROR", "FATAL", "PANIC"])
# Two blanks follow the word; the prefix may be anything, and a further line of an entry begins with a tab.
_STDERR = re.compile(
    r"^(?!\t)([^\n]{0,300}?)\b(LOG|WARNING|ERROR|FATAL|PANIC|NOTICE|INFO|DEBUG[1-5]?|STATEMENT|DETAIL|HINT|CONTEXT|QUERY"
    r"|LOCATION|BACKTRACE):  ([^\n]*)",
    re.MULTILINE,
)
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)")
_CSV = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [^\s,]{1,20},", re.MULTILINE)
_CSV_SEVERITY, _CSV_STATE, _CSV_MESSAGE = 11, 12, 13
_MESSAGE = 2_000

# By SQLSTATE or its class, and by what the server says in English where its log does not tell the SQLSTATE.
_STATES = {
    "40P01": "deadlocks", "53200": "out-of-memory", "53100": "disk-full", "53300": "too-many-connections",
    "55P03": "lock-timeouts", "28": "failed-logins", "XX001": "corruption", "XX002": "corruption",
    "23505": "unique-violations", "42P01": "unknown-names", "42703": "unknown-names", "42883": "unknown-names",
    "42501": "denials",
}  # fmt: skip
_SAYINGS = [
    ("crashes", re.compile(r"was terminated by signal|database system was interrupted|all server processes terminated")),
    ("statement-timeouts", re.compile(r"canceling statement due to statement timeout")),
    ("lock-timeouts", re.compile(r"canceling statement due to lock timeout")),
    ("deadlocks", re.compile(r"^deadlock detected")),
    ("out-of-memory", re.compile(r"^out of memory|Cannot allocate memory")),
    ("disk-full", re.compile(r"No space left on device")),
    ("too-many-connections", re.compile(r"too many clients already|remaining connection slots|too many connections for ")),
    ("failed-logins", re.compile(r"authentication failed for user|^no pg_hba\.conf entry")),
    ("corruption", re.compile(r"^invalid page in block|^could not read blocks? .*read only|unexpected data beyond EOF")),
    ("unique-violations", re.compile(r"^duplicate key value violates unique constraint")),
    ("unknown-names", re.compile(r"^(?:relation|column|function|type) .*does not exist")),
    ("denials", re.compile(r"^permission denied for ")),
]  # fmt: skip


class _Entry(NamedTuple):
    moment: str
    severity: str
    state: str
    message: str


def read_log(text: str) -> LogEvents | None:
    """None if no entry of a log stands there."""
    counts: Counter[str] = Counter()
    entries = 0
    first = last = None
    for entry in _entries(text):
        entries += 1
        if (moment := _moment(entry.moment)) is not None:
            first = moment if first is None else min(first, moment)
            last = moment if last is None else max(last, moment)
        if kind := _kind(entry):
            counts[kind] += 1
    return LogEvents(entries, first, last, dict(sorted(counts.items()))) if entries else None


def merged(one: LogEvents | None, other: LogEvents | None) -> LogEvents | None:
    """Of several files, which together are one log."""
    if one is None or other is None:
        return one or other
    moments = [moment for moment in (one.since, one.until, other.since, other.until) if moment is not None]
    counts = Counter(one.counts) + Counter(other.counts)
    return LogEvents(
        one.entries + other.entries,
        min(moments, default=None),
        max(moments, default=None),
        dict(sorted(counts.items())),
    )


def _entries(text: str) -> Iterator[_Entry]:
    if text.lstrip()[:1] == "{":
        yield from _of_json(text)
    elif _CSV.search(text[:10_000]):
        yield from _of_csv(text)
    else:
        for match in _STDERR.finditer(text):
            prefix, word, message = match.groups()
            if word in _SEVERITIES:
                yield _Entry(prefix, word, "", message[:_MESSAGE])


def _of_json(text: str) -> Iterator[_Entry]:
    for line in text.splitlines():
        try:
            record = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError):
            continue
        if isinstance(record, dict) and record.get("error_severity") in _SEVERITIES:
            names = ("timestamp", "error_severity", "state_code", "message")
            yield _Entry(*(str(record.get(name) or "")[:_MESSAGE] for name in names))


def _of_csv(text: str) -> Iterator[_Entry]:
    try:
        for row in csv.reader(io.StringIO(text)):
            if len(row) > _CSV_MESSAGE and row[_CSV_SEVERITY] in _SEVERITIES:
                yield _Entry(row[0], row[_CSV_SEVERITY], row[_CSV_STATE], row[_CSV_MESSAGE][:_MESSAGE])
    except csv.Error:
        return


def _kind(entry: _Entry) -> str | None:
    failed = entry.severity in _FAILURES
    if failed and (kind := _STATES.get(entry.state) or _STATES.get(entry.state[:2])):
        return kind
    for kind, says in _SAYINGS:
        if (failed or kind == "crashes") and says.search(entry.message):
            return kind
    return None


def _moment(written: str) -> dt.datetime | None:
    match = _MOMENT.search(written)
    if match is None:
        return None
    try:
        return dt.datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00")
    except ValueError:
        return None
