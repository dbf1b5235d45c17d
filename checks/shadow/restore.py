"""Restores a schema into an empty shadow: tolerantly, statement by statement, as a role without privileges.

Everything that strangers wrote runs as `OWNER`, who is no superuser: an untrusted language, a program, a file or another
server is out of its reach. The superuser creates extensions, before anything else is there, and writes to catalogs, with an
empty search_path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

import psycopg
from psycopg import errors, sql

from checks.evidence.database.user_code import HARMLESS_EXTENSIONS
from checks.shadow.blueprint import Blueprint, Collation, Omission
from checks.shadow.patience import StrangersSession, is_endless
from checks.shadow.script import UNSAFE, Statement, is_told, read_script, without_parameter
from checks.shadow.server import EmbeddedServer

DATABASE = "shadow"
OWNER = "shadow_owner"
PLANNER = "shadow_planner"
ROLES_AT_MOST = 500

_KNOWN_EXTENSIONS = frozenset(HARMLESS_EXTENSIONS) | {"plpgsql"}
_BATCH = 100
_PASSES = 4
_STAND_IN = "C.UTF-8"
_MISSING_ROLE = re.compile(r'role "(.+)" does not exist', re.DOTALL)
_UNKNOWN_PARAMETER = re.compile(r'unrecognized parameter "(?:[^"]*\.)?([A-Za-z_0-9]+)"')


class Restored:
    """What became of the schema: `omissions`, and `collation`, by which the shadow sorts text."""

    def __init__(self, omissions: tuple[Omission, ...], collation: str) -> None:
        self.omissions = omissions
        self.collation = collation


def connect(server: EmbeddedServer, user: str = EmbeddedServer.superuser, **options: Any) -> psycopg.Connection[Any]:
    """A connection to the shadow's database with nothing on its search_path."""
    connection = psycopg.connect(
        server.dsn(DATABASE, user), **{"autocommit": True, "prepare_threshold": None, **options}
    )
    connection.execute("SET search_path = ''")
    return connection


def owner_session(server: EmbeddedServer, first: str = "") -> StrangersSession:
    """A session of the tables' owner, each connection of which begins with `first`."""

    def opened() -> psycopg.Connection[Any]:
        connection = connect(server, OWNER, client_encoding="UTF8")
        if first:
            connection.execute(first.encode())
        return connection

    return StrangersSession(opened)


def restore(server: EmbeddedServer, blueprint: Blueprint) -> Restored:
    """Makes the shadow's database and roles and restores the schema, no row. Raises TargetError or psycopg.Error only for what
    concerns the shadow as a whole."""
    collation = _make_database(server, blueprint)
    statements = list(read_script(blueprint.ddl))
    omissions: list[Omission] = []
    if collation != blueprint.collate:
        omissions.append(_sorts_otherwise(blueprint, collation))
    with connect(server) as superuser, closing(owner_session(server, "SET check_function_bodies = off")) as owner:
        superuser.execute("SET allow_system_table_mods = on")
        omissions += _make_collations(superuser, blueprint.collations)
        restorer = _Restorer(superuser, owner)
        restorer.run([entry for entry in statements if entry.kind == "schema"])
        for entry in statements:
            if entry.kind == "extension" and entry.verb == "create":
                restorer.create_extension(entry)
        restorer.run([entry for entry in statements if entry.kind not in ("schema", "extension")])
        omissions += restorer.omissions
    return Restored(tuple(omissions), collation)


