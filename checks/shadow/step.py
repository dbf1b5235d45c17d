"""The shadow's part of a review: made once the target is observed, it proves the fixes, and is gone again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from checks.advice import Advice
from checks.checklist import run_checks
from checks.errors import TargetError
from checks.evidence.database.facts import Catalog
from checks.evidence.database.session import Cancelled, ConnectionLost
from checks.evidence.evidence import Evidence
from checks.model import Finding, Reason, Unobserved
from checks.shadow.blueprint import Blueprint
from checks.shadow.trials import trials

if TYPE_CHECKING:
    from checks.shadow.clone import Shadow

# A clone of so many tables takes about half a minute, and pg_dump locks each of them for that long.
MAXIMUM_TABLES = 3_000
CANCELLED = Unobserved(Reason.NOT_RUN, "the review was cancelled before: run it again")
NOTHING_TO_PROVE = Unobserved(Reason.NOT_RUN, "no finding's fix creates or drops an index")
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
    """The evidence with a proof of every fix that can be tried, or the reason why there is none; before, with the indexes that
    are best within `index_budget` bytes, if one is given. `source` is a DSN, or what was read of the target before. Where nothing
    is to be tried, nothing of the target is read."""
    tell = progress or (lambda _: None)
    if evidence.find(Catalog) is None or (cancelled is not None and cancelled.is_set()):
        return evidence
    from checks.shadow.advisor import advise
    from checks.shadow.proof import asked, prove

    def without(gap: Unobserved) -> Evidence:
        if index_budget is None or evidence.find(Advice) is not None:
            return msgspec.structs.replace(evidence, proofs=gap)
        return msgspec.structs.replace(evidence, proofs=gap, advice=gap)

    if not asked(evidence):
        return without(NO_STATEMENT)
    if len(evidence.get(Catalog).tables) > MAXIMUM_TABLES:
        return without(TOO_MANY_TABLES)
    if index_budget is None and not trials(_findings(evidence)):
        return without(NOTHING_TO_PROVE)
    try:
        with _shadow(source, evidence, programs, tell, cancelled) as shadow:
            if index_budget is not None:
                advice = advise(shadow, evidence, budget_bytes=index_budget, progress=tell, cancelled=cancelled)
                evidence = msgspec.structs.replace(evidence, advice=advice)
            proofs = prove(shadow, evidence, _findings(evidence), progress=tell, cancelled=cancelled)
            return msgspec.structs.replace(evidence, proofs=proofs)
    except Cancelled:
        return without(CANCELLED)
    except ConnectionLost:
        return without(NOT_READ)
    except TargetError as error:
        return without(Unobserved(Reason.NO_SHADOW, f"no shadow: {error}" + (f"; {error.hint}" if error.hint else "")))


def _shadow(
    source: str | Blueprint,
    evidence: Evidence,
    programs: Path | None,
    progress: Callable[[str], None],
    cancelled: threading.Event | None,
) -> Shadow:
    from checks.shadow.clone import Shadow

    if isinstance(source, Blueprint):
        return Shadow.of_blueprint(source, evidence, programs=programs, progress=progress)
    return Shadow.of_target(source, evidence, programs=programs, progress=progress, cancelled=cancelled)


def _findings(evidence: Evidence) -> list[Finding]:
    return [finding for result in run_checks(evidence) for finding in result.findings]
