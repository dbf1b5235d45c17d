from __future__ import annotations

from checks.evidence.database.facts import Settings
from checks.evidence.evidence import Evidence
from tests.tui.conftest import MakeApp, MakeReview
from tests.tui.findings import NOW, make_evidence, make_finding
from tests.tui.screen import screen_text
from tui.look import CONTRAST, DARK, LIGHT
from tui.masking import Mask, names_of


def test_names_are_replaced_as_whole_words_by_their_kind() -> None:
    mask = Mask([("database", "acme"), ("role", "acme_api"), ("role", "acme"), ("person", "bo"), ("role", "postgres")])
    assert mask("acme and ACME, acme_api; acmeology of acme.users") == (
        "database-1 and database-1, role-1; acmeology of database-1.users"
    )
    assert mask("bo, postgres, public") == "bo, postgres, public"


def test_addresses_are_masked_without_being_known() -> None:
    mask = Mask([])
    assert mask("ada@acme.example.com at 10.0.0.7, db-1.eu.acme.internal") == "email-… at host-…, host-…"
    assert mask("app/db.py:12 and public.users") == "app/db.py:12 and public.users"


def test_hostile_names_are_only_words_to_the_mask() -> None:
    assert Mask([("role", "a.*|(b")])("x a.*|(b y") == "x role-1 y"
    assert len(Mask([("role", f"role{number}") for number in range(5_000)])("role1 role4999")) > 5


def test_what_is_masked_of_a_review() -> None:
    evidence = make_evidence()
    names = {name: kind for kind, name in names_of(evidence, ["anna"])}
    assert names == {"support": "database", "app": "role", "support-assistant": "repository", "anna": "person"}
    bare = Evidence(tool_version="0", observed_at=NOW, settings=Settings(login_roles=("worker",)))
    assert list(names_of(bare, ())) == [("role", "worker")]


async def test_presenting_masks_every_screen_and_goes_back(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review([make_finding(0, "support says anna"), make_finding(1, "of support-assistant")])
    app = make_app(review=review)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("c", *"support", "enter", "P")
        await pilot.pause(0.2)
        assert app.theme == LIGHT.name
        for key in "WBQSAE":
            await pilot.press(key)
            await pilot.pause(0.3)
            shown = screen_text(pilot).replace("database-1", "").replace("repository-1", "")
            assert "support" not in shown.lower(), key
            assert "anna" not in shown
        await pilot.press("W", "P")
        await pilot.pause(0.2)
        assert app.theme == DARK.name
        assert "support says anna" in screen_text(pilot)


async def test_themes_go_round_and_are_remembered(make_app: MakeApp, make_review: MakeReview) -> None:
    review = make_review()
    async with make_app(review=review).run_test(size=(80, 24)) as pilot:
        await pilot.press("t", "t")
        assert pilot.app.theme == CONTRAST.name
    async with make_app(review=make_review(again=review)).run_test(size=(80, 24)) as pilot:
        assert pilot.app.theme == CONTRAST.name
        await pilot.press("t")
        assert pilot.app.theme == DARK.name
