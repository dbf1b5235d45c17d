"""Calls of ActiveRecord that write one row: `post.save`, `@user.update!(name: name)`, `comment.destroy`."""

from __future__ import annotations

import re
from typing import NamedTuple

from tree_sitter import Node

from checks.evidence.repository.facts import Model, ModelRelation, OrmCall
from checks.evidence.repository.orm.activerecord import Entry
from checks.evidence.repository.orm.activerecord_classes import Classes, scope_of
from checks.evidence.repository.orm.activerecord_declarations import WRITES
from checks.evidence.repository.orm.activerecord_steps import STEPS
from checks.evidence.repository.orm.query import COLUMNS, VALUE, WHERE, Query, column_of, quoted
from checks.evidence.repository.orm.ruby import arguments_of, chain_above, entries_of, method_of, name_of
from checks.evidence.repository.orm.syntax import Source, field, function_around, function_name, text, whole_text

_ROWS = re.compile(
    rb"(?<![\w:@$])(@?[a-z_]\w*)(?=\s*&?\.\s*(?:save|update|update_attributes?|update_columns?|touch|destroy|delete)\b)"
)
_IN_PASSING = re.compile(
    rb"\.\s*((?:save|update|update_attributes|destroy)!?|update_attribute|update_columns?|touch|delete)(?![\w?!])"
)
_NAMES = frozenset(["identifier", "instance_variable", "self"])
_OWN = re.compile(rb"(?<![\w:.@$])(update!?|update_columns?|update_attribute)(?=[ (])")
_FINDS = frozenset(
    "find find_by find_by! find_sole_by first first! last last! take take! second third sole create create! find_or_create_by "
    "find_or_create_by! create_or_find_by create_or_find_by!".split()
)
_ASSIGNMENTS = frozenset(["assignment", "operator_assignment"])
# These find a row, or make one that is not saved yet.
_PERHAPS = frozenset(["find_or_initialize_by", "first_or_initialize"])
_MAKES = frozenset(["new", "build"])
_CONSTANTS = frozenset(["constant", "scope_resolution"])
_MAXIMUM_DEPTH = 200
_MAXIMUM_VARIABLES = 4
_GOES_THROUGH = frozenset(["each", "find_each", "map", "flat_map", "each_with_index", "each_with_object", "tap"])
# After these a relation brings the same rows, or fewer.
_STAYS = frozenset(
    "all where not rewhere or and joins left_joins left_outer_joins eager_load includes preload references order reorder limit "
    "offset distinct lock merge unscoped unscope strict_loading readonly load to_a reverse_order in_order_of".split()
)


class Row(NamedTuple):
    """The row that a variable holds: `made` by the call if that is new, None where it is not told."""

    entry: Entry
    new: bool | None
    made: Node | None = None
    keys: tuple[str, ...] = ()


def read_rows(source: Source, reader: Rows) -> list[OrmCall]:
    """The statements of such calls, where the code shows what the row is of."""
    found = []
    for _, node in source.found(_ROWS, _NAMES):
        held = node.parent if node.parent is not None and field(node.parent, "method") == node else node
        call = held.parent
        if call is None or call.type != "call" or field(call, "receiver") != held:
            continue
        row = reader.row(node) if held == node else reader.linked(held)
        query = reader.written(row, call, node) if row is not None else None
        if query is not None:
            found.append(query.finish(source.location(node), "activerecord", function_name(function_around(node))))
    for _, node in source.found(_IN_PASSING, frozenset(["identifier"])):
        # `Post.find(id).update!(title: title)`, `Current.user.update!(name: name)`
        call = node.parent
        receiver = field(call, "receiver") if call is not None and call.type == "call" else None
        if call is None or receiver is None or receiver.type != "call" or field(call, "method") != node:
            continue
        row = reader.passing(receiver)
        query = reader.written(row, call, receiver) if row is not None else None
        if query is not None:
            found.append(query.finish(source.location(node), "activerecord", function_name(function_around(node))))
    for _, node in source.found(_OWN, frozenset(["identifier"])):
        call = node.parent
        method = function_around(node)
        if call is None or call.type != "call" or field(call, "method") != node or field(call, "receiver") is not None:
            continue
        entry = reader.classes.holder(scope_of(node)) if method is not None and method.type == "method" else None
        query = reader.written(Row(entry, False), call, node) if entry is not None else None
        if query is not None:
            found.append(query.finish(source.location(node), "activerecord", function_name(method)))
    return found


