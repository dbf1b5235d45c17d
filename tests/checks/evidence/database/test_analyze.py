from __future__ import annotations

import msgspec
import pytest

from checks.configuration import Configuration, Override
from checks.evidence import store
from checks.evidence.consent import Answer, Ask, Proposal
from checks.evidence.database.facts import GivenPlans
from checks.evidence.evidence import Evidence
from checks.evidence.observe import Observation, Target, observe
from checks.model import Outcome, Reason, Unobserved
from tests.checks.survey import conclude
from tests.checks.workload import prepare, send
from tests.servers import Database

SCHEMA = """
    CREATE TABLE orders (id bigint PRIMARY KEY, status text, made timestamptz, total int, note text);
    INSERT INTO orders
        SELECT n, CASE WHEN n % 10 < 7 THEN 'confidential' ELSE 'open' END, '2026-01-01'::timestamptz + n * interval '1 min',
            n % 100, repeat('x', 40)
        FROM generate_series(1, 20000) n;
    CREATE TABLE secrets (id int, whose text);
    CREATE FUNCTION mine(int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT $1';
    CREATE VIEW naps AS SELECT id, pg_sleep(0)::text AS nap FROM secrets;
    CREATE SEQUENCE numbers;
"""


@pytest.fixture(autouse=True)
def _asks_of_quick_statements_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checks.evidence.database.analyze.LEAST_MEAN_MS", 0.0)


def _observed(database: Database, ask: Ask | None) -> Observation:
    return observe(Target(database.dsn, analyze=True), ask=ask)


def _everything(proposal: Proposal) -> Answer:
    return Answer(True, proposal.values)


def _given(evidence: Evidence) -> GivenPlans:
    assert isinstance(evidence.given_plans, GivenPlans)
    return evidence.given_plans


def test_a_statement_is_run_with_what_statistics_say_after_a_yes(database: Database) -> None:
    prepare(database, SCHEMA)
    application = database.connect()
    statement = "SELECT id, note FROM orders WHERE status = %s AND made >= %s AND made < %s ORDER BY note, id LIMIT %s"
    send(application, statement, [("open", "2026-01-02", "2026-01-05", 20)] * 3)
    send(application, "SELECT count(*) FROM orders WHERE id = ANY(%s)", [([1, 2, 3],)])
    asked: list[Proposal] = []

    def answer(proposal: Proposal) -> Answer:
        asked.append(proposal)
        return Answer(True, proposal.values)

    evidence = _observed(database, answer).evidence
    proposal = next(entry for entry in asked if "status" in entry.text)

    values = {entry.number: (entry.value, entry.origin) for entry in proposal.parameters}
    assert values[1] == ("confidential", "the most common value of public.orders.status, of 70% of its rows")
    assert values[2][1] == "the middle of the values of public.orders.made"
    assert values[3][1] == "three quarters up the values of public.orders.made"
    assert values[4] == ("20", "the rows that it returns on average")
    assert "'confidential'::text" in proposal.sql(proposal.values)
    assert "$" not in proposal.sql(proposal.values)
    listed = next(entry for entry in asked if "count" in entry.text)
    assert listed.parameters[0].origin.startswith("5 values of public.orders.id")
    given = _given(evidence)
    assert (given.asked, given.declined, given.failed, len(given.plans)) == (len(asked), 0, 0, len(asked))
    plan = next(entry for entry in given.plans if entry.query_id == proposal.query_id)
    assert plan.file == "--analyze"
    assert plan.root.measured is not None
    assert plan.root.measured.rows == 20
    assert plan.root.measured.hit_blocks
    assert plan.values[0] == "$1: the most common value of public.orders.status, of 70% of its rows"
    saved = store.encode(evidence).decode()
    assert "confidential" not in saved
    assert f"{len(asked)} of {len(asked)} statements were run" in "".join(evidence.notices)


def test_without_a_yes_nothing_is_run(database: Database) -> None:
    prepare(database, SCHEMA)
    send(database.connect(), "SELECT note FROM orders WHERE status = %s", [("open",)] * 3)
    send(database.connect(), "SELECT note FROM orders WHERE total = %s", [(5,)] * 3)
    asked: list[Proposal] = []

    def no(proposal: Proposal) -> Answer:
        asked.append(proposal)
        return Answer(False, no_more=len(asked) == 2)

    def runs() -> int:
        return int(
            database.connect()
            .execute("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'orders'")
            .fetchall()[0][0]
        )

    before = runs()
    given = _given(_observed(database, no).evidence)
    assert given.plans == ()
    assert given.declined == given.asked >= 2
    assert len(asked) == 2
    assert runs() == before


