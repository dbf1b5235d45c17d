"""Access patterns: how the application reads or writes tables, whatever the statement came from.

A pattern is read from the text of a statement that ran (pg_stat_statements) or that stands in code; it is computed from
evidence, not stored in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import msgspec

from checks.evidence.database.facts import Catalog, Statements
from checks.evidence.repository.facts import CodeStatement, OrmCall, Repository
from checks.model import Location

if TYPE_CHECKING:
    from checks.evidence.evidence import Evidence


class ColumnRef(msgspec.Struct, frozen=True):
    """A column of a relation named in the statement. `table` is the catalog's oid, None if the name could not be resolved."""

    table: int | None
    column: str


class Comparison(msgspec.Struct, frozen=True):
    """`left OPERATOR right` in WHERE or JOIN ... ON, ANDed at top level unless `under_or`.

    `operator` as in SQL (`=`, `<`, `in`, `like`, `ilike`, `is null`, `between`, `@>`, `?`, ...), with the column on its left;
    `= ANY (array)` is `in`, and `any` where the column is the array. `function` wraps the column (`lower(email) = $1` has
    `lower`, `created_at + $1 > now()` has `+`), or is the cast (`::text`; one to the column's own type is none). `json_key` is
    the key compared inside a document (`metadata ->> 'status'` has json_operator `->>`; `$n` where the key was normalised
    away; `a.b` for a path). `other` is the column on the other side: such a comparison stands twice, once for each column.
    `leading_wildcard` is None where the pattern is a parameter. `several`: the expression takes another column or key besides
    (`coalesce(a, b) = $1`), and this is its first.
    """

    column: ColumnRef
    operator: str
    function: str | None = None
    json_operator: str | None = None
    json_key: str | None = None
    other: ColumnRef | None = None
    under_or: bool = False
    in_join: bool = False
    leading_wildcard: bool | None = None
    several: bool = False


class OrderKey(msgspec.Struct, frozen=True):
    """`distance_operator` (`<->`, `<=>`, ...) where the key is `column OPERATOR query_vector`; `bare` if nothing wraps it."""

    column: ColumnRef | None
    descending: bool = False
    distance_operator: str | None = None
    bare: bool = True


class DocumentSort(msgspec.Struct, frozen=True):
    """What a SELECT, at whatever level, sorts its rows by first, where that stands inside a document: `key` as in a comparison,
    with the operator `sort`. `limit` as in AccessPattern; the rows of a SELECT that groups are left out."""

    key: Comparison
    limit: int | None = None


class NearestSearch(msgspec.Struct, frozen=True):
    """One SELECT, at whatever level, that computes the distance of a stored vector to another, for what it sorts by, chooses
    or returns.

    `place`: order, filter, output; the first of these that it does. `called`: as a function (`cosine_distance(a, b)`), not as
    an operator. `wrapped` is the cast or function around the stored column within the distance (`::halfvec`,
    `binary_quantize`), `cast` the type that the other side is cast to. `bare` is false where something stands around the
    distance (`1 - (a <=> b)`, row_number() over it). `position` of the distance among the `keys` that it sorts by. `limit` as in
    AccessPattern. `filters` are its own comparisons, without those of the vector, and `relations` how many relations it names.
    `reranks`: it sorts the few rows that a search below it gave. `after` are comparisons of the query around it, which see only
    the rows that its LIMIT left.
    """

    column: ColumnRef
    operator: str
    place: str
    called: bool = False
    wrapped: str | None = None
    cast: str | None = None
    bare: bool = True
    descending: bool = False
    position: int = 0
    keys: int = 1
    limit: int | None = None
    filters: tuple[Comparison, ...] = ()
    relations: int = 1
    reranks: bool = False
    after: tuple[Comparison, ...] = ()


class AccessPattern(msgspec.Struct, frozen=True):
    """`verb`: select, insert, update, delete, merge, other. `tables` are the oids of catalog relations used; `unresolved` the
    names that the catalog does not have. `stars` are the relations whose `*` is in the output (the top-level select list).
    `limit` is the number where it is written as one, 0 where it is a parameter, None where there is none; likewise `offset`.
    `distances` are distance operators applied to a column anywhere in the statement: (column, operator). `comparisons`,
    `tables` and `joined_relations` (how many relations FROM, JOIN and USING name) are of the statement with its subqueries;
    `order_by`, `limit`, `offset` and `aggregates` of its outermost SELECT. `nested_order_by` are the keys by which subqueries
    sort, each with that subquery's limit. `output_columns` is the length of the outermost select list, 0 for a `*`.
    `functions` are the functions that FROM calls, by their names without a schema, but for those that unfold a document.
    `selected` are the plain columns of the outermost select list: all of it where there are `output_columns` of them.
    `conflict_columns` are those that ON CONFLICT names, where all are plain and no WHERE follows; else None.
    `partial`, of an ORM call, names what could not be read of it and may be there besides: where, order, limit, columns, joins,
    expressions (of the select list). Nothing follows then from the absence of such a part. `searches` are the SELECTs in it that
    compute distances of vectors. `sorts` are its SELECTs that sort by what stands inside a document.
    """

    verb: str
    text: str
    query_id: str | None = None
    locations: tuple[Location, ...] = ()
    tables: tuple[int, ...] = ()
    unresolved: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    order_by: tuple[OrderKey, ...] = ()
    limit: int | None = None
    offset: int | None = None
    stars: tuple[int, ...] = ()
    distances: tuple[tuple[ColumnRef, str], ...] = ()
    written_columns: tuple[ColumnRef, ...] = ()
    joined_relations: int = 0
    aggregates: bool = False
    skip_locked: bool = False
    nested_order_by: tuple[tuple[OrderKey, int | None], ...] = ()
    output_columns: int = 0
    partial: tuple[str, ...] = ()
    searches: tuple[NearestSearch, ...] = ()
    functions: tuple[str, ...] = ()
    selected: tuple[ColumnRef, ...] = ()
    conflict_columns: tuple[str, ...] | None = None
    sorts: tuple[DocumentSort, ...] = ()

    @property
    def all_filters_known(self) -> bool:
        """Whether a condition that is not among the comparisons is certainly not there."""
        return "where" not in self.partial and "joins" not in self.partial


