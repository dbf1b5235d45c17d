"""Calls of Django's managers, querysets and models that send a statement."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.django_expressions import Expressions
from checks.evidence.repository.orm.django_paths import Paths, Project, key_of
from checks.evidence.repository.orm.django_steps import EVERYTHING, SENDS, UNREAD, Step, Steps, insert, plain_name
from checks.evidence.repository.orm.python_chains import mentions_of
from checks.evidence.repository.orm.query import COLUMNS, LIMIT, VALUE, WHERE, Query, column_of, quoted
from checks.evidence.repository.orm.sqlalchemy import arguments_of, call_name, string_of
from checks.evidence.repository.orm.syntax import (
    MAXIMUM_PER_FILE,
    Source,
    field,
    function_around,
    function_name,
    named,
    text,
    unwrapped,
)

CANDIDATE = re.compile(
    r"\.objects\b|_manager\b|get_(?:object|list)_or_404|\.a?(?:save|delete|filter|get|exclude|all|create)\("
)
_IMPORT = re.compile(r"^[ \t]*from\s+(\.*[\w.]*)\s+import\s+(\([^)]*\)|[^\n\\]*(?:\\\n[^\n]*)*)", re.MULTILINE)
_NAME = re.compile(r"([A-Za-z_]\w*)(?:\s+as\s+([A-Za-z_]\w*))?")
_IDENTIFIER = frozenset(["identifier"])
_READS = frozenset(
    "list set tuple len sorted bool dict enumerate any all next iter sum max min zip map filter reversed frozenset str "
    "sync_to_async join chain".split()
)
# Methods that put a queryset into another statement.
_NESTS = frozenset(
    "filter exclude get annotate Q Exists Subquery union intersection difference When Case Coalesce update order_by "
    "values get_object_or_404 get_list_or_404 aget_object_or_404 alias aggregate Count Sum ArraySubquery get_or_create".split()
)
_STATEMENTS_OF_TWO = frozenset(["get_or_create", "update_or_create"])
_MAXIMUM_MENTIONS = 60
_MAXIMUM_NESTED = 5
_MAXIMUM_CHAIN = 200
_INNER = {"call": "function", "attribute": "object", "subscript": "value"}


def read_calls(source: Source, project: Project) -> list[OrmCall]:
    return _Reader(source, project).read()


class _Reader:
    def __init__(self, source: Source, project: Project) -> None:
        self.source = source
        self.project = project
        self.names = _imported(source.file.text)
        self.own = set(re.findall(r"^class\s+(\w+)", source.file.text, re.MULTILINE))
        self.function: Node | None = None
        self.depth = 0
        self.told: set[int] = set()
        self.calls: list[OrmCall] = []

    def read(self) -> list[OrmCall]:
        managers = "|".join(map(re.escape, sorted({*self.project.managers, "_default_manager", "_base_manager"})))
        for _, node in self.source.found(
            re.compile(rf"\b([A-Za-z_]\w*)\s*\.\s*(?:{managers})\b".encode()), _IDENTIFIER
        ):
            manager = node.parent
            if manager is not None and manager.type == "attribute" and field(manager, "attribute") == node:
                # `models.User.objects`: the class is the middle one.
                manager = manager.parent
            if manager is not None and manager.type == "attribute":
                self.function = function_around(node)
                if (model := self.model(node)) is not None:
                    self._chain(model, manager)
        shortcuts = re.compile(rb"\b(a?get_(?:object|list)_or_404)\s*\(")
        for match, node in self.source.found(shortcuts, _IDENTIFIER):
            if node.parent is not None and node.parent.type == "call":
                self.function = function_around(node)
                self._shortcut(node.parent, match.group(1).decode())
        self._instances()
        return self.calls

    def model(self, node: Node) -> Model | None:
        """The model that a name stands for: imported, of this file, or `cls` within one."""
        name = text(node)
        if name == "self":
            return None
        if name == "cls":
            around = node.parent
            while around is not None and around.type != "class_definition":
                around = around.parent
            return self.project.models.find(text(field(around, "name")), self.source.file.path) if around else None
        known = self.names.get(name, name if name in self.own or "import *" in self.source.file.text else None)
        if known is None and node.parent is not None and node.parent.type == "attribute":
            holder = field(node.parent, "object")
            known = name if holder != node and name[:1].isupper() else None
        if known is None and re.search(
            rf"\b{re.escape(name)}\s*=\s*(?:apps\.get_model|get_user_model)\(", self.source.file.text
        ):
            known = "User" if name in ("User", "user_model", "UserModel") else name
        return self.project.models.find(known, self.source.file.path) if known else None

    # Chains

    def _chain(self, model: Model, manager: Node) -> None:
        top, steps = _chain_above(manager)
        if not steps or self._is_nested(top, steps):
            return
        read = self._built(model, text(field(manager, "attribute")), steps)
        if read is None:
            return
        last = plain_name(steps[-1][0])
        if last in _STATEMENTS_OF_TWO:
            self._two(model, read, last, steps[-1][1])
            return
        if last not in SENDS:
            context = self._context(top)
            if context is None:
                return
            more, partial = context
            for name, step in more:
                if plain_name(name) in _STATEMENTS_OF_TWO:
                    return
                read.apply(plain_name(name), step)
            if read.skipped:
                return
            read.query.partial |= partial
        read.finish()
        self._finish(read.query, manager)
        if read.query.verb == "select":
            for argument in read.fetched:
                self._fetched(model, argument)

    def _built(self, model: Model, manager: str, steps: list[Step]) -> Steps | None:
        query = Query("select", model)
        declared = self.project.declared(model)
        paths = Paths(self.project, query)
        read = Steps(self.project, paths, Expressions(paths, self._subquery), query)
        known = declared.managers.get(manager) if declared is not None else None
        if known is None:
            return None
        own = {plain_name(name) for name, _ in steps if plain_name(name) in SENDS} & known.overridden
        hides = own == {"delete"} and known.hides and not arguments_of(steps[-1][1])[1]
        if own and not hides:
            return None
        query.partial |= set() if known.read else {WHERE}
        for name, call in (*known.steps, *steps):
            if plain_name(name) not in _STATEMENTS_OF_TWO:
                read.apply(plain_name(name), call)
        if hides:
            query.verb, query.sets_on_update = "update", False
            for name in known.hides:
                query.write(name)
        return None if read.skipped else read

    def _subquery(self, node: Node, one_column: bool) -> str | None:
        """A queryset within another statement; its key where one column is asked for and it names none."""
        start = self._start(unwrapped(node))
        model = self._model_of(start) if start is not None else None
        if start is None or model is None or self.depth >= _MAXIMUM_NESTED:
            return None
        _, steps = _chain_above(start)
        self.depth += 1
        read = self._built(model, text(field(start, "attribute")), steps)
        self.depth -= 1
        if read is None or read.query.verb != "select":
            return None
        if read.query.partial:
            # What the statement around it cannot be told to hold is told by itself.
            if start.start_byte not in self.told:
                self.told.add(start.start_byte)
                read.query.partial |= EVERYTHING
                self._finish(read.query, start)
            return None
        key = key_of(model)
        if one_column and read.query.columns is None and key is not None:
            read.query.columns = [f"{quoted(read.query.alias)}.{quoted(key.name)}"]
        return read.query.sql()

    def _start(self, node: Node) -> Node | None:
        """The `Model.objects` that a chain of calls begins with, if its model is known."""
        for _ in range(_MAXIMUM_CHAIN):
            if node.type == "attribute" and text(field(node, "attribute")) in self.project.managers:
                return node if self._model_of(node) is not None else None
            inner = field(node, _INNER.get(node.type, "none"))
            if inner is None:
                return None
            node = inner
        return None

    def _model_of(self, manager: Node) -> Model | None:
        holder = field(manager, "object")
        holder = field(holder, "attribute") if holder is not None and holder.type == "attribute" else holder
        return self.model(holder) if holder is not None else None

    def _is_nested(self, top: Node, steps: list[Step]) -> bool:
        """Whether the queryset is part of another statement and not sent by itself."""
        if plain_name(steps[-1][0]) in SENDS:
            return False
        parent = top.parent
        while parent is not None and parent.type in ("parenthesized_expression", "keyword_argument", "unary_operator"):
            parent = parent.parent
        call = parent.parent if parent is not None and parent.type == "argument_list" else None
        if call is None or call_name(call) not in _NESTS:
            return False
        # What a queryset that is not read here holds is told by itself.
        around: Node | None = call
        while around is not None and not around.type.endswith("_statement"):
            if around.type == "call" and (start := self._start(around)) is not None and start != top:
                return True
            around = around.parent
        return False

    def _context(self, top: Node) -> tuple[list[Step], set[str]] | None:
        """What the code goes on to do with a queryset; None if it never sends it."""
        parent = top.parent
        while parent is not None and parent.type in (
            "parenthesized_expression",
            "await",
            "type_cast",
            "conditional_expression",
        ):
            top, parent = parent, parent.parent
        if parent is None or parent.type == "expression_statement":
            return None
        if parent.type in ("for_statement", "for_in_clause", "if_statement", "not_operator", "boolean_operator"):
            return [], set()
        if parent.type in ("argument_list", "keyword_argument"):
            call = parent.parent if parent.type == "argument_list" else parent.parent and parent.parent.parent
            return [], set() if isinstance(call, Node) and _reads(call) else set(EVERYTHING)
        if parent.type == "assignment":
            left = field(parent, "left")
            if left is not None and left.type == "identifier" and self.function is not None:
                return _followed(text(left), parent, self.function)
        return [], set(EVERYTHING)

    def _two(self, model: Model, read: Steps, name: str, call: Node) -> None:
        """get_or_create() and update_or_create(): a SELECT, then an INSERT or UPDATE."""
        query = read.query
        _, keywords = arguments_of(call)
        splat = len(named(field(call, "arguments"))) > len(keywords)
        query.partial |= {WHERE} if splat else set()
        for key, value in keywords.items():
            if key not in ("defaults", "create_defaults"):
                query.filter(read.expressions.lookup(key, value))
        query.limit, read.ordering = 21, []
        if name == "update_or_create":
            query.suffix = " FOR UPDATE"
        read.finish()
        self._finish(query, call)
        made = Query("insert", model)
        insert(made)
        self._finish(made, call)
        if name == "update_or_create":
            changed = Query("update", model)
            defaults = keywords.get("defaults")
            for pair in named(defaults) if defaults is not None and defaults.type == "dictionary" else []:
                name_of = string_of(field(pair, "key")) if pair.type == "pair" else None
                if name_of is not None and column_of(model, name_of):
                    changed.write(name_of)
                else:
                    changed.partial.add(COLUMNS)
            if defaults is not None and defaults.type != "dictionary":
                changed.partial.add(COLUMNS)
            self._by_key(changed)
            self._finish(changed, call)

    def _shortcut(self, call: Node, name: str) -> None:
        """`get_object_or_404(Model, id=1)`, or of a queryset."""
        positional, _ = arguments_of(call)
        if not positional:
            return
        first = positional[0]
        target = field(first, "attribute") if first.type == "attribute" else first
        model = self.model(target) if target is not None and target.type == "identifier" else None
        steps: list[Step] = []
        manager = "objects"
        if model is None and first.type in ("call", "attribute"):
            start = self._start(first)
            if start is None:
                return
            model, manager = self._model_of(start), text(field(start, "attribute"))
            steps = _chain_above(start)[1]
        if model is None:
            return
        read = self._built(model, manager, steps)
        if read is None:
            return
        found = read.expressions.conditions(call)
        # The first argument is the model itself.
        for condition in found[1:]:
            read.query.filter(condition)
        if "object" in name:
            read.query.limit, read.ordering = 21, []
        read.finish()
        self._finish(read.query, call)

    def _fetched(self, model: Model, argument: Node) -> None:
        """What `prefetch_related("posts")` fetches with a statement of its own."""
        name = string_of(argument)
        hops = self.project.hops(model, name.removesuffix("_set") if name else "")
        hops = hops or (self.project.hops(model, name) if name else [])
        if len(hops) == 1:
            query = Query("select", hops[0].target)
            query.where.append(f"{quoted(query.alias)}.{quoted(hops[0].other)} IN ({VALUE})")
            self._finish(query, argument)

    # Instances

    def _instances(self) -> None:
        """`user.save()` and `user.delete()`, where the function shows what `user` is."""
        pattern = re.compile(rb"\b([a-z_]\w*)\.a?(?:save|delete)\s*\(")
        for number, (_, node) in enumerate(self.source.found(pattern, _IDENTIFIER)):
            if number > MAXIMUM_PER_FILE:
                return
            attribute = node.parent
            call = attribute.parent if attribute is not None else None
            if attribute is None or call is None or call.type != "call" or field(call, "function") != attribute:
                continue
            if attribute.type != "attribute" or field(attribute, "object") != node:
                continue
            self.function = function_around(node)
            method = text(field(attribute, "attribute")).removeprefix("a")
            made = self._made(text(node), node)
            if made is None:
                continue
            model, new = made
            declared = self.project.declared(model)
            if method == "delete" and declared is not None and declared.deletes:
                if not declared.hides or arguments_of(call)[1]:
                    continue
                method = "save"
            query = Query("delete" if method == "delete" else "insert" if new else "update", model)
            if method == "delete":
                self._by_key(query)
            elif new:
                insert(query)
            else:
                self._saved(query, call)
            self._finish(query, call)

    def _saved(self, query: Query, call: Node) -> None:
        _, keywords = arguments_of(call)
        fields = keywords.get("update_fields")
        if fields is not None and fields.type in ("list", "tuple", "set"):
            for entry in named(fields):
                query.write(string_of(entry) or "")
            query.sets_on_update = False
        else:
            for column in query.model.columns:
                if not column.primary_key:
                    query.written[column.name] = None
            query.partial |= {COLUMNS} if fields is not None or not query.model.complete else set()
        self._by_key(query)

    def _by_key(self, query: Query) -> None:
        key = key_of(query.model)
        query.filter(f"{quoted(query.alias)}.{quoted(key.name)} = {VALUE}" if key else None)

    def _made(self, name: str, before: Node) -> tuple[Model, bool] | None:
        """The model of the variable's last value before that place, and whether it is a new object."""
        if self.function is None or name in ("self", "cls"):
            return None
        value: Node | None = None
        for node in mentions_of(self.function).get(name, []):
            if node.start_byte >= before.start_byte:
                break
            if node.type == "assignment":
                value = field(node, "right")
            elif node.parent is not None and node.parent.type in ("for_statement", "pattern_list", "tuple_pattern"):
                value = None
        if value is None:
            return self._annotated(name)
        value = unwrapped(value)
        if value.type != "call":
            return None
        function = field(value, "function")
        if function is None:
            return None
        target = function if function.type == "identifier" else None
        if target is not None:
            if text(target).endswith("_or_404"):
                first = next(iter(arguments_of(value)[0]), None)
                model = self.model(first) if first is not None and first.type == "identifier" else None
                return (model, False) if model else None
            model = self.model(target)
            return (model, True) if model else None
        last = plain_name(text(field(function, "attribute")))
        if last not in ("get", "first", "last", "create", "latest", "earliest"):
            return None
        start = self._start(function)
        model = self._model_of(start) if start is not None else None
        return (model, False) if model else None

    def _annotated(self, name: str) -> tuple[Model, bool] | None:
        parameters = text(field(self.function, "parameters")) if self.function is not None else ""
        found = re.search(rf"[(,]\s*{re.escape(name)}\s*:\s*[\"']?(?:\w+\.)*([A-Za-z_]\w*)[\"']?\s*[,)=]", parameters)
        if found is None:
            return None
        known = self.names.get(found[1], found[1] if found[1] in self.own else None)
        model = self.project.models.find(known, self.source.file.path) if known else None
        return (model, False) if model else None

    def _finish(self, query: Query, node: Node) -> None:
        place = self.source.location(node)
        self.calls.append(query.finish(place, "django", function_name(self.function)))


