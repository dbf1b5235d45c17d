"""`pgsurveyor collect`: observe, and save the evidence; if asked to, with what a shadow needs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from checks.errors import TargetError, UsageError
from checks.evidence import store
from checks.evidence.database.facts import Catalog, Settings
from checks.evidence.database.session import ConnectionLost
from checks.evidence.evidence import Evidence
from checks.shadow.blueprint import Blueprint
from tui.unattended import gather, report_problems, resolve_target

VALUES = (
    "The planner's statistics hold values of columns: the most common ones and the bounds of histograms. With the schema they go "
    "into {path}, which its owner alone can read; `run --evidence` tries fixes with them and keeps none in the review."
)

Progress = Callable[[str], None] | None


def collect_evidence(
    output: Path, options: dict[str, Any], progress: Progress, *, with_statistics: bool, yes: bool
) -> int:
    """The whole of `pgsurveyor collect`; the exit status."""
    if output.is_dir() or not output.parent.is_dir():
        raise UsageError(
            f"{output} is a folder" if output.is_dir() else f"there is no folder {output.parent}",
            "name a file in a folder that there is, with -o",
        )
    if with_statistics:
        _ask(output, options, yes=yes)
    # What the file makes possible later is not done now: the target is read once.
    spared = with_statistics and options["index_budget"] is None
    observation = gather({**options, "no_shadow": True} if spared else options, progress)
    blueprint = _blueprint(options, observation.evidence, progress) if with_statistics else None
    store.save(observation.evidence, output, blueprint)
    click.echo(f"evidence saved to {output}{', with statistics' if blueprint else ''}", err=True)
    return report_problems(observation.problems)


def _ask(output: Path, options: dict[str, Any], *, yes: bool) -> None:
    """Raises UsageError where that cannot be, or is not wanted."""
    if options["evidence"] is not None:
        raise UsageError("--with-statistics reads a live target", "leave --evidence out")
    if options["no_shadow"] or options["redact_names"] or options["no_database"]:
        raise UsageError("--with-statistics is for a shadow", "leave --no-shadow, --redact-names and --no-database out")
    click.echo(VALUES.format(path=output), err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked whether those values may be kept", "say so with --yes")
    if not click.confirm("Keep them?", default=False, err=True):
        raise UsageError("nothing was collected", "leave --with-statistics out")


def _blueprint(options: dict[str, Any], evidence: Evidence, progress: Progress) -> Blueprint:
    """Raises TargetError."""
    from checks.shadow.reading import read_blueprint
    from checks.shadow.step import NOT_READ

    dsn = resolve_target(options).dsn
    if dsn is None or evidence.find(Catalog) is None:
        raise TargetError("there is no database to read statistics of", "give a DSN that can be reached")
    try:
        return read_blueprint(
            dsn, evidence.find(Settings), programs=options["pg_bin"], progress=progress or (lambda _: None)
        )
    except ConnectionLost as error:
        raise TargetError(NOT_READ.unlock) from error
