from __future__ import annotations

from typing import Any

import msgspec
import pytest

from checks.evidence.database.facts import (
    Catalog,
    Column,
    Constraint,
    GivenPlan,
    GivenPlans,
    Index,
    IndexKey,
    Measured,
    Plan,
    PlanNode,
    Plans,
    Statement,
    Statements,
    Table,
)
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import CodeStatement, Declared, Match, Repository
from checks.growth import Breaking, GrownStatement, Growth
from checks.model import Finding, Fix, Location, Severity, Subject
from tests.tui.findings import NOW
from tui.links import Links, Thing, things_of
from tui.screens.linking import linked
from tui.widgets.browsing import thing_paragraphs
from tui.widgets.growth import growth_paragraphs
from tui.widgets.plan import COSTLY, plan_paragraphs, weigh

USERS, EVENTS = Thing("table", ("public", "users")), Thing("table", ("public", "events"))
BY_EMAIL = Thing("index", ("public", "users_email_idx"))


def finding(check: str, subject: Subject, *related: Subject, **observed: object) -> Finding:
    return Finding(
        subject, f"{check} {subject.name}", Fix("Mend it."), Severity.HIGH, observed=observed, related=related, check=check,
        locations=(Location("app/db.py", 3),),
    )  # fmt: skip


def node(kind: str, cost: float, rows: float, *children: PlanNode, **more: Any) -> PlanNode:
    return PlanNode(kind, 0.0, cost, rows, 8, children=children, **more)


def evidence() -> Evidence:
    tables = (
        Table(1, "public", "users", "table", "app", rows=10.0, total_bytes=1_000, heap_bytes=800),
        Table(2, "public", "events", "table", "app", rows=1_000.0, total_bytes=90_000),
        Table(3, "public", "parts", "partitioned", "app"),
        Table(4, "public", "parts_1", "table", "app", is_partition=True, parent=3, root=3),
    )
    names = {1: ("id", "email"), 2: ("id", "user_id"), 3: ("id",), 4: ("id",)}
    columns = tuple(
        Column(oid, number, name, "bigint", "int8")
        for oid, found in names.items()
        for number, name in enumerate(found, 1)
    )
    scan = node("Index Scan", 8.0, 1.0, schema="public", relation="users", index="users_email_idx")
    return Evidence(
        tool_version="0",
        observed_at=NOW,
        catalog=Catalog(
            tables,
            columns,
            (Constraint(9, 2, "events_user_id_fkey", "foreign_key", (2,), 1, (1,)),),
            (Index(11, 1, "public", "users_email_idx", "btree", (IndexKey(2, "text_ops"),), size_bytes=4_096),),
        ),
        statements=Statements(
            "1.11",
            NOW,
            0,
            0,
            (
                Statement("7", "SELECT id FROM users WHERE email = $1", 10, 90.0, 9.0, 10),
                Statement("8", "SELECT id FROM events WHERE user_id = $1", 5, 10.0, 2.0, 50),
                Statement("9", "DELETE FROM parts_1 WHERE id = $1", 1, 1.0, 1.0, 1),
            ),
        ),
        plans=Plans((Plan("7", scan),)),
        repository=Repository(
            "app",
            statements=(
                CodeStatement(Location("app/db.py", 3), "python", "SELECT id FROM users WHERE email = $1"),
                CodeStatement(Location("app/never.py", 1), "python", "UPDATE events SET user_id = $1"),
            ),
            matches=(Match("7", Location("app/db.py", 3), "text"),),
            declared=(Declared(Subject("table", ("public", "users")), Location("migrations/1.sql", 1)),),
        ),
    )


@pytest.fixture
def links() -> Links:
    found = [
        finding("schema.a", Subject("column", ("public", "users", "email"))),
        finding("plans.b", Subject("statement", ("7",)), Subject("table", ("public", "users"))),
        finding("indexing.c", Subject("index", ("public", "users_email_idx"))),
        finding("plans.d", Subject("table", ("public", "events")), statements=["8"]),
    ]
    return Links(evidence(), {one.id: one for one in found})


