from __future__ import annotations

from pathlib import Path

import msgspec
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from checks.advice import Advice
from checks.advised import makings
from checks.checklist import run_checks
from checks.evidence.database.facts import PlanNode, Statement, Statements, Usage
from checks.evidence.observe import Target, observe
from checks.model import Finding, Fix, Subject
from checks.proofs import Verdict
from checks.shadow.advisor import advise
from checks.shadow.clone import Shadow
from checks.shadow.proof import prove
from scorecards.exports import render
from scorecards.exports.schema import scorecard_schema
from scorecards.session import Review
from tests.checks.survey import survey
from tests.servers import Database

SCHEMA = (
    "CREATE TABLE users (id int PRIMARY KEY, email text, country text)",
    "CREATE TABLE messages (id int PRIMARY KEY, user_id int REFERENCES users, status text, sent timestamptz, body text)",
    "INSERT INTO users SELECT i, 'u' || i, 'c' || i % 50 FROM generate_series(1, 5000) AS i",
    "INSERT INTO messages SELECT i, 1 + i * 7919 % 5000, 's' || i % 3, now() - i * interval '1 minute', repeat('x', 80) "
    "FROM generate_series(1, 60000) AS i",
    "VACUUM ANALYZE",
)
BY_USER = "SELECT id, body FROM messages WHERE user_id = $1 ORDER BY sent DESC"
BY_EMAIL = "SELECT id FROM users WHERE email = $1"
BY_PART = "SELECT id FROM messages WHERE body LIKE '%a part%'"
BY_KEY = "SELECT body FROM messages WHERE id = $1"


def test_a_set_within_its_budget(database: Database, programs: Path | None) -> None:
    database.execute(*SCHEMA)
    entries = tuple(
        Statement(str(number), text, calls, calls * 1.0, 1.0, calls)
        for number, (text, calls) in enumerate(((BY_USER, 1000), (BY_EMAIL, 100), (BY_KEY, 1000)), 1)
    )
    evidence = msgspec.structs.replace(
        survey(database), statements=Statements("1.12", None, 0, 0, entries), usage=Usage()
    )
    by_part = Statement("4", BY_PART, 1000, 1000.0, 1.0, 1000)
    parts = msgspec.structs.replace(evidence, statements=Statements("1.12", None, 0, 0, (by_part,)))

    with Shadow.of_target(database.dsn, evidence, programs=programs) as shadow:
        before = [shadow.explain(text) for text in (BY_USER, BY_EMAIL, BY_KEY)]
        ample = advise(shadow, evidence, budget_bytes=64 << 20)
        none = advise(shadow, evidence, budget_bytes=0)
        (trigrams,) = advise(shadow, parts, budget_bytes=64 << 20).indexes
    (making,) = makings(msgspec.structs.replace(parts, advice=Advice(1, (trigrams,), (), 1.0, 1.0)))
    assert making.sql == (
        "CREATE EXTENSION IF NOT EXISTS pg_trgm; "
        "CREATE INDEX CONCURRENTLY messages_body_gin_trgm_ops_idx ON public.messages USING gin (body gin_trgm_ops);"
    )

    assert all(isinstance(plan, PlanNode) for plan in before)
    assert {(entry.table[1], entry.statements) for entry in ample.indexes} == {("messages", ("1",)), ("users", ("2",))}
    assert all(entry.definition.startswith(("(user_id", "(email")) for entry in ample.indexes)
    assert ample.saved > 0.9
    assert 0 < ample.bytes < 64 << 20
    assert all(entry.cost_after <= entry.cost_before * 1.01 for entry in ample.statements)
    assert none.indexes == ()
    assert none.saved == 0.0


