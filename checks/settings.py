"""Settings as checks need them: values in base units, how to change them, and who else has a hand in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from checks.evidence.database.facts import Server, Settings
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.model import Fix, Location, Subject, quote_identifier
from checks.relations import quote_literal

MANAGED_FLAVOURS = frozenset({"rds", "aurora", "cloudsql", "alloydb", "azure", "supabase", "neon", "crunchy"})

# These keep pages and WAL in a storage layer of their own, to which fsync and full_page_writes of the server mean nothing.
_OWN_STORAGE = frozenset({"neon", "aurora", "alloydb"})

_MILLISECONDS = {"us": 0.001, "ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_TRIED_OUT = re.compile(
    r"(?:^|/)(?:tests?|examples?|samples?|e2e|(?:\w+_)?docs?|dev|local|\.devcontainer|__tests__|\.github|ci)/"
    r"|[._-](?:dev|development|test|tests|testing|ci|e2e|local|build|example|sample)\b",
    re.IGNORECASE,
)
_MEASURES = re.compile(r"(?:^|/)(?:tests?|__tests__|e2e|bench(?:marks?)?)/|[._-](?:test|tests|bench)\b", re.IGNORECASE)
_VALUE = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d|B|kB|MB|GB|TB)?\s*")
_UNIT = re.compile(r"(\d*)(us|ms|s|min|h|d|B|kB|MB|GB|TB)")


def is_managed(server: Server) -> bool:
    """Whether a provider runs this server: no superuser, no files, parameters set through the provider."""
    return server.flavour in MANAGED_FLAVOURS


def keeps_pages_itself(server: Server) -> bool:
    """Whether the provider's storage makes pages and WAL safe, and not the server's settings."""
    return server.flavour in _OWN_STORAGE


def milliseconds(settings: Settings, name: str, role: str = "", database: str = "") -> float | None:
    """A duration that sessions of `role` in `database` start with, whatever unit it is written in.

    None if the server has no such setting or hides it. 0 and -1, which switch things off, stay as they are.
    """
    return _number(settings, name, role, database, _MILLISECONDS)


def size_in_bytes(settings: Settings, name: str) -> float | None:
    """A size in bytes; None if the server has no such setting or hides it. -1, no limit, stays -1."""
    return _number(settings, name, "", "", _BYTES)


def _number(settings: Settings, name: str, role: str, database: str, factors: Mapping[str, float]) -> float | None:
    match = _VALUE.fullmatch(settings.value(name, role, database) or "")
    if match is None:
        return None
    number = float(match[1])
    if number <= 0:
        return number
    entry = settings.by_name.get(name)
    unit = _UNIT.fullmatch((entry.unit or "") if entry else "")
    if match[2]:
        return number * factors[match[2]] if match[2] in factors else None
    if unit is None or unit[2] not in factors:
        return number
    return number * int(unit[1] or 1) * factors[unit[2]]


def is_on(value: str | None) -> bool:
    """A boolean setting, in any spelling that PostgreSQL takes."""
    return (value or "").strip().lower() in {"on", "true", "yes", "1", "t", "y"}


def setting_subject(name: str) -> Subject:
    return Subject("setting", (name,))


def setting_fix(server: Server, summary: str, settings: dict[str, str], *, restart: bool = False) -> Fix:
    """How to give the server those settings: ALTER SYSTEM, or the provider's parameters where nobody may say that."""
    if is_managed(server):
        names = ", ".join(f"{name} = {value}" for name, value in settings.items())
        return Fix(f"{summary} Set {names} in the provider's parameter settings.",
                   undo="Give the parameter its former value.")  # fmt: skip
    sets = " ".join(f"ALTER SYSTEM SET {name} = {quote_literal(value)};" for name, value in settings.items())
    resets = " ".join(f"ALTER SYSTEM RESET {name};" for name in settings)
    if restart:
        return Fix(f"{summary} It takes effect at the next restart.", sql=sets, undo=f"{resets} -- and restart")
    return Fix(summary, sql=f"{sets} SELECT pg_reload_conf();", undo=f"{resets} SELECT pg_reload_conf();")


def role_fix(summary: str, role: str, settings: dict[str, str]) -> Fix:
    """How to give one role those settings. New sessions get them; those that are open keep theirs."""
    name = quote_identifier(role)
    return Fix(
        summary,
        sql=" ".join(f"ALTER ROLE {name} SET {key} = {quote_literal(value)};" for key, value in settings.items()),
        undo=" ".join(f"ALTER ROLE {name} RESET {key};" for key in settings),
    )


def settings_in_code(evidence: Evidence, name: str) -> tuple[Location, ...]:
    """Where deployment files or code set `name` themselves; tests and benchmarks do it for themselves alone, and 0 is what sets
    it aside."""
    repository = evidence.find(Repository)
    pattern = re.compile(rf"(?<![\w.]){re.escape(name)}(?![\w.])(?!\s*=\s*0\w*$)")
    return tuple(
        fact.location
        for fact in (repository.deployment if repository else ())
        if fact.kind == "setting" and pattern.search(fact.detail) and not _MEASURES.search(fact.location.path)
    )


def server_locations(evidence: Evidence) -> tuple[Location, ...]:
    """Where deployment files describe the server itself, those that are for development and tests last. Of a server that a
    provider runs no container tells anything."""
    server = evidence.find(Server)
    if server is not None and is_managed(server):
        return ()
    repository = evidence.find(Repository)
    facts = repository.deployment if repository else ()
    found = {fact.location for fact in facts if fact.kind == "server_image"}
    return tuple(
        sorted(
            found, key=lambda place: (is_tried_out(place.path), "prod" not in place.path, place.path.count("/"), place)
        )
    )


def is_tried_out(path: str) -> bool:
    """Whether a deployment file is, by its name or folder, for development, tests, examples or building images."""
    return _TRIED_OUT.search(path) is not None
