"""What findings cost: bytes of storage, server time, WAL; as money where `[prices]` says what they cost.

Storage is what would be given back. Server time is all that the statements take that a finding is about: the most that its fix
can save. The WAL of an index is an estimate: the WAL of the statements that write its table, in equal parts to the table and
each of its indexes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from checks.configuration import Prices
from checks.evidence.database.facts import Catalog, Server, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import workload
from checks.model import Area, Finding
from checks.workload import TEXT_LIMIT, short_text
from scorecards.model import AreaCost, Cost

OVERALL = "overall"
_STORAGE = {
    "indexing.unused-index": "size_bytes",
    "indexing.duplicate-index": "size_bytes",
    "indexing.redundant-index": "size_bytes",
    "indexing.invalid-index": "size_bytes",
    "replication.inactive-slot": "retained_bytes",
}
_DAYS_OF_MONTH = 30.44
_LEAST_SHARE = 0.0005
_LEAST_DAYS = 1


class Taken(msgspec.Struct, frozen=True):
    """What one finding takes, by what it takes it with, so that nothing is counted twice: bytes by object, shares of server
    time by query id, shares of WAL by index."""

    storage: Mapping[tuple[str, ...], int] = {}
    server: Mapping[str, float] = {}
    wal: Mapping[tuple[str, ...], float] = {}


class Costs:
    """The costs of the findings of one evidence."""

    def __init__(self, evidence: Evidence) -> None:
        self.catalog, self.statements = evidence.find(Catalog), evidence.find(Statements)
        self.prices = evidence.configuration.prices
        self.shares = _shares(self.statements)
        self._by_text = {
            short_text(entry.text, TEXT_LIMIT): entry.query_id
            for entry in (self.statements.entries if self.statements else ())
        }
        self._wal = _wal_of_tables(evidence)
        self._wal_month = _wal_bytes_per_month(evidence)

    def statement_ids(self, finding: Finding) -> tuple[str, ...]:
        """The statements that ran and that a finding is about."""
        if finding.subject.kind == "statement":
            return finding.subject.path[:1] if finding.subject.path[0] in self.shares else ()
        named = finding.observed.get("statements")
        ids = [id for id in named if id in self.shares] if isinstance(named, list | tuple) else []
        text = finding.observed.get("statement")
        if not ids and isinstance(text, str) and text in self._by_text:
            ids = [self._by_text[text]]
        return tuple(dict.fromkeys(ids))

    def taken(self, finding: Finding) -> Taken:
        size = finding.observed.get(_STORAGE.get(finding.check, ""))
        storage = {finding.subject.path: int(size)} if isinstance(size, int) and size > 0 else {}
        server = {id: self.shares[id] for id in self.statement_ids(finding)}
        wal = {}
        if finding.check in _STORAGE and finding.subject.kind == "index" and self.catalog:
            share = self._share_of_index(finding.subject.path)
            wal = {finding.subject.path: share} if share else {}
        return Taken(storage, server, wal)

    def _share_of_index(self, path: tuple[str, ...]) -> float:
        catalog = self.catalog
        index = (
            next((entry for entry in catalog.indexes if (entry.schema, entry.name) == path), None) if catalog else None
        )
        if index is None or catalog is None:
            return 0.0
        return self._wal.get(index.table, 0.0) / (1 + len(catalog.indexes_of(index.table)))

    def of(self, findings: Iterable[Finding]) -> Cost | None:
        """All of them together; None if they cost nothing that is known."""
        storage: dict[tuple[str, ...], int] = {}
        server: dict[str, float] = {}
        wal: dict[tuple[str, ...], float] = {}
        for finding in findings:
            taken = self.taken(finding)
            storage.update(taken.storage)
            server.update(taken.server)
            wal.update(taken.wal)
        total, share, written = sum(storage.values()), min(1.0, sum(server.values())), min(1.0, sum(wal.values()))
        if not total and share < _LEAST_SHARE and written < _LEAST_SHARE:
            return None
        return Cost(
            total or None,
            round(share, 4) if share >= _LEAST_SHARE else None,
            round(written, 4) if written >= _LEAST_SHARE else None,
            self._money(total, share, written),
        )

    def by_area(self, findings: Sequence[Finding]) -> tuple[AreaCost, ...]:
        """Of each area that costs something, and overall, where a statement that several areas name counts once."""
        groups = [(area.value, [finding for finding in findings if finding.area is area]) for area in Area]
        found = []
        for name, group in (*groups, (OVERALL, list(findings))):
            cost = self.of(group)
            if cost is not None:
                found.append(AreaCost(name, sum(self.of([finding]) is not None for finding in group), cost))
        return tuple(found)

    def _money(self, storage: int, server: float, wal: float) -> float | None:
        prices: Prices | None = self.prices
        if prices is None:
            return None
        written = wal * (self._wal_month or 0.0)
        amount = storage / 1e9 * prices.storage_gb_month + server * prices.server_month + written / 1e9 * prices.wal_gb
        return round(amount, 2)


def _shares(statements: Statements | None) -> dict[str, float]:
    """Of all execution time, by query id, rows summed over users."""
    shares: dict[str, float] = {}
    for entry in statements.entries if statements else ():
        shares[entry.query_id] = shares.get(entry.query_id, 0.0) + (statements.share(entry) if statements else 0.0)
    return shares


def _wal_of_tables(evidence: Evidence) -> dict[int, float]:
    """The share of all WAL of statements, by the table that they write."""
    statements = evidence.find(Statements)
    total = sum(entry.wal_bytes or 0 for entry in statements.entries) if statements else 0
    if statements is None or not total:
        return {}
    written: dict[str, int] = {}
    for entry in statements.entries:
        written[entry.query_id] = written.get(entry.query_id, 0) + (entry.wal_bytes or 0)
    shares: dict[int, float] = {}
    for pattern in workload(evidence):
        if pattern.query_id and pattern.verb in ("insert", "update", "delete", "merge") and pattern.tables:
            table = next((ref.table for ref in pattern.written_columns if ref.table is not None), pattern.tables[0])
            shares[table] = shares.get(table, 0.0) + written.get(pattern.query_id, 0) / total
    return shares


def _wal_bytes_per_month(evidence: Evidence) -> float | None:
    statements, server = evidence.find(Statements), evidence.find(Server)
    if statements is None or server is None or statements.since is None:
        return None
    days = (server.observed_at - statements.since).total_seconds() / 86_400
    total = sum(entry.wal_bytes or 0 for entry in statements.entries)
    return total / days * _DAYS_OF_MONTH if days >= _LEAST_DAYS else None
