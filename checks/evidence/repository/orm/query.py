"""What an ORM call says, put together as SQL that PostgreSQL's grammar reads."""

from __future__ import annotations

import re

from checks.evidence.repository.facts import Model, ModelColumn, OrmCall
from checks.model import Location

# Stands for a value in a fragment until the whole statement is numbered.
VALUE = "\ue001"
# A value of a statement that is finished.
NUMBERED = re.compile(r"\$\d+")

WHERE, ORDER, LIMIT, COLUMNS, JOINS = "where", "order", "limit", "columns", "joins"
# An expression in the select list that could not be read: it may be an aggregate.
EXPRESSIONS = "expressions"
EVERYTHING = frozenset([WHERE, ORDER, LIMIT, COLUMNS, JOINS, EXPRESSIONS])


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def relation(model: Model) -> str:
    return f"{quoted(model.schema)}.{quoted(model.table)}" if model.schema else quoted(model.table)


def column_of(model: Model, attribute: str) -> ModelColumn | None:
    return next((column for column in model.columns if column.attribute == attribute), None)


class Query:
    """One statement in the making. `columns` are SQL expressions, None for all columns of the model; an unread part is added to
    `partial` by what it may change. `sets_on_update`: an update sets the columns that are set with every one."""

    def __init__(self, verb: str, model: Model, alias: str | None = None) -> None:
        self.verb = verb
        self.model = model
        self.alias = alias or model.table
        self.columns: list[str] | None = None
        self.joins: list[str] = []
        # The models of those joins that are known, with their aliases.
        self.joined: list[tuple[Model, str]] = []
        self.where: list[str] = []
        self.order: list[str] = []
        self.group: list[str] = []
        self.limit: int | str | None = None
        self.offset = False
        self.written: dict[str, None] = {}
        self.suffix = ""
        # By name what stands in its WITH.
        self.subqueries: dict[str, str] = {}
        self.sets_on_update = True
        self.partial: set[str] = set()

    def tables_named(self) -> set[str]:
        """The names that the statement has for the tables of its FROM."""
        joined = (re.search(r' AS "((?:[^"]|"")*)"(?: ON |$)', join) for join in self.joins)
        return {self.alias, *(match.group(1).replace('""', '"') for match in joined if match)}

    def column(self, attribute: str) -> str | None:
        """The model's column of that attribute, qualified."""
        column = column_of(self.model, attribute)
        return None if column is None else f"{quoted(self.alias)}.{quoted(column.name)}"

    def filter(self, condition: str | None) -> None:
        """Adds a condition; None is one that could not be read, an empty one none at all."""
        if condition is None:
            self.partial.add(WHERE)
        elif condition:
            self.where.append(condition)

    def write(self, attribute: str) -> None:
        column = column_of(self.model, attribute)
        if column is None:
            self.partial.add(COLUMNS)
        else:
            self.written[column.name] = None

    def take(self, text: str) -> None:
        """Sets LIMIT from the code of its argument."""
        self.limit = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else VALUE

    def sql(self) -> str:
        """The statement with marks for its values, to stand within another one."""
        return str(getattr(self, f"_{self.verb}")())

    def finish(self, location: Location, orm: str, function: str | None, *, part: bool = False) -> OrmCall:
        """`part`: see OrmCall."""
        text = self.sql()
        if self.subqueries:
            listed = ", ".join(f"{quoted(name)} AS ({sql})" for name, sql in self.subqueries.items())
            text = f"WITH {listed} {text}"
        self.partial |= EVERYTHING if part else set()
        if not self.model.complete and self.verb == "select":
            self.partial |= {COLUMNS, JOINS}
        if not self.written and self.verb in ("insert", "update"):
            self.partial.add(COLUMNS)
        first, *rest = text.split(VALUE)
        text = first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))
        limit = self.limit if isinstance(self.limit, int) else None
        return OrmCall(location, orm, text, tuple(sorted(self.partial)), limit or None, function, part)

    def _target(self) -> str:
        name = relation(self.model)
        return name if self.alias == self.model.table else f"{name} AS {quoted(self.alias)}"

    def _conditions(self) -> str:
        return f" WHERE {' AND '.join(self.where)}" if self.where else ""

    def _select(self) -> str:
        columns = self.columns
        if columns is None:
            columns = [f"{quoted(self.alias)}.{quoted(column.name)}" for column in self.model.columns]
        text = "SELECT " + ", ".join(columns) + (" " if columns else "") + f"FROM {self._target()}"
        text += "".join(f" {join}" for join in self.joins) + self._conditions()
        if self.group:
            text += " GROUP BY " + ", ".join(self.group)
        if self.order:
            text += " ORDER BY " + ", ".join(self.order)
        if self.limit is not None:
            text += f" LIMIT {VALUE}"
        if self.offset:
            text += f" OFFSET {VALUE}"
        return text + self.suffix

    def _insert(self) -> str:
        if not self.written:
            return f"INSERT INTO {relation(self.model)} VALUES ({VALUE}){self.suffix}"
        names = ", ".join(quoted(name) for name in self.written)
        values = ", ".join(VALUE for _ in self.written)
        return f"INSERT INTO {relation(self.model)} ({names}) VALUES ({values}){self.suffix}"

    def assigned(self) -> list[str]:
        """The columns that an update sets."""
        known = [column.name for column in self.model.columns if column.on_update and self.sets_on_update]
        return list(dict.fromkeys([*self.written, *known]))

    def _update(self) -> str:
        # A bare parameter stands for assignments that could not be read, as in dynamic SQL.
        names = [f"{quoted(name)} = {VALUE}" for name in self.assigned()] or [VALUE]
        return f"UPDATE {self._target()} SET {', '.join(names)}{self._conditions()}"

    def _delete(self) -> str:
        return f"DELETE FROM {self._target()}{self._conditions()}"
