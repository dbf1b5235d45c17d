"""Whether slow statements leave a trace in the log."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Server, Settings
from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding, Reason, Severity, Unknown
from checks.observability.application_roles import application_roles
from checks.registry import check
from checks.relations import grant
from checks.settings import is_managed, milliseconds, server_locations, setting_fix, setting_subject

NAME = "log_min_duration_statement"


@check("observability.slow-log", catalogue="O07", severity=Severity.MEDIUM, needs=[Settings, Server])
def slow_log(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Slow statements are not logged, or every statement is.

    pg_stat_statements knows averages only: which call was slow, when, and with what parameters stands in the log or nowhere.
    Logging every statement is as bad: on a busy server the log itself becomes the load, and it holds everybody's data.

    Fix: log_min_duration_statement at a second or less, or a sample of all statements.

    Example: log_min_duration_statement = -1: the five statements of the night that took a minute each are in no log. '500ms'
    logs them; 0 would log all of them, with their parameters.

    Source: PostgreSQL manual, "When to Log"; "auto_explain"

    Observed: log_min_duration_statement_ms, log_min_duration_sample_ms, log_statement, auto_explain_ms
    """
    server, settings = evidence.get(Server), evidence.get(Settings)
    roles = application_roles(evidence) or ("",)
    thresholds = [milliseconds(settings, NAME, role, server.database) for role in roles]
    if any(threshold is None for threshold in thresholds):
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    known = [threshold for threshold in thresholds if threshold is not None]
    sample, explain = _sample_ms(settings), milliseconds(settings, "auto_explain.log_min_duration")
    observed = {
        "log_min_duration_statement_ms": max(known) if -1 not in known else -1,
        "log_min_duration_sample_ms": sample,
        "log_statement": settings.value("log_statement"),
        "auto_explain_ms": explain,
    }
    traced = any(value is not None and value >= 0 for value in (sample, explain))
    off, verbose = -1 in known, 0 in known or settings.value("log_statement") == "all"
    slow = max(known) > evidence.limit("slow_log_ms")
    if off and not traced and is_managed(server):
        raise Unknown(Reason.MANAGED_SERVICE_HIDES, "ask whether the provider's query insights record slow statements")
    yield Examined(1, 1, "server")
    if verbose:
        title, advice, severity = (
            "Every statement is logged, with its parameters"
            if 0 in known
            else "log_statement is all: every statement is logged",
            "Log what is slow only.",
            Severity.MEDIUM,
        )
    elif off and not traced:
        title, advice, severity = "Slow statements are not logged", "Log statements from a second on.", Severity.MEDIUM
    elif slow and not off and not traced:
        title = f"Only statements slower than {max(known) / 1000:g} s are logged"
        advice, severity = "Log statements from a second on.", Severity.LOW
    else:
        return
    settings_to_set = (
        {NAME: "1s"} if settings.value("log_statement") != "all" else {NAME: "1s", "log_statement": "none"}
    )
    yield Finding(
        setting_subject(NAME if not (verbose and 0 not in known) else "log_statement"),
        title,
        setting_fix(server, advice, settings_to_set),
        severity=severity,
        observed=observed,
        locations=server_locations(evidence),
    )


def _sample_ms(settings: Settings) -> float | None:
    """From which duration on statements are sampled; 0 where whole transactions are; None where nothing is."""
    if float(settings.value("log_transaction_sample_rate") or 0) > 0:
        return 0.0
    duration = milliseconds(settings, "log_min_duration_sample")
    if duration is None or duration < 0 or float(settings.value("log_statement_sample_rate") or 1) == 0:
        return None
    return duration
