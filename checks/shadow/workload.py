"""The statements that are planned in a shadow: the costliest that ran, and those of code that never did."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from checks.evidence.database.facts import Statement, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.evidence.tokens import Kind, Token, tokens

STATEMENTS = 200
CODE_STATEMENTS = 100
# What a LIMIT is taken for whose number is not in the code.
PAGE_ROWS = 20
_VERBS = ("select", "insert", "update", "delete", "merge", "with")


def costliest(evidence: Evidence) -> list[Statement]:
    """Those with the most execution time, one for each query id."""
    known = evidence.find(Statements)
    if known is None:
        return []
    found: dict[str, Statement] = {}
    for entry in sorted(known.entries, key=lambda entry: (-entry.total_ms, entry.query_id)):
        if entry.toplevel and _verb(entry.text) in _VERBS:
            found.setdefault(entry.query_id, entry)
    return list(found.values())[:STATEMENTS]


def of_code(evidence: Evidence) -> list[Statement]:
    """What stands in code and never ran."""
    return [Statement(place, text, 0, 0.0, 0.0, 0) for place, text in never_ran(evidence) if _verb(text) in _VERBS]


def _verb(text: str) -> str:
    return next((token.text.lower() for token in tokens(text) if token.kind is Kind.WORD), "")


def never_ran(evidence: Evidence) -> list[tuple[str, str]]:
    """The first hundred whole statements of code that match none that ran: their places, `file:line`, and texts."""
    repository = evidence.find(Repository)
    if repository is None:
        return []
    ran = {match.location for match in repository.matches}
    return [
        (f"{entry.location.path}:{entry.location.line}", with_limits(entry.text, entry.limit or PAGE_ROWS, 1))
        for entry in repository.statements
        if entry.parsed and not entry.holes and entry.location not in ran
    ][:CODE_STATEMENTS]


def with_limits(text: str, rows: int, calls: int) -> str:
    """The statement with the number of rows that it returned on average in place of an outermost `LIMIT $n`, which would else be
    planned as a tenth of all rows there are, and with `OFFSET 0` for an outermost `OFFSET $n`. The only LIMIT of an UPDATE or
    DELETE stands below, in what chooses its rows: it is as many as it changed."""
    found = list(tokens(text))
    parameters = list(_bounds(found))
    outermost = {at: word for at, word, depth in parameters if depth == 0}
    inner = [at for at, word, depth in parameters if depth and word == "limit"]
    limits = sum(1 for token in found if token.kind is Kind.WORD and token.text.lower() == "limit")
    if len(inner) == limits == 1 and _verb(text) in ("update", "delete"):
        outermost[inner[0]] = "limit"
    limit = str(max(1, math.ceil(rows / calls)) if calls else 1)
    pieces = [
        (limit if outermost[at] == "limit" else "0") if at in outermost else token.text
        for at, token in enumerate(found)
    ]
    # Parameters are counted without a gap, or the server asks for the type of the one that is missing.
    left = [at for at, token in enumerate(found) if token.kind is Kind.PARAMETER and at not in outermost]
    numbers = {text: f"${number}" for number, text in enumerate(sorted({pieces[at] for at in left}, key=_number), 1)}
    for at in left if outermost else ():
        pieces[at] = numbers[pieces[at]]
    return "".join(pieces)


def _number(parameter: str) -> int:
    return int(parameter[1:]) if parameter[1:].isdecimal() else 0


def _bounds(found: Sequence[Token]) -> Iterator[tuple[int, str, int]]:
    """Where a parameter stands behind LIMIT or OFFSET, behind which of them, and how deep."""
    depth, before = 0, ""
    for at, token in enumerate(found):
        if token.kind in (Kind.SPACE, Kind.COMMENT):
            continue
        if token.text in ("(", ")"):
            depth += 1 if token.text == "(" else -1
        if token.kind is Kind.PARAMETER and before in ("limit", "offset"):
            yield at, before, depth
        before = token.text.lower() if token.kind is Kind.WORD else ""
