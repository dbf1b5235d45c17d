"""The fixes as one commented SQL script, in the order in which they should run.

What runs by itself is on a list: settings, statistics, indexes CONCURRENTLY, constraints NOT VALID. Everything else (what drops,
rewrites, locks out writers, leaves an invalid index behind where rows are twice, belongs into a file of the repository, or
cannot be read by PostgreSQL's own grammar) stands there as a comment, with the reason.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgspec

from checks.evidence.sql import parse, split_statements
from checks.figures import bytes_in_words
from checks.model import Severity
from checks.text import visible, visible_line
from scorecards.exports.advising import serves_words
from scorecards.model import AdvisedIndexEntry, FindingEntry, FixAdvice, Scorecard

LONGEST_WORDS = 600
INDENT = "   "
WIDTH = 118
LOCK_TIMEOUT = "5s"
WAITING = """\
-- CONCURRENTLY waits for every older transaction, and blocks no read or write meanwhile; a timeout would leave an invalid
-- index behind. A session that is idle in its transaction makes it wait for ever: end such sessions first.
SET lock_timeout = 0;"""
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_QUIET_CHANGES = frozenset(
    {"AT_ValidateConstraint", "AT_SetStatistics", "AT_SetRelOptions", "AT_ResetRelOptions", "AT_AttachPartition"}
)


class Phase(IntEnum):
    """In this order: what is cheap and helps the rest comes first."""

    SETTINGS = 1
    STATISTICS = 2
    INDEXES = 3
    CONSTRAINTS = 4
    VALIDATION = 5
    BY_HAND = 6


TITLES = {
    Phase.SETTINGS: "Settings, roles and extensions: no table is locked",
    Phase.STATISTICS: "Statistics and maintenance: reads and writes go on",
    Phase.INDEXES: "Indexes, CONCURRENTLY: outside of a transaction, one at a time; reads and writes go on",
    Phase.CONSTRAINTS: "Constraints: added NOT VALID, then validated",
    Phase.VALIDATION: "Constraints that were never validated, perhaps because rows break them: it ends at the first such row",
    Phase.BY_HAND: "By hand: drops, rewrites, or locks others out. Nothing below runs unless you remove the comment",
}


class Step(msgspec.Struct, frozen=True):
    """One script, with the findings that it fixes, or the advised index that it makes. `refused` says why it does not run by
    itself, or is empty."""

    sql: str
    phase: Phase
    refused: str
    findings: tuple[FindingEntry, ...]
    advised: AdvisedIndexEntry | None = None


def render(scorecard: Scorecard) -> str:
    """The script. Waived and disputed findings are left out, and counted."""
    open_ones = [finding for finding in scorecard.findings if not _set_aside(finding)]
    steps = steps_of(open_ones, scorecard.advice.indexes if scorecard.advice else ())
    parts = [_head(scorecard, steps, len(scorecard.findings) - len(open_ones))]
    number = 0
    for phase in Phase:
        mine = [step for step in steps if step.phase is phase]
        if not mine:
            continue
        parts.append(f"-- {'=' * (WIDTH - 3)}\n{_comment(f'{phase.value}. {TITLES[phase]}')}\n-- {'=' * (WIDTH - 3)}")
        if phase is Phase.INDEXES:
            parts.append(WAITING)
        elif phase in (Phase.CONSTRAINTS, Phase.VALIDATION):
            parts.append(f"SET lock_timeout = '{LOCK_TIMEOUT}';")
        for step in mine:
            number += 1
            parts.append(_step(number, step))
    words = [finding for finding in open_ones if not finding.fix.sql]
    if words:
        listed = [_comment(f"- {finding.title}: {finding.fix.summary}") for finding in words]
        parts.append("\n".join([_comment("Fixes that no SQL does"), *listed]))
    return "\n\n".join(parts) + "\n"


def steps_of(findings: list[FindingEntry], advised: Sequence[AdvisedIndexEntry] = ()) -> list[Step]:
    """In order of phase, then of the worst finding. The same script is one step, whatever names it; an advised index is one of
    its own where no finding asks for it."""
    by_script: dict[str, list[FindingEntry]] = {}
    for finding in findings:
        if finding.fix.sql:
            by_script.setdefault(finding.fix.sql.strip(), []).append(finding)
    steps, names = [], set[str]()
    for sql, group in by_script.items():
        phase, refused, created = _judge(sql, group[0].fix.rewrites)
        refused = refused or _first(group)
        phase = Phase.BY_HAND if refused else phase
        if not refused and all(finding.severity == Severity.NOTE for finding in group):
            phase, refused = Phase.BY_HAND, "it is only a note: run it if you want it"
        if created & names:
            phase, refused = Phase.BY_HAND, "a step above makes an index of that name"
        names |= created
        steps.append(Step(sql, phase, refused, tuple(group)))
    known = "\n".join(step.sql for step in steps)
    for entry in advised:
        if entry.sql not in known:
            phase, refused, created = _judge(entry.sql, rewrites=False)
            if created & names:
                phase, refused = Phase.BY_HAND, "a step above makes an index of that name"
            steps.append(Step(entry.sql, phase, refused, (), entry))
    return sorted(steps, key=lambda step: step.phase)


def _set_aside(finding: FindingEntry) -> bool:
    decision = finding.decision
    return decision is not None and decision.kind in ("waive", "dispute") and not decision.expired


def _first(group: Sequence[FindingEntry]) -> str:
    """What has to be done before by a person, where the findings tell."""
    for finding in group:
        if finding.subject.kind == "file" and finding.check.startswith("schema.migration-"):
            return f"it belongs into {finding.subject.name}"
        if finding.check == "indexing.invalid-index" and finding.observed.get("unique"):
            return "rows that are twice made the build fail, and would again: correct them first"
    return ""


def _judge(sql: str, rewrites: bool) -> tuple[Phase, str, set[str]]:
    """Phase, why it may not run by itself, and the names of the indexes that it makes."""
    if _HIDDEN.search(sql):
        return Phase.BY_HAND, "a name in it has characters that cannot be seen", set()
    if rewrites:
        return Phase.BY_HAND, "it rewrites the table: plan it", set()
    created: set[str] = set()
    phase, texts = Phase.SETTINGS, [text for text, _ in split_statements(sql)]
    if not texts:
        return Phase.BY_HAND, "it is no SQL", created
    if parse(sql) is None:
        return Phase.BY_HAND, "PostgreSQL's grammar does not read it", created
    for text in texts:
        tree = parse(text)
        if tree is None or len(tree.stmts) != 1:
            return Phase.BY_HAND, "PostgreSQL's grammar does not read it", created
        node = tree.stmts[0].stmt
        kind = node.WhichOneof("node")
        found, refused = _statement(kind, getattr(node, kind))
        if refused:
            return Phase.BY_HAND, refused, created
        if kind == "index_stmt":
            created.add(node.index_stmt.idxname)
        # The heaviest decides, but an ANALYZE behind an index does not make it later, nor what validates a new constraint.
        phase = phase if (phase, found) == (Phase.CONSTRAINTS, Phase.VALIDATION) else max(phase, found)
    return phase, "", created


def _statement(kind: str, node: Any) -> tuple[Phase, str]:
    """The phase of one statement, or why it may not run by itself. Whatever is not listed may not."""
    refused = ""
    phase = Phase.SETTINGS
    if kind in ("alter_system_stmt", "alter_role_set_stmt", "alter_database_set_stmt", "create_extension_stmt",
                "alter_extension_stmt"):  # fmt: skip
        pass
    elif kind == "select_stmt":
        refused = "" if _reloads(node) else "it calls a function that changes something"
    elif kind in ("vacuum_stmt", "create_stats_stmt"):
        phase = Phase.STATISTICS
        refused = "VACUUM FULL locks everybody out" if _has_option(node, "full") else ""
    elif kind == "index_stmt":
        phase = Phase.INDEXES
        # ON ONLY a partitioned table is a change of the catalog alone.
        refused = "" if node.concurrent or not node.relation.inh else "without CONCURRENTLY it locks writers out"
        if node.unique and not refused:
            refused = "rows that are twice would make it fail, and leave an invalid index: look for them first"
    elif kind == "reindex_stmt":
        phase = Phase.INDEXES
        refused = "" if _has_option(node, "concurrently") else "without CONCURRENTLY it locks writers out"
    elif kind == "alter_table_stmt":
        phase, refused = _alter_table(node)
    elif kind == "drop_stmt":
        refused = "it drops something"
    else:
        refused = "it is not on the list of what may run by itself"
    return phase, refused


def _alter_table(node: Any) -> tuple[Phase, str]:
    phase = Phase.STATISTICS
    for command in (entry.alter_table_cmd for entry in node.cmds):
        values = command.DESCRIPTOR.fields_by_name["subtype"].enum_type.values_by_number
        subtype = values[command.subtype].name
        if subtype == "AT_AddConstraint":
            constraint = getattr(command, "def").constraint
            if not (constraint.skip_validation or constraint.indexname):
                return Phase.BY_HAND, "without NOT VALID it checks the whole table under a lock"
        elif subtype not in _QUIET_CHANGES:
            return Phase.BY_HAND, "it changes the table under a lock that keeps others out"
        if subtype in ("AT_AddConstraint", "AT_ValidateConstraint"):
            phase = max(phase, Phase.CONSTRAINTS if subtype == "AT_AddConstraint" else Phase.VALIDATION)
    return phase, ""


def _reloads(node: Any) -> bool:
    """Whether it is SELECT pg_reload_conf() and nothing else."""
    if len(node.target_list) != 1 or node.from_clause:
        return False
    call = node.target_list[0].res_target.val.func_call
    return [part.string.sval for part in call.funcname] == ["pg_reload_conf"] and not call.args


def _has_option(node: Any, name: str) -> bool:
    options = node.options if hasattr(node, "options") else node.params if hasattr(node, "params") else ()
    return any(entry.def_elem.defname == name for entry in options)


def _head(scorecard: Scorecard, steps: list[Step], left_out: int) -> str:
    target = scorecard.target.database
    runs = sum(not step.refused for step in steps)
    lines = [
        f"Fixes of review {scorecard.review.id}: {scorecard.review.title}, as of {scorecard.as_of}",
        f"Target: database {target.name}, PostgreSQL {target.server_version}" if target else "Target: no database",
        f"Evidence {scorecard.evidence_sha256}; {scorecard.tool.name} {scorecard.tool.version}",
        "",
        "Read every step before you run it, and try it on a copy first. pgsurveyor has run nothing of this.",
        f"{_count(runs, 'step runs as it stands', 'steps run as they stand')}; "
        f"{_count(len(steps) - runs, 'is a comment that says why: it needs', 'are comments that say why: they need')} a plan.",
    ]
    if left_out:
        lines.append(
            f"{_count(left_out, 'finding that was waived or disputed is', 'findings that were waived or disputed are')} left out."
        )
    lines += [
        "",
        "psql -X -v ON_ERROR_STOP=1 -f fixes.sql, without --single-transaction: CONCURRENTLY works only outside of one.",
        "It stops at the first error. An index that fails half-way stays behind as invalid: drop it CONCURRENTLY before "
        "the next try.",
        "ALTER SYSTEM holds for this node alone: run those for each standby too. What changes the schema belongs into a "
        "migration as well, or the next review tells of drift.",
    ]
    comment = "\n".join(_comment(line) for line in lines)
    return f"{comment}\n\nSET lock_timeout = '{LOCK_TIMEOUT}';\nSET statement_timeout = 0;"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _step(number: int, step: Step) -> str:
    fix = step.findings[0].fix if step.advised is None else _advised_fix(step.advised)
    lines = [_comment(f"{number}. {fix.summary}")]
    for finding in step.findings:
        place = f" ({finding.locations[0].path}:{finding.locations[0].line})" if finding.locations else ""
        place = "" if place in finding.title else place
        lines.append(_comment(f"{finding.severity} {finding.id}: {finding.title}{place}", INDENT))
        if finding.decision and finding.decision.kind in ("accept", "follow-up"):
            owner, due = finding.decision.owner, finding.decision.due
            words = f"{f' owner {owner}' if owner else ''}{f' due {due}' if due else ''}"
            lines.append(_comment(f"Decided: {finding.decision.kind}{words}", INDENT))
    lock = fix.lock or "none on a table"
    lines.append(_comment(f"Lock: {lock}{'; rewrites the table' if fix.rewrites else ''}", INDENT))
    if step.refused:
        lines += [_comment(f"Not run: {step.refused}", INDENT), _commented(step.sql)]
    else:
        lines.append("\n".join(f"{text};" for text, _ in split_statements(step.sql)))
    if fix.undo:
        lines.append(_commented(f"Undo: {fix.undo}"))
    return "\n".join(lines)


def _advised_fix(entry: AdvisedIndexEntry) -> FixAdvice:
    summary = (
        f"Chosen for the whole workload: serves {serves_words(entry)}, predicted size {bytes_in_words(entry.bytes)}."
    )
    lock = "SHARE UPDATE EXCLUSIVE" if " INDEX CONCURRENTLY " in entry.sql.partition("\n")[0] else "SHARE"
    return FixAdvice(summary, entry.sql, lock, rewrites=False, undo=entry.undo)


def _comment(words: str, indent: str = "") -> str:
    """Lines of a comment, whatever is in the words."""
    lines = textwrap.wrap(visible_line(words, LONGEST_WORDS), WIDTH - 3 - len(indent), break_on_hyphens=False)
    return "\n".join(f"-- {indent}{line}" for line in lines) or "--"


def _commented(sql: str) -> str:
    """Every line of it as a comment."""
    return "\n".join(f"--   {line}".rstrip() for line in re.split(r"\r\n|\r|\n", visible(sql, None)))
