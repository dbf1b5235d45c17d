"""Evidence: everything a review knows of its target, observed once, immutable, saved with the review."""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from typing import TypeVar

import msgspec

from checks.advice import Advice
from checks.configuration import Configuration
from checks.evidence.database.facts import (
    Access,
    Activity,
    Catalog,
    Earlier,
    Embeddings,
    FreezeAges,
    GivenPlans,
    Host,
    PlannerStatistics,
    Plans,
    Pooler,
    Rates,
    Recall,
    Replica,
    Replication,
    RowSamples,
    Server,
    Settings,
    Statements,
    Usage,
)
from checks.evidence.repository.facts import Repository
from checks.figures import days_in_words
from checks.growth import Growth
from checks.model import Location, Reason, Subject, Unknown, Unobserved
from checks.proofs import Proofs

FORMAT = 1

Section = TypeVar("Section")

NO_DATABASE = Unobserved(Reason.DATABASE_NOT_GIVEN, "give a DSN")
NOT_WATCHED = Unobserved(Reason.NOT_OPTED_IN, "--watch SECONDS looks twice and tells rates")
NOT_MEASURED = Unobserved(
    Reason.NOT_OPTED_IN, "--measure-recall searches a sample of stored vectors, exactly and by the index"
)
NOT_SAMPLED = Unobserved(
    Reason.NOT_OPTED_IN, "--read-rows looks at up to 1,000 rows of each table, on the server, and keeps no value"
)
NOT_GROWN = Unobserved(
    Reason.NO_SHADOW, "`pgsurveyor grow` plans the statements at 10, 100 and 1,000 times the size, in a shadow"
)
NOT_PROVEN = Unobserved(Reason.NO_SHADOW, "fixes are tried in a shadow unless --no-shadow is given")
NOT_ADVISED = Unobserved(
    Reason.NOT_OPTED_IN, "--index-budget SIZE chooses new indexes for the whole workload, in a shadow"
)
NOT_THEN_OBSERVED = Unobserved(Reason.NOT_RUN, "this evidence was collected before this was observed: collect it again")
NO_POOLER = Unobserved(Reason.NOT_OPTED_IN, "--pooler DSN reads PgBouncer's console")
NO_PLANS_GIVEN = Unobserved(
    Reason.NOT_OPTED_IN,
    "--analyze runs statements that you say yes to; --plan FILE reads plans of EXPLAIN (ANALYZE, BUFFERS) or auto_explain's log",
)
NO_EARLIER_REVIEW = Unobserved(
    Reason.WINDOW_TOO_SHORT,
    "no earlier review of this database is saved here: review it again later; --watch compares this minute with ever",
)
NO_REPOSITORY = Unobserved(Reason.REPO_NOT_GIVEN, "give the path of the application's repository")


class Effort(msgspec.Struct, frozen=True):
    """What observing cost the server: statements sent, and time it spent on them as seen from here (milliseconds)."""

    statements: int = 0
    server_ms: float = 0.0


