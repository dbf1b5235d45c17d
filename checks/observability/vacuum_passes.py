"""How often one vacuum has to go through the indexes of a table."""

from __future__ import annotations

import math
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Server, Settings, Usage
from checks.evidence.evidence import Evidence
from checks.figures import bytes_in_words
from checks.model import Examined, Finding, NotApplicable, Reason, Severity, Unknown
from checks.observability.vacuum import Used, used_tables
from checks.registry import check
from checks.relations import grant
from checks.settings import setting_fix, size_in_bytes

# Before 17 vacuum notes each dead row by 6 bytes, in 1 GB at most.
ROW_BYTES = 6
MOST_BYTES = 1024**3
COMPACT_SINCE = 17


@check("observability.vacuum-index-passes", catalogue="O50", severity=Severity.LOW,
       needs=[Catalog, Usage, Settings, Server])  # fmt: skip
def vacuum_index_passes(evidence: Evidence) -> Iterator[Finding | Examined]:
    """One vacuum of a large table reads all of its indexes several times.

    Before 17 vacuum keeps a list of dead rows in maintenance_work_mem (autovacuum_work_mem); when it is full, it goes through
    every index, and begins to fill it again. A table whose dead rows do not fit at once takes a multiple of the time and of the
    reads.

    Fix: autovacuum_work_mem up to 1 GB; or autovacuum thresholds of the table's own, so that it is vacuumed sooner; or 17.

    Example: index_vacuum_count reached 4 for one vacuum of events on 15: 44 million dead rows at 6 bytes each do not fit into
    autovacuum_work_mem of 64 MB.

    Source: PostgreSQL manual, "maintenance_work_mem"; "vacuum_index_cleanup"

    Observed: passes, dead_rows, work_memory_bytes, index_bytes
    """
    settings, catalog, server = evidence.get(Settings), evidence.get(Catalog), evidence.get(Server)
    if server.major >= COMPACT_SINCE:
        raise NotApplicable(f"from {COMPACT_SINCE} on dead rows take little memory")
    memory = size_in_bytes(settings, "autovacuum_work_mem")
    if memory is not None and memory < 0:
        memory = size_in_bytes(settings, "maintenance_work_mem")
    if memory is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    fits = min(memory, MOST_BYTES) / ROW_BYTES
    tables = used_tables(evidence)
    yield Examined(len(tables), len(tables), "tables")
    found: list[tuple[int, int, Used]] = []
    for entry in tables:
        dead = max(entry.trigger, float(entry.usage.dead_tuples))
        size = sum(index.size_bytes or 0 for index in catalog.indexes_of(entry.table.oid))
        passes = math.ceil(dead / fits)
        if passes >= 2 and size and entry.enabled and entry.usage.updated + entry.usage.deleted:
            found.append((passes, size, entry))
    if not found:
        return
    passes, size, worst = max(found, key=lambda one: one[:2])
    dead = max(worst.trigger, float(worst.usage.dead_tuples))
    others = tuple(entry.table.subject for _, _, entry in found if entry is not worst)
    more = f" (and so it is with {len(others)} more)" if others else ""
    yield Finding(
        worst.table.subject,
        f"One vacuum of {worst.table.subject.name} goes through its {bytes_in_words(size)} of indexes {passes} times{more}",
        setting_fix(
            server,
            f"Give autovacuum memory for {dead:,.0f} dead rows, or have the table vacuumed sooner.",
            {"autovacuum_work_mem": f"{math.ceil(min(dead * ROW_BYTES, MOST_BYTES) / 1024**2)}MB"},
        ),
        severity=Severity.MEDIUM if passes > evidence.limit("vacuum_passes") else Severity.LOW,
        observed={
            "passes": passes,
            "dead_rows": round(dead),
            "work_memory_bytes": int(memory),
            "index_bytes": size,
        },
        related=others,
    )
