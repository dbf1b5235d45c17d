"""What a migration locks, scans or rewrites when it makes and alters tables (postgast's protobuf of PostgreSQL's grammar)."""

from __future__ import annotations

from typing import Any

from checks.evidence.expressions import unwrap
from checks.evidence.repository.facts.migrations import MigrationStep
from checks.evidence.repository.ledger import ColumnDetail, Ledger
from checks.evidence.repository.type_changes import rewrites
from checks.evidence.repository.type_names import SERIALS, formatted
from checks.evidence.sql import walk
from checks.model import Location

EXCLUSIVE = "ACCESS EXCLUSIVE"
ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"

_NOT_NULL, _DEFAULT, _IDENTITY, _GENERATED, _CHECK, _PRIMARY, _UNIQUE, _EXCLUSION, _FOREIGN = 2, 3, 4, 5, 6, 7, 8, 9, 10
_ADD_COLUMN, _DROP_NOT_NULL, _SET_NOT_NULL, _DROP_COLUMN, _ADD_CONSTRAINT, _VALIDATE = 1, 5, 6, 14, 17, 21
_DROP_CONSTRAINT, _SET_TYPE, _ATTACH, _DETACH = 23, 25, 60, 61
_REWRITING = {30: "SET LOGGED", 31: "SET UNLOGGED", 33: "SET ACCESS METHOD", 34: "SET TABLESPACE"}
# SET STATISTICS, attribute and storage options, CLUSTER ON: SHARE UPDATE EXCLUSIVE; triggers: SHARE ROW EXCLUSIVE.
_WEAK = {9: UPDATE_EXCLUSIVE, 10: UPDATE_EXCLUSIVE, 11: UPDATE_EXCLUSIVE, 28: UPDATE_EXCLUSIVE, 29: UPDATE_EXCLUSIVE,
         35: UPDATE_EXCLUSIVE, 36: UPDATE_EXCLUSIVE, **dict.fromkeys(range(38, 46), ROW_EXCLUSIVE)}  # fmt: skip
_IS_NOT_NULL = 2
_TABLE = 42
MAXIMUM_STEPS = 400

# Built-in functions that are stable or immutable: as a default they are computed once.
_COMPUTED_ONCE = frozenset(
    """
    now transaction_timestamp statement_timestamp current_setting lower upper coalesce to_timestamp to_date date_trunc
    timezone jsonb_build_object json_build_object jsonb_build_array json_build_array to_jsonb to_json array_fill concat md5
    make_interval make_date make_timestamp make_timestamptz to_tsvector to_char current_user session_user nullif left right
    round floor ceil abs length replace btrim trim date_part extract encode decode sha256 uuid_nil
    """.split()
)


