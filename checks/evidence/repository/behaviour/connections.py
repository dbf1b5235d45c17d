"""Connections and pools that a request makes for itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.repository.behaviour.loops import local_calls
from checks.evidence.repository.behaviour.outline import Call, Function, Outline
from checks.evidence.repository.facts import Behaviour
from checks.model import Location

_PYTHON = re.compile(
    r"^(?:(?:sqlalchemy|sa)\.)?create_(?:async_)?engine$|^psycopg2?\.connect$|^psycopg\.(?:Async)?Connection\.connect$|^asyncpg\.connect$"
    r"|^asyncpg\.create_pool$|^(?:psycopg_pool\.)?(?:Async)?ConnectionPool$|^(?:pool\.)?(?:Simple|Threaded)ConnectionPool$|^pg8000\.connect$"
)
_SCRIPT = re.compile(r"^(?:pg\.)?(?:Pool|Client)$|^PrismaClient$|^postgres$|^neon$")
_FROM_PG = re.compile(r"[\"']pg[\"']")
_FROM = {
    "PrismaClient": re.compile(r"@prisma/client|generated/"),
    "postgres": re.compile(r"[\"']postgres[\"']"),
}
WORDS = (
    "create_engine(", "create_async_engine(", "psycopg.connect(", "psycopg2.connect(", "asyncpg.", "pg8000", "ConnectionPool(",
    "new Pool(", "new Client(", "new pg.", "new PrismaClient(", "= postgres(",
)  # fmt: skip
_HANDLER_PYTHON = re.compile(
    r"@(?:\w+\.)?(?:app|router|api|bp|blueprint|\w+_router|\w+_bp|\w+_blueprint|web)\.(?:get|post|put|patch|delete|route|websocket|api_route)\("
)
_HANDLER_SCRIPT = re.compile(
    r"export\s+(?:default\s+)?(?:async\s+)?function\s+(?:GET|POST|PUT|PATCH|DELETE|handler|loader|action)\b"
    r"|\(\s*_?req(?:uest)?\s*(?::[^,)]+)?,\s*_?(?:res|reply)\b|\(\s*(?:c|ctx)\s*(?::\s*Context[^,)]*)?\)\s*=>"
)
_ROUTES = frozenset("get post put patch delete all route use".split())
_KEPT = re.compile(
    r"lru_cache|@cache\b|@cached|singleton|global\s+\w+|globalThis|globalFor|_instance|is\s+None"
    r"|=\s*None|\?\?=|if\s*\(\s*!",
    re.IGNORECASE,
)


def connections_of(outline: Outline) -> Iterator[Behaviour]:
    """Connections and pools made in the function that answers a request, or in a function of the same file that it calls."""
    makes = [call for call in outline.calls if _connects(outline, call)]
    makers: dict[int, Call] = {}
    for call in makes:
        function = outline.function_at(call.start)
        if function is None or _KEPT.search(outline.slice(function.start, call.end)) or _KEPT.search(function.head):
            continue
        if _is_handler(function):
            yield _behaviour(outline, call, function, call)
        else:
            makers.setdefault(function.start, call)
    seen: set[int] = set()
    for call, maker in local_calls(outline):
        function = outline.function_at(call.start)
        if maker.start in makers and function is not None and _is_handler(function) and maker.start not in seen:
            seen.add(maker.start)
            yield _behaviour(outline, makers[maker.start], function, call)


def _connects(outline: Outline, call: Call) -> bool:
    if outline.is_python:
        return bool(_PYTHON.search(call.callee))
    if not _SCRIPT.search(call.callee):
        return False
    if call.name in ("Pool", "Client"):
        return call.node.type == "new_expression" and bool(_FROM_PG.search(outline.source.file.text))
    return call.name in _FROM and bool(_FROM[call.name].search(outline.source.file.text))


def _is_handler(function: Function) -> bool:
    if _HANDLER_PYTHON.search(function.head) or _HANDLER_SCRIPT.search(function.head):
        return True
    return function.argument_of in _ROUTES and "req" in function.head


def _behaviour(outline: Outline, made: Call, function: Function, call: Call) -> Behaviour:
    other = Location(outline.path, call.line) if call is not made else None
    return Behaviour(
        "connection_per_request",
        Location(outline.path, made.line),
        function.name,
        other=other,
        detail=made.callee[-60:],
    )
