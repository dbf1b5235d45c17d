"""From command-line words to a target: what is a DSN, what is a repository, and what stands in for either."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from checks.errors import UsageError

LIBPQ_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE", "PGSERVICEFILE")


def split_words(words: Sequence[str]) -> tuple[str | None, Path | None]:
    """The DSN and the repository among `words`, each at most once. Raises UsageError for two of a kind or a missing path."""
    from checks.evidence.database.dsn import is_dsn

    dsn: str | None = None
    repository: Path | None = None
    for word in words:
        if is_dsn(word):
            if dsn is not None:
                raise UsageError("two DSNs were given", "further nodes go with --replica DSN")
            dsn = word
        else:
            if repository is not None:
                raise UsageError("two repositories were given", "give one; a DSN has :// or key=value in it")
            repository = Path(word)
            if not repository.exists():
                raise UsageError(f"{word!r} does not exist", "a repository is a path; a DSN has :// or key=value in it")
    return dsn, repository


def default_dsn() -> str | None:
    """DATABASE_URL; else an empty DSN, which libpq completes, if one of its variables is set; else None."""
    if url := os.environ.get("DATABASE_URL"):
        return url
    return "" if any(os.environ.get(name) for name in LIBPQ_VARIABLES) else None


def default_repository() -> Path | None:
    """The top of the git work tree around the current folder, if there is one."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), None)


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(|B|kB|MB|GB|TB)", re.IGNORECASE)
_UNITS = {"": 1, "B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}


def parse_size(text: str) -> int:
    """`240MB` or `1.5 GB` in bytes; units as PostgreSQL's settings have them. Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no size", "as in 240MB or 1.5GB")
    return round(float(found[1]) * _UNITS[found[2].upper()])


_PASSWORDS = (
    re.compile(r"://[^/?#@]*?:([^/?#]*)@"),
    re.compile(r"(?:^|[\s?&])password\s*=\s*'((?:[^'\\]|\\.)*)'", re.IGNORECASE),
    re.compile(r"(?:^|[\s?&])password\s*=\s*([^\s&']+)", re.IGNORECASE),
)


def hide_passwords(words: Sequence[str]) -> None:
    """Overwrite the passwords in DSNs among this process's arguments, so that `ps` does not show them.

    Linux only: elsewhere a process cannot reach its own argument area without a further library.
    """
    secrets = [
        (word, match.start(1), match.end(1))
        for word in words
        for pattern in _PASSWORDS
        for match in pattern.finditer(word)
    ]
    if not secrets or not sys.platform.startswith("linux"):
        return
    import ctypes

    try:
        fields = Path("/proc/self/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])
        area = Path("/proc/self/cmdline").read_bytes()
    except (OSError, ValueError, IndexError):
        return
    if start == 0 or end - start < len(area):
        return
    for word, first, last in secrets:
        at = area.find(os.fsencode(word))
        if at >= 0:
            offset, length = len(os.fsencode(word[:first])), len(os.fsencode(word[first:last]))
            ctypes.memset(start + at + offset, ord("*"), length)
