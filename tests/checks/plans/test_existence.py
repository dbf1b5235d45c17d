from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Severity
from tests.checks.survey import examine
from tests.checks.workload import prepare
from tests.servers import Database

Repository = Callable[[Mapping[str, str | bytes]], Path]

COUNT = "SELECT count(*) FROM orders WHERE customer = %s"
PYTHON = f"""\
import psycopg

def has_orders(connection, customer):
    row = connection.execute("{COUNT}", (customer,)).fetchone()
    if row[0] > 0:
        return True
    return False

def at_once(connection, customer):
    return connection.execute("{COUNT}", (customer,)).fetchone()[0] > 0
"""
TRAPS = f"""\
import psycopg

def shown(connection, customer):
    row = connection.execute("{COUNT}", (customer,)).fetchone()
    if row[0] > 0:
        print(row[0])

def limited(connection, customer):
    return connection.execute("{COUNT}", (customer,)).fetchone()[0] > 10

def by_key(connection, id):
    return connection.execute("SELECT count(*) FROM orders WHERE id = %s", (id,)).fetchone()[0] > 0

def each(connection):
    return connection.execute("SELECT count(*) FROM orders GROUP BY customer").fetchone()[0] > 0
"""
PRISMA = {
    "prisma/schema.prisma": 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'
    'model Order {\n  id Int @id\n  customer Int\n  @@map("orders")\n}\n',
    "src/a.ts": "import { prisma } from './db';\nexport async function a(customer: number) {\n"
    "  const found = await prisma.order.count({ where: { customer } });\n"
    "  if (found === 0) {\n    throw new Error('none');\n  }\n}\n"
    "export async function b(customer: number) {\n"
    "  const found = await prisma.order.count({ where: { customer } });\n  return { found };\n}\n",
}


def test_a_count_that_is_compared_with_zero_alone(database: Database, repository: Repository) -> None:
    prepare(database, "CREATE TABLE orders (id int PRIMARY KEY, customer int)")

    result = examine(
        database, "plans.count-for-existence", repository({"app/orders.py": PYTHON, "app/traps.py": TRAPS})
    )

    (found,) = result.findings
    assert (found.subject.path, found.severity, found.observed["places"]) == (("app/orders.py",), Severity.LOW, 2)
    assert {place.line for place in found.locations} == {4, 10}


def test_in_prisma(repository: Repository) -> None:
    (found,) = examine(None, "plans.count-for-existence", repository(PRISMA)).findings
    assert [(place.path, place.line) for place in found.locations] == [("src/a.ts", 3)]
