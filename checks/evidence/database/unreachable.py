"""Why a server could not be reached, in one line with what to do about it."""

from __future__ import annotations

import re

import psycopg

from checks.errors import TargetError
from checks.evidence.database.dsn import Dsn

# The first that matches libpq's or the server's words (English; others get libpq's own line) names the trouble.
_TROUBLES: tuple[tuple[str, str, str], ...] = (
    (
        r"definition of service|service file",
        "the service is not defined",
        "look at ~/.pg_service.conf, PGSERVICEFILE and the spelling of the service",
    ),
    (
        r"password authentication failed|wrong password|password is invalid|SASL authentication failed",
        "the password of {user} is wrong, or that role does not exist",
        "put the right password in .pgpass or PGPASSWORD, or ask for the role",
    ),
    (
        r"no password supplied|password required|empty password",
        "the server asks for a password and none was given",
        "put it in .pgpass (host:port:database:user:password) or PGPASSWORD",
    ),
    (
        r"database \S+ does not exist|no such database|database \"?[^\"]*\"? is not currently accepting",
        "there is no database {database}",
        "`psql -l` lists the databases of a server",
    ),
    (
        r"role \S+ does not exist|no such user",
        "there is no role {user}",
        "name another role: postgresql://ROLE@HOST/DATABASE",
    ),
    (
        r"is not permitted to log in",
        "{user} is a role that may not log in",
        "ALTER ROLE ... LOGIN, or name another role: postgresql://ROLE@HOST/DATABASE",
    ),
    (
        r"(peer|ident|gss|cert\w*|ldap|pam|radius|oauth) authentication failed|no pg_hba.conf entry|pg_hba.conf rejects",
        "the server does not let {user} in from here",
        "pg_hba.conf decides: another role, a password, or TLS (sslmode=require) may be admitted",
    ),
    (
        r"too many (clients|connections)|remaining connection slots|no more connections|max_client_conn",
        "all connections of the server are taken",
        "try again later, or let a session end; this is worth a finding of its own",
    ),
    (
        r"database system is (starting up|shutting down|not yet accepting|in recovery)|not accepting connections|"
        r"hot standby mode is disabled|recovery mode",
        "the server is starting up, shutting down or in recovery",
        "try again when it accepts connections",
    ),
    (
        r"permission denied for database|does not have (the )?CONNECT",
        "{user} may not connect to {database}",
        "GRANT CONNECT ON DATABASE ... TO that role",
    ),
    (
        r"unsupported startup parameter",
        "the connection pooler refuses a parameter of the DSN",
        "leave `options` out of the DSN, or connect to the server directly",
    ),
    (
        r"invalid response to (SSL|GSSAPI)|expected authentication request|"
        r"unsupported frontend protocol|protocol version|lost synchronization|unexpected message from server",
        "what answers there is not a PostgreSQL server",
        "look at host and port; the usual port is 5432",
    ),
    (
        r"certificate|SSL|TLS|encryption|GSSAPI",
        "TLS could not be agreed on",
        "sslmode=require encrypts without verifying; verify-full needs sslrootcert (or sslrootcert=system)",
    ),
    (
        r"could not translate host|name or service not known|no address associated|failed to resolve|nodename nor servname|"
        r"temporary failure in name|getaddrinfo",
        "the host name is not known",
        "look at the spelling, and whether this machine's network knows the name",
    ),
    (
        r"connection refused|no such file or directory|is the server running locally",
        "no server listens there",
        "look at host and port, and whether the server runs",
    ),
    (
        r"timeout expired|timed out|timeout|unreachable|no route to host",
        "the host does not answer",
        "look at host and port, firewalls and VPN; connect_timeout=30 in the DSN waits longer",
    ),
    (
        r"server closed the connection unexpectedly|connection reset|broken pipe|EOF detected",
        "the connection was closed before it was made",
        "it may be no PostgreSQL server, a proxy in between, or a server that is just restarting",
    ),
    (
        r"session is not read-only|session is read-only|not in hot standby|in hot standby mode",
        "no server there is of the asked kind",
        "look at target_session_attrs in the DSN",
    ),
)


def unreachable(dsn: Dsn, error: psycopg.Error) -> TargetError:
    """What to tell when `error` kept a connection to `dsn` from being made. No password is in it."""
    words = dsn.redact(str(error))
    user = dsn.value("user") or "the role"
    for pattern, trouble, hint in _TROUBLES:
        if re.search(pattern, words, re.IGNORECASE):
            message = trouble.format(user=user, database=dsn.value("dbname") or user)
            return TargetError(f"cannot connect to {dsn.display}: {message}", hint)
    return TargetError(f"cannot connect to {dsn.display}: {words}", "try the same DSN with psql")
