"""Passwords of databases that stand in files. Only that there is one and where is kept, never the value."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.repository.files import SourceFile

Fact = tuple[str, str, int]

_URL = re.compile(
    r"\bpostgres(?:ql)?(?:\+\w+)?://(?P<user>[^:/@\s\"'<>]{1,60}):(?P<value>[^@/\s\"']{1,200})@(?P<host>[^:/?\s\"'`]{1,200})"
)
_NAMED = re.compile(
    r"""(?:^|[\s{,"'-])(?P<name>(?:[A-Za-z0-9]+_)*(?:POSTGRES|POSTGRESQL|PG|DB|DATABASE|RDS)_?(?:[A-Za-z0-9]+_)*(?:PASSWORD|PASSWD)|PGPASSWORD|master_password"""
    r"""|administrator_password|administrator_login_password)["']?\s*[:=]\s*["']?(?P<value>[^\s"',;#]{1,200})""",
    re.IGNORECASE,
)
_IN_RESOURCE = re.compile(r"""^\s*password\s*=\s*"(?P<value>[^"]{1,200})"\s*$""")
_PLACEHOLDER = re.compile(
    r"[$<>{}%*\[\]()]|^(?:.{0,7}|(?:x+|\.+|-+|_+)|null|none|true|false)$|your|change|example|placeholder|replace|secret|passw|postgres|admin|dummy|sample"
    r"|todo|default|here|insert|redacted|test|local|dev|demo|fake|mock|user|root|supersecret|mysecret|^env|^var\.|^data\.|^random_|^local\.|process\.env",
    re.IGNORECASE,
)
_OWN_MACHINE = re.compile(
    r"^(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[?::1\]?|host\.docker\.internal|db|postgres|postgresql|database|pg)$",
    re.IGNORECASE,
)


def secrets_of(file: SourceFile) -> Iterator[Fact]:
    """`secret` facts: a password in a connection string, or in a variable of the database's."""
    code = file.text
    if "://" not in code and "passw" not in code.lower():
        return
    is_terraform = file.extension in ("tf", "tfvars")
    for number, line in enumerate(code.splitlines(), 1):
        if len(line) > 2_000 or line.lstrip().startswith(("#", "//", "*", "--")):
            continue
        for match in _URL.finditer(line):
            if not _PLACEHOLDER.search(match.group("value")) and not _OWN_MACHINE.match(match.group("host")):
                yield "secret", "password in a connection string", number
        named = _NAMED.search(line) or (
            _IN_RESOURCE.match(line) if is_terraform and "postgres" in code.lower() else None
        )
        if named is not None and not _PLACEHOLDER.search(named.group("value")):
            name = named.groupdict().get("name")
            yield "secret", f"password in {name[:60]}" if name else "password of a database resource", number
