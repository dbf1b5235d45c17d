"""The functions of a file that others may import, with what each of them does."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from checks.evidence.repository.behaviour.helpers import Helper, Sent, class_of, is_free
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
# `this.users.find(`, `users.find(`, `User.find(`.
_METHOD = re.compile(r"(?<![\w.$])((?:this|self)\.)?([A-Za-z_$][\w$]*)\.([A-Za-z_$][\w$]*)\(")
# `users: UserRepository`, `users = new UserRepository(`.
_OF_CLASS = re.compile(
    r"(?<![\w$])([A-Za-z_$][\w$]*)\s*(?:[?!]?:\s*[\"']?([A-Z][\w$]*)[\"']?(?=\s*[,;)=|\n])|=\s*(?:new\s+)?([A-Z][\w$]*)\()"
)
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
        found |= self._methods_called_in(path, code)
        return dict(sorted(found.items())[:MAXIMUM_NAMES])

    def _methods_called_in(self, path: str, code: str) -> dict[str, Helper]:
        """The same for methods of classes of other files: of a class itself, of what the file makes of it or says to be of it,
        and of what another file makes of its own class. An import that may mean several files is not followed."""
        called: dict[str, set[tuple[str, str]]] = {}
        for match in _METHOD.finditer(code):
            called.setdefault(match.group(2), set()).add((match.group(1) or "", match.group(3)))
        classes: dict[str, set[str]] = {}
        for match in _OF_CLASS.finditer(code):
            if match.group(1) in called:
                classes.setdefault(match.group(1), set()).add(match.group(2) or match.group(3))
        wanted = {name for names in classes.values() for name in names} | set(called)
        imported = self._imports.of(path, code, wanted) if called else {}
        found: dict[str, Helper] = {}
        for holder, methods in called.items():
            kinds = classes.get(holder, set())
            origin = imported.get(next(iter(kinds)) if len(kinds) == 1 else holder) if len(kinds) < 2 else None
            if origin is None or origin.name is None or len(origin.paths) != 1:
                continue
            for prefix, method in methods:
                if helper := self._method(origin.paths[0], origin.name, method, made=not kinds):
                    found[f"{prefix}{holder}.{method}"] = helper
        return found

    def _method(self, path: str, name: str, method: str, *, made: bool) -> Helper | None:
        """The method of the class of that name, or, `made`, of the class that the file gives the name an object of."""
        helper = self._of(path).get(f"{name}.{method}") or self._through(path, name, f".{method}")
        code = self._code_of(path) if helper is None and made else None
        kinds = set(
            re.findall(rf"\b{re.escape(name)}\s*(?::[^=\n]{{0,100}})?=\s*(?:new\s+)?([A-Z][\w$]*)\(", code or "")
        )
        return self._of(path).get(f"{kinds.pop()}.{method}") if len(kinds) == 1 else helper

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

    def _through(self, path: str, name: str, method: str = "") -> Helper | None:
        """What a file that only passes on what others have calls by that name, or a method of it."""
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
                if helper := self._of(target).get(original + method):
                    return helper
        return None


def helpers_of(outline: Outline, sites: list[Site]) -> list[Helper]:
    """The functions of the file that stand in no other function, and do something of interest."""
    by_function: dict[int, list[Site]] = {}
    for site in sites:
        if site.function is not None:
            by_function.setdefault(site.function.start, []).append(site)
    waits: dict[int, tuple[Call, str]] = {}
    for call, library in external_calls(outline):
        function = outline.function_at(call.start)
        if function is not None:
            waits.setdefault(function.start, (call, library))
    found = [
        _helper(outline, function, by_function, waits, f"{within}." if within else "")
        for function in outline.functions
        if is_free(outline, function) or (function.start in by_function or function.start in waits)
        if (within := class_of(outline, function)) or is_free(outline, function)
    ]
    counted: dict[str, int] = {}
    for helper in found:
        counted[helper.name] = counted.get(helper.name, 0) + 1
    return [helper for helper in found if helper.matters and counted[helper.name] == 1]


def _helper(
    outline: Outline,
    function: Function,
    by_function: dict[int, list[Site]],
    waits: dict[int, tuple[Call, str]],
    within: str,
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
        within + (function.name or ""),
        outline.path,
        sent,
        waited[0].line if waited else None,
        waited[1] if waited else "",
        flushes_within(outline, function.start, function.end),
        bool(CAREFUL.search(outline.slice(function.start, function.end))),
    )
