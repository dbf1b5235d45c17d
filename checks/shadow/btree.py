"""B-trees of a height: the planner counts the levels, and a tree of two rows has none.

Pages are laid out as in storage/bufpage.h and access/nbtree.h. What is made is a legal B-tree: each internal page has one
downlink, for everything.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

BLOCK_BYTES = 8192
FILL = 0.7
USABLE_BYTES = 8152
MAX_LEVEL = 16

_MAGIC = 0x053162
_META_AT = 24
_OPAQUE = struct.Struct("=IIIHH")
_OPAQUE_AT = BLOCK_BYTES - _OPAQUE.size
_LEAF, _ROOT = 1, 2
_LAYOUT_VERSION = BLOCK_BYTES | 4
_PIVOT = 8
_ALT_TID = 0x2000
_NORMAL = 1


def predicted_level(pages: int, key_width: float) -> int:
    """The height above its leaves of a B-tree of so many blocks, whose key is so many bytes wide. Internal pages are taken as
    seven tenths full, as splits leave them."""
    fan_out = max(2.0, FILL * USABLE_BYTES / (_aligned(8 + max(1, math.ceil(key_width))) + 4))
    nodes, level = max(1, pages - 1), 0
    while nodes > 1 and level < MAX_LEVEL:
        nodes, level = math.ceil(nodes / fan_out), level + 1
    return level


def lift(path: Path, level: int) -> bool:
    """Gives the B-tree in `path`, which has at most one leaf, so many levels above it. The server must not be running. Returns
    whether it is one that this could be done to."""
    with path.open("r+b") as stream:
        meta = bytearray(stream.read(BLOCK_BYTES))
        if len(meta) < BLOCK_BYTES:
            return False
        magic, version, root, old_level, fast_root, _ = struct.unpack_from("=6I", meta, _META_AT)
        if magic != _MAGIC or root > 1 or fast_root != root or old_level > MAX_LEVEL:
            return False
        leaf = _empty_leaf()
        if root:
            stream.seek((old_level + 1) * BLOCK_BYTES)
            leaf = bytearray(stream.read(BLOCK_BYTES))
            previous, following, at, flags, _ = _OPAQUE.unpack_from(leaf, _OPAQUE_AT)
            if len(leaf) < BLOCK_BYTES or not flags & _LEAF or previous or following or at:
                return False
        flags = _LEAF if level else _LEAF | _ROOT
        _OPAQUE.pack_into(leaf, _OPAQUE_AT, 0, 0, 0, flags, 0)
        struct.pack_into("=6I", meta, _META_AT, magic, version, 1, level, 1, level)
        stream.seek(0)
        stream.write(meta)
        for block in range(1, level + 1):
            stream.write(_internal(block + 1, level + 1 - block, is_root=block == 1))
        stream.write(leaf)
        for block in range(level + 2, old_level + 2):
            stream.seek(block * BLOCK_BYTES)
            stream.write(bytes(BLOCK_BYTES))
    return True


def level_of(path: Path) -> int | None:
    """The height that the meta page tells; None if this is no B-tree."""
    with path.open("rb") as stream:
        meta = os.pread(stream.fileno(), 64, 0)
    if len(meta) < 48:
        return None
    magic, _, _, _, _, level = struct.unpack_from("=6I", meta, _META_AT)
    return int(level) if magic == _MAGIC else None


def _aligned(length: int) -> int:
    return (length + 7) & ~7


def _header(lower: int, upper: int) -> bytes:
    return struct.pack("=QHHHHHHI", 0, 0, 0, lower, upper, _OPAQUE_AT, _LAYOUT_VERSION, 0)


def _empty_leaf() -> bytearray:
    page = bytearray(BLOCK_BYTES)
    page[:24] = _header(24, _OPAQUE_AT)
    return page


def _internal(child: int, level: int, *, is_root: bool) -> bytes:
    """A page whose only tuple, of no attributes and thus less than everything, points to `child`."""
    page = bytearray(BLOCK_BYTES)
    at = _OPAQUE_AT - _PIVOT
    page[:24] = _header(28, at)
    struct.pack_into("=I", page, 24, at | _NORMAL << 15 | _PIVOT << 17)
    struct.pack_into("=HHHH", page, at, child >> 16, child & 0xFFFF, 0, _PIVOT | _ALT_TID)
    _OPAQUE.pack_into(page, _OPAQUE_AT, 0, 0, level, _ROOT if is_root else 0, 0)
    return bytes(page)
