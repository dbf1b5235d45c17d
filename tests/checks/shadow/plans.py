"""What the tests of shadows share: a schema with most of what PostgreSQL has, and the comparison of plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from checks.evidence.database.facts import PlanNode
from checks.evidence.database.plan_tree import read_plan

FIELDS = ("node_type", "relation", "index", "startup_cost", "total_cost", "rows", "width")

SCHEMA = """
    CREATE SCHEMA "Odd Name";
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE TABLE customers (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        gone text,
        name text NOT NULL CHECK (length(name) > 2),
        code char(8) NOT NULL,
        mood mood NOT NULL,
        age positive,
        tags text[],
        data jsonb NOT NULL,
        place point,
        period int4range,
        created timestamptz NOT NULL,
        name_length int GENERATED ALWAYS AS (length(name)) STORED
    );
    ALTER TABLE customers DROP COLUMN gone;
    INSERT INTO customers (name, code, mood, age, tags, data, place, period, created)
        SELECT 'name ' || i % 7000, 'c' || i % 50, (ARRAY['sad', 'ok', 'happy'])[1 + i % 3]::mood, 1 + i % 90,
            ARRAY['t' || i % 40, 'u' || i % 7], jsonb_build_object('plan', i % 5, 'nested', jsonb_build_object('n', i)),
            point(i % 100, i % 77), int4range(i, i + 10), '2026-01-01'::timestamptz + i * interval '1 minute'
        FROM generate_series(1, 20000) AS i;
    CREATE INDEX customers_name ON customers (name);
    CREATE INDEX customers_lower ON customers (lower(name));
    CREATE INDEX customers_happy ON customers (created) WHERE mood = 'happy';
    CREATE INDEX customers_code ON customers USING hash (code);
    CREATE INDEX customers_data ON customers USING gin (data jsonb_path_ops);
    CREATE INDEX customers_tags ON customers USING gin (tags);
    CREATE INDEX customers_place ON customers USING gist (place);
    CREATE INDEX customers_period ON customers USING spgist (period);
    CREATE INDEX customers_created ON customers USING brin (created) WITH (pages_per_range = 4);
    CREATE STATISTICS customers_pairs (ndistinct, dependencies) ON code, age FROM customers;
    CREATE TABLE orders (
        id bigserial PRIMARY KEY,
        customer_id bigint NOT NULL REFERENCES customers,
        state text NOT NULL DEFAULT 'new',
        amount numeric(12, 2) NOT NULL CHECK (amount >= 1),
        note text
    );
    INSERT INTO orders (customer_id, state, amount, note)
        SELECT 1 + i % 20000, CASE WHEN i % 100 = 0 THEN 'open' ELSE 'done' END, 1 + i % 999, repeat('x', i % 50)
        FROM generate_series(1, 60000) AS i;
    CREATE INDEX orders_customer ON orders (customer_id, state) INCLUDE (amount);
    CREATE STATISTICS orders_mcv (mcv) ON state, amount FROM orders;
    CREATE TABLE events (at timestamptz NOT NULL, kind int NOT NULL, customer_id bigint) PARTITION BY RANGE (at);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    CREATE TABLE events_rest PARTITION OF events DEFAULT;
    INSERT INTO events SELECT '2026-01-01'::timestamptz + i * interval '2 minutes', i % 12, i % 20000
        FROM generate_series(1, 40000) AS i;
    CREATE INDEX events_at ON events (at);
    CREATE INDEX events_kind ON events (kind, customer_id);
    CREATE TABLE "Odd Name"."Some ""Table" ("Column 1" int, "select" text, PRIMARY KEY ("Column 1"));
    INSERT INTO "Odd Name"."Some ""Table" SELECT i, md5(i::text) FROM generate_series(1, 5000) AS i;
    CREATE VIEW busy AS SELECT c.id, count(*) AS orders FROM customers AS c JOIN orders AS o ON o.customer_id = c.id GROUP BY 1;
    CREATE FUNCTION twice(n bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN n * 2; END $$;
    CREATE FUNCTION three() RETURNS int LANGUAGE sql AS 'SELECT 3';
    CREATE TABLE empty_one (id int PRIMARY KEY, note text);
"""
VIEW_OF_NOTHING = (
    "CREATE MATERIALIZED VIEW monthly AS SELECT date_trunc('month', at) AS month, count(*) FROM events GROUP BY 1"
)

STATEMENTS = (
    "SELECT * FROM customers WHERE id = $1",
    "SELECT * FROM customers WHERE id > 19990",
    "SELECT * FROM customers WHERE id > 30000",
    "SELECT * FROM customers WHERE name = 'name 77' ORDER BY id LIMIT 5",
    "SELECT * FROM customers WHERE name > 'name 99' AND name < 'name 995'",
    "SELECT * FROM customers WHERE name LIKE 'name 12%'",
    "SELECT * FROM customers WHERE lower(name) = $1",
    "SELECT * FROM customers WHERE mood = 'happy' AND created > '2026-01-14'",
    "SELECT * FROM customers WHERE mood = 'sad' AND age = 30",
    "SELECT * FROM customers WHERE code = 'c7' AND age = 8",
    "SELECT code, age, count(*) FROM customers GROUP BY 1, 2",
    "SELECT * FROM customers WHERE place <@ box '((0,0),(10,10))'",
    "SELECT * FROM customers ORDER BY place <-> point '(3,3)' LIMIT 10",
    "SELECT * FROM customers WHERE period @> 500",
    "SELECT * FROM customers WHERE created BETWEEN '2026-01-03' AND '2026-01-04'",
    "SELECT c.name, sum(o.amount) FROM customers AS c JOIN orders AS o ON o.customer_id = c.id WHERE o.state = 'open' GROUP BY 1",
    "SELECT count(*) FROM orders WHERE customer_id = $1 AND state = $2",
    "SELECT * FROM orders WHERE state = 'open' AND amount < 20 ORDER BY id DESC LIMIT 20",
    "SELECT * FROM orders WHERE id > 59990 AND customer_id IN (SELECT id FROM customers WHERE age = 4)",
    "SELECT * FROM orders AS o WHERE NOT EXISTS (SELECT FROM customers AS c WHERE c.id = o.customer_id AND c.mood = 'ok')",
    "SELECT * FROM events WHERE at > '2026-02-20' AND kind = 3",
    "SELECT * FROM events WHERE at > now() - interval '1 hour'",
    "SELECT kind, count(*) FROM events GROUP BY 1 ORDER BY 2 DESC",
    "SELECT * FROM events AS e JOIN customers AS c ON c.id = e.customer_id WHERE e.kind = 2 AND e.at < '2026-01-05'",
    'SELECT * FROM "Odd Name"."Some ""Table" WHERE "Column 1" < 40',
    "SELECT * FROM busy WHERE id = 7",
    "SELECT * FROM customers WHERE id = twice(21)",
    "SELECT * FROM empty_one WHERE id = 3",
    "UPDATE orders SET note = $1 WHERE customer_id = $2",
    "DELETE FROM events WHERE at < '2026-01-02'",
    "INSERT INTO orders (customer_id, amount) VALUES ($1, $2)",
)
MANNERS: tuple[Mapping[str, str], ...] = (
    {},
    {"enable_seqscan": "off"},
    {"enable_indexscan": "off", "enable_hashjoin": "off"},
    {"enable_bitmapscan": "off", "enable_mergejoin": "off"},
)


def real_plan(connection: psycopg.Connection[Any], statement: str, settings: Mapping[str, str]) -> PlanNode:
    """The plan that the target makes, as a generic one if it has parameters."""
    with connection.transaction(force_rollback=True):
        for name, value in settings.items():
            connection.execute(sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), value))
        text, option = statement, ""
        if connection.info.server_version >= 160000:
            option = "GENERIC_PLAN, "
        elif "$" in statement:
            connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            connection.execute(f"PREPARE asked AS {statement}".encode())
            text = f"EXECUTE asked({', '.join(['NULL'] * (2 if '$2' in statement else 1))})"
        row = connection.execute(f"EXPLAIN ({option}VERBOSE, FORMAT JSON) {text}".encode()).fetchone()
    if "EXECUTE" in text:
        connection.execute("DEALLOCATE asked")
    assert row is not None
    return read_plan(row[0][0]["Plan"])


def differences(real: PlanNode, other: PlanNode) -> list[str]:
    """Where two plans are not the same, node by node."""
    found = [
        f"{real.node_type} {real.relation or real.index or ''}: {field} {getattr(real, field)} != {getattr(other, field)}"
        for field in FIELDS
        if getattr(real, field) != getattr(other, field)
    ]
    if len(real.children) != len(other.children):
        return [*found, "number of children"]
    for one, two in zip(real.children, other.children, strict=True):
        found += differences(one, two)
    return found