class Evidence(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One section per kind of fact; a section that could not be observed is an `Unobserved` with the reason."""

    format: int = FORMAT
    tool_version: str
    observed_at: dt.datetime
    server: Server | Unobserved = NO_DATABASE
    catalog: Catalog | Unobserved = NO_DATABASE
    planner_statistics: PlannerStatistics | Unobserved = NO_DATABASE
    access: Access | Unobserved = NOT_THEN_OBSERVED
    usage: Usage | Unobserved = NO_DATABASE
    statements: Statements | Unobserved = NO_DATABASE
    plans: Plans | Unobserved = NO_DATABASE
    given_plans: GivenPlans | Unobserved = NO_PLANS_GIVEN
    settings: Settings | Unobserved = NO_DATABASE
    activity: Activity | Unobserved = NO_DATABASE
    freeze_ages: FreezeAges | Unobserved = NO_DATABASE
    replication: Replication | Unobserved = NO_DATABASE
    host: Host | Unobserved = NOT_THEN_OBSERVED
    pooler: Pooler | Unobserved = NO_POOLER
    rates: Rates | Unobserved = NOT_WATCHED
    earlier: Earlier | Unobserved = NO_EARLIER_REVIEW
    embeddings: Embeddings | Unobserved = NOT_THEN_OBSERVED
    recall: Recall | Unobserved = NOT_MEASURED
    row_samples: RowSamples | Unobserved = NOT_SAMPLED
    growth: Growth | Unobserved = NOT_GROWN
    proofs: Proofs | Unobserved = NOT_PROVEN
    advice: Advice | Unobserved = NOT_ADVISED
    replicas: tuple[Replica, ...] = ()
    unreached_replicas: tuple[str, ...] = ()
    repository: Repository | Unobserved = NO_REPOSITORY
    configuration: Configuration = Configuration()
    effort: Effort = Effort()
    notices: tuple[str, ...] = ()

    def get(self, section: type[Section]) -> Section:
        """The section of that type. Raises Unknown with its reason where it could not be observed."""
        value = getattr(self, SECTIONS[section])
        if isinstance(value, Unobserved):
            raise Unknown(value.reason, value.unlock)
        return value  # type: ignore[no-any-return]  # SECTIONS ties the type to the attribute

    def find(self, section: type[Section]) -> Section | None:
        """The section of that type, or None where it could not be observed."""
        value = getattr(self, SECTIONS[section])
        return None if isinstance(value, Unobserved) else value

    def gap(self, section: type) -> Unobserved | None:
        """Why that section could not be observed; None if it was."""
        value = getattr(self, SECTIONS[section])
        return value if isinstance(value, Unobserved) else None

    def limit(self, name: str) -> float:
        """The threshold of that name in force (checks.limits)."""
        return self.configuration.limit(name)

    def require_window(self, limit: str, since: dt.datetime | None = None) -> float:
        """Days that the cumulative statistics cover: since the server's reset or start, and not before `since`.

        Raises Unknown(window_too_short) if that is less than the threshold of that name. An override of `window_days`
        below a threshold caps it, so that one line in pgsurveyor.toml is enough.
        """
        server = self.get(Server)
        days = server.statistics_window_days
        if since is not None:
            shorter = max(0.0, (server.observed_at - since).total_seconds() / 86400)
            days = shorter if days is None else min(days, shorter)
        needed = self.limit(limit)
        if any(override.name == "window_days" for override in self.configuration.overrides):
            needed = min(needed, self.limit("window_days"))
        if days is None or days < needed:
            raise Unknown(
                Reason.WINDOW_TOO_SHORT,
                f"statistics cover {days_in_words(days)}, {needed:g} days are needed: run again later, "
                f"or set window_days under [limits] in pgsurveyor.toml",
            )
        return days

    @cached_property
    def _declared(self) -> dict[Subject, tuple[Location, ...]]:
        repository = self.find(Repository)
        found: dict[Subject, tuple[Location, ...]] = {}
        for entry in repository.declared if repository else ():
            known = found.get(entry.subject, ())
            found[entry.subject] = (*known, entry.location) if entry.action == "create" else (entry.location, *known)
        return found

    def locations(self, subject: Subject) -> tuple[Location, ...]:
        """Where the repository created or changed that object; for a column, constraint or index not named there, its table."""
        if found := self._declared.get(subject):
            return found
        if subject.kind in {"column", "constraint", "policy", "trigger"} and len(subject.path) == 3:
            return self._declared.get(Subject("table", subject.path[:2]), ())
        if subject.kind == "function":
            # The catalog names parameters, migrations are read for their types: without an overload that makes no difference.
            same = [found for other, found in self._declared.items()
                    if other.kind == "function" and other.path[:2] == subject.path[:2]]  # fmt: skip
            return same[0] if len(same) == 1 else ()
        return ()

    def commit(self, subject: Subject) -> str | None:
        """The short id of the commit that brought that object, or the table that it is part of; None where git does not tell."""
        found: dict[Subject, str | None] = vars(self).setdefault("_commits", {})
        if not found:
            repository = self.find(Repository)
            for entry in repository.declared if repository else ():
                if entry.action == "create":
                    found.setdefault(entry.subject, entry.commit)
        return found.get(subject) or found.get(Subject("table", subject.path[:2]))

    @cached_property
    def statement_locations(self) -> dict[str, tuple[tuple[Location, str], ...]]:
        """Where in the code each statement of pg_stat_statements is sent from, and how it was matched, by query id."""
        repository = self.find(Repository)
        found: dict[str, tuple[tuple[Location, str], ...]] = {}
        for match in repository.matches if repository else ():
            found[match.query_id] = (*found.get(match.query_id, ()), (match.location, match.how))
        return found


SECTIONS: dict[type, str] = {
    Server: "server",
    Catalog: "catalog",
    PlannerStatistics: "planner_statistics",
    Access: "access",
    Usage: "usage",
    Statements: "statements",
    Plans: "plans",
    GivenPlans: "given_plans",
    Settings: "settings",
    Activity: "activity",
    FreezeAges: "freeze_ages",
    Replication: "replication",
    Host: "host",
    Pooler: "pooler",
    Rates: "rates",
    Earlier: "earlier",
    Embeddings: "embeddings",
    Recall: "recall",
    RowSamples: "row_samples",
    Growth: "growth",
    Proofs: "proofs",
    Advice: "advice",
    Repository: "repository",
}

DATABASE_SECTIONS = tuple(
    name
    for section, name in SECTIONS.items()
    if section not in (Repository, Growth, Proofs, Advice, GivenPlans, Earlier, Pooler)
)
