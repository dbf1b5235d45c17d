"""Facts about nodes, pools and what stands between, as they run and as the deployment describes them."""

from __future__ import annotations

import datetime as dt
import re
from itertools import pairwise

from checks.evidence.database.facts import Activity, Replication, Server, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import DeploymentFact, Repository
from checks.evidence.tokens import Kind, significant
from checks.model import Reason
from checks.observability.watching import process_count
from checks.settings import is_managed, is_tried_out
from scorecards.facts.verdict import Verdict, judged, listed, met, undecided, unknown, unmet
from scorecards.rubric import Strength

POOLS_SHARE = 0.8
READS_MOVED, READS_NOT_MOVED = 0.5, 0.05
_COUNTED = re.compile(r"(\d+) of (\d+) instances")


def pools_fit(evidence: Evidence) -> Verdict:
    """The pool sizes that one file of the repository sets, added up, times the processes that the deployment asks for: of the
    file with the largest sum, because another may set the same pools again. Where nothing says how many processes there are, a
    sum that fits decides nothing."""
    limit = evidence.get(Activity).max_connections
    sums: dict[str, int] = {}
    for fact in _deployed(evidence, "pool_size"):
        if number := re.search(r"\d{1,9}", fact.detail):
            sums[fact.location.path] = sums.get(fact.location.path, 0) + int(number[0])
    if not sums or not limit:
        return undecided("no pool size seen in the repository" if limit else "")
    poolers = [fact.detail for fact in _deployed(evidence, "pooler")]
    path = max(sums, key=lambda path: (sums[path], path))
    if poolers:
        return undecided(f"{path} sets pools of {sums[path]}, with a pooler between ({listed(sorted(set(poolers)))})")
    processes = process_count(evidence)
    wanted = sums[path] * (processes or 1)
    times = f"{processes} processes" if processes else "one instance of each service"
    words = f"{path} sets pools of {sums[path]} for {limit} connections, with {times}"
    if wanted > POOLS_SHARE * limit:
        return unmet(words, Strength.INFERRED)
    return met(words, Strength.INFERRED) if processes else undecided(words)


def topology_documented(evidence: Evidence) -> Verdict:
    """The standbys that stream against those that the deployment describes. One that describes none may be written down
    elsewhere, which a person must say."""
    server, replication = evidence.get(Server), evidence.get(Replication)
    if server.is_standby:
        return unknown(Reason.DATABASE_NOT_GIVEN, "give the DSN of the primary: its standbys are listed there")
    if is_managed(server):
        return undecided("the provider does not show its nodes")
    if replication.standbys_hidden:
        return unknown(Reason.NOT_PERMITTED, f"GRANT pg_monitor TO {server.user};")
    streaming = sorted(
        {entry.application_name for entry in replication.standbys if not entry.logical and entry.state == "streaming"}
    )
    described = [
        fact
        for fact in (*_deployed(evidence, "standby"), *_deployed(evidence, "high_availability"))
        if not is_tried_out(fact.location.path)
    ]
    seen = f"{len(streaming)} standbys stream" if len(streaming) > 1 else f"{len(streaming) or 'no'} standby streams"
    if not described:
        return undecided(f"{seen}, and the repository describes none")
    counted = [int(found[1]) for fact in described if (found := _COUNTED.fullmatch(fact.detail))]
    place = f"{described[0].location.path}:{described[0].location.line}"
    if counted:
        return judged(len(streaming) == max(counted), f"{seen}, {place} describes {max(counted)}")
    return judged(bool(streaming), f"{seen}, {place} describes {described[0].detail}")


def reads_on_replicas(evidence: Evidence) -> Verdict:
    """Execution time of statements that only read, per day, on the replicas that were given and on the primary."""
    primary = evidence.get(Statements)
    replicas = [replica for replica in evidence.replicas if replica.server.is_standby]
    if not replicas:
        replication = evidence.find(Replication)
        if replication is not None and any(not entry.logical for entry in replication.standbys):
            return unknown(
                Reason.REPLICA_NOT_REACHABLE, "--replica DSN of each standby: its statements tell what it serves"
            )
        return undecided("no replica seen")
    counted = [replica.statements for replica in replicas if replica.statements is not None]
    if len(counted) < len(replicas):
        return unknown(Reason.EXTENSION_MISSING, "the role must read pg_stat_statements on each replica too")
    moved = sum(_reading_per_day(entry, evidence.observed_at) for entry in counted)
    total = moved + _reading_per_day(primary, evidence.observed_at)
    if not total:
        return undecided("no statement that only reads was seen")
    words = f"{moved / total:.0%} of the time of reads is spent on {len(replicas)} replicas"
    if moved >= READS_MOVED * total:
        return met(words)
    return unmet(words) if moved < READS_NOT_MOVED * total else undecided(words)


def _reading_per_day(statements: Statements, now: dt.datetime) -> float:
    days = max((now - statements.since).total_seconds() / 86_400, 1 / 24) if statements.since else 1.0
    return sum(entry.total_ms for entry in statements.entries if _only_reads(entry.text)) / days


def _only_reads(text: str) -> bool:
    words = [token.text.lower() for token in significant(text) if token.kind is Kind.WORD]
    locks = any(first == "for" and second in {"update", "share", "no", "key"} for first, second in pairwise(words))
    writes = {"insert", "update", "delete", "merge", "into"} & set(words)
    return bool(words) and words[0] in {"select", "with"} and not locks and not writes


def pooler_stands_close(evidence: Evidence) -> Verdict:
    """A pooler that is deployed in the same file or folder as the server, with idle time-outs of its own choice. Where one of
    both is not seen, it may be somewhere else."""
    poolers, servers = _deployed(evidence, "pooler"), _deployed(evidence, "server_image")
    chosen = _deployed(evidence, "pooler_timeout")
    if not poolers:
        return undecided("no pooler seen in the repository")
    places = {_folder(fact) for fact in servers}
    close = [fact for fact in poolers if _folder(fact) in places]
    if close and chosen:
        return met(
            f"{_folder(close[0]) or 'one file'}: {listed(sorted({fact.detail for fact in chosen}))}", Strength.INFERRED
        )
    if close:
        return undecided("the pooler is deployed beside the server, with the idle time-outs that it has by default")
    return undecided("a pooler is seen, and not where it stands")


def _folder(fact: DeploymentFact) -> str:
    return fact.location.path.rpartition("/")[0]


def _deployed(evidence: Evidence, kind: str) -> list[DeploymentFact]:
    repository = evidence.find(Repository)
    return [fact for fact in (repository.deployment if repository else ()) if fact.kind == kind]
