"""What the server's memory and disk have to bear."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Server, Settings, Usage
from checks.evidence.evidence import Evidence
from checks.figures import bytes_in_words
from checks.model import Examined, Finding, Fix, NotApplicable, Reason, Severity, Subject, Unknown
from checks.registry import check
from checks.relations import grant
from checks.settings import is_managed, server_locations, setting_fix, setting_subject, size_in_bytes

# Below that many blocks read from outside shared_buffers a ratio says nothing.
READ_BLOCKS = 50_000
HUGE_PAGES_FROM = 8 * 1024**3


@check("observability.cache-hit", catalogue="O53", severity=Severity.NOTE, needs=[Usage, Server], window="window_days")
def cache_hit(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Many blocks are not found in shared_buffers.

    They may still come from the operating system's cache, so this is no defect by itself. It says that what is worked on does
    not fit, and that reads will slow down first when memory gets scarce.

    Fix: First the statements that read most blocks; then more memory.

    Example: 91 % of the blocks of database app were found in shared_buffers of 512 MB; the tables that are read all day have 6
    GB.

    Source: PostgreSQL manual, "pg_stat_database" (blks_hit, blks_read)

    Observed: hit_share, blocks_read, blocks_hit, shared_buffers_bytes
    """
    evidence.require_window("window_days")
    usage, server, settings = evidence.get(Usage), evidence.get(Server), evidence.find(Settings)
    hit, read = (int(usage.database.get(name) or 0) for name in ("blks_hit", "blks_read"))
    if read < READ_BLOCKS:
        raise NotApplicable(f"only {read:,} blocks were read from outside shared_buffers")
    yield Examined(1, 1, "database")
    share = hit / (hit + read)
    if share < evidence.limit("cache_hit"):
        yield Finding(
            Subject("database", (server.database,)),
            f"{share:.0%} of block reads are served from shared_buffers",
            Fix("See which statements read most blocks (pg_stat_statements.shared_blks_read): an index often saves more than "
                "memory does."),
            observed={"hit_share": round(share, 4), "blocks_read": read, "blocks_hit": hit,
                      "shared_buffers_bytes": size_in_bytes(settings, "shared_buffers") if settings else None},
        )  # fmt: skip


@check("observability.temp-files", catalogue="O54", severity=Severity.MEDIUM, needs=[Usage, Server, Settings],
       window="window_days")  # fmt: skip
def temp_files(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Statements write many temporary files.

    A sort or hash that does not fit into work_mem goes to disk, and is several times slower. Without temp_file_limit one such
    statement can fill the disk, and stop every write of the database.

    Fix: The statement first (fewer rows, an index that sorts); more work_mem for the role that needs it; temp_file_limit.

    Example: 640 GB of temporary files in a week, in pg_stat_database: SELECT DISTINCT over wide rows, 300 times an hour;
    temp_file_limit = '20GB' keeps a single one from filling the disk.

    Source: PostgreSQL manual, "work_mem"; "temp_file_limit"; "pg_stat_database" (temp_bytes)

    Observed: temp_files, temp_bytes, bytes_per_day, work_mem_bytes, temp_file_limit
    """
    days = evidence.require_window("window_days")
    usage, server, settings = evidence.get(Usage), evidence.get(Server), evidence.get(Settings)
    files, size = (int(usage.database.get(name) or 0) for name in ("temp_files", "temp_bytes"))
    yield Examined(1, 1, "database")
    per_day = size / max(days, 1)
    if per_day > evidence.limit("temp_bytes_per_day"):
        yield Finding(
            Subject("database", (server.database,)),
            f"{bytes_in_words(per_day)} of temporary files a day",
            Fix("Find the statements (pg_stat_statements.temp_blks_written, log_temp_files), give the role that needs it more "
                "work_mem, and set temp_file_limit so that none of them fills the disk."),
            observed={"temp_files": files, "temp_bytes": size, "bytes_per_day": round(per_day),
                      "work_mem_bytes": size_in_bytes(settings, "work_mem"),
                      "temp_file_limit": settings.value("temp_file_limit")},
        )  # fmt: skip


@check("observability.huge-pages", catalogue="O59", severity=Severity.LOW, needs=[Settings, Server])
def huge_pages(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Large shared buffers without huge pages.

    Each session maps all of shared_buffers by pages of 4 kB: with 16 GB that is 32 MB of page tables for every connection that
    has touched it, and time for looking them up.

    Fix: huge_pages = try with vm.nr_hugepages set to what shared_memory_size_in_huge_pages says.

    Example: shared_buffers = 32GB, huge_pages_status = off and 400 connections: up to 64 MB of page tables for each, 25 GB in
    all.

    Source: PostgreSQL manual, "Linux Huge Pages"; "huge_pages_status"

    Observed: huge_pages, huge_pages_status, shared_buffers_bytes
    """
    settings, server = evidence.get(Settings), evidence.get(Server)
    buffers, wanted = size_in_bytes(settings, "shared_buffers"), settings.value("huge_pages")
    if buffers is None or wanted is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    if is_managed(server):
        raise NotApplicable("the provider sets the machine's memory")
    yield Examined(1, 1, "server")
    status = settings.value("huge_pages_status")
    if buffers >= HUGE_PAGES_FROM and (wanted == "off" or status == "off"):
        yield Finding(
            setting_subject("huge_pages"),
            f"{bytes_in_words(buffers)} of shared buffers are mapped without huge pages",
            setting_fix(
                server,
                "Reserve huge pages on the machine first (vm.nr_hugepages).",
                {"huge_pages": "try"},
                restart=True,
            ),
            observed={"huge_pages": wanted, "huge_pages_status": status, "shared_buffers_bytes": int(buffers)},
            locations=server_locations(evidence),
        )
