"""The shadow's part of a review: made once the target is observed, it proves the fixes, and is gone again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from checks.checklist import run_checks
from checks.errors import TargetError
from checks.evidence.database.facts import Catalog
from checks.evidence.database.session import Cancelled, ConnectionLost
from checks.evidence.evidence import Evidence
from checks.model import Reason, Unobserved
from checks.shadow.trials import trials

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
    dsn: str,
    *,
    programs: Path | None = None,
    progress: Callable[[str], None] | None = None,
    cancelled: threading.Event | None = None,
) -> Evidence:
    """The evidence with a proof of every fix that can be tried, or the reason why there is none. Where nothing is to be tried,
    nothing of the target is read."""
    tell = progress or (lambda _: None)
    if evidence.find(Catalog) is None or (cancelled is not None and cancelled.is_set()):
        return evidence
    from checks.shadow.clone import Shadow
    from checks.shadow.proof import asked, prove

    if not asked(evidence):
        return msgspec.structs.replace(evidence, proofs=NO_STATEMENT)
    if len(evidence.get(Catalog).tables) > MAXIMUM_TABLES:
        return msgspec.structs.replace(evidence, proofs=TOO_MANY_TABLES)
    findings = [finding for result in run_checks(evidence) for finding in result.findings]
    if not trials(findings):
        return msgspec.structs.replace(evidence, proofs=NOTHING_TO_PROVE)

    try:
        with Shadow.of_target(dsn, evidence, programs=programs, progress=tell, cancelled=cancelled) as shadow:
            return msgspec.structs.replace(
                evidence, proofs=prove(shadow, evidence, findings, progress=tell, cancelled=cancelled)
            )
    except Cancelled:
        return msgspec.structs.replace(evidence, proofs=CANCELLED)
    except ConnectionLost:
        return msgspec.structs.replace(evidence, proofs=NOT_READ)
    except TargetError as error:
        words = f"no shadow: {error}" + (f"; {error.hint}" if error.hint else "")
        return msgspec.structs.replace(evidence, proofs=Unobserved(Reason.NO_SHADOW, words))
