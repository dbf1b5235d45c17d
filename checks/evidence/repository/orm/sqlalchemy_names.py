"""What the names in a function stand for that speaks SQLAlchemy: models, their aliases, columns and queries."""

from __future__ import annotations

import re

from tree_sitter import Node

from checks.evidence.repository.facts import Model, OrmCall
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.python_chains import mentions_of
from checks.evidence.repository.orm.python_expressions import Expressions
from checks.evidence.repository.orm.python_imports import imported_names
from checks.evidence.repository.orm.query import LIMIT, ORDER, Query
from checks.evidence.repository.orm.sqlalchemy_steps import Steps
from checks.evidence.repository.orm.sqlalchemy_subqueries import Build, Subqueries
from checks.evidence.repository.orm.sqlalchemy_variables import Variables
from checks.evidence.repository.orm.syntax import Source, field, function_name, text, whole_text

# A class that the file writes with its module: `models.User`.
_MEMBER = re.compile(r"\b[a-z_][a-z0-9_]*\.([A-Za-z_]\w*)")
# What an expression over columns looks like: `models.User.id`, `func.lower(User.name)`, `User.id.label("key")`.
_OF_COLUMN = re.compile(
    r"^(?:(?:\w+\.)*[A-Z]\w*\.[a-z_]\w*|\w+\.c\.\w+|(?:\w+\.)?func\.\w+\(.*\))(?:\.label\([^()]*\))?$", re.DOTALL
)
# A model by another name: `post = models.Post`.
_RENAMED = re.compile(r"^[ \t]+(\w+)[ \t]*=[ \t]*((?:[a-z_]\w*\.)?[A-Z]\w*)[ \t]*$", re.MULTILINE)
# A function's result of such a name is a query more often than a value.
_QUERY_NAMES = re.compile(r"(?:quer(?:y|ies)|subq|stmt|statement|cte|select)$")


class Names:
    """Knows the names of one file, and notes the statements that are found in it. `build` makes the query of a call of
    select(...) and its further steps."""

    def __init__(self, source: Source, models: Models, build: Build) -> None:
        self.source = source
        self.models = models
        self.names = imported_names(source.file.text)
        self.own = set(re.findall(r"^(?:class\s+(\w+)|(\w+)\s*=\s*Table\()", source.file.text, re.MULTILINE))
        self.members = set(_MEMBER.findall(source.file.text))
        self.function: Node | None = None
        self.aliases: dict[str, tuple[Model, str]] = {}
        self.expressions = Expressions(self.entity, self.is_query)
        self.steps = Steps(self.expressions, models, source.file.path)
        self.subqueries = Subqueries(source, models, self.expressions, build)
        self.expressions.subselect = lambda node: self.subqueries.inline(node, self.function)
        self.expressions.existing = self._existing
        self.expressions.assigned = self._column_in
        self.variables = Variables(source, self.expressions, models)
        self.calls: list[OrmCall] = []

    def entity(self, name: str) -> tuple[Model, str] | None:
        if name in self.aliases:
            return self.aliases[name]
        original = self.names.get(name)
        if original is None and not any(name in pair for pair in self.own):
            if found := self.subqueries.entity(name, self.function):
                return found
            original = name if self.source.file.text.find("import *") >= 0 else None
            if original is None and name not in self.members:
                return None
        model = self.models.find(original or name, self.source.file.path)
        return (model, model.table) if model else None

    def is_query(self, name: str) -> bool:
        """Whether a variable of the function is a query or a piece of one."""
        if self.function is None or _QUERY_NAMES.search(name):
            return _QUERY_NAMES.search(name) is not None
        made = rf"\b{re.escape(name)}\s*(?::[^=\n]*)?=\s*\(?\s*(?:\w+\.)*"
        pattern = made + r"(?:select|exists|aliased|text|case|func|literal_column|query)\b"
        return bool(re.search(pattern, whole_text(self.function)))

    def _aliases(self) -> dict[str, tuple[Model, str]]:
        found: dict[str, tuple[Model, str]] = {}
        code = whole_text(self.function)
        for match in re.finditer(
            r"\b(\w+)\s*=\s*(?:\w+\.)?(aliased|with_polymorphic)\(\s*(?:\w+\.)*([A-Za-z_]\w*)", code
        ):
            self.aliases = {}
            if target := self.entity(match.group(3)):
                found[match.group(1)] = (target[0], match.group(1) if match.group(2) == "aliased" else target[1])
        for match in _RENAMED.finditer(code):
            self.aliases = {}
            if match.group(1) not in found and (target := self.entity(match.group(2).rpartition(".")[2])):
                found[match.group(1)] = target
        return found

    def _column_in(self, name: Node) -> Node | None:
        """The column, or the function of one, that a variable was given last before that place."""
        made = None
        for node in mentions_of(self.function).get(text(name), []) if self.function is not None else ():
            if node.start_byte >= name.start_byte:
                break
            if node.type == "assignment":
                made = field(node, "right")
        return (
            made if made is not None and made.type in ("attribute", "call") and _OF_COLUMN.search(text(made)) else None
        )

    def _existing(self, node: Node) -> str | None:
        if node.type == "call" and "exists" not in text(node):
            return None
        query = self.subqueries.existing(node, self.function)
        return query.sql() if query is not None else None

    def _finish(self, query: Query, node: Node, *, part: bool = False) -> None:
        for name, inner in self.subqueries.used(query.sql()).items():
            query.subqueries[name] = inner.sql()
            query.partial |= inner.partial - {ORDER, LIMIT}
        where = self.source.location(node)
        self.calls.append(query.finish(where, "sqlalchemy", function_name(self.function), part=part))
