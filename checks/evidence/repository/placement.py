"""Where a deployed server runs and who reaches it: the memory that its container or machine has, and how widely it listens."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.repository.files import SourceFile

Fact = tuple[str, str, int]

_SERVER_IMAGE = re.compile(
    r"^\s*(?:-\s*)?image\s*:\s*[\"']?\S*?\b(?:postgres(?:ql)?|postgis|pgvector|timescaledb(?:-ha)?|spilo|paradedb)(?:[:@\"'\s]|$)"
)
_COMPOSE_LIMIT = re.compile(r"^\s*mem_limit\s*:\s*[\"']?(\d{1,9}(?:\.\d+)?)\s*([kKmMgG]?)[bB]?[\"']?\s*(?:#.*)?$")
_LIMITS = re.compile(r"^(\s*)limits\s*:\s*(?:#.*)?$")
_LIMIT = re.compile(r"^(\s*)memory\s*:\s*[\"']?(\d{1,9}(?:\.\d+)?)\s*([kKmMgGtT]?)i?[bB]?[\"']?\s*(?:#.*)?$")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SMALLEST = 64 * 1024**2
_OPERATED = re.compile(
    r"^\s*apiVersion\s*:\s*(?:postgresql\.cnpg\.io|acid\.zalan\.do|postgres-operator\.crunchydata\.com)/"
)

_CLASS = re.compile(r"\binstance_?class\b[\"']?\s*[:=]\s*[\"']db\.([a-z]\d[a-z]{0,3})\.(\w+)[\"']", re.IGNORECASE)
_TIER = re.compile(r"\btier\b\s*[:=]\s*[\"']db-custom-\d{1,3}-(\d{3,7})[\"']")
# Gigabytes of the size `large`, by the family's first letter; each size is twice the one before.
_LARGE_GB = {"t": 8, "m": 8, "r": 16, "x": 32}
_SIZES = {"micro": 1 / 8, "small": 1 / 4, "medium": 1 / 2, "large": 1, "xlarge": 2}
_XLARGE = re.compile(r"(\d{1,2})xlarge")

_TRUST = re.compile(r"\bPOSTGRES_HOST_AUTH_METHOD\b[\"']?\s*[:=]\s*[\"']?trust\b")
_PUBLIC = re.compile(r"\bpublicly_?accessible\b[\"']?\s*[:=]\s*true\b", re.IGNORECASE)
_EVERY_NETWORK = re.compile(r"\b(?:value|cidr\w*)\b\s*[:=]\s*[\"']0\.0\.0\.0/0[\"']")
_AUTHORIZED = re.compile(r"\bauthorized_networks\b|\bauthorizedNetworks\b")
_HBA_FILE = re.compile(r"(?:^|/)pg_hba[^/]*\.conf(?:\.\w+)?$")
_HBA_LINE = re.compile(
    r"^\s*(?:-\s*[\"']?)?(host|hostssl|hostnossl)\s+(\S+)\s+(\S+)\s+(0\.0\.0\.0/0|::/0|all|0\.0\.0\.0\s+0\.0\.0\.0)\s+(trust|password)\b"
)


def is_host_based_access(path: str) -> bool:
    """Whether it is a pg_hba.conf."""
    return _HBA_FILE.search(path) is not None


def placement_of(file: SourceFile) -> Iterator[Fact]:
    """`memory` (a number of bytes, then what says it) and `host_access` (what lets too many in)."""
    lines = file.text.splitlines()
    if file.extension in ("yml", "yaml"):
        yield from _memory_of_containers(lines)
    authorizes = False
    for number, line in enumerate(lines, 1):
        if len(line) > 2_000 or line.lstrip().startswith(("#", "//")):
            continue
        if found := _CLASS.search(line):
            size = _class_bytes(found[1].lower(), found[2].lower())
            if size:
                yield "memory", f"{size} (db.{found[1]}.{found[2]})", number
        if found := _TIER.search(line):
            yield "memory", f"{int(found[1]) * 1024**2} (db-custom tier)", number
        if _TRUST.search(line):
            yield "host_access", "trust from every address (POSTGRES_HOST_AUTH_METHOD)", number
        if _PUBLIC.search(line):
            yield "host_access", "a public address (publicly_accessible)", number
        authorizes = authorizes or _AUTHORIZED.search(line) is not None
        if authorizes and _EVERY_NETWORK.search(line):
            yield "host_access", "every network (authorized_networks)", number
        if found := _HBA_LINE.match(line):
            yield "host_access", f"{found[5]} from every address (pg_hba)", number


def _class_bytes(family: str, size: str) -> int:
    large = _LARGE_GB.get(family[0], 0)
    several = _XLARGE.fullmatch(size)
    times = int(several[1]) * 2 if several else _SIZES.get(size, 0)
    return int(large * times * 1024**3)


def _memory_of_containers(lines: list[str]) -> Iterator[Fact]:
    """The limit that stands in the block of a container, or of an operator's cluster, whose image is a PostgreSQL server."""
    for number, line in enumerate(lines):
        if _SERVER_IMAGE.match(line):
            indent = len(line) - len(line.lstrip(" "))
            begin, end = _block(lines, number, indent)
            yield from _limits(lines, begin, end)
        elif _OPERATED.match(line):
            end = next((n for n in range(number + 1, len(lines)) if lines[n].startswith("---")), len(lines))
            yield from _limits(lines, number, end)


def _block(lines: list[str], number: int, indent: int) -> tuple[int, int]:
    """The lines around one that belong to the same mapping: until something stands further left."""

    def outside(line: str) -> bool:
        return bool(line.strip()) and len(line) - len(line.lstrip(" ")) < indent

    begin = number
    while begin > 0 and not outside(lines[begin - 1]):
        begin -= 1
    end = number + 1
    while (
        end < len(lines)
        and not outside(lines[end])
        and not (lines[number].lstrip().startswith("-") and lines[end][: indent + 1] == " " * indent + "-")
    ):
        end += 1
    return begin, end


def _limits(lines: list[str], begin: int, end: int) -> Iterator[Fact]:
    within = -1
    for number in range(begin, end):
        line = lines[number]
        depth = len(line) - len(line.lstrip(" "))
        if found := _COMPOSE_LIMIT.match(line):
            yield from _memory(found[1], found[2], "mem_limit", number)
        if found := _LIMITS.match(line):
            within = len(found[1])
        elif within >= 0 and line.strip() and depth <= within:
            within = -1
        elif within >= 0 and (found := _LIMIT.match(line)):
            yield from _memory(found[2], found[3], "limits", number)


def _memory(number: str, unit: str, what: str, line: int) -> Iterator[Fact]:
    size = int(float(number) * _UNITS[unit.lower()])
    if size >= _SMALLEST:
        yield "memory", f"{size} ({what})", line + 1
