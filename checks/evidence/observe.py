"""Observe a target: the only part of a review that talks to the world."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from checks import __version__
from checks.configuration import Configuration, read_configuration
from checks.errors import ReviewError, TargetError
from checks.evidence import store
from checks.evidence.consent import Ask
from checks.evidence.database.facts import Catalog, Earlier, EarlierStatement, GivenPlans, Statements
from checks.evidence.database.meter import Meter
from checks.evidence.evidence import DATABASE_SECTIONS, NO_DATABASE, NO_REPOSITORY, Effort, Evidence
from checks.evidence.repository.facts import Repository
from checks.model import Reason, Unobserved

Progress = Callable[[str], None]

# Neither says where: a path or host of the reviewer's does not belong in evidence.
UNREADABLE_REPOSITORY = Unobserved(Reason.REPO_NOT_GIVEN, "the repository given could not be read: give one that can")
UNREACHED_DATABASE = Unobserved(
    Reason.CONNECTION_LOST, "the database given could not be reached: run again when it can"
)

NOBODY_TO_ASK = TargetError(
    "no statement was run: --analyze asks a person before each, and there is nobody to ask",
    "run it in a terminal, or give plans of EXPLAIN (ANALYZE, BUFFERS) with --plan FILE",
)


class Target(msgspec.Struct, frozen=True):
    """What to look at: a live database, an application's repository, or both. DSNs as the user wrote them.

    `pooler`: the console of a PgBouncer that stands in front. `watch_s`: look twice, so many seconds apart.
    `max_load`: stop where more sessions are active
    than the reviewer's own limit `active_sessions` allows, or wait for locks.
    `redact_names`: keep a hash instead of each name of the target's own.
    `cache`: keep what is read of the repository in the user's cache folder, for the next review of it.
    `measure_recall`: search a sample of stored vectors, exactly and by their indexes. `read_rows`: count the forms of values in
    a sample of each table's rows. `plans`: files with plans.
    `analyze`: run the costliest SELECTs once, each with a person's yes.
    `shadow`: try fixes in an embedded server, of the bin folder `programs` if one is given; not with names redacted.
    `index_budget`: choose new indexes for the whole workload there, of so many bytes together at most.
    """

    dsn: str | None = None
    repository: Path | None = None
    replicas: tuple[str, ...] = ()
    pooler: str | None = None
    watch_s: float = 0.0
    max_load: bool = False
    redact_names: bool = False
    cache: bool = False
    measure_recall: bool = False
    read_rows: bool = False
    plans: tuple[Path, ...] = ()
    analyze: bool = False
    shadow: bool = False
    programs: Path | None = None
    index_budget: int | None = None


class Observation(msgspec.Struct, frozen=True):
    """The evidence, and what was asked for but could not be reached or read. `interrupted`: the user ended it early."""

    evidence: Evidence
    problems: tuple[ReviewError, ...] = ()
    interrupted: bool = False


def now() -> dt.datetime:
    """The present, in whole seconds of UTC."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def observe(
    target: Target,
    *,
    user_folder: Path | None = None,
    progress: Progress | None = None,
    cancelled: threading.Event | None = None,
    clock: Callable[[], dt.datetime] = now,
    ask: Ask | None = None,
    meter: Meter | None = None,
    last: Callable[[Evidence], Evidence | None] | None = None,
) -> Observation:
    """Everything that can be seen of the target. `user_folder` holds the reviewer's own pgsurveyor.toml, and the key of hashes.
    `ask` gets the person's answer before a statement is run, if the target says `analyze`; without, none is run. `meter` counts
    what it costs the server while it does. `last` finds what the last review of the same database saw.

    Raises TargetError if nothing of what was asked for could be observed, UsageError for a mistake in the reviewer's own file,
    StoreError if names are to be redacted and there can be no key.
    """
    if not target.redact_names:
        seen = _with_plans(target, _observe(target, user_folder, progress, cancelled, clock, ask, meter))
        seen = _with_pooler(target, _with_earlier(seen, last))
        return _with_proofs(target, seen, progress, cancelled)
    from checks.evidence.redaction import names_key, redact

    key = names_key(user_folder)
    observation = _with_plans(target, _observe(target, user_folder, progress, cancelled, clock, ask, meter))
    observation = _with_pooler(target, _with_earlier(observation, last))
    return msgspec.structs.replace(observation, evidence=redact(observation.evidence, key))


