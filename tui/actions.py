"""Everything one can do, in one registry: bindings, the key bar, `?` and the palette are all made from it."""

from __future__ import annotations

import dataclasses
import re

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
    def name(self) -> str:
        """What a keymap calls it: `decide-accept`, `move-back`."""
        readable = self.run.replace("_", "-").replace("(-1)", "-back")
        if not readable.startswith(("area", "kind")):
            readable = readable.replace("(1)", "")
        return re.sub(r"[^a-z0-9]+", "-", readable).strip("-")

    def id(self, scope: str) -> str:
        """Of its binding."""
        return f"{scope}.{self.name}"

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
        Action("jump", "'", "Jump", "A letter on every row and pane; one key goes there"),
        Action("explain", "f1 =", "What is this?", "The pane with the keyboard: what it shows, and what its signs mean"),
        Action("go('walk')", "W", "Walk the findings"),
        Action("go('browse')", "B", "Browse tables, indexes, statements and files"),
        Action("go('questions')", "Q", "Answer the questions"),
        Action("go('scorecard')", "S", "See the scorecard"),
        Action("go('agenda')", "A", "Agenda", "What is left, what was promised, and the pace"),
        Action("go('export')", "E", "Export the review"),
        Action("go('live')", "L", "Watch the server", "Latency, throughput, waits and locks, while you look"),
        Action("go('connect')", "H", "Start page", "Recent reviews and targets; this review stays saved"),
        Action("switch_theme", "t", "Next theme", "Dark, light, high contrast"),
        Action("present", "P", "Presenter mode", "Light, roomy, hosts and names masked; again: back"),
        Action("follow", "F", "Follow the driver", "The screen goes where the other terminal goes, until you press a key"),
        Action("swap_roles", "X", "Swap driver and navigator"),
        Action("who", "I", "Who is here", "Names and roles of this session, and the other terminals on this review"),
        Action("picture", "%", "Save a picture of this screen", "An SVG file in the current folder; masked where presenting"),
        Action("suspend", "ctrl+z", "Suspend", "To the shell; fg brings it back"),
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
        Action("open_finding", "o", "Open the finding", "While the rest is still being looked at", "open", True),
        Action("watch_server", "l", "Watch the server", "Latency, waits and locks meanwhile; escape: back", "live", True),
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
        Action("order", "o", "Next order", "Worst first, by area, or by check"),
        Action("links", "l", "Go to what belongs to it ...", "Tables, statements, code, and related findings"),
        Action("copy_fix", "y", "Copy the fix SQL", "To the terminal's clipboard (OSC 52)"),
        Action("copy_other", "Y", "Copy ...", "Commands that find or decide it, its statement, its place, as Markdown"),
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
    "browse": (
        Action("kind(1)", "1", "Tables"),
        Action("kind(2)", "2", "Indexes"),
        Action("kind(3)", "3", "Statements", "The costliest first"),
        Action("kind(4)", "4", "Files"),
        Action("links", "l", "Go to what belongs to it ...", "Tables, statements, code, findings", "go to", True),
        Action("go_back", "backspace b", "Back to where you came from", short="back", shown=True),
        Action("filter", "/", "Filter", "Words that the name or text must have", "filter", True),
        Action("zoom", "enter", "Detail alone", "Scroll it with j and k", "detail", True),
        Action("back", "escape", "Back to the list"),
        Action("copy_text", "y", "Copy the statement or the name"),
        Action("edit", "e", "Open in $EDITOR", "At the first line of code that uses it"),
        Action("scroll_detail(1)", "J", "Scroll the detail down"),
        Action("scroll_detail(-1)", "K", "Scroll the detail up"),
    ),
    "agenda": (
        Action("open", "enter", "Go there", short="go there", shown=True),
    ),
    "live": (
        Action("pause", "space", "Hold the page still, or go on", short="pause", shown=True),
        Action("again", "r", "Begin anew", short="begin anew", shown=True),
        Action("back", "escape", "Back to where you came from", short="back", shown=True),
    ),
    "preflight": (
        Action("start", "enter s", "Start the review", short="start", shown=True),
        Action("again", "r", "Ask the server again", short="ask again", shown=True),
        Action("analyze", "a", "Run costly SELECTs too, or not", "Each once, after your yes: EXPLAIN ANALYZE", "analyze", True),
        Action("copy_grants", "y", "Copy the GRANTs", short="copy grants", shown=True),
        Action("back", "escape", "Start page", "Nothing has been read yet", "start page", True),
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
        Action("what_if", "w", "What if ...", "Mark what you would fix and see the levels move", "what if", True),
        Action("toggle_fixed", "space", "Mark or unmark as fixed", "In what-if"),
        Action("clear", "u", "Unmark all", "In what-if"),
        Action("advice", "i", "New indexes", "The set chosen within --index-budget: its size, and whose gain is proven"),
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
    "approve": (
        Action("answer('yes')", "y ctrl+s", "Run it once"),
        Action("answer('no')", "n escape", "Not this one"),
        Action("answer('no_more')", "x", "No more of them"),
    ),
    "help": (Action("close", "escape", "Close"),),
    "jump": (Action("close", "escape", "Close"),),
    "explain": (Action("close", "escape enter f1", "Close"),),
    "pick": (Action("close", "escape", "Close"),),
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
            ",".join(action.keys.split()), action.run, action.title, show=False, id=action.id(scope),
            tooltip=action.about,
        )
        for action in ACTIONS[scope]
    ]  # fmt: skip
