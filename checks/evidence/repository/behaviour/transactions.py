"""Transactions that code opens, and what it waits for while they are open."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from checks.evidence.repository.behaviour.helpers import Helpers, helper_calls, sent_through
from checks.evidence.repository.behaviour.libraries import external_calls
from checks.evidence.repository.behaviour.loops import local_calls
from checks.evidence.repository.behaviour.outline import Call, Outline, first_argument
from checks.evidence.repository.behaviour.sites import Site
from checks.evidence.repository.facts import Behaviour
from checks.evidence.repository.orm.syntax import field, named
from checks.model import Location

_OPENS_WITH = re.compile(
    r"(?:^|\.)(?:begin|begin_nested|transaction|atomic|in_transaction|begin_transaction)$|^transaction\.atomic$|^atomic$"
)
_SESSION_WITH = re.compile(
    r"(?:^|[._])(?:Async)?(?:session_?(?:maker|local|factory|scope)?|sessionmaker|get_(?:async_)?session|db_session)\w*$",
    re.IGNORECASE,
)
_SESSION_PARAMETER = re.compile(
    r"\b(\w+)\s*:\s*[\"']?(?:Annotated\[\s*)?(?:(?:sqlalchemy|orm|asyncio|sqlmodel|sa|db|deps)\.)*"
    r"(?:Async)?(?:Session|SessionDep|DbSession|DBSession)\b(?!\s*\()"
)
_HTTP = re.compile(r"aiohttp|ClientSession|requests|httpx|boto|http", re.IGNORECASE)
_CALLBACK = frozenset(["$transaction", "transaction", "begin", "inTransaction", "withTransaction", "runInTransaction"])
_NOT_A_DATABASE = re.compile(r"Sentry|\bapm\b|tracer|newrelic|firestore|mongoose|indexedDB|\bidb\b", re.IGNORECASE)
_ENDS = frozenset(["commit", "rollback", "close", "end"])
_DECORATED = re.compile(r"@(?:transaction\.)?(?:atomic|transactional|Transactional)\b")


class Transaction(NamedTuple):
    """What runs while a transaction is open. `session`: it begins with the first statement of an ORM's session and ends with a
    commit or with the session."""

    start: int
    end: int
    line: int
    session: str = ""


def transactions_of(outline: Outline) -> list[Transaction]:
    """Blocks and callbacks of the file that run inside a transaction."""
    found = list(_handed_sessions(outline)) if outline.is_python else []
    found += _with_blocks(outline) if outline.is_python else _callbacks(outline)
    for function in outline.functions:
        body = field(function.node, "body")
        if body is not None and _DECORATED.search(function.head):
            found.append(Transaction(body.start_byte, body.end_byte, function.node.start_point.row + 1))
    found += _begun_by_hand(outline)
    return found


def _with_blocks(outline: Outline) -> Iterator[Transaction]:
    for node in outline.withs:
        body = field(node, "body")
        clause = next((child for child in named(node) if child.type == "with_clause"), None)
        if body is None or clause is None:
            continue
        for item in named(clause):
            value = field(item, "value")
            target = None
            if value is not None and value.type == "as_pattern":
                alias = field(value, "alias")
                target = outline.text(alias) if alias is not None else None
                value = named(value)[0]
            if value is None or value.type != "call":
                continue
            callee = outline.text(field(value, "function"))
            line = node.start_point.row + 1
            if _OPENS_WITH.search(callee) and not _NOT_A_DATABASE.search(callee):
                yield Transaction(body.start_byte, body.end_byte, line)
            elif target and _SESSION_WITH.search(callee) and not _HTTP.search(callee):
                yield Transaction(body.start_byte, body.end_byte, line, target)


def _handed_sessions(outline: Outline) -> Iterator[Transaction]:
    """Functions that get a session of SQLAlchemy's: its first statement begins a transaction, which whoever made it ends."""
    for function in outline.functions:
        parameters, body = field(function.node, "parameters"), field(function.node, "body")
        if parameters is None or body is None or function.node.type != "function_definition":
            continue
        for name in dict.fromkeys(_SESSION_PARAMETER.findall(outline.text(parameters))):
            yield Transaction(body.start_byte, body.end_byte, function.node.start_point.row + 1, name)


