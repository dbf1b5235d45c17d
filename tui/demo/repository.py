"""The sample application as a repository of its own: a copy with a small history, the same on every machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tui.demo.statements import APPLICATION

# Wheels leave out files whose names begin with a dot, so ours begin with this.
DOT = "dot."

# Message, day, and what the commit adds; the last one adds the rest.
COMMITS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Chat with conversations and messages",
        "2026-03-02",
        ("migrations/0001*", "deploy", "api/deskhand/*.py", ".gitignore"),
    ),
    (
        "Documents, retrieval and answers",
        "2026-04-13",
        ("migrations/0002*", "api/deskhand/services", "api/deskhand/routes"),
    ),
    ("Tickets, jobs and a worker", "2026-06-08", ("migrations/000[345]*", "worker")),
    ("Billing, events, agent tools and audit", "2026-08-17", ("migrations/000[6789]*", "api/scripts")),
    ("Indexes for what got slow", "2026-10-26", ("migrations/001*",)),
    ("Compose file, tests, README", "2026-11-16", (".",)),
)


def make_repository(folder: Path) -> None:
    """Copies the application to `folder`, which must not exist, and commits it there. Without git it is a plain folder."""
    shutil.copytree(APPLICATION, folder, ignore=shutil.ignore_patterns("__pycache__", ".DS_Store"))
    for path in folder.glob(f"{DOT}*"):
        path.rename(path.with_name(f".{path.name.removeprefix(DOT)}"))
    if shutil.which("git") is None:
        return
    _git(folder, "2026-03-02", "init", "--quiet", "--initial-branch=main")
    for message, day, paths in COMMITS:
        _git(folder, day, "add", "--", *paths)
        _git(folder, day, "commit", "--quiet", "--message", message)


def _git(folder: Path, day: str, *arguments: str) -> None:
    """Runs git with no configuration of the user's, whose hooks and signing would change the commits. Raises OSError."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Deskhand",
        "GIT_AUTHOR_EMAIL": "team@deskhand.example",
        "GIT_COMMITTER_NAME": "Deskhand",
        "GIT_COMMITTER_EMAIL": "team@deskhand.example",
        "GIT_AUTHOR_DATE": f"{day}T10:00:00Z",
        "GIT_COMMITTER_DATE": f"{day}T10:00:00Z",
    }
    run = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, errors="replace"
    )
    if run.returncode:
        raise OSError(run.returncode, f"git {arguments[0]}: {run.stderr.strip()[:200]}")
