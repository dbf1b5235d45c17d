"""Classes that speak for one model, such as repositories: the model, and the methods that the code of SQLAlchemy inherits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec
from tree_sitter import Node

from checks.evidence.repository.facts import OrmCall
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.python_imports import imported_names
from checks.evidence.repository.orm.python_syntax import string_of
from checks.evidence.repository.orm.syntax import Source, field, named, text

CANDIDATE = re.compile(
    r"\b(?:self|cls)\.\w*(?:model|entity)\w*\b|^[ \t]+\w*model\w*[ \t]*(?::[^=\n]+)?=[ \t]*(?:\w+\.)*[A-Z]\w*[ \t]*$"
    r"|^class\s+\w+\([^)]*\[",
    re.MULTILINE,
)
_SENDS = "execute|scalars|scalar|stream|stream_scalars|exec"
_SPEAKS = re.compile(rf"\b(?:select|query|add|get|delete|update|setattr|{_SENDS})\(|\bself\.\w+\(|\bsuper\(\)")
_ROWS = re.compile(
    r"[\"']?(?:(?:list|List|Sequence|Optional|Iterable)\[\s*)?(?:\w+\.)*([A-Z]\w*)\s*\]?\s*(?:\|\s*None)?[\"']?"
)
_INSTANCE = re.compile(r"^(\w+)[ \t]*(?::[^=\n]+)?=[ \t]*(?:\w+\.)*([A-Z]\w*)\(", re.MULTILINE)
_GENERIC = re.compile(r"\b(?:Generic|Protocol)\[|\b[A-Z]\w*\[|\b(?:self|cls)\.\w*(?:model|entity)")
_MAXIMUM_METHODS = 60
_MAXIMUM_CODE = 4_000
_MAXIMUM_LINE = 30


class Method(msgspec.Struct, frozen=True):
    """`column` is the place of its first line's first character; `waits` whether it is `async`."""

    code: str
    column: int
    waits: bool = False


class Holder(msgspec.Struct):
    """`given` are the names in the brackets of its bases; `attributes` the names that it gives its own attributes, `names` what
    names in its methods are called where they come from, `returns` by method the class whose rows it says it returns."""

    name: str
    path: str
    bases: list[str] = []
    given: list[str] = []
    attributes: dict[str, str] = {}
    methods: dict[str, Method] = {}
    names: dict[str, str] = {}
    returns: dict[str, str] = {}


class Declared(msgspec.Struct):
    """The classes of one file, and by variable at its top level the class that it is an instance of."""

    holders: list[Holder] = []
    instances: dict[str, str] = {}


def read_holders(source: Source) -> Declared:
    known = imported_names(source.file.text)
    declared = Declared()
    for statement in source.root.children:
        node = field(statement, "definition") if statement.type == "decorated_definition" else statement
        if node is None or node.type != "class_definition":
            continue
        known[text(field(node, "name"))] = text(field(node, "name"))
        holder = _read_class(node, source)
        if holder.given or holder.attributes or holder.methods:
            declared.holders.append(holder)
    for holder in declared.holders:
        code = "\n".join(
            [*(method.code for method in holder.methods.values()), *holder.attributes.values(), *holder.given]
        )
        holder.names = {name: known[name] for name in sorted(set(re.findall(r"\b[A-Za-z_]\w*", code))) if name in known}
    names = {holder.name for holder in declared.holders} | set(known)
    for variable, name in _INSTANCE.findall(source.file.text):
        if name in names:
            declared.instances[variable] = known.get(name, name)
    return declared


def _read_class(node: Node, source: Source) -> Holder:
    holder = Holder(text(field(node, "name")), source.file.path)
    for base in named(field(node, "superclasses")):
        holder.bases.append(_last(field(base, "value") if base.type == "subscript" else base))
        if base.type == "subscript":
            holder.given += [_last(child) for child in named(base)[1:]]
    head = source.bytes[node.start_byte : (field(node, "body") or node).start_byte].decode("utf-8", "replace")
    generic = _GENERIC.search(head) is not None or _GENERIC.search(text(node)) is not None
    for statement in named(field(node, "body")):
        if statement.type == "decorated_definition":
            if "overload" in text(statement)[:40]:
                continue
            statement = field(statement, "definition") or statement
        assignment = statement.children[0] if statement.type == "expression_statement" else None
        if assignment is not None and assignment.type == "assignment":
            value = field(assignment, "right")
            if value is not None and re.fullmatch(r"(?:\w+\.)*[A-Z]\w*", text(value)):
                holder.attributes[text(field(assignment, "left"))] = text(value).rpartition(".")[2]
        elif statement.type == "function_definition":
            code, name = text(statement), text(field(statement, "name"))
            if returned := _ROWS.fullmatch(text(field(statement, "return_type"))):
                holder.returns[name] = returned.group(1)
            if name == "__init__":
                holder.attributes |= _made(code)
            elif (
                len(holder.methods) < _MAXIMUM_METHODS
                and len(code) <= _MAXIMUM_CODE
                and (generic or "async " not in code[:6])
                and _SPEAKS.search(code)
            ):
                holder.methods[name] = Method(code, statement.start_point.column, code.startswith("async"))
    return holder


