"""What a sample of rows looks like (--read-rows): figures only, no value."""

from __future__ import annotations

import msgspec


class ColumnSample(msgspec.Struct, frozen=True):
    """Of one column, by the oid of its table and its number: how many sampled values are there and not too long to look at
    (`values`), and how many of them are of each form.

    `padded`: with blanks at an end. `booleans`: words for yes and no, or 0 and 1. `integers` have no leading zero. `times`:
    dates and instants as ISO 8601 writes them. `documents`: JSON objects and arrays. `markup`: XML with its declaration.
    `lists`: several numbers or uuids with commas between them. `distinct` counts different values, `folded` those that differ
    in more than capitals and blanks at their ends. `zeros`: vectors of length 0; of vectors nothing else is counted.
    """

    table: int
    column: int
    values: int
    empty: int = 0
    padded: int = 0
    booleans: int = 0
    integers: int = 0
    numbers: int = 0
    uuids: int = 0
    times: int = 0
    documents: int = 0
    markup: int = 0
    lists: int = 0
    distinct: int = 0
    folded: int = 0
    zeros: int = 0


class RowSamples(msgspec.Struct, frozen=True, tag=True):
    """What --read-rows saw. `tables` counts those of which rows were read; `skipped` tells by a table's oid why it was not:
    not_permitted, no_time, unsupported."""

    columns: tuple[ColumnSample, ...] = ()
    tables: int = 0
    skipped: dict[str, str] = {}
    seconds: float = 0.0