def _make_database(server: EmbeddedServer, blueprint: Blueprint) -> str:
    """Returns the collation that the database got: the target's where this machine has it, else one that sorts like no other but,
    unlike "C", lets no LIKE use a plain index, because the target's does not either."""
    encoding = blueprint.encoding
    wanted = [(blueprint.collate, blueprint.ctype)] if blueprint.provider == "c" else []
    if blueprint.collate not in ("C", "POSIX") or blueprint.provider == "i":
        wanted.append((_STAND_IN, _STAND_IN))
    wanted.append(("C", "C"))
    made = "C"
    with psycopg.connect(server.dsn(), autocommit=True, client_encoding="UTF8") as connection:
        if blueprint.provider == "b" and server.major >= 17:
            options = "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"
            connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' {options}".encode())
            made = blueprint.collate
        else:
            for collate, ctype in wanted:
                try:
                    connection.execute(
                        sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(
                            sql.Identifier(DATABASE), encoding, collate, ctype
                        )
                    )
                except (errors.InvalidParameterValue, errors.WrongObjectType, errors.InvalidObjectDefinition):
                    continue
                made = collate
                break
        for role, attributes in ((OWNER, ""), (PLANNER, "CONNECTION LIMIT 8 ")):
            connection.execute(f"CREATE ROLE {role} LOGIN BYPASSRLS NOINHERIT {attributes}".encode())
        connection.execute(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC".encode())
        connection.execute(f"GRANT CONNECT, CREATE ON DATABASE {DATABASE} TO {OWNER}".encode())
        connection.execute(f"GRANT CONNECT ON DATABASE {DATABASE} TO {PLANNER}".encode())
    with connect(server) as superuser:
        superuser.execute(f"ALTER SCHEMA public OWNER TO {OWNER}".encode())
        for what, privileges in (
            ("SCHEMAS", "USAGE"),
            ("TABLES", "SELECT, INSERT, UPDATE, DELETE"),
            ("SEQUENCES", "USAGE, SELECT"),
        ):
            for role in (OWNER, EmbeddedServer.superuser):
                superuser.execute(
                    f"ALTER DEFAULT PRIVILEGES FOR ROLE {role} GRANT {privileges} ON {what} TO {PLANNER}".encode()
                )
        superuser.execute(f"GRANT USAGE ON SCHEMA public TO {PLANNER}".encode())
    return made


def _sorts_otherwise(blueprint: Blueprint, collation: str) -> Omission:
    reason = f"text is sorted by {collation}: estimates for ranges of text are approximate"
    return Omission("collation", blueprint.collate, reason)


def _make_collations(superuser: psycopg.Connection[Any], collations: Sequence[Collation]) -> list[Omission]:
    """Collations of pg_catalog that this server was built without, or whose locale this machine lacks."""
    omissions = []
    for entry in collations:
        known = superuser.execute(
            "SELECT 1 FROM pg_catalog.pg_collation WHERE collname = %s "
            "AND collnamespace = 'pg_catalog'::pg_catalog.regnamespace",
            [entry.name],
        ).fetchone()
        if known is None:
            superuser.execute(
                sql.SQL("CREATE COLLATION pg_catalog.{} (LOCALE = {})").format(sql.Identifier(entry.name), _STAND_IN)
            )
            omissions.append(Omission("collation", entry.name, f"not on this machine: sorted by {_STAND_IN}"))
    return omissions


class _Restorer:
    def __init__(self, superuser: psycopg.Connection[Any], owner: StrangersSession) -> None:
        self.omissions: list[Omission] = []
        self._endless: set[Statement] = set()
        self._superuser = superuser
        self._owner = owner
        self._roles: set[str] = set()

    def create_extension(self, statement: Statement) -> None:
        """Those that are known to be harmless, from the server's own files."""
        name = statement.path[0] if statement.path else ""
        found = re.search(r"\bWITH SCHEMA\s+(\"(?:[^\"]|\"\")+\"|\w+)", statement.text)
        schema = found[1] if found else "public"
        raw = schema[1:-1].replace('""', '"') if schema.startswith('"') else schema
        if why := add_extension(self._superuser, name, raw):
            self.omissions.append(Omission("extension", name, why))

    def run(self, statements: Sequence[Statement]) -> None:
        """In their order; those that fail again after the others, for what they need may stand further down."""
        waiting = []
        for entry in statements:
            if not entry.unsafe:
                waiting.append(entry)
            elif is_told(entry):
                self.omissions.append(Omission(entry.kind, entry.name, UNSAFE))
        reasons: dict[Statement, str] = {}
        for _ in range(_PASSES):
            failed = [entry for entry in self._once(waiting, reasons) if entry not in self._endless]
            if not failed or len(failed) == len(waiting):
                waiting = failed
                break
            waiting = failed
        self.omissions += [_omission(entry, reasons[entry]) for entry in (*waiting, *self._endless)]
        self._endless.clear()

    def _once(self, statements: Sequence[Statement], reasons: dict[Statement, str]) -> Iterable[Statement]:
        for start in range(0, len(statements), _BATCH):
            batch = statements[start : start + _BATCH]
            if len(batch) > 1 and self._try(";\n".join(entry.text for entry in batch)) is None:
                continue
            for entry in batch:
                error = self._one(entry)
                if error is not None:
                    reasons[entry] = error
                    yield entry

    def _one(self, entry: Statement) -> str | None:
        """None if it is there now, else why not. What this server cannot have as it is, is brought nearly."""
        text = entry.text
        for _ in range(8):
            error = self._try(text)
            if error is None:
                return None
            words = _words(error)
            if is_endless(error):
                self._endless.add(entry)
                return words
            if (role := _MISSING_ROLE.search(words)) and self._make_role(role[1]):
                continue
            if parameter := _UNKNOWN_PARAMETER.search(words):
                shorter = without_parameter(text, parameter[1])
                if shorter != text:
                    text = shorter
                    continue
            if entry.kind == "collation" and entry.verb == "create" and len(entry.path) == 2:
                name = sql.Identifier(*entry.path)
                stand_in = (
                    sql.SQL("CREATE COLLATION {} (LOCALE = {})")
                    .format(name, _STAND_IN)
                    .as_string(self._owner.connection)
                )
                if self._try(stand_in) is None:
                    self.omissions.append(
                        Omission("collation", entry.name, f"not on this machine: sorted by {_STAND_IN}")
                    )
                    return None
            return words
        return words

    def _try(self, text: str) -> psycopg.Error | None:
        try:
            self._owner.execute(text.encode("utf-8", "replace"))
        except psycopg.Error as error:
            return error
        return None

    def _make_role(self, name: str) -> bool:
        """A role that a policy names; it can do nothing."""
        if name in self._roles or len(self._roles) >= ROLES_AT_MOST or name.startswith("pg_"):
            return False
        self._roles.add(name)
        try:
            self._superuser.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
        except psycopg.Error:
            return False
        return True


def add_extension(superuser: psycopg.Connection[Any], name: str, schema: str = "public") -> str:
    """Brings an extension that is known to be harmless, from the server's own files. Returns why it could not be had, if it could
    not."""
    if name not in _KNOWN_EXTENSIONS:
        return UNSAFE
    available = "SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = %s"
    if superuser.execute(available, [name]).fetchone() is None:
        return "not among the extensions of the embedded server"
    try:
        superuser.execute(
            sql.SQL("CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {} CASCADE").format(
                sql.Identifier(name), sql.Identifier(schema)
            )
        )
    except psycopg.Error as error:
        return _words(error)
    return ""


def _omission(entry: Statement, reason: str) -> Omission:
    relation = entry.table or (entry.path if entry.kind in ("view", "sequence") else None)
    relations = ((relation[0], relation[1]),) if relation is not None and len(relation) == 2 else ()
    return Omission(entry.kind, entry.name, reason, relations)


def _words(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).strip()[:200]
