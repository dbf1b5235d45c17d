from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from checks.evidence.database.facts import PlanNode
from checks.shadow.clone import Shadow
from checks.shadow.in_memory import InMemory, proven
from checks.shadow.reading import read_blueprint
from tests.checks.survey import survey
from tests.servers import Database

# 100 rows of `items` for each of 1,000 owners, `scattered` over the table; `ordered` follows the order of the table.
SCHEMA = """
    CREATE TABLE owners (id int PRIMARY KEY, name text NOT NULL, region int NOT NULL);
    INSERT INTO owners SELECT i, 'o' || i, i % 20 FROM generate_series(1, 1000) AS i;
    CREATE TABLE items (id int PRIMARY KEY, scattered int NOT NULL, ordered int NOT NULL, note text NOT NULL);
    INSERT INTO items SELECT i, 1 + i * 7919 % 1000, 1 + i / 100, repeat('x', 60) FROM generate_series(1, 99999) AS i;
    CREATE INDEX items_scattered ON items (scattered);
    CREATE INDEX items_ordered ON items (ordered);
    CREATE TABLE pairs (a int, b int, region int NOT NULL, PRIMARY KEY (a, b));
    INSERT INTO pairs SELECT i % 100, i, i % 20 FROM generate_series(1, 1000) AS i;
    CREATE TABLE uses (a int, b int, note text NOT NULL, FOREIGN KEY (a, b) REFERENCES pairs);
    INSERT INTO uses SELECT (1 + i * 7919 % 1000) % 100, 1 + i * 7919 % 1000, repeat('x', 60) FROM generate_series(1, 99999) AS i;
    CREATE INDEX uses_pair ON uses (a, b);
"""
JOINED = "SELECT i.note FROM owners AS o JOIN items AS i ON i.scattered = o.id WHERE o.region = 3"
# By what is known of each column alone, a look-up finds one row; by the foreign key, a hundred.
PAIRED = "SELECT u.note FROM pairs AS p JOIN uses AS u ON u.a = p.a AND u.b = p.b WHERE p.region = 3"
INDEX_SCANS = {
    "enable_seqscan": "off", "enable_bitmapscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
    "enable_memoize": "off", "max_parallel_workers_per_gather": "0",
}  # fmt: skip


class Counted:
    """Cost with pages for nothing, and how much dearer one visited place a tuple makes it."""

    def __init__(self, shadow: Shadow) -> None:
        self._shadow = shadow
        self._free, self._one = InMemory(shadow, 0), InMemory(shadow, 1)

    def cost(self, text: str) -> float:
        return self._of(self._free, text)

    def visits(self, text: str) -> float:
        return (self._of(self._one, text) - self._of(self._free, text)) / 0.01

    def _of(self, counting: InMemory, text: str) -> float:
        plan = self._shadow.explain(text)
        assert isinstance(plan, PlanNode)
        cost = counting.cost(text, "", plan)
        assert cost is not None
        return cost


@pytest.fixture
def database_of_items(database: Database) -> Database:
    database.execute(SCHEMA, "VACUUM ANALYZE")
    return database


def test_pages_are_free_and_random_places_are_not(database_of_items: Database, programs: Path | None) -> None:
    whole = "SELECT note FROM items"
    with Shadow.of_target(database_of_items.dsn, survey(database_of_items), programs=programs) as shadow:
        counted = Counted(shadow)
        plan = shadow.explain(whole, "", {"seq_page_cost": "0", "random_page_cost": "0"})
        assert isinstance(plan, PlanNode)
        assert counted.cost(whole) == pytest.approx(plan.total_cost, rel=1e-3)
        assert counted.visits(whole) == 0
        # A hundred rows a value: on as many pages, or side by side on two.
        assert counted.visits("SELECT note FROM items WHERE scattered = 7") == pytest.approx(100, rel=0.15)
        assert counted.visits("SELECT note FROM items WHERE ordered = 7") == pytest.approx(2, abs=1)
        assert counted.visits("SELECT scattered FROM items WHERE scattered = 7") == pytest.approx(0, abs=0.01)
        assert counted.visits("SELECT note FROM items WHERE scattered < 900") == 0


def test_loops_limits_and_sub_plans_count(database_of_items: Database, programs: Path | None) -> None:
    blueprint = read_blueprint(database_of_items.dsn, None, programs=programs)
    blueprint = msgspec.structs.replace(blueprint, settings={**blueprint.settings, **INDEX_SCANS})
    with Shadow.of_blueprint(blueprint, programs=programs) as shadow:
        counted = Counted(shadow)
        assert counted.visits(JOINED) == pytest.approx(50 * 100 + 50, rel=0.1)
        assert counted.visits(PAIRED) == pytest.approx(50 * 100 + 1000, rel=0.1)
        assert counted.visits("SELECT note FROM items ORDER BY scattered LIMIT 40") == pytest.approx(40, rel=0.05)
        assert counted.visits(
            "SELECT (SELECT max(note) FROM items AS i WHERE i.scattered = o.id) FROM owners AS o WHERE region = 3"
        ) == pytest.approx(50 * 100 + 50, rel=0.1)
        once = "SELECT id FROM owners WHERE id = (SELECT count(note) FROM items WHERE scattered = 7)"
        assert counted.visits(once) == pytest.approx(101, rel=0.1)


def test_both_counts_have_to_fall() -> None:
    assert proven(0.05, (100.0, 94.0), (50.0, 47.0))
    assert not proven(0.05, (100.0, 96.0), (50.0, 10.0))
    assert not proven(0.05, (100.0, 10.0), (50.0, 48.0))
    assert not proven(0.05, (100.0, 10.0), (50.0, None))
