"""Predicts the sizes of indexes that were made in a shadow, where they are empty, from what it knows of their tables."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from checks.evidence.database.facts import PlanNode
from checks.model import qualified_name
from checks.shadow.blueprint import RelationSize
from checks.shadow.clone import Shadow
from checks.shadow.index_size import IndexContents, predict
from checks.shadow.queries import INDEX_DETAILS
from checks.shadow.scaling import least_distinct

_EQUAL_IMAGE_AT = 64

Path = tuple[str, str]


def predicted_sizes(shadow: Shadow, indexes: Sequence[Path]) -> dict[Path, RelationSize]:
    """By schema and name, for those that have a file; `indexes` were just created and are empty."""
    if not indexes:
        return {}
    with shadow.superuser() as superuser:
        rows = superuser.execute(
            INDEX_DETAILS, [[path[0] for path in indexes], [path[1] for path in indexes]]
        ).fetchall()

    @cache
    def planned(statement: str) -> PlanNode | None:
        plan = shadow.explain(statement)
        return plan if isinstance(plan, PlanNode) else None

    found: dict[Path, RelationSize] = {}
    for row in rows:
        size = _size(shadow, _Details(row), planned)
        if size is not None:
            found[size.path] = size
    return found


class _Details:
    """A row of INDEX_DETAILS. `keys` are those compared, `all` with what is included, each in parentheses. `parents` are the
    foreign keys of several columns among the keys."""

    def __init__(self, row: Sequence[Any]) -> None:
        self.path: Path = (row[0], row[1])
        self.table: Path = (row[2], row[3])
        self.method: str = row[4]
        self.options: dict[str, str] = dict(option.split("=", 1) for option in row[5] or () if "=" in option)
        self.columns: list[list[int]] = row[6]
        self.all: list[str] = row[7]
        self.predicate: str | None = row[8]
        self.file: str = row[9]
        self.kind: str = row[10]
        self.unique: bool = row[11]
        self.counted: bool = row[12]
        self.parents: list[Mapping[str, Any]] = row[13]
        self.keys: list[str] = self.all[: row[14]]


def _size(shadow: Shadow, index: _Details, planned: Callable[[str], PlanNode | None]) -> RelationSize | None:
    heap = shadow.sizes.get(index.table)
    if heap is None or index.kind != "i":
        return None
    where = f" WHERE {index.predicate}" if index.predicate else ""
    source = f"FROM ONLY {qualified_name(*index.table)}{where}"
    entries = planned(f"SELECT {', '.join(index.all)} {source}")
    if entries is None:
        return None
    deduplicated = index.method == "btree" and _equal_image(shadow, index.file)
    varying = any(length < 0 for length, _ in index.columns)
    fixed = sum(length for length, _ in index.columns if length > 0)
    fill_factor = index.options.get("fillfactor", "90")
    predicted = predict(
        IndexContents(
            index.method,
            entries.rows,
            _distinct(shadow, index, entries.rows, source, planned) if deduplicated else entries.rows,
            entries.width if varying else _laid_out(index.columns),
            deduplicated,
            heap.pages,
            int(fill_factor) if fill_factor.isdigit() else 90,
            {key: value for key, value in index.options.items() if value.isdigit()},
            varying_bytes=max(0, entries.width - fixed) if varying else 0.0,
        )
    )
    return RelationSize(
        *index.path, "i", predicted.pages, predicted.pages, entries.rows, method=index.method, table=index.table,
        level=predicted.level,
    )  # fmt: skip


def _distinct(
    shadow: Shadow, index: _Details, rows: float, source: str, planned: Callable[[str], PlanNode | None]
) -> float:
    """How many different keys there are.

    For several columns the planner takes a tenth of the rows at most, to be on the safe side of a hash table. Here that would be
    the wrong side: columns are taken as independent, but for foreign keys of several, which have no more values than their
    parent has rows.
    """

    def groups(keys: Sequence[str]) -> float:
        plan = planned(f"SELECT {', '.join(keys)} {source} GROUP BY {', '.join(keys)}")
        return plan.rows if plan is not None else rows

    if index.unique:
        return rows
    least = least_distinct(shadow.blueprint, index.table, index.keys) if not index.predicate else 1.0
    if len(index.keys) == 1 or index.counted:
        return max(groups(index.keys), least)
    alone = {number: groups([key]) for number, key in enumerate(index.keys, 1)}
    combinations = 1.0
    for parent in index.parents:
        size = shadow.sizes.get((parent["schema"], parent["table"]))
        if size is not None and size.reltuples > 0 and set(parent["keys"]) <= alone.keys():
            combinations *= min(size.reltuples, math.prod(alone.pop(number) for number in parent["keys"]))
    combinations *= math.prod(alone.values())
    # Of so many combinations, those that so many rows meet.
    met = combinations * -math.expm1(-rows / combinations)
    return max(met, groups([index.keys[0]]), least)


def _laid_out(columns: Sequence[Sequence[int]]) -> int:
    """Bytes of columns of fixed lengths, each (length, alignment), one after the other."""
    end = 0
    for length, alignment in columns:
        end = -(-end // alignment) * alignment + length
    return end


def _equal_image(shadow: Shadow, file: str) -> bool:
    """Whether the server deduplicates the keys of this B-tree: it has written so into its meta page (btm_allequalimage)."""
    with (shadow.data / file).open("rb") as stream:
        meta = stream.read(_EQUAL_IMAGE_AT + 1)
    return len(meta) > _EQUAL_IMAGE_AT and bool(struct.unpack_from("=?", meta, _EQUAL_IMAGE_AT)[0])
