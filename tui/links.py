"""What belongs together: findings, tables, indexes, statements and places in code. Pure; made once for a review, and each part of
it only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from checks.evidence.database.facts import Catalog, GivenPlans, Index, Plan, Plans, Statement, Statements, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern, workload
from checks.evidence.repository.facts import Repository
from checks.growth import GrownStatement, Growth
from checks.model import Finding, Location, Subject
from checks.relations import is_reviewed
from checks.workload import statement_in_words

_IN_TABLE = frozenset({"table", "view", "column", "constraint", "policy", "trigger", "statistics"})
MOST_RELATED = 200


class Thing(NamedTuple):
    """Something that can be gone to. `kind`: table, index, statement, file, finding; `key` is schema and name, a query id, a path
    or the id of a finding. `line` is the line in a file."""

    kind: str
    key: tuple[str, ...]
    line: int = 0


class Touch(NamedTuple):
    """A place in code that uses a table or a statement, and how: declares, sends, reads or writes."""

    location: Location
    how: str
    thing: Thing


def statement_ids(finding: Finding) -> tuple[str, ...]:
    """The statements of pg_stat_statements that a finding names, by its subjects or its figures."""
    ids = [subject.path[0] for subject in (finding.subject, *finding.related) if subject.kind == "statement"]
    for key in ("statement", "statements", "query_id"):
        named = finding.observed.get(key)
        ids += [named] if isinstance(named, str) else [str(one) for one in named] if isinstance(named, Iterable) else []
    return tuple(dict.fromkeys(ids))


def things_of(finding: Finding) -> tuple[Thing, ...]:
    """The tables, indexes and statements that a finding is about."""
    found: list[Thing] = []
    for subject in (finding.subject, *finding.related):
        if subject.kind in _IN_TABLE and len(subject.path) >= 2:
            found.append(Thing("table", subject.path[:2]))
        elif subject.kind == "index":
            found.append(Thing("index", subject.path[:2]))
    found += [Thing("statement", (id,)) for id in statement_ids(finding)]
    return tuple(dict.fromkeys(found))


class Links:
    """`entries` are the findings by id, in the order of every report."""

    def __init__(self, evidence: Evidence, entries: Mapping[str, Finding]) -> None:
        self.evidence = evidence
        self.entries_by_id = entries
        self.findings = tuple(entries.values())
        self.catalog = evidence.find(Catalog) or Catalog()
        self.statements = evidence.find(Statements)
        self._plans = evidence.find(Plans) or Plans()

    # Findings

    @cached_property
    def _by_thing(self) -> dict[Thing, list[Finding]]:
        found: dict[Thing, list[Finding]] = {}
        for finding in self.findings:
            for thing in things_of(finding):
                found.setdefault(thing, []).append(finding)
            for path in {location.path for location in finding.locations}:
                found.setdefault(Thing("file", (path,)), []).append(finding)
        return found

    def finding(self, id: str) -> Finding | None:
        return self.entries_by_id.get(id)

    def findings_of(self, thing: Thing) -> tuple[Finding, ...]:
        """Those about that thing; about a table also those about its indexes."""
        found = list(self._by_thing.get(Thing(thing.kind, thing.key), ()))
        if thing.kind == "table" and (table := self.table(thing)) is not None:
            for index in self.catalog.indexes_of(table.oid):
                found += self._by_thing.get(Thing("index", (index.schema, index.name)), ())
        return tuple({finding.id: finding for finding in found}.values())

    def related(self, finding: Finding) -> tuple[Finding, ...]:
        """Other findings about the same statements or tables, what has most in common first."""
        shared: dict[str, tuple[int, Finding]] = {}
        for thing in things_of(finding):
            for other in self._by_thing.get(thing, ())[:MOST_RELATED]:
                if other.id != finding.id:
                    known = shared.get(other.id, (0, other))[0]
                    shared[other.id] = (known + (2 if thing.kind == "statement" else 1), other)
        ranked = sorted(shared.values(), key=lambda pair: (-pair[0], pair[1].severity.rank if pair[1].severity else 9))
        return tuple(other for _, other in ranked)

    # Tables and indexes

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """Those that are reviewed, partitions left out, the largest first."""
        found = [table for table in self.catalog.tables if is_reviewed(table) and not table.is_partition]
        return tuple(sorted(found, key=lambda table: (-(table.total_bytes or 0), table.schema, table.name)))

    @cached_property
    def indexes(self) -> tuple[Index, ...]:
        """Those of the tables that are reviewed, the largest first."""
        known = {table.oid for table in self.tables}
        found = [index for index in self.catalog.indexes if index.table in known]
        return tuple(sorted(found, key=lambda index: (-(index.size_bytes or 0), index.schema, index.name)))

    def table(self, thing: Thing) -> Table | None:
        return self.catalog.table_by_name.get((thing.key[0], thing.key[1])) if len(thing.key) == 2 else None

    @cached_property
    def _index_by_name(self) -> dict[tuple[str, str], Index]:
        return {(index.schema, index.name): index for index in self.catalog.indexes}

    def index(self, thing: Thing) -> Index | None:
        return self._index_by_name.get((thing.key[0], thing.key[1])) if len(thing.key) == 2 else None

    # Statements. What they read and write is parsed when it is first asked for, which takes a moment for thousands.

    @cached_property
    def entries(self) -> tuple[Statement, ...]:
        """Those that ran, the costliest first, each query id once."""
        known = self.statements.by_id.values() if self.statements else ()
        return tuple(sorted(known, key=lambda entry: (-entry.total_ms, entry.query_id)))

    def statement(self, thing: Thing) -> Statement | None:
        return self.statements.by_id.get(thing.key[0]) if self.statements else None

    def plan(self, query_id: str) -> Plan | None:
        """The slowest of those that were really run, else the generic one."""
        given = self.evidence.find(GivenPlans)
        ran = [each for each in given.plans if each.query_id == query_id and each.analyzed] if given else []
        if ran:
            slowest = max(ran, key=lambda each: each.execution_ms or 0.0)
            return Plan(query_id, slowest.root, f"it ran: {slowest.file}")
        return self._plans.by_id.get(query_id)

    def growth(self, query_id: str) -> tuple[Growth, GrownStatement] | None:
        """What became of that statement in a shadow that grew; None where none did."""
        grown = self.evidence.find(Growth)
        entry = grown.by_statement.get(query_id) if grown is not None else None
        return (grown, entry) if grown is not None and entry is not None else None

    @cached_property
    def _patterns(self) -> dict[str, AccessPattern]:
        return {pattern.query_id: pattern for pattern in workload(self.evidence) if pattern.query_id is not None}

    def read_workload(self) -> None:
        """Parses all statements, so that nobody waits for it later."""
        _ = self._patterns, self._uses

    def words_of(self, entry: Statement) -> str:
        """What a statement does, short; its text in one line where that cannot be told."""
        pattern = self._patterns.get(entry.query_id)
        return statement_in_words(pattern, self.catalog) if pattern else " ".join(entry.text[:300].split())

    def tables_of(self, query_id: str) -> tuple[Table, ...]:
        pattern = self._patterns.get(query_id)
        oids = pattern.tables if pattern else ()
        return tuple(table for oid in oids if (table := self.catalog.table_by_oid.get(self._root(oid))) is not None)

    def _root(self, oid: int) -> int:
        table = self.catalog.table_by_oid.get(oid)
        return table.root if table is not None and table.root is not None else oid

    @cached_property
    def _uses(self) -> dict[int, list[AccessPattern]]:
        found: dict[int, list[AccessPattern]] = {}
        for pattern in workload(self.evidence):
            for oid in {self._root(oid) for oid in pattern.tables}:
                found.setdefault(oid, []).append(pattern)
        return found

    def statements_of(self, table: Table) -> tuple[Statement, ...]:
        """Those that ran and use the table, the costliest first."""
        ids = {pattern.query_id for pattern in self._uses.get(table.oid, ()) if pattern.query_id}
        return tuple(entry for entry in self.entries if entry.query_id in ids)

    # Code

    def code_of_statement(self, query_id: str) -> tuple[tuple[Location, str], ...]:
        """Where it is sent from, and how that is known: query_id, text or pattern."""
        return self.evidence.statement_locations.get(query_id, ())

    def code_of_table(self, table: Table) -> tuple[tuple[Location, str], ...]:
        """Where the code declares the table, and where it reads or writes it."""
        declared = [(location, "declares") for location in self.evidence.locations(table.subject)]
        used = [
            (location, "reads" if pattern.verb == "select" else f"{pattern.verb}s")
            for pattern in self._uses.get(table.oid, ())
            for location in pattern.locations
        ]
        return tuple(dict.fromkeys((*declared, *sorted(used))))

    @cached_property
    def files(self) -> dict[str, tuple[Touch, ...]]:
        """Every file that declares or uses something, or that a finding names; by path, in the order of lines."""
        found: dict[str, set[Touch]] = {}
        for touch in self._touches():
            found.setdefault(touch.location.path, set()).add(touch)
        for finding in self.findings:
            for location in finding.locations:
                found.setdefault(location.path, set())
        return {path: tuple(sorted(touches, key=lambda one: (one.location, one.how, one.thing)))
                for path, touches in sorted(found.items())}  # fmt: skip

    def _touches(self) -> Iterator[Touch]:
        repository = self.evidence.find(Repository)
        for entry in repository.declared if repository else ():
            if (thing := self._thing_declared(entry.subject)) is not None:
                yield Touch(entry.location, "declares", thing)
        for match in repository.matches if repository else ():
            yield Touch(match.location, "sends", Thing("statement", (match.query_id,)))
        for pattern in workload(self.evidence):
            for location in pattern.locations:
                for oid in pattern.tables:
                    table = self.catalog.table_by_oid.get(self._root(oid))
                    if table is not None:
                        how = "reads" if pattern.verb == "select" else f"{pattern.verb}s"
                        yield Touch(location, how, Thing("table", (table.schema, table.name)))

    def _thing_declared(self, subject: Subject) -> Thing | None:
        if subject.kind in _IN_TABLE and len(subject.path) >= 2:
            return Thing("table", subject.path[:2])
        return Thing("index", subject.path[:2]) if subject.kind == "index" else None
