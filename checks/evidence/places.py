"""Places in a select list: `GROUP BY 2` names one by its number, `GROUP BY date_trunc('month', at)` repeats what stands there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from checks.evidence.tokens import Kind, Token

_DIGITS = 3
_SELECTS = 100
_BEHIND = frozenset("asc desc nulls limit offset fetch having order window union intersect except for".split())
_ENDS = frozenset("having window order limit offset fetch for union intersect except".split())
_DIRECTIONS = frozenset("asc desc nulls first last".split())


def ordinals(words: Sequence[Token]) -> frozenset[int]:
    """Where the numbers start that name a place: whole items of GROUP BY and ORDER BY, of three digits at most. They are no
    values."""
    found = []
    open_lists: list[bool] = [False]
    for index, word in enumerate(words):
        text = word.text
        if text == "(":
            open_lists.append(False)
        elif text == ")" and len(open_lists) > 1:
            open_lists.pop()
        elif word.kind is Kind.WORD and text.lower() in _ENDS:
            open_lists[-1] = False
        elif _begins_list(words, index):
            open_lists[-1] = True
        elif word.kind is Kind.NUMBER and open_lists[-1] and text.isdigit() and len(text) <= _DIGITS:
            before = words[index - 1].text.lower()
            after = words[index + 1].text.lower() if index + 1 < len(words) else ";"
            if before in ("by", ",") and (after in (",", ")", ";") or after in _BEHIND):
                found.append(word.start)
    return frozenset(found)


def repeated(words: Sequence[Token]) -> dict[int, str]:
    """What to write in place of tokens, by where they start, so that items of GROUP BY and ORDER BY that repeat an item of their
    select list but for the numbers of parameters name its place instead: the server does not know two parameters to be one."""
    found: dict[int, str] = {}
    selects = [index for index, word in enumerate(words) if word.kind is Kind.WORD and word.text.lower() == "select"]
    for index in selects[:_SELECTS]:
        items, clauses = _parts(words, index)
        for clause in clauses:
            for place, item in _matched(items, clause):
                found.update((token.start, "") for token in item.tokens)
                found[item.tokens[0].start] = str(place)
    return found


class _Item(NamedTuple):
    """`form` is its text with every parameter alike; `exact` with their numbers."""

    tokens: tuple[Token, ...]
    form: tuple[str, ...]
    exact: tuple[str, ...]


def _item(tokens: Sequence[Token]) -> _Item:
    exact = tuple(token.text if token.kind is Kind.QUOTED else token.text.lower() for token in tokens)
    form = tuple("$" if token.kind is Kind.PARAMETER else text for token, text in zip(tokens, exact, strict=True))
    return _Item(tuple(tokens), form, exact)


def _matched(items: Sequence[_Item], clause: Sequence[_Item]) -> Iterator[tuple[int, _Item]]:
    """The place (from 1) of each item that repeats one of the list; where several have its form, by their order. Nothing of a
    form of which there are more or fewer."""
    for form in dict.fromkeys(item.form for item in clause if "$" in item.form and len(item.form) > 1):
        mine = [item for item in clause if item.form == form]
        places = [place for place, item in enumerate(items, 1) if item.form == form]
        if all(any(item.exact == other.exact for other in items) for item in mine):
            continue
        if len(places) == len(mine):
            yield from zip(places, mine, strict=True)


def _parts(words: Sequence[Token], select: int) -> tuple[list[_Item], list[list[_Item]]]:
    """The items of a select list without their names, and those of its GROUP BY and ORDER BY without directions."""
    items: list[_Item] = []
    clauses: list[list[_Item]] = []
    current: list[Token] = []
    depth, part = 0, "list"

    def close() -> None:
        if part == "list" and current:
            items.append(_item(_unnamed(current)))
        elif part == "by" and current:
            clauses[-1].append(_item(_undirected(current)))
        current.clear()

    for index in range(select + 1, len(words)):
        word = words[index]
        text = word.text.lower()
        if depth == 0:
            if text in (")", ";", "union", "intersect", "except"):
                break
            if _begins_list(words, index):
                clauses.append([])
                part = "by"
                continue
            if word.kind is Kind.WORD and (text in _ENDS or text in ("from", "where", "group")):
                close()
                part = ""
                continue
            if text == ",":
                close()
                continue
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(text, 0)
        if part:
            current.append(word)
    close()
    return items, [clause for clause in clauses if clause]


def _begins_list(words: Sequence[Token], index: int) -> bool:
    return (
        index > 0
        and words[index].text.lower() == "by"
        and words[index].kind is Kind.WORD
        and words[index - 1].text.lower() in ("group", "order")
    )


def _unnamed(item: Sequence[Token]) -> Sequence[Token]:
    """Without `AS name`, a name alone, and DISTINCT or ALL before it."""
    if len(item) > 2 and item[-2].text.lower() == "as":
        item = item[:-2]
    elif len(item) > 1 and item[-1].kind in (Kind.WORD, Kind.QUOTED) and item[-2].text in (")", "]"):
        item = item[:-1]
    return item[1:] if len(item) > 1 and item[0].text.lower() in ("distinct", "all") else item


def _undirected(item: Sequence[Token]) -> Sequence[Token]:
    while len(item) > 1 and item[-1].kind is Kind.WORD and item[-1].text.lower() in _DIRECTIONS:
        item = item[:-1]
    return item
