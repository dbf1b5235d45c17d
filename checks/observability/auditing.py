"""Whether it can be told afterwards who read or changed what."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Server, Settings
from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding, NotApplicable, Reason, Severity, Unknown
from checks.registry import check
from checks.relations import grant, reviewed_tables
from checks.schema.columns import words
from checks.schema.sensitive import sensitive_columns
from checks.settings import server_locations, setting_fix, setting_subject

SHOWN = 10
# What laws and card schemes want access to be recorded for; credentials of the application's own are in every database.
_REGULATED = frozenset(
    "ssn iban passport biometric cvv cvc social tax national license card bank routing health medical birth birthdate".split()
)


@check("observability.no-audit-log", catalogue="O15", severity=Severity.NOTE, needs=[Catalog, Settings, Server])
def no_audit_log(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Nobody can tell afterwards who read personal data.

    The server logs what was slow or failed, not who looked at what. After a leak, and for an auditor, the question is which rows
    were read by whom; without an audit log the answer is that all of them may have been.

    Fix: pgaudit, by object and role rather than for everything; the log out of reach of those whom it is about.

    Example: patients with diagnosis and date_of_birth, and shared_preload_libraries without pgaudit: nobody can tell which rows
    somebody read with the support role.

    Source: pgAudit documentation, "Object Audit Logging"; CIS PostgreSQL Benchmark, "Logging And Auditing"

    Observed: columns, shared_preload_libraries, log_statement
    """
    catalog, settings, server = evidence.get(Catalog), evidence.get(Settings), evidence.get(Server)
    libraries, logged = settings.value("shared_preload_libraries"), settings.value("log_statement")
    columns = [
        f"{table.subject.name}.{column.name}"
        for table in reviewed_tables(catalog)
        for column in sensitive_columns(catalog, table)
        if _REGULATED & set(words(column.name))
    ]
    if not columns:
        raise NotApplicable("no column is named like personal data whose readers must be known")
    if libraries is None or logged is None:
        raise Unknown(Reason.NOT_PERMITTED, grant(evidence, "pg_read_all_settings"))
    yield Examined(1, 1, "server")
    if logged == "all" or "pgaudit" in libraries:
        return
    yield Finding(
        setting_subject("shared_preload_libraries"),
        f"Who reads {columns[0]} is not recorded"
        if len(columns) == 1
        else f"Who reads {columns[0]} and {len(columns) - 1} more of the kind is not recorded",
        setting_fix(
            server,
            "If somebody will ask: install pgaudit, and audit these tables for the roles of people.",
            {"shared_preload_libraries": ", ".join(part for part in (libraries.strip(), "pgaudit") if part)},
            restart=True,
        ),
        observed={"columns": columns[:SHOWN], "shared_preload_libraries": libraries, "log_statement": logged},
        locations=server_locations(evidence),
    )
