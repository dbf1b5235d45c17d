"""The files into which a server writes its log itself."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Server, Settings
from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding, NotApplicable, Severity
from checks.registry import check
from checks.settings import is_managed, is_on, server_locations, setting_fix, setting_subject

_OTHERS_MAY_READ = 0o004


@check("observability.log-files", catalogue="O11", severity=Severity.NOTE, needs=[Settings, Server])
def log_files(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The server's log grows in one file for ever, or every account of its machine may read it.

    The logging collector begins a new file by age or by size. With both at 0 it never does, and nobody can take the file away
    while the server runs. The log holds statements with the values of your users: who can read it needs no password.

    Fix: A new file each day (log_rotation_age = 1d), and log_file_mode = 0600, or 0640 for a group that collects logs.

    Example: log_rotation_age = 0 and log_rotation_size = 0: one file of 80 GB beside the data.

    Source: PostgreSQL manual, "Where to Log"

    Observed: value
    """
    settings, server = evidence.get(Settings), evidence.get(Server)
    if is_managed(server):
        raise NotApplicable("the provider keeps the log")
    if not is_on(settings.value("logging_collector")):
        raise NotApplicable("the server leaves its log to what runs it (logging_collector is off)")
    yield Examined(2, 2, "settings")
    if settings.value("log_rotation_age") == "0" and settings.value("log_rotation_size") == "0":
        yield Finding(
            setting_subject("log_rotation_age"),
            "The server writes its log into one file for ever (log_rotation_age and log_rotation_size are 0)",
            setting_fix(server, "Begin a new file each day.", {"log_rotation_age": "1d"}),
            observed={"value": "0"},
            locations=server_locations(evidence),
        )
    mode = settings.value("log_file_mode") or ""
    if mode.isdigit() and mode.isascii() and set(mode) <= set("01234567") and int(mode, 8) & _OTHERS_MAY_READ:
        yield Finding(
            setting_subject("log_file_mode"),
            f"Every account of the server's machine may read its log (log_file_mode is {mode})",
            setting_fix(server, "Let only its own group read it.", {"log_file_mode": "0640"}),
            observed={"value": mode},
            locations=server_locations(evidence),
        )
