"""Calls of ActiveRecord that send a statement."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from checks.evidence.repository.facts import OrmCall
from checks.evidence.repository.orm.activerecord import Entry
from checks.evidence.repository.orm.activerecord_classes import Classes, scope_of
from checks.evidence.repository.orm.activerecord_declarations import DEFAULT_SCOPE
from checks.evidence.repository.orm.activerecord_rows import Rows, read_rows
from checks.evidence.repository.orm.activerecord_steps import SENDS, STEPS, Steps
from checks.evidence.repository.orm.query import COLUMNS, EVERYTHING, NUMBERED, VALUE, WHERE, Query, quoted
from checks.evidence.repository.orm.ruby import chain_above, method_of
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, text, whole_text

CANDIDATE = re.compile(r"[\w)\]]\s*&?\.[a-z]")
_CLASS = re.compile(rb"(?<![\w:.@])((?:::)?[A-Z]\w*(?:::[A-Z]\w*)*)(?=\s*&?\.\s*[a-z])")
_CLASSES = frozenset(["constant", "scope_resolution"])
_VARIABLE = re.compile(rb"(?<![\w:.@])(@?[a-z_]\w*|Current)(?=\s*&?\.[a-z_]\w*\s*&?\.[a-z_])")
_VARIABLES = frozenset(["identifier", "instance_variable"])
_OWN = (
    r"where|find_by!?|find_or_create_by!?|joins|left_joins|order|exists\?|update_all|delete_all|insert_all!?|pluck|select|upsert"
    r"|upsert_all|group|includes"
)
_OWN_NODES = frozenset(["identifier"])
_CLASS_OF_ROW = re.compile(rb"(?<=\bself\.)(class)(?=\s*\.\s*[a-z])")
# Marks a condition of an association that has more of its own.
_MORE = "\0"
_KEY = re.compile(r'\."([^"]+)" =')
# What follows a method of the class only if that gives a relation.
_CONTINUES = frozenset(
    "where joins left_joins includes order limit find_by find_by! pluck update_all delete_all exists? distinct find_each "
    "find_in_batches in_batches reorder preload or".split()
)
_INSERTS = frozenset(
    "create create! insert insert! insert_all insert_all! upsert upsert_all create_or_find_by create_or_find_by!".split()
)
_UPDATES = frozenset(["update_all", "touch_all"])
_DELETES = frozenset(["delete_all", "delete_by"])


def read_calls(source: Source, classes: Classes) -> list[OrmCall]:
    return _Reader(source, classes).read()


class _Reader:
    def __init__(self, source: Source, classes: Classes) -> None:
        self.source = source
        self.classes = classes
        self.rows = Rows(source, classes)
        self.parts: list[tuple[Query, Node]] = []
        self.calls: list[OrmCall] = []

    def read(self) -> list[OrmCall]:
        for entry, condition, start, steps in self._starts():
            self._chain(entry, condition, start, steps)
        self._parts()
        self.calls += read_rows(self.source, self.rows)
        return self.calls

    def _parts(self) -> None:
        """Relations within others that none of the statements holds which were read."""
        whole: dict[str | None, list[str]] = {}
        for told in self.calls:
            whole.setdefault(told.function, []).append(NUMBERED.sub(VALUE, told.text))
        for query, node in self.parts:
            function = function_name(function_around(node))
            rows = query.sql().partition(" FROM ")[2]
            if not any(rows in sql for sql in whole.get(function, ())):
                self.calls.append(query.finish(self.source.location(node), "activerecord", function, part=True))

    def _starts(self) -> Iterator[tuple[Entry, str | None, Node, list[tuple[str, Node]]]]:
        """Where relations begin: at a class, at an association of a variable that is called like its class, and in a class's
        own methods."""
        for match, node in self.source.found(_CLASS, _CLASSES):
            entry = self.classes.find(match.group(1).decode(), scope_of(node))
            if entry is not None:
                yield entry, None, node, chain_above(node)[1]
        for match, node in self.source.found(_VARIABLE, _VARIABLES | _CLASSES):
            name, steps = match.group(1).decode(), chain_above(node)[1]
            if name == "Current" and len(steps) > 2:
                # What the request is for: `Current.user.posts`.
                name, steps = steps[0][0], steps[1:]
            entry = None
            if node.type in _VARIABLES:
                row = self.rows.row(node)
                entry = row.entry if row is not None else None
            if entry is None and (name[:1] == "@" or name[:1].islower()):
                entry = self.classes.meant(name, scope_of(node))
            while (
                entry is not None
                and len(steps) > 2
                and (further := self.classes.linked(entry, steps[0][0])) is not None
            ):
                # `project.namespace.issues`
                entry, steps = further, steps[1:]
            if entry is None or len(steps) < 2:
                continue
            if (found := self._association(entry, steps[0][0])) is not None:
                yield (*found, node, steps[1:])
        yield from self._own_associations()
        yield from self._of_the_class()
        for _, node in self.source.found(_CLASS_OF_ROW, _OWN_NODES):
            call = node.parent
            entry = self.classes.holder(scope_of(node)) if call is not None and call.type == "call" else None
            if entry is not None and call is not None and field(call, "method") == node:
                yield entry, None, call, [step for step in chain_above(call)[1] if step[0] != "unscoped"]

    def _of_the_class(self) -> Iterator[tuple[Entry, str | None, Node, list[tuple[str, Node]]]]:
        """`where(...)` and `active.first` in the class's own methods, `active` being a scope or another of these methods."""
        own = self.classes.within(self.source.file.path)
        scopes = {name for entry in own for name in (*entry.scopes, *entry.declaration.methods)}
        words = "|".join(sorted([_OWN, *map(re.escape, scopes)]))
        for match, node in self.source.found(re.compile(rf"(?<![\w:.@])({words})(?=[ (.&])".encode()), _OWN_NODES):
            name, call = match.group(1).decode(), node.parent
            entry = self.classes.holder(scope_of(node)) if _is_of_class(node) else None
            if call is None or call.type != "call" or entry is None:
                continue
            if name in entry.scopes and field(call, "receiver") == node and not _is_variable(node):
                yield entry, None, node, [(name, node), *chain_above(node)[1]]
            elif name in entry.declaration.methods:
                begun = call if field(call, "method") == node else node
                steps = [(name, begun), *chain_above(begun)[1]]
                if (
                    field(begun, "receiver") is None
                    and len(steps) > 1
                    and steps[1][0] in _CONTINUES
                    and not _is_variable(node)
                ):
                    yield entry, None, begun, steps
            elif field(call, "method") == node and field(call, "receiver") is None:
                if name == "select" and not re.match(r"(?s)(?!\(\s*&).*[:\"']", text(field(call, "arguments"))):
                    # It goes through an enumeration.
                    continue
                yield entry, None, call, [(name, call), *chain_above(call)[1]]

    def _own_associations(self) -> Iterator[tuple[Entry, str | None, Node, list[tuple[str, Node]]]]:
        """`posts.where(...)` in a method of the class that has many posts."""
        own = self.classes.within(self.source.file.path)
        names = {link.attribute for entry in own for link in entry.model.relations if link.many}
        names |= {name for entry in own for name, _ in entry.declaration.gives}
        if not names:
            return
        spelled = "|".join(sorted(map(re.escape, names)))
        for match, node in self.source.found(re.compile(rf"(?<![\w:.@])({spelled})(?=&?\.[a-z])".encode()), _OWN_NODES):
            name = match.group(1).decode()
            method = function_around(node)
            entry = self.classes.holder(scope_of(node))
            if method is None or method.type != "method" or entry is None:
                continue
            if re.search(rf"(?<![\w.]){re.escape(name)}\s*(?:\|\||&&|[-+])?=(?!=)", whole_text(method)):
                continue
            if (found := self._association(entry, name)) is not None:
                yield (*found, node, chain_above(node)[1])

    def _association(self, entry: Entry, name: str) -> tuple[Entry, str | None] | None:
        """The model that an association of many leads to, and the condition it puts, marked where it has more."""
        link = next((link for link in entry.model.relations if link.attribute == name and link.many), None)
        target = self.classes.find(link.target, entry.declaration.name) if link is not None else None
        given = dict(entry.declaration.gives).get(name) if link is None else None
        if given is not None and given[:1].islower():
            own, _, scope = given.partition(".")
            narrowed = self._association(entry, own) if own not in dict(entry.declaration.gives) else None
            if narrowed is None or narrowed[1] is None or (scope and scope not in narrowed[0].scopes):
                return None
            return narrowed[0], narrowed[1].removesuffix(_MORE) + _MORE
        if given is not None and (target := self.classes.find(given, entry.declaration.name)) is not None:
            return target, _MORE
        if link is None or target is None:
            return None
        if len(link.references) != 1:
            # Through another table, or by a type and a key.
            return target, _MORE
        if target.model.columns and all(column.name != link.references[0] for column in target.model.columns):
            # Rows go together by more than that, as `query_constraints` says.
            return None
        condition = f"{quoted(target.model.table)}.{quoted(link.references[0])} = {VALUE}"
        return target, condition + _MORE * (name in entry.declaration.scoped)

    def _chain(self, entry: Entry, condition: str | None, start: Node, steps: list[tuple[str, Node]]) -> None:
        if not steps or any(name in ("none", "arel") for name, _ in steps):
            # A relation of no rows is not asked for, and a tree is put into another statement.
            return
        first = steps[0][0]
        unknown = first not in STEPS and first not in entry.scopes and not _found_by(entry, first)
        finder = unknown and first.startswith("find_by_") and first not in {*entry.declaration.methods, "find_by_sql"}
        if unknown and not finder and (len(steps) < 2 or steps[1][0] not in _CONTINUES):
            return
        verb = "select"
        for name, _ in steps:
            verb = (
                "insert"
                if name in _INSERTS
                else "update"
                if name in _UPDATES
                else "delete"
                if name in _DELETES
                else verb
            )
            if verb != "select" or name in SENDS or name.startswith("find_by_"):
                break
        query = Query(verb, entry.model)
        query.columns = [f"{quoted(query.alias)}.*"]
        if condition is not None:
            query.filter(condition.removesuffix(_MORE))
            query.partial |= {"where", "order", "joins"} if condition.endswith(_MORE) else set()
            if verb == "insert":
                query.written |= dict.fromkeys(_KEY.findall(condition))
        if entry.inherits:
            kind = query.column("type")
            query.where += [f"{kind} = {VALUE}"] if kind and verb != "insert" else []
        reader = Steps(query, entry, self.classes)
        if entry.declaration.has_default_scope and verb != "insert" and first != "unscoped":
            if DEFAULT_SCOPE in entry.scopes and all(name not in ("unscoped", "unscope") for name, _ in steps):
                reader.scope(DEFAULT_SCOPE)
            else:
                query.partial |= {"where", "order"}
        sent = False
        if unknown:
            query.partial |= EVERYTHING
        for name, call in steps[unknown:]:
            if name in entry.scopes and name not in STEPS:
                reader.scope(name)
            elif found_by := _found_by(entry, name):
                query.where += [f"{quoted(query.alias)}.{quoted(column)} = {VALUE}" for column in found_by]
                query.limit, sent = 1, True
                break
            elif name in STEPS:
                reader.apply(name, call)
                if name in SENDS:
                    sent = True
                    break
            elif name in entry.declaration.methods:
                query.partial |= EVERYTHING
            else:
                sent = sent or name == "map"
                query.partial |= set() if sent else EVERYTHING
                break
        if _is_part(steps):
            self.parts += [(query, start)] if verb == "select" and not unknown else []
            return
        if not sent and verb == "select":
            query.partial |= EVERYTHING - {COLUMNS}
        if start.type == "call" and verb in ("update", "delete") and not query.where:
            # A method of the class that writes all its rows is one for relations, which have the conditions.
            query.partial.add(WHERE)
        function = function_name(function_around(start))
        place = steps[0][1]
        self.calls.append(
            query.finish(self.source.location(start if start.type != "call" else place), "activerecord", function)
        )


