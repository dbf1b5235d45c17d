"""Two people, or two terminals, on one review: who sits here, who else is there, and following them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from textual import events
from textual.app import App

from checks.errors import StoreError
from tui.company import DRIVER, NAVIGATOR, Company, Present, Seat, leader
from tui.text import tell

if TYPE_CHECKING:
    from scorecards.review import Event, ReviewState
    from scorecards.session import Review

OTHERS_S = 0.4
WORDS = {"accept": "accepted", "waive": "waived", "follow-up": "marked for follow-up", "dispute": "disputed"}

SAID = {
    "noted": "left a note", "assigned": "named an owner", "answered": "answered a question", "undone": "took something back",
    "redone": "said something again",
}  # fmt: skip


def _once(words: Iterable[str]) -> list[str]:
    """What several terminals have in common is said once."""
    return [one if count == 1 else f"{one} ({count})" for one, count in Counter(words).items()]


class Paired(App[None]):
    """The part of the program that knows of other people. `seat` is who sits at this terminal."""

    review: Review | None = None

    def __init__(self, seat: Seat, follow: bool) -> None:
        super().__init__()
        self.seat = seat
        self.following = follow
        self.others: list[Present] = []
        self.company: Company | None = None
        self._seen: ReviewState | None = None
        self._seen_events: tuple[Event, ...] = ()
        self._followed: tuple[str, str] = ("", "")

    @property
    def user(self) -> str:
        """Who signs what is decided here."""
        return self.seat.name or "reviewer"

    def review_changed(self) -> None:
        raise NotImplementedError

    def show_place(self, screen: str, place: str) -> None:
        raise NotImplementedError

    @property
    def place(self) -> tuple[str, str]:
        """Which screen is in front, and where on it the cursor is."""
        raise NotImplementedError

    def adopt_company(self, review: Review) -> None:
        """Called when a review becomes the one that is shown."""
        if self.company is not None:
            self.company.leave()
        self.company = Company(review.folder.path)
        self.others = []
        self._seen = review.state
        self._seen_events = review.folder.events()
        self._take_seat()

    def on_unmount(self) -> None:
        """However it ends: the others see it at once."""
        if self.company is not None:
            self.company.leave()

    @property
    def has_screen(self) -> bool:
        """False for the moment in which one mode has gone and the next has not come, and at the end."""
        return bool(self._screen_stacks.get(self.current_mode))

    def _take_seat(self) -> None:
        if self.review is not None:
            self.review.role, self.review.partner = self.seat.role, self.seat.partner

    @property
    def company_words(self) -> tuple[str, ...]:
        """Who is here, in ever fewer words: `anna (driver) · bo (navigator) at Scorecard`, `bo at Scorecard`, `bo`; nothing
        for one person who took no role."""
        mine = [self.seat.words] if self.seat.role or self.seat.partner else []
        there = self.others[:3]
        names = [present.seat.name if present.seat.name != self.user else "you also" for present in there]
        whole = [present.seat.words if present.seat.name != self.user else "you also" for present in there]
        screens = [present.screen.capitalize() for present in there]
        following = ["following"] if self.following and there else []
        if not there:
            return tuple(mine)
        return (
            " · ".join(
                [*mine, *_once(f"{who} at {where}" for who, where in zip(whole, screens, strict=True)), *following]
            ),
            " · ".join([*_once(f"{who} at {where}" for who, where in zip(names, screens, strict=True)), *following]),
            f"{'following ' if following else ''}{', '.join(_once(names))}",
        )

    def look_for_others(self) -> None:
        """Shows what was said in another terminal on the same review, who is there, and follows where that is wanted."""
        review, company = self.review, self.company
        if review is None or company is None or not self.has_screen:
            return
        try:
            state = review.state
        except StoreError as error:
            tell(self, f"{error}. {error.hint}", title="The review cannot be read", severity="error")
            return
        present = time.time()
        screen, place = self.place
        company.tell(self.seat, screen, place, present)
        others = company.others(present)
        changed = [one.seat for one in others] != [one.seat for one in self.others] or [
            one.screen for one in others
        ] != [one.screen for one in self.others]
        self.others = others
        if state is not self._seen:
            self._tell_of_others()
            self._seen = state
            self.review_changed()
        elif changed:
            self.review_changed()
        if self.following:
            self._follow()

    def _tell_of_others(self) -> None:
        """What another person said since the last look: in the header, and in an open form that is about the same finding."""
        from tui.screens.base import SurveyScreen
        from tui.screens.form import Form

        review = self.review
        assert review is not None
        now = review.folder.events()
        fresh = [event for event in now[len(self._seen_events) :] if event.by != self.user]
        self._seen_events = now
        for event in fresh:
            if event.decision is not None:
                words = f"{event.by} {WORDS.get(event.decision.kind, 're-opened')} "
                if isinstance(self.screen, Form) and event.finding in self.screen.findings:
                    self.screen.warn(f"{words}it while this form was open. Yours will stand beside it.")
        if fresh and isinstance(self.screen, SurveyScreen):
            last = fresh[-1]
            done = WORDS.get(last.decision.kind, "re-opened") if last.decision else SAID.get(last.kind, last.kind)
            self.screen.say(f"{last.by} {done}{' a finding' if last.decision else ''}")

    def _follow(self) -> None:
        from tui.screens.base import SurveyScreen

        lead = leader(self.others)
        if lead is None or not isinstance(self.screen, SurveyScreen):
            return
        wanted = (lead.screen, lead.place)
        if wanted != self._followed and wanted != self.place:
            self.show_place(*wanted)
        self._followed = wanted

    async def on_event(self, event: events.Event) -> None:
        """Any key but the one that switches it ends following, and then does what it does."""
        if isinstance(event, events.Key) and self.following and event.key not in {"F", "f"}:
            self.following = False
            self._say("not following any more · F follows again")
        await super().on_event(event)

    def _say(self, words: str) -> None:
        say = getattr(self.screen, "say", None)
        if callable(say):
            cast("Any", say)(words)

    def action_follow(self) -> None:
        self.following = not self.following
        self._followed = ("", "")
        lead = leader(self.others)
        if not self.following:
            self._say("not following any more")
        elif lead is None:
            self._say("nobody else is here yet: whoever drives will be followed")
        else:
            self._say(f"following {lead.seat.name} until you press a key")
        self.review_changed()

    def action_swap_roles(self) -> None:
        self.take_seat(self.seat.swapped())

    def take_seat(self, seat: Seat) -> None:
        """Other people, or other roles, sit here from now on."""
        self.seat = seat
        self._take_seat()
        self._say(f"now {seat.words}")
        self.review_changed()

    def action_who(self) -> None:
        """Names and roles, and who else is there."""
        from tui.screens.form import Field, Form, Values

        roles = (("", "no role"), (DRIVER, "at the keyboard; others follow"), (NAVIGATOR, "reads, asks, decides too"))
        fields = [
            Field("name", "Your name", value=self.seat.name, required=True, hint="every decision is signed with it"),
            Field("partner", "Who sits beside you", value=self.seat.partner, hint="may stay empty"),
            Field("role", "Role", "choice", value=self.seat.role, choices=roles),
        ]

        def take(values: Values) -> None:
            self.take_seat(Seat(values["name"], values["role"], values["partner"]))

        there = ", ".join(present.seat.words for present in self.others)
        about = f"Also on this review: {there}." if there else "Nobody else is on this review just now."
        self.push_screen(Form("Who is here", about, fields, take, self.clock().date()))

    @property
    def clock(self) -> Any:
        raise NotImplementedError
