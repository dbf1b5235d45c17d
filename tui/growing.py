"""`pgsurveyor grow`: observe, grow the shadow, keep the review, tell what breaks first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from platformdirs import user_config_path

from checks.checklist import Selection, run_checks
from checks.errors import TargetError, UsageError
from checks.evidence import store
from checks.evidence.database.facts import Catalog
from checks.evidence.database.session import ConnectionLost
from checks.evidence.evidence import Evidence
from checks.growth import Growth
from checks.shadow.blueprint import Blueprint
from scorecards.exports.growing import growth_page
from scorecards.session import Review
from tui.exits import write_result
from tui.unattended import gather, keep, report_problems, resolve_target

LARGEST_FACTOR = 1e6

Progress = Callable[[str], None] | None


def run_growth(options: dict[str, Any], progress: Progress) -> int:
    """The whole of `pgsurveyor grow`; the exit status."""
    factors = parse_factors(options["factors"])
    tables = parse_tables(options["tables"])
    if tables and options["factors"] == "1,10,100,1000":
        # What is asked for by table says itself how far it goes.
        highest = max(tables.values())
        factors = (*(factor for factor in factors if factor < highest), highest)
    observation = gather(
        {**options, "no_shadow": True, "redact_names": options["redact_names"] and options["evidence"] is not None},
        progress,
    )
    evidence = observation.evidence
    source = _source(options)
    if source is not None:
        evidence = _grown(options, source, evidence, factors, tables, progress)
    elif evidence.find(Growth) is None:
        raise UsageError("this evidence holds no growth", "collect --with-statistics keeps what a shadow is made of")
    review = Review.derived(evidence, run_checks(evidence, Selection()))
    keep(review)
    write_result(growth_page(review.scorecard()))
    return report_problems(observation.problems)


def _source(options: dict[str, Any]) -> str | Blueprint | None:
    """What the shadow is made of: the live target, or the statistics in the file; None for a file without them."""
    if options["evidence"] is not None:
        return None if options["redact_names"] else store.load_blueprint(options["evidence"])
    dsn = resolve_target(options).dsn
    if dsn is None:
        raise TargetError("there is no database to grow", "give a DSN that can be reached")
    return dsn


def _grown(
    options: dict[str, Any],
    source: str | Blueprint,
    evidence: Evidence,
    factors: Sequence[float],
    tables: dict[str, float],
    progress: Progress,
) -> Evidence:
    from checks.shadow.clone import Shadow
    from checks.shadow.growth import grow
    from checks.shadow.step import NOT_READ

    if evidence.find(Catalog) is None:
        raise TargetError("there is no database to grow", "give a DSN that can be reached")
    tell = progress or (lambda _: None)
    programs = options.get("pg_bin")
    try:
        made = (
            Shadow.of_blueprint(source, evidence, programs=programs, progress=tell)
            if isinstance(source, Blueprint)
            else Shadow.of_target(source, evidence, programs=programs, progress=tell)
        )
    except ConnectionLost as error:
        raise TargetError(NOT_READ.unlock) from error
    with made as shadow:
        growth = grow(shadow, evidence, factors=factors, asked=tables, budget_ms=options["budget"], progress=tell)
    evidence = msgspec.structs.replace(evidence, growth=growth)
    if options["redact_names"]:
        from checks.evidence.redaction import names_key, redact

        evidence = redact(evidence, names_key(user_config_path("pgsurveyor")))
    return store.decode(store.encode(evidence))


def parse_factors(text: str) -> tuple[float, ...]:
    """`1,10,100` in ascending order. Raises UsageError."""
    return tuple(sorted({_factor(part, "--factors") for part in text.split(",") if part.strip()}))


def parse_tables(texts: Sequence[str]) -> dict[str, float]:
    """`messages=100,users=10`. Raises UsageError."""
    found: dict[str, float] = {}
    for part in (part for text in texts for part in text.split(",") if part.strip()):
        name, sign, factor = part.strip().rpartition("=")
        if not sign or not name:
            raise UsageError(f"--grow {part!r} is not TABLE=K", "as in --grow messages=100,users=10")
        found[name.strip()] = _factor(factor, "--grow")
    return found


def _factor(text: str, option: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        raise UsageError(f"{option}: {text.strip()!r} is no number", "as in --factors 1,10,100,1000") from None
    if not 1 <= factor <= LARGEST_FACTOR:
        raise UsageError(
            f"{option}: {text.strip()} is not between 1 and {LARGEST_FACTOR:,.0f}", "tables grow, they do not shrink"
        )
    return factor