class Rows:
    """Knows of the variables of one file what rows they hold."""

    def __init__(self, source: Source, classes: Classes) -> None:
        self.source = source
        self.classes = classes
        self._values: dict[str, list[Node]] = {}

    def row(self, node: Node) -> Row | None:
        """What the variable holds: by what its method gave it last, else by what other methods of the file give it, else by
        its name."""
        name = text(node)
        scope = scope_of(node)
        assigned, known = self._assigned(name, node)
        if name == "self" or (name == "clone" and not known):
            method = function_around(node)
            entry = self.classes.holder(scope) if method is not None and method.type == "method" else None
            # Whether the row is new is not told.
            return Row(entry, None) if entry is not None else None
        if assigned is not None:
            return self._of_value(assigned, scope) or self._called_like(name, assigned, scope)
        if known:
            return None
        values = self._values_elsewhere(name) if name.startswith("@") else []
        elsewhere = [row for row in (self._of_value(value, scope_of(value)) for value in values) if row is not None]
        if elsewhere:
            entry, kinds = elsewhere[0].entry, {row.new for row in elsewhere}
            same = all(row.entry.model.table == entry.model.table for row in elsewhere)
            # Another file's code may have brought a row that is there, but for the action that makes one.
            told = kinds == {False} or (kinds == {True} and function_name(function_around(node)) == "create")
            return Row(entry, kinds.pop() if told else None) if same else None
        entry = self.classes.meant(name, scope)
        if values and entry is not None and "::" in entry.declaration.name and not _within(entry, scope):
            # It holds something that was not read, and the class is one of another module.
            return None
        return Row(entry, False if name.startswith(("current_", "@current_")) else None) if entry is not None else None

    def linked(self, call: Node) -> Row | None:
        """What `@report.issue` is."""
        receiver = field(call, "receiver")
        holder = self.row(receiver) if receiver is not None and receiver.type in _NAMES else None
        links = holder.entry.model.relations if holder is not None else ()
        link = next((link for link in links if link.attribute == method_of(call) and not link.many), None)
        entry = self.classes.find(link.target, scope_of(call)) if link is not None else None
        return Row(entry, False) if entry is not None else None

    def passing(self, value: Node) -> Row | None:
        """The row that is found, or that the request is for, and written at once."""
        if text(field(value, "receiver")) == "Current":
            entry = self.classes.meant(method_of(value), scope_of(value))
            return Row(entry, False) if entry is not None else None
        row = self._of_value(value, scope_of(value))
        return row if row is not None and row.new is False and not method_of(value).startswith("create") else None

    def _called_like(self, name: str, value: Node, scope: str) -> Row | None:
        """A row of the class that the variable is called like, if a method of that class gave it."""
        receiver = field(value, "receiver") if value.type == "call" else None
        given = (
            self.classes.find(text(receiver), scope) if receiver is not None and receiver.type in _CONSTANTS else None
        )
        meant = self.classes.meant(name, scope) if given is not None else None
        plain = given is not None and method_of(value) in given.declaration.methods
        return Row(given, None) if given is not None and plain and meant == given else None

    def _assigned(self, name: str, node: Node) -> tuple[Node | None, bool]:
        """What was assigned last before that place, and whether the method has the name from elsewhere: a block gives it."""
        value = None
        current = node.parent
        for _ in range(_MAXIMUM_DEPTH):
            if current is None:
                break
            for child in current.named_children:
                if child.start_byte >= node.start_byte:
                    break
                if child.type in _ASSIGNMENTS and text(field(child, "left")) == name:
                    value = field(child, "right")
            if value is not None:
                return value, True
            parameters = field(current, "parameters") if current.type in ("block", "do_block") else None
            if parameters is not None and re.search(rf"\b{re.escape(name)}\b", text(parameters)):
                first, _, others = text(parameters).strip("| ").partition(",")
                counted = (
                    method_of(current.parent) in ("each_with_index", "each_with_object") if current.parent else False
                )
                taken = current.parent if first.strip() == name and (not others or counted) else None
                # A call that is asked for its elements stands for one of them.
                return (taken if taken is not None and method_of(taken) in _GOES_THROUGH else None), True
            if current.type in ("method", "singleton_method"):
                break
            current = current.parent
        return None, False

    def _values_elsewhere(self, name: str) -> list[Node]:
        """What the file assigns to the instance variable."""
        if name not in self._values:
            pattern = re.compile(rb"(?<![\w@])(" + re.escape(name.encode()) + rb")(?=\s*(?:\|\|)?=(?![=~>]))")
            held = (node.parent for _, node in self.source.found(pattern, _NAMES))
            assigned = [node for node in held if node is not None and node.type in _ASSIGNMENTS]
            self._values[name] = [value for node in assigned if (value := field(node, "right")) is not None]
        return self._values[name]

    def _of_value(self, value: Node, scope: str) -> Row | None:
        """`Post.find(id)`, `Post.new(title: title)`, `current_user.posts.build`, `posts.each` for each of them."""
        method, receiver = method_of(value), field(value, "receiver")
        if method == "authorize" and receiver is None and (checked := arguments_of(value)):
            # Pundit gives back what it is asked about.
            return self._of_value(checked[0], scope)
        if method == "new" and receiver is None:
            within = function_around(value)
            own = self.classes.holder(scope) if within is not None and within.type == "singleton_method" else None
            return Row(own, True, value) if own is not None else None
        if method == "tap" and field(value, "block") is not None and receiver is not None:
            return self._of_value(receiver, scope)
        if method in _GOES_THROUGH and field(value, "block") is not None:
            entry = self._element(receiver, scope, 0)
            return Row(entry, False) if entry is not None else None
        start, steps = _chain(value)
        if not steps:
            return None
        last, call = steps[-1]
        if last.startswith("build_") and start.type in _NAMES and len(steps) == 1:
            # `@post.build_note`, for one other row.
            holder = self.classes.meant(text(start), scope)
            link = _one(holder, last.removeprefix("build_")) if holder is not None else None
            made = self.classes.find(link.target, holder.declaration.name) if link is not None and holder else None
            return Row(made, True, call, link.references) if made is not None and link is not None else None
        begun = self._begun(start, steps, scope)
        if begun is None:
            return None
        entry, keys, _ = begun
        if last in _PERHAPS:
            return Row(entry, None)
        if not (_finds(last) or last in _MAKES):
            return None
        return Row(entry, last in _MAKES, call if last in _MAKES else None, keys)

    def _begun(
        self, start: Node, steps: list[tuple[str, Node]], scope: str
    ) -> tuple[Entry, tuple[str, ...], list[tuple[str, Node]]] | None:
        """The model whose rows a chain is about, the columns that lead there, and the steps that are left."""
        if start.type in ("constant", "scope_resolution") and text(start) != "Current":
            entry = self.classes.find(text(start), scope)
            found = next((number for number, (name, _) in enumerate(steps[:-1]) if _finds(name)), None)
            if entry is None or found is None:
                return (entry, (), steps) if entry is not None else None
            # `User.find(id).posts.create`
            link = next(
                (link for link in entry.model.relations if link.attribute == steps[found + 1][0] and link.many), None
            )
            target = self.classes.find(link.target, entry.declaration.name) if link is not None else None
            return (target, link.references, steps[found + 2 :]) if target is not None and link is not None else None
        # `current_user.posts.build`, or `posts.build` in a method of the class that has many posts.
        name = text(start)
        if name == "Current" and len(steps) > 2:
            name, steps = steps[0][0], steps[1:]
        holder = self.classes.meant(name, scope) if start.type in _NAMES or name != text(start) else None
        while holder is not None and len(steps) > 2 and (next_ := self.classes.linked(holder, steps[0][0])) is not None:
            holder, steps = next_, steps[1:]
        wanted, further = (steps[0][0], 1) if holder is not None and steps else (name, 0)
        holder = holder if holder is not None else self.classes.holder(scope)
        links = holder.model.relations if holder is not None else ()
        link = next((link for link in links if link.attribute == wanted and link.many), None)
        within = holder.declaration.name if holder is not None else scope
        entry = self.classes.find(link.target, within) if link is not None and len(steps) >= further else None
        return (entry, link.references, steps[further:]) if entry is not None and link is not None else None

    def _element(self, value: Node | None, scope: str, depth: int) -> Entry | None:
        """The model of the rows that a relation brings, also of one that a variable holds."""
        if value is None or depth > _MAXIMUM_VARIABLES:
            return None
        start, steps = _chain(value)
        if start.type in _NAMES:
            assigned, known = self._assigned(text(start), start)
            if known:
                entry = self._element(assigned, scope, depth + 1) if assigned is not None else None
                return entry if entry is not None and _are_of(entry, steps) else None
        begun = self._begun(start, steps, scope)
        return begun[0] if begun is not None and _are_of(begun[0], begun[2]) else None

    def written(self, row: Row, call: Node, node: Node) -> Query | None:
        """The statement by which the call writes the row."""
        method = method_of(call)
        model, own = row.entry.model, row.entry.declaration.own_writes
        if method not in WRITES or method in own or method.removesuffix("!") in own:
            return None
        if method.startswith(("destroy", "delete")):
            return _by_key(Query("delete", model)) if row.new is not True and not arguments_of(call) else None
        changed, whole = self._changed(node, row)
        if method in ("save", "save!"):
            if row.new is None and not changed and whole:
                return None
            query = Query("insert" if row.new else "update", model)
            query.partial.add(COLUMNS)
        else:
            query = Query("update", model)
        if query.verb == "insert":
            query.written |= dict.fromkeys(row.keys)
        _write(query, row.made)
        for name in changed:
            _write_one(query, name)
        if method in ("update_attribute", "update_column"):
            _write_one(query, name_of(next(iter(arguments_of(call)), None)) or "")
        elif method not in ("save", "save!", "touch"):
            _write(query, call)
            query.partial |= {COLUMNS} if arguments_of(call) else set()
        if query.verb == "update":
            if column_of(model, "updated_at") and not method.startswith("update_column"):
                query.written["updated_at"] = None
            _by_key(query)
        return query if query.written or query.partial else None

    def _changed(self, node: Node, row: Row) -> tuple[list[str], bool]:
        """The attributes that the method sets before, and whether these are all."""
        method = function_around(node)
        begin = row.made.start_byte if row.made is not None else method.start_byte if method is not None else 0
        code = whole_text(method).encode("utf-8", "replace")
        offset = method.start_byte if method is not None else 0
        before = code[max(begin - offset, 0) : max(node.start_byte - offset, 0)].decode("utf-8", "replace")
        name = re.escape(text(node))
        found = re.findall(rf"(?<![\w.@]){name}\.(\w+)\s*(?:\|\||[-+])?=(?![=~>])", before)
        together = re.findall(
            rf"(?<![\w.@]){name}\.(?:assign_attributes\b|attributes\s*=(?![=~>]))(\([^()]*(?:\([^()]*\)[^()]*)*\)|[^()\n]*)",
            before,
        )
        for listed in together:
            found += re.findall(r"(?:^\s*[({]*|,|\{)\s*(\w+):(?!:)", listed)
        return [entry for entry in found if entry != "attributes"], not together


