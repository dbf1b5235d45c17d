"""The SQL statements that a file of application code holds."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable

import msgspec

from checks.evidence.repository import languages
from checks.evidence.repository.facts import CodeStatement
from checks.evidence.repository.files import SourceFile, is_test
from checks.evidence.repository.literals import BEGINNING, Literal, read_statement
from checks.evidence.repository.orm.syntax import source_of
from checks.evidence.sql import split_statements

MAXIMUM_PER_FILE = 2_000

_OTHER_SYSTEMS = re.compile(
    r"(?<![a-z])(?:mysql|mariadb|clickhouse|sqlite|oracle|oracledb|mssql|sqlserver|cassandra|databricks|snowflake|bigquery"
    r"|duckdb|spanner|athena|trino|d1(?!\d))(?![a-z])",
    re.IGNORECASE,
)


_OTHER_DRIVERS = re.compile(
    r"""^\s*(?:import|from|const|let|var|export)\b[^\n]{0,200}?\b(?:sqlite3|aiosqlite|pysqlite|better-sqlite3|bun:sqlite|node:sqlite"""
    r"""|expo-sqlite|mysql2?|pymysql|aiomysql|MySQLdb|clickhouse_driver|clickhouse_connect|@clickhouse/client|oracledb|pyodbc"""
    r"""|duckdb|snowflake|cassandra|databricks)\b"""
    r"""|^\s*(?:import|use|using|require|_)?[ \t(]*["']?(?:github\.com/(?:go-sql-driver/mysql|mattn/go-sqlite3|ClickHouse/)"""
    r"""|modernc\.org/sqlite|rusqlite\b|mysql_async\b|mysql2\b|sqlite3\b|Microsoft\.Data\.Sql|System\.Data\.SqlClient|MySql\.Data"""
    r"""|MySqlConnector\b|android\.|androidx\.room)""",
    re.MULTILINE,
)
_RUST_TESTS = re.compile(
    r"^#\[cfg\(test\)\]\s*(?:#\[[^\]\n]*\]\s*)*(?:pub(?:\([a-z]+\))?\s+)?mod\s+\w+\s*\{", re.MULTILINE
)
_OUR_DRIVERS = re.compile(
    r"psycopg|asyncpg|pg8000|postgres|[\"']pg[\"']|sqlalchemy|prisma|drizzle|pgx|lib/pq|npgsql", re.IGNORECASE
)

# What sqlc, aiosql, yesql and pugsql call the statement below: `-- name: get_user :one`, `-- :name get_user`.
_NAME = re.compile(r"^[ \t]*--[ \t]*(?:name[ \t]*:|:name\b)[ \t]*([A-Za-z_][\w-]{0,99})", re.MULTILINE)
_MIGRATION_CODE = re.compile(r"(?:^|/)(?:migrations?|alembic|migrate)/", re.IGNORECASE)


def speaks_to_another_system(path: str) -> bool:
    """Whether the name of the file or of a folder says that its SQL is for another database system."""
    return bool(_OTHER_SYSTEMS.search(path) or "sqlite" in path.lower())


def is_migration_code(path: str) -> bool:
    """Whether the file stands among migrations: what it does, it does once."""
    return bool(_MIGRATION_CODE.search(path))


def read_statements(file: SourceFile) -> list[CodeStatement]:
    """The statements of code and of SQL files; of tests, of migrations written in code, which run once, and of code for other
    database systems none. Each place and text once."""
    if is_test(file.path) or speaks_to_another_system(file.path):
        return []
    if file.extension != "sql" and is_migration_code(file.path):
        return []
    if file.extension != "sql" and _OTHER_DRIVERS.search(file.text) and not _OUR_DRIVERS.search(file.text):
        return []
    names: dict[int, str] = {}
    if file.extension == "sql":
        literals: Iterable[Literal] = (Literal(text, line) for text, line in split_statements(file.text))
        source = "sql"
        names = _names(file.text)
    elif source := languages.source_of(file.extension):
        if BEGINNING.search(file.text.encode("utf-8", "replace")) is None:
            return []
        parsed = source_of(file)
        literals = languages.read_literals(parsed.bytes, parsed.root, file.extension)
    else:
        return []
    found: dict[tuple[object, str], CodeStatement] = {}
    # Rust keeps the tests of a module at its end.
    tests = _RUST_TESTS.search(file.text) if file.extension == "rs" else None
    end = file.text.count("\n", 0, tests.start()) + 1 if tests else None
    for literal in literals:
        if end is not None and literal.line > end:
            break
        statement = read_statement(literal, file.path, source)
        if statement is not None:
            if names:
                statement = msgspec.structs.replace(statement, name=_name_before(names, statement.location.line))
            found.setdefault((statement.location, statement.text), statement)
        if len(found) >= MAXIMUM_PER_FILE:
            break
    return sorted(found.values(), key=lambda statement: statement.location)


def _names(text: str) -> dict[int, str]:
    """By line the names that comments give the statements below them."""
    found: dict[int, str] = {}
    line, position = 1, 0
    for match in _NAME.finditer(text):
        line += text.count("\n", position, match.start(1))
        position = match.start(1)
        found[line] = match.group(1)
    return found


def _name_before(names: dict[int, str], line: int) -> str | None:
    lines = list(names)
    place = bisect.bisect_left(lines, line)
    return names[lines[place - 1]] if place else None
