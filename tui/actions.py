"""Everything one can do, in one registry: bindings, the key bar, `?` and the palette are all made from it."""

from __future__ import annotations

import dataclasses

from textual.binding import Binding

MAXIMUM_SHOWN = 6


@dataclasses.dataclass(frozen=True)
class Action:
    """`keys` separated by spaces, the one to show first. `run` is the name of the method without `action_`. `shown` if it
    stands in the key bar, under `short`."""

    run: str
    keys: str
    title: str
    about: str = ""
    short: str = ""
    shown: bool = False

    @property
    def key(self) -> str:
        return self.keys.split()[0]

    @property
    def label(self) -> str:
        return self.short or self.title


ACTIONS: dict[str, tuple[Action, ...]] = {
    "app": (
        Action("help", "?", "What can be done here", "A list to search and to run from", "more", True),
        Action("command_palette", ": ctrl+p", "Command palette", "Every command, by name"),
        Action("go('walk')", "W", "Walk the findings"),
        Action("go('questions')", "Q", "Answer the questions"),
        Action("go('scorecard')", "S", "See the scorecard"),
        Action("go('export')", "E", "Export the review"),
        Action("go('connect')", "H", "Start page", "Recent reviews and targets; this review stays saved"),
        Action("switch_theme", "t", "Light or dark theme"),
        Action("leave", "q ctrl+q", "Quit", "Everything is saved already", "quit"),
    ),
    "rows": (
        Action("move(1)", "j down", "Next row"),
        Action("move(-1)", "k up", "Previous row"),
        Action("page(1)", "ctrl+d pagedown", "Page down"),
        Action("page(-1)", "ctrl+u pageup", "Page up"),
        Action("edge(-1)", "g home", "First row"),
        Action("edge(1)", "G end", "Last row"),
        Action("choose", "enter", "Open this row"),
    ),
    "document": (
        Action("scroll(1)", "j down", "Scroll down"),
        Action("scroll(-1)", "k up", "Scroll up"),
        Action("scroll_page(1)", "ctrl+d pagedown", "Page down"),
        Action("scroll_page(-1)", "ctrl+u pageup", "Page up"),
        Action("scroll_edge(-1)", "g home", "To the top"),
        Action("scroll_edge(1)", "G end", "To the end"),
    ),
    "connect": (
        Action("open", "enter o", "Open the review or target", short="open", shown=True),
        Action("new", "n", "New review", "Go to the database and repository fields", "new review", True),
        Action("start", "s", "Start the review", "Observe the target that the fields name", "start", True),
        Action("switch_pane", "tab", "Recent reviews, or the form"),
        Action("back", "escape", "Leave the field", short="leave"),
    ),
    "run": (
        Action("proceed", "enter", "Walk the findings", short="walk", shown=True),
        Action("cancel", "c escape", "Cancel", "Keeps what could be observed", "cancel", True),
        Action("again", "r", "Start again", short="again", shown=True),
    ),
    "walk": (
        Action("decide('accept')", "a", "Accept", "It is true and will be fixed: owner, due day", "accept", True),
        Action("decide('waive')", "w", "Waive", "True, but not to be fixed: reason, owner, expiry", "waive", True),
        Action("decide('follow-up')", "f", "Follow up", "Something is missing: what, and who finds out", "follow up", True),
        Action("decide('dispute')", "x", "Dispute", "It is not true: why"),
        Action("decide('reopen')", "r", "Re-open", "Take the decision back; it stays in the history"),
        Action("note", "c", "Comment", "A note beside the finding"),
        Action("assign", "@", "Set the owner"),
        Action("undo", "u", "Undo the last decision"),
        Action("redo", "ctrl+r R", "Redo what was undone"),
        Action("next_open(1)", "]", "Next undecided", short="next open", shown=True),
        Action("next_open(-1)", "[", "Previous undecided"),
        Action("filter", "/", "Filter", "sev: area: status: owner: check: and words", "filter", True),
        Action("next_match(1)", "n", "Next match of the filter"),
        Action("next_match(-1)", "N", "Previous match of the filter"),
        Action("mark", "space", "Mark for a decision on several", "The next decision is on all that are marked"),
        Action("mark_all", "M", "Mark all that are shown, or none"),
        Action("copy_fix", "y", "Copy the fix SQL", "To the terminal's clipboard (OSC 52)"),
        Action("copy_command", "Y", "Copy a command line for this decision"),
        Action("edit", "e", "Open in $EDITOR", "At the line of the code"),
        Action("zoom", "enter", "Detail alone", "Scroll it with j and k"),
        Action("back", "escape", "Back", "From the detail, the filter or the marks"),
        Action("scroll_detail(1)", "J", "Scroll the detail down"),
        Action("scroll_detail(-1)", "K", "Scroll the detail up"),
        *(
            Action(f"area({number})", str(number), f"Only {area}" if number else "All areas")
            for number, area in enumerate(
                ("", "schema", "indexing", "plans", "replication", "observability", "hybrid")
            )
        ),
    ),
    "questions": (
        Action("answer('yes')", "y", "Yes", short="yes", shown=True),
        Action("answer('no')", "n", "No", short="no", shown=True),
        Action("answer('unknown')", "d", "Don't know", short="don't know", shown=True),
        Action("answer_in_words", "i", "In words, or with an artefact", "Also a link or file that shows it", "in words", True),
        Action("next_open(1)", "]", "Next unanswered", short="next open", shown=True),
        Action("next_open(-1)", "[", "Previous unanswered"),
        Action("undo", "u", "Undo the last answer or decision"),
        Action("redo", "ctrl+r R", "Redo what was undone"),
        Action("zoom", "enter", "Detail alone"),
        Action("back", "escape", "Back to the list"),
    ),
    "scorecard": (
        Action("page_area(1)", "l right", "Next area", short="next area", shown=True),
        Action("page_area(-1)", "h left", "Previous area"),
        *(
            Action(
                f"area({number})", str(number), f"Criteria of {area}" if number else "Overview",
                short="overview" if not number else "", shown=not number,
            )
            for number, area in enumerate(
                ("", "schema", "indexing", "plans", "replication", "observability", "hybrid")
            )
        ),
        Action("compare", "c", "Compare", "With the last review of this target: better, worse, new, gone", "compare", True),
        Action("go_export", "x", "Export", short="export", shown=True),
    ),
    "export": (
        Action("write", "w", "Write the file", short="write", shown=True),
        Action("edit_path", "p", "Change the path", short="path", shown=True),
        Action("back", "escape", "Back to the formats"),
        Action("scroll_preview(1)", "J", "Scroll the preview down"),
        Action("scroll_preview(-1)", "K", "Scroll the preview up"),
    ),
    "field": (
        Action("done", "enter", "Done", short="done"),
        Action("back", "escape", "Leave the field", short="leave the field"),
    ),
    "form": (
        Action("send", "ctrl+s", "Save"),
        Action("cancel", "escape", "Cancel"),
    ),
    "confirm": (
        Action("answer('yes')", "y", "Yes"),
        Action("answer('no')", "n escape", "No"),
    ),
    "help": (Action("close", "escape", "Close"),),
}  # fmt: skip

_NAMES = {
    "enter": "enter",
    "escape": "esc",
    "space": "space",
    "down": "↓",
    "up": "↑",
    "left": "←",
    "right": "→",
    "pagedown": "pgdn",
    "pageup": "pgup",
}


def key_label(key: str) -> str:
    """`ctrl+d` as people read it: ^d."""
    return f"^{key[5:]}" if key.startswith("ctrl+") else _NAMES.get(key, key)


def bindings(scope: str) -> list[Binding | tuple[str, str] | tuple[str, str, str]]:
    """The bindings of one screen or widget. Each has an id, so that a keymap can change it."""
    return [
        Binding(
            ",".join(action.keys.split()), action.run, action.title, show=False, id=f"{scope}.{action.run}",
            tooltip=action.about,
        )
        for action in ACTIONS[scope]
    ]  # fmt: skip
