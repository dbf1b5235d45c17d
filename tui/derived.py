"""What is worked out of a review and kept while it is open: what belongs together, and what fixing something would change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui.background import start

if TYPE_CHECKING:
    from textual.message_pump import MessagePump

    from scorecards.effects import Effects
    from scorecards.session import Review
    from tui.links import Links


class Derived:
    """Of one review. Each part is made when it is first asked for."""

    def __init__(self, review: Review) -> None:
        self.review = review
        self._links: Links | None = None
        self._effects: tuple[Any, Effects | None] = (None, None)

    @property
    def links(self) -> Links:
        """What belongs together."""
        from tui.links import Links

        if self._links is None:
            self._links = Links(self.review.evidence, self.review.entries)
        return self._links

    @property
    def effects(self) -> Effects:
        """What fixing something would change, with the answers that there are now."""
        known = self.known_effects
        if known is None:
            answers = self.review.state.answers
            known = self._make_effects()
            self._effects = (answers, known)
        return known

    @property
    def known_effects(self) -> Effects | None:
        """The same if it has been worked out already, which takes a moment in a long review."""
        return self._effects[1] if self._effects[0] == self.review.state.answers else None

    def prepare_effects(self, receiver: MessagePump) -> None:
        """Works them out beside the screen; `receiver` gets Finished of the name `effects` when they are there."""
        answers = self.review.state.answers

        def work() -> None:
            self._effects = (answers, self._make_effects())

        start("effects", receiver, work)

    def _make_effects(self) -> Effects:
        from scorecards.effects import Effects

        review = self.review
        return Effects(review.evidence, review.results, review.state.answers, review.evidence.observed_at.date())