def _with_proofs(
    target: Target, observation: Observation, progress: Progress | None, cancelled: threading.Event | None
) -> Observation:
    if not target.shadow or target.dsn is None:
        return observation
    from checks.shadow.step import with_proofs

    evidence = with_proofs(
        observation.evidence,
        target.dsn,
        index_budget=target.index_budget,
        programs=target.programs,
        progress=progress,
        cancelled=cancelled,
    )
    return msgspec.structs.replace(observation, evidence=store.decode(store.encode(evidence)))


def _with_earlier(observation: Observation, last: Callable[[Evidence], Evidence | None] | None) -> Observation:
    """With the counters of the last review, of those statements that there are now, and the files of its tables."""
    evidence = observation.evidence
    present = evidence.find(Statements)
    before = last(evidence) if last is not None and present is not None else None
    counted = before.find(Statements) if before is not None else None
    if present is None or before is None or counted is None:
        return observation
    known = [
        EarlierStatement(entry.query_id, entry.calls, entry.total_ms)
        for entry in counted.entries
        if entry.query_id in present.by_id
    ]
    catalog = before.find(Catalog)
    files = {
        str(table.oid): table.filenode for table in (catalog.tables if catalog else ()) if table.filenode is not None
    }
    evidence = msgspec.structs.replace(
        evidence, earlier=Earlier(before.observed_at, counted.since, tuple(known), files)
    )
    return msgspec.structs.replace(observation, evidence=store.decode(store.encode(evidence)))


def _with_pooler(target: Target, observation: Observation) -> Observation:
    """With what the pooler's console tells; one that cannot be reached is a problem, and no reason to forget the rest."""
    if target.pooler is None:
        return observation
    from checks.evidence.database.dsn import understand
    from checks.evidence.database.pooler import observe_pooler

    try:
        pooler = observe_pooler(understand(target.pooler))
    except TargetError as error:
        return msgspec.structs.replace(observation, problems=(*observation.problems, error))
    evidence = msgspec.structs.replace(observation.evidence, pooler=pooler)
    return msgspec.structs.replace(observation, evidence=store.decode(store.encode(evidence)))


def _with_plans(target: Target, observation: Observation) -> Observation:
    """With the plans of files that were given; one that cannot be read is a problem, and no reason to forget the rest."""
    if not target.plans:
        return observation
    from checks.evidence.given.reader import read_plan_files

    evidence = observation.evidence
    try:
        given = read_plan_files(target.plans, evidence.find(Statements))
    except TargetError as error:
        return msgspec.structs.replace(observation, problems=(*observation.problems, error))
    if (run := evidence.find(GivenPlans)) is not None:
        given = msgspec.structs.replace(run, plans=(*given.plans, *run.plans), unread=given.unread, log=given.log)
    evidence = msgspec.structs.replace(evidence, given_plans=given)
    return msgspec.structs.replace(observation, evidence=store.decode(store.encode(evidence)))


