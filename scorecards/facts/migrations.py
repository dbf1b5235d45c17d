"""Facts about how the schema is changed that decide criteria."""

from __future__ import annotations

from checks.evidence.database.facts import Settings
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.model import NotApplicable, Unknown
from checks.schema.migration_review import Review
from checks.settings import milliseconds
from scorecards.facts.verdict import Verdict, absent, listed, met, undecided, unmet
from scorecards.rubric import Strength

_PATIENCE_MS = 5_000


def ddl_guarded(evidence: Evidence) -> Verdict:
    """A linter of migrations in continuous integration, and a lock_timeout of 5 s or less where they run. A timeout in code is
    taken as it is; that nothing of either is to be seen is no proof that there is none."""
    repository = evidence.get(Repository)
    linters = sorted({fact.detail for fact in repository.deployment if fact.kind == "migration_lint"})
    settings = evidence.find(Settings)
    roles = ["", *(settings.login_roles if settings else ())]
    patience = [value for role in roles if settings and (value := milliseconds(settings, "lock_timeout", role))]
    short = any(0 < value <= _PATIENCE_MS for value in patience)
    named = [f"{place.path}:{place.line}" for place in repository.timeouts]
    bounded = any(step.bounded for file in repository.migrations for step in file.steps)
    if linters and (short or named or bounded):
        where = "a role or the server" if short else listed(named) if named else "the migrations"
        return met(f"{listed(linters)} in CI, lock_timeout set by {where}", Strength.INFERRED)
    if linters:
        return undecided(f"{listed(linters)} in CI, no lock_timeout seen")
    patient = "lock_timeout is set, and" if short or named or bounded else "no lock_timeout and"
    return undecided(f"{patient} no linter of migrations seen")


def backfills_in_batches(evidence: Evidence) -> Verdict:
    """New migrations that change a whole table that is not small in one statement. That there is none now proves nothing."""
    try:
        review = Review(evidence)
    except NotApplicable as absence:
        return absent(str(absence))
    except Unknown as unseen:
        return undecided(f"the migrations could not be judged ({unseen.gap.reason.value.replace('_', ' ')})")
    limit = evidence.limit("migration_rows")
    at_once = [
        change.file.path
        for change in review.changes
        if any((change.rows(step) or 0) >= limit for step in change.steps("update", "delete", "insert_select"))
    ]
    if at_once:
        return unmet(f"one statement for a whole table: {listed(at_once)}", Strength.INFERRED)
    return undecided("no new migration changes a large table in one statement")
