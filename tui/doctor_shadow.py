"""What `pgsurveyor doctor` tells of the shadow: whether there can be one, and what making it does to the target."""

from __future__ import annotations

from pathlib import Path

from checks.errors import TargetError
from checks.evidence.database.dsn import understand
from checks.evidence.database.facts import PlannerStatistics, Server
from checks.evidence.evidence import Evidence
from checks.shadow.binaries import EMBEDDED_MAJOR, SYSTEM_FOLDER, find_binaries_like
from checks.shadow.dump import LOCK_WAIT_MS, WALL_S, find_dump_program
from checks.text import visible

_ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})


def shadow_words(evidence: Evidence, server: Server, dsn: str, programs: Path | None) -> list[str]:
    """Lines for a person. Nothing is run on the target for them."""
    target = understand(dsn)
    head = "\nShadow (fixes tried and tables grown in an embedded server; --no-shadow leaves it out):"
    try:
        if target.transaction_pooling:
            raise TargetError(
                "pg_dump does not work through a transaction pooler", "give a DSN that goes to the server itself"
            )
        dump = find_dump_program(server.major, programs, tls=target.value("sslmode") in _ENCRYPTED)
        binaries = find_binaries_like(server.major, programs)
    except TargetError as error:
        return [head, visible(f"  none: {error}"), *([visible(f"  {error.hint}")] if error.hint else [])]
    lines = [
        head,
        f"  pg_dump {dump.major} would read the schema over this login, no row: one snapshot and ACCESS SHARE on every table,",
        f"  for {WALL_S:.0f} s at most; it gives up where a lock does not come within {LOCK_WAIT_MS} ms.",
        "  Sizes, planner statistics and the ends of indexes are read besides.",
        visible(f"  Programs: {binaries}{_of_major(binaries, server.major, programs)}"),
    ]
    statistics = evidence.find(PlannerStatistics)
    if statistics is not None and statistics.hidden_tables:
        lines.append(
            f"  {statistics.hidden_tables} tables that this role may not read are left out, with the statements over them."
        )
    return lines


def _of_major(binaries: Path, major: int, programs: Path | None) -> str:
    """Said where the shadow's major is known to be another."""
    if programs is not None or major == EMBEDDED_MAJOR or binaries.is_relative_to(SYSTEM_FOLDER / str(major)):
        return ""
    return f". Every plan is then planned by {EMBEDDED_MAJOR}, not {major}: --pg-bin names programs of {major}"