def _callbacks(outline: Outline) -> Iterator[Transaction]:
    for function in outline.functions:
        if function.argument_of not in _CALLBACK or function.node.parent is None or function.node.parent.parent is None:
            continue
        body = field(function.node, "body")
        callee = outline.text(field(function.node.parent.parent, "function"))
        if body is not None and not _NOT_A_DATABASE.search(callee):
            line = outline.line_of(function.node.parent.parent.start_byte)
            yield Transaction(body.start_byte, body.end_byte, line)


def _begun_by_hand(outline: Outline) -> Iterator[Transaction]:
    """From `client.query("BEGIN")` to the first COMMIT of the same function."""
    begun = [call for call in outline.calls if _statement_word(outline, call) in ("BEGIN", "START")]
    for call in begun:
        function = outline.function_at(call.start)
        if function is None:
            continue
        later = outline.calls_within(call.end, function.end)
        ends = [other for other in later if _statement_word(outline, other) in ("COMMIT", "END")]
        if ends:
            yield Transaction(call.end, ends[0].start, call.line)


def _statement_word(outline: Outline, call: Call) -> str:
    if call.name not in ("query", "execute", "unsafe", "exec"):
        return ""
    argument = first_argument(call)
    if argument is None or argument.type not in ("string", "template_string"):
        return ""
    words = re.match(r"\W*(\w+)", outline.slice(argument.start_byte, min(argument.end_byte, argument.start_byte + 40)))
    return words.group(1).upper() if words else ""


class _Wait(NamedTuple):
    """A call that waits, for another service at that place."""

    call: Call
    place: Location
    library: str
    certain: bool = True


def external_calls_of(outline: Outline, sites: list[Site], helpers: Helpers) -> Iterator[Behaviour]:
    """Calls of other services inside a transaction, and in functions called there."""
    spans = transactions_of(outline)
    waits = _waits(outline, helpers) if spans else []
    through = [site for site, _ in sent_through(outline, helpers)] if waits else []
    reported: set[tuple[Location, int]] = set()
    for wait in waits:
        here = wait.call
        around = [
            span
            for span in spans
            if span.start <= here.start < span.end and _is_open(outline, span, here, [*sites, *through])
        ]
        if not around or (wait.place, around[-1].start) in reported:
            continue
        span = around[-1]
        reported.add((wait.place, span.start))
        function = outline.function_at(here.start)
        inside = [site for site in sites if span.start <= site.start < span.end]
        before = [site for site in inside if site.start < here.start]
        site = before[-1] if before else inside[0] if inside else None
        yield Behaviour(
            "external_call_in_transaction",
            Location(outline.path, site.line if site else span.line),
            function.name if function else None,
            site.table if site else None,
            site.text if site else None,
            wait.place,
            wait.library,
            wait.certain,
        )


def _waits(outline: Outline, helpers: Helpers) -> list[_Wait]:
    by_function: dict[int, _Wait] = {}
    found = []
    for call, library in external_calls(outline):
        wait = _Wait(call, Location(outline.path, call.line), library)
        found.append(wait)
        if (function := outline.function_at(call.start)) is not None:
            by_function.setdefault(function.start, wait)
    for call, function in local_calls(outline) if by_function else ():
        if function.start in by_function and not function.start <= call.start < function.end:
            found.append(by_function[function.start]._replace(call=call))
    for call, helper in helper_calls(outline, helpers):
        if helper.waits_at is not None:
            found.append(_Wait(call, Location(helper.path, helper.waits_at), helper.library, helper.certain))
    return found


def _is_open(outline: Outline, span: Transaction, call: Call, sites: list[Site]) -> bool:
    if not outline.runs_within(span.start, call.start):
        return False
    if not span.session:
        return True
    session = re.compile(rf"(?<![\w.]){re.escape(span.session)}(?!\w)")
    inner = [
        site
        for site in sites
        if span.start <= site.start < call.start
        and not site.deferred
        and session.search(outline.slice(site.start, site.start + 200))
    ]
    if not inner or not outline.runs_within(span.start, inner[-1].start):
        return False
    later = outline.calls_within(inner[-1].end, call.start)
    return not any(other.name in _ENDS and other.holder == span.session for other in later)
