"""Applies the SQL of migrations to a ledger, whatever language they are written in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from checks.evidence.repository.ddl import Changes
from checks.evidence.repository.facts import Declared, Lineage, MigrationFile, MigrationStep
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.ledger import Ledger
from checks.evidence.repository.lineages import Unread, build_lineage
from checks.evidence.repository.migration_steps import StepReader
from checks.evidence.sql import parse, split_statements
from checks.evidence.tokens import Kind, Token, significant
from checks.model import Location

_DOWN_SECTION = re.compile(
    r"^[ \t]*--[ \t]*(?:\+goose[ \t]+down|\+migrate[ \t]+down|migrate:down|rollback[ \t]*:?[ \t]*$|!down\b|@UNDO).*$",
    re.IGNORECASE | re.MULTILINE,
)
LIQUIBASE = re.compile(r"\A\s*--\s*liquibase formatted sql", re.IGNORECASE)
_CHANGESET_OF_ANOTHER = re.compile(
    r"^[ \t]*--[ \t]*changeset\b(?=[^\n]*\bdbms:)(?![^\n]*\bdbms:\"?(?:[\w,]*,)?postgres)[^\n]*\n"
    r"(?:(?![ \t]*--[ \t]*changeset\b)[^\n]*(?:\n|\Z))*",
    re.IGNORECASE | re.MULTILINE,
)
# A block that may do one thing or another, and a template.
_BRANCHES = frozenset(["if", "loop", "case", "while", "execute", "perform"])
# In strings that code executes: objects of which any may be made, and changes of tables that may be any table.
_MADE_BY_STRINGS = re.compile(r"\b(index|policy|trigger|view|function|constraint|column)\b", re.IGNORECASE)
_TABLES_BY_STRINGS = re.compile(
    r"\b(?:create|drop)\s+table\b|\balter\s+table\b(?!.{0,200}?\b(?:row\s+level|owner|replica|(?:en|dis)able)\b)",
    re.IGNORECASE | re.DOTALL,
)
_CHANGES_SCHEMA = re.compile(
    r"\b(?:create|alter|drop|rename)\b[\w\s]{0,40}?\b(?:table|index|type|view|trigger|policy|function|constraint|column"
    r"|sequence|domain)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z_]\w*")
_MAXIMUM_BLOCK = 100_000
# Of one migration: where it has more, the rest are rows that it brings along.
_MAXIMUM_STATEMENTS = 2_000
# Of each series; what is older has long been run.
MAXIMUM_MIGRATIONS = 60
_ALWAYS_IN_TRANSACTION = frozenset(["drizzle", "supabase", "diesel"])
# One query of several statements is one transaction.
_SENT_AS_ONE = frozenset(["prisma", "golang-migrate"])
_NO_TRANSACTION = re.compile(
    r"^[ \t]*--[ \t]*(?:\+goose[ \t]+no[ \t]+transaction|migrate:up[^\n]*transaction:false|no-transaction"
    r"|changeset\b[^\n]*runInTransaction:\"?false)",
    re.IGNORECASE | re.MULTILINE,
)
_MAXIMUM_REFUSED = 5_000


class Migrations(NamedTuple):
    entries: tuple[Declared, ...]
    unparsed: tuple[Location, ...]
    lineages: tuple[Lineage, ...] = ()
    files: tuple[MigrationFile, ...] = ()
    timeouts: tuple[Location, ...] = ()


class Gathering:
    """Puts together what several series of migrations leave behind, in the order in which they are added."""

    def __init__(self) -> None:
        self.entries: list[Declared] = []
        self.unread: list[Location] = []
        self.lineages: list[Lineage] = []
        self.files: list[MigrationFile] = []

    def add(
        self,
        tool: str,
        folder: str,
        paths: list[str],
        script: ScriptReader,
        *,
        applications: Iterable[str] = (),
        steps: bool = True,
    ) -> None:
        """The series that was read from those files, of those applications of Django. `steps`: what each of its migrations does
        is told too."""
        self.entries += script.ledger.entries()
        self.unread += script.unread.locations
        if script.ledger.subjects():
            self.lineages.append(build_lineage(tool, folder, paths, script.ledger, script.unread, applications))
            self.files += script.migrations(tool, folder) if steps else []

    def finish(self) -> Migrations:
        return Migrations(
            tuple(dict.fromkeys(self.entries)), tuple(sorted(set(self.unread))), tuple(self.lineages), tuple(self.files)
        )


def by_folder(files: Iterable[SourceFile]) -> list[tuple[str, list[SourceFile]]]:
    """The files of each folder, folders by their names."""
    folders: dict[str, list[SourceFile]] = {}
    for file in files:
        folders.setdefault(file.path.rpartition("/")[0], []).append(file)
    return sorted(folders.items())


def runs_in_transaction(tool: str, text: str) -> bool | None:
    """Whether the tool runs an SQL migration within a transaction; None where it does not tell, as Flyway, which finds out by
    itself, and files that no known tool runs."""
    if _NO_TRANSACTION.search(text):
        return False
    if tool in _ALWAYS_IN_TRANSACTION or tool in ("goose", "dbmate", "liquibase"):
        return True
    if tool in _SENT_AS_ONE:
        return len(split_statements(text)) > 1
    return None


class ScriptReader:
    """Applies SQL to a ledger, statement by statement."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.unread = Unread()
        self.steps = StepReader(self.ledger)
        self._read: list[tuple[str, tuple[MigrationStep, ...], int]] = []

    def start(self, path: str, transaction: bool | None) -> None:
        """The migration in that file begins, in a transaction or not; None where its tool does not tell."""
        self._finish()
        self.steps.begin(path, transaction)

    def _finish(self) -> None:
        if self.steps.path:
            self._read.append((self.steps.path, self.steps.finished(), self.steps.statements))
            self.steps.begin("", None)

    def migrations(self, tool: str, folder: str) -> list[MigrationFile]:
        """The newest of the migrations that were read, in their order."""
        self._finish()
        first = max(len(self._read) - MAXIMUM_MIGRATIONS, 0)
        return [
            MigrationFile(path, tool, folder, first + number, steps, statements)
            for number, (path, steps, statements) in enumerate(self._read[first:])
        ]

    def read(self, file: SourceFile, tool: str = "sql") -> None:
        text = file.text
        self.start(file.path, runs_in_transaction(tool, text))
        if LIQUIBASE.search(text):
            text = _CHANGESET_OF_ANOTHER.sub(lambda found: "\n" * found.group().count("\n"), text)
        elif down := _DOWN_SECTION.search(text):
            text = text[: down.start()]
        self.script(text, file.path, 1)

    def script(self, text: str, path: str, first_line: int) -> None:
        """The statements of `text`, which begins at that line of the file."""
        changes = Changes(self.ledger)
        for statement, line in split_statements(text):
            self.statement(statement, path, first_line + line - 1, changes)

    def statement(self, statement: str, path: str, line: int, changes: Changes) -> None:
        first = statement[:20].split(None, 1)[0].lower() if statement.strip() else ""
        if first not in _DECLARES:
            self.other(first, statement, Location(path, line), changes)
            return
        tree = parse(statement)
        if tree is None:
            self.refused(statement, Location(path, line), changes)
            return
        encoded = statement.encode()

        def at(offset: int) -> Location:
            return Location(path, line + (encoded.count(b"\n", 0, offset) if offset > 0 else 0))

        for entry in tree.stmts:
            if entry.stmt.WhichOneof("node") == "do_stmt":
                self.block(entry.stmt.do_stmt, statement, path, line, changes)
            else:
                self.steps.read(entry.stmt, at(-1), changes.schema)
                changes.apply(entry.stmt, at)
                if entry.stmt.WhichOneof("node") == "create_function_stmt":
                    self.function(entry.stmt.create_function_stmt)

    def other(self, first: str, statement: str, place: Location, changes: Changes) -> None:
        """A statement that declares nothing, but locks, sets or changes rows."""
        few = self.steps.statements <= _MAXIMUM_STATEMENTS and len(statement) <= _MAXIMUM_REFUSED
        tree = parse(statement) if few and first in _CHANGES_NO_SCHEMA else None
        if tree is None:
            self.steps.statements += 1
            return
        for entry in tree.stmts:
            self.steps.read(entry.stmt, place, changes.schema)

    def function(self, statement: Any) -> None:
        """What a function that puts statements together may make when it is called, here or at run time."""
        for option in statement.options:
            element = option.def_elem
            if element.defname != "as":
                continue
            for part in element.arg.list.items:
                body = part.string.sval
                if len(body) <= _MAXIMUM_BLOCK and re.search(r"\bexecute\b", body, re.IGNORECASE):
                    self.unread.kinds |= {kind.lower() for kind in _MADE_BY_STRINGS.findall(body)}
                    self.unread.kinds |= {"table"} if _TABLES_BY_STRINGS.search(body) else set()

    def written(self, pieces: Sequence[tuple[str, Location]]) -> None:
        """A statement that was put together from code, each piece with its place there."""
        text, ends = "", []
        for piece, place in pieces:
            text += piece
            ends.append((len(text.encode()), place))
        tree = parse(text)
        if tree is None:
            self.unread.add(_names_in(significant(text)), pieces[0][1])
            return

        def at(offset: int) -> Location:
            return next((place for end, place in ends if max(offset, 0) < end), pieces[0][1])

        changes = Changes(self.ledger)
        for entry in tree.stmts:
            self.steps.read(entry.stmt, at(-1), changes.schema)
            changes.apply(entry.stmt, at)

    def refused(self, statement: str, location: Location, changes: Changes) -> None:
        """A statement that the grammar refuses, such as a template: whatever it names is uncertain."""
        read = significant(statement[:_MAXIMUM_REFUSED])
        self.unread.add(_names_in(read), location)
        named = self.head(read, location, changes)
        self.unread.complete &= named and len(statement) <= _MAXIMUM_REFUSED

    def block(self, block: Any, statement: str, path: str, line: int, changes: Changes) -> None:
        """Declarations within DO: migrations wrap them to ignore what exists."""
        bodies = [entry.def_elem.arg.string.sval for entry in block.args if entry.def_elem.defname == "as"]
        for body in bodies:
            self.conditional(body, Location(path, line))
            start = statement.find(body)
            if start < 0 or len(body) > _MAXIMUM_BLOCK:
                continue
            begun = line + statement.count("\n", 0, start)
            for inner, offset in split_statements(body):
                token = next((each for each in significant(inner) if each.text.lower() in ("create", "alter")), None)
                if token is not None and parse(inner[token.start :]) is not None:
                    inner_line = begun + offset - 1 + inner.count("\n", 0, token.start)
                    self.statement(inner[token.start :], path, inner_line, changes)

    def conditional(self, body: str, location: Location) -> None:
        """What a block of code names is uncertain, if it has branches; anything is, if it puts statements together."""
        if len(body) > _MAXIMUM_BLOCK:
            self.unread.complete = False
            return
        read = significant(body)
        words = {token.text.lower() for token in read if token.kind is Kind.WORD}
        if not words & _BRANCHES or not _CHANGES_SCHEMA.search(body):
            return
        names = _names_in(read)
        strings = " ".join(token.text for token in read if token.kind is Kind.STRING)
        names |= set(_WORD.findall(strings))
        if _puts_together(read):
            self.unread.kinds |= {kind.lower() for kind in _MADE_BY_STRINGS.findall(strings)}
            self.unread.complete &= not _TABLES_BY_STRINGS.search(strings)
        self.unread.add(names, location if "execute" in words else None)

    def head(self, read: Sequence[Token], location: Location, changes: Changes) -> bool:
        """The name in `CREATE TABLE name` or `CREATE INDEX name ON table` of a statement that the grammar refuses, such as a
        template. False if it is about a table or index whose name is not told."""
        words = [token.text.lower() if token.kind is Kind.WORD else token.text for token in read]
        for kind in ("table", "index"):
            if words[:1] != ["create"] or kind not in words[1:4]:
                continue
            position = words.index(kind) + 1
            if words[position : position + 1] == ["concurrently"]:
                position += 1
            if words[position : position + 3] == ["if", "not", "exists"]:
                position += 3
            name, position = _qualified(read, position)
            if kind == "index" and name and words[position : position + 1] == ["on"]:
                table, _ = _qualified(read, position + 1)
                if table:
                    schema = table[0] if len(table) == 2 else changes.schema
                    self.ledger.create("index", (schema, name[-1]), location, of=(schema, table[-1]))
            elif kind == "table" and name and words[position : position + 1] == ["("]:
                self.ledger.create("table", name if len(name) == 2 else (changes.schema, *name), location)
            elif kind == "table":
                return _word_follows(read, position)
        return words[:2] not in (["drop", "table"], ["alter", "table"]) or _word_follows(read, 2)


