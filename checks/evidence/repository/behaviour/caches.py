"""Caches that every reader fills for himself once an entry is gone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.repository.behaviour.loops import local_calls
from checks.evidence.repository.behaviour.outline import Call, Outline
from checks.evidence.repository.behaviour.sites import Site
from checks.evidence.repository.facts import Behaviour
from checks.model import Location

_HOLDER = re.compile(
    r"(?:^|[._])(?:\w*redis\w*|\w*cache\w*|kv|valkey\w*|memcached?\w*|upstash\w*)(?:\(\))?$", re.IGNORECASE
)
_GETS = frozenset("get getex hget json_get get_json getJson getJSON getItem aget".split())
_SETS = frozenset("set setex psetex hset json_set set_json setJson setJSON setItem aset setEx".split())
_LEASED = re.compile(
    r"\bnx\b|setnx|\block|lease|single_?flight|dogpile|in_?flight|mutex|semaphore|get_or_set|getOrSet|pending_?promise|coalesc",
    re.IGNORECASE,
)
# A cache that lives in the process holds little and is shared with nobody.
_SHARED = (
    "redis",
    "upstash",
    "valkey",
    "memcache",
    "django.core.cache",
    "aiocache",
    "@vercel/kv",
    "flask_caching",
    "keyv",
)


def fills_of(outline: Outline, sites: list[Site]) -> Iterator[Behaviour]:
    """A look into a shared cache, then a query, then the entry: with nothing that keeps others from doing the same."""
    lowered = outline.source.file.text.lower() if sites else ""
    library = next((name for name in _SHARED if name in lowered), None)
    if library is None:
        return
    by_function: dict[int, Site] = {}
    for site in sites:
        if site.verb == "select" and site.function is not None:
            by_function.setdefault(site.function.start, site)
    queries = [(site.start, site) for site in sites if site.verb == "select"]
    queries += [(call.start, by_function[f.start]) for call, f in local_calls(outline) if f.start in by_function]
    for function in outline.functions:
        if not function.name:
            continue
        calls = [call for call in outline.calls_within(function.start, function.end) if _HOLDER.search(call.holder)]
        gets = [call for call in calls if call.name in _GETS and _is_asked(outline, call)]
        sets = [call for call in calls if call.name in _SETS]
        if not gets or not sets or _LEASED.search(outline.slice(function.start, function.end)):
            continue
        found = _filled(outline, gets, sets, queries)
        if found is not None:
            got, site = found
            yield Behaviour(
                "cache_fill",
                Location(outline.path, site.line),
                function.name,
                site.table,
                site.text,
                Location(outline.path, got.line),
                library,
            )


def _is_asked(outline: Outline, call: Call) -> bool:
    """Whether the cache is another process: its answer is awaited, or the library is Django's or a client of one."""
    if outline.slice(max(0, call.start - 8), call.start).rstrip().endswith("await"):
        return True
    return outline.is_python and not re.search(
        rf"{re.escape(call.holder.rpartition('.')[2])}\s*(?::[^=\n]+)?=\s*(?:\{{|dict\(|TTLCache|LRUCache)",
        outline.source.file.text,
    )


def _filled(
    outline: Outline, gets: list[Call], sets: list[Call], queries: list[tuple[int, Site]]
) -> tuple[Call, Site] | None:
    for got in gets:
        for kept in sets:
            if kept.start <= got.end or kept.holder != got.holder:
                continue
            for at, site in queries:
                if got.end <= at < kept.start and outline.function_at(at) == outline.function_at(got.start):
                    return got, site
    return None