def _found_by(entry: Entry, name: str) -> list[str]:
    """The columns that `find_by_email_and_status` asks by, if the class has them and no method of that name."""
    if not name.startswith("find_by_") or name in STEPS or name in entry.declaration.methods:
        return []
    asked = name.removeprefix("find_by_").removesuffix("!").split("_and_")
    known = {column.name for column in entry.model.columns}
    return asked if known.issuperset(asked) else []


def _is_of_class(node: Node) -> bool:
    """Whether the node stands in a method of the class rather than of a row."""
    method: Node | None = None
    current = node.parent
    while current is not None and current.type != "class":
        if current.type in ("singleton_method", "singleton_class"):
            return True
        if current.type == "method":
            method = current
        elif method is not None and (
            method_of(current) == "class_methods" or text(field(current, "name")) == "ClassMethods"
        ):
            return True
        current = current.parent
    return False


def _is_variable(node: Node) -> bool:
    """Whether the method gives the name a value of its own."""
    own = rf"(?<![\w.@:]){re.escape(text(node))}\s*(?:\|\||&&|[-+])?=(?![=~>])"
    return re.search(own, whole_text(function_around(node))) is not None


def _is_part(steps: list[tuple[str, Node]]) -> bool:
    """Whether the relation is no statement by itself but a condition of another, or a scope."""
    top = steps[-1][1]
    sends = any(name in SENDS for name, _ in steps)
    parent = top.parent
    for _ in range(6):
        if parent is None:
            return False
        if parent.type == "call":
            method = method_of(parent)
            if method == "scope" or (
                not sends and method in ("where", "or", "merge", "not", "from", "with", "union", "select", "and")
            ):
                return True
            return method in ("belongs_to", "has_many", "has_one", "default_scope")
        if parent.type in ("body_statement", "method", "singleton_method"):
            return False
        parent = parent.parent
    return False
