"""Settings that every plan depends on."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, RoleSetting, Server, Settings, Statements
from checks.evidence.evidence import Evidence
from checks.figures import bytes_in_words
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Reason, Severity, Unknown, quote_identifier
from checks.observability.application_roles import application_roles
from checks.registry import check
from checks.relations import grant
from checks.settings import is_managed, is_on, server_locations, setting_fix, setting_subject, size_in_bytes

# Off by default, or no more than a preference of plans that cannot be had otherwise.
_OPTIONAL = frozenset({"enable_partitionwise_join", "enable_partitionwise_aggregate", "enable_group_by_reordering"})
DEFAULT_BUFFERS = 128 * 1024**2
DEFAULT_CACHE = 4 * 1024**3
DEFAULT_WORK_MEM = 4 * 1024**2
# What all sessions together may take beside shared_buffers before it deserves a word, in multiples of effective_cache_size.
MEMORY_FACTOR = 2
SPILLED_BLOCKS = 1_000_000
# Of joined relations, between which the planner compares all orders in little time (8 by default).
LEAST_ORDERS, MOST_ORDERS = 4, 16


def _value(evidence: Evidence, name: str) -> str:
    value = evidence.get(Settings).value(name)
    if value is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    return value


def _size(evidence: Evidence, name: str) -> float:
    size = size_in_bytes(evidence.get(Settings), name)
    if size is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    return size


@check("plans.planner-switch-off", catalogue="P70", severity=Severity.HIGH, needs=[Settings, Server])
def planner_switch_off(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A kind of plan is switched off for everybody.

    The enable_ switches are for finding out why a plan was chosen, in one session. Set for the server, a role or the database
    they take a choice from every statement, and the one that needs it becomes slow without anybody knowing why.

    Fix: RESET it, and mend the statistics or the index for the statement that it was meant for.

    Example: ALTER DATABASE app SET enable_nestloop = off, since one report was slow: SELECT ... JOIN ... WHERE orders.id = $1
    now hashes all of a table for one row.

    Source: PostgreSQL manual, "Planner Method Configuration"

    Observed: value, source, role, database
    """
    settings, server = evidence.get(Settings), evidence.get(Server)
    switches = [entry for entry in settings.entries if entry.name.startswith("enable_") and entry.name not in _OPTIONAL]
    if not switches:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    yield Examined(len(switches), len(switches), "settings")
    for entry in switches:
        if not is_on(entry.value):
            yield Finding(
                setting_subject(entry.name),
                f"{entry.name} is off for the whole server",
                setting_fix(server, "Switch it on again.", {entry.name: "on"}),
                observed={"value": entry.value, "source": entry.source, "role": None, "database": None},
                locations=server_locations(evidence),
            )
    for scoped in settings.role_settings:
        if scoped.name.startswith("enable_") and scoped.name not in _OPTIONAL and not is_on(scoped.value):
            yield _scoped(scoped)


def _scoped(entry: RoleSetting) -> Finding:
    role, database = quote_identifier(entry.role), quote_identifier(entry.database)
    whom = f"ROLE {role}" if entry.role else f"DATABASE {database}"
    within = f" IN DATABASE {database}" if entry.role and entry.database else ""
    return Finding(
        setting_subject(entry.name),
        f"{entry.name} is off for {'role ' + role if entry.role else 'database ' + database}",
        Fix("Reset it; set it within the one transaction that needs it.",
            sql=f"ALTER {whom}{within} RESET {entry.name};", undo=f"ALTER {whom}{within} SET {entry.name} = off;"),
        severity=Severity.MEDIUM,
        observed={"value": entry.value, "source": "role or database", "role": entry.role or None,
                  "database": entry.database or None},
        discriminator=f"{entry.role}\x1f{entry.database}",
    )  # fmt: skip


