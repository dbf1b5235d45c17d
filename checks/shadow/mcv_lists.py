"""Whether a serialised list of most common values is one that ANALYZE could have written.

PostgreSQL takes what stands in pg_statistic_ext_data for its own and follows the lengths and positions in it unseen
(statext_mcv_deserialize in statistics/mcv.c). What comes from a stranger's catalog or file is looked through before it is
written into a shadow: every length, every position, and the inside of values that have one.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

_MAGIC, _TYPE = 0xE1A651C2, 1
_ITEMS_AT_MOST, _DIMENSIONS_AT_MOST = 10_000, 8
_HEAD = struct.Struct("=3Ih")
_DIMENSION = struct.Struct("=4i?3x")
_LENGTH = struct.Struct("=I")
_ALIGNMENT, _HEADER_BYTES = 8, 4
_USER_TYPES = 16_384
_NAME, _BYTEA, _NUMERIC = 19, 17, 1700
_ADDRESSES = frozenset({650, 869})
# Of a network address: its family, then the bits and bytes that one of it has.
_FAMILIES = {2: (32, 6), 3: (128, 18)}
_TEXTS = frozenset({25, 1042, 1043})
# Of their bytes every one is a character, or the codec knows which are.
_CODECS = {"UTF8": "utf-8", "SQL_ASCII": "latin-1"} | {f"LATIN{number}": "latin-1" for number in range(1, 11)}


class ColumnType(NamedTuple):
    """A column's type as pg_type has it: `length` is typlen."""

    oid: int
    length: int
    by_value: bool


def is_sound(value: bytes, columns: Sequence[ColumnType], encoding: str) -> bool:
    """Whether it is a list for columns of these types, in their order. False too for types whose values are not looked into."""
    try:
        return _is_sound(value, columns, encoding)
    except (struct.error, UnicodeDecodeError):
        return False


def _is_sound(value: bytes, columns: Sequence[ColumnType], encoding: str) -> bool:
    magic, kind, items, dimensions = _HEAD.unpack_from(value, 0)
    if (magic, kind) != (_MAGIC, _TYPE) or not 0 < items <= _ITEMS_AT_MOST:
        return False
    if dimensions != len(columns) or not 0 < dimensions <= _DIMENSIONS_AT_MOST:
        return False
    position = _HEAD.size
    types = struct.unpack_from(f"={dimensions}I", value, position)
    position += 4 * dimensions
    if list(types) != [column.oid for column in columns] or any(oid >= _USER_TYPES for oid in types):
        return False
    counts = []
    told = [_DIMENSION.unpack_from(value, position + number * _DIMENSION.size) for number in range(dimensions)]
    position += dimensions * _DIMENSION.size
    for column, (values, size, aligned, length, by_value) in zip(columns, told, strict=True):
        if (length, by_value) != (column.length, column.by_value) or not 0 <= values <= items:
            return False
        end, needed = _values_end(value, position, values, column, encoding)
        if end != position + size or not needed <= aligned <= needed + _ALIGNMENT * values:
            return False
        counts.append(values)
        position = end
    for _ in range(items):
        nulls = value[position : position + dimensions]
        indexes = struct.unpack_from(f"={dimensions}H", value, position + dimensions + 16)
        position += dimensions * 3 + 16
        for null, index, count in zip(nulls, indexes, counts, strict=True):
            if null not in (0, 1) or (not null and index >= count):
                return False
    return position == len(value)


def _values_end(value: bytes, position: int, count: int, column: ColumnType, encoding: str) -> tuple[int, int]:
    """Where the values end, and how many bytes they take in memory. Raises struct.error where they are not such values."""
    if column.by_value:
        return position + count * column.length, 0
    if column.length > 0:
        for number in range(count):
            entry = value[position + number * column.length :][: column.length]
            if len(entry) < column.length or (column.oid == _NAME and 0 not in entry):
                raise struct.error("no value of a fixed length")
        return position + count * column.length, count * _aligned(column.length)
    if column.length != -1:
        raise struct.error("a type that is not looked into")
    needed = 0
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(value, position)
        entry = value[position + _LENGTH.size :][:length]
        if len(entry) < length or not _is_value(entry, column.oid, encoding):
            raise struct.error("no value of its type")
        position += _LENGTH.size + length
        needed += _aligned(_HEADER_BYTES + length)
    return position, needed


def _is_value(entry: bytes, oid: int, encoding: str) -> bool:
    """Raises UnicodeDecodeError."""
    if oid in _TEXTS:
        codec = _CODECS.get(encoding, "latin-1" if encoding.startswith(("WIN", "ISO_8859", "KOI8")) else None)
        return codec is not None and bool(entry.decode(codec) or not entry)
    if oid == _NUMERIC:
        return _is_numeric(entry)
    if oid in _ADDRESSES:
        bits, length = _FAMILIES.get(entry[0] if entry else 0, (0, 0))
        return len(entry) == length > 0 and entry[1] <= bits
    return oid == _BYTEA


def _is_numeric(entry: bytes) -> bool:
    """A header of two bytes, or of four where its first bits say so, then digits to the base of 10,000 (utils/adt/numeric.c)."""
    (head,) = struct.unpack_from("=H", entry, 0)
    if head & 0xC000 == 0xC000:
        return len(entry) == 2
    digits = entry[2:] if head & 0x8000 else entry[4:]
    if len(digits) % 2 or (not head & 0x8000 and len(entry) < 4):
        return False
    return all(0 <= digit < 10_000 for (digit,) in struct.iter_unpack("=h", digits))


def _aligned(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT
