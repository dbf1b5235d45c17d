"""Asks at the terminal, without the terminal program, whether a statement may be run (--analyze)."""

from __future__ import annotations

import select
import sys
import threading

import click

from checks.evidence.consent import Answer, Ask, Parameter, Proposal
from checks.text import visible, visible_line

SHOWN_AT_MOST = 20_000
VALUE_SHOWN = 120
NO_MORE = Answer(False, no_more=True)
NO = Answer(False)
_LOOK_S = 0.2


def asker(cancelled: threading.Event) -> Ask | None:
    """Asks on standard error and reads from standard input. None where these are no terminal: there is nobody to ask."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    return lambda proposal: ask(proposal, cancelled)


def ask(proposal: Proposal, cancelled: threading.Event) -> Answer:
    """Shows what would run, asks for the values that nobody knows, then for the yes. Ctrl-C means: nothing further."""
    values = proposal.values
    _say("", about(proposal), *(told(entry, values) for entry in proposal.parameters))
    for entry in proposal.parameters:
        if entry.number not in values:
            value = _read(f"value of ${entry.number} ({entry.type}); empty: leave this statement out: ", cancelled)
            if not value:
                return NO_MORE if value is None else NO
            values[entry.number] = value
    while True:
        _say("", visible(proposal.sql(values), SHOWN_AT_MOST), "")
        word = _read("run this once? [y]es, [n]o, [c]hange a value, [q] no more: ", cancelled)
        if word is None or word.lower().startswith("q"):
            return NO_MORE
        if word.lower() in {"y", "yes"}:
            return Answer(True, values)
        if word.lower().startswith("c") and proposal.parameters:
            for entry in proposal.parameters:
                value = _read(f"${entry.number} ({entry.type}), empty: as it is: ", cancelled)
                if value is None:
                    return NO_MORE
                values[entry.number] = value or values[entry.number]
        else:
            return NO


def about(proposal: Proposal) -> str:
    """What it is, and what running it means."""
    return (
        f"Statement {proposal.number} of {proposal.of}: {proposal.calls:,} calls, {proposal.mean_ms:,.1f} ms on average. "
        f"EXPLAIN (ANALYZE, BUFFERS) runs it once, READ ONLY, for at most {proposal.seconds:.0f} s; its plan is kept, values and "
        "rows are not."
    )


def told(entry: Parameter, values: dict[int, str]) -> str:
    """A parameter with its value, and where that comes from."""
    value = values.get(entry.number)
    shown = "?" if value is None else visible_line(value)
    if len(shown) > VALUE_SHOWN:
        shown = f"{shown[:VALUE_SHOWN]}..."
    return f"  ${entry.number} = {shown}   ({visible_line(entry.type)}; {visible_line(entry.origin)})"


def _say(*lines: str) -> None:
    for words in lines:
        click.echo(words, err=True)


def _read(prompt: str, cancelled: threading.Event) -> str | None:
    """A line; None at the end of the input and after Ctrl-C, which a plain read would sleep through."""
    click.echo(prompt, nl=False, err=True)
    if sys.platform != "win32":
        while not select.select([sys.stdin], [], [], _LOOK_S)[0]:
            if cancelled.is_set():
                click.echo(err=True)
                return None
    typed = sys.stdin.readline()
    return typed.strip() if typed else None
