"""Chooses new indexes for the whole workload within a storage budget, by trying them in a shadow.

All that might serve a statement are made there at once, empty but sized. What no plan takes is dropped from the choice. Of the
rest three sets are made: by taking away what costs least for the bytes it gives back until the rest fits, and by adding what
helps most, in all or for its bytes. The best is advised, after one or the other was exchanged where that is better. A plan
stays as it is while what it uses is there and nothing new is, so that only the statements concerned are planned again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import psycopg

from checks.advice import Advice, AdvisedIndex, AdvisedStatement
from checks.evidence.database.facts import Catalog, PlanNode, Statement, Statements, Usage
from checks.evidence.evidence import Evidence
from checks.model import qualified_name, quote_identifier
from checks.relations import leaves, root_of
from checks.shadow.advice_pool import Proposed, pool
from checks.shadow.clone import Shadow
from checks.shadow.in_memory import InMemory, proven
from checks.shadow.index_trees import index_trees
from checks.shadow.sizing import predicted_sizes
from checks.shadow.workload import with_limits

STATEMENTS = 100
CANDIDATES = 400
# With those of partitions, each of which takes as long to make as one of a table of its own.
PARTS = 2_000
BUDGET_BYTES = 1 << 30
# Shares of the workload's cost: what an index has to save, and what one that only spares looks into the table has to save more.
LEAST_GAIN = 0.001
COVERING_GAIN = 0.005
# Of one entry: a descent, and its share of the pages that are written.
WRITE_COST = 0.5
BLOCK_BYTES = 8192
LONGEST_S = 60.0
# Kept free of the budget for the error of predicted sizes: of 25 B-trees built on TPC-H's tables, one was larger by more. What is
# not laid out page by page is a guess.
MARGINS = {"btree": 0.03, "brin": 0.03}
MARGIN_OF_GUESSES = 0.5
_PREFIX = "pgsurveyor_advised_"

Progress = Callable[[str], None]
Path = tuple[str, str]


class _Index(NamedTuple):
    """`parts` are the index itself, or on a partitioned table with it those of the partitions."""

    path: Path
    parts: tuple[Path, ...]
    proposed: Proposed
    bytes: int
    bytes_at_most: int
    write_cost: float


class _Cost(NamedTuple):
    cost: float
    used: frozenset[Path]


def _silent(_: str) -> None:
    return


def advise(
    shadow: Shadow,
    evidence: Evidence,
    *,
    budget_bytes: int = BUDGET_BYTES,
    progress: Progress = _silent,
    cancelled: threading.Event | None = None,
) -> Advice:
    """The advised set; the shadow keeps what was tried, hidden."""
    return _Search(shadow, evidence, progress, cancelled).advice(budget_bytes)


class _Search:
    def __init__(
        self, shadow: Shadow, evidence: Evidence, progress: Progress, cancelled: threading.Event | None
    ) -> None:
        self._shadow, self._evidence, self._progress = shadow, evidence, progress
        self._cancelled = cancelled
        self._deadline, self._cut_short = time.monotonic() + LONGEST_S, False
        self._asked = {entry.query_id: entry for entry in _statements(evidence)}
        self._texts = {id: with_limits(entry.text, entry.rows, entry.calls) for id, entry in self._asked.items()}
        self._visible: frozenset[Path] = frozenset()
        self._known: dict[str, list[tuple[frozenset[Path], _Cost]]] = {}
        self._mine: dict[str, frozenset[Path]] = {}
        self._plain: dict[str, frozenset[Path]] = {}
        self._indexes: dict[Path, _Index] = {}
        self._by_name: dict[Path, Path] = {}
        self._tables_of: dict[str, set[Path]] = {}
        self._root_of = _roots(evidence.get(Catalog))

    def advice(self, budget_bytes: int) -> Advice:
        self._progress("planning the workload in the shadow")
        before = {id: cost for id in self._asked if (cost := self._plan(id)) is not None}
        unplanned = len(self._asked) - len(before)
        self._asked = {id: self._asked[id] for id in before}
        made = self._make()
        tried = self._worth_trying(before)
        whole = sum(self._weight(id) * cost.cost for id, cost in before.items())
        sets = [
            self._filled(self._thinned(tried, budget_bytes, whole), tried, budget_bytes, whole, by_bytes=False),
            self._filled(frozenset(), tried, budget_bytes, whole, by_bytes=True),
            self._filled(frozenset(), tried, budget_bytes, whole, by_bytes=False),
        ]
        chosen = min(sets, key=lambda one: (self._total(one), sorted(one)))
        chosen = self._exchanged(chosen, tried, budget_bytes, whole)
        chosen = self._simplified(chosen, whole)
        return self._told(chosen, before, budget_bytes, made, unplanned)

    def _stopped(self) -> bool:
        if time.monotonic() > self._deadline:
            self._cut_short = True
        return self._cut_short or (self._cancelled is not None and self._cancelled.is_set())

    def _make(self) -> int:
        """Makes every candidate in the shadow, sized and hidden. Returns how many there are."""
        found = pool(self._evidence, self._asked)
        names: dict[Proposed, Path] = {}
        statements = []
        lacking = {
            name
            for name in {one.extension for one in found.all if one.extension}
            if self._shadow.create_extension(name)
        }
        for number, one in enumerate(self._chosen(one for one in found.all if one.extension not in lacking)):
            name = f"{_PREFIX}{number}"
            statement = f"CREATE INDEX {quote_identifier(name)} ON {qualified_name(*one.table)} {one.definition}"
            statements.append((one, name, statement))
        self._progress(f"making {len(statements)} indexes in the shadow")
        for one, name in self._created(statements):
            names[one] = (one.table[0], name)
        trees = index_trees(self._shadow) if names else {}
        below = {path: tuple(part.path for part in trees.get(path, ())) for path in names.values()}
        sizes = predicted_sizes(self._shadow, [path for parts in below.values() for path in parts])
        if sizes:
            self._shadow.resize(sizes.values())
        writes = _writes(self._evidence, self._root_of)
        for one, path in names.items():
            sized = [sizes[part] for part in below.get(path, ()) if part in sizes]
            if sized:
                predicted = sum(size.pages for size in sized) * BLOCK_BYTES
                margin = MARGINS.get(sized[0].method, MARGIN_OF_GUESSES)
                self._indexes[path] = _Index(
                    path, below[path], one, predicted, round(predicted * (1 + margin)),
                    WRITE_COST * writes.get(one.table, 0.0),
                )  # fmt: skip
        self._by_name = {part: path for path, index in self._indexes.items() for part in index.parts}
        if names:
            self._shadow.switch({part: False for parts in below.values() for part in parts})
        self._visible = frozenset()
        for part in (found.plain, found.covering):
            for id, group in part.items():
                mine = {names[one] for one in group if one in names and names[one] in self._indexes}
                self._mine[id] = self._mine.get(id, frozenset()) | mine
        self._plain = {
            id: frozenset(names[one] for one in group if one in names and names[one] in self._indexes)
            for id, group in found.plain.items()
        }
        return len(self._indexes)

    def _chosen(self, proposed: Iterable[Proposed]) -> Iterable[Proposed]:
        """As many as are made within the time, those of the costliest statements first."""
        catalog, parts = self._evidence.get(Catalog), 0
        for number, one in enumerate(proposed):
            table = catalog.table_by_name.get(one.table)
            parts += len(leaves(catalog, table)) if table is not None else 1
            if number >= CANDIDATES or parts > PARTS:
                return
            yield one

    def _created(self, statements: Sequence[tuple[Proposed, str, str]]) -> Iterable[tuple[Proposed, str]]:
        """Together; where one of them cannot be made, by halves."""
        if not statements:
            return []
        try:
            self._shadow.apply([sql for _, _, sql in statements])
        except psycopg.Error:
            self._shadow.apply(
                [f"DROP INDEX IF EXISTS {qualified_name(one.table[0], name)}" for one, name, _ in statements]
            )
            if len(statements) == 1:
                return []
            middle = len(statements) // 2
            return [*self._created(statements[:middle]), *self._created(statements[middle:])]
        return [(one, name) for one, name, _ in statements]

    def _worth_trying(self, before: dict[str, _Cost]) -> frozenset[Path]:
        """What each statement's plan takes of its own candidates: of all, of the narrow ones, of others."""
        found: set[Path] = set()
        for id in before:
            mine, plain = self._mine.get(id, frozenset()), self._plain.get(id, frozenset())
            first = self._cost(id, mine)
            second = self._cost(id, plain)
            third = self._cost(id, mine - first.used)
            for one in (first, second, third, self._cost(id, plain - second.used)):
                if one.cost < before[id].cost * 0.995:
                    found |= one.used
        return frozenset(found)

    def _losses(self, chosen: frozenset[Path]) -> dict[Path, float]:
        """What the workload costs more without each of them alone, its writers' gain taken off."""
        now = {id: self._cost(id, chosen) for id in self._asked}
        losses = {}
        for path in sorted(chosen):
            users = [id for id, cost in now.items() if path in cost.used]
            without = chosen - {path}
            lost = sum(self._weight(id) * (self._cost(id, without).cost - now[id].cost) for id in users)
            losses[path] = lost - self._indexes[path].write_cost
        return losses

    def _thinned(self, tried: frozenset[Path], budget_bytes: int, whole: float) -> frozenset[Path]:
        """From all that is worth trying, those whose absence costs least for the bytes they give back taken away, one by one."""
        chosen = tried
        while chosen and not self._stopped():
            losses = self._losses(chosen)
            if self._room(chosen, budget_bytes) < 0:
                worst = min(chosen, key=lambda path: (losses[path] / self._indexes[path].bytes, path))
            else:
                worst = min(chosen, key=lambda path: (losses[path], path))
                if losses[worst] > LEAST_GAIN * whole:
                    break
            self._progress(f"choosing among {len(chosen)} indexes")
            chosen -= {worst}
        return chosen

    def _filled(
        self, chosen: frozenset[Path], tried: frozenset[Path], budget_bytes: int, whole: float, *, by_bytes: bool
    ) -> frozenset[Path]:
        """With what still fits and helps most, in all or for its bytes. A gain that was measured before others were chosen is
        taken for the most that it can be, and measured again when its turn comes."""
        gains = {path: float("inf") for path in tried - chosen}
        measured: dict[Path, frozenset[Path]] = {}
        while gains and not self._stopped():
            room = self._room(chosen, budget_bytes)
            gains = {
                path: gain
                for path, gain in gains.items()
                if self._indexes[path].bytes_at_most <= room and gain > LEAST_GAIN * whole
            }
            if not gains:
                break
            best = max(gains, key=lambda path: (gains[path] / (self._indexes[path].bytes if by_bytes else 1), path))
            if measured.get(best) == chosen:
                chosen |= {best}
                del gains[best]
                continue
            gains[best] = self._total(chosen) - self._total(chosen | {best})
            measured[best] = chosen
        return chosen

    def _exchanged(
        self, chosen: frozenset[Path], tried: frozenset[Path], budget_bytes: int, whole: float
    ) -> frozenset[Path]:
        """With one taken out and others in its place, for as long as that makes the whole cheaper."""
        total, improved = self._total(chosen), True
        while improved and not self._stopped():
            improved = False
            losses = self._losses(chosen)
            for path in sorted(chosen, key=lambda one: (losses[one] / self._indexes[one].bytes, one)):
                if self._stopped():
                    break
                self._progress(f"exchanging one of {len(chosen)} indexes")
                other = self._filled(chosen - {path}, tried - {path}, budget_bytes, whole, by_bytes=False)
                if (cost := self._total(other)) < total - LEAST_GAIN / 10 * whole:
                    chosen, total, improved = other, cost, True
                    break
        return chosen

    def _simplified(self, chosen: frozenset[Path], whole: float) -> frozenset[Path]:
        """With the plain index, or none, in place of a covering one that saves little more."""
        known = {index.proposed: path for path, index in self._indexes.items()}
        for path in sorted(chosen):
            proposed = self._indexes[path].proposed
            keys, covers, _ = proposed.definition.partition(" INCLUDE ")
            plain = known.get(Proposed(proposed.table, keys))
            if not covers:
                continue
            others = [chosen - {path}, *([(chosen - {path}) | {plain}] if plain is not None else [])]
            best = min(others, key=self._total)
            if self._total(best) - self._total(chosen) < COVERING_GAIN * whole:
                chosen = best
        return chosen

    def _room(self, chosen: frozenset[Path], budget_bytes: int) -> int:
        return budget_bytes - sum(self._indexes[path].bytes_at_most for path in chosen)

    def _total(self, chosen: frozenset[Path]) -> float:
        """The workload's cost with these indexes, their writers' included."""
        cost = sum(self._weight(id) * self._cost(id, chosen).cost for id in self._asked)
        return cost + sum(self._indexes[path].write_cost for path in chosen)

    def _told(
        self, chosen: frozenset[Path], before: dict[str, _Cost], budget_bytes: int, made: int, unplanned: int
    ) -> Advice:
        after = {id: self._cost(id, chosen) for id in before}
        chosen = frozenset(path for cost in after.values() for path in cost.used)
        losses = self._losses(chosen)
        whole = sum(self._weight(id) * cost.cost for id, cost in before.items())
        advised = [
            AdvisedIndex(
                self._indexes[path].proposed.table,
                self._indexes[path].proposed.definition,
                self._indexes[path].bytes,
                tuple(id for id, cost in after.items() if path in cost.used),
                round(losses[path] / whole, 4) if whole else 0.0,
                self._indexes[path].proposed.extension,
            )
            for path in chosen
        ]
        return Advice(
            budget_bytes,
            tuple(sorted(advised, key=lambda entry: (-entry.loss, entry.table, entry.definition))),
            self._compared(chosen, before, after),
            whole,
            sum(self._weight(id) * cost.cost for id, cost in after.items()),
            sum(self._indexes[path].write_cost for path in chosen),
            made,
            unplanned,
            bytes_at_most=sum(self._indexes[path].bytes_at_most for path in chosen),
            server_major=self._shadow.major,
            target_major=self._shadow.blueprint.major,
            cut_short=self._cut_short,
        )

    def _compared(
        self, chosen: frozenset[Path], before: dict[str, _Cost], after: dict[str, _Cost]
    ) -> tuple[AdvisedStatement, ...]:
        """Those that get cheaper are counted a second time, with and without the chosen indexes, which are then hidden."""
        statements = {id: AdvisedStatement(id, self._weight(id), before[id].cost, after[id].cost) for id in before}
        better = [id for id, entry in statements.items() if entry.better]
        self._progress(f"counting {len(better)} statements with every page in memory")
        counting = InMemory(self._shadow, self._evidence.limit("visited_rows")) if better else None
        counted: list[dict[str, float | None]] = []
        for there in (chosen, frozenset()):
            self._show(there)
            counted.append({id: self._in_memory(counting, id) for id in better} if counting is not None else {})
        gain = self._evidence.limit("proven_gain")
        for id in better:
            costs, counts = (before[id].cost, after[id].cost), (counted[1][id], counted[0][id])
            statements[id] = msgspec.structs.replace(
                statements[id], memory_before=counts[0], memory_after=counts[1], proven=proven(gain, costs, counts)
            )
        return tuple(statements.values())

    def _in_memory(self, counting: InMemory, id: str) -> float | None:
        text, role = self._texts[id], self._role(id)
        root = self._shadow.explain(text, role)
        return counting.cost(text, role, root) if isinstance(root, PlanNode) else None

    def _role(self, id: str) -> str:
        entry = self._asked[id]
        return entry.users[0] if entry.users else ""

    def _show(self, there: frozenset[Path]) -> None:
        if self._visible != there:
            self._shadow.switch(
                {part: path in there for path in self._visible ^ there for part in self._indexes[path].parts}
            )
            self._visible = there

    def _weight(self, id: str) -> float:
        return max(1.0, float(self._asked[id].calls))

    def _cost(self, id: str, visible: frozenset[Path]) -> _Cost:
        """With these indexes there, of which those matter that were made for tables that the statement reads."""
        tables = self._tables_of[id]
        mine = frozenset(path for path in visible if self._indexes[path].proposed.table in tables)
        known = self._known.setdefault(id, [])
        for there, cost in known:
            # What a plan does not use may be there or not.
            if cost.used <= mine <= there:
                return cost
        self._show(mine)
        found = self._plan(id) or _Cost(float("inf"), frozenset())
        known.append((mine, found))
        return found

    def _plan(self, id: str) -> _Cost | None:
        root = self._shadow.explain(self._texts[id], self._role(id))
        if not isinstance(root, PlanNode):
            return None
        read = {(node.schema, node.relation) for node in root.walk() if node.schema and node.relation}
        self._tables_of.setdefault(id, set()).update(self._root_of.get(path, path) for path in read)
        return _Cost(root.total_cost, frozenset(self._used(root)))

    def _used(self, root: PlanNode) -> Iterable[Path]:
        """Those of ours among a plan's indexes; of a bitmap's the schema stands at the scan above it."""
        waiting = [(root, "")]
        while waiting:
            node, above = waiting.pop()
            schema = node.schema or above
            path = self._by_name.get((schema, node.index)) if node.index is not None else None
            if path is not None:
                yield path
            waiting += [(child, schema) for child in node.children]


