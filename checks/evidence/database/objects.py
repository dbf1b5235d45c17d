"""Views, triggers, row-security policies and extended statistics of the catalog."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from checks.evidence.database.facts import ExtendedStatistics, Policy, Trigger, View
from checks.evidence.database.query import query
from checks.evidence.database.session import Session
from checks.evidence.sql import mask_literals, parse, walk

_TRUE = {"true", "on", "yes", "1"}
_ENABLED = {"O": "origin", "A": "always", "R": "replica", "D": "disabled"}
_COMMANDS = {"*": "all", "r": "select", "a": "insert", "w": "update", "d": "delete"}
_STATISTICS = {"d": "ndistinct", "f": "dependencies", "m": "mcv", "e": "expressions"}

# Bits of pg_trigger.tgtype (catalog/pg_trigger.h).
_PER_ROW, _BEFORE, _INSTEAD = 1, 2, 64
_EVENTS = ((4, "insert"), (16, "update"), (8, "delete"), (32, "truncate"))

_NODE = re.compile(r"\\.|[{}]|:funcid (\d+)", re.DOTALL)

# A name or a JSON key alone, or within a path.
_USER_METADATA = re.compile(r"(?:^|[{,.\"])(?:user_metadata|raw_user_meta_data)(?:$|[},.\"])")

_masked = lru_cache(10_000)(mask_literals)


def observe_views(session: Session) -> Iterator[View]:
    for row in session.rows(query("views", session.major)):
        options = {name: value for name, _, value in (option.partition("=") for option in row.options or ())}
        yield View(
            table=row.table_oid,
            depends_on=tuple(row.depends_on or ()),
            security_invoker=options.get("security_invoker", "").lower() in _TRUE,
            security_barrier=options.get("security_barrier", "").lower() in _TRUE,
            check_option=options.get("check_option", ""),
            populated=row.populated,
        )


def observe_triggers(session: Session) -> Iterator[Trigger]:
    for row in session.rows(query("triggers", session.major)):
        yield Trigger(
            oid=row.oid,
            table=row.table_oid,
            name=row.name,
            function=(row.function_schema, row.function_name),
            enabled=_ENABLED.get(row.enabled, row.enabled),
            timing="before" if row.type & _BEFORE else "instead of" if row.type & _INSTEAD else "after",
            events=tuple(event for bit, event in _EVENTS if row.type & bit),
            per_row=bool(row.type & _PER_ROW),
            parent=row.parent,
            extension=row.extension,
        )


def observe_policies(session: Session) -> Iterator[Policy]:
    for row in session.rows(query("policies", session.major)):
        called = [
            oid for tree in (row.using_tree, row.check_tree) if tree for oid in functions_outside_subqueries(tree)
        ]
        names: Mapping[str, str] = row.functions or {}
        yield Policy(
            table=row.table_oid,
            name=row.name,
            command=_COMMANDS.get(row.command, row.command),
            permissive=row.permissive,
            roles=tuple(row.roles),
            using=None if row.using_text is None else _masked(row.using_text),
            check=None if row.check_text is None else _masked(row.check_text),
            calls_per_row=tuple(dict.fromkeys(names[oid] for oid in called if oid in names)),
            reads_user_metadata=any(_reads_user_metadata(text) for text in (row.using_text, row.check_text) if text),
        )


@lru_cache(10_000)
def _reads_user_metadata(expression: str) -> bool:
    """Whether a column or a JSON key of an expression is one that users of Supabase's API write themselves."""
    tree = parse(f"SELECT {expression}")
    if tree is None:
        return False
    return any(node.DESCRIPTOR.name == "String" and _USER_METADATA.search(node.sval) for node in walk(tree))


def observe_extended_statistics(session: Session) -> Iterator[ExtendedStatistics]:
    for row in session.rows(query("extended_statistics", session.major)):
        yield ExtendedStatistics(
            oid=row.oid,
            table=row.table_oid,
            schema=row.schema,
            name=row.name,
            kinds=tuple(_STATISTICS.get(kind, kind) for kind in row.kinds),
            columns=tuple(row.columns),
            expressions=tuple(_masked(text) for text in row.expressions or ()),
            target=row.target,
        )


@lru_cache(10_000)
def functions_outside_subqueries(tree: str) -> tuple[str, ...]:
    """The oids of functions called in a stored expression (nodes/outfuncs.c), those within a subquery left out: an uncorrelated
    one is evaluated once, not for each row."""
    found: list[str] = []
    depth, subquery = 0, 0
    for token in _NODE.finditer(tree):
        if token[1]:
            if not subquery:
                found.append(token[1])
        elif token[0] == "{":
            depth += 1
            if not subquery and tree.startswith("SUBLINK", token.end()):
                subquery = depth
        elif token[0] == "}":
            if depth == subquery:
                subquery = 0
            depth -= 1
    return tuple(found)
