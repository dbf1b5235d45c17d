"""SQL migrations and schema files: the objects they declare, each with the line of its own clause."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.scripts import LIQUIBASE, Gathering, Migrations, ScriptReader
from checks.typed import decode_json

_FOLDERS = re.compile(
    r"(?:^|/)(?:migrations?|migrate|drizzle|flyway|liquibase|goose|dbmate|alembic|schema|schemas|ddl|sql/schema"
    r"|docker-entrypoint-initdb\.d|initdb(?:\.d)?)(?:/|$)",
    re.IGNORECASE,
)
_FILES = re.compile(
    r"(?:^|[._-])(?:schema|structure|migration|init|initial|ddl|up|tables)\.sql|[VR]\d*[\d._]*__.*\.sql|\d{3,}[_-].*\.sql",
    re.IGNORECASE,
)
_WHOLE_SCHEMA = re.compile(r"(?:schema|structure|ddl|tables|init)\.sql", re.IGNORECASE)
_UNDONE = re.compile(r"(?:.*[._-])?(?:down|rollback|revert|undo)\.sql|U\d.*__.*\.sql", re.IGNORECASE)
_OTHER_DIALECT = re.compile(
    r"^[^-\n']*(?:`|\bAUTO_?INCREMENT\b|\bENGINE\s*=|\bNVARCHAR\b|\bIDENTITY\(1)", re.IGNORECASE | re.MULTILINE
)
_REMARK = re.compile(r"/\*.*?\*/", re.DOTALL)
_REPEATABLE = re.compile(r"R__.*\.sql", re.IGNORECASE)
_TOOLS_BY_PATH = {
    "prisma": re.compile(r"/migration\.sql$"),
    "supabase": re.compile(r"(?:^|/)supabase/(?:migrations|schemas)/"),
    "diesel": re.compile(r"/up\.sql$"),
    "golang-migrate": re.compile(r"(?:^|/)\d+_[^/]*\.up\.sql$"),
    "flyway": re.compile(r"(?:^|/)[VR][\d._]*__[^/]*\.sql$"),
    "rails": re.compile(r"(?:^|/)db/structure\.sql$"),
}
# These compare names letter by letter, whatever numbers they begin with.
_ORDERED_AS_TEXT = frozenset(["prisma", "supabase", "dbmate"])
_TOOLS_BY_MARK = {
    "liquibase": LIQUIBASE,
    "goose": re.compile(r"^[ \t]*--[ \t]*\+goose\b", re.MULTILINE),
    "dbmate": re.compile(r"^[ \t]*--[ \t]*migrate:up", re.MULTILINE),
    "drizzle": re.compile(r"^--> statement-breakpoint|;--> statement-breakpoint", re.MULTILINE),
}
_VERSION_DIGITS = 8
_DIGITS = re.compile(r"(\d+)")


class _Entry(msgspec.Struct):
    tag: str
    idx: int = 0


class _Journal(msgspec.Struct):
    entries: list[_Entry]


def is_migration(file: SourceFile) -> bool:
    """Whether an SQL file declares a schema, by its place or name, or because its first statements do."""
    folder, _, name = file.path.rpartition("/")
    if _FOLDERS.search(folder) or _FILES.search(name):
        return True
    return bool(
        re.search(
            r"^\s*(?:CREATE|ALTER)\s+(?:TABLE|INDEX|EXTENSION|TYPE|SCHEMA|POLICY)\b",
            file.text,
            re.IGNORECASE | re.MULTILINE,
        )
    )


def read_journal(file: SourceFile) -> list[str]:
    """The names of Drizzle's migrations in the order of its journal; empty if it is none."""
    try:
        journal = decode_json(file.text.encode("utf-8", "replace"), _Journal)
    except (msgspec.DecodeError, RecursionError):
        return []
    return [entry.tag for entry in sorted(journal.entries, key=lambda entry: entry.idx)]


def read_migrations(files: Iterable[SourceFile], journals: Mapping[str, list[str]] | None = None) -> Migrations:
    """What the migrations leave behind when each folder of them runs in its tool's order. Backward migrations and those of
    other database systems are left out. `journals` has by folder the migrations that Drizzle runs, and in what order."""
    groups: dict[str, list[SourceFile]] = {}
    for file in files:
        if not _UNDONE.fullmatch(file.name) and not _OTHER_DIALECT.search(_REMARK.sub("", file.text)):
            groups.setdefault(_group(file), []).append(file)
    found = Gathering()
    for group, members in sorted(groups.items(), key=lambda group: (group[0].startswith("\uffff"), group[0])):
        reader = ScriptReader()
        tool = _tool(sorted(members, key=_order))
        in_order = sorted(members, key=(lambda file: file.path) if tool in _ORDERED_AS_TEXT else _order)
        ordered = _journaled(in_order, (journals or {}).get(group, []))
        for file in ordered:
            reader.read(file, tool)
        paths = [file.path for file in ordered]
        found.add(tool, group.removeprefix("\uffff"), paths, reader, steps=not group.startswith("\uffff"))
    return found.finish()


def _journaled(files: list[SourceFile], names: list[str]) -> list[SourceFile]:
    """Those that the journal names, in its order; all of them, if it names none."""
    by_name = {file.name.removesuffix(".sql"): file for file in files}
    return [by_name[name] for name in dict.fromkeys(names) if name in by_name] or files


def _tool(files: list[SourceFile]) -> str:
    """The tool that runs these files, by their names and marks; `sql` where nothing tells it."""
    for file in files[:3]:
        for tool, named in _TOOLS_BY_PATH.items():
            if named.search(file.path):
                return tool
        for tool, mark in _TOOLS_BY_MARK.items():
            if mark.search(file.text[:20_000]):
                return tool
    return "sql"


def _group(file: SourceFile) -> str:
    """Migrations that run one after the other share a group; a file that holds a whole schema is one by itself, after them."""
    folder, _, name = file.path.rpartition("/")
    if _WHOLE_SCHEMA.fullmatch(name):
        return f"\uffff{file.path}"
    if name.lower() in ("migration.sql", "up.sql"):
        return folder.rpartition("/")[0]
    return folder


def _order(file: SourceFile) -> tuple[bool, list[tuple[int, int, str]]]:
    """Flyway's repeatable migrations run after the numbered ones, Diesel's by the letters of their versions without dashes
    (20170101120000_one is older than 2018-01-01-120000_two)."""
    folder, _, name = file.path.rpartition("/")
    if name.lower() == "up.sql":
        version = folder.rpartition("/")[2].partition("_")[0].replace("-", "")
        if version.isascii() and version.isdigit():
            return False, [(0, 0, version.zfill(_VERSION_DIGITS)), *_natural(file.path)]
    return bool(_REPEATABLE.fullmatch(file.name)), _natural(file.path)


def _natural(path: str) -> list[tuple[int, int, str]]:
    """Sorts `2_b` before `10_a`, as tools do that count, and equal-length timestamps as text."""
    return [
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part)
        for part in _DIGITS.split(path)
        if part
    ]
