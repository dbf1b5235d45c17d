"""Results of checks, kept beside the user's caches: they follow from evidence and program alone, and a long review need not wait
for them again. Losing the file, or not being able to write it, costs time only."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import msgspec
from platformdirs import user_cache_path

import checks
from checks.checklist import run_checks
from checks.errors import EvidenceError
from checks.files import write_atomically
from checks.model import CheckResult
from scorecards.store import EVIDENCE, HEAD, ReviewFolder

KEPT = 12
MAXIMUM_BYTES = 1024**3

Results = tuple[CheckResult, ...]


def results_of(folder: ReviewFolder, cache: Path | None = None) -> Results:
    """Of all checks over the evidence of that review: as they were kept, else by running them. Raises EvidenceError."""
    place = cache or user_cache_path("pgsurveyor") / "results"
    name = f"{folder.id}-{_key(folder)}.msgpack"
    known = _read(place / name)
    if known is not None:
        return known
    results = run_checks(folder.evidence())
    keep(folder, results, place)
    return results


def keep(folder: ReviewFolder, results: Results, cache: Path | None = None) -> None:
    """Keeps what `results_of` would else work out. They must be of all checks."""
    place = cache or user_cache_path("pgsurveyor") / "results"
    with contextlib.suppress(OSError, TypeError):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        data = msgspec.msgpack.encode(results)
        write_atomically(place / f"{folder.id}-{_key(folder)}.msgpack", data, mode=0o600)
        for old in sorted(place.glob("*.msgpack"), key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
            old.unlink(missing_ok=True)


def _read(path: Path) -> Results | None:
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            return None
        return msgspec.msgpack.decode(path.read_bytes(), type=Results)
    except (OSError, msgspec.DecodeError, RecursionError):
        return None


def _key(folder: ReviewFolder) -> str:
    """Another one for other evidence, another program, other plug-ins."""
    digest = hashlib.sha256()
    try:
        evidence = (folder.path / EVIDENCE).stat()
    except OSError as error:
        raise EvidenceError(
            f"cannot read evidence from {folder.path / EVIDENCE}: {error.strerror}",
            "restore the file, or start a new review",
        ) from error
    digest.update(f"{evidence.st_size} {evidence.st_mtime_ns}\n".encode())
    with contextlib.suppress(OSError, ValueError):
        head = tomllib.loads((folder.path / HEAD).read_text("utf-8"))
        digest.update(str(head.get("evidence_sha256")).encode())
    for path, size, changed in _program():
        digest.update(f"{path} {size} {changed}\n".encode())
    for entry in sorted(entry_points(group="pgsurveyor.checks"), key=str):
        digest.update(f"{entry.name} {entry.value} {entry.dist.version if entry.dist else ''}\n".encode())
    return digest.hexdigest()[:16]


def _program() -> Iterator[tuple[str, int, int]]:
    """The files that results follow from."""
    root = Path(checks.__file__).parent
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            path = Path(folder, name)
            status = path.stat()
            yield str(path.relative_to(root)), status.st_size, status.st_mtime_ns
