"""How large an index will be that does not exist: entries, their width, duplicates, and the pages they fill."""

from __future__ import annotations

import math

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


class IndexContents(msgspec.Struct, frozen=True):
    """What goes into an index: `rows` entries of `distinct` different keys, `key_bytes` wide without their header.
    `deduplicated`: equal keys share one tuple; `table_pages` is the size of the table's part it covers."""

    method: str
    rows: float
    distinct: float
    key_bytes: float
    deduplicated: bool
    table_pages: int
    fill_factor: int = 90
    options: dict[str, str] = {}


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
    tuple_bytes = _aligned(_HEAD_BYTES + contents.key_bytes)
    distinct = min(max(1.0, contents.distinct), max(1.0, rows))
    duplicates = rows / distinct if rows else 0.0
    if contents.deduplicated and duplicates > 1:
        leaf_bytes = distinct * _group_bytes(duplicates, tuple_bytes)
    else:
        leaf_bytes = rows * (tuple_bytes + _POINTER_BYTES)
    usable = _PAGE_BYTES - BLOCK_BYTES * (100 - contents.fill_factor) / 100 - (tuple_bytes + _POINTER_BYTES)
    leaves = max(1, math.ceil(leaf_bytes / max(usable, tuple_bytes + _POINTER_BYTES)))
    fan_out = max(2.0, 0.7 * _PAGE_BYTES / (tuple_bytes + _POINTER_BYTES))
    pages, nodes = 1 + leaves, leaves
    while nodes > 1:
        nodes = math.ceil(nodes / fan_out)
        pages += nodes
    return PredictedSize(pages, predicted_level(1 + leaves, contents.key_bytes), True)


def _group_bytes(duplicates: float, tuple_bytes: int) -> float:
    """Bytes that so many equal keys take: full posting lists, and what is left over. `duplicates` is a mean, so a fraction of the
    groups has one row more."""
    low = math.floor(duplicates)
    share = duplicates - low
    return (1 - share) * _of_group(low, tuple_bytes) + (share * _of_group(low + 1, tuple_bytes) if share else 0.0)


def _of_group(rows: int, tuple_bytes: int) -> float:
    most = max(1, (_POSTING_BYTES - tuple_bytes) // _TID_BYTES)
    full, rest = divmod(rows, most)
    taken = full * (_posting_bytes(most, tuple_bytes) + _POINTER_BYTES)
    return taken + (_posting_bytes(rest, tuple_bytes) + _POINTER_BYTES if rest else 0)


def _posting_bytes(rows: int, tuple_bytes: int) -> int:
    return tuple_bytes if rows == 1 else _aligned(tuple_bytes + rows * _TID_BYTES)


def _aligned(length: float) -> int:
    return (math.ceil(length) + 7) & ~7
