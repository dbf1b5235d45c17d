"""Which commit brought each migration, by git's history along first parents: a merged branch counts as one commit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from checks.evidence.repository.facts import Declared, History, MigrationFile, Repository
from checks.evidence.repository.git import ask

MAXIMUM_COMMITS = 5_000
MAXIMUM_FOLDERS = 300
_SHORT = 9


def dated(repository: Repository, root: Path) -> Repository:
    """The repository with the commits that brought its migrations, and what they declare, as far as git tells them."""
    declared_in = {entry.location.path for entry in repository.declared}
    files = {file.path for file in repository.migrations} | {path for path in declared_in if path.endswith(".sql")}
    files |= {path for path in declared_in if path.endswith(".py")}
    if not files or repository.commit is None:
        return repository
    known = _read(root, files)
    if known is None:
        return repository
    history, touches, tracked = known

    def date(file: MigrationFile) -> MigrationFile:
        found = touches.get(file.path)
        if not found:
            return msgspec.structs.replace(file, commit=None, commits_ago=None, committed=file.path in tracked)
        commit, ago = found[-1]
        return msgspec.structs.replace(file, commit=commit, commits_ago=ago, committed=True)

    def brought(entry: Declared) -> Declared:
        found = touches.get(entry.location.path, [])
        commit = found[0][0] if len(found) == 1 else None
        return entry if commit == entry.commit else msgspec.structs.replace(entry, commit=commit)

    return msgspec.structs.replace(
        repository,
        history=history,
        migrations=tuple(date(file) for file in repository.migrations),
        declared=tuple(brought(entry) for entry in repository.declared),
    )


def _read(root: Path, files: Iterable[str]) -> tuple[History, dict[str, list[tuple[str, int]]], frozenset[str]] | None:
    """The history, the commits that touched each file (newest first), and all files of the last commit there."""
    folders = sorted({path.rpartition("/")[0] for path in files})
    if not folders or len(folders) > MAXIMUM_FOLDERS:
        folders = [""]
    where = ["--", *(folder or "." for folder in folders)]
    listed = ask(root, "rev-list", "--first-parent", "--parents", f"--max-count={MAXIMUM_COMMITS + 1}", "HEAD")
    tree = ask(root, "--literal-pathspecs", "ls-tree", "-r", "-z", "--name-only", "HEAD", *where)
    if not listed or tree is None:
        return None
    lines = [line.split() for line in listed.splitlines()]
    # Of the very first commit, or the one at which a shallow clone was cut, nothing follows.
    pairs = [(line[0], line[1]) for line in lines if len(line) > 1][:MAXIMUM_COMMITS]
    complete = len(lines) <= MAXIMUM_COMMITS and ask(root, "rev-parse", "--is-shallow-repository") == b"false\n"
    asked = b"".join(one + b" " + parent + b"\n" for one, parent in pairs)
    arguments = ("diff-tree", "--stdin", "-r", "-z", "--no-renames", "--diff-filter=AM", "--name-only", "--relative")
    answer = ask(root, "--literal-pathspecs", *arguments, *where, given=asked) if pairs else b""
    if answer is None:
        return None
    number = {one: place for place, (one, _) in enumerate(pairs)}
    touches: dict[str, list[tuple[str, int]]] = {}
    commit = b""
    for part in answer.split(b"\0"):
        if part in number:
            commit = part
        elif part and commit:
            path = part.decode("utf-8", "surrogateescape")
            touches.setdefault(path, []).append((commit[:_SHORT].decode(), number[commit]))
    tracked = frozenset(name.decode("utf-8", "surrogateescape") for name in tree.split(b"\0") if name)
    return History(len(pairs), complete), touches, tracked