def _chain(value: Node) -> tuple[Node, list[tuple[str, Node]]]:
    """What a chain of calls begins with, and its steps."""
    start = value
    for _ in range(_MAXIMUM_DEPTH):
        receiver = field(start, "receiver") if start.type == "call" else None
        if receiver is None:
            break
        start = receiver
    return start, [step for step in chain_above(start)[1] if step[1].end_byte <= value.end_byte]


def _are_of(entry: Entry, steps: list[tuple[str, Node]]) -> bool:
    """Whether the relation still brings rows of the class after the steps."""
    return all(name in _STAYS or (name in entry.scopes and name not in STEPS) for name, _ in steps)


def _one(entry: Entry, attribute: str) -> ModelRelation | None:
    return next((link for link in entry.model.relations if link.attribute == attribute and not link.many), None)


def _finds(method: str) -> bool:
    return method in _FINDS or method.startswith(("find_by_", "find_signed"))


def _within(entry: Entry, scope: str) -> bool:
    """Whether code in that scope names the class by its last part."""
    module = entry.declaration.name.rpartition("::")[0]
    return scope == module or scope.startswith(f"{module}::")


def _write(query: Query, call: Node | None) -> None:
    entries, whole = entries_of(call) if call is not None else ({}, True)
    for name in entries:
        _write_one(query, name)
    query.partial |= set() if whole else {COLUMNS}


def _write_one(query: Query, name: str) -> None:
    link = _link(query.model, name)
    keys = [column.name for column in query.model.columns if column.primary_key]
    if name == "id" and len(keys) > 1:
        query.written |= dict.fromkeys(keys)
        return
    query.write(link if link is not None and column_of(query.model, name) is None else name)


def _link(model: Model, name: str) -> str | None:
    """The column of a `belongs_to` of that name."""
    links = (link for link in model.relations if link.attribute == name and len(link.columns) == 1)
    return next((link.columns[0] for link in links), None)


def _by_key(query: Query) -> Query:
    keys = [column.name for column in query.model.columns if column.primary_key]
    query.where += [f"{quoted(query.alias)}.{quoted(name)} = {VALUE}" for name in keys]
    query.partial |= set() if keys else {WHERE}
    return query
