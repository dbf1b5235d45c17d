from __future__ import annotations

from pathlib import Path

import msgspec
import psycopg

from checks.evidence.database.facts import Statements
from checks.evidence.evidence import Evidence
from checks.evidence.observe import Target, observe
from checks.model import Finding, Fix, Subject
from checks.proofs import Proofs, Verdict
from checks.shadow.clone import Shadow
from checks.shadow.index_size import BLOCK_BYTES
from checks.shadow.proof import prove
from tests.checks.survey import conclude
from tests.servers import Database

ROWS = """
    CREATE EXTENSION pg_stat_statements;
    CREATE TABLE orders (id bigserial PRIMARY KEY, customer int NOT NULL, state text NOT NULL, at timestamptz NOT NULL);
    INSERT INTO orders (customer, state, at)
        SELECT i * 7919 % 9000, (ARRAY['new', 'paid', 'sent'])[1 + i % 3], '2026-01-01'::timestamptz + i * interval '1 minute'
        FROM generate_series(1, 60000) AS i;
    CREATE INDEX orders_at ON orders (at);
    CREATE INDEX orders_state ON orders (state);
    CREATE TABLE parts (id int, owner int) PARTITION BY RANGE (id);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (20000);
    CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (20000) TO (50000);
    INSERT INTO parts SELECT i, i % 4000 FROM generate_series(1, 40000) AS i;
    CREATE TABLE wide (id int PRIMARY KEY, kind int NOT NULL, note text NOT NULL);
    ALTER TABLE wide ALTER COLUMN note SET STORAGE plain;
    INSERT INTO wide SELECT i, i * 7919 % 10, repeat('x', 500) FROM generate_series(1, 40000) AS i;
"""
RAN = (
    "SELECT * FROM orders WHERE customer = 7",
    "SELECT * FROM orders WHERE at > '2026-02-10'",
    "SELECT count(*) FROM orders",
    "SELECT * FROM parts WHERE owner = 12",
    "SELECT customer FROM orders WHERE state LIKE '%ai%' AND customer > 8990",
    "SELECT id FROM orders WHERE at::date = '2026-01-09'",
    "SELECT note FROM wide WHERE kind = 3",
)
BY_RANGE = "SELECT id FROM orders WHERE at >= $1::date AND at < $1::date + 1"


def proposal(name: str, sql: str) -> Finding:
    return Finding(Subject("index", ("public", name)), name, Fix("Try it.", sql), check="indexing.tried")


