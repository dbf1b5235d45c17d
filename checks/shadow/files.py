"""The files of a shadow's relations: as long as the target's, and almost nothing on the disk."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from checks.shadow.btree import BLOCK_BYTES

SEGMENT_BLOCKS = 131_072
MOST_BLOCKS = 2**32 - 2

_BRIN_MAGIC = 0xA8109CFA
_REVMAP_ITEMS = 1360


def resize(path: Path, blocks: int, own: Callable[[Path], None]) -> int:
    """Makes the relation whose first segment is `path` so many blocks long, by holes; never shorter than what it holds. `own`
    gives a new segment to the server's account. Returns its length in blocks now."""
    blocks = min(max(blocks, _held(path)), MOST_BLOCKS)
    segments = max(1, -(-blocks // SEGMENT_BLOCKS))
    for number in range(segments):
        segment = path if number == 0 else path.with_name(f"{path.name}.{number}")
        length = min(SEGMENT_BLOCKS, blocks - number * SEGMENT_BLOCKS) * BLOCK_BYTES
        if number and not segment.exists():
            segment.touch(mode=0o600)
            own(segment)
        os.truncate(segment, length)
    number = segments
    while (surplus := path.with_name(f"{path.name}.{number}")).exists():
        surplus.unlink()
        number += 1
    return blocks


def shrink(path: Path, blocks: int) -> None:
    """Cuts the relation down to so many blocks, all of which must be in its first segment."""
    os.truncate(path, blocks * BLOCK_BYTES)
    number = 1
    while (surplus := path.with_name(f"{path.name}.{number}")).exists():
        surplus.unlink()
        number += 1


def disk_bytes(folder: Path) -> int:
    """What the files in a folder take on the disk, holes not counted."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.lstat().st_blocks * 512
    return total


def write_block(path: Path, block: bytes) -> None:
    """Puts a foreign first block into a relation."""
    with path.open("r+b") as stream:
        stream.write(block[:BLOCK_BYTES])


def widen_brin(path: Path, table_blocks: int) -> None:
    """Has the meta page of a BRIN index tell as many blocks of its range map as a table of that size has (BrinMetaPageData)."""
    with path.open("r+b") as stream:
        meta = bytearray(stream.read(64))
        if len(meta) < 40:
            return
        magic, _, pages_per_range, last = struct.unpack_from("=4I", meta, 24)
        if magic != _BRIN_MAGIC or not pages_per_range:
            return
        ranges = -(-table_blocks // pages_per_range)
        struct.pack_into("=I", meta, 36, max(last, -(-ranges // _REVMAP_ITEMS)))
        stream.seek(0)
        stream.write(meta)


def _held(path: Path) -> int:
    """Blocks up to the last that is no hole."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        position = 0
        end = 0
        while position < size:
            try:
                data = os.lseek(stream.fileno(), position, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(stream.fileno(), data, os.SEEK_HOLE)
            position = end
    return -(-end // BLOCK_BYTES)
