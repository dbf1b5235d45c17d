"""What the methods of repositories give and send: `self.get_base_statement()`, `users.get_by_id(id)`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.python_chains import HARMLESS, UNREAD, Step, mentions_of, root_of, steps_above
from checks.evidence.repository.orm.python_imports import imported_from
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name
from checks.evidence.repository.orm.query import EVERYTHING, Query
from checks.evidence.repository.orm.sqlalchemy_holders import Holder, Holders
from checks.evidence.repository.orm.sqlalchemy_steps import filter_by_key
from checks.evidence.repository.orm.sqlalchemy_subqueries import begin_of
from checks.evidence.repository.orm.syntax import Source, field, named, text, unwrapped, whole_text

_MODEL_NAMES = re.compile(r"model|entity|orm", re.IGNORECASE)
_CONSTANTS = frozenset(["True", "False", "None", "()", "[]"])
_SENDS = frozenset("all first one one_or_none scalar count delete update get get_or_404 first_or_404 paginate".split())
_BLOCKS = frozenset(
    "for_statement while_statement try_statement with_statement else_clause elif_clause except_clause".split()
)
_MAXIMUM_DEPTH = 6
_MAXIMUM_NESTING = 20


class Held(NamedTuple):
    """What `self` is in code: an instance of that class. `owner` has the code, and `bound` the constants that its parameters
    stand for."""

    holder: Holder
    owner: Holder
    bound: dict[str, str]
    depth: int = 0


class Reads(NamedTuple):
    """How the reader of the file reads: the query of a call of select(...) or query(...) with its steps, what steps add, and
    readers of other code for an instance of a class, that give its calls or what one of its functions gives."""

    built: Callable[[Node, list[Step]], Query | None]
    apply: Callable[[Query, list[Step]], None]
    calls: Callable[[Source, Held], list[OrmCall]]
    given: Callable[[Source, Node, Held], Query | None]


class Methods:
    """`names` are what the file imports, by local name; `held` is None for a file as it stands in the repository."""

    def __init__(
        self, source: Source, models: Models, holders: Holders, names: dict[str, str], held: Held | None, reads: Reads
    ) -> None:
        self._source = source
        self._models = models
        self._holders = holders
        self._names = names
        self._held = held
        self._reads = reads
        self._modules = imported_from(source.file.text)
        self._own = set(re.findall(r"^class\s+(\w+)", source.file.text, re.MULTILINE))
        # The last call that was asked about, for it is asked about in several ways.
        self._last: tuple[Node | None, tuple[str, Held] | None] = (None, None)

    def model(self, attribute: Node) -> tuple[Model, str] | None:
        """The model that `self.model` stands for."""
        held = self._self(attribute)
        model = self._model(held.holder, text(field(attribute, "attribute"))) if held is not None else None
        return (model, model.table) if model is not None else None

    def given(self, call: Node, function: Node | None) -> Query | None:
        """The statement that the call of a method gives."""
        found = self._called(call, function)
        if found is None or found[1].depth > _MAXIMUM_DEPTH:
            return None
        name, held = found
        method = held.owner.methods[name]
        code = self._holders.code(held.owner, name) if not method.waits and "return" in method.code else None
        return self._reads.given(code[0], code[1], held) if code is not None else None

    def sent(self, call: Node, function: Node | None) -> list[OrmCall]:
        """What a method sends that the class has from a base for any model."""
        found = self._called(call, function)
        if found is None or found[1].depth > _MAXIMUM_DEPTH:
            return []
        name, held = found
        if not self._is_inherited(held):
            return []
        key = (held.holder.path, held.holder.name, held.owner.name, name, *sorted(held.bound.items()))
        if key not in self._holders.told:
            self._holders.told[key] = []
            code = self._holders.code(held.owner, name)
            self._holders.told[key] = self._reads.calls(code[0], held) if code is not None else []
        location = self._source.location(call)
        return [msgspec.structs.replace(told, location=location) for told in self._holders.told[key]]

    def row(self, call: Node, function: Node | None) -> tuple[Model, str] | None:
        """The model of the rows that the method says it returns."""
        receiver = field(field(call, "function") or call, "object")
        holder = self._class_of(unwrapped(receiver), function, 0) if receiver is not None else None
        for entry in self._holders.line(holder) if holder is not None else ():
            if holder is not None and (said := entry.returns.get(call_name(call))) is not None:
                model = self._models.find(entry.names.get(said, said), entry.path)
                if model is None and _is_parameter(said, entry):
                    model = self._model(holder, "model")
                return (model, model.table) if model is not None else None
        return None

    def adds(self, call: Node, function: Node | None) -> bool:
        """Whether the method does with its first argument what a session's add() does."""
        return self._does(call, function, r"\.add\(\s*{}\s*[,)]")

    def changed(self, call: Node, function: Node | None) -> Query | None:
        """The update of a row that a method makes which sets attributes of its first argument by name."""
        found = self._called(call, function)
        model = self._model(found[1].holder, "model") if found is not None else None
        if model is None or not self._does(call, function, r"\bsetattr\(\s*{}\s*,"):
            return None
        query = Query("update", model)
        for value in arguments_of(call)[1].values():
            for pair in named(value) if value.type == "dictionary" else ():
                key = field(pair, "key")
                query.write(text(key).strip("\"'") if key is not None and key.type == "string" else "")
        if not query.written:
            query.partial.add("columns")
        filter_by_key(query)
        return query

    def _does(self, call: Node, function: Node | None, pattern: str) -> bool:
        found = self._called(call, function)
        if found is None or not self._is_inherited(found[1]):
            return False
        code = found[1].owner.methods[found[0]].code
        first = re.match(r"[^(]*\(\s*self\s*,\s*(?!\*)(\w+)", code)
        return first is not None and re.search(pattern.format(re.escape(first.group(1))), code) is not None

    def _is_inherited(self, held: Held) -> bool:
        """Whether the class that has the method knows no model of its own, and the one that is asked does."""
        return self._model(held.holder, "model") is not None and self._model(held.owner, "model") is None

    def _model(self, holder: Holder, attribute: str) -> Model | None:
        line = self._holders.line(holder)
        said = [(entry, entry.attributes[attribute]) for entry in line if attribute in entry.attributes]
        if _MODEL_NAMES.search(attribute):
            said += [(entry, name) for entry in line for name in entry.given]
            said += [
                (entry, value) for entry in line for key, value in entry.attributes.items() if key.endswith("model")
            ]
        found = (self._models.find(entry.names.get(name, name), entry.path) for entry, name in said)
        return next((model for model in found if model is not None), None)

    def _called(self, call: Node, function: Node | None) -> tuple[str, Held] | None:
        """The method that the call means: its name, and what `self` is within."""
        if self._last[0] != call:
            self._last = (call, self._meant(call, function))
        return self._last[1]

    def _meant(self, call: Node, function: Node | None) -> tuple[str, Held] | None:
        receiver = field(field(call, "function") or call, "object")
        if receiver is None:
            return None
        name = call_name(call)
        if text(receiver) == "super()":
            held = self._self(call)
            after = held.owner if held is not None else None
            holder = held.holder if held is not None else None
        else:
            holder, after = self._class_of(unwrapped(receiver), function, 0), None
        found = self._holders.method(holder, name, after) if holder is not None else None
        if holder is None or found is None:
            return None
        depth = self._held.depth + 1 if self._held is not None else 0
        return name, Held(holder, found[0], self._bound(found[0], name, call), depth)

    def _self(self, node: Node) -> Held | None:
        if self._held is not None:
            return self._held
        current = node.parent
        while current is not None and current.type != "class_definition":
            current = current.parent
        name = text(field(current, "name")) if current is not None else ""
        holder = self._holders.find(name, self._source.file.path)
        return Held(holder, holder, {}) if holder is not None and holder.path == self._source.file.path else None

    def _class_of(self, receiver: Node, function: Node | None, depth: int) -> Holder | None:
        """The class of `self`, of a variable, of `Users(session)` and `Users.from_session(session)`."""
        path = self._source.file.path
        if depth > _MAXIMUM_DEPTH:
            return None
        if receiver.type == "call":
            called = field(receiver, "function")
            while called is not None and called.type == "attribute":
                if text(called)[:1].isupper() and (inner := field(called, "object")) is not None:
                    called = inner
                else:
                    return None
            return self._named(text(called)) if called is not None and called.type == "identifier" else None
        if receiver.type == "attribute":
            name = text(field(receiver, "attribute"))
            if text(field(receiver, "object")) in ("self", "cls"):
                made = re.search(
                    rf"\bself\.{re.escape(name)}\s*(?::[^=\n]+)?=\s*([A-Z]\w*)[.(]|^[ \t]+{re.escape(name)}\s*:\s*([A-Z]\w*)\s*$",
                    self._source.file.text,
                    re.MULTILINE,
                )
                return self._named(made.group(1) or made.group(2)) if made else None
            return self._holders.instance(name, path)
        if receiver.type != "identifier":
            return None
        name = text(receiver)
        if name in ("self", "cls"):
            held = self._self(receiver)
            return held.holder if held is not None else None
        if function is not None:
            value = None
            for node in mentions_of(function).get(name, []):
                if node.start_byte >= receiver.start_byte:
                    break
                value = field(node, "right") if node.type == "assignment" else value
            if value is not None:
                value = unwrapped(value)
                return self._class_of(value, function, depth + 1) if value.type in ("call", "identifier") else None
            hint = re.search(
                rf"[(,]\s*{re.escape(name)}\s*:\s*(?:Annotated\[\s*)?[\"']?(?:\w+\.)*([A-Za-z_]\w*)",
                whole_text(field(function, "parameters")),
            )
            if hint:
                return self._named(hint.group(1))
        return self._named(name) or self._holders.instance(self._names.get(name, name), path)

    def _named(self, name: str) -> Holder | None:
        if name not in self._names and name not in self._own:
            return None
        return self._holders.find(self._names.get(name, name), self._source.file.path, self._modules.get(name, ""))

    def _bound(self, owner: Holder, name: str, call: Node) -> dict[str, str]:
        """By parameter the constant that it has in this call; an empty text is some other value."""
        code = self._holders.code(owner, name)
        bound: dict[str, str] = {}
        positions: list[str] = []
        for parameter in named(field(code[1], "parameters")) if code is not None else []:
            if parameter.type in ("default_parameter", "typed_default_parameter"):
                bound[text(field(parameter, "name"))] = self._constant(field(parameter, "value"), of_call=False)
                positions.append(text(field(parameter, "name")))
            elif parameter.type in ("identifier", "typed_parameter"):
                positions.append(text(parameter).partition(":")[0].strip())
        positional, keywords = arguments_of(call)
        given = dict(zip(positions[1:], positional, strict=False)) | keywords
        return bound | {key: self._constant(value) for key, value in given.items()}

    def _constant(self, value: Node | None, *, of_call: bool = True) -> str:
        code = text(value)
        if of_call and self._held is not None and code in self._held.bound:
            return self._held.bound[code]
        return code if code in _CONSTANTS else ""

    # What a function gives

    def result(self, function: Node) -> Query | None:
        """The statement that the function returns for the constants that its parameters stand for; what only sometimes is added
        is said to be partial."""
        running = _Running({})
        self._block(named(field(function, "body")), function, running, 0)
        return running.result

    def _block(self, statements: list[Node], function: Node, running: _Running, nesting: int) -> None:
        for statement in statements:
            if running.done or nesting > _MAXIMUM_NESTING:
                return
            if statement.type == "expression_statement" and statement.children[0].type == "assignment":
                self._assigned(statement.children[0], function, running)
            elif statement.type == "if_statement":
                self._if(statement, function, running, nesting)
            elif statement.type == "return_statement":
                value = next(iter(named(statement)), None)
                made = self._chain(value, function, running) if value is not None else None
                if running.sometimes:
                    running.differs = True
                elif made is not None:
                    self._reads.apply(made[0], made[1])
                    made[0].partial |= EVERYTHING if running.differs else set()
                    running.result = made[0]
                running.done = not running.sometimes
            elif statement.type in _BLOCKS:
                before, running.sometimes = running.sometimes, running.sometimes or statement.type != "with_statement"
                for block in [child for child in named(statement) if child.type == "block" or child.type in _BLOCKS]:
                    inner = named(block) if block.type == "block" else [block]
                    self._block(inner, function, running, nesting + 1)
                running.sometimes = before

    def _assigned(self, assignment: Node, function: Node, running: _Running) -> None:
        name, value = text(field(assignment, "left")), field(assignment, "right")
        made = self._chain(value, function, running) if value is not None else None
        if running.sometimes:
            if name in running.variables:
                known = made is not None and made[0] is running.variables[name]
                for step, _ in made[1] if known and made is not None else ():
                    running.variables[name].partial |= UNREAD.get(step, set() if step in HARMLESS else set(EVERYTHING))
                running.variables[name].partial |= set() if known else EVERYTHING
            return
        if made is None:
            if name in running.variables:
                running.variables[name].partial |= EVERYTHING
            return
        for other in [key for key, query in running.variables.items() if query is made[0] and key != name]:
            # It goes on under another name.
            del running.variables[other]
        self._reads.apply(made[0], made[1])
        running.variables[name] = made[0]

    def _if(self, statement: Node, function: Node, running: _Running, nesting: int) -> None:
        known = self._test(field(statement, "condition"))
        consequence = named(field(statement, "consequence"))
        others = statement.children_by_field_name("alternative")
        before = running.sometimes
        if known is None:
            running.sometimes = True
        if known is not False:
            self._block(consequence, function, running, nesting + 1)
        if known is not True:
            running.sometimes = (
                running.sometimes or len(others) > 1 or any(each.type == "elif_clause" for each in others)
            )
            for other in others:
                block = field(other, "consequence") or field(other, "body")
                self._block(named(block), function, running, nesting + 1)
        running.sometimes = before

    def _test(self, condition: Node | None) -> bool | None:
        match = re.fullmatch(r"(not\s+)?(\w+)(\s+is\s+(not\s+)?None)?", text(condition))
        bound = self._held.bound.get(match.group(2), "") if match and self._held is not None else ""
        if match is None or not bound:
            return None
        value = (bound == "None") != bool(match.group(4)) if match.group(3) else bound == "True"
        return value != bool(match.group(1))

    def _chain(self, value: Node, function: Node, running: _Running) -> tuple[Query, list[Step]] | None:
        """A statement that the function has, or makes, and the steps that are to be applied to it."""
        value = unwrapped(value)
        root = root_of(value)
        if root is not None and text(root) in running.variables:
            steps = [step for step in steps_above(root) if step[1].end_byte <= value.end_byte]
            return running.variables[text(root)], steps
        begin = begin_of(value) if value.type == "call" else None
        if begin is None:
            return None
        steps = [step for step in steps_above(begin) if step[1].end_byte <= value.end_byte]
        if text(begin) == "super()" and steps:
            begin, steps = steps[0][1], steps[1:]
        query = self.given(begin, function)
        if any(step in _SENDS for step, _ in steps):
            return None
        if query is None and call_name(begin) in ("select", "query"):
            return (made, []) if (made := self._reads.built(begin, steps)) is not None else None
        return (query, steps) if query is not None else None


def _is_parameter(name: str, holder: Holder) -> bool:
    """Whether the name is one of the class's type parameters."""
    return name in holder.given or name.isupper() or (len(name) == 1) or name.endswith("Type")


class _Running:
    """`sometimes` while statements are read that do not always run, `differs` once one of those has returned."""

    def __init__(self, variables: dict[str, Query]) -> None:
        self.variables = variables
        self.sometimes = self.differs = self.done = False
        self.result: Query | None = None
