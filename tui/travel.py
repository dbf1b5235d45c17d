"""Going about in a review: to a page and a place on it, to what belongs to something, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui.company import Seat
from tui.paired import Paired

if TYPE_CHECKING:
    from tui.links import Links, Thing

REVIEW_MODES = ("walk", "browse", "questions", "scorecard", "agenda", "export")


class Travelling(Paired):
    """The part of the program that knows where one is. `came_from` is the page of the review that was left last for one that
    belongs to none."""

    def __init__(self, seat: Seat, follow: bool) -> None:
        super().__init__(seat, follow)
        self._back: list[tuple[str, str]] = []
        self._wanted_place = ("", "")
        self.came_from = "walk"

    @property
    def is_running(self) -> bool:
        """Whether a target is being observed just now."""
        raise NotImplementedError

    @property
    def links(self) -> Links:
        """What belongs together in the review that is open."""
        raise NotImplementedError

    def remember_place(self, finding: str | None = None, screen: str | None = None) -> None:
        raise NotImplementedError

    @property
    def place(self) -> tuple[str, str]:
        from tui.screens.base import SurveyScreen

        screens = [screen for screen in self.screen_stack if isinstance(screen, SurveyScreen)]
        return (self.current_mode, screens[-1].place if screens and screens[-1].is_ready else "")

    def show_place(self, screen: str, place: str) -> None:
        """Goes to that screen of the review, and to the place on it."""
        from tui.screens.base import SurveyScreen

        if screen not in REVIEW_MODES or self.review is None or self.is_running:
            return
        if self.current_mode == screen and isinstance(self.screen, SurveyScreen) and screen == self.screen.NAME:
            self.screen.go_to(place)
            return
        self._wanted_place = (screen, place)
        self.switch_mode(screen)

    def take_wanted_place(self, screen: str) -> str:
        """Where a screen that has just come to the front is to go; asked once."""
        wanted, self._wanted_place = self._wanted_place, ("", "")
        return wanted[1] if wanted[0] == screen else ""

    def show_finding(self, finding: str) -> None:
        """Goes to that finding in the walk."""
        self.remember_place(finding, "walk")
        self.show_place("walk", finding)

    def show_thing(self, thing: Thing) -> None:
        """Goes to a finding in the walk, or to anything else where one browses; `action_go_back` returns."""
        self._back.append(self.place)
        if thing.kind == "finding":
            self.show_finding(thing.key[0])
        else:
            self.remember_place(screen="browse")
            self.show_place("browse", "\x1f".join((thing.kind, *thing.key)))

    def choose_link(self, thing: Thing) -> None:
        """Lists what belongs to that thing, to go there."""
        from tui.screens.linking import linked
        from tui.screens.pick import Pick

        options = linked(self.links, thing)

        def go(chosen: Thing | None) -> None:
            if chosen is not None:
                self.show_thing(chosen)

        if options:
            self.push_screen(Pick("Go to", options), go)
        else:
            self._say("nothing else belongs to it")

    @property
    def can_go_back(self) -> bool:
        return bool(self._back)

    def action_go_back(self) -> None:
        """To where one came from by a link."""
        if self._back:
            self.show_place(*self._back.pop())

    def action_go(self, mode: str) -> Any:
        """To that page."""
        if mode in REVIEW_MODES:
            self.remember_place(screen=mode)
        elif self.current_mode in REVIEW_MODES:
            self.came_from = self.current_mode
        self.switch_mode(mode)
