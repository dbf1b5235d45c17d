"""Ways of looking into a JSON document, and which indexes serve them (PostgreSQL manual, "jsonb Indexing")."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from checks.evidence import patterns
from checks.evidence.database.facts import Catalog, Column, Index
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern, Comparison, DocumentSort
from checks.evidence.repository.facts import Repository

CONTAINMENT = frozenset({"@>", "@?", "@@"})
EXISTENCE = frozenset({"?", "?|", "?&"})
SERVED_BY_CLASS = {"jsonb_ops": CONTAINMENT | EXISTENCE, "jsonb_path_ops": CONTAINMENT}
SORT = frozenset({"sort"})
BTREE_OPERATORS = frozenset({"=", "in", "<", "<=", ">", ">=", "between"})


class Way(msgspec.Struct, frozen=True):
    """One way of looking into a document that one kind of index would serve: whole documents by GIN, or one key."""

    operators: frozenset[str]
    json_operator: str | None = None
    key: str | None = None
    cast: str | None = None

    @property
    def discriminator(self) -> str:
        """What tells this way from others in a finding's fingerprint; a key that was normalised away is any."""
        if self.json_operator is None:
            return "document"
        return f"{self.json_operator} {'a key' if '$' in (self.key or '$') else self.key}"


def comparisons_with_keys(evidence: Evidence, pattern: AccessPattern) -> tuple[Comparison, ...]:
    """The statement's comparisons, with the keys that pg_stat_statements normalised away as the code has them.

    One normalised statement may be several in code, each with a key of its own; without code the keys stay `$n`.
    """
    if not any("$" in (entry.json_key or "") for entry in pattern.comparisons):
        return pattern.comparisons
    found = dict.fromkeys(entry for written in _as_written(evidence, pattern) for entry in written.comparisons)
    return tuple(found) or pattern.comparisons


def sorts_with_keys(evidence: Evidence, pattern: AccessPattern) -> tuple[DocumentSort, ...]:
    """What the statement sorts by inside documents, with the keys as the code has them, likewise."""
    if not any("$" in (entry.key.json_key or "") for entry in pattern.sorts):
        return pattern.sorts
    found = dict.fromkeys(entry for written in _as_written(evidence, pattern) for entry in written.sorts)
    return tuple(found) or pattern.sorts


def _as_written(evidence: Evidence, pattern: AccessPattern) -> Iterator[AccessPattern]:
    """The statement as it stands in code, at each of its places."""
    repository, places = evidence.find(Repository), set(pattern.locations)
    if repository is None:
        return
    texts = [(statement.location, statement.text) for statement in repository.statements]
    texts += [(call.location, call.text) for call in repository.calls]
    for location, text in texts:
        if location in places and (written := patterns.read_pattern(text, evidence.find(Catalog))):
            yield written


def way_of(comparison: Comparison) -> Way | None:
    """How the comparison looks into the document; None if it does not, or no index would serve it (LIKE, IS NULL)."""
    operator, inside = comparison.operator, comparison.json_operator
    if inside in CONTAINMENT | EXISTENCE:
        return Way(frozenset({inside}))
    if inside is None:
        return Way(frozenset({operator})) if operator in CONTAINMENT | EXISTENCE else None
    if operator in BTREE_OPERATORS | CONTAINMENT | EXISTENCE | SORT:
        return Way(frozenset({operator}), inside, comparison.json_key, comparison.function)
    return None


def is_served(catalog: Catalog, column: Column, way: Way) -> bool:
    """Whether an index of the column's table serves it; of a key that was normalised away, whether one may."""
    return any(index.valid and _serves(index, column, way) for index in catalog.indexes_of(column.table))


def _serves(index: Index, column: Column, way: Way) -> bool:
    for position, key in enumerate(index.keys):
        gin = index.method == "gin"
        if way.json_operator is None:
            if gin and key.column == column.number:
                served = SERVED_BY_CLASS.get(key.operator_class.rpartition(".")[2], frozenset())
                if way.operators <= served:
                    return True
        elif (position == 0 or gin) and key.expression and column.number in key.expression_columns:
            if way.operators <= CONTAINMENT | EXISTENCE:
                expected_method = gin
            else:
                expected_method = index.method == "btree" or (index.method == "hash" and way.operators <= {"=", "in"})
            in_order = way.operators != SORT or (
                index.predicate is None and _is_cast(key.expression) == _is_cast(way.cast)
            )
            if expected_method and in_order and _same_key(key.expression, way):
                return True
    return False


def _is_cast(expression: str | None) -> bool:
    """Whether what the document gives, text, is made another type; a key's own ::text is no such cast."""
    return bool(re.search(r"::(?!text\b)", expression or ""))


def _same_key(expression: str, way: Way) -> bool:
    """Whether the indexed expression takes the same key in the same way; a key that was normalised away may be any."""
    if way.json_operator not in re.findall(r"#>>|#>|->>|->", expression):
        return False
    written = {text.replace("''", "'") for text in re.findall(r"'((?:[^']|'')*)'", expression)}
    return _known_keys(way) <= written | {part for text in written for part in text.strip("{}").split(",")}


def _known_keys(way: Way) -> set[str]:
    """The keys on the way into the document but those that were normalised away."""
    return {part for part in (way.key or "").split(".") if part and not part.startswith("$")}
