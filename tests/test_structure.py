"""What the parts may know of each other, and what no committed file may say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Written in two pieces, so that this file does not say them either.
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted",
    "deb.debian" + ".org",
    "npmjs" + ".org",
    "npmjs" + ".com",
    "crates" + ".io",
    "proxy.go" + "lang",
]
MACHINE_PATHS = ["/wo" + "rk/", "/ro" + "ot/", "/opt/(pypi|wheels)"]

HEAVY = {"textual", "psycopg", "sqlglot", "postgast", "tree_sitter", "jinja2", "rich"}


def modules_of(package: str) -> list[str]:
    """The names of all modules of a package, by their files."""
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / package).rglob("*.py")
    )


def loaded_after(*modules: str) -> set[str]:
    """The top-level modules that a fresh process has after importing `modules`."""
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code, *modules], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return {name.partition(".")[0] for name in run.stdout.split()}


def committed_texts() -> Iterator[tuple[Path, str]]:
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    for name in listed.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if b"\0" not in data:
                yield path, data.decode("utf-8")


@pytest.mark.parametrize("package", ["checks", "scorecards"])
def test_the_survey_and_the_score_know_no_terminal(package: str) -> None:
    assert not loaded_after(*modules_of(package)) & {"textual", "tui"}


def test_the_checks_know_no_scorecards() -> None:
    assert "scorecards" not in loaded_after(*modules_of("checks"))


def test_the_command_line_starts_without_what_is_heavy() -> None:
    assert not loaded_after("tui.cli") & HEAVY


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['pgsurveyor', '--help']\n"
        "from tui.cli import main\n"
        "try:\n    main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in run.stderr.split()} & HEAVY


@pytest.mark.parametrize("pattern", [*(re.escape(host) for host in REGISTRIES), *MACHINE_PATHS])
def test_no_committed_file_names_a_registry_or_a_place_on_a_machine(pattern: str) -> None:
    named = re.compile(rf"(?<![\w.~-]){pattern}" if pattern.startswith("/") else pattern)
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path, text in committed_texts()
        for number, line in enumerate(text.splitlines(), 1)
        if named.search(line)
    ]
    assert not found