class TableSteps:
    """Notes the steps of one migration after the other, and reads those that make and alter tables. `ledger` is as the migrations
    before left it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.steps: list[MigrationStep] = []
        self.statements = 0
        self.path = ""
        self.transaction: bool | None = None
        self.certain_not_null: set[tuple[str, ...]] = set()
        self._unvalidated: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.schema = "public"
        self.place = Location("", 1)
        self.begin("", None)

    def begin(self, path: str, transaction: bool | None, operation: str = "") -> None:
        """The migration in that file starts, in a transaction or not; None where the tool does not tell."""
        self.path, self.transaction, self.operation = path, transaction, operation
        self.steps, self.statements = [], 0
        self._outer = transaction
        self._bounded = False
        self._temporary: set[str] = set()
        self._keys: dict[tuple[str, str], set[str]] = {}
        self._new_values: set[str] = set()
        self._made_types: set[str] = set()
        self._made_domains: set[str] = set()

    def _path(self, relation: Any) -> tuple[str, str]:
        return (relation.schemaname or self.schema, relation.relname)

    def _listed(self, names: Any) -> tuple[str, ...]:
        parts = tuple(entry.string.sval for entry in names)
        return parts[-2:] if len(parts) > 1 else (self.schema, *parts)

    def _add(self, kind: str, table: tuple[str, ...] = (), **more: Any) -> None:
        if table and table[-1] in self._temporary:
            return
        made = self.ledger.created("table", table) if table else None
        known = self.ledger.created("view", table) if table and made is None else made
        fresh = known is not None and known.path == self.path
        step = MigrationStep(
            kind, self.place, table, in_transaction=self.transaction, bounded=self._bounded, fresh=fresh, **more
        )
        self.steps.append(step)

    # Tables

    def _create_stmt(self, statement: Any) -> None:
        if statement.relation.relpersistence == "t":
            self._temporary.add(statement.relation.relname)
            return
        table = self._path(statement.relation)
        if self.ledger.knows("table", table):
            return
        unqualified = not statement.relation.schemaname
        self.steps.append(
            MigrationStep(
                "create_table", self.place, table, in_transaction=self.transaction, fresh=True, unqualified=unqualified
            )
        )
        for element in statement.table_elts:
            kind, value = unwrap(element)
            constraints = [value] if kind == "constraint" else []
            if kind == "column_def":
                constraints = [entry.constraint for entry in value.constraints]
            for entry in constraints:
                if entry.contype == _FOREIGN and self._path(entry.pktable) != table:
                    self.steps.append(
                        MigrationStep(
                            "add_foreign_key",
                            self.place,
                            table,
                            also=self._path(entry.pktable),
                            lock=ROW_EXCLUSIVE,
                            in_transaction=self.transaction,
                            bounded=self._bounded,
                            fresh=True,
                        )
                    )

    def _create_table_as_stmt(self, statement: Any) -> None:
        relation = statement.into.rel
        if relation.relpersistence == "t":
            self._temporary.add(relation.relname)
        elif statement.objtype == _TABLE:
            self.steps.append(MigrationStep("create_table", self.place, self._path(relation), fresh=True))

    def _alter_table_stmt(self, statement: Any) -> None:
        if statement.objtype not in (_TABLE, 0):
            return
        table = self._path(statement.relation)
        for node in statement.cmds:
            command = node.alter_table_cmd
            _, value = unwrap(getattr(command, "def")) if command.HasField("def") else (None, None)
            self._command(table, command, value)

    def _command(self, table: tuple[str, str], command: Any, value: Any) -> None:
        kind = command.subtype
        if kind == _ADD_COLUMN and value is not None:
            if not self.ledger.knows("column", (*table, value.colname)):
                self._add_column(table, value)
        elif kind == _ADD_CONSTRAINT and value is not None:
            self._constraint(table, value)
        elif kind == _SET_NOT_NULL:
            self._set_not_null(table, command.name)
        elif kind == _SET_TYPE and value is not None:
            self._set_type(table, command.name, value)
        elif kind == _DROP_NOT_NULL:
            self._add("drop_not_null", table, name=command.name, columns=(command.name,), lock=EXCLUSIVE)
        elif kind == _DROP_COLUMN:
            self._add("drop_column", table, name=command.name, columns=(command.name,), lock=EXCLUSIVE)
        elif kind == _DROP_CONSTRAINT:
            self._add("drop_constraint", table, name=command.name, lock=EXCLUSIVE)
        elif kind == _VALIDATE:
            columns = self._unvalidated.pop((*table, command.name), ())
            self.certain_not_null |= {(*table, column) for column in columns}
            self._add("validate_constraint", table, name=command.name, lock=UPDATE_EXCLUSIVE)
        elif kind == _ATTACH and value is not None:
            self._add(
                "attach_partition",
                self._path(value.name),
                name=table[1],
                also=table,
                lock=EXCLUSIVE,
            )
        elif kind == _DETACH and value is not None:
            lock = UPDATE_EXCLUSIVE if value.concurrent else EXCLUSIVE
            name = self._path(value.name)[1]
            self._add("detach_partition", table, name=name, lock=lock, concurrently=bool(value.concurrent))
        elif kind in _REWRITING:
            self._add("rewrite", table, lock=EXCLUSIVE, detail=_REWRITING[kind])
        else:
            self._add("other", table, name=command.name, lock=_WEAK.get(kind, EXCLUSIVE))

    def _add_column(self, table: tuple[str, str], column: Any) -> None:
        constraints = [entry.constraint for entry in column.constraints]
        kinds = {entry.contype for entry in constraints}
        types = [name.string.sval for name in column.type_name.names]
        default = next((entry.raw_expr for entry in constraints if entry.contype == _DEFAULT), None)
        functions = _functions(default) if default is not None else []
        generated = next((entry for entry in constraints if entry.contype == _GENERATED), None)
        more: dict[str, Any] = {"name": column.colname, "columns": (column.colname,), "lock": EXCLUSIVE}
        if types and types[-1] in SERIALS:
            self._add("add_generated_column", table, detail="serial", **more)
        elif _IDENTITY in kinds:
            self._add("add_generated_column", table, detail="identity", **more)
        elif generated is not None and generated.generated_kind == "s":
            self._add("add_generated_column", table, detail="stored", **more)
        elif functions:
            self._add("add_column_function_default", table, detail=", ".join(functions), **more)
        elif kinds & {_NOT_NULL, _PRIMARY} and default is None and generated is None:
            self._add("add_required_column", table, **more)
        else:
            self._add("add_column", table, **more)
        for entry in constraints:
            if entry.contype == _FOREIGN:
                # Without a default there is nothing to validate: the server knows that the column is empty.
                validated = default is not None
                kind = "add_foreign_key" if validated else "add_not_valid"
                self._add(kind, table, columns=(column.colname,), also=self._path(entry.pktable), lock=ROW_EXCLUSIVE)
            elif entry.contype in (_PRIMARY, _UNIQUE):
                self._add("add_key", table, columns=(column.colname,), lock=EXCLUSIVE, name=entry.conname)

    def _constraint(self, table: tuple[str, str], entry: Any) -> None:
        kind, label = entry.contype, entry.conname
        not_valid = entry.skip_validation or self.operation == "AddConstraintNotValid"
        keys = tuple(key.string.sval for key in entry.keys)
        if kind == _FOREIGN:
            columns = tuple(key.string.sval for key in entry.fk_attrs)
            not_valid |= self.operation in ("AddField", "CreateModel") and self._is_new(table, columns)
            made = "add_not_valid" if not_valid else "add_foreign_key"
            self._add(made, table, name=label, columns=columns, also=self._path(entry.pktable), lock=ROW_EXCLUSIVE)
        elif kind == _CHECK:
            columns = _proven(entry.raw_expr)
            if not_valid:
                self._unvalidated[(*table, label)] = columns
            else:
                self.certain_not_null |= {(*table, column) for column in columns}
            self._add("add_not_valid" if not_valid else "add_check", table, name=label, lock=EXCLUSIVE)
        elif kind == _NOT_NULL:
            if not_valid:
                self._unvalidated[(*table, label)] = keys
                self._add("add_not_valid", table, name=label, columns=keys, lock=EXCLUSIVE)
            else:
                for key in keys:
                    self._set_not_null(table, key)
        elif kind in (_PRIMARY, _UNIQUE):
            made = "other" if entry.indexname else "add_key"
            self._add(made, table, name=label, columns=keys, lock=EXCLUSIVE)
        elif kind == _EXCLUSION:
            self._add("add_exclusion", table, name=label, lock=EXCLUSIVE)

    def _is_new(self, table: tuple[str, str], columns: tuple[str, ...]) -> bool:
        """Whether this migration made the columns: the framework declares the reference together with them."""
        made = [self.ledger.created("column", (*table, column)) for column in columns]
        return all(place is not None and place.path == self.path for place in made)

    def _set_not_null(self, table: tuple[str, str], column: str) -> None:
        detail = self.ledger.detail("column", (*table, column))
        if isinstance(detail, ColumnDetail) and detail.not_null:
            return
        proven = (*table, column) in self.certain_not_null
        self._add("other" if proven else "set_not_null", table, name=column, columns=(column,), lock=EXCLUSIVE)

    def _set_type(self, table: tuple[str, str], column: str, definition: Any) -> None:
        detail = self.ledger.detail("column", (*table, column))
        old = detail.type if isinstance(detail, ColumnDetail) else None
        new = formatted(definition.type_name)
        using = definition.raw_default if definition.HasField("raw_default") else None
        if old is not None and old == new and using is None:
            return
        rewriting = rewrites(old, new, converted=using is not None and not _only_cast(using, column))
        made = "change_type" if rewriting else "other"
        self._add(made, table, name=column, columns=(column,), lock=EXCLUSIVE, detail=f"{old or '?'} to {new or '?'}")


def _functions(default: Any) -> list[str]:
    """Functions of a default that may give another value each time."""
    found = []
    for message in walk(default):
        if message.DESCRIPTOR.name == "FuncCall" and message.funcname:
            name = message.funcname[-1].string.sval
            if name not in _COMPUTED_ONCE:
                found.append(name)
    return found


def _proven(expression: Any) -> tuple[str, ...]:
    """Columns that are not null where a CHECK holds."""
    found: list[str] = []
    pending = [expression]
    while pending:
        kind, value = unwrap(pending.pop())
        if kind == "bool_expr" and value.boolop == 1:
            pending += value.args
        elif kind == "null_test" and value.nulltesttype == _IS_NOT_NULL:
            inner, column = unwrap(value.arg)
            if inner == "column_ref":
                found.append(column.fields[-1].string.sval)
    return tuple(found)


def _only_cast(using: Any, column: str) -> bool:
    """Whether USING only casts the column itself."""
    kind, value = unwrap(using)
    while kind == "type_cast":
        kind, value = unwrap(value.arg)
    return kind == "column_ref" and bool(value.fields[-1].string.sval == column)
