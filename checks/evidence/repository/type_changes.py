"""Which changes of a column's type rewrite the table: those that PostgreSQL can't make in the catalog alone."""

from __future__ import annotations

import re

_SIZED = re.compile(r"(.+?)\((\d+)(?:,(-?\d+))?\)(.*)")
_FULL_PRECISION = 6
_TEXTS = frozenset(["text", "character varying", "citext"])


def rewrites(old: str | None, new: str | None, *, converted: bool = False) -> bool:
    """Whether a change between two types, as format_type() prints them, rewrites the table. `converted`: an expression gives the
    new values. A type that is not known counts as one that does not, as nothing can be said of it."""
    if converted:
        return True
    if old is None or new is None or old == new:
        return False
    if old.endswith("[]") or new.endswith("[]"):
        return True
    one, before = _parts(old)
    two, after = _parts(new)
    if one in _TEXTS and two in _TEXTS:
        return bool(after) and (not before or after[0] < before[0])
    if one != two:
        return (one, two) != ("cidr", "inet")
    if one == "numeric":
        return bool(after) and (not before or after[1] != before[1] or after[0] < before[0])
    if one.startswith(("timestamp", "time", "interval")):
        return bool(after) and after[0] < (before or (_FULL_PRECISION,))[0]
    if one == "bit varying":
        return bool(after) and (not before or after[0] < before[0])
    return True


def _parts(name: str) -> tuple[str, tuple[int, ...]]:
    """A type without its modifiers, and those."""
    found = _SIZED.fullmatch(name)
    if found is None:
        return name, ()
    numbers = tuple(int(each) for each in found.group(2, 3) if each is not None)
    return found[1] + found[4], numbers if found[1] != "numeric" or len(numbers) == 2 else (*numbers, 0)
