"""The commands that say something about a saved review, as people do in the terminal program."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import click

from tui.options import day_option

if TYPE_CHECKING:
    from scorecards.session import Review

DECISIONS = ("accept", "waive", "follow-up", "dispute", "reopen")


def open_saved(name: str) -> Review:
    from tui.unattended import open_review

    return open_review(name)


def user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


@click.command()
@click.argument("review")
@click.argument("finding")
@click.argument("kind", type=click.Choice(DECISIONS))
@click.option("--reason", help="Why, in words; for waive one of the closed list and, after a colon, words.")
@click.option("--owner", help="Who takes care of it.")
@day_option("--expires", "Until when a waiver holds (at most 365 days).")
@day_option("--due", "Until when it is to be done.")
@click.option("--note", help="A remark to keep with the decision.")
def decide(review: str, finding: str, kind: str, **details: Any) -> None:
    """Decide about a finding of a saved review."""
    open_saved(review).decide(finding, kind, by=user(), now=now(), **details)


@click.command()
@click.argument("review")
@click.argument("question")
@click.argument("value")
@click.option("--artefact", metavar="URL-OR-PATH", help="What proves it.")
@day_option("--artefact-date", "The day of that proof.")
def answer(review: str, question: str, value: str, **details: Any) -> None:
    """Answer a question of a saved review: yes, no, unknown, or words."""
    open_saved(review).answer(question, value, by=user(), now=now(), **details)


@click.command()
@click.argument("review")
@click.argument("finding")
@click.argument("text")
def note(review: str, finding: str, text: str) -> None:
    """Keep a remark with a finding."""
    open_saved(review).note(finding, text, by=user(), now=now())


@click.command()
@click.argument("review")
@click.argument("finding")
@click.argument("owner")
def assign(review: str, finding: str, owner: str) -> None:
    """Give a finding an owner."""
    open_saved(review).assign(finding, owner, by=user(), now=now())


@click.command()
@click.argument("review")
def undo(review: str) -> None:
    """Take back the last event of a review."""
    undone = open_saved(review).undo(by=user(), now=now())
    click.echo(f"undone: {undone}" if undone else "there is nothing to undo")


@click.command()
@click.argument("review")
@click.argument("name")
def milestone(review: str, name: str) -> None:
    """Freeze a review as it is now: REVIEW@NAME cannot change."""
    from scorecards.store import find

    frozen = find(review).freeze(name, by=user(), now=now())
    click.echo(f"{frozen.id}@{frozen.milestone}")


COMMANDS = (decide, answer, note, assign, undo, milestone)
