from __future__ import annotations

import pytest

from checks.evidence.database.dsn import understand
from checks.evidence.database.named_relations import Named, named_relations, observe_named_relations
from checks.evidence.database.session import Session
from tests.servers import Database


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ('SELECT * FROM orders o JOIN ONLY app."Line Items" l USING (id)', {("orders", "SELECT"), ("Line Items", "SELECT")}),
        ("INSERT INTO Orders SELECT * FROM old", {("orders", "INSERT"), ("old", "SELECT")}),
        ("INSERT INTO orders(id) VALUES ($1) ON CONFLICT DO UPDATE SET id = 1", {("orders", "INSERT")}),
        ("UPDATE ONLY orders SET a = 1 FROM b", {("orders", "UPDATE"), ("b", "SELECT")}),
        ("DELETE FROM orders WHERE id IN (SELECT id FROM gone)", {("orders", "DELETE"), ("gone", "SELECT")}),
        ("SELECT id FROM orders FOR NO KEY UPDATE SKIP LOCKED", {("orders", "SELECT"), ("orders", "UPDATE")}),
        ("SELECT id, n FROM orders o WHERE id = $1 FOR KEY SHARE OF o", {("orders", "SELECT"), ("orders", "UPDATE")}),
        ("SELECT 1 FROM orders o, lines l FOR UPDATE OF l", {("orders", "SELECT")}),
        ("SELECT 1 FROM orders JOIN lines USING (id) FOR UPDATE", {("orders", "SELECT"), ("lines", "SELECT")}),
        ("SELECT 1 FROM f() FOR UPDATE", set()),
        ("FOR UPDATE OF orders", set()),
        ("UPDATE orders SET a = 1 FOR UPDATE OF lines", {("orders", "UPDATE")}),
        ("SELECT FOR SHARE OF x JOIN orders", {("orders", "SELECT")}),
        ('WITH recent AS (SELECT 1), more (n) AS (SELECT 2) SELECT * FROM recent JOIN more ON true JOIN "O"', {("O", "SELECT")}),
        ("SELECT extract(year FROM made), trim(both FROM name), a IS NOT DISTINCT FROM b FROM t", {("t", "SELECT")}),
        ("SELECT substring(coalesce(name, (SELECT x FROM y)) FROM start) FROM t", {("t", "SELECT"), ("y", "SELECT")}),
        ("SELECT * FROM generate_series(1, 2) JOIN LATERAL app.f(1) ON true", set()),
        ("SELECT 'FROM secrets' FROM (SELECT 1) s -- FROM comment", set()),
        ("SELECT * FROM $1", set()),
        ("SELECT * FROM", set()),
        ('SELECT * FROM "" JOIN "a""b" ON true', {('a"b', "SELECT")}),
    ],
)  # fmt: skip
def test_relations_that_a_statement_names(statement: str, named: set[tuple[str, str]]) -> None:
    assert named_relations(statement) == {Named(*entry) for entry in named}


def test_what_this_login_may_do(database: Database) -> None:
    database.execute(
        """CREATE TABLE read (id int, secret text); CREATE TABLE hidden (id int); CREATE TABLE partly (id int, secret text);
        CREATE SCHEMA closed; CREATE TABLE closed.inside (id int); GRANT SELECT ON closed.inside TO PUBLIC;
        CREATE SCHEMA open; CREATE TABLE open.hidden (id int); CREATE VIEW shown AS SELECT * FROM hidden;
        GRANT USAGE ON SCHEMA open TO PUBLIC; GRANT SELECT ON read, shown TO PUBLIC; GRANT SELECT (id) ON partly TO PUBLIC;
        DROP ROLE IF EXISTS looks_around; CREATE ROLE looks_around LOGIN"""
    )
    try:
        with Session(understand(database.server.dsn(database.name, "looks_around"))) as session:
            relations = observe_named_relations(
                session,
                ["SELECT FROM read JOIN hidden ON true JOIN partly ON true JOIN shown ON true JOIN inside ON true",
                 "SELECT FROM nowhere"],
            )  # fmt: skip
        for name, may in (("read", True), ("hidden", False), ("partly", True), ("shown", True), ("inside", False)):
            assert relations.forbidden(f"SELECT 1 FROM {name}") is not may, name
        assert relations.forbidden("DELETE FROM read")
        assert relations.forbidden("SELECT id FROM read FOR UPDATE")
        assert relations.missing("SELECT FROM nowhere JOIN read ON true")
        assert not relations.missing("SELECT FROM read")
        assert not relations.forbidden("SELECT FROM nowhere")
    finally:
        database.execute("DROP ROLE looks_around")
