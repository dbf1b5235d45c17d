"""Asks git about a work tree that strangers wrote: nothing that its configuration names is ever run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec

_TIMEOUT_S = 120
# core.fsmonitor is the one setting that makes a listing run a program; the others are there for what later versions of git do.
_SAFE = (
    "--no-pager",
    "--no-optional-locks",
    "--no-replace-objects",
    "-c",
    "core.fsmonitor=",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.untrackedCache=false",
    "-c",
    "core.quotePath=false",
    "-c",
    "protocol.allow=never",
    "-c",
    "safe.directory=*",
)


class WorkTree(msgspec.Struct, frozen=True):
    """`top` is the work tree's own folder; `paths` are relative to the folder that was asked for: tracked, or new and not
    ignored. `commit` is None where nothing was committed yet."""

    top: Path
    commit: str | None
    paths: tuple[str, ...]


class BareRepository(Exception):
    """The folder is a git directory, with no files to read."""


def read_work_tree(folder: Path) -> WorkTree | None:
    """None if the folder is in no work tree, or git is not there or fails. Raises BareRepository."""
    answer = _git(folder, "rev-parse", "--is-inside-git-dir", "--is-bare-repository")
    if answer is None:
        return None
    if b"true" in answer.split():
        raise BareRepository
    shown = _git(folder, "rev-parse", "--show-toplevel")
    if not shown:
        return None
    top = Path(os.fsdecode(shown.rstrip(b"\r\n"))).resolve()
    # core.worktree may name any folder of the machine.
    if top != folder and top not in folder.parents:
        return None
    listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed is None:
        return None
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    paths = dict.fromkeys(os.fsdecode(name) for name in listed.split(b"\0") if name)
    return WorkTree(top, commit.decode("ascii", "replace").strip() if commit else None, tuple(paths))


def ask(folder: Path, *arguments: str, given: bytes | None = None) -> bytes | None:
    """What a plumbing command of git prints in that folder, which gets `given` to read; None if it fails."""
    return _git(folder, *arguments, given=given)


def _git(folder: Path, *arguments: str, given: bytes | None = None) -> bytes | None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "LC_ALL": "C",
    }
    try:
        done = subprocess.run(
            ["git", *_SAFE, *arguments],
            cwd=folder,
            env=environment,
            input=given or b"",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
