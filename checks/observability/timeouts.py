"""Whether anything bounds a statement, a wait for a lock, or a forgotten transaction."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Server, Settings
from checks.evidence.evidence import Evidence
from checks.model import Confidence, Examined, Finding, Location, NotApplicable, Severity, Subject
from checks.observability.application_roles import application_roles, possible_roles
from checks.registry import check
from checks.settings import milliseconds, role_fix, settings_in_code

SUGGESTED = {
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
    "lock_timeout": "5s",
}


@check("observability.timeouts-unset", catalogue="O28", severity=Severity.MEDIUM, needs=[Settings, Server])
def timeouts_unset(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A role of the application runs without timeouts.

    One statement without an end, or one transaction that a crashed worker left open, holds its locks and keeps vacuum from
    cleaning up until somebody notices. A timeout per role ends it, and leaves migrations and reports their own.

    Fix: ALTER ROLE ... SET for the role that the application connects as; longer ones for workers and migrations.

    Example: ALTER ROLE app SET statement_timeout = '30s'; ALTER ROLE app SET idle_in_transaction_session_timeout = '60s'; ALTER
    ROLE app SET lock_timeout = '5s'; where all three are 0 today.

    Source: PostgreSQL manual, "Statement Behavior" (statement_timeout, lock_timeout, idle_in_transaction_session_timeout)

    Observed: statement_timeout_ms, idle_in_transaction_session_timeout_ms, lock_timeout_ms, missing, set_in_code
    """
    server, settings = evidence.get(Server), evidence.get(Settings)
    seen = application_roles(evidence)
    roles = seen or possible_roles(evidence)
    if not roles:
        raise NotApplicable("no login role but superusers, replication and monitoring")
    yield Examined(len(roles), len(roles), "roles of the application")
    in_code = {name: settings_in_code(evidence, name) for name in SUGGESTED}
    for role in roles:
        values = {name: milliseconds(settings, name, role, server.database) for name in SUGGESTED}
        bounded = (milliseconds(settings, "transaction_timeout", role, server.database) or 0) > 0
        missing = [name for name, value in values.items() if value == 0 and not in_code[name]]
        if bounded:
            missing = [name for name in missing if name == "lock_timeout"]
        if missing:
            places = tuple(place for found in in_code.values() for place in found)
            yield _finding(role, values, missing, places, bool(seen))


def _finding(
    role: str, values: dict[str, float | None], missing: list[str], in_code: tuple[Location, ...], seen: bool
) -> Finding:
    listed = missing[0] if len(missing) == 1 else f"{', '.join(missing[:-1])} or {missing[-1]}"
    subject = Subject("role", (role,))
    return Finding(
        subject,
        f"Role {subject.name} runs without {listed}",
        role_fix(
            "Set timeouts for this role; take longer ones where its longest legitimate statement needs them. A blanket "
            "statement_timeout also ends CREATE INDEX CONCURRENTLY: give migrations a role of their own.",
            role,
            {name: SUGGESTED[name] for name in missing},
        ),
        severity=Severity.LOW
        if missing == ["lock_timeout"]
        else Severity.MEDIUM
        if len(missing) < 3
        else Severity.HIGH,
        confidence=Confidence.MEASURED if seen else Confidence.INFERRED,
        observed={
            **{f"{name}_ms": None if value is None else round(value) for name, value in values.items()},
            "missing": missing,
            "set_in_code": [f"{place.path}:{place.line}" for place in in_code],
        },
        locations=in_code,
    )