def _observe(
    target: Target,
    user_folder: Path | None,
    progress: Progress | None,
    cancelled: threading.Event | None,
    clock: Callable[[], dt.datetime],
    ask: Ask | None,
    meter: Meter | None,
) -> Observation:
    problems: list[ReviewError] = []
    repository: Repository | Unobserved = NO_REPOSITORY
    configuration = read_configuration(None, user_folder)
    # What is asked of the server is for the reviewer to say, not for the repository.
    active_sessions = int(configuration.limit("active_sessions")) if target.max_load else None
    if target.repository is not None:
        from checks.evidence.repository.cache import Cache
        from checks.evidence.repository.observe import observe_repository

        try:
            cache = Cache(target.repository) if target.cache else None
            repository = observe_repository(target.repository, progress=progress, cancelled=cancelled, cache=cache)
            configuration = read_configuration(target.repository, user_folder)
        except TargetError as error:
            problems.append(error)
            repository = UNREADABLE_REPOSITORY
    if target.dsn is None:
        if isinstance(repository, Unobserved):
            raise problems[0] if problems else TargetError("there is nothing to observe", "give a DSN or a repository")
        return Observation(
            _evidence(
                clock(),
                configuration,
                repository=repository,
                access=NO_DATABASE,
                embeddings=NO_DATABASE,
                host=NO_DATABASE,
            ),
            tuple(problems),
        )
    return _with_database(
        target, repository, configuration, problems, progress, cancelled, clock, active_sessions, ask, meter
    )


def _with_database(
    target: Target,
    repository: Repository | Unobserved,
    configuration: Configuration,
    problems: list[ReviewError],
    progress: Progress | None,
    cancelled: threading.Event | None,
    clock: Callable[[], dt.datetime],
    active_sessions: int | None,
    ask: Ask | None,
    meter: Meter | None,
) -> Observation:
    from checks.evidence.database.node import Manner
    from checks.evidence.database.observe import observe_database

    known = None if isinstance(repository, Unobserved) else repository
    code = [statement.text for statement in known.statements if statement.parsed] if known else []
    sent = [statement for statement in known.statements if statement.parsed] if known else []
    searches = tuple((statement.text, statement.limit) for statement in sent)
    assert target.dsn is not None
    try:
        seen = observe_database(
            target.dsn,
            target.replicas,
            code=code,
            progress=progress,
            cancelled=cancelled,
            manner=Manner(
                target.watch_s,
                active_sessions,
                target.measure_recall,
                searches,
                ask if target.analyze else None,
                meter,
                read_rows=target.read_rows,
            ),
        )
    except TargetError as error:
        problems.append(error)
        if known is None:
            raise problems[0] from None
        sections = dict.fromkeys(DATABASE_SECTIONS, UNREACHED_DATABASE)
        return Observation(_evidence(clock(), configuration, repository=known, **sections), tuple(problems))
    problems += [
        TargetError(f"replica {name} could not be reached", "check its DSN and that it accepts connections")
        for name in seen.unreached_replicas
    ]
    run = seen.run
    if target.analyze and ask is None:
        problems.append(NOBODY_TO_ASK)
        run = Unobserved(Reason.NEEDS_ANSWER, NOBODY_TO_ASK.hint)
    if known is not None:
        from checks.evidence.repository.observe import match_statements

        statements = seen.statements if isinstance(seen.statements, Statements) else None
        catalog = seen.catalog if isinstance(seen.catalog, Catalog) else None
        repository = match_statements(known, statements, catalog, seen.identified)
    evidence = _evidence(
        clock(),
        configuration,
        repository=repository,
        replicas=seen.replicas,
        unreached_replicas=seen.unreached_replicas,
        effort=Effort(seen.statements_sent, round(seen.server_ms, 1)),
        notices=seen.notices,
        **({} if run is None else {"given_plans": run}),
        **{name: getattr(seen, name) for name in DATABASE_SECTIONS},
    )
    return Observation(evidence, tuple(problems))


def _evidence(observed_at: dt.datetime, configuration: Configuration, **sections: object) -> Evidence:
    """As it will be read back: what is scored now and what is scored from the saved file are the same bytes."""
    evidence = Evidence(
        tool_version=__version__,
        observed_at=observed_at,
        configuration=configuration,
        **sections,  # type: ignore[arg-type]  # each section is of the field's type, by its name
    )
    return store.decode(store.encode(evidence))
