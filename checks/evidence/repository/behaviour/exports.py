"""The functions of a file that others may import, with what each of them does."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from checks.evidence.repository.behaviour.helpers import Helper, Sent, is_free
from checks.evidence.repository.behaviour.imports import Imported, Imports
from checks.evidence.repository.behaviour.libraries import external_calls
from checks.evidence.repository.behaviour.loops import is_bulk, loop_around
from checks.evidence.repository.behaviour.outline import Call, Function, Outline
from checks.evidence.repository.behaviour.races import CAREFUL
from checks.evidence.repository.behaviour.sites import Site, flushes_within

MAXIMUM_STATEMENTS = 5
MAXIMUM_NAMES = 300

# A file without any of these neither waits in a transaction nor repeats or checks anything.
_CALLS_IN_PARTS = re.compile(
    r"\bfor\b|\bwhile\b|\.(?:map|forEach|flatMap|reduce)\(|transaction|\bbegin\(|\batomic\b|Session\b|\bif\b"
)
_CALLED = re.compile(r"(?<![\w.$])([A-Za-z_$][\w$]*)(?:\.(\w+))?\(")
_BARREL = re.compile(r"(?:^|/)(?:__init__\.py|index\.[cm]?[jt]sx?)$")
_MAXIMUM_STARS = 40


class Exports:
    """`read` gives the helpers of a file by name; `code_of` its text, None if it is not a file of the repository."""

    def __init__(
        self, imports: Imports, read: Callable[[str], list[Helper]], code_of: Callable[[str], str | None]
    ) -> None:
        self._imports = imports
        self._read = read
        self._code_of = code_of
        self._known: dict[str, dict[str, Helper]] = {}
        self._passed_on: dict[str, dict[str, Imported]] = {}

    def called_in(self, path: str, code: str) -> dict[str, Helper]:
        """By what the file calls them the functions of other files that it calls and that do something of interest."""
        if not _CALLS_IN_PARTS.search(code):
            return {}
        members: dict[str, set[str]] = {}
        for holder, member in _CALLED.findall(code):
            members.setdefault(holder, set()).add(member)
        found: dict[str, Helper] = {}
        for local, imported in self._imports.of(path, code, members).items():
            if len(found) > MAXIMUM_NAMES:
                break
            called = {local: imported.name} if imported.name is not None and "" in members.get(local, ()) else {}
            if imported.name is None:
                called = {f"{local}.{name}": name for name in members.get(local, ()) if name}
            for spelled, name in called.items():
                if helper := self._find(imported, name):
                    found[spelled] = helper
        return dict(sorted(found.items()))

    def _find(self, imported: Imported, name: str) -> Helper | None:
        for path in imported.paths:
            helper = self._of(path).get(name) or self._through(path, name)
            if helper is not None:
                return msgspec.structs.replace(helper, certain=len(imported.paths) == 1)
        return None

    def _of(self, path: str) -> dict[str, Helper]:
        if path not in self._known:
            self._known[path] = {helper.name: helper for helper in self._read(path)}
        return self._known[path]

    def _through(self, path: str, name: str) -> Helper | None:
        """What a file that only passes on what others have calls by that name."""
        code = self._code_of(path) if _BARREL.search(path) else None
        if code is None:
            return None
        if path not in self._passed_on:
            self._passed_on[path] = self._imports.of(path, code)
        passed_on = self._passed_on[path]
        named = passed_on.get(name)
        stars = [entry for local, entry in passed_on.items() if local.startswith("* ")][:_MAXIMUM_STARS]
        for inner, original in [(named, named.name or "")] if named is not None else [(star, name) for star in stars]:
            for target in inner.paths[:1]:
                if helper := self._of(target).get(original):
                    return helper
        return None


def helpers_of(outline: Outline, sites: list[Site]) -> list[Helper]:
    """The functions of the file that stand in no class and in no other function, and do something of interest."""
    by_function: dict[int, list[Site]] = {}
    for site in sites:
        if site.function is not None:
            by_function.setdefault(site.function.start, []).append(site)
    waits: dict[int, tuple[Call, str]] = {}
    for call, library in external_calls(outline):
        function = outline.function_at(call.start)
        if function is not None:
            waits.setdefault(function.start, (call, library))
    free = [function for function in outline.functions if is_free(outline, function)]
    found = [_helper(outline, function, by_function, waits) for function in free]
    counted: dict[str, int] = {}
    for helper in found:
        counted[helper.name] = counted.get(helper.name, 0) + 1
    return [helper for helper in found if helper.matters and counted[helper.name] == 1]


def _helper(
    outline: Outline, function: Function, by_function: dict[int, list[Site]], waits: dict[int, tuple[Call, str]]
) -> Helper:
    sites = by_function.get(function.start, [])
    waited = waits.get(function.start)
    sent = tuple(
        Sent(
            site.verb,
            site.table,
            site.text,
            site.orm,
            site.line,
            site.partial,
            site.deferred,
            is_bulk(outline, site),
            loop_around(outline, site.start) is not None,
        )
        for site in sites[:MAXIMUM_STATEMENTS]
    )
    return Helper(
        function.name or "",
        outline.path,
        sent,
        waited[0].line if waited else None,
        waited[1] if waited else "",
        flushes_within(outline, function.start, function.end),
        bool(CAREFUL.search(outline.slice(function.start, function.end))),
    )
