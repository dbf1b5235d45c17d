"""What a statement makes of tables, their columns and constraints (postgast's protobuf of PostgreSQL's grammar)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from checks.evidence.expressions import unwrap
from checks.evidence.repository.ledger import ColumnDetail, ConstraintDetail, IndexDetail, Ledger, TableDetail
from checks.evidence.repository.type_names import SERIALS, formatted
from checks.model import Location

_NULL, _NOT_NULL, _DEFAULT, _IDENTITY, _GENERATED = 1, 2, 3, 4, 5
_CHECK, _PRIMARY, _UNIQUE, _EXCLUSION, _FOREIGN = 6, 7, 8, 9, 10
_ADD_COLUMN, _DROP_COLUMN, _ADD_CONSTRAINT, _DROP_CONSTRAINT, _VALIDATE = 1, 14, 17, 23, 21
_SET_DEFAULT, _DROP_NOT_NULL, _SET_NOT_NULL, _SET_TYPE, _ADD_IDENTITY, _DROP_IDENTITY, _DROP_EXPRESSION = (
    3, 5, 6, 25, 63, 65, 8,
)  # fmt: skip
_ADD_INHERIT, _DETACHED = 50, frozenset([61, 62])
_COLUMN_CHANGES = frozenset([3, 5, 6, 7, 8, 13, 12, 25, 63, 64, 65])
_TABLE_CHANGES = frozenset([31, 32, 35, 54, 55, 56, 57, 58])
_ATTACH_PARTITION = 60
_ACTIONS = {"a": "no action", "r": "restrict", "c": "cascade", "n": "set null", "d": "set default"}
_CONSTRAINTS = {
    _CHECK: "check", _PRIMARY: "primary_key", _UNIQUE: "unique", _EXCLUSION: "exclusion", _FOREIGN: "foreign_key",
}  # fmt: skip

At = Callable[[int], Location]


class Tables:
    """Applies statements about tables to a ledger. `schema` is where unqualified names go."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.schema = "public"

    def _path(self, relation: Any) -> tuple[str, str]:
        return (relation.schemaname or self.schema, relation.relname)

    def _named(self, names: Any) -> tuple[str, ...]:
        parts = tuple(entry.string.sval for entry in names)
        return parts[-2:] if len(parts) > 1 else (self.schema, *parts)

    def _create_stmt(self, statement: Any, at: At) -> None:
        if statement.relation.relpersistence == "t":
            return
        table = self._path(statement.relation)
        if statement.if_not_exists and self.ledger.knows("table", table):
            return
        if self.ledger.knows("table", table):
            return
        of_type = statement.HasField("of_typename")
        detail = TableDetail(not (statement.inh_relations or of_type), bool(statement.inh_relations))
        self.ledger.create("table", table, at(statement.relation.location), detail=detail)
        # Keys may stand before their columns.
        elements = [unwrap(element) for element in statement.table_elts]
        for kind, value in elements:
            if kind == "column_def":
                self._column(table, value, at)
            elif kind == "table_like_clause":
                self._like(table, self._path(value.relation), at(value.relation.location))
        for kind, value in elements:
            if kind == "constraint":
                self._constraint(table, value, (), at)

    def _like(self, table: tuple[str, str], model: tuple[str, str], place: Location) -> None:
        """Columns as another table has them. What else INCLUDING brings along is not told: the table is not complete."""
        for subject in self.ledger.subjects():
            detail = self.ledger.detail("column", subject.path)
            if subject.kind == "column" and subject.path[:2] == model and isinstance(detail, ColumnDetail):
                copied = ColumnDetail(detail.type, detail.not_null, None if detail.has_default else False)
                self.ledger.create("column", (*table, subject.path[2]), place, detail=copied)
        if isinstance(known := self.ledger.detail("table", table), TableDetail):
            known.complete = False

    def _create_foreign_table_stmt(self, statement: Any, at: At) -> None:
        self._create_stmt(statement.base_stmt, at)
        detail = self.ledger.detail("table", self._path(statement.base_stmt.relation))
        if isinstance(detail, TableDetail):
            detail.foreign = True

    def _column(self, table: tuple[str, str], column: Any, at: At) -> None:
        place = at(column.location)
        types = [name.string.sval for name in column.type_name.names]
        constraints = [entry.constraint for entry in column.constraints]
        kinds = {entry.contype for entry in constraints}
        serial = bool(types) and types[-1] in SERIALS
        own = serial or _IDENTITY in kinds
        not_null = own or _NOT_NULL in kinds or _PRIMARY in kinds
        detail = ColumnDetail(formatted(column.type_name), not_null, own or bool(kinds & {_DEFAULT, _GENERATED}))
        if any(entry.contype == _DEFAULT and _is_null(entry.raw_expr) for entry in constraints):
            detail.has_default = own
        self.ledger.create("column", (*table, column.colname), place, detail=detail)
        if own:
            name = self.ledger.free_name("sequence", (table[0],), table[1], column.colname, "seq")
            self.ledger.create("sequence", (table[0], name), place, of=table, over=(column.colname,))
        for entry in constraints:
            self._constraint(table, entry, (column.colname,), at)

    def _constraint(self, table: tuple[str, str], entry: Any, columns: tuple[str, ...], at: At) -> None:
        kind, place = entry.contype, at(entry.location)
        if kind == _NOT_NULL and not columns:
            for key in entry.keys:
                self._not_null((*table, key.string.sval), True)
            return
        keys = tuple(key.string.sval for key in entry.keys) or columns
        over = keys
        if kind in (_PRIMARY, _UNIQUE) and entry.indexname and not keys:
            over = keys = self.ledger.columns_of("index", (table[0], entry.indexname))
        if kind == _PRIMARY:
            second, label = "", "pkey"
        elif kind == _UNIQUE:
            second, label = "_".join(keys), "key"
        elif kind == _FOREIGN:
            over = tuple(key.string.sval for key in entry.fk_attrs) or columns
            second, label = "_".join(over), "fkey"
        elif kind == _CHECK:
            over = tuple(columns_in(entry.raw_expr)) or columns
            second, label = (over[0] if len(over) == 1 else ""), "check"
        elif kind == _EXCLUSION:
            elements = [unwrap(part.list.items[0])[1] for part in entry.exclusions]
            over = tuple(element.name for element in elements)
            second, label = "_".join(index_column(element) for element in elements), "excl"
        else:
            return
        name = entry.conname or entry.indexname or self.ledger.free_name("constraint", table, table[1], second, label)
        detail = ConstraintDetail(_CONSTRAINTS[kind])
        if kind == _FOREIGN:
            detail.references = self._path(entry.pktable)
            detail.referenced_columns = tuple(key.string.sval for key in entry.pk_attrs)
            detail.on_delete = _ACTIONS.get(entry.fk_del_action, "")
        if self.ledger.knows("constraint", (*table, name)):
            return
        self.ledger.create("constraint", (*table, name), place, of=table, over=over, detail=detail)
        if kind in (_PRIMARY, _UNIQUE, _EXCLUSION):
            if entry.indexname:
                self.ledger.drop("index", (table[0], entry.indexname))
            made = IndexDetail(kind != _EXCLUSION, of_constraint=True)
            self.ledger.create("index", (table[0], name), place, of=table, over=over, detail=made)
        if kind == _PRIMARY:
            for column in over:
                self._not_null((*table, column), True)

    def _not_null(self, column: tuple[str, ...], value: bool) -> None:
        if isinstance(detail := self.ledger.detail("column", column), ColumnDetail):
            detail.not_null = value

    def _alter_table_stmt(self, statement: Any, at: At) -> None:
        table = self._path(statement.relation)
        for node in statement.cmds:
            command = node.alter_table_cmd
            definition = getattr(command, "def")
            value: Any
            kind, value = unwrap(definition) if command.HasField("def") else (None, None)
            if command.subtype == _ADD_COLUMN and kind == "column_def":
                if not self.ledger.knows("column", (*table, value.colname)):
                    self._column(table, value, at)
            elif command.subtype == _ADD_CONSTRAINT and kind == "constraint":
                self._constraint(table, value, (), at)
            elif command.subtype == _DROP_COLUMN:
                self.ledger.drop("column", (*table, command.name))
            elif command.subtype == _DROP_CONSTRAINT:
                self.ledger.drop("constraint", (*table, command.name))
            elif command.subtype == _VALIDATE:
                self.ledger.alter("constraint", (*table, command.name), at(-1))
            elif command.subtype in _COLUMN_CHANGES:
                self.ledger.alter("column", (*table, command.name), at(-1))
                self._change_column((*table, command.name), command.subtype, definition if kind else None)
            elif command.subtype == _ATTACH_PARTITION and kind == "partition_cmd":
                self._part(self._path(value.name), True)
            elif command.subtype in _DETACHED and kind == "partition_cmd":
                self._part(self._path(value.name), False)
            elif command.subtype == _ADD_INHERIT:
                self._part(table, True)
            elif command.subtype in _TABLE_CHANGES:
                self.ledger.alter("table", table, at(-1))

    def _change_column(self, column: tuple[str, ...], subtype: int, definition: Any) -> None:
        detail = self.ledger.detail("column", column)
        if not isinstance(detail, ColumnDetail):
            return
        if subtype in (_SET_NOT_NULL, _DROP_NOT_NULL):
            detail.not_null = subtype == _SET_NOT_NULL
        elif subtype == _SET_TYPE and definition is not None:
            detail.type = formatted(definition.column_def.type_name)
        elif subtype == _SET_DEFAULT:
            detail.has_default = definition is not None and not _is_null(definition)
        elif subtype == _ADD_IDENTITY:
            detail.has_default, detail.not_null = True, True
        elif subtype in (_DROP_IDENTITY, _DROP_EXPRESSION):
            detail.has_default = False

    def _part(self, table: tuple[str, str], value: bool) -> None:
        if isinstance(detail := self.ledger.detail("table", table), TableDetail):
            detail.partition = value


def _is_null(node: Any) -> bool:
    """DEFAULT NULL, which the server keeps as no default at all."""
    kind, value = unwrap(node)
    if kind == "type_cast":
        kind, value = unwrap(value.arg)
    return kind == "a_const" and bool(value.isnull)


def index_column(element: Any) -> str:
    if element.name:
        return str(element.name)
    kind, value = unwrap(element.expr)
    return value.funcname[-1].string.sval if kind == "func_call" else "expr"


def columns_in(node: Any) -> list[str]:
    """Distinct columns that a CHECK names, for its default name."""
    found: dict[str, None] = {}
    pending = [node]
    while pending:
        kind, value = unwrap(pending.pop())
        if kind == "column_ref":
            found[value.fields[-1].string.sval] = None
        elif value is not None:
            for field, part in value.ListFields():
                if field.message_type is not None and field.message_type.name == "Node":
                    pending += part if field.is_repeated else [part]
    return list(found)
