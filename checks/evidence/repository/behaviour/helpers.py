"""Functions of other files of the repository, as the files that call them need to know them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from checks.evidence.repository.behaviour.outline import Call, Function, Outline
from checks.evidence.repository.behaviour.sites import Site
from checks.model import Location


class Sent(msgspec.Struct, frozen=True):
    """A statement that a function sends, as Site has it. `repeated`: a loop of the function sends it."""

    verb: str
    table: str | None
    text: str
    orm: str
    line: int
    partial: tuple[str, ...] = ()
    deferred: bool = False
    bulk: bool = False
    repeated: bool = False


class Helper(msgspec.Struct, frozen=True):
    """A function that stands in no class, or the method of one, whose name begins with that class's. `waits_at` is the line of
    its first call of another service, `library` what makes that. `careful`: it takes the error of a constraint, or locks.
    `certain`: the code tells that it is this one that is called."""

    name: str
    path: str
    sent: tuple[Sent, ...] = ()
    waits_at: int | None = None
    library: str = ""
    flushes: bool = False
    careful: bool = False
    certain: bool = True

    @property
    def matters(self) -> bool:
        return bool(self.sent) or self.waits_at is not None

    def at(self, sent: Sent) -> Location:
        return Location(self.path, sent.line)


_CLASS = re.compile(r"\bclass\s+([A-Za-z_$][\w$]*)")

# By what a file calls them, as it writes it: `complete`, `llm.complete`.
Helpers = Mapping[str, Helper]


def is_free(outline: Outline, function: Function) -> bool:
    around = [entry for entry in outline.functions_around(function.start) if entry.start < function.start]
    return bool(function.name) and not around and outline.class_at(function.start) is None


def class_of(outline: Outline, function: Function) -> str | None:
    """The class whose own method it is."""
    around = [entry for entry in outline.functions_around(function.start) if entry.start < function.start]
    place = outline.class_at(function.start) if function.name and not around else None
    head = _CLASS.search(outline.slice(place[0], min(place[0] + 400, place[1]))) if place is not None else None
    return head.group(1) if head is not None else None


def helper_calls(outline: Outline, helpers: Helpers) -> Iterator[tuple[Call, Helper]]:
    """The calls of those functions in the file; not of a local function of the same name."""
    own = {function.name for function in outline.functions if is_free(outline, function)} if helpers else set()
    for call in outline.calls if helpers else ():
        helper = helpers.get(call.callee)
        if helper is not None and call.callee not in own:
            yield call, helper


def sent_through(outline: Outline, helpers: Helpers) -> list[tuple[Site, Helper]]:
    """The calls of functions that do nothing but send one statement, as if it were sent there."""
    found = []
    for call, helper in helper_calls(outline, helpers):
        if len(helper.sent) == 1 and not (helper.sent[0].repeated or helper.sent[0].bulk):
            sent = helper.sent[0]
            site = Site(
                sent.verb,
                sent.table,
                sent.text,
                sent.orm,
                call.start,
                call.end,
                call.line,
                outline.function_at(call.start),
                sent.partial,
                sent.deferred and not helper.flushes,
            )
            found.append((site, helper))
    return found
