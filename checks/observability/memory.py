"""Whether the memory that sessions may take is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.database.facts import Server, Settings
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import DeploymentFact, Repository
from checks.figures import bytes_in_words
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Reason, Severity, Unknown
from checks.registry import check
from checks.relations import grant
from checks.settings import is_managed, is_tried_out, server_locations, setting_fix, setting_subject, size_in_bytes

_MEMORY = re.compile(r"(\d{1,20}) \((.*)\)")
# shared_buffers beyond that leave too little for sessions and for the operating system's cache.
BUFFERS_SHARE = 0.75


@check("observability.memory-overcommit", catalogue="O61", severity=Severity.MEDIUM, needs=[Settings, Server])
def memory_overcommit(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Sessions may take more memory than there is.

    Each sort and each hash of each session may take work_mem, on top of shared_buffers. When it all comes together the kernel
    kills a server process, and the server ends every session to be sure of its memory: minutes of outage, at the busiest moment.

    Fix: Fewer connections behind a pooler; a small work_mem for all, and a larger one for the role of the reports.

    Example: work_mem = 256MB and max_connections = 300 on a machine with 32 GB: 75 GB, if each session sorts once, on top of
    shared_buffers.

    Source: PostgreSQL manual, "Linux Memory Overcommit"; "work_mem"; "hash_mem_multiplier"

    Observed: memory_bytes, shared_buffers_bytes, work_mem_bytes, max_connections, worst_bytes, memory_of
    """
    settings, server = evidence.get(Settings), evidence.get(Server)
    sizes = {
        name: size_in_bytes(settings, name)
        for name in ("shared_buffers", "work_mem", "maintenance_work_mem", "autovacuum_work_mem")
    }
    numbers = {name: settings.value(name) for name in ("max_connections", "autovacuum_max_workers")}
    if None in sizes.values() or not all((value or "").isdigit() for value in numbers.values()):
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    if is_managed(server) and not _sets(evidence, "shared_buffers", "work_mem", "max_connections"):
        raise NotApplicable("the provider sizes memory and the settings that take it")
    memory, fact = _memory(evidence)
    yield Examined(1, 1, "server")
    buffers, work_mem = sizes["shared_buffers"] or 0.0, sizes["work_mem"] or 0.0
    vacuum = sizes["autovacuum_work_mem"] or 0.0
    vacuum = (sizes["maintenance_work_mem"] or 0.0) if vacuum < 0 else vacuum
    connections = int(numbers["max_connections"] or 0)
    worst = buffers + connections * work_mem + int(numbers["autovacuum_max_workers"] or 0) * vacuum
    observed = {
        "memory_bytes": memory, "shared_buffers_bytes": int(buffers), "work_mem_bytes": int(work_mem),
        "max_connections": connections, "worst_bytes": int(worst), "memory_of": fact.detail,
    }  # fmt: skip
    locations = (fact.location, *server_locations(evidence))[:5]
    if buffers > BUFFERS_SHARE * memory:
        yield Finding(
            setting_subject("shared_buffers"),
            f"shared_buffers is {bytes_in_words(buffers)} of {bytes_in_words(memory)}",
            setting_fix(
                server,
                "Leave most of it to sessions and to the operating system's cache.",
                {"shared_buffers": f"{int(memory / 4 / 1024**2)}MB"},
                restart=True,
            ),
            severity=Severity.HIGH,
            confidence=Confidence.INFERRED,
            observed=observed,
            locations=locations,
        )
    elif worst > evidence.limit("memory_overcommit") * memory:
        yield Finding(
            setting_subject("work_mem"),
            f"{connections} connections with {bytes_in_words(work_mem)} each, and {bytes_in_words(buffers)} of shared buffers: "
            f"up to {bytes_in_words(worst)} of {bytes_in_words(memory)}",
            Fix("Lower max_connections behind a pooler, or work_mem for all with a larger one for the roles that need it; "
                "vm.overcommit_memory = 2 makes a statement fail instead of the server."),
            confidence=Confidence.INFERRED,
            observed=observed,
            locations=locations,
        )  # fmt: skip


def _memory(evidence: Evidence) -> tuple[int, DeploymentFact]:
    """What the deployment gives the server; the largest of several, because any of them may run; what is only for
    development and tests is left out."""
    repository = evidence.find(Repository)
    facts = [fact for fact in (repository.deployment if repository else ()) if fact.kind == "memory"]
    found = [
        (int(matched[1]), fact)
        for fact in facts
        if (matched := _MEMORY.fullmatch(fact.detail)) and not is_tried_out(fact.location.path)
    ]
    if found:
        return max(found, key=lambda entry: entry[0])
    if repository is None:
        raise Unknown(Reason.REPO_NOT_GIVEN, "give the repository whose deployment says how much memory the server has")
    raise Unknown(
        Reason.NEEDS_ANSWER,
        "no server tells its memory by SQL: say it in the deployment, as the memory limit of the server's container or its "
        "instance class",
    )


def _sets(evidence: Evidence, *names: str) -> bool:
    """Whether the deployment itself sets one of them."""
    repository = evidence.find(Repository)
    return any(
        fact.kind == "setting" and fact.detail.partition(" =")[0] in names
        for fact in (repository.deployment if repository else ())
    )
