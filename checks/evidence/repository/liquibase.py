"""What Liquibase's changelogs in XML, YAML and JSON declare, read and never run."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from typing import cast

from checks.evidence.repository.changelogs import CANDIDATE, EXTENSIONS, Element, read_changelog
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.liquibase_changes import Changes, is_ours
from checks.evidence.repository.scripts import Gathering, Migrations, ScriptReader
from checks.model import Location

_ROWS = frozenset(
    "insert update delete loadData loadUpdateData tagDatabase comment validCheckSum preConditions rollback output stop empty "
    "property setTableRemarks setColumnRemarks".split()
)
_MAXIMUM_FILES = 2_000


def is_changelog(file: SourceFile) -> bool:
    """Whether it is a changelog of Liquibase that is not SQL."""
    return file.extension in EXTENSIONS and CANDIDATE.search(file.text[:20_000]) is not None


class Found:
    """The changelogs by their paths, and what is read of them. `scripts` are the SQL files that they run."""

    def __init__(self) -> None:
        self.migrations = Migrations((), ())
        self.scripts: set[str] = set()


def read_changelogs(files: Iterable[SourceFile], scripts: Iterable[SourceFile]) -> Found:
    """What each changelog that no other includes leaves behind, with all that it includes, in that order."""
    found = Found()
    logs = {file.path: file for file in files}
    trees = {path: read_changelog(file) for path, file in logs.items()}
    sql = {file.path: file for file in scripts}
    included = {
        target
        for path, tree in trees.items()
        for element in (tree.children if tree is not None else ())
        if element.name in ("include", "includeAll")
        for target in _targets(element, path, [*logs, *sql])
        if target != path
    }
    parts = Gathering()
    for path, tree in sorted(trees.items()):
        if path in included:
            continue
        script = ScriptReader()
        if tree is None:
            script.unread.complete = False
            script.unread.locations.append(Location(path, 1))
        run = _Run(script, trees, sql)
        run.file(path)
        found.scripts |= run.scripts
        parts.add("liquibase", path, run.done, script)
    found.migrations = parts.finish()
    return found


def _targets(element: Element, path: str, known: list[str]) -> list[str]:
    """The files that an include names: beside the changelog, or at that place below some root of resources."""
    written = (element.get("file") or element.get("path")).replace("\\", "/").removeprefix("classpath:").strip("/")
    if not written or "${" in written:
        return []
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(path), written))
    if element.name == "includeAll":
        places = {posixpath.normpath(written), beside}
        found = [
            file
            for file in known
            if any(
                posixpath.dirname(file) == place or posixpath.dirname(file).endswith(f"/{place}") for place in places
            )
        ]
        return sorted(found)
    if beside in known:
        return [beside]
    found = [file for file in known if file == written or file.endswith(f"/{posixpath.normpath(written)}")]
    return found[:1]


class _Run(Changes):
    """Applies changelogs to a ledger, each file once."""

    def __init__(self, script: ScriptReader, trees: dict[str, Element | None], sql: dict[str, SourceFile]) -> None:
        super().__init__(script)
        self.trees = trees
        self.sql = sql
        self.done: list[str] = []
        self.scripts: set[str] = set()
        self.begun = ""

    def file(self, path: str) -> None:
        """The changelog at that path; one that includes itself is run once."""
        pending: list[tuple[str, list[Element] | None]] = [(path, None)]
        while pending and len(self.done) < _MAXIMUM_FILES:
            self.path, elements = pending.pop()
            if elements is None:
                if self.path in self.done:
                    continue
                self.done.append(self.path)
                tree = self.trees.get(self.path)
                if self.path in self.sql:
                    self.scripts.add(self.path)
                    self.script.read(self.sql[self.path], "liquibase")
                    continue
                elements = tree.children if tree is not None else []
            for number, element in enumerate(elements):
                if element.name in ("include", "includeAll"):
                    pending.append((self.path, elements[number + 1 :]))
                    pending += [(target, None) for target in reversed(_targets(element, self.path, self._known()))]
                    break
                self._top(element)

    def _known(self) -> list[str]:
        return [*self.trees, *self.sql]

    def _top(self, element: Element) -> None:
        if element.name == "property" and is_ours(element.get("dbms")):
            self.properties.setdefault(element.get("name"), element.get("value"))
        elif element.name == "changeSet" and is_ours(element.get("dbms")):
            guards = [check for entry in element.all("preConditions") for check in entry.children]
            if any(check.name == "dbms" and not is_ours(check.get("type")) for check in guards):
                return
            if self.begun != self.path:
                self.begun = self.path
                self.script.start(self.path, True)
            conditional = element.get("context") or element.get("contextFilter") or element.get("labels")
            for change in element.children:
                if conditional:
                    self._doubt(change)
                elif change.name not in _ROWS:
                    method = getattr(self, f"_{change.name}", None) if change.name in _CHANGES else None
                    if method is not None:
                        cast("Callable[[Element], None]", method)(change)
                    else:
                        self._doubt(change)

    def _sqlFile(self, element: Element) -> None:
        if not is_ours(element.get("dbms")):
            return
        targets = _targets(Element("include", element.line, {"file": element.get("path")}), self.path, list(self.sql))
        if not targets:
            self._doubt(element)
            return
        file = self.sql[targets[0]]
        self.scripts.add(file.path)
        self.script.script(self._filled(file.text), file.path, 1)


_CHANGES = frozenset(
    "createTable addColumn dropColumn renameColumn renameTable dropTable modifyDataType addNotNullConstraint "
    "dropNotNullConstraint addDefaultValue dropDefaultValue addAutoIncrement addPrimaryKey addUniqueConstraint dropPrimaryKey "
    "dropUniqueConstraint dropForeignKeyConstraint addForeignKeyConstraint createIndex dropIndex createSequence dropSequence "
    "createView dropView sql createProcedure sqlFile".split()
)
