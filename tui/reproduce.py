"""What can be taken out of a finding: its fix, its statements, commands that show it again, and itself as Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import NamedTuple

from checks.evidence.database.facts import Statement
from checks.model import Finding
from scorecards.exports.escape import code, fence, inline


class Copy(NamedTuple):
    """Something to copy: what it is, a remark, and the text."""

    what: str
    about: str
    text: str


def copies(finding: Finding, statements: tuple[Statement, ...], review: str, target: tuple[str, ...]) -> Iterator[Copy]:
    """`target` are the words of the command line that name it, without a password."""
    if finding.fix.sql:
        yield Copy("The fix", "SQL", finding.fix.sql)
    if finding.fix.undo:
        yield Copy("The undo of the fix", "", finding.fix.undo)
    yield Copy("A command that finds it again", "pgsurveyor run", reproduction(finding, target))
    for statement in statements[:3]:
        yield Copy("The statement", statement.query_id, statement.text)
        yield Copy("Its plan, without running it", "psql, PostgreSQL 16 and later", explain(statement))
    for location in finding.locations[:5]:
        yield Copy("The place", "", f"{location.path}:{location.line}")
    yield Copy("A command that decides it", "pgsurveyor decide", f"pgsurveyor decide {review} {finding.id} accept")
    yield Copy("The finding", "Markdown", markdown(finding))
    yield Copy("Its id", "", finding.id)


def reproduction(finding: Finding, target: tuple[str, ...]) -> str:
    return shlex.join(["pgsurveyor", "run", *target, "--only", finding.check])


def explain(statement: Statement) -> str:
    return f"EXPLAIN (GENERIC_PLAN, VERBOSE) {statement.text.rstrip().rstrip(';')};"


def markdown(finding: Finding) -> str:
    """A few lines for a ticket or a chat."""
    severity = finding.severity.value if finding.severity else ""
    lines = [f"**{inline(finding.title)}** ({severity}, {finding.confidence.value}, {code(finding.check)})", ""]
    lines += [f"- {code(f'{place.path}:{place.line}')}" for place in finding.locations[:5]]
    lines += ["", inline(finding.why, 1_000), "", f"Fix: {inline(finding.fix.summary, 1_000)}"]
    if finding.fix.sql:
        lines += ["", fence(finding.fix.sql)]
    return "\n".join(lines) + "\n"