def test_a_budget_of_a_review(database: Database, programs: Path | None) -> None:
    database.execute(
        "CREATE EXTENSION pg_stat_statements",
        *SCHEMA,
        "SELECT pg_stat_force_next_flush()",
        "SELECT pg_stat_reset()",
        "SELECT pg_stat_statements_reset()",
        *(text.replace("$1", "'7'") for text in (BY_USER, BY_EMAIL) * 20),
    )
    budget = 3 << 20

    evidence = observe(Target(database.dsn, shadow=True, programs=programs, index_budget=budget)).evidence

    advice = evidence.get(Advice)
    made = {entry.advised.table[1]: entry.sql for entry in makings(evidence)}
    assert set(made) == {"messages", "users"}
    assert 0 < advice.bytes <= advice.bytes_at_most <= budget
    with database.connect() as connection:
        for sql in made.values():
            connection.execute(sql.replace("CONCURRENTLY ", "").encode())
        row = connection.execute(
            "SELECT pg_catalog.sum(pg_catalog.pg_relation_size(indexrelid))::bigint FROM pg_catalog.pg_index "
            "WHERE indrelid IN ('messages'::regclass, 'users'::regclass) AND NOT indisprimary"
        ).fetchone()
    assert row is not None
    assert row[0] <= budget
    assert abs(row[0] - advice.bytes) <= 0.1 * row[0]

    results = run_checks(evidence)
    missing = next(one for one in results if one.check == "indexing.missing-index").findings
    assert [finding.fix.sql for finding in missing] == [made["messages"]]
    assert all("within 3.0 MB" in finding.fix.summary for finding in missing)
    assert all(finding.proof is not None and finding.proof.better for finding in missing)
    card = Review.derived(evidence, results).scorecard()
    for name in ("markdown", "html", "json", "sql"):
        page = render(card, name)
        assert all(sql.split(" ON ")[0].split()[-1] in page for sql in made.values()), name
    assert "## New indexes within 3.0 MB" in render(card, "markdown")
    Draft202012Validator(scorecard_schema()).validate(msgspec.json.decode(render(card, "json")))


TREE = (
    "CREATE TABLE events (id int NOT NULL, at date NOT NULL, actor int NOT NULL, note text) PARTITION BY RANGE (at)",
    "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
    "CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (id)",
    "CREATE TABLE events_2_a PARTITION OF events_2 DEFAULT",
    "CREATE TABLE events_rest PARTITION OF events DEFAULT",
    "INSERT INTO events SELECT i, '2026-01-01'::date + i % 75, i * 7919 % 9000, repeat('x', 90) "
    "FROM generate_series(1, 60000) AS i",
    # An index of a partition alone, which one of the whole takes over.
    "CREATE INDEX known ON events_rest (actor)",
    "VACUUM ANALYZE",
)
BY_ACTOR = "SELECT note FROM events WHERE actor = $1"


def test_a_tree_of_partitions_is_advised_at_its_root(database: Database, programs: Path | None) -> None:
    database.execute(*TREE)
    entry = Statement("1", BY_ACTOR, 1000, 1000.0, 1.0, 6000)
    evidence = msgspec.structs.replace(
        survey(database), statements=Statements("1.12", None, 0, 0, (entry,)), usage=Usage()
    )

    with Shadow.of_target(database.dsn, evidence, programs=programs) as shadow:
        before = shadow.explain(BY_ACTOR)
        advice = advise(shadow, evidence, budget_bytes=64 << 20)
        after = shadow.explain(BY_ACTOR)
        (making,) = makings(msgspec.structs.replace(evidence, advice=advice))
        fix = Fix("", making.sql, lock=making.lock)
        found = Finding(
            Subject("table", ("public", "events")), "", fix, check="indexing.tried", observed={"statements": 1}
        )
        (proof,) = prove(shadow, evidence, [found]).entries

    assert before == after
    assert [(entry.table, entry.definition) for entry in advice.indexes] == [(("public", "events"), "(actor)")]
    assert advice.saved > 0.8
    assert proof.verdict is Verdict.HELPS
    assert making.sql.splitlines() == [
        "CREATE INDEX events_actor_idx ON ONLY public.events (actor);",
        "CREATE INDEX CONCURRENTLY events_1_actor_idx ON public.events_1 (actor);",
        "ALTER INDEX public.events_actor_idx ATTACH PARTITION public.events_1_actor_idx;",
        "CREATE INDEX events_2_actor_idx ON ONLY public.events_2 (actor);",
        "CREATE INDEX CONCURRENTLY events_2_a_actor_idx ON public.events_2_a (actor);",
        "ALTER INDEX public.events_2_actor_idx ATTACH PARTITION public.events_2_a_actor_idx;",
        "ALTER INDEX public.events_actor_idx ATTACH PARTITION public.events_2_actor_idx;",
        "ALTER INDEX public.events_actor_idx ATTACH PARTITION public.known;",
    ]
    assert making.undo.splitlines() == [
        "DROP INDEX public.events_actor_idx;",
        "CREATE INDEX CONCURRENTLY known ON public.events_rest (actor);",
    ]
    with database.connect() as connection:
        for statement in making.sql.splitlines():
            connection.execute(statement.encode())
        row = connection.execute(
            "SELECT bool_and(i.indisvalid), sum(pg_relation_size(i.indexrelid))::bigint FROM pg_index AS i "
            "JOIN pg_class AS c ON c.oid = i.indexrelid WHERE c.relname LIKE '%actor_idx'"
        ).fetchone()
    assert row is not None
    assert row[0]
    assert abs(row[1] - advice.bytes) <= 0.1 * row[1]