def test_each_fix_is_tried_and_sized(database: Database, programs: Path | None) -> None:
    database.execute(ROWS, "VACUUM ANALYZE", *RAN)
    evidence: Evidence = observe(Target(database.dsn)).evidence
    by_day = next(one.query_id for one in evidence.get(Statements).entries if "::date" in one.text)
    findings = [
        proposal("helps", "CREATE INDEX CONCURRENTLY orders_customer_idx ON public.orders (customer);"),
        proposal("useless", "CREATE INDEX CONCURRENTLY ON public.orders (state, id); ANALYZE public.orders;"),
        proposal("needed", "DROP INDEX CONCURRENTLY public.orders_at;"),
        proposal("harmless", "DROP INDEX CONCURRENTLY public.orders_state;"),
        proposal("parted", "CREATE INDEX parts_owner ON public.parts (owner);"),
        proposal("partly", "CREATE INDEX partly ON public.orders (customer) WHERE state = 'paid';"),
        proposal("wrong", "CREATE INDEX nowhere ON public.orders (no_such_column);"),
        proposal("scattered", "CREATE INDEX scattered ON public.wide (kind);"),
        proposal("other", "ALTER TABLE public.orders ADD COLUMN more int;"),
        proposal("parts of texts", "CREATE EXTENSION IF NOT EXISTS pg_trgm; "
                 "CREATE INDEX CONCURRENTLY tri ON public.orders USING gin (state gin_trgm_ops);"),
        proposal("unknown extension", "CREATE EXTENSION file_fdw; CREATE INDEX i ON public.orders (id);"),
        proposal("statistics", "CREATE STATISTICS s ON customer, state FROM public.orders; ANALYZE public.orders;"),
        proposal("lists", "ALTER INDEX public.orders_state SET (lists = 10); REINDEX INDEX CONCURRENTLY public.orders_state;"),
        proposal("generated", "ALTER TABLE public.orders ADD COLUMN day date GENERATED ALWAYS AS (id::date) STORED; "
                 "CREATE INDEX ON public.orders (day);"),
        msgspec.structs.replace(
            proposal("written otherwise", ""), fix=Fix("Write it so.", rewritten=((by_day, BY_RANGE),))
        ),
    ]  # fmt: skip
    names = {finding.id: finding.title for finding in findings}

    with Shadow.of_target(database.dsn, evidence, programs=programs) as shadow:
        proofs = prove(shadow, evidence, findings)
    found = {names[entry.finding]: entry for entry in proofs.entries}

    assert {name: entry.verdict for name, entry in found.items()} == {
        "helps": Verdict.HELPS,
        "useless": Verdict.NO_EFFECT,
        "needed": Verdict.REGRESSES,
        "harmless": Verdict.HARMLESS,
        "parted": Verdict.HELPS,
        "partly": Verdict.UNTRIED,
        "scattered": Verdict.DOUBTFUL,
        "wrong": Verdict.UNTRIED,
        "parts of texts": Verdict.HELPS,
        "unknown extension": Verdict.UNTRIED,
        "statistics": Verdict.UNTRIED,
        "generated": Verdict.UNTRIED,
        "lists": Verdict.UNTRIED,
        "written otherwise": Verdict.HELPS,
    }
    assert "extension file_fdw" in found["unknown extension"].note
    assert "has none" in found["statistics"].note
    assert "--measure-recall" in found["lists"].note
    assert "no statement names the new column" in found["generated"].note
    assert proofs.server_major == proofs.target_major
    best = found["helps"].statements[0]
    assert best.better
    assert best.proven
    (scattered,) = found["scattered"].doubtful
    assert scattered.cost_after < 0.95 * scattered.cost_before
    assert scattered.memory_before is not None
    assert scattered.memory_after is not None
    assert scattered.memory_after > scattered.memory_before
    assert best.plan_before[0].startswith("Seq Scan on orders")
    assert "using the new index" in " ".join(best.plan_after)
    assert found["helps"].planned == 5
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        for statement, name in (
            ("CREATE INDEX made ON orders (customer)", "helps"),
            ("CREATE INDEX made_2 ON orders (state, id)", "useless"),
        ):
            connection.execute(statement.encode())
            row = connection.execute("SELECT pg_relation_size(%s::regclass)", [statement.split()[2]]).fetchone()
            predicted = found[name].index_bytes
            assert row is not None
            assert predicted is not None
            assert abs(predicted - row[0]) <= max(0.1 * row[0], 2 * BLOCK_BYTES), name
        plan = connection.execute("EXPLAIN (FORMAT JSON) SELECT * FROM orders WHERE customer = 7").fetchone()
    assert plan is not None
    assert abs(plan[0][0]["Plan"]["Total Cost"] - best.cost_after) < 0.05 * best.cost_after


def test_evidence_of_a_review_holds_its_proofs(database: Database, programs: Path | None) -> None:
    database.execute(
        ROWS,
        "CREATE INDEX orders_at_too ON orders (at)",
        "ANALYZE",
        *RAN,
    )

    evidence = observe(Target(database.dsn, shadow=True, programs=programs)).evidence

    proofs = evidence.get(Proofs)
    assert Verdict.HARMLESS in {entry.verdict for entry in proofs.entries}
    assert proofs.disk_bytes > 0


def test_a_filter_that_is_written_otherwise_carries_its_proof(database: Database, programs: Path | None) -> None:
    database.execute(ROWS, "DROP INDEX orders_at", "VACUUM ANALYZE", *RAN)

    evidence = observe(Target(database.dsn, shadow=True, programs=programs)).evidence

    (found,) = conclude(evidence, "indexing.function-on-column").findings
    assert found.fix.sql == "CREATE INDEX CONCURRENTLY orders_at_idx ON public.orders (at);"
    assert "`at >= $1::date AND at < ($1::date + 1)` for `at::date = $1`" in found.fix.summary
    assert found.proof is not None
    assert found.proof.verdict is Verdict.HELPS
