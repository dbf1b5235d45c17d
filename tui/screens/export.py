"""Export: a format, a path, and what it will look like."""

from __future__ import annotations

import re
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import Input, Static

from checks.errors import ExportError
from checks.figures import bytes_in_words
from scorecards.exports import FORMATS, makes_several_files, render, render_files, write_texts
from tui.actions import bindings
from tui.background import Finished, start
from tui.screens.base import SurveyScreen
from tui.screens.confirm import Confirm
from tui.text import block, line
from tui.widgets.document import Document, Paragraph
from tui.widgets.markdown import markdown_paragraphs
from tui.widgets.rows import RowList
from tui.words import plural

PREVIEW_LINES = 3_000
_RULE = re.compile(r"^\W*[=-]{20,}$")
SPACE = Content(" ")
MEANINGS = {
    "markdown": "for a pull request or wiki",
    "comment": "fits one comment of GitHub",
    "json": "everything, for scripts",
    "html": "one page, for a browser",
    "sarif": "for code scanning",
    "junit": "as tests, for CI",
    "badge": "a shield for the README",
    "sql": "the fixes, to run by hand",
    "adr": "decisions as records",
}


class Export(SurveyScreen):
    NAME = "export"
    BINDINGS = bindings("export")

    def __init__(self) -> None:
        super().__init__()
        self.formats: list[str] = list(FORMATS)
        self._texts: dict[str, str] = {}
        self._files: dict[str, dict[str, str]] = {}
        self._wanted = ""
        self._write_when_ready = False
        self._paths: dict[str, str] = {}
        self._folder = Path()

    def compose_body(self) -> ComposeResult:
        with Container(id="export"):
            with Vertical(id="export-choice"):
                yield Static(line("Format"), classes="heading")
                yield RowList(id="export-formats")
                yield Static(line("Path"), classes="heading spaced")
                yield Input(id="export-path", compact=True)
                yield Static(line(""), id="export-note")
            with Vertical(id="export-preview"):
                yield Static(line("Preview"), id="export-head", classes="heading")
                yield Document(id="export-text", measure=160)

    def on_mount(self) -> None:
        formats = self.query_one("#export-formats", RowList)
        formats.styles.height = len(self.formats)
        formats.show(len(self.formats), self._draw)
        formats.focus()

    @property
    def format(self) -> str:
        return self.formats[self.query_one("#export-formats", RowList).cursor]

    def _draw(self, row: int, width: int) -> Content:
        del width
        name = self.formats[row]
        about = MEANINGS.get(name, "")
        return line((f"{name:<10}", "$strong"), (about, "$muted"))

    def refresh_content(self) -> None:
        """The review may have changed: what was rendered before is out of date."""
        self._texts.clear()
        self._prepare()

    @on(RowList.Moved, "#export-formats")
    def _prepare(self) -> None:
        name = self.format
        self._write_when_ready = self._write_when_ready and name == self._wanted
        self._wanted = name
        path = self.query_one("#export-path", Input)
        usual = self._folder if makes_several_files(name) else self._folder / FORMATS[name]
        with self.prevent(Input.Changed):
            path.value = self._paths.get(name, str(usual))
        if name in self._texts:
            self._show(name)
            return
        review = self.surveyor.review
        assert review is not None

        def work() -> tuple[str, dict[str, str]]:
            card = review.scorecard()
            return render(card, name), render_files(card, name)

        start(name, self, work)

    def on_finished(self, event: Finished) -> None:
        event.stop()
        if event.error is not None:
            self._preview([Paragraph(line((f"{event.error}", "$error")), SPACE)])
            return
        self._texts[event.name], self._files[event.name] = event.result
        if event.name == self._wanted:
            self._show(event.name)
            if self._write_when_ready:
                self.action_write()

    def _show(self, name: str) -> None:
        text = self._texts[name]
        lines = text.splitlines()
        about = f"Preview   {plural(len(lines), 'line')}, {bytes_in_words(len(text.encode()))}"
        self.query_one("#export-head", Static).update(line(about))
        if name in {"markdown", "comment"}:
            width = self.query_one("#export-text").size.width
            self._preview(markdown_paragraphs(text, PREVIEW_LINES, width))
        else:
            width = max(20, self.query_one("#export-text").size.width - 2)
            kept = "\n".join(_RULE.sub(lambda rule: rule[0][:width], one) for one in lines[:PREVIEW_LINES])
            self._preview([Paragraph(block(kept, limit=200_000), SPACE)])

    def _preview(self, paragraphs: list[Paragraph]) -> None:
        self.query_one("#export-text", Document).show(paragraphs)

    # Actions

    @on(Input.Changed, "#export-path")
    def _path_changed(self, event: Input.Changed) -> None:
        """A path that was typed is that of its format; the others go to the same folder."""
        typed = Path(event.value.strip())
        self._paths[self.format] = event.value
        self._folder = typed if makes_several_files(self.format) else typed.parent

    def on_resize(self) -> None:
        self.call_after_refresh(self._prepare)

    def action_edit_path(self) -> None:
        self.query_one("#export-path").focus()

    @on(RowList.Chosen, "#export-formats")
    def _to_path(self) -> None:
        self.action_edit_path()

    def action_back(self) -> None:
        self.query_one("#export-formats").focus()

    @on(Input.Submitted, "#export-path")
    def action_write(self) -> None:
        name = self.format
        text = self._texts.get(name)
        typed = self.query_one("#export-path", Input).value.strip()
        if text is None or not typed:
            self._write_when_ready = text is None
            self.say("It is written as soon as it is ready" if text is None else "Give a path")
            return
        self._write_when_ready = False
        path = Path(typed).expanduser()
        if path.is_dir() or makes_several_files(name):
            texts = {path / file: content for file, content in self._files[name].items()}
        else:
            texts = {path: text}
        there = [file for file in texts if file.exists()]
        if not there:
            self._write(path, texts)
            return

        def overwrite(yes: bool | None) -> None:
            if yes:
                self._write(path, texts)

        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        self.app.push_screen(
            Confirm("Overwrite?", f"{there[0]} is there already ({bytes_in_words(there[0].stat().st_size)}){more}."),
            overwrite,
        )

    def _write(self, path: Path, texts: dict[Path, str]) -> None:
        note = self.query_one("#export-note", Static)
        try:
            write_texts(texts, make_folders=makes_several_files(self.format))
        except ExportError as problem:
            note.update(line((f"{problem}; {problem.hint}", "$error")))
            return
        where = path if len(texts) != 1 else next(iter(texts))
        note.update(line(("✓ ", "$success"), f"written to {where.absolute()}"))
        self.say("written")

    def action_scroll_preview(self, direction: int) -> None:
        self.query_one("#export-text", Document).action_scroll(direction * 3)