def checks(found: tuple[Finding, ...]) -> list[str]:
    return [one.check for one in found]


def test_findings_of_tables_indexes_statements_and_files(links: Links) -> None:
    assert checks(links.findings_of(USERS)) == ["schema.a", "plans.b", "indexing.c"]
    assert checks(links.findings_of(BY_EMAIL)) == ["indexing.c"]
    assert checks(links.findings_of(Thing("statement", ("7",)))) == ["plans.b"]
    assert checks(links.findings_of(Thing("statement", ("8",)))) == ["plans.d"]
    assert len(links.findings_of(Thing("file", ("app/db.py",)))) == 4


def test_related_findings_share_a_table_or_a_statement(links: Links) -> None:
    assert checks(links.related(links.findings[0])) == ["plans.b"]
    assert checks(links.related(links.findings[3])) == []
    assert things_of(links.findings[3]) == (EVENTS, Thing("statement", ("8",)))


def test_tables_statements_and_code_lead_to_each_other(links: Links) -> None:
    assert [table.name for table in links.tables] == ["events", "users", "parts"]
    users, events, parts = (links.catalog.table_by_oid[oid] for oid in (1, 2, 3))
    assert [entry.query_id for entry in links.statements_of(users)] == ["7"]
    assert [entry.query_id for entry in links.statements_of(parts)] == ["9"]
    assert links.tables_of("9") == (parts,)
    assert links.code_of_table(users) == (
        (Location("migrations/1.sql", 1), "declares"),
        (Location("app/db.py", 3), "reads"),
    )
    assert links.code_of_table(events) == ((Location("app/never.py", 1), "updates"),)
    assert list(links.files) == ["app/db.py", "app/never.py", "migrations/1.sql"]


def test_whatever_belongs_to_a_thing_can_be_gone_to(links: Links) -> None:
    kinds = [(entry.heading, entry.value.key) for entry in linked(links, USERS)]
    assert ("statement", ("7",)) in kinds
    assert ("code", ("app/db.py",)) in kinds
    assert ("index", ("public", "users_email_idx")) in kinds
    assert ("table", ("public", "events")) in kinds
    assert [one[0] for one in kinds].count("finding") == 3
    of_finding = [entry.value for entry in linked(links, Thing("finding", (links.findings[1].id,)))]
    assert USERS in of_finding
    assert Thing("statement", ("7",)) in of_finding
    assert linked(links, Thing("finding", ("gone",))) == []
    assert next(entry.value for entry in linked(links, BY_EMAIL)) == USERS


@pytest.mark.parametrize("thing", [USERS, EVENTS, BY_EMAIL, Thing("statement", ("7",)), Thing("file", ("app/db.py",))])
@pytest.mark.parametrize("width", [30, 96])
def test_each_thing_is_shown_in_full(links: Links, thing: Thing, width: int) -> None:
    for read in (False, True):
        text = "\n".join(
            one.first.plain + one.text.plain for one in thing_paragraphs(links, thing, width, workload_read=read)
        )
        assert "Findings" in text
        assert thing.key[-1] in text
    gone = thing_paragraphs(links, Thing("table", ("public", "gone")), width)
    assert "not in this evidence" in gone[0].text.plain


def test_shares_of_a_plan_are_of_what_each_node_itself_costs() -> None:
    scan = node("Seq Scan", 90.0, 1_000.0)
    assert [round(one.share, 2) for one in weigh(node("Sort", 100.0, 1_000.0, scan))] == [0.1, 0.9]
    stopped = node("Limit", 10.0, 10.0, node("Seq Scan", 1_000.0, 100_000.0))
    assert [round(one.share, 2) for one in weigh(stopped)] == [0.0, 1.0]
    inner = node("Index Scan", 8.0, 1.0)
    loop = node("Nested Loop", 820.0, 100.0, node("Seq Scan", 10.0, 100.0), inner)
    shares = [round(one.share, 2) for one in weigh(loop)]
    assert shares == [0.01, 0.01, 0.98]
    assert sum(shares) == pytest.approx(1.0, abs=0.02)


