"""What findings cost, and the costliest statements and tables through all areas."""

from __future__ import annotations

import msgspec
import pytest

from checks.configuration import Configuration, Prices
from checks.evidence.database.facts import Statement, Statements
from checks.evidence.evidence import Evidence
from checks.model import CheckResult, Outcome, Severity
from scorecards.costs import Costs
from scorecards.exports import render
from scorecards.model import Chain, Scorecard
from scorecards.review import ReviewState
from tests.scorecards.reviewed import evidence, finding, found, results, scorecard

SEARCH = "8123456789012345678"


def priced() -> Evidence:
    prices = Prices("EUR", storage_gb_month=0.5, server_month=1_000.0, wal_gb=0.1)
    return evidence(configuration=Configuration(prices=prices))


def written() -> Evidence:
    """The statement that inserts into events makes nine tenths of the WAL."""
    before = evidence().get(Statements)
    entries = tuple(
        msgspec.structs.replace(entry, wal_bytes=9_000_000_000 if entry.query_id == "77" else 500_000_000)
        for entry in before.entries
    )
    return evidence(statements=msgspec.structs.replace(before, entries=entries))


def test_an_index_gives_back_its_bytes() -> None:
    unused = finding("indexing.unused-index", "index", "public", "messages_pkey", observed={"size_bytes": 8_000_000})
    cost = Costs(evidence()).of([unused])
    assert cost is not None
    assert (cost.storage_bytes, cost.server_share, cost.money_per_month) == (8_000_000, None, None)


def test_an_index_takes_its_part_of_the_tables_wal() -> None:
    before = written()
    index = msgspec.structs.replace(before.catalog.indexes[1], oid=299, table=5, name="events_kind_idx")  # type: ignore[union-attr]
    catalog = msgspec.structs.replace(before.catalog, indexes=(*before.catalog.indexes, index))  # type: ignore[union-attr, type-var]
    unused = finding("indexing.unused-index", "index", "public", "events_kind_idx", observed={"size_bytes": 1})
    cost = Costs(msgspec.structs.replace(before, catalog=catalog)).of([unused])
    assert cost is not None
    assert cost.wal_share == pytest.approx(0.9 / 2)


def test_a_statement_that_two_findings_name_counts_once() -> None:
    scan = finding("plans.wasteful-sequential-scan", "statement", SEARCH)
    index = finding("indexing.missing-index", "table", "public", "messages", observed={"statements": [SEARCH]})
    text = "SELECT * FROM messages WHERE metadata ->> $1 = $2"
    path = ("public", "messages", "metadata")
    document = finding("hybrid.jsonb-filter-without-index", "column", *path, observed={"statement": text})
    costs = Costs(evidence())
    one, all_three = costs.of([scan]), costs.of([scan, index, document])
    assert one is not None
    assert all_three is not None
    assert one.server_share == all_three.server_share == pytest.approx(0.8072, abs=1e-4)
    areas = {entry.area: entry.cost.server_share for entry in costs.by_area([scan, index, document])}
    assert areas == dict.fromkeys(("indexing", "plans", "hybrid", "overall"), one.server_share)


def test_prices_make_money_of_it() -> None:
    unused = finding(
        "indexing.unused-index", "index", "public", "messages_pkey", observed={"size_bytes": 4_000_000_000}
    )
    scan = finding("plans.wasteful-sequential-scan", "statement", SEARCH)
    costs = Costs(priced())
    stored, served = costs.of([unused]), costs.of([scan])
    assert stored is not None
    assert served is not None
    assert stored.money_per_month == 2.0
    assert served.money_per_month == pytest.approx(807.17, abs=0.1)
    markdown = render(scorecard(evidence=priced()), "markdown")
    assert "| Area | Storage | Server time | WAL | Per month | Findings |" in markdown
    assert "EUR" in markdown
    assert "Per month" in render(scorecard(evidence=priced()), "html")


