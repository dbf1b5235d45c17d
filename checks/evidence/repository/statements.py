"""The SQL statements that a file of application code holds."""

from __future__ import annotations

import re
from collections.abc import Iterable

from checks.evidence.repository import python, typescript
from checks.evidence.repository.facts import CodeStatement
from checks.evidence.repository.files import SourceFile, is_test
from checks.evidence.repository.literals import CANDIDATE, Literal, read_statement
from checks.evidence.sql import split_statements

MAXIMUM_PER_FILE = 2_000

TYPESCRIPT = frozenset(["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"])
_OTHER_SYSTEMS = re.compile(
    r"(?<![a-z])(?:mysql|mariadb|clickhouse|sqlite|oracle|oracledb|mssql|sqlserver|cassandra|databricks|snowflake|bigquery"
    r"|duckdb|spanner|athena|trino|d1)(?![a-z])",
    re.IGNORECASE,
)


_OTHER_DRIVERS = re.compile(
    r"""^\s*(?:import|from|const|let|var|export)\b[^\n]{0,200}?\b(?:sqlite3|aiosqlite|pysqlite|better-sqlite3|bun:sqlite|node:sqlite"""
    r"""|expo-sqlite|mysql2?|pymysql|aiomysql|MySQLdb|clickhouse_driver|clickhouse_connect|@clickhouse/client|oracledb|pyodbc"""
    r"""|duckdb|snowflake|cassandra|databricks)\b""",
    re.MULTILINE,
)
_OUR_DRIVERS = re.compile(r"psycopg|asyncpg|pg8000|postgres|[\"']pg[\"']|sqlalchemy|prisma|drizzle", re.IGNORECASE)


_MIGRATION_CODE = re.compile(r"(?:^|/)(?:migrations?|alembic|migrate)/", re.IGNORECASE)


def speaks_to_another_system(path: str) -> bool:
    """Whether the name of the file or of a folder says that its SQL is for another database system."""
    return bool(_OTHER_SYSTEMS.search(path) or "sqlite" in path.lower())


def is_migration_code(path: str) -> bool:
    """Whether the file stands among migrations: what it does, it does once."""
    return bool(_MIGRATION_CODE.search(path))


def read_statements(file: SourceFile) -> list[CodeStatement]:
    """The statements of Python, TypeScript and JavaScript code and of SQL files; of tests, of migrations written in code, which
    run once, and of code for other database systems none. Each place and text once."""
    if is_test(file.path) or speaks_to_another_system(file.path):
        return []
    if file.extension != "sql" and is_migration_code(file.path):
        return []
    if file.extension != "sql" and _OTHER_DRIVERS.search(file.text) and not _OUR_DRIVERS.search(file.text):
        return []
    if file.extension == "sql":
        literals: Iterable[Literal] = (Literal(text, line) for text, line in split_statements(file.text))
        source = "sql"
    elif file.extension == "py" and CANDIDATE.search(file.text):
        literals, source = python.read_literals(file.text), "python"
    elif file.extension in TYPESCRIPT and CANDIDATE.search(file.text):
        literals, source = typescript.read_literals(file.text, file.extension), "typescript"
    else:
        return []
    found: dict[tuple[object, str], CodeStatement] = {}
    for literal in literals:
        statement = read_statement(literal, file.path, source)
        if statement is not None:
            found.setdefault((statement.location, statement.text), statement)
        if len(found) >= MAXIMUM_PER_FILE:
            break
    return sorted(found.values(), key=lambda statement: statement.location)
