from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Outcome, Severity
from tests.checks.survey import examine
from tests.servers import Database

Repository = Callable[[Mapping[str, str | bytes]], Path]

SCHEMA = """
    CREATE TABLE customers (id int PRIMARY KEY, spent int);
    CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, state text);
    CREATE TABLE audits (id int PRIMARY KEY, seen bool);
"""


def _python(name: str, *statements: str, before: str = "    with connection.transaction():\n") -> str:
    sent = "".join(f'        connection.execute("{statement}")\n' for statement in statements)
    return f"def {name}(connection):\n{before}{sent}"


CUSTOMER, ORDER, AUDIT = (
    "UPDATE customers SET spent = spent + 1 WHERE id = 1",
    "UPDATE orders SET state = 'paid' WHERE id = 1",
    "DELETE FROM audits WHERE id = 1",
)


def test_two_orders_of_the_same_tables(database: Database, repository: Repository) -> None:
    database.execute(SCHEMA)
    code = {
        "app/pay.py": _python("pay", ORDER, CUSTOMER, AUDIT),
        "app/refund.py": _python("refund", "SELECT spent FROM customers WHERE id = 1 FOR UPDATE", ORDER),
        "app/audit.py": _python("audit", AUDIT, ORDER),
    }

    (found,) = examine(database, "plans.inconsistent-lock-order", repository(code)).findings

    assert found.observed["tables"] == ["customers", "orders"]
    assert found.severity is Severity.LOW
    assert [(place.path, place.line) for place in found.locations[:1]] == [("app/refund.py", 3)]
    assert "app/pay.py:3" in found.title


def test_what_looks_like_two_orders_and_is_none(database: Database, repository: Repository) -> None:
    database.execute(SCHEMA)
    apart = _python("apart", CUSTOMER, ORDER, before="    if connection:\n")
    branches = (
        "def either(connection, paid):\n    with connection.transaction():\n        if paid:\n"
        f'            connection.execute("{CUSTOMER}")\n        else:\n            connection.execute("{ORDER}")\n'
    )
    reads = _python("reads", "SELECT spent FROM customers WHERE id = 1", ORDER)
    code = {"app/pay.py": _python("pay", ORDER, CUSTOMER), "app/rest.py": f"{apart}\n\n{branches}\n\n{reads}"}

    result = examine(database, "plans.inconsistent-lock-order", repository(code))

    assert (result.outcome, result.findings) == (Outcome.PASSED, ())


def test_in_typescript(repository: Repository) -> None:
    code = {
        "src/a.ts": "export async function a(id: number) {\n  await prisma.$transaction(async (tx) => {\n"
        "    await tx.$executeRaw`UPDATE orders SET state = 'paid' WHERE id = ${id}`;\n"
        "    await tx.$executeRaw`UPDATE customers SET spent = 1 WHERE id = ${id}`;\n  });\n}\n",
        "src/b.ts": "export async function b(id: number) {\n  await prisma.$transaction(async (tx) => {\n"
        "    await tx.$executeRaw`UPDATE customers SET spent = 1 WHERE id = ${id}`;\n"
        "    await tx.$executeRaw`DELETE FROM orders WHERE id = ${id}`;\n  });\n}\n",
    }
    (found,) = examine(None, "plans.inconsistent-lock-order", repository(code)).findings
    assert {place.path for place in found.locations} == {"src/a.ts", "src/b.ts"}


def test_two_functions_are_told_once_for_all_their_tables(database: Database, repository: Repository) -> None:
    database.execute(SCHEMA, "ALTER TABLE audits ADD customer int REFERENCES customers")
    code = {
        "app/a.py": _python("archive", ORDER, AUDIT, CUSTOMER),
        "app/b.py": _python("restore", CUSTOMER, ORDER, AUDIT),
    }

    (found,) = examine(database, "plans.inconsistent-lock-order", repository(code)).findings

    assert found.observed["tables"] == ["audits", "customers", "orders"]
    assert found.title.endswith(", as 1 more of their tables are")
