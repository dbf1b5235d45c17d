"""The options that several commands have (CONTRACT.md)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def day_option(name: str, words: str) -> Callable[[Command], Command]:
    """An option that takes a calendar day, YYYY-MM-DD."""

    def to_date(context: click.Context, parameter: click.Parameter, value: dt.datetime | None) -> dt.date | None:
        del context, parameter
        return value.date() if value else None

    return click.option(name, type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", callback=to_date, help=words)


def observing(command: Any) -> Any:
    """The arguments of commands that look at a target."""
    for decorate in (
        click.argument("words", nargs=-1, metavar="[DSN] [REPO]"),
        click.option("--replica", "replicas", multiple=True, metavar="DSN", help="A further node (repeatable)."),
        click.option("--pooler", metavar="DSN", help="PgBouncer's console: who waits for a connection, and how long."),
        click.option("--no-database", is_flag=True, help="Leave the database out."),
        click.option("--no-repo", is_flag=True, help="Leave the repository out."),
        click.option("--evidence", type=click.Path(path_type=Path), help="Saved evidence instead of a live target."),
        click.option(
            "--watch",
            type=click.FloatRange(0, 3600),
            default=0.0,
            metavar="SECONDS",
            help="Look twice, this far apart, and tell rates.",
        ),
        click.option("--no-shadow", is_flag=True, help="Try no fix in an embedded server; pg_dump is not run either."),
        click.option(
            "--pg-bin", type=click.Path(path_type=Path), metavar="DIR", help="PostgreSQL's programs for the shadow."
        ),
        click.option(
            "--index-budget",
            metavar="SIZE",
            help="Choose new indexes for the whole workload in the shadow, of this size together (as 500MB).",
        ),
        click.option(
            "--max-load", is_flag=True, help="Stop observing where the server is busy, or sessions wait for locks."
        ),
        click.option(
            "--measure-recall", is_flag=True, help="Search a sample of vectors, exactly and by index, and compare."
        ),
        click.option(
            "--read-rows",
            is_flag=True,
            help="Count the forms of values in up to 1,000 rows of each table; no value is kept.",
        ),
        click.option(
            "--plan",
            "plans",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Plans: of EXPLAIN (ANALYZE, BUFFERS), text or JSON; or a log of the server, auto_explain's too (repeatable).",
        ),
        click.option(
            "--analyze",
            is_flag=True,
            help="Run costly SELECTs once (EXPLAIN ANALYZE): you are asked before each, with its values.",
        ),
        click.option("--redact-names", is_flag=True, help="Keep a hash instead of each name of the target's own."),
        click.option("--no-cache", is_flag=True, help="Read the whole repository again, and keep nothing of it."),
    ):
        command = decorate(command)
    return command


def seated(command: Any) -> Any:
    """The options of everything that opens the terminal program: who sits there, and how it looks."""
    for decorate in (
        click.option("--name", default="", metavar="NAME", help="Who decides here (default: your login)."),
        click.option("--partner", default="", metavar="NAME", help="Who sits beside you."),
        click.option("--role", type=click.Choice(["driver", "navigator"]), help="Your part in the session."),
        click.option("--follow", is_flag=True, help="Go where the driver's terminal goes, until you press a key."),
        click.option("--presenter", is_flag=True, help="Light, roomy, hosts and names masked."),
        click.option("--no-mouse", is_flag=True, help="Leave the mouse to the terminal."),
    ):
        command = decorate(command)
    return command


def selecting(command: Any) -> Any:
    """The options that choose among the checks."""
    for decorate in (
        click.option("--only", multiple=True, metavar="ID-OR-AREA", help="Run these checks only (repeatable; globs)."),
        click.option("--skip", multiple=True, metavar="ID-OR-AREA", help="Leave these checks out (repeatable; globs)."),
        click.option("--style", is_flag=True, help="Run the checks of style too."),
    ):
        command = decorate(command)
    return command


def exporting(command: Any) -> Any:
    """The options that say what comes out."""
    for decorate in (
        click.option(
            "--format",
            "formats",
            multiple=True,
            metavar="FORMAT",
            help="markdown (default), comment, json, html, sarif, junit, badge, sql or adr (repeatable).",
        ),
        click.option("--output", default="-", metavar="PATH", help="A file, a folder, or - for standard output."),
        click.option("--answers", type=click.Path(path_type=Path), help="Answers to the questions (TOML)."),
        click.option(
            "--baseline",
            metavar="REVIEW",
            help="A review folder, its id, a milestone, or a scorecard JSON to compare with.",
        ),
        click.option("--trend", is_flag=True, help="Add the levels of the saved reviews of the same target."),
        click.option(
            "--fail-on",
            multiple=True,
            type=click.Choice(["red", "new", "never"]),
            help="Exit with 1 for an open red flag, or for what is new since --baseline (repeatable).",
        ),
        click.option(
            "--min",
            "minimums",
            multiple=True,
            metavar="AREA=LEVEL",
            help="Exit with 1 below that level; overall=LEVEL too (repeatable).",
        ),
        day_option("--as-of", "The day that date rules are judged at."),
    ):
        command = decorate(command)
    return command
