"""How large vectors and their indexes are, and what they need: the sums behind the checks.

Figures are bytes. An HNSW element is a tuple with the vector and one with its neighbours on as few pages as will hold them
(hnsw.h); with 1,536 dimensions that is one page of 8 kB for each row, as measured.
"""

from __future__ import annotations

import math

from checks.evidence.database.facts import Column, Index

PAGE = 8192
USABLE = PAGE - 24 - 8
DEFAULT_M = 16
POINTER = 6
BYTES_OF_DIMENSION = {"vector": 4, "halfvec": 2, "bit": 1 / 8}
_HEADER = 8
_ELEMENT = 72
_NEIGHBOURS = 4
_LINE_POINTER = 4


def vector_bytes(dimensions: int, kind: str = "vector") -> int:
    """One stored value (pgvector README: 4 bytes a dimension and 8; halfvec 2; bit an eighth)."""
    return math.ceil(dimensions * BYTES_OF_DIMENSION.get(kind, 4)) + _HEADER


def hnsw_bytes_per_row(dimensions: int, kind: str = "vector", m: int = DEFAULT_M) -> float:
    """What an HNSW index holds for each row: an element tuple and its neighbours' pointers, 2m on the lowest layer and m on each
    further, of which there is one for one row in m on average."""
    element = _align(_ELEMENT + vector_bytes(dimensions, kind))
    neighbours = _align(_NEIGHBOURS + POINTER * (2 * m + m / (m - 1)))
    both = element + neighbours + 2 * _LINE_POINTER
    if both <= USABLE:
        # Both stand on one page, which holds so many pairs whole.
        return PAGE / (USABLE // both)
    # They take a page each: beside the neighbours there is no room for the next element.
    return 2 * PAGE


def build_bytes_per_row(dimensions: int, kind: str = "vector", m: int = DEFAULT_M) -> float:
    """Memory that the graph of an HNSW build takes for each row, the value among it (measured with 1,536 dimensions and m 16:
    9,665 rows in 64 MB, 6,944 bytes each)."""
    return vector_bytes(dimensions, kind) + 24 * (2 * m + m / (m - 1)) - 8


def _align(size: float) -> int:
    return math.ceil(size / 8) * 8


def indexed_kind(index: Index, column: Column) -> str:
    """What the index holds of the column: vector, halfvec or bit."""
    for key in index.keys:
        name = key.operator_class.rpartition(".")[2]
        for kind in ("halfvec", "sparsevec", "bit", "vector"):
            if name.startswith(kind):
                return kind
    return column.base_type


def index_rows(index: Index, rows: float) -> float:
    """Rows that the index holds: of a partial one as it was analyzed, else the table's `rows`."""
    return min(index.rows, rows) if index.predicate is not None and index.rows is not None else rows


def m_of(index: Index) -> int:
    """The connections of each element of an HNSW index."""
    value = index.options.get("m", "")
    return int(value) if value.isdigit() else DEFAULT_M
