"""Code that reads from standbys, and standbys that are not set up for what it reads."""

from __future__ import annotations

from collections.abc import Iterator

from checks.behaviours import places_of
from checks.evidence.database.facts import Replica, Server
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.figures import seconds_in_words
from checks.model import Confidence, Examined, Finding, NotApplicable, Reason, Severity, Subject, Unknown
from checks.registry import check
from checks.settings import is_on, milliseconds, setting_fix


@check("replication.replica-reads-unfit", catalogue="N21", severity=Severity.MEDIUM, needs=[Repository, Server])
def replica_reads_unfit(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Code reads from a standby that cancels what takes as long as these reads do.

    A standby without hot_standby_feedback lets the primary vacuum away what its queries still read, and cancels them after
    max_standby_streaming_delay. Reports and vector searches that take longer fail now and then, most of all when much is written.

    Fix: hot_standby_feedback on, for reads of minutes; a longer delay on a standby that nobody fails over to.

    Example: create_engine(os.environ["REPLICA_URL"]) for a report of ten minutes, and a standby with hot_standby_feedback = off
    and max_standby_streaming_delay = 30s: "canceling statement due to conflict with recovery".

    Source: PostgreSQL manual, "Handling Query Conflicts"; catalogue N21

    Observed: node, readers, longest_ms, delay_ms, hot_standby_feedback
    """
    readers = places_of(evidence, "reader_split")
    if not readers:
        raise NotApplicable("the code knows no reader apart from the writer")
    nodes = [replica for replica in evidence.replicas if replica.server.is_standby]
    if not nodes:
        raise Unknown(Reason.REPLICA_NOT_REACHABLE, "give the standby's DSN with --replica")
    yield Examined(len(nodes), len(nodes), "standbys")
    for node in nodes:
        delay = milliseconds(node.settings, "max_standby_streaming_delay")
        longest = _longest_ms(node)
        if delay is None or delay < 0 or is_on(node.settings.value("hot_standby_feedback")) or longest is None:
            continue
        if longest >= delay:
            yield Finding(
                Subject("node", (node.name,)),
                f"Reads on {node.name} take up to {seconds_in_words(longest / 1000)}, and it cancels what is in the way of "
                f"replay after {seconds_in_words(delay / 1000)}",
                setting_fix(node.server, "Let the standby tell which rows it still needs.", {"hot_standby_feedback": "on"}),
                confidence=Confidence.INFERRED,
                observed={"node": node.name, "readers": sorted({place.behaviour.detail for place in readers}),
                          "longest_ms": round(longest), "delay_ms": round(delay), "hot_standby_feedback": "off"},
                locations=tuple(place.location for place in readers),
            )  # fmt: skip


def _longest_ms(node: Replica) -> float | None:
    """The longest a SELECT took that ran there more than once or twice."""
    entries = node.statements.entries if node.statements else ()
    times = [entry.max_ms for entry in entries if entry.max_ms is not None and entry.calls >= 10
             and entry.text.lstrip(" (").lower().startswith(("select", "with"))]  # fmt: skip
    return max(times, default=None)
