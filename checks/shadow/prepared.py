"""The server of a shadow, made while its target is still being read: initdb takes longer than the reading."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from checks.errors import TargetError
from checks.shadow.binaries import find_binaries_like
from checks.shadow.server import EmbeddedServer, start

_CHECKSUMS_BY_DEFAULT_SINCE = 18

# Nothing of it outlives the process, nothing may vacuum or analyse holes, and its write-ahead log stays small.
SETTINGS = {
    "autovacuum": "off",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "8MB",
    "max_wal_size": "16MB",
    "checkpoint_timeout": "1d",
    "shared_buffers": "64MB",
    "shared_preload_libraries": "",
    "max_connections": "12",
    "max_locks_per_transaction": "1024",
    "max_parallel_maintenance_workers": "0",
    "temp_file_limit": "64MB",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
    "compute_query_id": "on",
    "track_counts": "off",
}


# What planning runs may ask for any amount; what it says comes back to us.
MEMORY_BYTES = 1536 << 20


class Prepared:
    """An empty server of the programs for that major version, on its way from the moment this is made. As a context manager it is
    stopped at the end unless it was taken."""

    def __init__(self, major: int, programs: Path | None = None) -> None:
        self._taken = False
        pool = ThreadPoolExecutor(1, "shadow-server")
        self._server = pool.submit(_start, major, programs)
        pool.shutdown(wait=False)

    def take(self) -> EmbeddedServer:
        """Waits until it is there; the caller stops it. Raises TargetError."""
        server = self._server.result()
        self._taken = True
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._taken:
            with suppress(TargetError):
                self._server.result().stop()


def _start(major: int, programs: Path | None) -> EmbeddedServer:
    return start(
        SETTINGS,
        binaries=find_binaries_like(major, programs),
        initdb=_initdb_options,
        guarded=True,
        memory_bytes=MEMORY_BYTES,
    )


def _initdb_options(major: int) -> Sequence[str]:
    return ("--no-data-checksums",) if major >= _CHECKSUMS_BY_DEFAULT_SINCE else ()
