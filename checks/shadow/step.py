"""The shadow's part of a review: made once the target is observed, it proves the fixes, grows, and is gone again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from checks.advice import Advice
from checks.checklist import Selection, run_checks
from checks.errors import TargetError
from checks.evidence.database.facts import Catalog, Server, Statements
from checks.evidence.database.session import Cancelled, ConnectionLost
from checks.evidence.evidence import Evidence
from checks.model import Finding, Reason, Unobserved
from checks.shadow.blueprint import Blueprint
from checks.shadow.trials import AREAS, trials

if TYPE_CHECKING:
    from checks.shadow.clone import Shadow
    from checks.shadow.prepared import Prepared

# A clone of so many tables takes about half a minute, and pg_dump locks each of them for that long.
MAXIMUM_TABLES = 3_000
GROWN_STATEMENTS = 60
GROWN_S = 15.0
NOTHING_TO_TRY = Unobserved(Reason.NOT_RUN, "no statement ran, and no finding's fix creates or drops an index")
CANCELLED = Unobserved(Reason.NOT_RUN, "the review was cancelled before: run it again")
NO_STATEMENT = Unobserved(Reason.NOT_RUN, "no statement is known whose plan a fix could change")
TOO_MANY_TABLES = Unobserved(
    Reason.NO_SHADOW, f"a database of more than {MAXIMUM_TABLES:,} tables is not cloned within the time of a review"
)
NOT_READ = Unobserved(Reason.CONNECTION_LOST, "the connection was lost: run again when it holds")


def with_proofs(
    evidence: Evidence,
    source: str | Blueprint,
    *,
    index_budget: int | None = None,
    programs: Path | None = None,
    progress: Callable[[str], None] | None = None,
    cancelled: threading.Event | None = None,
) -> Evidence:
    """The evidence with a proof of every fix that can be tried, or the reason why there is none, and with the growth of the
    costliest statements; before, with the indexes that are best within `index_budget` bytes, if one is given. `source` is a
    DSN, or what was read of the target before. Where nothing is to be tried, nothing of the target is read."""
    tell = progress or (lambda _: None)
    if evidence.find(Catalog) is None or (cancelled is not None and cancelled.is_set()):
        return evidence
    from checks.shadow.advisor import advise
    from checks.shadow.prepared import Prepared
    from checks.shadow.proof import asked, prove

    def without(gap: Unobserved) -> Evidence:
        if index_budget is None or evidence.find(Advice) is not None:
            return msgspec.structs.replace(evidence, proofs=gap)
        return msgspec.structs.replace(evidence, proofs=gap, advice=gap)

    if not asked(evidence):
        return without(NO_STATEMENT)
    if len(evidence.get(Catalog).tables) > MAXIMUM_TABLES:
        return without(TOO_MANY_TABLES)
    grows = bool((known := evidence.find(Statements)) and known.entries)
    if index_budget is None and not grows and not any(not trial.unprovable for trial in trials(_findings(evidence))):
        return without(NOTHING_TO_TRY)
    major = source.major if isinstance(source, Blueprint) else evidence.get(Server).major
    try:
        with Prepared(major, programs) as prepared:
            findings = _findings(evidence) if index_budget is None else []
            with _shadow(source, evidence, prepared, programs, tell, cancelled) as shadow:
                if index_budget is not None:
                    advice = advise(shadow, evidence, budget_bytes=index_budget, progress=tell, cancelled=cancelled)
                    evidence = msgspec.structs.replace(evidence, advice=advice)
                    findings = _findings(evidence)
                proofs = prove(shadow, evidence, findings, progress=tell, cancelled=cancelled)
                evidence = msgspec.structs.replace(evidence, proofs=proofs)
                return _grown(shadow, evidence, tell, cancelled)
    except Cancelled:
        return without(CANCELLED)
    except ConnectionLost:
        return without(NOT_READ)
    except TargetError as error:
        return without(Unobserved(Reason.NO_SHADOW, f"no shadow: {error}" + (f"; {error.hint}" if error.hint else "")))


def _grown(
    shadow: Shadow, evidence: Evidence, progress: Callable[[str], None], cancelled: threading.Event | None
) -> Evidence:
    """With the costliest statements planned at other sizes; `pgsurveyor grow` plans more of them, and takes its time."""
    from checks.shadow.growth import grow

    growth = grow(
        shadow,
        evidence,
        statements_at_most=GROWN_STATEMENTS,
        within_s=GROWN_S,
        progress=progress,
        cancelled=cancelled,
    )
    return msgspec.structs.replace(evidence, growth=growth) if len(growth.factors) > 1 else evidence


def _shadow(
    source: str | Blueprint,
    evidence: Evidence,
    prepared: Prepared,
    programs: Path | None,
    progress: Callable[[str], None],
    cancelled: threading.Event | None,
) -> Shadow:
    from checks.shadow.clone import Shadow

    if isinstance(source, Blueprint):
        return Shadow.of_blueprint(source, evidence, prepared=prepared, progress=progress)
    return Shadow.of_target(
        source, evidence, programs=programs, prepared=prepared, progress=progress, cancelled=cancelled
    )


def _findings(evidence: Evidence) -> list[Finding]:
    """Of the areas whose fixes are tried."""
    return [finding for result in run_checks(evidence, Selection(only=AREAS)) for finding in result.findings]