def test_nobody_to_ask_is_said_and_nothing_is_run(database: Database) -> None:
    prepare(database, SCHEMA)
    send(database.connect(), "SELECT note FROM orders WHERE status = %s", [("open",)] * 3)

    observation = _observed(database, None)

    (problem,) = observation.problems
    assert "nobody to ask" in str(problem)
    assert isinstance(observation.evidence.given_plans, Unobserved)
    result = conclude(observation.evidence, "plans.sort-on-disk")
    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.NEEDS_ANSWER)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE orders SET total = 1 WHERE id = 7",
        "WITH gone AS (DELETE FROM secrets RETURNING id) SELECT id FROM gone",
        "SELECT id FROM orders WHERE id = 7 FOR UPDATE",
        "SELECT mine(total) FROM orders WHERE id = 7",
        "SELECT nextval('numbers')",
        "SELECT pg_advisory_xact_lock(7)",
        "SELECT id FROM naps",
        "SELECT set_config('work_mem', '8MB', true)",
    ],
)
def test_what_is_not_known_to_read_only_is_never_asked_for(database: Database, statement: str) -> None:
    prepare(database, SCHEMA)
    send(database.connect(), statement, [()] * 3)
    send(database.connect(), "SELECT note FROM orders WHERE total = 5 AND random() < 2", [()])
    asked: list[str] = []

    def answer(proposal: Proposal) -> Answer:
        asked.append(proposal.text)
        return Answer(True, proposal.values)

    _observed(database, answer)

    assert [text for text in asked if "random()" in text]
    assert not [text for text in asked if text.split()[:2] == statement.split()[:2] and "note" not in text]


def test_values_that_are_entered_and_ones_that_fail(database: Database) -> None:
    prepare(database, SCHEMA)
    send(database.connect(), "SELECT id FROM orders WHERE lower(note) = %s AND total = %s", [("a", 3)] * 3)

    def enter(value: str) -> Ask:
        def answer(proposal: Proposal) -> Answer:
            assert proposal.parameters[0].value is None
            return Answer(True, {1: value, **proposal.values})

        return answer

    given = _given(_observed(database, enter("it's; DROP TABLE orders --")).evidence)
    assert given.plans[0].values[0] == "$1: entered"
    given = _given(_observed(database, lambda _: Answer(True, {1: "x", 2: "no number"})).evidence)
    assert (given.plans, given.failed) == ((), 1)


def test_a_statement_that_takes_too_long_is_cancelled_and_the_rest_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(database, SCHEMA)
    send(database.connect(), "SELECT count(*) FROM orders a JOIN orders b ON a.total < b.total AND a.id < 900", [()])
    send(database.connect(), "SELECT id FROM orders WHERE id = %s", [(7,)] * 3)
    monkeypatch.setattr("checks.evidence.database.analyze.RUN_TIMEOUT_S", 0.2)

    given = _given(_observed(database, _everything).evidence)

    assert given.failed == 1
    assert len(given.plans) == given.asked - 1 >= 1


def test_a_person_is_not_asked_about_what_is_quick_or_reads_catalogs(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(database, SCHEMA)
    monkeypatch.setattr("checks.evidence.database.analyze.LEAST_MEAN_MS", 1.0)
    send(database.connect(), "SELECT note FROM orders WHERE id = %s", [(7,)] * 3)
    send(database.connect(), "SELECT count(*) FROM orders a JOIN orders b USING (total)", [()])
    send(database.connect(), "SELECT count(*), max(a.attname::text) FROM pg_attribute a, pg_class b", [()])
    asked: list[str] = []

    def answer(proposal: Proposal) -> Answer:
        asked.append(proposal.text)
        return Answer(False)

    _observed(database, answer)

    assert [text.partition("FROM ")[2][:8] for text in asked if "FROM" in text] == ["orders a"]


def test_what_the_plan_of_a_run_tells_under_the_settings_of_the_application(database: Database) -> None:
    prepare(database, SCHEMA, f"ALTER DATABASE {database.name} SET work_mem = '64kB'")
    statement = "SELECT id, note FROM orders WHERE status = %s ORDER BY note, id DESC"
    send(database.connect(), statement, [("confidential",)] * 3)
    evidence = _observed(database, _everything).evidence
    unhurried = Configuration((Override("plan_ms", 0, 50, "user", False),))

    result = conclude(msgspec.structs.replace(evidence, configuration=unhurried), "plans.sort-on-disk")

    (found,) = result.findings
    assert found.title.startswith("SELECT from orders by status, sorted by note: sorts 14,000 rows through ")
    assert found.observed["calls"] == 3
    assert found.observed["values"] == "$1: the most common value of public.orders.status, of 70% of its rows"
    assert found.subject.path == (_given(evidence).plans[0].query_id,)
