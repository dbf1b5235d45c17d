"""Rows of Django's models that are saved and deleted one by one."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.django_paths import Project, key_of
from checks.evidence.repository.orm.django_steps import insert, plain_name
from checks.evidence.repository.orm.python_chains import mentions_of
from checks.evidence.repository.orm.python_imports import imported_names
from checks.evidence.repository.orm.python_syntax import arguments_of, string_of
from checks.evidence.repository.orm.query import COLUMNS, VALUE, Query, quoted
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

_MAXIMUM_CHAIN = 200
_INNER = {"call": "function", "attribute": "object", "subscript": "value"}
IDENTIFIER = frozenset(["identifier"])


class Rows:
    """Knows the models that a file names, and reads `user.save()` and `user.delete()` of it."""

    def __init__(self, source: Source, project: Project) -> None:
        self.source = source
        self.project = project
        self.names = imported_names(source.file.text)
        self.own = set(re.findall(r"^class\s+(\w+)", source.file.text, re.MULTILINE))
        self.function: Node | None = None
        self.calls: list[OrmCall] = []

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

    def _instances(self) -> None:
        """`user.save()` and `user.delete()`, where the function shows what `user` is."""
        pattern = re.compile(rb"\b([a-z_]\w*)\.a?(?:save|delete)\s*\(")
        for number, (_, node) in enumerate(self.source.found(pattern, IDENTIFIER)):
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
