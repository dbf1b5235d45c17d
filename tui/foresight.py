"""Before a review: one short question to the server, and what follows from the answer about what a review will and won't see."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec

from checks.evidence.database.dsn import understand
from checks.evidence.database.facts import Server
from checks.evidence.database.flavours import HIDES
from checks.evidence.database.server import Sight, check_version, observe_server
from checks.evidence.database.session import LOCK_TIMEOUT, STATEMENT_TIMEOUT_S, Session
from checks.evidence.database.statements import EXTENSION
from checks.evidence.observe import Target
from checks.model import quote_identifier


class Blind(msgspec.Struct, frozen=True):
    """Something that will stay unknown, and the SQL or the words that would change that."""

    what: str
    unlock: str
    is_sql: bool = False


class Foresight(msgspec.Struct, frozen=True):
    """`place` is the database as it may be shown. `server` is None where only a repository is reviewed. `milliseconds` is what
    asking took."""

    place: str
    server: Server | None
    blind: tuple[Blind, ...]
    nodes: tuple[str, ...] = ()
    repository: Path | None = None
    uses_tls: bool = False
    milliseconds: float = 0.0


LIMITS = (
    f"every transaction READ ONLY and rolled back; statement_timeout {STATEMENT_TIMEOUT_S:.0f} s, "
    f"lock_timeout {LOCK_TIMEOUT.removesuffix('ms')} ms",
    "one connection, application_name pgsurveyor; no parallel workers, no lock above ACCESS SHARE but for an EXPLAIN's own",
)
EXPLAINED = "EXPLAIN of single statements, never ANALYZE; nothing that would call code of yours is planned"
RUN = (
    "costly SELECTs are run once (EXPLAIN ANALYZE), for 30 s at most: those known to read only, and you are asked before each, "
    "with its values"
)
READ = (
    "the catalog: tables, columns, indexes, constraints, functions, policies",
    "settings, roles and grants, extensions",
    "statistics of tables, indexes, statements and the planner; no value of any row",
    "sessions, locks and replication, as they are at one moment",
    "pg_hba.conf, the sizes of WAL and log files, where the role may",
)
READ_OF_REPOSITORY = "its files as git lists them: SQL, migrations, models, calls, deployment; nothing of it is run"


def foresee(target: Target, cancelled: threading.Event | None = None) -> Foresight:
    """Asks the server who answers and what this role may see. Raises TargetError, UsageError."""
    nodes = tuple(understand(dsn).display for dsn in target.replicas)
    if target.dsn is None:
        return Foresight("", None, (), nodes, target.repository)
    understood = understand(target.dsn)
    with Session(understood, cancelled) as session:
        check_version(session)
        with session.transaction(ends=True):
            server, sight = observe_server(session)
        return Foresight(
            understood.display, server, blind_spots(server, sight), nodes, target.repository, session.uses_tls,
            session.server_ms,
        )  # fmt: skip


def blind_spots(server: Server, sight: Sight) -> tuple[Blind, ...]:
    """What this role will not see, the smallest grant first."""
    role = quote_identifier(server.user)
    found = []
    if not sight.all_settings:
        found.append(Blind("settings that only superusers see", f"GRANT pg_read_all_settings TO {role};", True))
    if not sight.all_stats:
        found.append(
            Blind(
                "what other roles' sessions and statements do, the state of standbys",
                f"GRANT pg_monitor TO {role};",
                True,
            )
        )
    if not sight.all_data:
        found.append(
            Blind(
                "planner statistics and plans of tables that this role may not read; it could then read their rows",
                f"GRANT pg_read_all_data TO {role};",
                True,
            )
        )
    if server.extension(EXTENSION) is None:
        found.append(
            Blind(
                "which statements ran", f"shared_preload_libraries = '{EXTENSION}', then CREATE EXTENSION {EXTENSION};"
            )
        )
    if server.through_pooler and server.major < 16:
        found.append(Blind("generic plans, through a pooler and before PostgreSQL 16", "connect to the server itself"))
    if hidden := HIDES.get(server.flavour):
        found.append(Blind(f"what {server.flavour} hides: {hidden}", ""))
    return tuple(found)
