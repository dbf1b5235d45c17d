"""What can be done here: listed, explained, jumped to and run, whatever has the keyboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from tui.actions import Action
from tui.travel import Travelling
from tui.widgets.rows import RowList

if TYPE_CHECKING:
    from tui.screens.help import Choice

SCOPES = {"RowList": "rows", "Document": "document"}


class Doing(Travelling):
    """The part of the program that knows the registry. `actions` is the registry with the keys of the user's keymap."""

    actions: Mapping[str, tuple[Action, ...]]

    def choices(self, screen: Screen[Any] | None = None) -> list[Choice]:
        """Everything that can be done on that screen (by default the one in front), what belongs to it first."""
        from tui.screens.base import SurveyScreen
        from tui.screens.help import Choice

        found: list[Choice] = []
        screen = screen or self.screen
        if isinstance(screen, SurveyScreen):
            found += [Choice("here", action, screen.is_possible(action)) for action in self.actions[screen.NAME]]
        found += [Choice("pgsurveyor", action, self._is_possible(action)) for action in self.actions["app"]]
        if scope := SCOPES.get(type(screen.focused).__name__):
            found += [Choice("keyboard", action, True) for action in self.actions[scope]]
        return found

    def _is_possible(self, action: Action) -> bool:
        if action.run.startswith("go("):
            return self.check_action("go", (action.run[4:-2],)) is True
        return action.run != "help" and self.check_action(action.run, ()) is True

    async def perform(self, action: Action) -> None:
        """Runs an action of the registry where it belongs: on the focused widget, the screen, or here."""
        nodes: list[tuple[Any, str]] = [(self.screen, getattr(self.screen, "NAME", "")), (self, "app")]
        focused = self.screen.focused
        if focused is not None:
            nodes.append((focused, SCOPES.get(type(focused).__name__, "")))
        for node, scope in nodes:
            if action in self.actions.get(scope, ()):
                await node.run_action(action.run)
                return

    def action_help(self) -> None:
        from tui.screens.help import Help

        def run(action: Action | None) -> None:
            if action is not None:
                self.run_worker(self.perform(action), name="perform")

        self.push_screen(Help(self.choices()), run)

    def action_jump(self) -> None:
        """Letters on all that can be gone to."""
        from tui.screens.jump import Jump, Spot, spots

        def go(spot: Spot | None) -> None:
            if spot is not None:
                spot.widget.focus()
                if spot.row is not None and isinstance(spot.widget, RowList):
                    spot.widget.cursor = spot.row

        if found := spots(self.screen):
            self.push_screen(Jump(found), go)

    def action_explain(self) -> None:
        """What the pane with the keyboard shows."""
        from tui.screens.explain import Explain, explanation

        self.push_screen(Explain(*explanation(self.screen)))