def _statements(evidence: Evidence) -> list[Statement]:
    """Those with the most execution time, one for each query id."""
    known = evidence.find(Statements)
    found: dict[str, Statement] = {}
    for entry in sorted(known.entries if known else (), key=lambda entry: (-entry.total_ms, entry.query_id)):
        if entry.toplevel:
            found.setdefault(entry.query_id, entry)
    return list(found.values())[:STATEMENTS]


def _roots(catalog: Catalog) -> dict[Path, Path]:
    """Of each partition the table at the top of its tree."""
    found = {}
    for table in catalog.tables:
        if table.is_partition:
            root = root_of(catalog, table)
            found[table.schema, table.name] = (root.schema, root.name)
    return found


def _writes(evidence: Evidence, roots: Mapping[Path, Path]) -> dict[Path, float]:
    """Index entries that each table's writers made in the window: rows inserted, and updated without being heap-only. Those of
    partitions count for their root."""
    catalog, usage = evidence.get(Catalog), evidence.find(Usage)
    found: dict[Path, float] = {}
    for entry in usage.tables if usage else ():
        table = catalog.table_by_oid.get(entry.table)
        if table is not None:
            path = roots.get((table.schema, table.name), (table.schema, table.name))
            found[path] = found.get(path, 0.0) + entry.inserted + entry.updated - entry.hot_updated
    return found
