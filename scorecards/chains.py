"""Across the areas: layers fail where they are misaligned. The costliest statements and the largest tables, and the state of
all six areas for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from checks.evidence.database.facts import Catalog, Statements, Table
from checks.evidence.evidence import Evidence
from checks.model import Area, CheckResult, Finding, Outcome, Severity, Subject
from checks.relations import is_reviewed, leaves
from checks.text import visible_line
from checks.workload import pattern_by_query_id, statement_in_words, table_in_words
from scorecards.costs import Costs
from scorecards.model import Chain, Link, LocationRef, SubjectRef
from scorecards.words import encodable

STATEMENTS = 5
TABLES = 3
LEAST_SHARE = 0.01
LEAST_BYTES = 1024 * 1024
PLACES = 3
_DOCUMENTS = frozenset({"json", "jsonb", "hstore", "vector", "halfvec", "sparsevec"})
_IN_TABLE = frozenset({"table", "view", "column", "constraint", "policy", "trigger", "statistics"})
_OF_SERVER = frozenset(
    {"setting", "role", "slot", "session", "node", "database", "publication", "subscription", "prepared_transaction"}
)
_DECIDED = frozenset({Outcome.PASSED, Outcome.FOUND})


def find_chains(evidence: Evidence, results: Sequence[CheckResult], costs: Costs) -> tuple[Chain, ...]:
    """One for each of the five statements with the most server time, then for the three largest tables that none of these
    uses. Notes are advice and weaken nothing."""
    catalog = evidence.find(Catalog)
    if catalog is None:
        return ()
    context = _Context(evidence, catalog, results, costs)
    statements = list(context.statements())
    seen = {table for tables, _ in statements for table in tables}
    tables = [table for table in _largest(catalog) if table.oid not in seen][:TABLES]
    return (*(chain for _, chain in statements), *(context.table(table) for table in tables))


class _Context:
    """What the rows of one review have in common."""

    def __init__(self, evidence: Evidence, catalog: Catalog, results: Sequence[CheckResult], costs: Costs) -> None:
        self.evidence, self.catalog, self.results, self.costs = evidence, catalog, results, costs
        self.findings = [
            (finding, self._tables_of(finding), costs.statement_ids(finding))
            for result in results
            for finding in result.findings
            if finding.severity is not Severity.NOTE
        ]
        self.users: dict[str, set[str]] = {}
        statements = evidence.find(Statements)
        for entry in statements.entries if statements else ():
            self.users.setdefault(entry.query_id, set()).update(entry.users)

    def statements(self) -> Iterable[tuple[frozenset[int], Chain]]:
        """Statements that differ only in what their words leave out are one row, under the id of the costliest."""
        patterns, shares = pattern_by_query_id(self.evidence), self.costs.shares
        groups: dict[tuple[str, frozenset[int]], list[str]] = {}
        for id in sorted(shares, key=lambda id: (-shares[id], id)):
            pattern = patterns.get(id)
            tables = frozenset(self._root(oid) for oid in pattern.tables) if pattern else frozenset()
            if pattern is not None and self._reviewed(tables):
                words = visible_line(statement_in_words(pattern, self.catalog))
                groups.setdefault((words, tables), []).append(id)
        summed = [(sum(shares[id] for id in ids), ids, *key) for key, ids in groups.items()]
        for share, ids, words, tables in sorted(summed, key=lambda entry: (-entry[0], entry[1]))[:STATEMENTS]:
            if share < LEAST_SHARE:
                return
            places = tuple(place for id in ids for place, _ in self.evidence.statement_locations.get(id, ()))
            links = tuple(self._link(area, tables, frozenset(ids)) for area in Area)
            more = f" ({len(ids)} statements)" if len(ids) > 1 else ""
            chain = Chain(
                _subject(Subject("statement", (ids[0],))),
                f"{words}{more}",
                round(share, 4),
                sum(_size(self.catalog, self.catalog.table_by_oid[oid]) for oid in tables),
                tuple(LocationRef(encodable(place.path), place.line) for place in places[:PLACES]),
                links,
                _weakest(links),
            )
            yield tables, chain

    def table(self, table: Table) -> Chain:
        links = tuple(self._link(area, frozenset({table.oid}), frozenset()) for area in Area)
        places = self.evidence.locations(table.subject)
        return Chain(
            _subject(table.subject),
            visible_line(f"table {table_in_words(self.catalog, table.oid)}"),
            None,
            _size(self.catalog, table),
            tuple(LocationRef(encodable(place.path), place.line) for place in places[:PLACES]),
            links,
            _weakest(links),
        )

    def _link(self, area: Area, tables: frozenset[int], statements: frozenset[str]) -> Link:
        own, wide = [], []
        for finding, about, ids in self.findings:
            if finding.area is not area:
                continue
            if about or ids:
                if statements & {*ids} if statements and ids else about & tables:
                    own.append(finding)
            elif self._concerns(finding, statements):
                wide.append(finding)
        if not own and not wide:
            return Link(area.value, self._state(area, tables))
        ranked = sorted([*own, *wide], key=lambda finding: (_rank(finding), finding in wide, finding.check, finding.id))
        first = ranked[0]
        assert first.severity is not None
        return Link(
            area.value,
            "found",
            first.severity.value,
            first.check,
            first.id,
            len(ranked) - 1,
            first in wide and first not in own,
        )

    def _concerns(self, finding: Finding, statements: frozenset[str]) -> bool:
        """What is about the server concerns everything; what is about a role, the statements that it runs."""
        users = {user for id in statements for user in self.users.get(id, ())}
        if finding.subject.kind not in _OF_SERVER:
            return False
        return finding.subject.kind != "role" or not users or finding.subject.path[0] in users

    def _state(self, area: Area, tables: frozenset[int]) -> str:
        if area is Area.HYBRID and not any(
            column.base_type in _DOCUMENTS or column.type.endswith("[]")
            for oid in tables
            for column in self.catalog.columns_of(oid).values()
        ):
            return "not_applicable"
        outcomes = {result.outcome for result in self.results if result.area is area}
        if outcomes & _DECIDED:
            return "ok"
        return "not_applicable" if outcomes == {Outcome.NOT_APPLICABLE} else "unknown"

    def _tables_of(self, finding: Finding) -> frozenset[int]:
        subject, catalog = finding.subject, self.catalog
        path = subject.path[:2]
        oid: int | None = None
        if subject.kind in _IN_TABLE and len(path) == 2 and path in catalog.table_by_name:
            oid = catalog.table_by_name[path].oid
        elif subject.kind == "index":
            oid = next((entry.table for entry in catalog.indexes if (entry.schema, entry.name) == path), None)
        elif subject.kind == "sequence":
            oid = next(
                (entry.owned_by_table for entry in catalog.sequences if (entry.schema, entry.name) == path), None
            )
        return frozenset({self._root(oid)}) if oid is not None and oid in catalog.table_by_oid else frozenset()

    def _root(self, oid: int) -> int:
        table = self.catalog.table_by_oid.get(oid)
        return table.root if table is not None and table.root is not None else oid

    def _reviewed(self, tables: frozenset[int]) -> bool:
        found = [self.catalog.table_by_oid.get(oid) for oid in tables]
        return bool(found) and all(table is not None for table in found) and any(map(is_reviewed, filter(None, found)))


def _largest(catalog: Catalog) -> list[Table]:
    sized = [
        (size, table)
        for table in catalog.tables
        if is_reviewed(table)
        and table.kind in ("table", "partitioned")
        and not table.is_partition
        and (size := _size(catalog, table)) >= LEAST_BYTES
    ]
    return [table for _, table in sorted(sized, key=lambda pair: (-pair[0], pair[1].subject.path))]


def _size(catalog: Catalog, table: Table) -> int:
    parts = leaves(catalog, table) if table.kind == "partitioned" else [table]
    return sum(part.total_bytes or 0 for part in parts)


def _rank(finding: Finding) -> int:
    assert finding.severity is not None
    return finding.severity.rank


def _weakest(links: Sequence[Link]) -> tuple[str, ...]:
    """Of what is wrong with the row itself; where nothing is, with the server."""
    found = [link for link in links if link.severity]
    own = [link for link in found if not link.server_wide] or found
    worst = min((Severity(link.severity).rank for link in own if link.severity), default=None)
    return tuple(link.area for link in own if link.severity and Severity(link.severity).rank == worst)


def _subject(subject: Subject) -> SubjectRef:
    return SubjectRef(subject.kind, visible_line(subject.name, 500), tuple(encodable(part) for part in subject.path))
