from __future__ import annotations

from typing import Any

import pytest

from checks.evidence.database.facts import Catalog, Column, Table
from checks.evidence.patterns import AccessPattern, ColumnRef, Comparison, OrderKey
from checks.model import Location, Subject
from checks.workload import equality_columns, short_text, statement_in_words, statement_subject

CATALOG = Catalog(
    tables=(
        Table(1, "public", "messages", "table", "owner"),
        Table(2, "tenant", "Order", "table", "owner"),
    ),
    columns=(
        Column(1, 1, "created_at", "timestamp with time zone", "timestamptz"),
        Column(1, 2, "rank", "integer", "int4"),
    ),
)


def compared(column: str, operator: str = "=", **other: Any) -> Comparison:
    return Comparison(ColumnRef(1, column), operator, **other)


NEWEST = OrderKey(ColumnRef(1, "created_at"), descending=True)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (
            AccessPattern("select", "", tables=(1,), comparisons=(compared("conversation_id"),), order_by=(NEWEST,)),
            "SELECT from messages by conversation_id, newest first",
        ),
        (AccessPattern("select", "", tables=(1,), aggregates=True), "SELECT aggregate from messages"),
        (AccessPattern("update", "", tables=(2,), comparisons=(compared("id"),)), 'UPDATE tenant."Order" by id'),
        (AccessPattern("insert", "", tables=(1,)), "INSERT into messages"),
        (AccessPattern("delete", "", tables=(1, 2)), 'DELETE from messages with tenant."Order"'),
        (
            AccessPattern("select", "", tables=(1,), comparisons=tuple(compared(name) for name in "abcde")),
            "SELECT from messages by a, b and 3 more",
        ),
        (
            AccessPattern(
                "select", "", tables=(1,), comparisons=(compared("body", json_operator="->>", json_key="kind"),)
            ),
            "SELECT from messages by body.kind",
        ),
        (
            AccessPattern("select", "", tables=(1,), order_by=(OrderKey(ColumnRef(1, "e"), distance_operator="<=>"),)),
            "SELECT from messages, nearest first",
        ),
        (AccessPattern("select", "", unresolved=("elsewhere",)), "SELECT from elsewhere"),
        (
            AccessPattern("select", "", unresolved=("$1", "$1.$2", "$1.b")),
            "SELECT from a table with a table and 1 more",
        ),
        (AccessPattern("other", "VACUUM   /* now */ messages"), "VACUUM messages"),
    ],
)
def test_what_a_statement_does(pattern: AccessPattern, words: str) -> None:
    assert statement_in_words(pattern, CATALOG) == words


def test_a_statement_that_never_ran_is_known_by_its_place() -> None:
    pattern = AccessPattern("select", "SELECT 1", locations=(Location("a.py", 3),))

    assert statement_subject(pattern) == Subject("statement", ("a.py", "3"))
    assert statement_in_words(pattern, None) == "SELECT 1"


def test_only_plain_equalities_count() -> None:
    pattern = AccessPattern(
        "select",
        "",
        comparisons=(
            compared("a"),
            compared("b", "in"),
            compared("c", ">"),
            compared("d", under_or=True),
            compared("e", function="lower"),
            compared("f", json_operator="->>"),
            compared("g", other=ColumnRef(2, "id")),
        ),
    )

    assert equality_columns(pattern, 1) == ["a", "b"]
    assert equality_columns(pattern, 2) == []


def test_a_text_is_cut_and_on_one_line() -> None:
    assert short_text("SELECT 1 -- why\n,  2", 100) == "SELECT 1 , 2"
    assert short_text("x" * 400, 300) == "x" * 299 + "…"
