"""What evidence already says about a question that only a person can answer. It decides nothing; it saves the asking."""

from __future__ import annotations

from collections.abc import Callable

from checks.evidence.database.facts import Catalog, Replication, Server, Settings
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.model import Location
from checks.relations import is_reviewed
from checks.settings import milliseconds
from scorecards.facts.verdict import listed

Hint = Callable[[Evidence], str]
LARGE_BYTES = 10 * 10**9


def hint(id: str, evidence: Evidence) -> str:
    """For the question of that criterion, in words; empty where evidence says nothing."""
    found = HINTS.get(id)
    return found(evidence) if found else ""


def _deployed(kind: str, words: str) -> Hint:
    """What the repository deploys of that kind, with the place of the first."""

    def seen(evidence: Evidence) -> str:
        repository = evidence.find(Repository)
        facts = [fact for fact in repository.deployment if fact.kind == kind] if repository else []
        if not facts:
            return f"no {words} in the repository" if repository else ""
        names = sorted({fact.detail for fact in facts})
        return f"{words} in the repository: {listed(names)} ({_place(facts[0].location)})"

    return seen


def _extensions(*names: str) -> Hint:
    def seen(evidence: Evidence) -> str:
        server = evidence.find(Server)
        there = [name for name in names if server and server.extension(name)]
        if server is None:
            return ""
        return f"installed: {listed(there)}" if there else f"not installed: {listed(list(names))}"

    return seen


def _plans_sampled(evidence: Evidence) -> str:
    settings = evidence.find(Settings)
    threshold = milliseconds(settings, "auto_explain.log_min_duration") if settings else None
    if settings is None:
        return ""
    if threshold is None or threshold < 0:
        return "auto_explain is not loaded, or logs nothing"
    return f"auto_explain logs plans from {threshold:g} ms on, sample rate {settings.value('auto_explain.sample_rate') or 1}"


def _large_tables(evidence: Evidence) -> str:
    catalog = evidence.find(Catalog)
    large = [table for table in catalog.tables if (table.total_bytes or 0) > LARGE_BYTES] if catalog else []
    return f"larger than 10 GB: {listed([table.subject.name for table in large])}" if large else ""


def _standbys(evidence: Evidence) -> str:
    replication = evidence.find(Replication)
    if replication is None:
        return ""
    names = sorted({standby.application_name for standby in replication.standbys if not standby.logical})
    slots = [slot for slot in replication.slots if slot.kind == "logical" and not slot.temporary]
    ready = sum(slot.failover for slot in slots)
    words = f"standbys connected: {listed(names)}" if names else "no standby connected"
    return f"{words}; {ready} of {len(slots)} logical slots survive a failover" if slots else words


def _row_security(evidence: Evidence) -> str:
    """Of the tables that hold embeddings."""
    catalog = evidence.find(Catalog)
    if catalog is None:
        return ""
    holding = {column.table for column in catalog.columns if column.base_type in ("vector", "halfvec", "sparsevec")}
    tables = [table for table in catalog.tables if table.oid in holding and is_reviewed(table)]
    secured = sum(table.row_security for table in tables)
    return f"row security on {secured} of {len(tables)} tables with embeddings" if tables else ""


def _place(location: Location) -> str:
    return f"{location.path}:{location.line}"


HINTS: dict[str, Hint] = {
    "SCH-3.3": _large_tables,
    "IDX-4.3": _extensions("pgstattuple", "pg_repack"),
    "IDX-5.2": _extensions("hypopg"),
    "PLN-3.1": _plans_sampled,
    "REP-R3": _deployed("backup", "backup"),
    "REP-2.2": _deployed("backup", "backup"),
    "REP-4.2": _standbys,
    "OBS-3.2": _deployed("alert_rules", "alert rules"),
    "OBS-4.1": _extensions("pg_stat_monitor"),
    "OBS-4.2": _extensions("pg_wait_sampling", "pgsentinel"),
    "OBS-4.3": _plans_sampled,
    "HYB-4.4": _row_security,
}
