"""Calls of Django's managers, querysets and models that send a statement."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.django_chains import chain_above, followed, reads
from checks.evidence.repository.orm.django_expressions import Expressions
from checks.evidence.repository.orm.django_paths import Paths, Project, key_of
from checks.evidence.repository.orm.django_rows import IDENTIFIER, Rows
from checks.evidence.repository.orm.django_steps import SENDS, Step, Steps, insert, plain_name
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name, string_of
from checks.evidence.repository.orm.query import COLUMNS, EVERYTHING, VALUE, WHERE, Query, column_of, quoted
from checks.evidence.repository.orm.syntax import Source, field, function_around, named, text, unwrapped

CANDIDATE = re.compile(
    r"\.objects\b|_manager\b|get_(?:object|list)_or_404|\.a?(?:save|delete|filter|get|exclude|all|create)\("
)
# Methods that put a queryset into another statement.
_NESTS = frozenset(
    "filter exclude get annotate Q Exists Subquery union intersection difference When Case Coalesce update order_by "
    "values get_object_or_404 get_list_or_404 aget_object_or_404 alias aggregate Count Sum ArraySubquery get_or_create".split()
)
_STATEMENTS_OF_TWO = frozenset(["get_or_create", "update_or_create"])
_MAXIMUM_NESTED = 5


def read_calls(source: Source, project: Project) -> list[OrmCall]:
    return _Reader(source, project).read()


class _Reader(Rows):
    def __init__(self, source: Source, project: Project) -> None:
        super().__init__(source, project)
        self.depth = 0
        self.told: set[int] = set()

    def read(self) -> list[OrmCall]:
        managers = "|".join(map(re.escape, sorted({*self.project.managers, "_default_manager", "_base_manager"})))
        for _, node in self.source.found(re.compile(rf"\b([A-Za-z_]\w*)\s*\.\s*(?:{managers})\b".encode()), IDENTIFIER):
            manager = node.parent
            if manager is not None and manager.type == "attribute" and field(manager, "attribute") == node:
                # `models.User.objects`: the class is the middle one.
                manager = manager.parent
            if manager is not None and manager.type == "attribute":
                self.function = function_around(node)
                if (model := self.model(node)) is not None:
                    self._chain(model, manager)
        shortcuts = re.compile(rb"\b(a?get_(?:object|list)_or_404)\s*\(")
        for match, node in self.source.found(shortcuts, IDENTIFIER):
            if node.parent is not None and node.parent.type == "call":
                self.function = function_around(node)
                self._shortcut(node.parent, match.group(1).decode())
        self._instances()
        return self.calls

    # Chains

    def _chain(self, model: Model, manager: Node) -> None:
        top, steps = chain_above(manager)
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
        _, steps = chain_above(start)
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
            return [], set() if isinstance(call, Node) and reads(call) else set(EVERYTHING)
        if parent.type == "assignment":
            left = field(parent, "left")
            if left is not None and left.type == "identifier" and self.function is not None:
                return followed(text(left), parent, self.function)
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
            steps = chain_above(start)[1]
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