def read_pattern(
    text: str, catalog: Catalog | None, *, query_id: str | None = None, locations: tuple[Location, ...] = ()
) -> AccessPattern | None:
    """The access pattern of one statement; names are resolved with the catalog: an unqualified one in public, else where it
    is unique. Its verb is `other` if it neither reads nor writes rows. None if it cannot be parsed."""
    # Imported here: the parsers cost start-up time that the screens before a run need not pay.
    from checks.evidence.pattern_reader import read_tree
    from checks.evidence.sql import parse_tolerantly

    tree = parse_tolerantly(text)
    if tree is None or not tree.stmts:
        return None
    return read_tree(tree.stmts[0].stmt, catalog, AccessPattern("other", text, query_id, locations))


def workload(evidence: Evidence) -> tuple[AccessPattern, ...]:
    """How the application uses its tables: a pattern for each statement that ran, with its places in code, then one for each
    that stands in code, or that an ORM call there stands for, and did not run. Statements that cannot be parsed are left out.
    Computed once per evidence."""
    known = vars(evidence)
    if "_workload" not in known:
        known["_workload"] = tuple(_read_workload(evidence))
    return cast("tuple[AccessPattern, ...]", known["_workload"])


def _read_workload(evidence: Evidence) -> Iterable[AccessPattern]:
    catalog, statements = evidence.find(Catalog), evidence.find(Statements)
    places: dict[str, tuple[Location, ...]] = {}
    matched: set[Location] = set()
    repository = evidence.find(Repository)
    for match in repository.matches if repository else ():
        places[match.query_id] = (*places.get(match.query_id, ()), match.location)
        matched.add(match.location)
    paged = {call.location for call in repository.calls if " OFFSET " in call.text} if repository else set()
    sent_by_call = {call.location for call in repository.calls} if repository else set()
    ran: list[AccessPattern] = []
    for entry in {entry.query_id: entry for entry in statements.entries}.values() if statements else ():
        pattern = read_pattern(entry.text, catalog, query_id=entry.query_id, locations=places.get(entry.query_id, ()))
        if pattern is not None:
            ran.append(pattern)
            known = set(pattern.locations)
            if pattern.offset is not None and known and known <= sent_by_call and known.isdisjoint(paged):
                # Prisma writes OFFSET 0 where the code skips nothing.
                pattern = msgspec.structs.replace(pattern, offset=None)
            yield pattern
    never_ran: dict[str, list[CodeStatement]] = {}
    for statement in repository.statements if repository else ():
        if statement.parsed and statement.location not in matched:
            never_ran.setdefault(statement.text, []).append(statement)
    for text, found in never_ran.items():
        pattern = read_pattern(text, catalog, locations=tuple(statement.location for statement in found))
        if pattern is not None:
            limits = {statement.limit for statement in found}
            if pattern.limit == 0 and len(limits) == 1 and (limit := limits.pop()):
                pattern = msgspec.structs.replace(pattern, limit=limit)
            yield pattern
    yield from _calls_that_never_ran(repository, catalog, matched, ran)


def _calls_that_never_ran(
    repository: Repository | None, catalog: Catalog | None, matched: set[Location], ran: list[AccessPattern]
) -> Iterable[AccessPattern]:
    """What an ORM call and a statement that ran both do is told by the statement alone, also where several calls do it."""
    from checks.evidence.access import Accesses

    known = Accesses(ran)
    grouped: dict[tuple[str, tuple[str, ...], int | None], list[OrmCall]] = {}
    for call in repository.calls if repository else ():
        if call.location not in matched:
            grouped.setdefault((call.text, call.partial, call.limit), []).append(call)
    for (text, partial, limit), found in grouped.items():
        pattern = read_pattern(text, catalog, locations=tuple(call.location for call in found))
        if pattern is None:
            continue
        pattern = msgspec.structs.replace(pattern, partial=partial)
        if not known.of(pattern):
            yield msgspec.structs.replace(pattern, limit=limit) if pattern.limit == 0 and limit else pattern