def _chain_above(node: Node) -> tuple[Node, list[Step]]:
    """The outermost expression of the chain that begins with a manager, and its steps."""
    steps: list[Step] = []
    while True:
        outer = node
        while outer.parent is not None and outer.parent.type == "parenthesized_expression":
            outer = outer.parent
        parent = outer.parent
        sent = bool(steps) and plain_name(steps[-1][0]) in SENDS
        if parent is not None and parent.type == "subscript" and field(parent, "value") == outer and not sent:
            steps.append(("[]", parent))
            node = parent
            continue
        call = parent.parent if parent is not None and parent.type == "attribute" else None
        if parent is None or call is None or field(parent, "object") != outer:
            return node, steps
        if call.type != "call" or field(call, "function") != parent:
            return node, steps
        if steps and plain_name(steps[-1][0]) in SENDS | {"[]"} and plain_name(steps[-1][0]) != "iterator":
            return node, steps
        steps.append((text(field(parent, "attribute")), call))
        node = call


def _followed(name: str, begun: Node, function: Node) -> tuple[list[Step], set[str]] | None:
    """The same for a queryset kept in a variable: steps that certainly follow, and parts that may be added."""
    steps: list[Step] = []
    partial: set[str] = set()
    sent = False
    end = function.end_byte
    block = begun.parent.parent if begun.parent is not None else None
    mentions = mentions_of(function).get(name, [])
    if len(mentions) > _MAXIMUM_MENTIONS:
        return [], set(EVERYTHING)
    for node in mentions:
        if node.start_byte <= begun.end_byte:
            continue
        if node.start_byte > end:
            break
        if node.type == "assignment":
            right = field(node, "right")
            if right is None or not re.match(rf"\(?\s*{re.escape(name)}\b", text(right)):
                end = node.end_byte
            continue
        parent = node.parent
        if parent is None or (parent.type == "assignment" and field(parent, "left") == node):
            continue
        _, added = _chain_above(node)
        kept = _assigned_to(node, name)
        if kept is not None and kept.parent is not None and kept.parent.parent == block and not sent:
            steps += added
            continue
        for step, _ in added:
            partial |= UNREAD.get(plain_name(step), set(EVERYTHING))
        if kept is None:
            sent = True
            if _is_handed_on(parent):
                partial |= set(EVERYTHING)
            elif added and plain_name(added[-1][0]) in ("update", "delete", "create", "bulk_create"):
                partial |= {LIMIT, COLUMNS}
    return (steps, partial) if sent else None


def _reads(call: Node) -> bool:
    """Whether the function called takes the rows and no more: `list(...)`, `sync_to_async(list)(...)`."""
    return call_name(call) in _READS or text(field(call, "function")).startswith("sync_to_async(")


def _is_handed_on(parent: Node) -> bool:
    """Whether code elsewhere gets the queryset and may add to it."""
    if parent.type == "argument_list":
        return parent.parent is None or not _reads(parent.parent)
    return parent.type in ("return_statement", "keyword_argument")


def _assigned_to(node: Node, name: str) -> Node | None:
    """The assignment that puts what is made of the variable into it again."""
    top, _ = _chain_above(node)
    while top.parent is not None and top.parent.type == "parenthesized_expression":
        top = top.parent
    parent = top.parent
    if parent is None or parent.type != "assignment" or text(field(parent, "left")) != name:
        return None
    return parent


def _imported(code: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for match in _IMPORT.finditer(code):
        listed = re.sub(r"#[^\n]*", "", match.group(2))
        for entry in _NAME.finditer(listed):
            found[entry.group(2) or entry.group(1)] = entry.group(1)
    return found
