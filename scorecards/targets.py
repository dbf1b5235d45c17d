"""What was reviewed, as the scorecard describes it: no host, no path, no password."""

from __future__ import annotations

from checks.evidence.database.facts import Catalog, Server
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.relations import is_reviewed
from checks.text import visible_line
from scorecards.model import DatabaseTarget, ReplicaTarget, RepositoryTarget, Target


def describe_target(evidence: Evidence) -> Target:
    """Database, further nodes and repository, as far as they were observed."""
    server, catalog, repository = evidence.find(Server), evidence.find(Catalog), evidence.find(Repository)
    tables = sum(is_reviewed(table) for table in catalog.tables) if catalog else None
    replicas = tuple(
        ReplicaTarget(
            visible_line(replica.name),
            replica.server.version,
            replica.server.role,
            replica.server.flavour,
            replica.server.size_bytes,
            tables,
            _days(replica.server),
            replica.server.user_sees,
            replica.replication.replay_lag_bytes,
            None if replica.replication.replay_lag_s is None else round(replica.replication.replay_lag_s, 4),
            replica.replication.receiver_state,
        )
        for replica in evidence.replicas
    )
    database = None
    if server is not None:
        database = DatabaseTarget(
            visible_line(server.database), server.version, server.role, server.flavour, server.size_bytes, tables,
            _days(server), server.user_sees,
        )  # fmt: skip
    code = None
    if repository is not None:
        languages = dict(sorted(repository.languages.items()))
        code = RepositoryTarget(
            visible_line(repository.name), repository.commit, repository.files, repository.lines, languages
        )
    return Target(database, replicas, code)


def title_of(evidence: Evidence) -> str:
    """A title for a review that nobody has named: what was looked at."""
    server, repository = evidence.find(Server), evidence.find(Repository)
    parts = [server.database if server else "", repository.name if repository else ""]
    return visible_line(" and ".join(dict.fromkeys(part for part in parts if part)) or "review", 200)


def _days(server: Server) -> float | None:
    days = server.statistics_window_days
    return None if days is None else round(days, 4)
