"""Rows that are counted only to see whether there is one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.repository.behaviour.outline import Outline
from checks.evidence.repository.behaviour.races import variables_of
from checks.evidence.repository.behaviour.sites import Site
from checks.evidence.repository.facts import Behaviour
from checks.model import Location

_COUNTS = re.compile(r"\s*SELECT\s+count\s*\([^()]*\)(?:\s*::\s*\w+)?(?:\s+AS\s+\S+)?\s+FROM\b", re.IGNORECASE)
_GROUPS = re.compile(r"\bGROUP\s+BY\b|\bHAVING\b|\bUNION\b", re.IGNORECASE)
# How one value is taken out of a result.
_TAKEN = (
    r"(?:\s*\.(?:scalar\w*|fetchone|fetchval|one|first|count|total|value|n|cnt|rows)\b(?:\(\s*\))?"
    r"|\s*\[(?:0|[\"']\w+[\"'])\]|[!?]|\))*"
)
_EXISTENCE = re.compile(
    rf"{_TAKEN}\s*(?:>\s*0(?![\d.])|>=\s*1(?![\d.])|===?\s*0(?![\d.])|!==?\s*0(?![\d.])|<\s*1(?![\d.]))"
)
_ASSIGNMENT = re.compile(r"[\w\s\[\]{},:*]+=(?!=)\s*\(*(?:Number|int|await|parseInt)?\(*\s*$")


def counts_of(outline: Outline, sites: list[Site]) -> Iterator[Behaviour]:
    """Counts whose number is compared with zero and used for nothing else."""
    for site in sites:
        if site.verb != "select" or not _COUNTS.match(site.text) or _GROUPS.search(site.text):
            continue
        if _EXISTENCE.match(outline.slice(site.end, site.end + 120)) or _only_compared(outline, site):
            yield Behaviour(
                "count_for_existence",
                Location(outline.path, site.line),
                site.function.name if site.function else None,
                site.table,
                site.text,
            )


def _only_compared(outline: Outline, site: Site) -> bool:
    """Whether each mention of what the count is assigned to compares it with zero."""
    if site.function is None:
        return False
    names = variables_of(outline, site)
    if not names:
        return False
    rest = outline.slice(site.end, site.function.end)
    compared = False
    for match in re.finditer(rf"(?<![\w.$])(?:{'|'.join(map(re.escape, sorted(names)))})(?![\w$])", rest):
        if _EXISTENCE.match(rest, match.end()):
            compared = True
            continue
        line_start = rest.rfind("\n", 0, match.start()) + 1
        line = rest[line_start : rest.find("\n", match.end()) if "\n" in rest[match.end() :] else len(rest)]
        derives = _ASSIGNMENT.match(rest[line_start : match.start()]) or re.match(
            r"[^=]*=(?!=)", rest[match.end() :].split("\n")[0]
        )
        if not derives or re.search(r"[-+*/]|\breturn\b", line):
            return False
    return compared
