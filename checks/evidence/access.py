"""Whether a statement that ran may be the one that an ORM call stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable

from checks.evidence.patterns import AccessPattern

Comparisons = frozenset[tuple[object, ...]]

_OF_POSTGREST = re.compile(r"\s*WITH\s+pgrst_source\s+AS\b", re.IGNORECASE)
_OF_PRISMA = re.compile(r'SELECT "[^"]+"\."[^"]+"\."[^"]+"')
# What may be there besides and would make it another access; that further columns are read or written would not.
_CHANGES_ACCESS = frozenset(["where", "order", "limit", "joins", "expressions"])


def is_certain(call: AccessPattern) -> bool:
    """Whether all that tells one access from another was read of the call."""
    return bool(call.tables or call.functions) and not call.unresolved and _CHANGES_ACCESS.isdisjoint(call.partial)


def same_access(call: AccessPattern, ran: AccessPattern) -> bool:
    """Whether the statement is what the certain `call` has its ORM send: verb, tables, comparisons, order, limit and columns.

    An ORM adds columns of its own to an INSERT (defaults), and Prisma writes OFFSET 0.
    """
    if not _same_relations(call, ran) or comparisons(call) != comparisons(ran):
        return False
    if call.verb == "insert":
        return set(call.written_columns) <= set(ran.written_columns)
    if call.verb != "select":
        written, known = set(call.written_columns), set(ran.written_columns)
        return written <= known if "columns" in call.partial else written == known
    return (
        call.order_by == ran.order_by
        and _same_limit(call, ran)
        and (call.offset is None or ran.offset is not None)
        and (call.offset is not None or ran.offset is None or writes_offset_always(ran))
        and (call.aggregates == ran.aggregates or counts_besides(ran))
        and set(call.distances) == set(ran.distances)
        and call.skip_locked == ran.skip_locked
        and ("columns" in call.partial or call.aggregates != ran.aggregates or _same_columns(call, ran))
    )


def _same_columns(call: AccessPattern, ran: AccessPattern) -> bool:
    return call.output_columns == ran.output_columns and call.stars == ran.stars


def _same_limit(call: AccessPattern, ran: AccessPattern) -> bool:
    """PostgREST adds a LIMIT of its own where it is told to give no more than so many rows."""
    return (call.limit is None) == (ran.limit is None) or (call.limit is None and is_of_postgrest(ran))


def is_of_postgrest(ran: AccessPattern) -> bool:
    return bool(_OF_POSTGREST.match(ran.text))


def counts_besides(ran: AccessPattern) -> bool:
    """Whether PostgREST was asked for the number of all rows too: it counts them in a WITH query of its own."""
    return is_of_postgrest(ran) and "pgrst_source_count" in ran.text


def may_be(call: AccessPattern, ran: AccessPattern) -> bool:
    """Whether the statement may come from a call of which parts could not be read: all parts that were read must be the same."""
    if call.verb != ran.verb or not set(call.tables) <= set(ran.tables):
        return False
    if not comparisons(call) <= comparisons(ran):
        return False
    if "where" not in call.partial and _with_values(call, call.tables) != _with_values(ran, call.tables):
        return False
    if call.verb != "select":
        return set(call.written_columns) <= set(ran.written_columns)
    unread = set(call.partial)
    return (
        ("order" in unread or call.order_by == ran.order_by)
        and ("limit" in unread or _same_limit(call, ran))
        and ("expressions" in unread or call.aggregates == ran.aggregates or counts_besides(ran))
        and ("joins" in unread or call.joined_relations == ran.joined_relations)
    )


def _with_values(pattern: AccessPattern, tables: tuple[int, ...]) -> Comparisons:
    """Its comparisons of those tables' columns with values: a join that was not read adds none."""
    return frozenset(
        (entry.column, entry.operator, entry.function, entry.json_operator, entry.under_or)
        for entry in pattern.comparisons
        if entry.other is None and entry.column.table in tables
    )


def writes_offset_always(ran: AccessPattern) -> bool:
    """Whether it is one of Prisma's statements, which name the schema with every column and end with an OFFSET, or one of
    PostgREST's."""
    return bool(_OF_PRISMA.match(ran.text)) or is_of_postgrest(ran)


def comparisons(pattern: AccessPattern) -> Comparisons:
    """The comparisons with what two spellings of one statement have in common."""
    return frozenset(
        (entry.column, entry.operator, entry.function, entry.json_operator, entry.other, entry.under_or)
        for entry in pattern.comparisons
    )


def _same_relations(call: AccessPattern, ran: AccessPattern) -> bool:
    return (
        call.verb == ran.verb
        and not ran.unresolved
        and set(call.tables) == set(ran.tables)
        and set(call.functions) == set(ran.functions)
        and call.joined_relations == ran.joined_relations
    )


class Accesses:
    """Statements that ran, by their verb and tables."""

    def __init__(self, ran: Iterable[AccessPattern]) -> None:
        self._by_tables: dict[tuple[str, frozenset[int]], list[AccessPattern]] = {}
        for pattern in ran:
            self._by_tables.setdefault((pattern.verb, frozenset(pattern.tables)), []).append(pattern)

    def of(self, call: AccessPattern) -> list[AccessPattern]:
        """Those that the call stands for."""
        if not is_certain(call):
            return []
        return [ran for ran in self._by_tables.get((call.verb, frozenset(call.tables)), ()) if same_access(call, ran)]
