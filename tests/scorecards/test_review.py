from __future__ import annotations

import datetime as dt

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from scorecards.review import Answer, Decision, Event, ReviewState, redoable, replay, undoable
from tests.scorecards.reviewed import AS_OF, NOW

ACCEPT, WAIVE, REOPEN = (
    Decision("accept", "ada", AS_OF),
    Decision("waive", "ada", AS_OF),
    Decision("reopen", "ada", AS_OF),
)


def decided(id: str, decision: Decision, by: str = "ada", finding: str = "f1") -> Event:
    return Event("decided", by, NOW, id, finding, decision=decision)


def undone(id: str, target: str, by: str = "ada") -> Event:
    return Event("undone", by, NOW, id, target=target)


def redone(id: str, target: str, by: str = "ada") -> Event:
    return Event("redone", by, NOW, id, target=target)


def test_the_last_decision_holds_and_reopening_removes_it() -> None:
    assert replay([decided("1", ACCEPT), decided("2", WAIVE)]).decisions == {"f1": WAIVE}
    assert replay([decided("1", ACCEPT), decided("2", REOPEN)]).decisions == {}


def test_undo_brings_back_what_held_before() -> None:
    events = [decided("1", ACCEPT), decided("2", WAIVE), undone("3", "2")]
    assert replay(events).decisions == {"f1": ACCEPT}
    assert replay([*events, redone("4", "2")]).decisions == {"f1": WAIVE}


def test_answers_notes_and_owners() -> None:
    state = replay(
        [
            Event("answered", "ada", NOW, "1", question="REP-2.2", answer=Answer("yes")),
            Event("noted", "ada", NOW, "2", "f1", text="first"),
            Event("noted", "grace", NOW, "3", "f1", text="second"),
            Event("assigned", "ada", NOW, "4", "f1", owner="grace"),
        ]
    )
    assert state.answers == {"REP-2.2": Answer("yes")}
    assert [note.text for note in state.notes["f1"]] == ["first", "second"]
    assert state.owners == {"f1": "grace"}


def test_events_of_a_newer_version_mean_nothing_here() -> None:
    assert replay([Event("milestone", "ada", NOW, "1", text="v1")]) == ReviewState()


def test_nobody_undoes_what_somebody_else_said() -> None:
    events = [decided("1", ACCEPT, by="ada"), decided("2", WAIVE, by="grace")]
    mine = undoable(events, "ada")
    assert mine is not None
    assert mine.id == "1"
    assert undoable(events, "linus") is None


def test_redo_until_something_new_is_said() -> None:
    events = [decided("1", ACCEPT), decided("2", WAIVE), undone("3", "2"), undone("4", "1")]
    first = redoable(events, "ada")
    assert first is not None
    assert first.id == "1"
    events.append(redone("5", "1"))
    second = redoable(events, "ada")
    assert second is not None
    assert second.id == "2"
    assert redoable([*events, decided("6", REOPEN)], "ada") is None
    assert redoable(events, "grace") is None


@given(st.lists(st.sampled_from(["say", "undo", "redo"]), max_size=30))
def test_undo_and_redo_walk_through_history_like_an_editor(steps: list[str]) -> None:
    """Against a plain stack of done and undone things."""
    events: list[Event] = []
    done: list[str] = []
    back: list[str] = []
    for number, step in enumerate(steps):
        id = f"e{number}"
        if step == "say":
            events.append(decided(id, msgspec.structs.replace(ACCEPT, note=id)))
            done.append(id)
            back.clear()
        elif step == "undo" and (target := undoable(events, "ada")):
            assert target.id == done[-1]
            back.append(done.pop())
            events.append(undone(id, target.id))
        elif step == "redo" and (target := redoable(events, "ada")):
            assert target.id == back[-1]
            done.append(back.pop())
            events.append(redone(id, target.id))
        decision = replay(events).decisions.get("f1")
        assert (decision.note if decision else None) == (done[-1] if done else None)
        assert (undoable(events, "ada") is None) == (not done)
        assert (redoable(events, "ada") is None) == (not back)


def test_what_an_answer_comes_to() -> None:
    words = {
        "yes": "yes",
        "No.": "no",
        "unknown": "unknown",
        "yes: since May": "yes",
        "nobody knows": "",
        "yes-man": "",
    }
    assert {value: Answer(value).word for value in words} == words


def test_events_are_short_lines() -> None:
    line = msgspec.json.encode(decided("1", ACCEPT))
    assert b"\n" not in line
    assert b"null" not in line
    assert msgspec.json.decode(line, type=Event) == decided("1", ACCEPT)
    assert NOW.tzinfo is dt.UTC


def test_two_people_who_decide_without_knowing_of_each_other_are_in_conflict() -> None:
    def over(id: str, decision: Decision, by: str, seen: str | None) -> Event:
        return msgspec.structs.replace(decided(id, decision, by), over=seen)

    first = over("1", ACCEPT, "ada", "")
    unaware, aware, untold = (over("2", WAIVE, "grace", seen) for seen in ("", "1", None))
    assert replay([first, unaware]).conflicts == {"f1": (first, unaware)}
    assert replay([first, unaware]).decisions == {"f1": WAIVE}
    assert not replay([first, aware]).conflicts
    assert not replay([first, untold]).conflicts
    assert not replay([first, over("2", ACCEPT, "grace", "")]).conflicts
    assert not replay([first, over("2", WAIVE, "ada", "")]).conflicts
    settled = over("3", ACCEPT, "ada", "2")
    assert not replay([first, unaware, settled]).conflicts
    assert not replay([first, unaware, undone("3", "2", "grace")]).conflicts
    assert replay([first, unaware]).decided_in == {"f1": "2"}


def test_reopening_leaves_nothing_to_know_of() -> None:
    again = msgspec.structs.replace(decided("3", WAIVE, "grace"), over="")
    assert not replay([decided("1", ACCEPT), decided("2", REOPEN), again]).conflicts