@check("plans.collapse-limits", catalogue="P76", severity=Severity.NOTE, needs=[Settings, Server])
def collapse_limits(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The planner was told to compare fewer, or many more, orders of joins.

    At join_collapse_limit = 1 tables are joined as they are written, whatever their sizes; at 20 planning one statement can take
    seconds, for the orders grow faster than exponentially.

    Fix: RESET it for the server; SET LOCAL it around the one statement that needs it.

    Example: ALTER SYSTEM SET join_collapse_limit = 1: FROM a JOIN b ... JOIN c ... joins a with b first, although c would leave
    three rows.

    Source: PostgreSQL manual, "Controlling the Planner with Explicit JOIN Clauses"; "join_collapse_limit"

    Observed: value, source
    """
    server = evidence.get(Server)
    limits = ("join_collapse_limit", "from_collapse_limit")
    values = {name: int(_value(evidence, name)) for name in limits}
    yield Examined(len(values), len(values), "settings")
    for name, value in values.items():
        if not LEAST_ORDERS <= value <= MOST_ORDERS:
            how = "does not look for a better order of joins" if value < LEAST_ORDERS else "may plan for seconds"
            yield Finding(
                setting_subject(name),
                f"{name} is {value}: the planner {how}",
                setting_fix(server, "Give it back its default.", {name: "8"}),
                observed={"value": value, "source": evidence.get(Settings).by_name[name].source},
                locations=server_locations(evidence),
            )


@check("plans.random-page-cost", catalogue="P71", severity=Severity.LOW, needs=[Settings, Server])
def random_page_cost(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The planner takes the disk for one with moving heads.

    random_page_cost is 4 by default: a page that an index leads to counts as four read in a row. On SSDs and network volumes it
    is nearly the same, and with 4 the planner reads whole tables where an index would be faster.

    Fix: 1.1 on SSDs, for the server; compare a few plans of important statements before and after.

    Example: random_page_cost = 4 on a server with SSDs: a statement for 5 % of a table reads all of it sequentially; at 1.1 it
    takes the index and a quarter of the time.

    Source: PostgreSQL manual, "random_page_cost"

    Observed: random_page_cost, seq_page_cost, source
    """
    settings, server = evidence.get(Settings), evidence.get(Server)
    random, sequential = float(_value(evidence, "random_page_cost")), float(_value(evidence, "seq_page_cost"))
    entry = settings.by_name["random_page_cost"]
    yield Examined(1, 1, "setting")
    observed = {"random_page_cost": random, "seq_page_cost": sequential, "source": entry.source}
    if random < sequential:
        yield Finding(
            setting_subject("random_page_cost"),
            f"random_page_cost ({random:g}) is below seq_page_cost ({sequential:g}): no disk is like that",
            setting_fix(
                server, "Give it at least the cost of a page read in order.", {"random_page_cost": f"{sequential:g}"}
            ),
            severity=Severity.MEDIUM,
            observed=observed,
            locations=server_locations(evidence),
        )
    elif random >= 4 * sequential and entry.source == "default" and not is_managed(server):
        yield Finding(
            setting_subject("random_page_cost"),
            "random_page_cost is 4, as for disks with moving heads",
            setting_fix(server, "On SSDs or network volumes:", {"random_page_cost": "1.1"}),
            confidence=Confidence.INFERRED,
            observed=observed,
            locations=server_locations(evidence),
        )


@check("plans.work-mem", catalogue="P72", severity=Severity.MEDIUM, needs=[Settings, Server])
def work_mem(evidence: Evidence) -> Iterator[Finding | Examined]:
    """work_mem fits neither the statements nor the memory.

    Each sort and hash of each session may take as much. At 4 MB, the default, the statements of a larger application write
    temporary files; far beyond it, a busy hour takes more memory than the machine has, and the server is killed.

    Fix: A moderate value for the server, more for the role that runs reports.

    Example: work_mem = 4MB and 90 GB of temporary files a day from the reports: ALTER ROLE reporting SET work_mem = '128MB'
    leaves the web server's sessions as they are.

    Source: PostgreSQL manual, "work_mem"; "hash_mem_multiplier"

    Observed: work_mem_bytes, max_connections, all_sessions_bytes, effective_cache_size_bytes, spilled_blocks
    """
    server, statements = evidence.get(Server), evidence.find(Statements)
    size, cache = _size(evidence, "work_mem"), _size(evidence, "effective_cache_size")
    connections = int(_value(evidence, "max_connections"))
    yield Examined(1, 1, "setting")
    spilled = sum(entry.temp_blocks_written for entry in statements.entries) if statements else 0
    # Half of the connections, each with one sort: far from the worst case.
    together = size * connections / 2
    observed = {
        "work_mem_bytes": int(size),
        "max_connections": connections,
        "all_sessions_bytes": int(together),
        "effective_cache_size_bytes": int(cache),
        "spilled_blocks": spilled,
    }
    if together > MEMORY_FACTOR * cache and size > DEFAULT_WORK_MEM:
        yield Finding(
            setting_subject("work_mem"),
            f"work_mem of {bytes_in_words(size)} for {connections} connections: one sort in every other session is "
            f"{bytes_in_words(together)}",
            setting_fix(
                server, "Lower it for the server, and raise it for the roles that need it.", {"work_mem": "16MB"}
            ),
            severity=Severity.HIGH,
            confidence=Confidence.INFERRED,
            observed=observed,
            locations=server_locations(evidence),
        )
    elif size <= DEFAULT_WORK_MEM and spilled > SPILLED_BLOCKS:
        yield Finding(
            setting_subject("work_mem"),
            f"work_mem is {bytes_in_words(size)}, and statements have written {spilled:,} blocks to temporary files",
            setting_fix(server, "Give sorts and hashes more room.", {"work_mem": "16MB"}),
            observed=observed,
            locations=server_locations(evidence),
        )


@check("plans.effective-cache-size", catalogue="P73", severity=Severity.LOW, needs=[Settings, Server])
def effective_cache_size(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The planner expects less memory for caching than shared_buffers alone.

    effective_cache_size allocates nothing: it tells the planner how much of an index is probably cached. Below shared_buffers it
    cannot be right, and index scans look dearer than they are.

    Fix: Half to three quarters of the machine's memory.

    Example: shared_buffers = 16GB and effective_cache_size = 4GB, its default: the planner takes a smaller cache for granted
    than the server has itself.

    Source: PostgreSQL manual, "effective_cache_size"

    Observed: effective_cache_size_bytes, shared_buffers_bytes
    """
    server, cache, buffers = (
        evidence.get(Server),
        _size(evidence, "effective_cache_size"),
        _size(evidence, "shared_buffers"),
    )
    yield Examined(1, 1, "setting")
    if cache < buffers:
        wanted = bytes_in_words(3 * buffers).replace(" ", "").replace(".0", "")
        yield Finding(
            setting_subject("effective_cache_size"),
            f"effective_cache_size ({bytes_in_words(cache)}) is below shared_buffers ({bytes_in_words(buffers)})",
            setting_fix(server, "Tell the planner what the machine can cache.", {"effective_cache_size": wanted}),
            observed={"effective_cache_size_bytes": int(cache), "shared_buffers_bytes": int(buffers)},
            locations=server_locations(evidence),
        )


@check("plans.shared-buffers", catalogue="P74", severity=Severity.MEDIUM, needs=[Settings, Server])
def shared_buffers(evidence: Evidence) -> Iterator[Finding | Examined]:
    """shared_buffers is at the default of a test machine.

    128 MB is what the server takes to start anywhere. A database of many gigabytes then passes every page through a cache that
    holds a hundredth of it, and evicts what it needs again a second later.

    Fix: A quarter of the machine's memory; a restart.

    Example: shared_buffers = 128MB on a machine with 32 GB and a database of 90 GB; ALTER SYSTEM SET shared_buffers = '8GB',
    and a restart.

    Source: PostgreSQL manual, "shared_buffers"

    Observed: shared_buffers_bytes, database_bytes
    """
    server, buffers = evidence.get(Server), _size(evidence, "shared_buffers")
    if server.size_bytes is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_stats"))
    yield Examined(1, 1, "setting")
    if buffers <= DEFAULT_BUFFERS and server.size_bytes > 16 * DEFAULT_BUFFERS and not is_managed(server):
        yield Finding(
            setting_subject("shared_buffers"),
            f"shared_buffers is {bytes_in_words(buffers)} for a database of {bytes_in_words(server.size_bytes)}",
            setting_fix(
                server,
                "Give it a quarter of the machine's memory, for instance:",
                {"shared_buffers": "2GB"},
                restart=True,
            ),
            observed={"shared_buffers_bytes": int(buffers), "database_bytes": server.size_bytes},
            locations=server_locations(evidence),
        )


@check("plans.statistics-target", catalogue="P75", severity=Severity.LOW, needs=[Settings, Server, Catalog])
def statistics_target(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The planner learns too little of each column, or too much.

    default_statistics_target says how many values and ranges of each column ANALYZE keeps. Well below 100 the planner guesses
    where it could know; at thousands for every column each planning reads them all.

    Fix: 100 for the server; ALTER TABLE ... ALTER COLUMN ... SET STATISTICS for the few columns that need more.

    Example: default_statistics_target = 10 for the whole server: of a column with 300 frequent values the planner knows ten,
    and takes the others for rare.

    Source: PostgreSQL manual, "default_statistics_target"

    Observed: default_statistics_target
    """
    server, target = evidence.get(Server), int(_value(evidence, "default_statistics_target"))
    yield Examined(1, 1, "setting")
    if target < 50 or target > 2_000:
        yield Finding(
            setting_subject("default_statistics_target"),
            f"default_statistics_target is {target}"
            + (": each plan reads thousands of values" if target > 2_000 else ""),
            setting_fix(server, "Take the default, and ANALYZE afterwards.", {"default_statistics_target": "100"}),
            observed={"default_statistics_target": target},
            locations=server_locations(evidence),
        )


@check("plans.jit-for-oltp", catalogue="P81", severity=Severity.LOW, needs=[Settings, Server, Statements])
def jit_for_oltp(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Statements are compiled that run for milliseconds.

    JIT compilation starts where a plan's estimated cost passes jit_above_cost, and takes tens to hundreds of milliseconds. On
    partitioned tables and after misestimates that is often longer than the statement itself runs.

    Fix: jit = off for the roles of the application; on for the role that runs reports.

    Example: a list over 60 partitions, with an estimated cost of 180,000 and a mean of 220 ms, of which 190 ms are compilation:
    ALTER ROLE app SET jit = off.

    Source: PostgreSQL manual, "Just-in-Time Compilation (JIT)"

    Observed: jit, jit_above_cost, statements, jit_ms
    """
    settings, statements = evidence.get(Settings), evidence.get(Statements)
    if not is_on(_value(evidence, "jit")):
        raise NotApplicable("jit is off")
    counted = [entry for entry in statements.entries if entry.jit_ms is not None]
    if not statements.entries:
        raise NotApplicable("no statement ran")
    if not counted:
        raise Unknown(Reason.SERVER_VERSION, "pg_stat_statements 1.10 and later (PostgreSQL 15) tells it")
    yield Examined(len(counted), len(statements.entries) + statements.hidden, "statements")
    slowed = [
        entry
        for entry in counted
        if entry.calls >= evidence.limit("chatty_calls_min") / 10
        and (entry.jit_ms or 0) > 0.5 * entry.total_ms
        and entry.total_ms > evidence.limit("dominant_total_ms")
    ]
    if slowed:
        total = sum(entry.jit_ms or 0 for entry in slowed)
        roles = application_roles(evidence)
        yield Finding(
            setting_subject("jit"),
            f"Compiling takes more than half of the time of {len(slowed)} statement{'s' if len(slowed) > 1 else ''}",
            setting_fix(evidence.get(Server), f"Switch it off for {', '.join(roles) or 'the application'}.", {"jit": "off"}),
            observed={"jit": "on", "jit_above_cost": settings.value("jit_above_cost"),
                      "statements": [entry.query_id for entry in slowed[:5]], "jit_ms": round(total)},
        )  # fmt: skip
