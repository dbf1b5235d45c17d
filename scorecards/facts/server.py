"""Facts about settings, replication and deployment that decide criteria."""

from __future__ import annotations

from checks.evidence.database.facts import Pooler, Replication, Server, Settings, Slot
from checks.evidence.evidence import Evidence
from checks.evidence.repository.deployment import COPY_OF_FILES
from checks.evidence.repository.facts import Repository
from checks.figures import bytes_in_words
from checks.model import Reason, Subject, quote_identifier
from checks.settings import is_managed, is_on, keeps_pages_itself, milliseconds, setting_subject, size_in_bytes
from scorecards.facts.verdict import Verdict, absent, judged, listed, met, undecided, unknown, unmet
from scorecards.facts.workload import agents_connected
from scorecards.rubric import Strength

UNLIMITED_SLOT_BYTES = 10 * 10**9
SLOW_MS = 1_000


def autovacuum_on(evidence: Evidence) -> Verdict:
    return _switched_on(evidence, ("autovacuum", "track_counts"))


def durability_on(evidence: Evidence) -> Verdict:
    """Of the server as a whole: a single role may commit asynchronously."""
    verdict = _switched_on(evidence, ("fsync", "full_page_writes"))
    if keeps_pages_itself(evidence.get(Server)):
        verdict = met("the provider's own storage keeps pages and WAL")
    commit = evidence.get(Settings).value("synchronous_commit")
    if verdict.status == "met" and commit == "off":
        return unmet("synchronous_commit is off for all roles")
    return verdict


def _switched_on(evidence: Evidence, names: tuple[str, ...]) -> Verdict:
    settings = evidence.get(Settings)
    values = {name: settings.value(name) for name in names}
    off = [name for name, value in values.items() if value is not None and not is_on(value)]
    if off:
        return unmet(f"off: {listed(off)}", objects=(setting_subject(name) for name in off))
    if None in values.values():
        return unknown(Reason.NOT_PERMITTED, _monitor(evidence))
    return met(f"{' and '.join(names)} are on")


def slow_statements_recorded(evidence: Evidence) -> Verdict:
    """In the server's own log. A provider or a monitoring agent may record them too, which is not visible from inside."""
    settings, server = evidence.get(Settings), evidence.get(Server)
    if milliseconds(settings, "log_min_duration_statement") is None:
        return unknown(Reason.NOT_PERMITTED, _monitor(evidence))
    recorded = _slow_log(settings)
    if recorded:
        return met(recorded)
    if is_managed(server) or agents_connected(evidence) or _deployed(evidence, "metrics_agent"):
        return undecided("the log records no slow statement")
    return unmet("neither the log nor auto_explain records slow statements")


def slow_threshold(evidence: Evidence) -> Verdict:
    settings = evidence.get(Settings)
    threshold = milliseconds(settings, "log_min_duration_statement")
    if threshold is None:
        return unknown(Reason.NOT_PERMITTED, _monitor(evidence))
    if 0 <= threshold <= SLOW_MS:
        return met(f"logged from {threshold:g} ms on")
    if _sampled(settings):
        return met("a sample is logged")
    return unmet("not logged" if threshold < 0 else f"logged from {threshold:g} ms on only")


def _slow_log(settings: Settings) -> str:
    threshold = milliseconds(settings, "log_min_duration_statement")
    if threshold is not None and threshold >= 0:
        return f"logged from {threshold:g} ms on"
    explained = milliseconds(settings, "auto_explain.log_min_duration")
    if explained is not None and explained >= 0:
        return f"auto_explain from {explained:g} ms on"
    return "a sample is logged" if _sampled(settings) else ""


def _sampled(settings: Settings) -> bool:
    threshold = milliseconds(settings, "log_min_duration_sample")
    return threshold is not None and threshold >= 0 and float(settings.value("log_statement_sample_rate") or 0) > 0


def events_logged(evidence: Evidence) -> Verdict:
    settings = evidence.get(Settings)
    values = {
        "log_lock_waits": is_on(settings.value("log_lock_waits")),
        "log_temp_files": (size_in_bytes(settings, "log_temp_files") or 0) >= 0,
        "log_autovacuum_min_duration": (milliseconds(settings, "log_autovacuum_min_duration") or 0) >= 0,
        "log_checkpoints": is_on(settings.value("log_checkpoints")),
    }
    if any(settings.value(name) is None for name in values):
        return unknown(Reason.NOT_PERMITTED, _monitor(evidence))
    off = [name for name, logged in values.items() if not logged]
    return judged(not off, f"{len(values) - len(off)} of {len(values)}" + (f"; off: {listed(off)}" if off else ""))


def ddl_history(evidence: Evidence) -> Verdict:
    """log_statement or pgaudit; an event trigger or the provider may keep one that is not visible here."""
    settings = evidence.get(Settings)
    logged = settings.value("log_statement")
    if logged in ("ddl", "mod", "all"):
        return met(f"log_statement = {logged}")
    audited = (settings.value("pgaudit.log") or "").lower()
    if "ddl" in audited or "all" in audited:
        return met(f"pgaudit.log = {audited}")
    return undecided(f"log_statement = {logged}" if logged else "")


def metrics_agent(evidence: Evidence) -> Verdict:
    """An agent that is connected, else one that the repository deploys."""
    connected = agents_connected(evidence)
    if connected:
        return met(f"connected: {listed(connected)}")
    deployed = _deployed(evidence, "metrics_agent")
    if deployed:
        return met(f"deployed: {listed(deployed)}", Strength.INFERRED)
    return undecided("no agent seen")