def test_costly_nodes_are_marked_with_more_than_colour() -> None:
    plan = Plan(
        "7",
        node("Sort", 100.0, 1_000.0, node("Seq Scan", 90.0, 1_000.0, relation="t", schema="public", filter="(a = $1)")),
    )
    lines = [paragraph.text.plain for paragraph in plan_paragraphs(plan, 80)]
    assert any("▲ Seq Scan on t" in line and "90%" in line for line in lines)
    assert any("filter (a = $1)" in line for line in lines)
    assert not any("▲ Sort" in line for line in lines)
    assert COSTLY > 0.1


def test_a_plan_as_deep_as_it_gets_is_still_drawn() -> None:
    deep = node("Seq Scan", 1.0, 1.0)
    for level in range(900):
        deep = node("Materialize", 2.0 + level, 1.0, deep)
    assert plan_paragraphs(Plan("7", deep), 80)


def test_what_becomes_of_a_statement_when_its_tables_grow(links: Links) -> None:
    entry = GrownStatement(
        "7", (10.0, 100.0, None, 9_000.0), 0.98, (1_000.0,), Breaking(12.5, "mean above 100 ms", NOW.date()), 9.0, 10,
        ("public.users",), ("Index Scan on users",), ("Sort", "  Seq Scan on users \x1b[2J"),
    )  # fmt: skip
    growth = Growth((1.0, 10.0, 100.0, 1_000.0), 100.0, 18, 17, (entry,))
    grown = Links(msgspec.structs.replace(links.evidence, growth=growth), links.entries_by_id)
    for width in (40, 96):
        statement = thing_paragraphs(grown, Thing("statement", ("7",)), width)
        text = "\n".join(one.first.plain + one.text.plain for one in statement)
        assert "by PostgreSQL 18" in text
        assert "1,000x" in text
        assert "900 times the cost   about 8.1 s" in text
        assert ("about 8.1 s   another plan" if width == 96 else "another plan at 1,000x") in text
        assert f"breaks at 12x, by {NOW.date()}: mean above 100 ms" in text
        assert "Seq Scan on users \\x1b[2J" in text
        assert "At 1,000x" in text
    untold = GrownStatement("8", (None, None))
    assert any("could not be told" in one.text.plain for one in growth_paragraphs(growth, untold, 80))
    steady = GrownStatement("8", (5.0, 5.0, 5.0, 5.0), 0.0, mean_ms=2.0)
    assert any("stays below 100 ms up to 1,000x" in one.text.plain for one in growth_paragraphs(growth, steady, 80))


def test_a_plan_that_was_really_run_stands_before_the_generic_one(links: Links) -> None:
    measured = Measured(rows=20, loops=3, ms=40.0, removed=9_000, hit_blocks=10, read_blocks=2, heap_fetches=7)
    spilled = Measured(rows=5, loops=1, sort_kb=2_048, sort_on_disk=True, batches=4)
    scan = node("Seq Scan", 90.0, 1_000.0, relation="users", schema="public", measured=measured)
    slow = node("Sort", 100.0, 5.0, scan, measured=spilled)
    quick = node("Seq Scan", 9.0, 1.0, relation="users", measured=Measured(1, 1))
    ran = GivenPlans(
        (GivenPlan("auto.log", 3, quick, query_id="7", execution_ms=1.0),
         GivenPlan("--analyze", 1, slow, query_id="7", execution_ms=125.0))
    )  # fmt: skip
    plan = Links(msgspec.structs.replace(links.evidence, given_plans=ran), links.entries_by_id).plan("7")
    assert plan is not None
    lines = [paragraph.text.plain.strip() for paragraph in plan_paragraphs(plan, 130)]
    assert any("it ran: --analyze" in line for line in lines)
    told = [line.partition("ran ")[2] for line in lines if "ran " in line and "rows" in line]
    assert told == [
        "5 rows, sorted through 2,048 kB on disk, 4 batches",
        "20 rows each of 3 times, 120.0 ms, 9,000 removed, 12 blocks, 2 of them read, 7 rows from the table",
    ]
