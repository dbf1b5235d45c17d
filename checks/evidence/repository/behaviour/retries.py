"""Attempts that follow one another at once, or all at the same interval."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.repository.behaviour.loops import local_calls
from checks.evidence.repository.behaviour.outline import Loop, Outline
from checks.evidence.repository.behaviour.sites import Site
from checks.evidence.repository.facts import Behaviour
from checks.evidence.repository.orm.syntax import field
from checks.model import Location

_ATTEMPTS = re.compile(r"attempt(?!ed)|retr(?:y|ies)|\btries\b|tries_left", re.IGNORECASE)
_CATCHES = re.compile(r"\bexcept\b|\bcatch\b(?!\()")
_OF_THE_DATABASE = re.compile(
    r"OperationalError|InterfaceError|DBAPIError|SQLAlchemyError|DatabaseError|psycopg|asyncpg|40001|40P01|P2034|P2024|P2028|deadlock"
    r"|serializ|PrismaClient",
    re.IGNORECASE,
)
_OF_SOME_KIND = re.compile(
    r"\binstanceof\b|\bis[A-Z]\w*\(|\.(?:code|status|name)\b|^except\s+\(?(?!Exception\b|BaseException\b|\s*:)\w"
)
# A new key after a clash, or the next of several, is no repetition of the same work.
_CLASH = re.compile(
    r"IntegrityError|UniqueViolation|P2002|23505|unique_violation|isUnique|Conflict|Duplicate", re.IGNORECASE
)
_WAITS = re.compile(
    r"(?:asyncio\.sleep|time\.sleep|\bsleep|\bdelay|setTimeout|\bwait|wait_for|backoff|back_off)\w*\s*\(([^\n]*)",
    re.IGNORECASE,
)
_GROWS = re.compile(
    r"\*\*|\*|<<|pow\(|attempt|retr(?:y|ies)|backoff|back_off|jitter|random|delays?\b|expo", re.IGNORECASE
)
_FIXED = re.compile(r"^\s*(?:(?:resolve|r|res)\s*=>\s*setTimeout\([^,]*,)?\s*(?:resolve\s*,\s*)?[\d_.]+\s*[),;]")
_TENACITY = re.compile(r"@(?:tenacity\.)?retry\s*(?:\(|$)")
_WAIT_FIXED = re.compile(r"wait\s*=\s*(?:tenacity\.)?wait_(?:fixed|none)\b")
_RETRIES = frozenset(["pRetry", "retry", "asyncRetry", "backOff", "withRetry"])
_SAME_WAIT = re.compile(
    r"\b(?:factor|timeMultiple|backoffFactor)\s*:\s*1\b|\bminTimeout\s*:\s*0\b|\bbackoff\s*:\s*[\"']FIXED"
)
_CELERY = re.compile(
    r"@(?:\w+\.)*(?:shared_task|task)\([^)]*\bautoretry_for\b[^@]*?\b(?:default_retry_delay\s*=\s*|countdown[\"']?\s*[:=]\s*)(\d{1,6})"
)
# `let attempt = 1; attempt <= MAX_ATTEMPTS` and `range(3)`.
_COUNTED = re.compile(r"=\s*(?P<first>\d{1,4})\s*;\s*\w+\s*(?P<sign><=?)\s*(?P<most>\w{1,60})(?![\w.(\[])")
_RANGED = re.compile(r"\brange\(\s*(?:(?P<first>\d{1,4})\s*,\s*)?(?P<most>\w{1,60})\s*\)")
_HEAD = 300
_SHORT_SECONDS = 10
CANDIDATE = re.compile(r"attempt|retr(?:y|ies)|\btries\b", re.IGNORECASE)


def retries_of(outline: Outline, sites: list[Site]) -> Iterator[Behaviour]:
    """Loops of attempts around statements, and decorators of tenacity on functions that send them."""
    if not sites or not CANDIDATE.search(outline.source.file.text):
        return
    yield from _loops(outline, sites)
    yield from _configured(outline, sites)
    for function in outline.functions:
        if not outline.is_python or not _TENACITY.search(function.head):
            continue
        site = next((site for site in sites if function.start <= site.start < function.end), None)
        if site is None:
            continue
        if "wait" not in function.head.split("def ")[0]:
            yield _behaviour(outline, site, function.node.start_point.row + 1, "tenacity without wait")
        elif _WAIT_FIXED.search(function.head):
            yield _behaviour(outline, site, function.node.start_point.row + 1, "fixed wait")


def _configured(outline: Outline, sites: list[Site]) -> Iterator[Behaviour]:
    """p-retry and its like with a factor of one, and Celery tasks that try again within ten seconds, always as soon."""
    for call in outline.calls:
        if call.name in _RETRIES and (arguments := field(call.node, "arguments")) is not None:
            site = next((site for site in sites if arguments.start_byte <= site.start < arguments.end_byte), None)
            options = outline.slice(site.end, arguments.end_byte) if site is not None else ""
            if site is not None and _SAME_WAIT.search(options):
                yield _behaviour(outline, site, call.line, "fixed wait")
    for function in outline.functions:
        task = _CELERY.search(function.head)
        if task is None or "retry_backoff" in function.head or int(task.group(1)) > _SHORT_SECONDS:
            continue
        site = next((site for site in sites if function.start <= site.start < function.end), None)
        if site is not None:
            yield _behaviour(outline, site, function.node.start_point.row + 1, "fixed wait")


def _loops(outline: Outline, sites: list[Site]) -> Iterator[Behaviour]:
    by_function = {site.function.start: site for site in reversed(sites) if site.function is not None}
    called = [
        (call, by_function[function.start]) for call, function in local_calls(outline) if function.start in by_function
    ]
    for loop in outline.loops:
        if loop.kind in ("comprehension", "callback") or not _is_of_attempts(loop):
            continue
        if _attempts(outline, loop) in (1, 2):
            # One repetition keeps no trouble alive.
            continue
        body = outline.slice(loop.start, loop.end)
        caught = _CATCHES.search(body)
        if caught is None or _CLASH.search(body):
            continue
        handler = body[caught.start() :]
        if _OF_SOME_KIND.search(handler) and not _OF_THE_DATABASE.search(handler):
            continue
        inside = [site for site in sites if loop.start <= site.start < loop.end]
        inside += [site for call, site in called if loop.start <= call.start < loop.end]
        waits = [match.group(1) for match in _WAITS.finditer(body)]
        if not inside or any(_GROWS.search(wait) or not _FIXED.match(wait) for wait in waits):
            continue
        yield _behaviour(outline, inside[0], loop.line, "fixed wait" if waits else "no wait")


def _attempts(outline: Outline, loop: Loop) -> int | None:
    """How many times it goes round at most, where that is written as a number or as a constant of the file."""
    head = outline.slice(max(0, loop.start - _HEAD), loop.start).rpartition("for")[2]
    counted = _COUNTED.search(head) if loop.kind == "count" else None
    if counted is not None:
        first, most = int(counted["first"]), _number(outline, counted["most"])
        return None if most is None else most - first + (counted["sign"] == "<=")
    ranged = _RANGED.search(loop.over)
    if ranged is None:
        return None
    first, most = int(ranged["first"] or 0), _number(outline, ranged["most"])
    return None if most is None else most - first


def _number(outline: Outline, written: str) -> int | None:
    if written.isdigit():
        return int(written)
    found = set(
        re.findall(rf"\b{re.escape(written)}\s*(?::\s*\w+\s*)?=\s*(\d{{1,4}})\b(?!\s*[*+.-])", outline.source.file.text)
    )
    return int(found.pop()) if len(found) == 1 else None


def _is_of_attempts(loop: Loop) -> bool:
    return bool(_ATTEMPTS.search(loop.over) or _ATTEMPTS.search(loop.variable))


def _behaviour(outline: Outline, site: Site, line: int, detail: str) -> Behaviour:
    name = site.function.name if site.function else None
    return Behaviour(
        "retry_without_backoff",
        Location(outline.path, site.line),
        name,
        site.table,
        site.text,
        Location(outline.path, line),
        detail,
    )