def slots_are_safe(evidence: Evidence) -> Verdict:
    """A lost slot counts only if its consumer is seen, under the slot's name; a leftover one harms nobody."""
    replication, settings = evidence.get(Replication), evidence.get(Settings)
    if evidence.get(Server).is_standby:
        return unknown(Reason.DATABASE_NOT_GIVEN, "give the DSN of the primary: its slots hold its WAL")
    limit = size_in_bytes(settings, "max_slot_wal_keep_size")
    consumers = {standby.application_name for standby in replication.standbys}
    slots = [slot for slot in replication.slots if not slot.temporary and not slot.synced]
    bad = {slot.name: problem for slot in slots if (problem := _slot_problem(slot, limit, consumers))}
    if bad:
        return unmet(listed(list(bad.values())), objects=(Subject("slot", (name,)) for name in bad))
    return met(f"{len(slots)} of {len(slots)} slots") if slots else met("no replication slot")


def _slot_problem(slot: Slot, limit: float | None, consumers: set[str]) -> str:
    if slot.wal_status == "unreserved":
        return f"{slot.name} is losing WAL"
    if slot.wal_status == "lost" and slot.invalidation_reason in (None, "wal_removed") and slot.name in consumers:
        return f"{slot.name} lost WAL that its consumer needs"
    retained = slot.retained_bytes or 0
    if not slot.active and limit == -1 and retained > UNLIMITED_SLOT_BYTES:
        return f"{slot.name} is inactive and holds {bytes_in_words(retained)}"
    return ""


def synchronous_standby_streams(evidence: Evidence) -> Verdict:
    settings = evidence.get(Settings)
    names = settings.value("synchronous_standby_names")
    if names is None:
        return unknown(Reason.NOT_PERMITTED, _monitor(evidence))
    if not names.strip():
        return absent("synchronous_standby_names is empty")
    if keeps_pages_itself(evidence.get(Server)):
        return absent("the provider's own storage confirms commits")
    replication = evidence.get(Replication)
    if evidence.get(Server).is_standby:
        return unknown(Reason.DATABASE_NOT_GIVEN, "give the DSN of the primary: its standbys are listed there")
    serving = [entry for entry in replication.standbys if entry.sync_state in ("sync", "quorum")]
    streaming = [entry.application_name for entry in serving if entry.state == "streaming"]
    if streaming:
        return met(f"streaming: {listed(sorted(streaming))}")
    if replication.standbys_hidden:
        return unknown(Reason.NOT_PERMITTED, _monitor(evidence))
    objects = [setting_subject("synchronous_standby_names")]
    return unmet("no synchronous standby is streaming: commits wait", objects=objects)


def archiver_not_failing(evidence: Evidence) -> Verdict:
    """A failing archiver is measured. A working one archives WAL, which is no backup yet: that a person must say."""
    server, archiver = evidence.get(Server), evidence.get(Replication).archiver
    if archiver is None or archiver.last_failed is None:
        return undecided()
    succeeded = archiver.last_archived
    if succeeded is not None and succeeded >= archiver.last_failed:
        return undecided("WAL archiving works")
    # Failures before the first success have no start on record; the last failure is then the best that is known.
    failing_s = (server.observed_at - (succeeded or archiver.last_failed)).total_seconds()
    if failing_s > evidence.limit("archiver_failing_s"):
        words = f"the archiver has been failing for {failing_s / 3600:.1f} h"
        return unmet(words, objects=[setting_subject("archive_command")])
    return undecided("the archiver failed lately")


def backup_in_deployment(evidence: Evidence) -> Verdict:
    seen = [detail for detail in _deployed(evidence, "backup") if detail != COPY_OF_FILES]
    return (
        met(f"deployed: {listed(seen)}", Strength.INFERRED) if seen else undecided("no backup seen in the repository")
    )


def replication_alerts(evidence: Evidence) -> Verdict:
    """Alert rules that speak of replication."""
    rules = [detail for detail in _deployed(evidence, "alert_rules") if _speaks_of_replication(detail)]
    if rules:
        return met(f"alert rules: {listed(rules)}", Strength.INFERRED)
    return undecided("no alert rule on replication seen in the repository")


def _speaks_of_replication(detail: str) -> bool:
    return any(word in detail.lower() for word in ("lag", "replica", "replication", "slot", "standby"))


def transaction_pooling(evidence: Evidence) -> Verdict:
    """As the pooler's console says, else the deployment."""
    asked = evidence.find(Pooler)
    if asked is not None and asked.pools:
        others = sorted({pool.mode for pool in asked.pools} - {"transaction", "statement"})
        words = f"{len(asked.pools)} pools of {asked.name}"
        return judged(not others, f"{words}: {listed(others)}" if others else f"{words} by transaction")
    poolers = [detail for detail in _deployed(evidence, "pooler") if "transaction" in detail.lower()]
    if poolers:
        return met(f"pooler: {listed(poolers)}", Strength.INFERRED)
    return undecided("no transaction pooler seen in the repository")


def retries_back_off(evidence: Evidence) -> Verdict:
    """Retries at once or at a fixed interval are seen in code; that all others back off only a person can say."""
    bare = [
        f"{entry.location.path}:{entry.location.line}"
        for entry in evidence.get(Repository).behaviours
        if entry.kind == "retry_without_backoff"
    ]
    if bare:
        return unmet(f"sent again at once or after a fixed time: {listed(bare)}", Strength.INFERRED)
    return undecided("no retry without backoff seen in the code")


def _deployed(evidence: Evidence, kind: str) -> list[str]:
    repository = evidence.find(Repository)
    return sorted({fact.detail for fact in (repository.deployment if repository else ()) if fact.kind == kind})


def _monitor(evidence: Evidence) -> str:
    server = evidence.find(Server)
    return f"GRANT pg_monitor TO {quote_identifier(server.user) if server else 'the reviewing role'};"
