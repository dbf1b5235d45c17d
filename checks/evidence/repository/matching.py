"""Joins statements that ran to the code that holds them. A wrong join is worse than none."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from checks.evidence.database.facts import Catalog, Statements
from checks.evidence.patterns import AccessPattern, read_pattern
from checks.evidence.repository.facts import CodeStatement, Match, Repository
from checks.evidence.sql import normalize


def match_statements(
    repository: Repository, statements: Statements | None, catalog: Catalog | None, identified: Mapping[str, str]
) -> Repository:
    """The repository with its matches: by the query identifier that the server computed for the text (`identified`: text to
    id), else by equal normalised text, else by the access pattern, where just one statement on each side has it."""
    entries = {entry.query_id: entry.text for entry in statements.entries} if statements else {}
    by_text: dict[str, list[str]] = {}
    for query_id, text in entries.items():
        by_text.setdefault(normalize(text), []).append(query_id)
    matches: list[Match] = []
    left: list[CodeStatement] = []
    for statement in repository.statements:
        known = identified.get(statement.text)
        ids = [known] if known in entries else []
        how = "query_id"
        if not ids:
            ids, how = by_text.get(normalize(statement.text), []), "text"
        matches += [Match(query_id, statement.location, how) for query_id in ids]
        if not ids:
            left.append(statement)
    unmatched = {query_id: text for query_id, text in entries.items() if query_id not in {m.query_id for m in matches}}
    if catalog is not None and left and unmatched:
        matches += _match_patterns(left, unmatched, catalog)
    matches.sort(key=lambda match: (match.query_id, match.location))
    return msgspec.structs.replace(repository, matches=tuple(matches))


def _match_patterns(left: list[CodeStatement], unmatched: dict[str, str], catalog: Catalog) -> list[Match]:
    code: dict[object, list[CodeStatement]] = {}
    for statement in left:
        pattern = read_pattern(statement.text, catalog) if statement.parsed else None
        if pattern is not None and (key := _signature(pattern)) is not None:
            code.setdefault(key, []).append(statement)
    ran: dict[object, list[str]] = {}
    for query_id, text in unmatched.items():
        pattern = read_pattern(text, catalog)
        if pattern is not None and (key := _signature(pattern)) is not None:
            ran.setdefault(key, []).append(query_id)
    return [
        Match(ran[key][0], found[0].location, "pattern")
        for key, found in code.items()
        if len(found) == 1 and len(ran.get(key, ())) == 1
    ]


def _signature(pattern: AccessPattern) -> object | None:
    """What two spellings of one statement have in common; None if it tells too little."""
    if not pattern.tables or pattern.unresolved or not (pattern.comparisons or pattern.written_columns):
        return None
    comparisons = frozenset(
        (entry.column, entry.operator, entry.function, entry.json_operator, entry.other, entry.under_or)
        for entry in pattern.comparisons
    )
    return (
        pattern.verb,
        frozenset(pattern.tables),
        comparisons,
        pattern.order_by,
        pattern.limit is None,
        pattern.offset is None,
        pattern.stars,
        pattern.output_columns,
        frozenset(pattern.written_columns),
        frozenset(pattern.distances),
        pattern.aggregates,
        pattern.joined_relations,
    )
