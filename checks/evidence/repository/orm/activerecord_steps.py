"""What each method of an ActiveRecord relation adds to its statement."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository import languages
from checks.evidence.repository.facts import Model
from checks.evidence.repository.orm import fragments
from checks.evidence.repository.orm.activerecord_clauses import AGGREGATES, Clauses
from checks.evidence.repository.orm.activerecord_declarations import DEFAULT_SCOPE
from checks.evidence.repository.orm.query import (
    COLUMNS,
    EVERYTHING,
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
from checks.evidence.repository.orm.ruby import arguments_of, chain_above, entries_of, method_of, name_of, string_of
from checks.evidence.repository.orm.syntax import field, named, text

# Methods that return records or a value: the statement is sent with these.
SENDS = frozenset(
    "find find_by find_by! find_sole_by sole first first! last last! take take! second third pluck pick ids count sum minimum "
    "maximum average exists? any? none? empty? many? one? size length to_a to_ary records load each each_with_index "
    "each_with_object map flat_map find_each find_in_batches in_batches index_by group_by to_set create create! insert insert! "
    "insert_all insert_all! upsert upsert_all update_all touch_all delete_all destroy_all delete_by destroy_by find_or_create_by "
    "find_or_create_by! find_or_initialize_by first_or_create first_or_create! first_or_initialize create_or_find_by "
    "create_or_find_by! filter_map reduce inject collect reject present? blank? update_counters "
    "find_by_token_for find_by_token_for! find_signed find_signed!".split()
)
_HARMLESS = frozenset(
    "all includes preload readonly strict_loading unscoped extending annotate friendly load_async optimizer_hints to_a to_ary "
    "records load each each_with_index each_with_object map flat_map index_by group_by to_set size length filter_map reduce "
    "inject collect reject present? blank?".split()
)
_ADDS = frozenset(
    "where not rewhere or and joins left_joins left_outer_joins eager_load references order reorder in_order_of limit offset "
    "select distinct group having lock merge none from with reverse_order unscope page per".split()
)
STEPS = SENDS | _HARMLESS | _ADDS
_FIRST = {"first": 1, "first!": 1, "last": -1, "last!": -1, "second": 1, "third": 1}
_UNREAD = {
    "or": {WHERE}, "and": {WHERE}, "merge": {WHERE, JOINS, ORDER}, "references": {JOINS, COLUMNS}, "eager_load": {JOINS, COLUMNS},
    "distinct": {EXPRESSIONS}, "group": {EXPRESSIONS}, "having": {EXPRESSIONS}, "none": {WHERE}, "from": set(EVERYTHING),
    "with": set(EVERYTHING), "reverse_order": {ORDER}, "in_order_of": {ORDER}, "unscope": set(EVERYTHING),
}  # fmt: skip
_MAXIMUM_DEPTH = 4
# A value of such a name is a list more often than not.
_MANY = re.compile(
    r"(?:(?:\b|_)ids|[a-z](?<![sui])(?<!param)s|_list|\.(?:pluck|map|ids|keys|values|to_a|uniq|compact)\b(?:\([^()]*\))?)$"
)

# What ends with one of these is a relation, whatever it begins with.
_GIVES_ROWS = frozenset(["select", "where", "joins", "order", "limit", "distinct"])
# With a block these load the rows and ask them.
_THROUGH = frozenset("any? none? many? one? count sum find".split())
# A variable of such a name is one key.
_ONE = re.compile(r"(?:^|_)(?:id|uuid|key|slug|token|param|value|number)$")


def _has_block(call: Node) -> bool:
    given = field(call, "arguments")
    return field(call, "block") is not None or any(child.type == "block_argument" for child in named(given))


def _has_splat(call: Node) -> bool:
    return any(child.type == "splat_argument" for child in named(field(call, "arguments")))


class Steps(Clauses):
    """Applies methods to one query."""

    by_slug = False

    def apply(self, name: str, call: Node) -> None:
        query = self.query
        arguments = arguments_of(call)
        if name in _THROUGH and _has_block(call):
            # It goes through the rows.
            return
        if name == "friendly":
            self.by_slug = True
            return
        if name == "in_order_of" and arguments and (column := query.column(name_of(arguments[0]) or "")):
            query.where.append(f"{column} IN ({VALUE})")
            query.partial.add(ORDER)
        elif name in _UNREAD:
            query.partial |= _UNREAD[name]
        elif name in (
            "where",
            "not",
            "rewhere",
            "find_by",
            "find_by!",
            "find_sole_by",
            "exists?",
            "delete_by",
            "destroy_by",
        ):
            self._where(name, call, arguments)
        elif name in ("find_or_create_by", "find_or_create_by!", "find_or_initialize_by"):
            self._where(name, call, arguments)
            query.limit = 1
        elif name in ("first_or_create", "first_or_create!", "first_or_initialize") or name in _FIRST:
            self._first(_FIRST.get(name, 1), arguments)
        elif name == "find":
            self._find(arguments)
        elif name.startswith(("find_by_token_for", "find_signed")):
            self._find(arguments[:1])
        elif name in ("take", "take!", "sole", "pick"):
            query.partial |= {COLUMNS} if name == "pick" and _has_splat(call) else set()
            query.limit = 1
            self._columns(arguments if name == "pick" else [])
        elif name in ("select", "pluck"):
            query.partial |= {COLUMNS} if field(call, "block") is not None or _has_splat(call) else set()
            self._columns(arguments)
        elif name == "ids":
            query.columns = [column for key in self._keys() if (column := query.column(key))]
        elif name in ("joins", "left_joins", "left_outer_joins"):
            self._join("JOIN" if name == "joins" else "LEFT JOIN", call, arguments)
        elif name in ("order", "reorder"):
            self._order(name, call, arguments)
        elif name == "limit":
            query.take(text(arguments[0]) if arguments else "")
        elif name == "offset":
            query.offset = True
        elif name in ("page", "per"):
            # As Kaminari does it.
            query.limit, query.offset = VALUE, True
        elif name == "lock":
            query.suffix = " FOR UPDATE"
        elif name in ("find_each", "find_in_batches", "in_batches"):
            query.order = [column for key in self._keys() if (column := query.column(key))]
            query.limit = VALUE
        elif name in AGGREGATES or name == "count":
            self._aggregate(name, arguments)
        elif name == "size":
            query.columns, query.order = ["count(*)"], []
        elif name in ("any?", "none?", "empty?", "many?", "one?"):
            query.columns, query.limit = ["1"], 1
        else:
            self._write(name, call, arguments)

    def scope(self, name: str) -> None:
        """What a scope of the class adds, where its lambda is simple: parsed on its own, for it stands in another file."""
        body = self.entry.scopes[name]
        root = languages.parser("rb").parse(body.encode("utf-8", "replace")).root_node
        inner = named(root)
        steps: list[tuple[str, Node]] = []
        node: Node | None = inner[0] if len(inner) == 1 else None
        while node is not None and node.type == "call":
            steps.insert(0, (method_of(node), node))
            node = field(node, "receiver")
        if node is not None and node.type == "identifier":
            # `where.not(...)`, or another scope.
            steps = steps if text(node) in ("where", "all") else [(text(node), node), *steps]
            node = None
        known = all(step in _ADDS or step in self.entry.scopes for step, _ in steps)
        if node is not None or not steps or len(steps) > 20 or not known or self.depth > _MAXIMUM_DEPTH:
            self.query.partial |= {WHERE, ORDER} if name == DEFAULT_SCOPE else EVERYTHING - {COLUMNS}
            return
        self.depth += 1
        for step, adds in steps:
            if step in _ADDS:
                self.apply(step, adds)
            else:
                self.scope(step)
        self.depth -= 1

    def _where(self, name: str, call: Node, arguments: list[Node]) -> None:
        query = self.query
        negated = name == "not"
        for argument in arguments[:1]:
            code = string_of(argument)
            if code is None and argument.type == "array" and named(argument):
                code = string_of(named(argument)[0])
            if code is None and name == "exists?":
                self._find([argument])
                continue
            condition = fragments.condition(code) if code is not None else None
            query.filter(f"NOT ({condition})" if negated and condition else condition)
        entries, whole = entries_of(call)
        query.partial |= set() if whole else {WHERE}
        if any(child.type == "splat_argument" for child in named(field(call, "arguments"))):
            query.partial.add(WHERE)
        if len(entries) > 1 and negated:
            query.partial.add(WHERE)
        elif not arguments:
            for key, value in entries.items():
                query.filter(self._compared(query.model, query.alias, key, value, negated=negated))
        if name == "exists?":
            query.columns, query.limit = ["1"], 1
        elif name.startswith("find_by"):
            query.limit = 1

    def _compared(self, model: Model, alias: str, key: str, value: Node, *, negated: bool) -> str | None:
        table, _, attribute = key.rpartition(".")
        if table and table != model.table:
            return self._value(f"{quoted(table)}.{quoted(attribute)}", value, negated=negated)
        column = column_of(model, attribute)
        if column is None:
            link = next((link for link in model.relations if link.attribute == attribute), None)
            if link is not None and len(link.columns) == 1 and value.type != "hash":
                column = column_of(model, link.columns[0])
        if column is not None and value.type != "hash":
            return self._value(f"{quoted(alias)}.{quoted(column.name)}", value, negated=negated)
        if value.type != "hash" or negated:
            return None
        return self._of_joined(key, value)

    def _of_joined(self, key: str, value: Node) -> str | None:
        """`where(users: { name: name })`: columns of a table that is joined."""
        entries, whole = entries_of(value)
        link = next((link for link in self.query.model.relations if link.attribute == key), None)
        target = self.classes.find(link.target, self.query.model.name) if link is not None else None
        table = target.model.table if target is not None else key
        found = []
        for name, inner in entries.items():
            if inner.type == "hash":
                return None
            column = column_of(target.model, name) if target is not None else None
            if target is not None and column is None:
                return None
            found.append(
                self._value(f"{quoted(table)}.{quoted(column.name if column else name)}", inner, negated=False)
            )
        known = [condition for condition in found if condition is not None]
        return " AND ".join(known) if whole and known and len(known) == len(found) else None

    def _value(self, column: str, value: Node, *, negated: bool) -> str | None:
        code = text(value)
        if code == "nil":
            return f"{column} IS {'NOT ' * negated}NULL"
        if value.type == "range":
            return self._in_range(column, value, negated=negated)
        if value.type == "call" and self._is_subquery(value):
            inner = self._subquery(value)
            return f"{column} {'NOT ' * negated}IN ({inner})" if inner is not None else None
        if value.type == "call" and method_of(value) in _GIVES_ROWS:
            return None
        if value.type in ("array", "string_array", "symbol_array") or (
            value.type in ("identifier", "call", "instance_variable", "constant") and _MANY.search(code)
        ):
            if value.type == "array" and any(text(entry) == "nil" for entry in named(value)):
                return None
            return f"{column} {'NOT ' * negated}IN ({VALUE})"
        if value.type == "splat_argument":
            return None
        return f"{column} {'<>' if negated else '='} {VALUE}"

    def _in_range(self, column: str, value: Node, *, negated: bool) -> str | None:
        begin, end = field(value, "begin"), field(value, "end")
        if negated:
            return None
        if begin is not None and end is not None:
            return (
                f"{column} BETWEEN {VALUE} AND {VALUE}"
                if "..." not in text(value)
                else f"{column} >= {VALUE} AND {column} < {VALUE}"
            )
        if begin is not None:
            return f"{column} >= {VALUE}"
        return f"{column} {'<' if '...' in text(value) else '<='} {VALUE}"

    def _is_subquery(self, value: Node) -> bool:
        node: Node | None = value
        steps = []
        while node is not None and node.type == "call":
            steps.append(method_of(node))
            node = field(node, "receiver")
        is_class = (
            node is not None
            and node.type in ("constant", "scope_resolution")
            and self.classes.find(text(node)) is not None
        )
        return is_class and not any(step in SENDS - {"select"} for step in steps)

    def _subquery(self, value: Node) -> str | None:
        """The SQL of a relation that stands as a value; None where a part of it cannot be read."""
        start = value
        while (receiver := field(start, "receiver")) is not None and start.type == "call":
            start = receiver
        entry = self.classes.find(text(start))
        if entry is None or entry.inherits or entry.declaration.has_default_scope or self.depth > _MAXIMUM_DEPTH:
            return None
        query = Query("select", entry.model)
        keys = [column.attribute for column in entry.model.columns if column.primary_key]
        query.columns = [column for key in keys if (column := query.column(key))]
        inner = Steps(query, entry, self.classes, self.depth + 1)
        for name, call in chain_above(start)[1]:
            if call.end_byte > value.end_byte:
                break
            if name in entry.scopes and name not in STEPS:
                inner.scope(name)
            elif name in STEPS:
                inner.apply(name, call)
            else:
                return None
        return query.sql() if not query.partial and len(query.columns or ()) == 1 else None

    def _find(self, arguments: list[Node]) -> None:
        query, keys = self.query, self._keys()
        if self.by_slug:
            # FriendlyId asks by another column, or by the key.
            query.partial.add(WHERE)
            query.limit = 1
            return
        if (
            len(keys) > 1
            and len(arguments) == 1
            and (
                arguments[0].type == "call" or (arguments[0].type == "array" and len(named(arguments[0])) == len(keys))
            )
        ):
            query.where += [f"{column} = {VALUE}" for key in keys if (column := query.column(key))]
            query.limit = 1
            return
        column = query.column(keys[0]) if len(keys) == 1 else None
        if column is None or len(arguments) != 1:
            query.partial |= {WHERE, LIMIT}
            return
        code = text(arguments[0])
        if arguments[0].type == "array" or (arguments[0].type == "identifier" and _MANY.search(code)):
            query.where.append(f"{column} IN ({VALUE})")
            return
        if arguments[0].type == "identifier" and not _ONE.search(code):
            query.where.append(f"{column} IN ({VALUE})")
            query.partial.add(LIMIT)
            return
        query.where.append(f"{column} = {VALUE}")
        query.limit = 1
