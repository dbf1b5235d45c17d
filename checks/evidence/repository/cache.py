"""What was read of a repository's files, kept for the next review of it in the user's cache folder.

It holds facts as evidence has them, by the content of the file that they were read from, never the file. A pack that another
version wrote, or that is damaged, is as good as none.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import stat
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from platformdirs import user_cache_path

from checks import __version__
from checks.evidence.repository.files import SourceFile
from checks.files import write_atomically

FORMAT = 1
MAXIMUM_PACK_BYTES = 64 * 2**20
MAXIMUM_UNPACKED_BYTES = 512 * 2**20
MAXIMUM_FOLDER_BYTES = 256 * 2**20

_HEAD = b"pgsurveyor cache\n"
_DIGEST_BYTES = 16
_LIBRARIES = (
    "postgast", "sqlglot", "tree-sitter", "tree-sitter-c-sharp", "tree-sitter-go", "tree-sitter-java", "tree-sitter-javascript",
    "tree-sitter-kotlin", "tree-sitter-php", "tree-sitter-python", "tree-sitter-ruby", "tree-sitter-rust",
    "tree-sitter-typescript",
)  # fmt: skip
_SUFFIX = ".pack"

Value = TypeVar("Value")


class _Pack(msgspec.Struct):
    version: str
    entries: dict[str, bytes]


class Cache:
    """The pack of one repository. What is asked for again is kept; what no review asks for any more is dropped when it is
    saved."""

    def __init__(self, root: Path, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else user_cache_path("pgsurveyor") / "repositories"
        self.path = self.folder / f"{digest(os.fsencode(root.resolve()))}{_SUFFIX}"
        self._known = _read(self.path)
        self._used: dict[str, bytes] = {}

    def __bool__(self) -> bool:
        """Whether anything is known of an earlier review."""
        return bool(self._known)

    def get(self, key: str, kind: Any) -> Any | None:
        """What is kept under the key, of that type; None if nothing is."""
        kept = self._known.get(key)
        if kept is None:
            return None
        try:
            value = msgspec.msgpack.decode(kept, type=kind)
        except (msgspec.DecodeError, RecursionError):
            return None
        self._used[key] = kept
        return value

    def put(self, key: str, value: Any) -> None:
        self._used[key] = msgspec.msgpack.encode(value)

    def remember(self, name: str, parts: tuple[str, ...], kind: type[Value], read: Callable[[], Value]) -> Value:
        """What `read` gives for those parts: kept from before, else read now and kept."""
        key = f"{name} {' '.join(parts)}"
        value = self.get(key, kind)
        if value is None:
            value = read()
            self.put(key, value)
        return value

    def save(self) -> None:
        """Writes what was used, for its owner only. A folder that cannot be written to is not worth a word."""
        if self._used == self._known:
            return
        data = zlib.compress(msgspec.msgpack.encode(_Pack(_version(), self._used)), 1)
        if len(data) > MAXIMUM_PACK_BYTES:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self.path, _HEAD + hashlib.blake2b(data).digest() + data, mode=0o600)
            _bound(self.folder, self.path)
        except OSError:
            return


class NoCache(Cache):
    """Keeps nothing."""

    def __init__(self) -> None:
        self._known = {}
        self._used = {}

    def put(self, key: str, value: Any) -> None:
        pass

    def save(self) -> None:
        pass


def digest(*parts: bytes) -> str:
    """What stands for those bytes. Not git's own name of a blob: a stranger may have made two files with one SHA-1."""
    made = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        made.update(len(part).to_bytes(8, "big"))
        made.update(part)
    return made.hexdigest()


def file_key(file: SourceFile) -> str:
    """What stands for the file at its place: its path is a part of all that is read of it."""
    return digest(file.path.encode("utf-8", "replace"), file.text.encode("utf-8", "replace"))


def facts_key(*facts: Any) -> str:
    """What stands for facts that a result depends on."""
    return digest(msgspec.msgpack.encode(facts, order="sorted"))


@cache
def _version() -> str:
    """Changes with the code that reads, the libraries it reads with, and the format."""
    made = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for source in sorted(Path(__file__).parents[1].rglob("*.py")):
        status = source.stat()
        made.update(f"{source} {status.st_size} {status.st_mtime_ns}\n".encode())
    for name in _LIBRARIES:
        made.update(f"{name} {importlib.metadata.version(name)}\n".encode())
    return f"{FORMAT} {__version__} {sys.version_info[:3]} {made.hexdigest()}"


def _read(path: Path) -> dict[str, bytes]:
    """The entries of a pack; none if it is not there, not ours, damaged or of another version."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAXIMUM_PACK_BYTES + 1_000:
                return {}
            content = stream.read(MAXIMUM_PACK_BYTES + 1_000)
        os.utime(path)
    except OSError:
        return {}
    size = hashlib.blake2b().digest_size
    head, checksum, data = content[: len(_HEAD)], content[len(_HEAD) : len(_HEAD) + size], content[len(_HEAD) + size :]
    if head != _HEAD or hashlib.blake2b(data).digest() != checksum:
        return {}
    try:
        unpacker = zlib.decompressobj()
        unpacked = unpacker.decompress(data, MAXIMUM_UNPACKED_BYTES)
        pack = msgspec.msgpack.decode(unpacked, type=_Pack)
    except (zlib.error, msgspec.DecodeError, RecursionError):
        return {}
    return pack.entries if pack.version == _version() else {}


def _bound(folder: Path, newest: Path) -> None:
    """Deletes the packs that were not used for longest, until the folder is small enough."""
    packs = []
    for entry in folder.glob(f"*{_SUFFIX}"):
        status = entry.lstat()
        packs.append((status.st_mtime_ns, status.st_size, entry))
    total = sum(size for _, size, _ in packs)
    for _, size, entry in sorted(packs):
        if total <= MAXIMUM_FOLDER_BYTES:
            return
        if entry != newest:
            entry.unlink(missing_ok=True)
            total -= size
