"""Tables, indexes, statements and files side by side with what belongs to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from checks.evidence.database.facts import Statement, Usage
from checks.figures import bytes_in_words
from checks.model import Location, qualified_name
from tui.actions import bindings
from tui.background import Finished, start
from tui.links import Links, Thing
from tui.screens.base import SurveyScreen
from tui.text import Part, line
from tui.widgets.bars import spread
from tui.widgets.browsing import findings_words, thing_paragraphs
from tui.widgets.choices import ChoiceBar
from tui.widgets.document import Document, Paragraph
from tui.widgets.filtering import FilterField
from tui.widgets.rows import RowList
from tui.words import plural, shortened

if TYPE_CHECKING:
    from scorecards.session import Review

KINDS = ("table", "index", "statement", "file")
PLURALS = {"table": "tables", "index": "indexes", "statement": "statements", "file": "files"}
REPEAT_S = 0.1
BADGE = 4
NOTHING = {
    "table": "No tables: no database was observed.",
    "index": "No indexes.",
    "statement": "No statements: pg_stat_statements could not be read.",
    "file": "No files: no repository was observed, or none of its files has to do with the database.",
}


class Browse(SurveyScreen):
    NAME = "browse"
    BINDINGS = bindings("browse")

    def __init__(self) -> None:
        super().__init__()
        self.kind = KINDS[0]
        self.shown: list[Thing] = []
        self._things: dict[str, list[Thing]] = {}
        self._words: dict[str, list[str]] = {}
        self._workload_read = False
        self._detail_timer: Timer | None = None
        self._detail_of: Thing | None = None

    @property
    def review(self) -> Review:
        review = self.surveyor.review
        assert review is not None
        return review

    @property
    def links(self) -> Links:
        return self.surveyor.links

    def compose_body(self) -> ComposeResult:
        with Container(id="browse"):
            with Vertical(id="browse-list"):
                yield ChoiceBar("kind", id="browse-kinds")
                yield FilterField("words of the name or the text", id="browse-filter")
                yield RowList(id="browse-rows")
                yield Static(line(""), id="browse-foot")
            yield Document(id="browse-detail")

    def on_mount(self) -> None:
        self.rows.moved = self._moved
        self.filter.narrow, self.filter.done = (lambda: self._refill(self.current)), self.rows.focus
        self.query_one("#browse-detail", Document).rebuild = lambda: self._show_detail(keep_place=True)
        self.rows.focus()
        links = self.links
        self._things["table"] = [Thing("table", (table.schema, table.name)) for table in links.tables]
        self._things["index"] = [Thing("index", (index.schema, index.name)) for index in links.indexes]
        self._things["statement"] = [Thing("statement", (entry.query_id,)) for entry in links.entries]
        self._things["file"] = []
        start("workload", self, lambda: (links, list(links.files)))
        self._refill()

    def on_finished(self, event: Finished) -> None:
        """The workload has been read: what follows from it can be shown."""
        event.stop()
        if event.error is not None:
            self.surveyor.tell(f"{event.error}. {event.error.hint}", title="Statements", severity="error")
            return
        links, paths = event.result
        if links is self.links:
            self._workload_read = True
            self._things["file"] = [Thing("file", (path,)) for path in paths]
            self._words.clear()
            self.rows.redraw()
            if self.kind == "file" and not self.shown:
                self._refill()
            self._show_kinds()
            self._show_detail(keep_place=True)

    def refresh_content(self) -> None:
        self.rows.redraw()
        self._show_detail(keep_place=True)

    # The list

    @property
    def rows(self) -> RowList:
        return self.query_one("#browse-rows", RowList)

    @property
    def filter(self) -> FilterField:
        return self.query_one("#browse-filter", FilterField)

    @property
    def current(self) -> Thing | None:
        return self.shown[self.rows.cursor] if self.shown else None

    @property
    def place(self) -> str:
        return "\x1f".join((self.current.kind, *self.current.key)) if self.current else ""

    def go_to(self, place: str) -> None:
        kind, *key = place.split("\x1f")
        wanted = Thing(kind, tuple(key))
        if kind not in KINDS:
            return
        if wanted not in self._things[kind]:
            # A partition, a file that nothing else is known of: not listed, and worth showing.
            self._things[kind] = [wanted, *self._things[kind]]
            self._words.pop(kind, None)
        if self.kind != kind or wanted not in self.shown:
            self.kind = kind
            self.filter.close()
            self._refill(wanted)
        else:
            self.rows.cursor = self.shown.index(wanted)

    def _haystacks(self) -> list[str]:
        """What the filter looks at, made once for each kind."""
        if self.kind not in self._words:
            texts = {entry.query_id: self._text(entry) for entry in self.links.entries}
            self._words[self.kind] = [
                f"{'.'.join(thing.key)} {texts.get(thing.key[0], '') if thing.kind == 'statement' else ''}".lower()
                for thing in self._things[self.kind]
            ]
        return self._words[self.kind]

    def _text(self, entry: Statement) -> str:
        text = entry.text[:2_000]
        return f"{self.links.words_of(entry)} {text}" if self._workload_read else text

    def _refill(self, keep: Thing | None = None) -> None:
        words = self.filter.value.lower().split()
        things = self._things[self.kind]
        if words:
            hay = self._haystacks()
            self.shown = [thing for thing, text in zip(things, hay, strict=True) if all(word in text for word in words)]
        else:
            self.shown = list(things)
        cursor = self.shown.index(keep) if keep in self.shown else 0
        self.rows.show(len(self.shown), self._draw, cursor)
        self._show_kinds()
        self._show_foot()
        self._show_detail()

    def _draw(self, row: int, width: int) -> Content:
        thing = self.shown[row]
        draw: Callable[[Thing], tuple[Part, Sequence[Part]]] = getattr(self, f"_row_of_{thing.kind}")
        left, right = draw(thing)
        badge = findings_words(self.links.findings_of(thing))
        ending = line(*right, " ", " " * max(0, BADGE - badge.cell_length), badge)
        if thing.kind == "file":
            left = end_of_path(thing.key[0], width - ending.cell_length - 3)
        return spread(line(" ", left), ending, width)

    def _row_of_table(self, thing: Thing) -> tuple[Part, Sequence[Part]]:
        table = self.links.table(thing)
        size = "" if table is None or table.total_bytes is None else bytes_in_words(table.total_bytes)
        return _name(thing), [(f"{size:>9}", "$muted")]

    def _row_of_index(self, thing: Thing) -> tuple[Part, Sequence[Part]]:
        index = self.links.index(thing)
        usage = self.links.evidence.find(Usage)
        used = usage.index_by_oid.get(index.oid) if usage and index else None
        size = "" if index is None or index.size_bytes is None else bytes_in_words(index.size_bytes)
        scans = f"{shortened(used.scans)} scans" if used else ""
        return _name(thing), [(f"{scans:>11}", "$muted"), (f"{size:>9}", "$muted")]

    def _row_of_statement(self, thing: Thing) -> tuple[Part, Sequence[Part]]:
        entry = self.links.statement(thing)
        if entry is None or self.links.statements is None:
            return thing.key[0], []
        share = f"{self.links.statements.share(entry):.1%}"
        words = self.links.words_of(entry) if self._workload_read else " ".join(entry.text[:300].split())
        return words, [(f"{share:>6}", "bold"), (f"{shortened(entry.calls):>6} x", "$muted")]

    def _row_of_file(self, thing: Thing) -> tuple[Part, Sequence[Part]]:
        touches = self.links.files.get(thing.key[0], ()) if self._workload_read else ()
        return (thing.key[0], "$foreground"), [(plural(len(touches), "use"), "$muted")]

    def _show_kinds(self) -> None:
        parts: list[Part] = [" "]
        for number, kind in enumerate(KINDS, 1):
            look = "bold $strong underline" if kind == self.kind else "$muted"
            count = f" {len(self._things[kind]):,}" if kind != "file" or self._workload_read else " ..."
            parts += [(f"{number} ", "bold $accent"), (f"{PLURALS[kind]}{count}", look), "  "]
        self.query_one("#browse-kinds", ChoiceBar).show(line(*parts))

    def _show_foot(self) -> None:
        at = self.rows.cursor + 1 if self.shown else 0
        filtered = len(self.shown) != len(self._things[self.kind])
        more = f"  of {len(self._things[self.kind]):,}  esc clears the filter" if filtered else ""
        self.query_one("#browse-foot", Static).update(
            line((f" {at:,}/{len(self.shown):,}{more}", "$muted")), layout=False
        )

    # The detail

    def _show_detail(self, *, keep_place: bool = False) -> None:
        pane = self.query_one("#browse-detail", Document)
        thing = self.current
        if thing is None:
            words = NOTHING[self.kind] if not self._things[self.kind] else "Nothing is like that."
            if self.kind == "file" and not self._workload_read:
                words = "reading the statements ..."
            pane.show([Paragraph(line((words, "$muted")), line(" "))])
        else:
            kept = keep_place and thing == self._detail_of
            shown = thing_paragraphs(self.links, thing, pane.room, workload_read=self._workload_read)
            pane.show(shown, keep_place=kept)
        self._detail_of = thing

    def _moved(self) -> None:
        self._show_foot()
        if self._detail_timer is not None:
            self._detail_timer.stop()
        else:
            self._show_detail()
        self._detail_timer = self.set_timer(REPEAT_S, self._settle)

    def _settle(self) -> None:
        self._detail_timer = None
        if self.current != self._detail_of:
            self._show_detail()

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in {"links", "copy_text", "zoom"}:
            return self.current is not None and not (action == "zoom" and self.has_class("-zoomed"))
        if action == "edit":
            return self.current is not None and self._first_place() is not None
        if action == "go_back":
            return self.surveyor.can_go_back
        return super().check_action(action, parameters)

    def action_kind(self, number: int) -> None:
        self.kind = KINDS[number - 1]
        self.filter.close()
        self._refill()

    def action_links(self) -> None:
        if self.current is not None and self._workload_read:
            self.surveyor.choose_link(self.current)

    def action_go_back(self) -> None:
        self.surveyor.action_go_back()

    def action_filter(self) -> None:
        self.remove_class("-zoomed")
        self.filter.open()

    @on(RowList.Chosen, "#browse-rows")
    def action_zoom(self) -> None:
        self.add_class("-zoomed")
        self.query_one("#browse-detail").focus()

    def action_back(self) -> None:
        """Out of the detail, then out of the filter."""
        if self.has_class("-zoomed"):
            self.remove_class("-zoomed")
        elif self.filter.is_open:
            self.filter.close()
            self._refill(self.current)
        self.rows.focus()

    def action_scroll_detail(self, direction: int) -> None:
        self.query_one("#browse-detail", Document).action_scroll(direction * 3)

    def action_copy_text(self) -> None:
        thing = self.current
        if thing is None:
            return
        entry = self.links.statement(thing) if thing.kind == "statement" else None
        if entry is not None:
            self.surveyor.copy("The statement", entry.text)
        else:
            self.surveyor.copy(f"The {thing.kind}", _name(thing)[0])

    def _first_place(self) -> Location | None:
        thing, links = self.current, self.links
        if thing is None or not self._workload_read:
            return None
        if thing.kind == "file":
            touches = links.files.get(thing.key[0], ())
            return Location(thing.key[0], thing.line or (touches[0].location.line if touches else 1))
        if thing.kind == "statement":
            places = links.code_of_statement(thing.key[0])
        else:
            table = links.table(thing)
            places = links.code_of_table(table) if table else ()
        return places[0][0] if places else None

    def action_edit(self) -> None:
        location = self._first_place()
        if location is not None:
            self.surveyor.open_in_editor(location)


def end_of_path(path: str, room: int) -> str:
    """The end of a path, which tells files apart, from a slash on where there is one."""
    if len(path) <= room:
        return path
    end = path[-max(1, room - 1) :]
    slash = end.find("/")
    return f"…{end[slash:] if 0 <= slash < len(end) - 1 else end}"


def _name(thing: Thing) -> tuple[str, str]:
    words = thing.key[0] if thing.kind in {"file", "statement"} else qualified_name(*thing.key)
    return (words.removeprefix("public."), "$foreground")
