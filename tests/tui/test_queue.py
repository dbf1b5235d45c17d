from __future__ import annotations

import time

import pytest

from checks.model import Area, Severity
from tests.tui.findings import make_finding
from tui.queue import Filter, Queue, Standing, read_filter, step


def in_order(count: int) -> Queue:
    from checks.checklist import sort_key

    return Queue({one.id: one for one in sorted((make_finding(number) for number in range(count)), key=sort_key)})


def test_filter_tokens() -> None:
    wanted = read_filter("sev:high,crit area:idx status:open owner:me check:dup Two Words", "Anna")
    assert wanted.severities == {Severity.HIGH, Severity.CRITICAL}
    assert wanted.areas == {Area.INDEXING}
    assert wanted.statuses == {"open"}
    assert wanted.owners == {"anna"}
    assert wanted.checks == {"dup"}
    assert wanted.words == ("two", "words")
    assert not wanted.complaint


def test_a_severity_and_worse() -> None:
    assert read_filter("sev:medium+").severities == {Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL}


@pytest.mark.parametrize("text", ["sev:nonsense", "area:kitchen", "status:gone"])
def test_an_unknown_value_is_said_and_the_rest_counts(text: str) -> None:
    wanted = read_filter(f"{text} word")
    assert wanted.complaint
    assert wanted.words == ("word",)


def test_other_colons_are_words() -> None:
    assert read_filter("app/db.py:12 http://x").words == ("app/db.py:12", "http://x")
    assert read_filter("  ").is_empty


def test_selecting() -> None:
    queue = in_order(12)
    decided = queue.ids[0]

    def standing(id: str) -> Standing:
        return Standing("waived", "Anna") if id == decided else Standing()

    everything = queue.select(Filter(), None, standing)
    assert everything == list(range(12))
    assert [queue.findings[0].severity, queue.findings[-1].severity] == [Severity.CRITICAL, Severity.NOTE]
    assert queue.select(read_filter("status:open"), None, standing) == everything[1:]
    assert queue.select(read_filter("status:decided owner:ann"), None, standing) == [0]
    assert {queue.findings[i].area for i in queue.select(Filter(), Area.PLANS, standing)} == {Area.PLANS}
    assert queue.select(read_filter("area:plans"), Area.SCHEMA, standing) == []
    assert len(queue.select(read_filter("conversation_id (7)"), None, standing)) == 1


def test_stepping_goes_round_and_ends() -> None:
    shown = [3, 5, 8, 9]
    assert step(shown, 1, True, lambda index: index in {5, 9}) == 3
    assert step(shown, 3, True, lambda index: index in {5, 9}) == 1
    assert step(shown, 0, False, lambda index: index == 8) == 2
    assert step(shown, 0, True, lambda _: False) is None
    assert step([], 0, True, lambda _: True) is None


def test_ten_thousand_findings_are_filtered_within_a_frame() -> None:
    queue = in_order(10_000)
    begun = time.process_time()
    for text in ("messages offset", "sev:high status:open", "owner:me"):
        queue.select(read_filter(text, "me"), None, lambda _: Standing())
    assert time.process_time() - begun < 0.4
