"""What happens on standbys: replay that stands still, queries that it cancels, commits that wait for them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Replication, Server, Settings, Standby, Usage
from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding, Fix, NotApplicable, Reason, Severity, Subject, Unknown, Unobserved
from checks.registry import check
from checks.relations import grant
from checks.settings import is_managed, is_on, keeps_pages_itself, milliseconds, setting_fix, setting_subject

_REASONS = {
    "confl_snapshot": "rows they could still see were vacuumed away",
    "confl_lock": "they held a lock that replay needed",
    "confl_bufferpin": "they kept a page in use that replay had to clean",
    "confl_tablespace": "their tablespace was dropped",
    "confl_deadlock": "they and replay waited for each other",
    "confl_active_logicalslot": "their logical slot lost its rows",
}
_SYNCHRONOUS = re.compile(r"\s*(FIRST|ANY)?\s*(\d+)\s*\((.*)\)\s*", re.IGNORECASE | re.DOTALL)


class Node(msgspec.Struct, frozen=True):
    """A standby that was looked at: the target itself, or one given with --replica."""

    name: str
    server: Server
    usage: Usage | None
    replication: Replication | None
    settings: Settings | None


def standby_nodes(evidence: Evidence) -> list[Node]:
    """Standbys that were themselves connected to. Raises NotApplicable if there is none anywhere, Unknown if none was given."""
    server = evidence.get(Server)
    found = [
        Node(replica.name, replica.server, replica.usage, replica.replication, replica.settings)
        for replica in evidence.replicas
        if replica.server.is_standby
    ]
    if server.is_standby:
        own = Node("standby", server, evidence.find(Usage), evidence.find(Replication), evidence.find(Settings))
        found.insert(0, own)
    if found:
        return found
    replication = evidence.find(Replication)
    if replication is not None and any(not entry.logical for entry in replication.standbys):
        raise Unknown(Reason.REPLICA_NOT_REACHABLE, "give the standby's DSN with --replica")
    raise NotApplicable("no standby is known")


@check("replication.standby-conflicts", catalogue="R07", severity=Severity.MEDIUM, needs=[Server])
def standby_conflicts(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Recovery cancels queries on a standby.

    What is replayed may remove rows that a query on the standby still reads. After max_standby_streaming_delay the query is
    cancelled ("canceling statement due to conflict with recovery"): long reports and vector searches fail now and then.

    Fix: hot_standby_feedback on, while queries there are short enough that the primary can wait for them; else a standby of its
    own for reports, with a longer delay.

    Example: pg_stat_database_conflicts counts 340 queries cancelled for snapshots in a week: exports of five minutes on a
    standby with max_standby_streaming_delay = 30s.

    Source: PostgreSQL manual, "Handling Query Conflicts"; "pg_stat_database_conflicts"

    Observed: conflicts, per_day, hot_standby_feedback, max_standby_streaming_delay_ms
    """
    standbys = standby_nodes(evidence)
    nodes = [node for node in standbys if node.usage is not None and node.usage.conflicts is not None]
    if not nodes:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor"))
    young = [node for node in nodes if (node.server.statistics_window_days or 0) < evidence.limit("window_days")]
    gap = (
        Unobserved(
            Reason.WINDOW_TOO_SHORT,
            f"run again when {young[0].name} has counted for longer, or set window_days under [limits] in pgsurveyor.toml",
        )
        if young
        else None
    )
    yield Examined(len(nodes) - len(young), len(standbys), "standbys", gap=gap)
    for node in nodes:
        conflicts = {key: count for key, count in ((node.usage and node.usage.conflicts) or {}).items()
                     if key in _REASONS and count}  # fmt: skip
        per_day = sum(conflicts.values()) / max(node.server.statistics_window_days or 0, 1)
        if node in young or per_day <= evidence.limit("conflicts_per_day"):
            continue
        worst = max(conflicts, key=lambda key: conflicts[key])
        feedback = node.settings.value("hot_standby_feedback") if node.settings else None
        delay = milliseconds(node.settings, "max_standby_streaming_delay") if node.settings else None
        yield Finding(
            Subject("node", (node.name,)),
            f"Recovery cancels {per_day:,.0f} queries a day on {node.name}, mostly because {_REASONS[worst]}",
            setting_fix(node.server, "Let the standby tell which rows it still needs.", {"hot_standby_feedback": "on"})
            if worst == "confl_snapshot" and not is_on(feedback)
            else Fix("Send long queries to a standby of their own with a longer max_standby_streaming_delay, and keep "
                     "ACCESS EXCLUSIVE locks on the primary (DDL, TRUNCATE) short."),
            observed={"conflicts": conflicts, "per_day": round(per_day, 1), "hot_standby_feedback": feedback,
                      "max_standby_streaming_delay_ms": delay},
        )  # fmt: skip


