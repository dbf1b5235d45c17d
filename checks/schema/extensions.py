"""Are extensions current, needed, and in their place?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Extension, Server, Settings
from checks.evidence.evidence import Evidence
from checks.model import Examined, Finding, Fix, NotApplicable, Severity, Subject, quote_identifier
from checks.registry import check
from checks.relations import quote_literal
from checks.schema.exposure import api_of

# What each lets SQL do that reaches outside of the database, or why it is past its time.
_REACHING = {
    "plpython3u": "functions in it run as the server's operating-system user",
    "plperlu": "functions in it run as the server's operating-system user",
    "pltclu": "functions in it run as the server's operating-system user",
    "plsh": "functions in it are shell scripts of the server's operating-system user",
    "adminpack": "it writes and removes files of the server, and was removed in PostgreSQL 17",
    "file_fdw": "it reads files of the server and runs programs",
    "http": "SQL sends requests to any address, from within transactions",
    "pgsql-http": "SQL sends requests to any address, from within transactions",
    "dblink": "SQL connects to other servers, with passwords in its text",
    "lo": "large objects are no rows: they have no foreign key and no row security",
}
_PAST = {
    "pgjwt": "it is not maintained",
    "timetravel": "it was removed in PostgreSQL 12",
    "chkpass": "it was removed in PostgreSQL 11",
    "pgsodium": "its makers advise against new uses",
    "xml2": "it is deprecated since PostgreSQL 8.3",
    "pg_embedding": "its makers gave it up for pgvector",
    "vectors": "its makers gave it up for VectorChord",
    "lantern": "its makers gave it up",
}
_LEFT_ALONE = frozenset({"plpgsql"})


@check("schema.extension-in-public", catalogue="S105", severity=Severity.NOTE, needs=[Server])
def extension_in_public(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An extension's functions are in a schema that an API serves.

    Each of its functions can be called through the API then, and shows in its documentation. Without an API that is how nearly
    every database is, and nothing to report.

    Fix: ALTER EXTENSION ... SET SCHEMA extensions, where the extension can be moved.

    Example: CREATE EXTENSION pg_trgm in schema public, which PostgREST serves: its functions, such as similarity() and
    show_trgm(), can be called under /rpc/ by every caller.

    Source: Supabase documentation, "Database Advisors", Extension in Public

    Observed: extensions.
    """
    server, api = evidence.get(Server), api_of(evidence)
    if api is None:
        raise NotApplicable("no API serves this database")
    found = [entry for entry in server.extensions if api.serves(entry.schema) and entry.name not in _LEFT_ALONE]
    by_schema: dict[str, list[Extension]] = {}
    for entry in found:
        by_schema.setdefault(entry.schema, []).append(entry)
    for schema, entries in sorted(by_schema.items()):
        listed = ", ".join(quote_identifier(entry.name) for entry in entries[:5])
        yield Finding(
            Subject("schema", (schema,)),
            f"The API serves the functions of {listed} in schema {quote_identifier(schema)}",
            Fix(
                "Move them to a schema that the API does not serve, and that into the search_path of the roles that use them.",
                "CREATE SCHEMA IF NOT EXISTS extensions;\n"
                + "\n".join(
                    f"ALTER EXTENSION {quote_identifier(entry.name)} SET SCHEMA extensions;" for entry in entries
                ),
                lock="ACCESS EXCLUSIVE on the extension's objects, briefly",
                undo=" ".join(
                    f"ALTER EXTENSION {quote_identifier(entry.name)} SET SCHEMA {quote_identifier(schema)};"
                    for entry in entries
                ),
            ),
            observed={"extensions": [entry.name for entry in entries]},
            related=tuple(Subject("extension", (entry.name,)) for entry in entries[:5]),
        )
    yield Examined(len(server.extensions), len(server.extensions), "extensions", unmet=len(found))