def _made(code: str) -> dict[str, str]:
    """What `__init__` gives its attributes: a model, or by `super().__init__(Model)` the attribute `model`."""
    found = dict(re.findall(r"\bself\.(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)*([A-Z]\w*)\s*$", code, re.MULTILINE))
    if handed := re.search(r"super\(\)\.__init__\(\s*(?:model\s*=\s*)?(?:\w+\.)*([A-Z]\w*)\s*[,)]", code):
        found.setdefault("model", handed.group(1))
    return found


def _last(node: Node | None) -> str:
    code = (string_of(node) or text(node)) if node is not None else ""
    return code.strip("\"' ").rpartition(".")[2]


class Holders:
    """All such classes of a repository."""

    def __init__(self, declared: Iterable[Declared]) -> None:
        self._by_name: dict[str, list[Holder]] = {}
        self._instances: dict[str, set[str]] = {}
        self._lines: dict[tuple[str, str], list[Holder]] = {}
        self._sources: dict[tuple[str, str, str], tuple[Source, Node] | None] = {}
        for each in declared:
            for holder in each.holders:
                self._by_name.setdefault(holder.name, []).append(holder)
            for variable, name in each.instances.items():
                self._instances.setdefault(variable, set()).add(name)
        methods = {name: method for holder in self._all() for name, method in holder.methods.items()}
        # What methods were found to send, by class, method and constants.
        self.told: dict[tuple[object, ...], list[OrmCall]] = {}
        self.words = frozenset(name for name in methods if name not in _COMMON)
        self.runs = self._running()

    def _all(self) -> Iterator[Holder]:
        for holders in self._by_name.values():
            yield from holders

    def names(self) -> Iterator[str]:
        """What the classes and their instances are called."""
        yield from self._by_name
        yield from self._instances

    def find(self, name: str, path: str, module: str = "") -> Holder | None:
        """The class of that name: the one of the module that the file imports it from, the file's own, or the only one."""
        found = self._by_name.get(name, [])
        near = [holder for holder in found if holder.path == path] or found
        if len(near) > 1 and module:
            near = [holder for holder in near if _is_module(holder.path, module, path)]
        return near[0] if len(near) == 1 else None

    def instance(self, name: str, path: str) -> Holder | None:
        """The class that the variable is an instance of wherever it is made."""
        made = self._instances.get(name, set())
        return self.find(next(iter(made)), path) if len(made) == 1 else None

    def line(self, holder: Holder) -> list[Holder]:
        """The class and its ancestors that are known, in the order in which Python asks them."""
        key = (holder.name, holder.path)
        if key not in self._lines:
            found: list[Holder] = []
            pending = [holder]
            while pending and len(found) < _MAXIMUM_LINE:
                current = pending.pop(0)
                if current in found:
                    found.remove(current)
                found.append(current)
                bases = [self.find(base, current.path) for base in current.bases]
                pending[:0] = [base for base in bases if base is not None and base != holder]
            self._lines[key] = found
        return self._lines[key]

    def method(self, holder: Holder, name: str, after: Holder | None = None) -> tuple[Holder, Method] | None:
        """The method of that name and the class that has it; the next one `after` that class, as super() finds it."""
        line = self.line(holder)
        if after is not None:
            line = line[line.index(after) + 1 :] if after in line else []
        return next(((entry, entry.methods[name]) for entry in line if name in entry.methods), None)

    def code(self, holder: Holder, name: str) -> tuple[Source, Node] | None:
        """The class's method as a file of its own, with the imports that it needs."""
        key = (holder.path, holder.name, name)
        if key not in self._sources:
            method = holder.methods[name]
            lines = [f"from . import {original} as {local}" for local, original in holder.names.items()]
            head = "\n".join([*lines, f"class {holder.name}:", " " * max(method.column, 1)])
            source = Source(SourceFile(holder.path, head + method.code, "py"))
            node = source.root.descendant_for_byte_range(len(head.encode()), len(head.encode()) + 1)
            while node is not None and node.type != "function_definition":
                node = node.parent
            self._sources[key] = (source, node) if node is not None else None
        return self._sources[key]

    def _running(self) -> frozenset[str]:
        """Methods that do nothing with the statement they are given but send it, wherever one of that name stands."""
        sends: dict[str, bool] = {}
        for holder in self._all():
            for name, method in holder.methods.items():
                parameter = re.match(r"[^(]*\(\s*self\s*[^,)]*,\s*(\w+)", method.code)
                word = re.escape(parameter.group(1)) if parameter else ""
                plain = bool(word) and re.search(rf"\.(?:{_SENDS})\(\s*{word}\s*[,)]", method.code) is not None
                changed = plain and re.search(rf"\b{word}\s*(?:=(?!=)|\.)", method.code)
                if not re.search(r":\s*\.\.\.\s*$", method.code):
                    sends[name] = sends.get(name, True) and plain and not changed
        return frozenset(name for name, all_do in sends.items() if all_do)


# Methods of every session and of every class.
_COMMON = frozenset(["__init__", "__call__", "execute", "close", "commit", "flush"])


def _is_module(path: str, module: str, importer: str) -> bool:
    """Whether the file is the module, as the importing file names it."""
    inner = module.lstrip(".")
    ending = "/".join([*inner.split("."), ""]).rstrip("/")
    names = (f"{ending}.py", f"{ending}/__init__.py")
    if module.startswith("."):
        folders = importer.split("/")[: -(len(module) - len(inner))]
        return path in ["/".join([*folders, name]) for name in names]
    return any(path == name or path.endswith(f"/{name}") for name in names)