@check("replication.replay-paused", catalogue="R08", severity=Severity.HIGH, needs=[Server])
def replay_paused(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A standby does not replay what it receives, or receives nothing.

    It still answers queries, with data that grows older by the minute, and a failover to it waits until it has caught up, or
    loses what never arrived. Mostly somebody paused it for an upgrade or a look at old data, and forgot.

    Fix: pg_wal_replay_resume(); for one that receives nothing, its log and primary_conninfo.

    Example: SELECT pg_wal_replay_pause() to look at Monday's data, and nobody ran pg_wal_replay_resume(): on Friday the standby
    still answers with Monday's rows.

    Source: PostgreSQL manual, "Recovery Control Functions"; "pg_stat_wal_receiver"

    Observed: replay_paused, receiver_state, replay_lag_bytes, replay_lag_s
    """
    nodes = [node for node in standby_nodes(evidence) if node.replication is not None]
    yield Examined(len(nodes), len(nodes), "standbys")
    for node in nodes:
        replication = node.replication
        if replication is None:
            continue
        observed = {
            "replay_paused": replication.replay_paused, "receiver_state": replication.receiver_state,
            "replay_lag_bytes": replication.replay_lag_bytes, "replay_lag_s": replication.replay_lag_s,
        }  # fmt: skip
        if replication.replay_paused:
            yield Finding(
                Subject("node", (node.name,)),
                f"Replay is paused on {node.name}",
                Fix("Resume it, unless somebody needs it as it is now.", sql="SELECT pg_wal_replay_resume();",
                    undo="SELECT pg_wal_replay_pause();"),
                observed=observed,
            )  # fmt: skip
        elif replication.receiver_state is None and not _replays_an_archive(node) and not is_managed(node.server):
            yield Finding(
                Subject("node", (node.name,)),
                f"{node.name} is in recovery, and receives nothing",
                Fix("Read its log: the primary does not answer, refuses it, or no longer has the WAL it asks for; then it must "
                    "be built anew."),
                observed=observed,
            )  # fmt: skip


def _replays_an_archive(node: Node) -> bool:
    return bool(node.settings) and node.settings is not None and node.settings.value("restore_command") == "(set)"


@check("replication.synchronous-stall", catalogue="R12", severity=Severity.HIGH, needs=[Settings, Replication, Server])
def synchronous_stall(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Commits wait for a standby, and there is none to spare.

    With synchronous replication each commit waits until enough standbys have confirmed it. If as many are named as are there,
    the loss of one stops every write of the application, until somebody changes the setting.

    Fix: One synchronous standby more than must confirm: ANY 1 (a, b).

    Example: synchronous_standby_names = 'FIRST 1 (s1)' with s1 as the only standby: while s1 restarts, every COMMIT waits. 'ANY
    1 (s1, s2)' goes on with the other.

    Source: PostgreSQL manual, "Synchronous Replication"; "synchronous_standby_names"

    Observed: synchronous_standby_names, required, connected, synchronous_commit
    """
    settings, replication, server = evidence.get(Settings), evidence.get(Replication), evidence.get(Server)
    names = (settings.value("synchronous_standby_names") or "").strip()
    if server.is_standby or names in {"", "(empty)"} or keeps_pages_itself(server):
        # Neon names its WAL service there, which is no standby.
        raise NotApplicable("no commit waits for a standby")
    if replication.standbys_hidden:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_monitor"))
    required = required_confirmations(names)
    candidates = [entry for entry in replication.standbys if _confirms(entry)]
    commit = settings.value("synchronous_commit")
    yield Examined(1, 1, "server")
    if len(candidates) > required or commit in {"off", "local"}:
        return
    stalled = len(candidates) < required
    title = (
        f"Commits wait for {required} synchronous standby{'s' if required > 1 else ''}, and {len(candidates)} are there"
        if stalled
        else f"The loss of one standby stops every commit: {required} must confirm, and no more are there"
    )
    yield Finding(
        setting_subject("synchronous_standby_names"),
        title,
        Fix("Add a standby that may confirm as well, so that one can be lost; until then let fewer be required "
            "(synchronous_standby_names), and know that a failover may lose the last commits."),
        severity=Severity.CRITICAL if stalled else Severity.HIGH,
        observed={"synchronous_standby_names": names, "required": required,
                  "connected": [entry.application_name for entry in candidates], "synchronous_commit": commit},
    )  # fmt: skip


def required_confirmations(names: str) -> int:
    """How many standbys must confirm: of `FIRST 2 (a, b)` two; of a plain list one."""
    match = _SYNCHRONOUS.fullmatch(names)
    return int(match[2]) if match else 1


def _confirms(standby: Standby) -> bool:
    return standby.state == "streaming" and standby.sync_state in {"sync", "quorum", "potential"}
