"""Which migrations are worth a look: those that this database does not have yet, and those of the last commits."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator

from checks.evidence.database.facts import Catalog, Table
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import MigrationFile, MigrationStep, Repository
from checks.evidence.repository.files import is_test
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Reason,
    Severity,
    Subject,
    Unknown,
    Unobserved,
    qualified_name,
)
from checks.relations import estimated_rows
from checks.schema.lineages import Fit, fit_of

SHOWN = 10
_NUMBERED = re.compile(r"\d")
_LOWER = {Severity.HIGH: Severity.MEDIUM, Severity.MEDIUM: Severity.LOW, Severity.LOW: Severity.NOTE}
_UNSHALLOW = Unobserved(Reason.REPO_NOT_GIVEN, "git fetch --unshallow, to tell new migrations from old ones")


class Change:
    """A migration to be looked at. `pending`: the database does not have it yet; None without a database."""

    def __init__(self, review: Review, file: MigrationFile, pending: bool | None) -> None:
        self.review, self.file, self.pending = review, file, pending

    def steps(self, *kinds: str) -> list[MigrationStep]:
        """Its steps of those kinds, but for those on tables that nobody uses yet."""
        return [step for step in self.file.steps if step.kind in kinds and not self.is_new(step)]

    def is_new(self, step: MigrationStep) -> bool:
        return step.fresh or self.review.is_new(self, step.table)

    def rows(self, step: MigrationStep) -> float | None:
        """Rows of the table here; None without a database, or where they are not known."""
        table = self.review.table(self.file, step.table)
        return estimated_rows(self.review.evidence, table) if table else None

    def severity(self, steps: Iterable[MigrationStep]) -> Severity:
        """By the largest table. What is done already weighs one step less; without a database nothing is known."""
        if self.pending is None:
            return Severity.LOW
        known = [rows for step in steps if (rows := self.rows(step)) is not None]
        rows = max(known, default=0)
        evidence = self.review.evidence
        severity = Severity.HIGH if rows >= evidence.limit("migration_rows_high") else Severity.MEDIUM
        severity = severity if rows >= evidence.limit("migration_rows") else Severity.LOW
        return severity if self.pending else _LOWER[severity]

    def tables(self, steps: Iterable[MigrationStep]) -> str:
        """Their tables, in words."""
        return some(list(dict.fromkeys(qualified_name(*step.table) for step in steps if step.table)))

    def finding(
        self,
        steps: list[MigrationStep],
        title: str,
        fix: Fix,
        *,
        severity: Severity | None = None,
        observed: dict[str, object] | None = None,
    ) -> Finding:
        """One for the file."""
        tables = list(dict.fromkeys(qualified_name(*step.table) for step in steps if step.table))
        rows = {qualified_name(*step.table): self.rows(step) for step in steps if step.table}
        told: dict[str, object] = {
            "tables": tables[:SHOWN],
            "rows": {name: round(count) for name, count in rows.items() if count is not None},
            "applied": None if self.pending is None else not self.pending,
            "commit": self.file.commit,
        }
        return Finding(
            Subject("file", (self.file.path,)),
            title,
            self._timely(fix),
            severity=severity or self.severity(steps),
            confidence=Confidence.INFERRED,
            observed={**told, **(observed or {})},
            locations=tuple(dict.fromkeys(step.location for step in steps))[:SHOWN],
        )

    def _timely(self, fix: Fix) -> Fix:
        """What is done already is done: only the next migration can do it better, and no SQL is to be run here."""
        return Fix(f"This one has run; do it in the next: {fix.summary}") if self.pending is False else fix


def some(names: list[str], shown: int = 3) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


class Review:
    """The migrations of a repository, and what the database says of them. Raises NotApplicable where there are none, Unknown
    where nothing tells which of them are new."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.repository = evidence.get(Repository)
        self.catalog = evidence.find(Catalog)
        by_folder: dict[tuple[str, str], list[MigrationFile]] = {}
        for file in self.repository.migrations:
            if not is_test(file.path):
                by_folder.setdefault((file.tool, file.folder), []).append(file)
        self.series = {key: files for key, files in by_folder.items() if _is_series(files)}
        if not self.series:
            raise NotApplicable("the repository has no series of migrations")
        self.fits: dict[tuple[str, str], Fit | None] = {}
        self.changes: list[Change] = []
        self.total = self.unknown = 0
        for key, files in self.series.items():
            self._look(key, files)
        if not self.changes and self.unknown:
            raise Unknown(_UNSHALLOW.reason, _UNSHALLOW.unlock)

    def _look(self, key: tuple[str, str], files: list[MigrationFile]) -> None:
        lineage = next((each for each in self.repository.lineages if (each.tool, each.folder) == key), None)
        fit = fit_of(lineage, self.catalog) if lineage and self.catalog else None
        if fit is not None and fit.found < self.evidence.limit("lineage_share") * len(fit.declared):
            return
        if self.catalog is not None and fit is None:
            return
        self.fits[key] = fit
        newest = self._last_applied(fit, files) if fit else None
        for file in files:
            self.total += 1
            pending = file.order > newest if newest is not None else None
            recent = self._is_recent(file)
            if pending or recent:
                self.changes.append(Change(self, file, pending))
            elif recent is None and pending is not False:
                self.unknown += 1
            elif recent is None:
                self.total -= 1

    def _is_recent(self, file: MigrationFile) -> bool | None:
        """Whether one of the last commits brought it; None where git does not tell."""
        commits = self.evidence.limit("migration_commits")
        history = self.repository.history
        if not file.committed:
            return True
        if file.commits_ago is not None:
            return file.commits_ago < commits
        if history is None:
            return None
        return False if history.complete or history.commits >= commits else None

    def _last_applied(self, fit: Fit, files: list[MigrationFile]) -> int:
        """The order of the last migration of which anything is in the database; the very last where no later one misses."""
        votes = {
            file.order: [vote for step in file.steps if (vote := self._is_here(step, fit)) is not None]
            for file in files
        }
        applied = max((order for order, found in votes.items() if True in found), default=-1)
        missing = any(False in found for order, found in votes.items() if order > applied)
        return applied if missing else files[-1].order

    def _is_here(self, step: MigrationStep, fit: Fit) -> bool | None:
        """Whether what the step did can be seen in the database; None where it can't be told, or where a later one undid it."""
        if (
            self.catalog is None
            or not step.table
            or not fit.is_certain(*step.table[-1:], *([step.name] if step.name else []))
        ):
            return None
        path = fit.path(*step.table) if len(step.table) == 2 else ("", "")
        declared, live = fit.declared.get(path), self.catalog.table_by_name.get(path)
        if step.kind == "create_table":
            return live is not None if declared else None
        if step.kind == "drop_table":
            return live is None if not declared else None
        if declared is None or live is None:
            return None
        columns = {column.name: column for column in declared.columns}
        found = self.catalog.column_names.get(live.oid, {})
        if step.kind.startswith("add_") and step.kind.endswith(("column", "default")):
            return step.name in found if step.name in columns else None
        if step.kind == "drop_column":
            return step.name not in found if step.name not in columns else None
        if step.kind == "rename_column":
            return step.name in found if step.name in columns else None
        if step.kind == "set_not_null" and step.name in columns and step.name in found:
            return found[step.name].not_null if columns[step.name].not_null else None
        if step.kind in ("create_index", "drop_index") and step.name:
            known = any(index.name == step.name for index in declared.indexes)
            here = (path[0], step.name) in self.catalog.taken_names
            return here == known if known == (step.kind == "create_index") else None
        if step.kind in ("add_foreign_key", "add_not_valid", "add_key", "add_check", "add_exclusion") and step.name:
            named = any(entry.name == step.name for entry in declared.constraints)
            here = any(entry.name == step.name for entry in self.catalog.constraints_of(live.oid))
            return here if named else None
        return None

    def table(self, file: MigrationFile, path: tuple[str, ...]) -> Table | None:
        """The live table that a step is about."""
        fit = self.fits.get((file.tool, file.folder))
        if self.catalog is None or len(path) != 2:
            return None
        return self.catalog.table_by_name.get(fit.path(*path) if fit else (path[0], path[1]))

    def is_new(self, change: Change, path: tuple[str, ...]) -> bool:
        """Whether the table comes with the same change: it is not there yet, or the same commit made it."""
        if not path:
            return False
        if self.catalog is not None and self.table(change.file, path) is None:
            return True
        return any(
            step.kind == "create_table" and step.table == path
            for file in self.series[(change.file.tool, change.file.folder)]
            if file.commit == change.file.commit and file.committed == change.file.committed
            and file.order < change.file.order and (file.commit is not None or not file.committed)
            for step in file.steps
        )  # fmt: skip

    def examined(self, failing: Collection[Finding] = ()) -> Examined:
        looked = self.total - self.unknown
        return Examined(looked, self.total, "migrations", _UNSHALLOW if self.unknown else None, unmet=len(failing))


def reviewed(evidence: Evidence, judge: Callable[[Change], Iterable[Finding]]) -> Iterator[Finding | Examined]:
    """What `judge` finds in each migration that is worth a look, and how many those are."""
    review = Review(evidence)
    found = [finding for change in review.changes for finding in judge(change)]
    yield from found
    yield review.examined({finding.subject.path: finding for finding in found}.values())


def _is_series(files: list[MigrationFile]) -> bool:
    """Scripts without a number beside each other are a choice, and no series."""
    if files[0].tool != "sql":
        return True
    return len(files) > 1 and all(_NUMBERED.search(file.path.rpartition("/")[2]) for file in files)
