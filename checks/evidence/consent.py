"""What a person is asked before a statement is run (--analyze), and what they may answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from checks.evidence.tokens import Kind, tokens


class Parameter(NamedTuple):
    """`$number` of a statement. `value` is what it would be run with, as PostgreSQL writes it, None where nobody but the person
    knows one; `origin` says where it comes from. `type` is the server's name of its type."""

    number: int
    type: str
    value: str | None
    origin: str


class Proposal(NamedTuple):
    """A statement that took much time, as recorded, and what it would be run with: as `role` plans it, for `seconds` at most.
    `number` of `of` that are asked for. `mean_ms` is of all its `calls` so far."""

    number: int
    of: int
    query_id: str
    text: str
    parameters: tuple[Parameter, ...]
    role: str
    calls: int
    mean_ms: float
    seconds: float

    @property
    def values(self) -> dict[int, str]:
        """The values that are known, by the number of their parameter."""
        return {entry.number: entry.value for entry in self.parameters if entry.value is not None}

    def sql(self, values: Mapping[int, str]) -> str:
        """The statement with these values in place; a parameter without one stays."""
        types = {entry.number: entry.type for entry in self.parameters}
        spelled = {f"${number}": f"{literal(value)}::{types[number]}" for number, value in values.items()}
        return "".join(
            spelled.get(token.text, token.text) if token.kind is Kind.PARAMETER else token.text
            for token in tokens(self.text)
            if token.kind is not Kind.COMMENT
        )


class Answer(NamedTuple):
    """`values` by the number of their parameter, all of them if it `runs`. `no_more`: nothing further is to be asked."""

    runs: bool
    values: Mapping[int, str] = {}
    no_more: bool = False


Ask = Callable[[Proposal], Answer]


def literal(value: str) -> str:
    """`value` as an SQL string, under standard_conforming_strings."""
    return "'" + value.replace("'", "''") + "'"
