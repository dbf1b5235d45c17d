"""Statements that a loop sends again and again."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.repository.behaviour.helpers import Helpers, helper_calls
from checks.evidence.repository.behaviour.outline import Call, Function, Loop, Outline, leaves
from checks.evidence.repository.behaviour.sites import Site, flushes_within
from checks.evidence.repository.facts import Behaviour
from checks.evidence.repository.orm.syntax import field
from checks.model import Location

# Loops over parts of the data, over attempts or over pages send few statements, each for many rows; each schema has tables of
# its own.
_FEW = re.compile(
    r"batch|chunk|\bpages?\b|attempt|retr(?:y|ies)|\btries\b|window|shard|tables?\b|queries|statements|migrations?\b|providers?\b"
    r"|filters?\b|conditions\b|\bcursors?\b|\bmodels\b|partitions?\b|\bdefault|schemas?(?:_|\b)",
    re.IGNORECASE,
)
_IN_PARTS = re.compile(r"batch|chunk|\bpages?\b", re.IGNORECASE)
_CONSTANT = re.compile(
    r"\s*(?:[\[({]\s*(?:[\"'`]|-?\d|\{|\)|\])|(?:[\w.]+\.)?_?[A-Z][A-Z0-9_]{2,}\b(?!\()|range\(\s*\d+\s*\)|$)"
)
_WRITTEN_OUT = re.compile(r"\s*\[(?:[^\[\]()]|\([^\[\]()]{0,80}\)){0,400}\][\s)]*$")
_OF_OTHERS = re.compile(r"\.\.\.|\*|\bfor\b")
_OF_VALUES = re.compile(
    r"(?:Object\.(?:keys|values|entries)|enumerate|sorted|list|tuple|zip|Array\.from)\(\s*(.*)", re.DOTALL
)
_COUNTS_ALL = re.compile(r"\.length\b|\.size\b|\blen\(")
_STEP_BY_ONE = re.compile(r"\+\+|\+=\s*1\s*$|--|-=\s*1\s*$")
_TAKES_FROM = re.compile(
    r"^\(?\s*[\w.]*(?:queue|stack|pending|todo|frontier|remaining|to_visit|toVisit|worklist|current|parent|ids|nodes)\w*"
    r"(?:\.length|\.size)?\s*(?:>\s*0|!==?\s*(?:null|undefined|0)|is not None)?\s*\)?$",
    re.IGNORECASE,
)
# A name of an application's own, not of a namespace of combinators such as Effect.map.
_NAMESPACE = re.compile(r"^(?:Effect|Option|Either|Stream|pipe|O|E|TE|RTE|A|R|_|Result|Observable|Layer|Schema|z)$")
# One statement for many rows, or one that waits until there are enough.
_BULK = re.compile(r"\.(?:createMany\w*|insertMany|bulk\w*|insert_many|executemany|add_all|execute_values)$")
_VALUES_OF_MANY = re.compile(
    r"\.values\(\s*(?:\[|[\w.]+\.(?:map|filter|flatMap)\(|\w*(?:rows|records|values|entries|items|inserts)\s*\))",
    re.IGNORECASE,
)
_FLUSHES = re.compile(r"batch|flush|chunk", re.IGNORECASE)
_STRING = re.compile(r"\"(?:[^\"\\\n]|\\.){0,200}\"|'(?:[^'\\\n]|\\.){0,200}'")
_GIVEN = re.compile(r"(?<![\w.])[A-Za-z_$]\w*(?!\w*\s*(?:=(?!=)|:))")
_ENDS_LOOP = re.compile(r"\s*(?:return|break|raise|throw)\b")


def repeats(loop: Loop) -> bool:
    """Whether the loop goes through data of any size, one at a time."""
    over = loop.over.strip()
    if loop.kind == "while":
        return bool(_TAKES_FROM.match(over))
    if loop.kind == "count":
        return bool(_COUNTS_ALL.search(over) and _STEP_BY_ONE.search(over.rstrip(") "))) and not _FEW.search(over)
    inner = over
    while (match := _OF_VALUES.match(inner)) is not None and match.group(1) != inner:
        inner = match.group(1).strip()
    if _CONSTANT.match(inner) or _NAMESPACE.match(over) or _is_written_out(inner):
        return False
    if inner.startswith(("range(", "count(", "itertools.count")):
        return "len(" in inner and inner.count(",") < 2 and not _FEW.search(over)
    return not _FEW.search(over) and not _FEW.search(loop.variable)


def _is_written_out(over: str) -> bool:
    """Whether it is a list whose few elements stand there: `[source, target.id]`, and not `[...rows]`."""
    return bool(_WRITTEN_OUT.match(over)) and not _OF_OTHERS.search(over)


def loop_around(outline: Outline, offset: int) -> Loop | None:
    """The innermost loop over data that runs again what stands there."""
    for loop in outline.loops_around(offset):
        if not outline.runs_within(loop.start, offset) or _IN_PARTS.search(f"{loop.variable} {loop.over}"):
            return None
        if repeats(loop) and not _is_constant(outline, loop):
            return loop
    return None


def _is_constant(outline: Outline, loop: Loop) -> bool:
    """Whether the loop goes through a list that the file spells out."""
    name = loop.over.strip().rstrip(")").split("(")[-1]
    return name in outline.spelled_lists


def loops_of(outline: Outline, sites: list[Site], helpers: Helpers) -> Iterator[Behaviour]:
    """Statements in loops, and in functions that a loop calls, one function deep."""
    yield from _in_own_code(outline, sites)
    for call, helper in helper_calls(outline, helpers):
        loop = None if _FLUSHES.search(helper.name) else loop_around(outline, call.start)
        if loop is None or _leaves_at_once(outline, call, loop) or _asks_the_same(outline, call, loop):
            continue
        for sent in helper.sent:
            if not (sent.bulk or sent.repeated or (sent.deferred and not helper.flushes)):
                yield Behaviour(
                    "insert_in_loop" if sent.verb == "insert" else "query_in_loop",
                    helper.at(sent),
                    helper.name,
                    sent.table,
                    sent.text,
                    Location(outline.path, loop.line),
                    sent.verb,
                    helper.certain,
                )


def _in_own_code(outline: Outline, sites: list[Site]) -> Iterator[Behaviour]:
    reported: set[tuple[int, int]] = set()
    for site in sites:
        loop = loop_around(outline, site.start) if not is_bulk(outline, site) else None
        if loop is not None and _is_sent_each_time(outline, site, loop) and not _leaves_at_once(outline, site, loop):
            reported.add((site.start, loop.start))
            yield _behaviour(outline, site, loop)
    by_function: dict[int, list[Site]] = {}
    for site in sites:
        if site.function is not None:
            by_function.setdefault(site.function.start, []).append(site)
    if not by_function:
        return
    for call, function in local_calls(outline):
        inner = by_function.get(function.start)
        if not inner or function.start <= call.start < function.end or _FLUSHES.search(function.name or ""):
            continue
        loop = loop_around(outline, call.start)
        if loop is None or loop_around(outline, inner[0].start) is not None or _asks_the_same(outline, call, loop):
            continue
        for site in inner:
            if is_bulk(outline, site):
                continue
            if (site.start, loop.start) not in reported and _is_sent_each_time(outline, site, loop, through=function):
                reported.add((site.start, loop.start))
                yield _behaviour(outline, site, loop)


def _behaviour(outline: Outline, site: Site, loop: Loop) -> Behaviour:
    return Behaviour(
        "insert_in_loop" if site.verb == "insert" else "query_in_loop",
        Location(outline.path, site.line),
        site.function.name if site.function else None,
        site.table,
        site.text,
        Location(outline.path, loop.line),
        site.verb,
    )


def is_bulk(outline: Outline, site: Site) -> bool:
    """Whether the statement has many rows at once."""
    if site.verb != "insert":
        return False
    code = outline.slice(site.start, site.end + 200)
    return bool(_BULK.search(code.split("(")[0]) or _VALUES_OF_MANY.search(code[:400]))


def _is_sent_each_time(outline: Outline, site: Site, loop: Loop, *, through: Function | None = None) -> bool:
    if not site.deferred:
        return True
    start, end = (through.start, through.end) if through is not None else (loop.start, loop.end)
    return flushes_within(outline, start, end)


def _asks_the_same(outline: Outline, call: Call, loop: Loop) -> bool:
    """Whether a function is given nothing that changes from one round to the next, so that it waits for something, such as
    for somebody to cancel the work, and looks up no element."""
    given = _STRING.sub("", outline.text(field(call.node, "arguments")))
    names = set(_GIVEN.findall(given))
    if not names or "(" in given[1:]:
        return False
    body = outline.slice(loop.start, loop.end)
    return not any(
        re.search(rf"(?<![\w.]){name}(?!\w)", loop.variable)
        or re.search(rf"(?<![\w.]){name}(?!\w)(?:[^\n=(]*[^\n=!<>(])?=(?![=>])(?!\s*{name}\b)", body)
        or re.search(rf"\{{[^{{}}]{{0,400}}(?<![\w.]){name}(?!\w)[^{{}}]{{0,400}}\}}\s*=(?!=)", body)
        or re.search(rf"\b(?:for|as)\b[^\n]{{0,80}}(?<![\w.]){name}(?!\w)", body)
        for name in map(re.escape, names)
    )


def _leaves_at_once(outline: Outline, site: Site | Call, loop: Loop) -> bool:
    """Whether the loop ends right after the statement, whatever that brought."""
    after = outline.slice(site.end, min(loop.end, site.end + 200))
    before = outline.slice(max(loop.start, site.start - 60), site.start)
    rest = after.split("\n", 1)
    if re.search(r"\breturn\s+(?:await\s+)?\(?\s*$", before) and loop.kind in ("for", "count", "while"):
        return True
    if loop.kind not in ("for", "count", "while"):
        return False
    return (len(rest) > 1 and bool(_ENDS_LOOP.match(rest[1]))) or _is_in_last_round(outline, site, loop)


def _is_in_last_round(outline: Outline, site: Site | Call, loop: Loop) -> bool:
    """Whether the statement stands in a branch that ends with leaving the loop."""
    for node in outline.ifs:
        branch = field(node, "consequence")
        if branch is None or not loop.start <= node.start_byte < loop.end:
            continue
        if branch.start_byte <= site.start < branch.end_byte:
            last = next((child for child in reversed(branch.named_children) if child.type != "comment"), None)
            if leaves(branch) and (last is None or last.type != "continue_statement"):
                return True
    return False


def local_calls(outline: Outline) -> Iterator[tuple[Call, Function]]:
    """Calls of functions that the file itself defines, and of methods of the same class."""
    by_name: dict[str, list[Function]] = {}
    for function in outline.functions:
        if function.name:
            by_name.setdefault(function.name, []).append(function)
    for call in outline.calls:
        if call.name not in by_name:
            continue
        if call.holder in ("self", "this", "cls"):
            own = outline.class_at(call.start)
            for function in by_name[call.name]:
                if own is not None and outline.class_at(function.start) == own:
                    yield call, function
        elif not call.holder:
            free = [entry for entry in by_name[call.name] if outline.class_at(entry.start) is None]
            if len(free) == 1:
                yield call, free[0]