_DECLARES = frozenset(["create", "alter", "drop", "do", "set", "comment"])
_CHANGES_NO_SCHEMA = frozenset(
    "update delete insert with truncate begin start commit end rollback reindex refresh vacuum cluster lock select".split()
)


def _qualified(read: Sequence[Token], position: int) -> tuple[tuple[str, ...], int]:
    """A name of one or two parts and the position after it; an empty one if there is none."""
    parts: list[str] = []
    while position < len(read) and read[position].kind in (Kind.WORD, Kind.QUOTED):
        text = read[position].text
        parts.append(text[1:-1].replace('""', '"') if text[0] == '"' else text.lower())
        if position + 1 < len(read) and read[position + 1].text == ".":
            position += 2
            continue
        return (tuple(parts) if len(parts) <= 2 else ()), position + 1
    return (), position


def _names_in(read: Iterable[Token]) -> set[str]:
    """Whatever may be the name of something there."""
    return {
        token.text[1:-1].replace('""', '"') if token.kind is Kind.QUOTED else token.text.lower()
        for token in read
        if token.kind in (Kind.WORD, Kind.QUOTED)
    }


def _word_follows(read: Sequence[Token], position: int) -> bool:
    return position < len(read) and read[position].kind in (Kind.WORD, Kind.QUOTED)


def _puts_together(read: Sequence[Token]) -> bool:
    """Whether an EXECUTE there runs more than a string as it stands."""
    for number, token in enumerate(read):
        if token.text.lower() == "execute":
            following = read[number + 1 : number + 3]
            if not following or following[0].kind is not Kind.STRING or [each.text for each in following[1:]] == ["||"]:
                return True
    return False
