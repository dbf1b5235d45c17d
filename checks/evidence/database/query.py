"""The SQL of queries/: NAME.sql, or NAME_pgNN.sql from that major on.

A column that only newer majors or extension versions have is written there without its table's name, inside a LATERAL
subquery over a row of stand-ins: where the table lacks the column, the stand-in of that name is found instead.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from checks.evidence.database.session import MARKER

_VARIANT = re.compile(r"(.+?)(?:_pg(\d+))?\.sql")


@cache
def _variants() -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = {}
    for entry in files("checks.evidence.database").joinpath("queries").iterdir():
        if matched := _VARIANT.fullmatch(entry.name):
            found.setdefault(matched[1], {})[int(matched[2] or 0)] = entry.read_text("utf-8")
    return found


def query(name: str, major: int, **names: str) -> str:
    """The statement of that name for a server of that major, marked as ours. `names` fill {placeholders} with SQL.

    Raises KeyError if there is no such query.
    """
    variants = _variants()[name]
    text = variants[max(first for first in variants if first <= major)]
    for placeholder, value in names.items():
        text = text.replace("{" + placeholder + "}", value)
    keyword, _, rest = text.partition("\n") if text.startswith(("SELECT\n", "WITH\n")) else text.partition(" ")
    return f"{keyword} {MARKER} {rest}".rstrip()
