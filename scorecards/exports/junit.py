"""JUnit XML: a test case per criterion. Unmet fails, unknown and not applicable are skipped, a check in error is an error."""

from __future__ import annotations

import re
from xml.etree import ElementTree as xml

from checks.text import visible
from scorecards.model import CriterionStatus, Scorecard
from scorecards.rubric import load_rubric

# Not characters of XML 1.0, in whatever way they are written.
_NO_CHARACTER = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(scorecard: Scorecard) -> str:
    rubric = load_rubric(scorecard.rubric)
    root = xml.Element("testsuites", name="pgsurveyor")
    for area in scorecard.areas:
        counted = [entry for entry in area.criteria if not entry.provisional]
        suite = xml.SubElement(
            root,
            "testsuite",
            name=f"pgsurveyor.{area.area}",
            tests=str(len(counted)),
            failures=str(sum(entry.status == "unmet" for entry in counted)),
            errors=str(sum(_is_error(entry) for entry in counted)),
            skipped=str(sum(_is_skipped(entry) for entry in counted)),
        )
        for entry in counted:
            case = xml.SubElement(
                suite,
                "testcase",
                classname=f"pgsurveyor.{area.area}",
                name=f"{entry.id} {_text(entry.statement)}",
                time="0",
            )
            criterion = rubric.criterion(entry.id)
            if entry.status == "unmet":
                remedy = criterion.action if criterion else entry.statement
                failure = xml.SubElement(case, "failure", message=_text(remedy), type="unmet")
                failure.text = _text(entry.observed or "")
            elif _is_error(entry):
                xml.SubElement(case, "error", message="check_error", type="check_error")
            elif _is_skipped(entry):
                reason = entry.reason or "not_applicable"
                xml.SubElement(case, "skipped", message=_text(f"{reason}: {entry.unlock or entry.observed or ''}"))
    xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(root, encoding="unicode") + "\n"


def _is_error(entry: CriterionStatus) -> bool:
    return entry.reason == "check_error"


def _is_skipped(entry: CriterionStatus) -> bool:
    return entry.status in ("unknown", "not_applicable") and not _is_error(entry)


def _text(text: str) -> str:
    return _NO_CHARACTER.sub("", visible(text))
