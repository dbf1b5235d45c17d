"""Liquibase's changelogs in XML, YAML and JSON as one kind of tree, each element with its line."""

from __future__ import annotations

import re
from xml.parsers import expat

import msgspec

from checks.evidence.repository.files import SourceFile

CANDIDATE = re.compile(r"<(?:\w+:)?databaseChangeLog\b|(?:^|\{)\s*[\"']?databaseChangeLog[\"']?\s*:", re.MULTILINE)
EXTENSIONS = frozenset(["xml", "yml", "yaml", "json"])
# What stands in these stands, in XML, in what they stand in.
_LISTS = frozenset(["changes", "columns"])
_MAXIMUM_ELEMENTS = 200_000
_MAXIMUM_DEPTH = 60
_ENTRY = re.compile(r"([A-Za-z_][\w.-]*|\"[^\"]*\"|'[^']*')\s*:(?:\s+(.*))?$")


class Element(msgspec.Struct):
    """`text` is what stands in it, without that of its children."""

    name: str
    line: int
    attributes: dict[str, str] = {}
    children: list[Element] = []
    text: str = ""

    def all(self, name: str) -> list[Element]:
        return [child for child in self.children if child.name == name]

    def get(self, name: str) -> str:
        """An attribute; empty where there is none."""
        return self.attributes.get(name, "")

    def everything(self) -> str:
        """All that is written in it, for the names that stand there."""
        parts: list[str] = []
        pending = [self]
        while pending:
            element = pending.pop()
            parts += [element.text, *element.attributes.values()]
            pending += element.children
        return " ".join(parts)


def read_changelog(file: SourceFile) -> Element | None:
    """The databaseChangeLog of the file; None if it cannot be read."""
    if file.extension == "xml":
        return _read_xml(file.text)
    if file.extension == "json":
        return _read_json(file.text)
    return _read_yaml(file.text)


def _read_xml(text: str) -> Element | None:
    """Documents that declare entities are refused: they may unfold into anything."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    parser = expat.ParserCreate()
    root = Element("", 1)
    open_elements = [root]
    count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        element = Element(name.rpartition(":")[2], parser.CurrentLineNumber, attributes)
        if count <= _MAXIMUM_ELEMENTS and len(open_elements) <= _MAXIMUM_DEPTH:
            open_elements[-1].children.append(element)
        open_elements.append(element)

    def words(data: str) -> None:
        open_elements[-1].text += data

    def end(_: str) -> None:
        open_elements.pop()

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, words
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except (expat.ExpatError, ValueError):
        return None
    return next((child for child in root.children if child.name == "databaseChangeLog"), None)


def _read_json(text: str) -> Element | None:
    try:
        value = msgspec.json.decode(text.encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return None
    found = value.get("databaseChangeLog") if isinstance(value, dict) else None
    return _element("databaseChangeLog", found, 1, 0) if isinstance(found, list) else None


def _element(name: str, value: object, line: int, depth: int) -> Element:
    """A mapping or list as an element: entries that are plain become attributes, lists of elements its children."""
    element = Element(name, line, {}, [])
    if depth > _MAXIMUM_DEPTH:
        return element
    entries = list(value.items()) if isinstance(value, dict) else []
    for entry in value if isinstance(value, list) else ():
        entries += list(entry.items()) if isinstance(entry, dict) else []
    for key, inner in entries:
        if isinstance(inner, list):
            child = _element(str(key), inner, line, depth + 1)
            element.children += child.children if key in _LISTS else [child]
        elif isinstance(inner, dict):
            element.children.append(_element(str(key), inner, line, depth + 1))
        elif inner is not None:
            element.attributes[str(key)] = str(inner).lower() if isinstance(inner, bool) else str(inner)
    return element


class _Line(msgspec.Struct):
    number: int
    indent: int
    code: str


def _read_yaml(text: str) -> Element | None:
    """Mappings, lists and blocks of text, one below the other, as changelogs are written; None for anything else."""
    raw = text.splitlines()
    lines = [
        _Line(number, len(line) - len(line.lstrip(" ")), line.strip())
        for number, line in enumerate(raw, 1)
        if line.strip() and not line.lstrip().startswith("#") and line.strip() not in ("---", "...")
    ]
    if any("\t" in line[: len(line) - len(line.lstrip())] for line in raw) or len(lines) > _MAXIMUM_ELEMENTS:
        return None
    reader = _Yaml(raw, lines)
    try:
        root = reader.mapping(Element("", 1, {}, []), 0, 0)
    except (ValueError, RecursionError):
        return None
    return next((child for child in root.children if child.name == "databaseChangeLog"), None)


class _Yaml:
    """Raises ValueError where the text is not of that simple kind."""

    def __init__(self, raw: list[str], lines: list[_Line]) -> None:
        self.raw = raw
        self.lines = lines
        self.position = 0

    def mapping(self, element: Element, indent: int, depth: int) -> Element:
        """Takes the entries at that indentation into the element."""
        while self.position < len(self.lines):
            line = self.lines[self.position]
            if line.indent < indent:
                break
            if line.indent > indent or depth > _MAXIMUM_DEPTH:
                raise ValueError
            if line.code == "-" or line.code.startswith("- "):
                self._item(element, line, depth)
            else:
                self.position += 1
                self._entry(element, line.code, line, indent, depth)
        return element

    def _item(self, element: Element, line: _Line, depth: int) -> None:
        """An entry of a list: `- key: value`, with more keys of the same mapping below the first."""
        inner = line.code[1:].lstrip()
        if not inner or not _ENTRY.match(inner):
            # A plain value, or what this reader does not take.
            if not inner or inner[0] in "[{&*!":
                raise ValueError
            self.position += 1
            return
        own = line.indent + len(line.code) - len(inner)
        self.lines[self.position] = _Line(line.number, own, inner)
        self.mapping(element, own, depth + 1)

    def _entry(self, element: Element, code: str, line: _Line, indent: int, depth: int) -> None:
        match = _ENTRY.match(code)
        if match is None:
            raise ValueError
        name, value = match.group(1).strip("\"'"), (match.group(2) or "").strip()
        if value and value[0] in "|>":
            element.attributes[name] = self._block(line, indent)
        elif value and value[0] in "&*!{":
            raise ValueError
        elif value and not value.startswith("#"):
            element.attributes[name] = self._scalar(value, indent)
        elif self.position < len(self.lines):
            following = self.lines[self.position]
            is_list = following.code == "-" or following.code.startswith("- ")
            if following.indent > indent or (is_list and following.indent == indent):
                child = self.mapping(Element(name, line.number, {}, []), following.indent, depth + 1)
                if is_list and name in _LISTS:
                    element.children += child.children
                else:
                    element.children.append(child)

    def _scalar(self, value: str, indent: int) -> str:
        if value[0] in "\"'":
            end = value.rfind(value[0])
            if end == 0:
                raise ValueError
            return value[1:end].replace("''", "'") if value[0] == "'" else value[1:end].replace('\\"', '"')
        while self.position < len(self.lines) and self.lines[self.position].indent > indent:
            value += " " + self.lines[self.position].code
            self.position += 1
        return value.partition(" #")[0].rstrip()

    def _block(self, line: _Line, indent: int) -> str:
        """The lines of `|` or `>`."""
        end = line.number
        while end < len(self.raw) and (
            not self.raw[end].strip() or len(self.raw[end]) - len(self.raw[end].lstrip(" ")) > indent
        ):
            end += 1
        while self.position < len(self.lines) and self.lines[self.position].number <= end:
            self.position += 1
        return "\n".join(self.raw[line.number : end])
