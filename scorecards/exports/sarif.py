"""SARIF 2.1.0 as GitHub's code scanning takes it: findings with a place in a file, and a fingerprint of our own.

A finding about the database alone points at the configuration file, because a result without a file is not shown at all.
"""

from __future__ import annotations

import hashlib
from typing import Any

from checks.configuration import FILE_NAME
from checks.registry import all_checks
from checks.text import visible
from scorecards.exports.json import dumps
from scorecards.exports.proving import changes, proof_words
from scorecards.model import FindingEntry, Scorecard

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "note": "note"}
PROBLEMS = {
    "critical": "error",
    "high": "error",
    "medium": "warning",
    "low": "recommendation",
    "note": "recommendation",
}
LONGEST_RULE_TEXT = 1_024
_UNRESERVED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/")


def render(scorecard: Scorecard) -> str:
    """No security-severity is set: it would turn advice into security alerts. What was waived is suppressed."""
    used = sorted({finding.check for finding in scorecard.findings})
    index = {check: number for number, check in enumerate(used)}
    titles = {check.id: check.title for check in scorecard.checks}
    environment = scorecard.target.database.name if scorecard.target.database else "repository"
    run = {
        "tool": {
            "driver": {
                "name": scorecard.tool.name,
                "version": scorecard.tool.version,
                "rules": [_rule(check, titles.get(check) or check, scorecard) for check in used],
            }
        },
        "automationDetails": {"id": f"pgsurveyor/{visible(environment).replace('/', '_')}/{scorecard.as_of}"},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, index) for finding in scorecard.findings],
    }
    return dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(check: str, title: str, scorecard: Scorecard) -> dict[str, Any]:
    known = all_checks().get(check)
    first = next(finding for finding in scorecard.findings if finding.check == check)
    why = known.why if known else first.why or title
    fix = known.fix if known else first.fix.summary or title
    return {
        "id": check,
        "shortDescription": {"text": title[:LONGEST_RULE_TEXT]},
        "fullDescription": {"text": why[:LONGEST_RULE_TEXT]},
        "help": {"text": f"{why}\n\nFix: {fix}"},
        "defaultConfiguration": {"level": LEVELS[first.severity]},
        "properties": {
            "precision": "very-high" if first.confidence == "measured" else "medium",
            "problem.severity": PROBLEMS[first.severity],
            "tags": [first.area],
        },
    }


def _result(finding: FindingEntry, index: dict[str, int]) -> dict[str, Any]:
    places = [(place.path, place.line) for place in finding.locations] or [(FILE_NAME, 1)]
    result: dict[str, Any] = {
        "ruleId": finding.check,
        "ruleIndex": index[finding.check],
        "level": LEVELS[finding.severity],
        "message": {"text": _plain(_message(finding))},
        "locations": [
            {"physicalLocation": {"artifactLocation": {"uri": _uri(path)}, "region": {"startLine": line}}}
            for path, line in places[:1]
        ],
        "partialFingerprints": {"primaryLocationLineHash": _fingerprint(finding)},
    }
    if finding.decision and finding.decision.kind == "waive":
        result["suppressions"] = [{"kind": "external", "justification": _plain(finding.decision.reason or "waived")}]
    return result


def _message(finding: FindingEntry) -> str:
    """What it is, what to do, and what became of that in a shadow."""
    words = f"{finding.title}. {finding.fix.summary}"
    if finding.proof is None:
        return words
    lines = [proof_words(finding.proof), *(f"- {line}" for line in changes(finding.proof))]
    return f"{words}\n\n" + "\n".join(lines)


def _fingerprint(finding: FindingEntry) -> str:
    """Of the rule and the object: the line's own hash would collide where two objects are created on one line."""
    return hashlib.sha256(f"{finding.check}|{finding.id}".encode()).hexdigest()


def _plain(text: str) -> str:
    """SARIF messages read `[text](n)` as links to locations."""
    return visible(text).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")


def _uri(path: str) -> str:
    """A relative reference; a colon in the first segment would make it an absolute one."""
    encoded = path.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if chr(byte) in _UNRESERVED else f"%{byte:02X}" for byte in encoded)
