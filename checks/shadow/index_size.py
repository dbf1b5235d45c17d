"""How large an index will be that does not exist: entries, their width, duplicates, and the pages they fill."""

from __future__ import annotations

import math
from statistics import NormalDist

import msgspec

from checks.shadow.btree import predicted_level

BLOCK_BYTES = 8192
# access/nbtree.h, nbtsort.c: a page keeps its header, 16 bytes at its end and a high key; CREATE INDEX leaves a tenth free and
# makes posting lists of at most a tenth of a page.
_PAGE_BYTES = BLOCK_BYTES - 24 - 16
_POSTING_BYTES = 812
_POINTER_BYTES = 4
_HEAD_BYTES = 8
_TID_BYTES = 6
_ALIGNMENT = 8
_SPREAD = 0.15
_SIMULATED = 2_000
_LARGE_MEAN = 40.0
_GOLDEN = 0.6180339887498949


class IndexContents(msgspec.Struct, frozen=True):
    """What goes into an index: `rows` entries of `distinct` different keys, `key_bytes` wide without their header, of which
    `varying_bytes` are of values whose widths vary. `deduplicated`: equal keys share one tuple; `table_pages` is the size of the
    table's part it covers."""

    method: str
    rows: float
    distinct: float
    key_bytes: float
    deduplicated: bool
    table_pages: int
    fill_factor: int = 90
    options: dict[str, str] = {}
    varying_bytes: float = 0.0


class PredictedSize(msgspec.Struct, frozen=True):
    """`exact` says that the method's own layout was followed; a size of GIN and the like is a guess to plan with."""

    pages: int
    level: int | None
    exact: bool


def predict(contents: IndexContents) -> PredictedSize:
    """The size in blocks, meta page included."""
    if contents.method == "btree":
        return _btree(contents)
    rows, width = max(1.0, contents.rows), contents.key_bytes
    if contents.method == "hash":
        return PredictedSize(max(4, math.ceil(rows * 20 / (0.75 * _PAGE_BYTES)) + 2), None, False)
    if contents.method == "brin":
        ranges = math.ceil(contents.table_pages / int(contents.options.get("pages_per_range", "128")))
        return PredictedSize(3 + math.ceil(ranges * (24 + 2 * width) / _PAGE_BYTES), None, True)
    if contents.method == "hnsw":
        links = int(contents.options.get("m", "16"))
        element = _aligned(width + 64) + _aligned(_HEAD_BYTES + links * 2 * _TID_BYTES + links * _TID_BYTES)
        per_page = max(1, math.floor(_PAGE_BYTES / (element + 2 * _POINTER_BYTES)))
        return PredictedSize(1 + math.ceil(rows / per_page), None, False)
    if contents.method == "ivfflat":
        per_page = max(1, math.floor(_PAGE_BYTES / (_aligned(_HEAD_BYTES + width) + _POINTER_BYTES)))
        return PredictedSize(2 + math.ceil(rows / per_page), None, False)
    if contents.method == "gin":
        return PredictedSize(max(2, math.ceil(contents.table_pages / 4)), None, False)
    per_page = max(1, math.floor(0.7 * _PAGE_BYTES / (_aligned(_HEAD_BYTES + width) + _POINTER_BYTES)))
    return PredictedSize(2 + math.ceil(rows / per_page), None, False)


def _btree(contents: IndexContents) -> PredictedSize:
    rows = max(0.0, contents.rows)
    tuple_bytes = _tuple_bytes(contents)
    distinct = min(max(1.0, contents.distinct), max(1.0, rows))
    duplicates = rows / distinct if rows else 0.0
    full = BLOCK_BYTES * (100 - contents.fill_factor) // 100
    if contents.deduplicated and duplicates > 1:
        leaves = math.ceil(distinct / _groups_per_leaf(duplicates, _aligned(tuple_bytes), full, distinct))
    else:
        leaves = math.ceil(rows / _entries_per_leaf(tuple_bytes + _POINTER_BYTES, full))
    leaves = max(1, leaves)
    fan_out = max(2.0, 0.7 * _PAGE_BYTES / (tuple_bytes + _POINTER_BYTES))
    pages, nodes = 1 + leaves, leaves
    while nodes > 1:
        nodes = math.ceil(nodes / fan_out)
        pages += nodes
    return PredictedSize(pages, predicted_level(1 + leaves, contents.key_bytes), True)


def _tuple_bytes(contents: IndexContents) -> float:
    """Of one entry, rounded up to eight bytes: on average where widths vary."""
    fixed = _HEAD_BYTES + contents.key_bytes - contents.varying_bytes
    spread = range(
        math.ceil(contents.varying_bytes * (1 - _SPREAD)), math.floor(contents.varying_bytes * (1 + _SPREAD)) + 1
    )
    if not contents.varying_bytes or not spread:
        return _aligned(_HEAD_BYTES + contents.key_bytes)
    return sum(_aligned(fixed + width) for width in spread) / len(spread)


def _entries_per_leaf(size: float, full: int) -> float:
    """How many entries of one size CREATE INDEX leaves on a page: it goes on until less than `full` bytes are free, then takes
    the last to the next page."""
    return max(1.0, math.ceil((_PAGE_BYTES - full) / size) - 1)


def _groups_per_leaf(duplicates: float, tuple_bytes: int, full: int, distinct: float) -> float:
    """Groups of equal keys a page, as _bt_buildadd() and _bt_dedup_save_htid() lay them out, for groups whose sizes vary as
    chance has it around their mean."""
    most = max(1, (_POSTING_BYTES - tuple_bytes) // _TID_BYTES)
    groups, leaves, free, last, held = 0, 0, _PAGE_BYTES - _POINTER_BYTES, 0, 0
    tries = min(_SIMULATED, math.ceil(distinct))
    for number in range(tries):
        left = _group_rows(duplicates, (number * _GOLDEN) % 1.0)
        groups += 1
        while left:
            taken = min(left, most)
            left -= taken
            size = _posting_bytes(taken, tuple_bytes)
            spared = last - tuple_bytes if held > 1 else 0
            if free - _POINTER_BYTES < size + _ALIGNMENT or (
                held > 1 and free - _POINTER_BYTES + max(0, spared) < full
            ):
                # The last one becomes the high key, and the first of the next page.
                leaves += 1
                free = _PAGE_BYTES - _POINTER_BYTES - last - _POINTER_BYTES
                held = 1
            free -= size + _POINTER_BYTES
            last, held = size, held + 1
    used = leaves + (1 - free / _PAGE_BYTES)
    return groups / used


def _group_rows(mean: float, share: float) -> int:
    """The size of a group that is larger than that share (0 to 1) of all groups: one row, and what chance adds."""
    extra = mean - 1.0
    if extra > _LARGE_MEAN:
        return max(1, round(1.0 + extra + NormalDist().inv_cdf(min(max(share, 0.001), 0.999)) * math.sqrt(extra)))
    rows, probability = 1, math.exp(-extra)
    reached = probability
    while reached < share and rows < _LARGE_MEAN * 4:
        probability *= extra / rows
        reached += probability
        rows += 1
    return rows


def _posting_bytes(rows: int, tuple_bytes: int) -> int:
    return tuple_bytes if rows == 1 else _aligned(tuple_bytes + rows * _TID_BYTES)


def _aligned(length: float) -> int:
    return (math.ceil(length) + 7) & ~7
