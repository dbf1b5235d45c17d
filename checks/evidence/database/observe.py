"""Everything that is observed of a database and its further nodes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from checks.errors import TargetError
from checks.evidence.database.dsn import Dsn, understand
from checks.evidence.database.facts import (
    Access,
    Activity,
    Catalog,
    Embeddings,
    FreezeAges,
    GivenPlans,
    Host,
    PlannerStatistics,
    Plans,
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
from checks.evidence.database.node import UNWATCHED, Manner, Node, Progress
from checks.model import Unobserved


class DatabaseEvidence(msgspec.Struct, frozen=True):
    """The sections of one database. `identified` maps SQL texts of code to the query identifiers that the server gives them.
    `statements_sent` and `server_ms` are what observing cost, of all nodes. `run` are the plans of statements that a person let
    be run, None if nobody was to be asked."""

    server: Server | Unobserved
    catalog: Catalog | Unobserved
    planner_statistics: PlannerStatistics | Unobserved
    access: Access | Unobserved
    usage: Usage | Unobserved
    statements: Statements | Unobserved
    plans: Plans | Unobserved
    settings: Settings | Unobserved
    activity: Activity | Unobserved
    freeze_ages: FreezeAges | Unobserved
    replication: Replication | Unobserved
    host: Host | Unobserved
    rates: Rates | Unobserved
    embeddings: Embeddings | Unobserved
    recall: Recall | Unobserved
    row_samples: RowSamples | Unobserved
    replicas: tuple[Replica, ...] = ()
    unreached_replicas: tuple[str, ...] = ()
    identified: dict[str, str] = {}
    statements_sent: int = 0
    server_ms: float = 0.0
    notices: tuple[str, ...] = ()
    run: GivenPlans | Unobserved | None = None


def observe_database(
    dsn: str,
    replicas: Sequence[str] = (),
    *,
    code: Sequence[str] = (),
    progress: Progress | None = None,
    cancelled: threading.Event | None = None,
    manner: Manner = UNWATCHED,
) -> DatabaseEvidence:
    """All that this login may see of the database and of its further nodes. `code` are SQL texts of the application, whose
    query identifiers the server is asked for; `cancelled`, once set, ends it within a second with what there is. `manner` is
    how to look; the first node alone is watched.

    Raises TargetError if the database cannot be reached at all, UsageError for a DSN that cannot be read.
    """
    understood = understand(dsn)
    others = [understand(replica) for replica in replicas]
    node = Node(understood, progress or _silent, cancelled, manner)
    node.observe(code)
    further = manner._replace(watch_s=0.0, ask=None)
    found = [_observe_replica(other, node, progress or _silent, cancelled, further) for other in others]
    return DatabaseEvidence(
        **node.sections,
        replicas=tuple(outcome.replica for outcome in found if outcome.replica),
        unreached_replicas=tuple(outcome.unreached for outcome in found if outcome.unreached),
        identified=node.identified,
        statements_sent=node.statements_sent + sum(outcome.statements_sent for outcome in found),
        server_ms=node.server_ms + sum(outcome.server_ms for outcome in found),
        notices=(*node.notices, *(notice for outcome in found for notice in outcome.notices)),
        run=node.run,
    )


def _silent(_: str) -> None:
    return


class _Outcome(NamedTuple):
    replica: Replica | None = None
    unreached: str = ""
    notices: tuple[str, ...] = ()
    statements_sent: int = 0
    server_ms: float = 0.0


def _observe_replica(
    dsn: Dsn, primary: Node, progress: Progress, cancelled: threading.Event | None, manner: Manner
) -> _Outcome:
    node = Node(dsn, progress, cancelled, manner)
    try:
        node.observe_runtime()
    except TargetError as error:
        return _Outcome(unreached=dsn.display, notices=(str(error),))
    left_out = _Outcome(None, dsn.display, (), node.statements_sent, node.server_ms)
    sections = node.sections
    needed = [sections[name] for name in ("server", "usage", "replication", "settings")]
    if any(isinstance(section, Unobserved) for section in needed):
        reasons = {section.reason for section in needed if isinstance(section, Unobserved)}
        return left_out._replace(notices=(f"{dsn.display} could not be read: {', '.join(sorted(reasons))}",))
    objection = _objection(primary.sections["server"], sections["server"])
    if objection:
        return left_out._replace(notices=(f"{dsn.display} {objection}: it was left out",))
    statements = sections["statements"]
    replica = Replica(
        name=dsn.display,
        server=sections["server"],
        usage=sections["usage"],
        replication=sections["replication"],
        settings=sections["settings"],
        statements=statements if isinstance(statements, Statements) else None,
    )
    notices = list(node.notices)
    first = primary.sections["server"]
    if not isinstance(first, Server) or first.system_identifier is None or replica.server.system_identifier is None:
        notices.append(f"whether {dsn.display} belongs to the same cluster could not be verified")
    return left_out._replace(replica=replica, unreached="", notices=tuple(notices))


def _objection(first: Server | Unobserved, other: Server) -> str:
    """Why a node's counters must not be added to those of the first; empty if they may."""
    if isinstance(first, Unobserved):
        return ""
    if None not in (first.system_identifier, other.system_identifier):
        if first.system_identifier != other.system_identifier:
            return "is another cluster"
        if first.started_at == other.started_at and first.role == other.role:
            return "is the same node again"
    if first.database != other.database:
        return f"shows the database {other.database}"
    return ""