def test_a_move_says_what_it_saves(reviewed: Scorecard) -> None:
    move = next(entry for entry in reviewed.moves if "PLN-2.2" in entry.criteria)
    assert move.saves is not None
    assert move.saves.server_share == pytest.approx(0.8072)


def chains(given: tuple[CheckResult, ...] = ()) -> dict[str, Chain]:
    made = scorecard(results=given or results(), state=ReviewState())
    return {chain.subject.name: chain for chain in made.chains}


def test_the_costliest_statements_come_first_and_large_tables_that_none_uses(reviewed: Scorecard) -> None:
    assert [chain.subject.name for chain in reviewed.chains] == [
        SEARCH,
        "-42",
        "77",
        "public.embeddings",
        "public.accounts",
    ]
    first = reviewed.chains[0]
    assert first.words == "SELECT from messages by metadata"
    assert [(place.path, place.line) for place in first.locations] == [("app/search.py", 88)]
    assert [link.area for link in first.links] == [
        "schema",
        "indexing",
        "plans",
        "replication",
        "observability",
        "hybrid",
    ]


def test_a_link_is_of_its_statement_its_tables_or_the_server() -> None:
    links = {link.area: link for link in chains()[SEARCH].links}
    assert (links["plans"].state, links["plans"].check) == ("found", "plans.wasteful-sequential-scan")
    assert links["indexing"].check == "indexing.foreign-key-without-index"
    assert (links["replication"].check, links["replication"].server_wide) == (
        "replication.unlimited-slot-retention",
        True,
    )
    assert links["schema"].state == "ok"
    other = {link.area: link for link in chains()["-42"].links}
    assert (other["plans"].state, other["hybrid"].state) == ("ok", "not_applicable")


def test_the_weakest_areas_are_those_with_the_worst_finding_of_its_own() -> None:
    assert set(chains()[SEARCH].weakest) == {"indexing", "plans", "hybrid"}
    assert set(chains()["-42"].weakest) == {"replication", "observability"}


def test_notes_weaken_nothing_and_what_did_not_run_is_unknown() -> None:
    note = finding("schema.no-primary-key", "table", "public", "messages", severity=Severity.NOTE)
    given = (found("schema.no-primary-key", [note]), CheckResult("plans.never-analyzed", Outcome.UNKNOWN))
    links = {link.area: link.state for link in chains(given)[SEARCH].links}
    assert (links["schema"], links["plans"]) == ("ok", "unknown")


def test_rows_of_a_statement_are_summed_over_users() -> None:
    before = evidence().get(Statements)
    twice = tuple(
        msgspec.structs.replace(entry, total_ms=entry.total_ms / 2, users=(user,))
        for entry in before.entries
        for user in ("app", "worker")
    )
    assert isinstance(twice[0], Statement)
    doubled = evidence(statements=msgspec.structs.replace(before, entries=twice))
    shares = Costs(doubled).shares
    assert shares[SEARCH] == pytest.approx(Costs(evidence()).shares[SEARCH])


def test_statements_that_read_the_same_are_one_row() -> None:
    before = evidence().get(Statements)
    again = msgspec.structs.replace(before.entries[0], query_id="99", text=before.entries[0].text + " AND id = id")
    more = evidence(statements=msgspec.structs.replace(before, entries=(*before.entries, again)))
    first = scorecard(evidence=more).chains[0]
    assert first.words == "SELECT from messages by metadata (2 statements)"
    assert first.server_share == pytest.approx(0.8932, abs=1e-3)
    assert {link.check for link in first.links if link.area == "plans"} == {"plans.wasteful-sequential-scan"}


def test_what_nobody_would_do_anything_for_is_not_told() -> None:
    small = finding("indexing.unused-index", "index", "public", "messages_pkey", observed={"size_bytes": 24_000})
    card = scorecard(results=(found("indexing.unused-index", [small]),), state=ReviewState())
    assert card.findings[0].cost is not None
    assert "## Cost" not in render(card, "markdown")
    assert 'id="cost"' not in render(card, "html")
