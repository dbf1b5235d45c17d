"""The two bars that frame every screen: where one is, and what one can press."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from tui.actions import Action, key_label
from tui.text import Part, line

TAGLINE = " An architecture review for AI applications that run on PostgreSQL"
TABS = (
    ("walk", "W", "Walk"),
    ("browse", "B", "Browse"),
    ("questions", "Q", "Questions"),
    ("scorecard", "S", "Scorecard"),
    ("agenda", "A", "Agenda"),
    ("export", "E", "Export"),
)
GAPS = (2, 1)
SHORTEST_COMPANY = 8
KEY_GAP = 3


def spread(left: Content, right: Content, width: int) -> Content:
    """One line with `left` and `right` at its ends; `left` gives way."""
    room = max(0, width - right.cell_length - 2)
    shown = left.truncate(room, ellipsis=True)
    return line(shown, " " * (width - right.cell_length - shown.cell_length), right)


class HeaderBar(Widget):
    """The product, the target, the READ-ONLY badge and how far the review is; below it the screens of a review. `company` says
    who is there, in ever fewer words."""

    ALLOW_SELECT = False

    target: reactive[str] = reactive("")
    progress: reactive[str] = reactive("")
    current: reactive[str] = reactive("")
    tabs: reactive[bool] = reactive(False)
    said: reactive[str] = reactive("")
    company: reactive[tuple[str, ...]] = reactive(())

    def render(self) -> Content:
        width = self.size.width
        left: list[Part] = [(" pgsurveyor ", "bold $accent")]
        if self.target:
            left += [("  ", ""), (self.target, "$strong")]
        right: list[Part] = [(" READ-ONLY ", "bold $background on $success")]
        if self.progress:
            right = [(f"{self.progress}  ", "$foreground"), *right]
        first = spread(line(*left), line(*right, " "), width)
        return line(first, limit=None) + "\n" + self._second(width)

    def _second(self, width: int) -> Content:
        said = line((self.said, "$accent"), " ") if self.said else Content("")
        if not self.tabs:
            return spread(line((TAGLINE, "$muted")), said, width)
        parts: list[Part] = [" "]
        for mode, key, name in TABS:
            here = mode == self.current
            parts += [
                (key, "bold $accent" if not here else "bold $accent underline"),
                (f" {name}", "bold $strong underline" if here else "$muted"),
                " " * self._gap,
            ]
        tabs = line(*parts)
        left = width - tabs.cell_length - 2
        if not self.said and self.company and left >= SHORTEST_COMPANY:
            fitting = next((words for words in self.company if len(words) < left), self.company[-1])
            said = line((fitting, "$muted"), " ").truncate(left, ellipsis=True)
        return spread(tabs, said, width)

    @property
    def _gap(self) -> int:
        """Between two tabs: as wide as all of them leave room for."""
        words = sum(len(name) + 2 for _, _, name in TABS)
        return next((gap for gap in GAPS if 1 + words + gap * len(TABS) < self.size.width), GAPS[-1])

    async def on_click(self, event: events.Click) -> None:
        if not self.tabs or event.y != 1:
            return
        at = 1
        for mode, _, name in TABS:
            if at <= event.x < at + len(name) + 2:
                await self.run_action(f"app.go('{mode}')")
                return
            at += len(name) + 2 + self._gap


def _length(action: Action) -> int:
    return len(key_label(action.key)) + len(action.label) + 1


class KeyBar(Widget):
    """At most six keys of this screen; all the others are behind `?`."""

    ALLOW_SELECT = False

    actions: reactive[tuple[Action, ...]] = reactive(())

    @property
    def fitting(self) -> tuple[Action, ...]:
        """What there is room for; the last, which leads to all the others, stays."""
        kept = list(self.actions)
        while len(kept) > 1 and 1 + sum(_length(action) + KEY_GAP for action in kept) - KEY_GAP > self.size.width:
            del kept[-2]
        return tuple(kept)

    def render(self) -> Content:
        parts: list[Part] = [" "]
        for action in self.fitting:
            parts += [(key_label(action.key), "bold $accent"), (f" {action.label}", "$muted"), " " * KEY_GAP]
        return line(*parts)

    async def on_click(self, event: events.Click) -> None:
        at = 1
        for action in self.fitting:
            length = _length(action)
            if at <= event.x < at + length:
                await self.screen.run_action(action.run)
                return
            at += length + KEY_GAP


class TooSmall(Widget):
    """Instead of everything else when the terminal has fewer than 60 columns or 15 rows."""

    ALLOW_SELECT = False

    def render(self) -> Content:
        size = self.app.size
        return line(("Too small: ", "bold"), f"{size.width}x{size.height}. ", "60x15 is the least.")