@check("schema.extension-outdated", catalogue="S106", severity=Severity.LOW, needs=[Server])
def extension_outdated(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An extension is older in this database than what the server has installed.

    Upgrading the package, or the server by pg_upgrade, changes the library alone: functions, operators and fixes that need a
    change of the catalog come only with ALTER EXTENSION, once in each database.

    Fix: ALTER EXTENSION ... UPDATE.

    Example: The package of pgvector was upgraded to 0.8.0 and pg_extension still says 0.5.1: halfvec does not exist in
    this database until ALTER EXTENSION vector UPDATE.

    Source: PostgreSQL manual, "ALTER EXTENSION"; "pg_upgrade"

    Observed: version, default_version, loaded_version.
    """
    server = evidence.get(Server)
    for entry in server.extensions:
        if entry.default_version is None or not is_older(entry.version, entry.default_version):
            continue
        name = quote_identifier(entry.name)
        yield Finding(
            Subject("extension", (entry.name,)),
            f"Extension {name} is {entry.version} here; the server has {entry.default_version}",
            Fix(
                "Read its release notes, then update it: some updates rebuild indexes or change functions.",
                f"ALTER EXTENSION {name} UPDATE TO {quote_literal(entry.default_version)};",
                lock="depends on the extension's update script",
                undo="Extensions have no way back in general: try it on a copy.",
            ),
            observed={
                "version": entry.version,
                "default_version": entry.default_version,
                "loaded_version": entry.loaded_version,
            },
        )
    yield Examined(len(server.extensions), len(server.extensions), "extensions")


def is_older(version: str, other: str) -> bool:
    """Whether a version comes before another, number by number; False where that cannot be told."""
    one, two = (tuple(map(int, re.findall(r"\d+", text))) for text in (version, other))
    return bool(one and two) and one < two


@check("schema.risky-extension", catalogue="S107", severity=Severity.LOW, needs=[Server, Catalog])
def risky_extension(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An extension reaches out of the database, or is past its time; or there are very many.

    Whoever may call such functions sends requests, reads files or runs programs from the server, past every firewall around the
    application. One that nobody maintains stands in the way of the next major upgrade.

    Fix: Drop what nothing uses; for the rest, grant EXECUTE and USAGE to the role that needs it alone.

    Example: CREATE EXTENSION http: an injected SELECT http_get('http://169.254.169.254/') asks the cloud's metadata
    service from within the network, and its transaction waits for the answer.

    Source: PostgreSQL manual, "Additional Supplied Modules"; "CREATE LANGUAGE", TRUSTED

    Observed: because, version, functions, extensions, libraries.
    """
    server, catalog, settings = evidence.get(Server), evidence.get(Catalog), evidence.find(Settings)
    extensions = [entry for entry in server.extensions if entry.name not in _LEFT_ALONE]
    if not extensions:
        raise NotApplicable("no extension but plpgsql is installed")
    for entry in extensions:
        because = _REACHING.get(entry.name) or _PAST.get(entry.name)
        if not because:
            continue
        users = [
            function for function in catalog.functions if function.language == entry.name and not function.extension
        ]
        name = quote_identifier(entry.name)
        yield Finding(
            Subject("extension", (entry.name,)),
            f"Extension {name} is installed: {because}",
            Fix(
                "If nothing uses it, drop it. Without CASCADE that fails while something depends on it.",
                f"DROP EXTENSION {name};",
                lock="ACCESS EXCLUSIVE on its objects",
                undo=f"CREATE EXTENSION {name};",
            ),
            severity=Severity.MEDIUM
            if entry.name.endswith("u") or entry.name in {"plsh", "adminpack"}
            else Severity.LOW,
            observed={"because": because, "version": entry.version, "functions": len(users)},
            related=tuple(function.subject for function in users[:5]),
        )
    libraries = _libraries(settings)
    if len(extensions) > evidence.limit("extensions"):
        subject = Subject("database", (server.database,))
        yield Finding(
            subject,
            f"Database {subject.name} has {len(extensions)} extensions",
            Fix(
                "Drop those that nothing uses: each has to be there, in a version that fits, before a major upgrade or a move."
            ),
            severity=Severity.NOTE,
            observed={"extensions": [entry.name for entry in extensions], "libraries": libraries},
        )
    yield Examined(len(extensions), len(extensions), "extensions")


def _libraries(settings: Settings | None) -> list[str]:
    value = (settings.value("shared_preload_libraries") if settings else None) or ""
    return [name.strip() for name in value.split(",") if name.strip()]
