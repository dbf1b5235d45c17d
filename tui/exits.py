"""How a command ends: its exit status, and what it says when it could not do what was asked."""

from __future__ import annotations

import os
import sys

import click

from checks.errors import EvidenceError, ExportError, ReviewError, StoreError, TargetError, UsageError

DONE, GATE_FAILED, WRONG_USAGE, NOT_REACHED, DEFECT, INTERRUPTED = 0, 1, 2, 3, 4, 130


def defect_words(error: Exception) -> str:
    return f"a defect of pgsurveyor: {type(error).__name__}: {error}"


def status_of(error: ReviewError) -> int:
    if isinstance(error, UsageError):
        return WRONG_USAGE
    return NOT_REACHED if isinstance(error, TargetError | EvidenceError | StoreError | ExportError) else DEFECT


def complain(message: str, hint: str, status: int) -> int:
    from checks.text import visible

    click.echo(visible(f"pgsurveyor: {message}".replace("\n", " ")), err=True)
    if hint:
        click.echo(visible(f"  {hint}".replace("\n", " ")), err=True)
    return status


def write_result(text: str) -> None:
    """A result on standard output: UTF-8 whatever the locale, for its bytes follow from the evidence alone. A reader that has
    left has read all it wanted. Raises ExportError."""
    if sys.stdout is None:
        raise ExportError("standard output is closed", "write into a file instead")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        forget_standard_output()
    except OSError as error:
        forget_standard_output()
        raise ExportError(
            f"standard output cannot be written: {error.strerror}", "write into a file instead"
        ) from error


def forget_standard_output() -> None:
    """A closed pipe must not be reported again when Python flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
