"""One server being observed, section by section; what fails costs only its own section."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg

from checks.evidence.consent import Ask
from checks.evidence.database import gaps
from checks.evidence.database.access import observe_access
from checks.evidence.database.activity import observe_activity, observe_freeze_ages
from checks.evidence.database.bodies import observe_embeddings
from checks.evidence.database.catalog import observe_catalog, with_measured_sizes
from checks.evidence.database.dsn import Dsn
from checks.evidence.database.explain import Planner, identify, observe_plans
from checks.evidence.database.facts import (
    Activity,
    Catalog,
    Embeddings,
    GivenPlans,
    Host,
    PlannerStatistics,
    Plans,
    Rates,
    Recall,
    RowSamples,
    Server,
    Settings,
    Statements,
    Usage,
)
from checks.evidence.database.host import observe_host
from checks.evidence.database.load import Load
from checks.evidence.database.meter import Meter
from checks.evidence.database.own_reads import with_own_reads
from checks.evidence.database.rates import Look, look, rates, sighting
from checks.evidence.database.replication import observe_replication
from checks.evidence.database.sequences import with_sequence_values
from checks.evidence.database.server import Sight, check_version, observe_server, with_identity
from checks.evidence.database.session import Cancelled, ConnectionLost, Session
from checks.evidence.database.settings import observe_settings
from checks.evidence.database.statements import EXTENSION, observe_statements
from checks.evidence.database.usage import observe_planner_statistics, observe_usage, with_server_counters
from checks.evidence.database.user_code import UserCode, observe_user_code
from checks.evidence.evidence import DATABASE_SECTIONS, NOT_MEASURED, NOT_SAMPLED
from checks.model import Unobserved, qualified_name

Progress = Callable[[str], None]

# How often sessions are looked at while the server is watched: at most so many times, and not more often than that.
_SIGHTINGS = 60
_SIGHTING_S = 1.0


class _Part(NamedTuple):
    """One section, the sentence that announces it, and the GRANT that permits it."""

    name: str
    sentence: str
    build: Callable[[], Any]
    unlock: str = ""


class Manner(NamedTuple):
    """How to look: twice, so many seconds apart (0: once), and not where more than so many sessions are active (None: always);
    with a measurement of recall or without. `searches` are SQL texts of the code with their LIMIT, where that is known. `ask`:
    whom to ask which statements may be run, if any. `meter` counts what it costs. `read_rows`: look at a sample of the
    rows of each table."""

    watch_s: float = 0.0
    max_load: int | None = None
    measure_recall: bool = False
    searches: tuple[tuple[str, int | None], ...] = ()
    ask: Ask | None = None
    meter: Meter | None = None
    read_rows: bool = False


UNWATCHED = Manner()


class Node:
    """One server being observed; `sections` fills up as it goes."""

    def __init__(
        self, dsn: Dsn, progress: Progress, cancelled: threading.Event | None, manner: Manner = UNWATCHED
    ) -> None:
        self.dsn = dsn
        self.notices = list(dsn.notices)
        self.identified: dict[str, str] = {}
        self.run: GivenPlans | Unobserved | None = None
        self.statements_sent = 0
        self.server_ms = 0.0
        self.sections: dict[str, Any] = dict.fromkeys(DATABASE_SECTIONS, gaps.CANCELLED)
        self._manner = manner
        self._first_look: tuple[float, Look] | None = None
        if not manner.watch_s:
            self.sections["rates"] = gaps.NOT_WATCHED
        if not manner.measure_recall:
            self.sections["recall"] = NOT_MEASURED
        if not manner.read_rows:
            self.sections["row_samples"] = NOT_SAMPLED
        self._progress = progress
        self._cancelled = cancelled or threading.Event()
        self._ended: Unobserved | None = None
        self._user_code: UserCode | None = None

    def observe(self, code: Sequence[str]) -> None:
        self._connected(lambda: self._observe_all(code))

    def observe_runtime(self) -> None:
        """What differs from node to node."""
        self._connected(self._observe_runtime)

    def _connected(self, observe: Callable[[], None]) -> None:
        self._progress(f"connecting to {self.dsn.display}")
        try:
            self._session = Session(self.dsn, self._cancelled, self._manner.meter)
        except Cancelled:
            return
        self._load = Load(self._session, self._manner.max_load, self.notices)
        with self._session:
            check_version(self._session)
            observe()
        self.statements_sent = self._session.statements_sent
        self.server_ms = self._session.server_ms

    def _observe_all(self, code: Sequence[str]) -> None:
        session = self._session
        self._observe_server()
        if self._manner.watch_s:
            self._alone(_Part("rates", "looking at the counters", self._first))
        self._together(
            [
                _Part("catalog", "reading the catalog", lambda: observe_catalog(session)),
                _Part("planner_statistics", "reading planner statistics", self._planner_statistics),
                _Part("access", "reading roles and grants", lambda: observe_access(session)),
            ],
            one_snapshot=True,
        )
        # Before the sizes, with which the counters then share a transaction.
        self._observe_settings()
        self._alone(_Part("catalog", "reading sequences and sizes", self._measured))
        self._observe_counters()
        self._together(
            [
                _Part("activity", "looking at who is connected", self._activity),
                _Part("freeze_ages", "looking at transaction-id ages", lambda: observe_freeze_ages(session)),
            ]
        )
        self._alone(_Part("host", "asking who may connect and what files take", self._host))
        self._alone(_Part("embeddings", "reading functions that search", self._embeddings))
        self._alone(_Part("plans", "planning the most expensive statements", self._plans))
        if self._manner.measure_recall:
            self._alone(_Part("recall", "measuring recall of vector searches", self._recall))
        if self._manner.read_rows:
            self._alone(_Part("row_samples", "reading samples of rows", self._row_samples))
        if code:
            self._alone(_Part("identified", "looking for the code's statements", lambda: self._identify(code)))
        if self._manner.watch_s:
            self._alone(_Part("rates", f"watching for {self._manner.watch_s:g} s", self._rates))
        if self._manner.ask is not None:
            ask = self._manner.ask
            self._alone(_Part("run", "looking for statements that may be run", lambda: self._run(ask)))

    def _observe_runtime(self) -> None:
        self._observe_server()
        self._observe_settings()
        self._observe_counters()

    def _observe_server(self) -> None:
        self._sight = Sight(False, False, False, 0, 0)
        self._together([_Part("server", "asking what server it is", self._server)], one_snapshot=True)
        if isinstance(self.sections["server"], Server):
            self._alone(
                _Part("server", "measuring the database", lambda: with_identity(self.sections["server"], self._session))
            )

    def _observe_settings(self) -> None:
        self._alone(_Part("settings", "reading settings", self._settings, self._grant("pg_monitor")))

    def _observe_counters(self) -> None:
        session = self._session
        server = self.sections["server"]
        standby = server.is_standby if isinstance(server, Server) else False
        self._together(
            [
                _Part("usage", "reading usage counters", lambda: observe_usage(session)),
                _Part(
                    "replication",
                    "looking at replication",
                    lambda: observe_replication(session, is_standby=standby, sees_all_stats=self._sight.all_stats),
                    self._grant("pg_monitor"),
                ),
            ]
        )
        self._alone(_Part("usage", "reading the server's counters", self._server_counters))
        self._together([_Part("statements", "reading pg_stat_statements", self._statements, self._grant("pg_monitor"))])

    def _server(self) -> Server:
        server, self._sight = observe_server(self._session)
        return server

    def _planner_statistics(self) -> PlannerStatistics:
        catalog = self.sections["catalog"]
        if isinstance(catalog, Unobserved):
            raise _Missing(catalog)
        server = self.sections["server"]
        superuser = isinstance(server, Server) and server.user_sees == "superuser"
        return observe_planner_statistics(self._session, catalog, sees_all=superuser)

    def _measured(self) -> Catalog:
        catalog = self.sections["catalog"]
        if isinstance(catalog, Unobserved):
            raise _Missing(catalog)
        return with_sequence_values(with_measured_sizes(catalog, self._session), self._session)

    def _server_counters(self) -> Usage:
        usage = self.sections["usage"]
        if isinstance(usage, Unobserved):
            raise _Missing(usage)
        return with_server_counters(usage, self._session)

    def _statements(self) -> Statements | Unobserved:
        server = self.sections["server"]
        if isinstance(server, Unobserved):
            raise _Missing(server)
        catalog = self.sections.get("catalog")
        tables = {table.name for table in catalog.tables if not table.extension} if isinstance(catalog, Catalog) else ()
        statements, own = observe_statements(self._session, server.extension(EXTENSION), server.user, tables)
        usage = self.sections["usage"]
        if own and isinstance(usage, Usage) and isinstance(catalog, Catalog):
            self.sections["usage"] = with_own_reads(usage, catalog, own)
        return statements

    def _settings(self) -> Settings:
        server = self.sections["server"]
        if isinstance(server, Unobserved):
            raise _Missing(server)
        settings, unseen = observe_settings(
            self._session, user=server.user, database=server.database, sees_all=self._sight.all_settings
        )
        if unseen:
            self.notices.append(
                f"this login or database has settings of its own, which hide the server-wide value of: {', '.join(unseen)}"
            )
        return settings

    def _plans(self) -> Plans:
        server, statements, settings = (self.sections[name] for name in ("server", "statements", "settings"))
        for needed in (server, statements):
            if isinstance(needed, Unobserved):
                raise _Missing(needed)
        known = settings if isinstance(settings, Settings) else Settings()
        planner = Planner(self._session, server, known, self._users_code(), self._load.is_too_high)
        return observe_plans(planner, statements, self._progress)

    def _run(self, ask: Ask) -> None:
        from checks.evidence.database.analyze import run_statements

        server, statements, settings, plans = (
            self.sections[name] for name in ("server", "statements", "settings", "plans")
        )
        self.run = next((needed for needed in (server, statements, plans) if isinstance(needed, Unobserved)), None)
        if self.run is None:
            # Until it is done: what ends it half-way leaves this behind.
            self.run = gaps.LOST
            known = settings if isinstance(settings, Settings) else Settings()
            planner = Planner(self._session, server, known, self._users_code(), self._load.is_too_high)
            self.run = run = run_statements(planner, statements, plans, ask, self._progress)
            self.notices.append(
                f"--analyze: {len(run.plans)} of {run.asked} statements were run, {run.declined} declined, {run.failed} failed; "
                f"{run.unproven} more are not known to read only"
            )

    def _identify(self, code: Sequence[str]) -> None:
        server, statements, settings = (self.sections[name] for name in ("server", "statements", "settings"))
        if isinstance(server, Server) and isinstance(statements, Statements):
            known = settings if isinstance(settings, Settings) else Settings()
            planner = Planner(self._session, server, known, self._users_code(), self._load.is_too_high)
            self.identified = identify(planner, statements, code)

    def _look(self) -> None:
        server = self.sections["server"]
        extension = server.extension(EXTENSION) if isinstance(server, Server) else None
        self._first_look = time.monotonic(), look(self._session, extension)

    def _first(self) -> Unobserved:
        self._look()
        return gaps.CANCELLED

    def _rates(self) -> Rates | Unobserved:
        if self._first_look is None:
            why: Unobserved = self.sections["rates"]
            return why
        began, first = self._first_look
        self._session.rest()
        ends, sightings = began + self._manner.watch_s, []
        every = max(_SIGHTING_S, self._manner.watch_s / _SIGHTINGS)
        while (left := ends - time.monotonic()) > every and not self._cancelled.is_set():
            sightings.append(sighting(self._session, time.monotonic() - began))
            self._cancelled.wait(min(every, left))
        self._cancelled.wait(max(0.0, ends - time.monotonic()))
        self._look()
        statements = self.sections["statements"]
        found = rates(first, self._first_look[1], statements.by_id if isinstance(statements, Statements) else ())
        return msgspec.structs.replace(found, sightings=tuple(sightings))

    def _users_code(self) -> UserCode:
        if self._user_code is None:
            with self._session.transaction():
                self._user_code = observe_user_code(self._session)
        return self._user_code

    def _activity(self) -> Activity:
        settings = self.sections["settings"]
        return observe_activity(
            self._session,
            max_connections=self._sight.max_connections,
            reserved_connections=self._sight.reserved_connections,
            prepares=not isinstance(settings, Settings) or settings.value("max_prepared_transactions") != "0",
        )

    def _host(self) -> Host:
        return observe_host(self._session, self._sight.host)

    def _embeddings(self) -> Embeddings:
        server, catalog = self.sections["server"], self.sections["catalog"]
        without_vectors = isinstance(server, Server) and server.extension("vector") is None
        if without_vectors and isinstance(catalog, Catalog) and all(entry.extension for entry in catalog.functions):
            # Without vectors and functions there is nothing that could search, and no body to read.
            return Embeddings()
        if not isinstance(server, Server):
            return observe_embeddings(self._session, None, None)
        return observe_embeddings(self._session, server.extension("vector"), server.extension(EXTENSION))

    def _recall(self) -> Recall | Unobserved:
        from checks.evidence.database.recall import measure_recall, wanted_searches

        server, catalog = self.sections["server"], self.sections["catalog"]
        for needed in (server, catalog):
            if isinstance(needed, Unobserved):
                raise _Missing(needed)
        extension = server.extension("vector")
        if extension is None:
            return Recall()
        statements, embeddings = self.sections["statements"], self.sections["embeddings"]
        known = [(entry.text, None) for entry in statements.entries] if isinstance(statements, Statements) else []
        bodies = embeddings.bodies if isinstance(embeddings, Embeddings) else ()
        wanted = wanted_searches(catalog, [*known, *self._manner.searches], bodies)
        settings = self.sections["settings"]
        in_force = dict(embeddings.settings) if isinstance(embeddings, Embeddings) else {}
        for entry in settings.role_settings if isinstance(settings, Settings) else ():
            if entry.database in {server.database, ""} and not entry.role:
                in_force[entry.name] = entry.value
        return measure_recall(self._session, catalog, extension, wanted, in_force, progress=self._progress)

    def _row_samples(self) -> RowSamples:
        from checks.evidence.database.samples import sample_rows

        catalog, server = self.sections["catalog"], self.sections["server"]
        if isinstance(catalog, Unobserved):
            raise _Missing(catalog)
        extension = server.extension("vector") if isinstance(server, Server) else None
        return sample_rows(self._session, catalog, extension, progress=self._progress)

    def _grant(self, role: str) -> str:
        server = self.sections["server"]
        user = server.user if isinstance(server, Server) else self.dsn.value("user") or "the role"
        return f"GRANT {role} TO {qualified_name(user)};"

    def _together(self, parts: list[_Part], *, one_snapshot: bool = False) -> None:
        """Sections in one transaction, and after a failure the rest in another."""
        if self._is_over():
            for part in parts:
                self._settle(part, self._ended)
            return
        again = True
        while parts:
            try:
                with self._session.transaction(one_snapshot=one_snapshot):
                    while parts:
                        self._build(parts[0])
                        parts.pop(0)
                        again = True
            except psycopg.Error as error:
                if again and gaps.passing(error):
                    again = False
                    continue
                failed = parts.pop(0)
                self.sections[failed.name] = gaps.gap(error, failed.unlock)
                again = True
            except (Cancelled, ConnectionLost) as ending:
                self._end(ending)
                for part in parts:
                    self.sections[part.name] = self._ended
                return

    def _alone(self, part: _Part) -> None:
        """A section that makes its own transactions. One that was there before stays if it fails."""
        if self._is_over():
            self._settle(part, self._ended)
            return
        try:
            self._build(part)
        except psycopg.Error as error:
            self._settle(part, gaps.gap(error, part.unlock))
        except (Cancelled, ConnectionLost) as ending:
            self._end(ending)
            self._settle(part, self._ended)

    def _build(self, part: _Part) -> None:
        self._progress(part.sentence)
        try:
            built = part.build()
        except _Missing as missing:
            built = missing.gap
        if part.name in self.sections:
            self.sections[part.name] = built

    def _settle(self, part: _Part, gap: Unobserved | None) -> None:
        if part.name in self.sections and isinstance(self.sections[part.name], Unobserved):
            self.sections[part.name] = gap

    def _is_over(self) -> bool:
        """Whether the server has too much to do. What it is, is asked in any case."""
        try:
            if isinstance(self.sections["server"], Server) and self._load.is_too_high():
                self._ended = gaps.BUSY
        except psycopg.Error as error:
            self.notices.append(f"--max-load could not be observed (SQLSTATE {error.sqlstate})")
        except (Cancelled, ConnectionLost):
            return False
        return self._ended is gaps.BUSY

    def _end(self, ending: Cancelled | ConnectionLost) -> None:
        self._ended = gaps.CANCELLED if isinstance(ending, Cancelled) else gaps.LOST


class _Missing(Exception):
    """A section that needs another one, which there is none of."""

    def __init__(self, gap: Unobserved) -> None:
        super().__init__(gap.reason)
        self.gap = gap
