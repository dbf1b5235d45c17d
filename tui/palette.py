"""The command palette: every action of the program, and every finding by its title."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.actions import key_label
from tui.text import line

if TYPE_CHECKING:
    from tui.app import SurveyorApp

FINDINGS_SHOWN = 30


class Commands(Provider):
    @property
    def _surveyor(self) -> SurveyorApp:
        return cast("SurveyorApp", self.app)

    def _commands(self) -> list[tuple[str, str, Callable[[], Any]]]:
        """Title, what it does, and what runs it; only what makes sense on the screen below the palette."""
        surveyor = self._surveyor
        return [
            (
                f"{choice.action.title} ({key_label(choice.action.key)})",
                choice.action.about,
                partial(surveyor.perform, choice.action),
            )
            for choice in surveyor.choices(self.screen)
            if choice.possible and choice.action.run != "command_palette"
        ]

    async def discover(self) -> Hits:
        for title, about, run in self._commands():
            yield DiscoveryHit(line(title), run, text=title, help=about or None)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, about, run in self._commands():
            if (score := matcher.match(title)) > 0:
                yield Hit(score, line(title), run, text=title, help=about or None)
        review = self._surveyor.review
        if review is None:
            return
        words = query.lower().split()
        found = [finding for finding in review.findings if all(word in finding.title.lower() for word in words)]
        for finding in found[:FINDINGS_SHOWN]:
            run = partial(self._surveyor.show_finding, finding.id)
            yield Hit(0.4, line(finding.title, limit=120), run, text=finding.id, help=finding.check)
