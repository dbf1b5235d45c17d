"""The review as one HTML file: nothing is loaded, no script runs, light and dark, and it prints."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from checks.figures import bytes_in_words
from checks.model import Severity
from checks.text import visible
from scorecards.costs import OVERALL
from scorecards.exports import adr, advising, growing, proving, telling
from scorecards.exports.across import cost_words, link_words, money, of_server, takes, worth_telling
from scorecards.exports.drawing import area_bar, growth_curve, trend_line
from scorecards.exports.since import groups, verdict
from scorecards.maturity import HIGHEST
from scorecards.model import AreaScore, FindingEntry, Scorecard
from scorecards.rubric import load_rubric

MOVES = 5
SHOWN = 5
SHOWN_QUIET = 25


def render(scorecard: Scorecard) -> str:
    template = _environment().get_template("scorecard.html")
    return template.render(
        card=scorecard,
        highest=HIGHEST,
        moves=MOVES,
        shown=SHOWN,
        shown_quiet=SHOWN_QUIET,
        telling=telling,
        area_bar=area_bar,
        trend_line=trend_line,
        growing=growing,
        proving=proving,
        advising=advising,
        growth_curve=growth_curve,
        cost_words=lambda cost: cost_words(cost, scorecard.currency),
        money=lambda cost: money(cost, scorecard.currency),
        priced=any(entry.cost.money_per_month is not None for entry in scorecard.costs),
        overall=OVERALL,
        bytes_in_words=bytes_in_words,
        takes=takes,
        worth_telling=worth_telling,
        link_words=link_words,
        of_server=of_server,
        since_verdict=verdict,
        since_groups=groups,
        records=[(adr.path(number, record), record) for number, record in enumerate(adr.records(scorecard), 1)],
        actions={entry.id: entry.action for entry in load_rubric(scorecard.rubric).criteria},
        sources={entry.id: "; ".join(entry.sources) for entry in load_rubric(scorecard.rubric).criteria},
        found=_found(scorecard),
        counted=_counted,
        decided=[entry for entry in scorecard.findings if entry.decision and entry.decision.kind != "waive"],
        capital=lambda words: f"{words[:1].upper()}{words[1:]}",
    )


@cache
def _environment() -> Environment:
    """Every value is made visible and then escaped; what is missing is a defect, not an empty place."""
    return Environment(
        loader=PackageLoader("scorecards.exports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _shown(value: Any) -> Any:
    """Strings of the target may hold what a reader cannot see; markup of our own has been escaped already."""
    return visible(value, None) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _found(scorecard: Scorecard) -> list[tuple[str, str, list[tuple[str, list[FindingEntry]]]]]:
    """Of each area: its name, how many findings of which severity, and the findings by check, the worst check first."""
    titles = {check.id: check.title for check in scorecard.checks}
    areas = []
    for area in scorecard.areas:
        mine = [finding for finding in scorecard.findings if finding.area == area.area]
        counts = Counter(finding.severity for finding in mine)
        words = ", ".join(f"{counts[severity]} {severity}" for severity in Severity if counts[severity])
        by_check: dict[str, list[FindingEntry]] = {}
        for finding in mine:
            by_check.setdefault(finding.check, []).append(finding)
        if mine:
            areas.append((area.area, words, [(titles.get(check) or check, group) for check, group in by_check.items()]))
    return areas


def _counted(area: AreaScore) -> str:
    """`5 met, 3 unmet, 2 unknown`."""
    counts = Counter(entry.status for entry in area.criteria if not entry.provisional)
    return ", ".join(
        f"{counts[status]} {status.replace('_', ' ')}"
        for status in ("met", "unmet", "unknown", "not_applicable")
        if counts[status]
    )
