"""Calls of GORM that send a statement."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm import fragments
from checks.evidence.repository.orm.gorm import SOFT
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.query import (
    COLUMNS,
    EXPRESSIONS,
    JOINS,
    LIMIT,
    ORDER,
    VALUE,
    WHERE,
    Query,
    column_of,
    quoted,
)
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, named, text, whole_text

_SENDS = (
    r"First|Find|Take|Last|Create|CreateInBatches|Save|Updates?|UpdateColumns?|Delete|Count|Pluck|Scan|Rows?|FirstOrCreate|FirstOrInit"
    r"|FindInBatches"
)
CANDIDATE = re.compile(rf"\.(?:{_SENDS})\(")
_CALL = re.compile(rf"\.({_SENDS})\(".encode())
_NAME = frozenset(["field_identifier"])
_DATABASE = re.compile(
    r"(?:db|tx|trx|conn|orm|session|sess|database|transaction|query|stmt|\bq)(?:\(.*\))?$", re.IGNORECASE | re.DOTALL
)
_VERBS = {"Create": "insert", "CreateInBatches": "insert", "Save": "update", "Update": "update", "Updates": "update",
          "UpdateColumn": "update", "UpdateColumns": "update", "Delete": "delete"}  # fmt: skip
_HARMLESS = frozenset(
    "WithContext Session Debug Preload Model Table Unscoped Set InstanceSet Attrs Assign Omit Begin".split()
)
_UNREAD = {
    "Or": {WHERE},
    "Scopes": {WHERE, ORDER, LIMIT, JOINS},
    "Group": {EXPRESSIONS},
    "Having": {EXPRESSIONS},
    "Distinct": {EXPRESSIONS},
}
_KNOWN = frozenset("Where Not Order Limit Offset Select Joins InnerJoins Clauses Raw Exec".split())
_LITERALS = frozenset(["interpreted_string_literal", "raw_string_literal"])

Step = tuple[str, Node]


def read_calls(source: Source, models: Models) -> list[OrmCall]:
    return _Reader(source, models).read()


class _Reader:
    def __init__(self, source: Source, models: Models) -> None:
        self.source = source
        self.models = models
        self.calls: list[OrmCall] = []

    def read(self) -> list[OrmCall]:
        for match, node in self.source.found(_CALL, _NAME):
            call = node.parent.parent if node.parent is not None else None
            if call is not None and call.type == "call_expression" and field(call, "function") == node.parent:
                self._read(match.group(1).decode(), call, node)
        return self.calls

    def _read(self, name: str, call: Node, place: Node) -> None:
        root, steps = _chain(call)
        names = [step for step, _ in steps]
        if root is None or not _DATABASE.search(text(root)[-200:]) or {"Raw", "Exec"} & set(names):
            return
        begun = self._begun(root, call)
        target, is_row = self._target(steps, name, call)
        if begun is not None and target is None:
            target, is_row = self._model_of(begun), False
        if target is None:
            return
        verb = _VERBS.get(name, "select")
        soft = (
            next((column for column in target.columns if column.type == SOFT), None)
            if "Unscoped" not in names
            else None
        )
        if verb == "delete" and soft is not None:
            verb = "update"
        query = Query(verb, target)
        if verb == "select":
            query.columns = [f"{quoted(target.table)}.*"]
        if begun is not None:
            query.partial |= {WHERE, ORDER, LIMIT, JOINS}
        for step, node in steps[:-1]:
            self._step(query, step, node)
        self._send(query, name, call, is_row)
        if soft is not None and verb != "insert":
            query.where.append(f"{quoted(target.table)}.{quoted(soft.name)} IS NULL")
            if name == "Delete":
                query.written[soft.name] = None
                query.sets_on_update = False
        function = function_around(call)
        self.calls.append(query.finish(self.source.location(place), "gorm", function_name(function)))

    def _begun(self, root: Node, near: Node) -> str | None:
        """The code that began the query which a variable holds; None if the variable is the database itself."""
        name = text(root)
        if not re.fullmatch(r"\w+", name):
            return None if re.fullmatch(r"(?:\w+\.)*\w*(?:[dD][bB]|[tT]x|orm|conn)(?:\([^()]*\))?", name) else name
        code = whole_text(function_around(near))
        made = re.findall(rf"(?<![\w.]){name}\s*:?=\s*([^\n]*\.\n?[^\n]*)", code)
        adding = [
            line
            for line in made
            if re.search(r"\.\s*(?:Where|Model|Table|Joins|Order|Limit|Select|Not|Or|Scopes)\(", line)
        ]
        return "\n".join(adding)[:5_000] if adding else None

    def _model_of(self, code: str) -> Model | None:
        """The model that the beginning of a query names."""
        found = re.search(r"\.Model\(\s*(?:&|new\()?(?:\[\])?\*?(?:\w+\.)?([A-Z]\w*)[{)]", code)
        return self.models.find(found.group(1), self.source.file.path) if found is not None else None

    # What it is about

    def _target(self, steps: list[Step], name: str, call: Node) -> tuple[Model | None, bool]:
        """The model, and whether the code gives a row of it whose key GORM adds to the conditions."""
        given = next((node for step, node in steps if step == "Model"), None)
        if any(step == "Table" for step, _ in steps) and given is None:
            return None, False
        arguments = _arguments(given if given is not None else call)
        position = 0 if given is not None or name not in ("Pluck", "Count") else 1
        if len(arguments) <= position:
            return None, False
        model = self._model(arguments[position], call)
        code = text(arguments[position])
        is_row = given is not None or name in ("Save", "Delete", "First", "Take", "Last")
        return model, is_row and not re.search(r"\{\s*\}$|^new\(|\(nil\)$|\[\]", code)

    def _model(self, node: Node, near: Node) -> Model | None:
        """The model of `&users`, `&User{}`, `new(User)` or a variable."""
        made = re.match(
            r"&?(?:\[\])?\*?(?:\w+\.)?([A-Z]\w*)\{|new\((?:\w+\.)?([A-Z]\w*)\)|\(\*(?:\w+\.)?([A-Z]\w*)\)", text(node)
        )
        if made is not None:
            return self.models.find(made.group(1) or made.group(2) or made.group(3), self.source.file.path)
        name = text(node).lstrip("&*")
        function = function_around(near)
        if not re.fullmatch(r"[a-z_]\w*", name) or function is None:
            return None
        kinds = re.findall(
            rf"(?<![\w.]){name}\b(?:\s*,\s*\w+)*\s*(?::=\s*|\s)(?:=\s*)?(?:make\(|new\()?[&*]*(?:\[\])?[&*]*(?:\w+\.)?([A-Z]\w*)\b(?!\s*\()",
            whole_text(function),
        )
        found = {model.table: model for kind in kinds if (model := self.models.find(kind, self.source.file.path))}
        return next(iter(found.values())) if len(found) == 1 else None

    # Steps

    def _step(self, query: Query, name: str, call: Node) -> None:
        arguments = _arguments(call)
        if name in _UNREAD:
            query.partial |= _UNREAD[name]
        elif name in ("Where", "Not"):
            condition = self._condition(query, arguments)
            query.filter(f"NOT ({condition})" if name == "Not" and condition else condition)
        elif name == "Order":
            keys = fragments.order_keys(_string(arguments[0]) or "") if arguments else None
            query.order += keys or []
            query.partial |= set() if keys else {ORDER}
        elif name == "Limit" and arguments:
            query.take(text(arguments[0]))
        elif name == "Offset":
            query.offset = True
        elif name == "Select":
            self._select(query, arguments)
        elif name in ("Joins", "InnerJoins"):
            clause = fragments.join(_string(arguments[0]) or "") if arguments else None
            query.joins += [clause] if clause else []
            query.partial |= set() if clause else {JOINS, COLUMNS}
        elif name == "Clauses":
            code = text(call)
            query.suffix = " FOR UPDATE" + " SKIP LOCKED" * ("SKIP LOCKED" in code) if '"UPDATE"' in code else ""
            query.partial |= {WHERE} if "clause.Where" in code or "clause.Eq" in code else set()
        elif name not in _HARMLESS:
            query.partial |= {WHERE, ORDER, LIMIT, JOINS}

    def _condition(self, query: Query, arguments: list[Node]) -> str | None:
        if not arguments:
            return None
        code = _string(arguments[0])
        if code is not None:
            if re.fullmatch(r"[\w.\"]+", code) and len(arguments) == 2:
                known = any(column.name == code for column in query.model.columns)
                return f"{quoted(query.alias)}.{quoted(code)} = {VALUE}" if known else None
            return fragments.condition(code)
        entries = _entries(arguments[0])
        if entries is None:
            return None
        found = []
        for key in entries:
            column = column_of(query.model, key) or next((c for c in query.model.columns if c.name == key), None)
            if column is None:
                return None
            found.append(f"{quoted(query.alias)}.{quoted(column.name)} = {VALUE}")
        return " AND ".join(found) or None

    def _select(self, query: Query, arguments: list[Node]) -> None:
        texts = [_string(argument) for argument in arguments]
        if arguments and arguments[0].type == "composite_literal":
            texts = [_string(entry) for child in named(field(arguments[0], "body")) for entry in named(child)]
        names = [name for name in texts if name is not None and re.fullmatch(r"\w+", name)]
        if query.verb != "select":
            columns = {key: column.name for column in query.model.columns for key in (column.name, column.attribute)}
            query.written |= {columns[name]: None for name in names if name in columns}
            query.partial |= set() if len(names) == len(arguments) else {COLUMNS}
            return
        found = fragments.columns(", ".join(name for name in texts if name is not None))
        if found is None or None in texts:
            query.partial |= {COLUMNS, EXPRESSIONS}
        elif texts != ["*"]:
            query.columns = found

    def _send(self, query: Query, name: str, call: Node, is_row: bool) -> None:
        arguments = _arguments(call)
        keys = [column for column in query.model.columns if column.primary_key]
        pair = [f"{quoted(query.alias)}.{quoted(column.name)}" for column in keys]
        if name in ("First", "Last", "Take", "FirstOrCreate", "FirstOrInit"):
            query.order = query.order or ([] if name == "Take" else [key + " DESC" * (name == "Last") for key in pair])
            query.limit = 1
        if name in ("First", "Find", "Take", "Last", "Delete", "FirstOrCreate", "FirstOrInit") and len(arguments) > 1:
            code = _string(arguments[1])
            one_key = (
                len(arguments) == 2
                and code is None
                and arguments[1].type in ("identifier", "selector_expression", "int_literal")
            )
            if one_key and len(pair) == 1 and name != "Find":
                query.where.append(f"{pair[0]} = {VALUE}")
            else:
                query.filter(self._condition(query, arguments[1:]))
        elif is_row and pair and name in ("Save", "Delete", "Update", "Updates", "UpdateColumn", "UpdateColumns"):
            if not query.where or name in ("Save", "Delete"):
                query.where += [f"{key} = {VALUE}" for key in pair]
            else:
                query.partial.add(WHERE)
        elif is_row and name in ("First", "Take", "Last") and not query.where:
            query.partial.add(WHERE)
        if name == "Count":
            query.columns = ["count(*)"]
        elif name == "Pluck":
            self._select(query, arguments[:1])
        elif name in ("Create", "CreateInBatches", "Save"):
            query.written = {column.name: None for column in query.model.columns if not column.primary_key}
            query.partial |= {COLUMNS} if name != "Save" else set()
        elif name in ("Update", "UpdateColumn"):
            column = _string(arguments[0]) if arguments else None
            known = next((c.name for c in query.model.columns if column in (c.name, c.attribute)), None)
            query.written |= {known: None} if known else {}
        elif name in ("Updates", "UpdateColumns") and not query.written:
            entries = _entries(arguments[0]) if arguments else None
            for key in entries or []:
                known = next((c.name for c in query.model.columns if key in (c.name, c.attribute)), None)
                query.written |= {known: None} if known else {}
            query.partial |= set() if entries and len(query.written) == len(entries) else {COLUMNS}
        query.sets_on_update &= not name.startswith("UpdateColumn")


def _chain(call: Node) -> tuple[Node | None, list[Step]]:
    """What the chain of calls begins with, and its calls in order, this one at their end."""
    steps: list[Step] = []
    node: Node | None = call
    while node is not None and node.type == "call_expression":
        function = field(node, "function")
        if function is None or function.type != "selector_expression" or len(steps) > 200:
            return node, steps[::-1]
        name = text(field(function, "field"))
        if steps and name not in _HARMLESS | _UNREAD.keys() and name not in _KNOWN:
            return node, steps[::-1]
        steps.append((name, node))
        node = field(function, "operand")
    return node, steps[::-1]


def _arguments(call: Node) -> list[Node]:
    return named(field(call, "arguments"))


def _string(node: Node) -> str | None:
    """The text of a string literal."""
    if node.type not in _LITERALS:
        return None
    return "".join(
        text(child)
        for child in node.named_children
        if child.type.endswith("_content") or child.type == "escape_sequence"
    )


def _entries(node: Node) -> list[str] | None:
    """The keys of a struct or map literal; None if it is none."""
    if node.type == "unary_expression" and named(node):
        node = named(node)[0]
    body = field(node, "body") if node.type == "composite_literal" else None
    if body is None:
        return None
    found = []
    for entry in named(body):
        key = named(named(entry)[0]) if entry.type == "keyed_element" and named(entry) else []
        if not key:
            return None
        found.append(_string(key[0]) or text(key[0]))
    return found
