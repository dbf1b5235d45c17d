"""Joins statements that ran to the code that holds them. A wrong join is worse than none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from checks.evidence.access import comparisons, is_certain, may_be, same_access
from checks.evidence.database.facts import Catalog, Statements
from checks.evidence.patterns import AccessPattern, read_pattern
from checks.evidence.repository.facts import CodeStatement, Match, OrmCall, Repository
from checks.evidence.sql import normalize
from checks.model import Location


def match_statements(
    repository: Repository, statements: Statements | None, catalog: Catalog | None, identified: Mapping[str, str]
) -> Repository:
    """The repository with its matches: by the query identifier that the server computed for the text (`identified`: text to
    id), else by equal normalised text, else by the access pattern, where just one statement on each side, or just one call of an
    ORM, has it."""
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
    if catalog is not None and (left or repository.calls) and unmatched:
        calls = [_Call(call, _pattern_of(call, catalog)) for call in repository.calls if not call.part]
        ran = {query_id: read_pattern(text, catalog) for query_id, text in unmatched.items()}
        matches += _match_patterns(left, {key: pattern for key, pattern in ran.items() if pattern}, calls, catalog)
    matches.sort(key=lambda match: (match.query_id, match.location))
    return msgspec.structs.replace(repository, matches=tuple(matches))


class _Call(NamedTuple):
    call: OrmCall
    pattern: AccessPattern | None


def _pattern_of(call: OrmCall, catalog: Catalog) -> AccessPattern | None:
    pattern = read_pattern(call.text, catalog)
    return None if pattern is None else msgspec.structs.replace(pattern, partial=call.partial)


def _match_patterns(
    left: list[CodeStatement], unmatched: dict[str, AccessPattern], calls: list[_Call], catalog: Catalog
) -> list[Match]:
    code: dict[object, list[CodeStatement]] = {}
    for statement in left:
        pattern = read_pattern(statement.text, catalog) if statement.parsed else None
        if pattern is not None and (key := _signature(pattern)) is not None:
            code.setdefault(key, []).append(statement)
    ran: dict[object, list[str]] = {}
    by_verb: dict[tuple[str, object], list[_Call]] = {}
    for entry in calls:
        for used in (*entry.pattern.tables, *entry.pattern.functions) if entry.pattern else ():
            by_verb.setdefault((entry.pattern.verb if entry.pattern else "", used), []).append(entry)
    matches: list[Match] = []
    for query_id, pattern in unmatched.items():
        key = _signature(pattern)
        if key is not None:
            ran.setdefault(key, []).append(query_id)
        if (pattern.tables or pattern.functions) and not pattern.unresolved:
            used_by = (*pattern.tables, *pattern.functions)
            found = [entry for used in used_by for entry in by_verb.get((pattern.verb, used), ())]
            sent_by = _sent_by(list({id(entry): entry for entry in found}.values()), pattern)
            if sent_by and key is not None and key in code:
                ran[key].append(query_id)
            elif sent_by:
                matches += [Match(query_id, location, "pattern") for location in sent_by]
    matched = {match.query_id for match in matches}
    return matches + [
        Match(ran[key][0], found[0].location, "pattern")
        for key, found in code.items()
        if len(found) == 1 and len(ran.get(key, ())) == 1 and ran[key][0] not in matched
    ]


def _sent_by(calls: list[_Call], ran: AccessPattern) -> list[Location]:
    """Where the call is that alone has this access; several places where one function has several such calls. Nothing if a
    call of which parts could not be read may be meant as well."""
    found: list[OrmCall] = []
    for call, pattern in calls:
        if pattern is None:
            continue
        if is_certain(pattern) and same_access(pattern, ran):
            found.append(call)
        elif not is_certain(pattern) and may_be(pattern, ran):
            return []
    functions = {(call.location.path, call.function) for call in found}
    alone = len({call.location for call in found}) == 1
    if not alone and (len(functions) != 1 or next(iter(functions))[1] is None):
        return []
    return sorted({call.location for call in found})


def _signature(pattern: AccessPattern) -> object | None:
    """What two spellings of one statement have in common; None if it tells too little."""
    if not pattern.tables or pattern.unresolved or not (pattern.comparisons or pattern.written_columns):
        return None
    return (
        pattern.verb,
        frozenset(pattern.tables),
        comparisons(pattern),
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
