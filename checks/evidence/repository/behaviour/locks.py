"""In which order a transaction locks rows of several tables."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.repository.behaviour.outline import Outline
from checks.evidence.repository.behaviour.sites import Site
from checks.evidence.repository.behaviour.transactions import transactions_of
from checks.evidence.repository.facts import Behaviour
from checks.evidence.repository.orm.syntax import field
from checks.model import Location

_LOCKS = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+)?UPDATE\b", re.IGNORECASE)
_MOST_TABLES = 8


def lock_orders_of(outline: Outline, sites: list[Site]) -> Iterator[Behaviour]:
    """For each transaction and each two tables of which it locks rows: which it locks first. What an ORM's session keeps until it
    is flushed is left out, for the session orders that."""
    locking = [site for site in sites if site.table and not site.deferred and _takes_lock(site)]
    if len(locking) < 2:
        return
    told: set[tuple[str, str, str | None]] = set()
    for span in transactions_of(outline):
        first: dict[str, Site] = {}
        for site in locking:
            if span.start <= site.start < span.end and site.table is not None:
                first.setdefault(_bare(site.table), site)
        for position, (table, site) in enumerate(list(first.items())[:_MOST_TABLES]):
            for other, later in list(first.items())[position + 1 : _MOST_TABLES]:
                function = site.function.name if site.function else None
                if (table, other, function) in told or _exclude_each_other(outline, site, later):
                    continue
                told.add((table, other, function))
                yield Behaviour(
                    "lock_order",
                    Location(outline.path, site.line),
                    function,
                    table,
                    site.text,
                    Location(outline.path, later.line),
                    other,
                )


def _takes_lock(site: Site) -> bool:
    return site.verb in ("update", "delete") or (site.verb == "select" and bool(_LOCKS.search(site.text)))


def _bare(table: str) -> str:
    return table.rpartition(".")[2].strip('"').casefold()


def _exclude_each_other(outline: Outline, one: Site, other: Site) -> bool:
    """Whether they stand in two branches of one condition."""
    for node in outline.ifs:
        branch = field(node, "consequence")
        if branch is None or not (node.start_byte <= one.start and other.start < node.end_byte):
            continue
        if (branch.start_byte <= one.start < branch.end_byte) != (branch.start_byte <= other.start < branch.end_byte):
            return True
    return False
