"""Whether the server counts what its statements do."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Server, Settings, Statements
from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding, Fix, Reason, Severity, Subject, Unknown
from checks.registry import check
from checks.relations import grant
from checks.settings import is_managed, is_on, server_locations, setting_fix, setting_subject

NAME = "pg_stat_statements"
SUBSTITUTES = ("pg_stat_monitor",)


@check("observability.no-pg-stat-statements", catalogue="O01", severity=Severity.HIGH, needs=[Server, Settings])
def no_pg_stat_statements(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Nobody counts what each statement costs.

    Without pg_stat_statements the question "what keeps the database busy?" has no answer but guesses, before an incident and
    during one. It costs a few percent at most and is in every distribution and at every provider.

    Fix: Preload it, then CREATE EXTENSION in the application's database.

    Example: shared_preload_libraries = '' and a server at 90 % CPU: pg_stat_activity shows what runs at this moment, and
    nothing shows what ran most today.

    Source: PostgreSQL manual, "pg_stat_statements"

    Observed: preloaded, installed, track
    """
    server, settings = evidence.get(Server), evidence.get(Settings)
    libraries = settings.value("shared_preload_libraries")
    preloaded = None if libraries is None else NAME in _listed(libraries)
    installed = server.extension(NAME) is not None
    track = settings.value(f"{NAME}.track")
    substitute = next((name for name in SUBSTITUTES if name in _listed(libraries or "")), None)
    observed = {"preloaded": preloaded, "installed": installed, "track": track, "substitute": substitute}
    gap = evidence.gap(Statements)
    if gap is not None and installed and preloaded is not False and track != "none":
        raise Unknown(gap.reason, gap.unlock)
    yield Examined(1, 1, "database")
    if preloaded is False:
        yield Finding(
            setting_subject("shared_preload_libraries"),
            f"{NAME} is not preloaded" + (", though its extension is created" if installed else ""),
            _preload(server, libraries or "", installed),
            severity=Severity.LOW if substitute else None,
            observed=observed,
            locations=server_locations(evidence),
        )
    elif not installed:
        known = "is preloaded but its" if preloaded else "has no"
        yield Finding(
            Subject("extension", (NAME,)),
            f"{NAME} {known} extension {'is not created ' if preloaded else ''}in database {server.database}",
            Fix(
                "Create the extension in this database; what the server counted already is there at once."
                if preloaded
                else "Create the extension in this database; it must also stand in shared_preload_libraries, which this "
                "role may not read.",
                sql=f"CREATE EXTENSION {NAME};",
                undo=f"DROP EXTENSION {NAME};",
            ),
            severity=Severity.MEDIUM if preloaded else None,
            observed=observed,
        )
    elif track == "none":
        yield Finding(
            setting_subject(f"{NAME}.track"),
            f"{NAME} is loaded but counts nothing: {NAME}.track is none",
            setting_fix(server, "Count statements that clients send.", {f"{NAME}.track": "top"}),
            observed=observed,
        )


def _listed(libraries: str) -> list[str]:
    return [name.strip().strip('"') for name in libraries.split(",") if name.strip()]


def _preload(server: Server, libraries: str, installed: bool) -> Fix:
    """A list setting takes its names unquoted, each on its own: one quoted string would name one library."""
    create = "" if installed else f" Then CREATE EXTENSION {NAME}."
    if is_managed(server):
        return Fix(f"Add {NAME} to shared_preload_libraries in the provider's parameters and restart.{create}")
    names = [*_listed(libraries), NAME]
    plain = all(name.replace("_", "").isalnum() and name.islower() for name in names)
    former = ", ".join(names[:-1])
    return Fix(
        f"Add {NAME} to shared_preload_libraries and restart.{create}",
        sql=f"ALTER SYSTEM SET shared_preload_libraries = {', '.join(names)};" if plain else None,
        undo=f"ALTER SYSTEM SET shared_preload_libraries = {former}; -- and restart"
        if plain and former
        else "ALTER SYSTEM RESET shared_preload_libraries; -- and restart",
    )


@check("observability.no-io-timing", catalogue="O04", severity=Severity.MEDIUM, needs=[Settings, Server])
def no_io_timing(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The server does not measure how long it waits for reads and writes.

    With track_io_timing off, nobody can tell a statement that waits for the disk from one that computes, nor see the disk
    get slower. On today's clocks the cost is not measurable; pg_test_timing tells.

    Fix: Switch it on; it takes effect without a restart.

    Example: track_io_timing = off: EXPLAIN (ANALYZE, BUFFERS) says read=40000 and no I/O Timings: whether they took 50 ms or 5
    s stays open.

    Source: PostgreSQL manual, "track_io_timing"

    Observed: value, source
    """
    settings = evidence.get(Settings)
    entry = settings.by_name.get("track_io_timing")
    if entry is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    yield Examined(1, 1, "setting")
    if not is_on(entry.value):
        yield Finding(
            setting_subject("track_io_timing"),
            "track_io_timing is off: time spent on I/O is not measured",
            setting_fix(evidence.get(Server), "Measure I/O time.", {"track_io_timing": "on"}),
            observed={"value": entry.value, "source": entry.source},
            locations=server_locations(evidence),
        )
