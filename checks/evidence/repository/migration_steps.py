"""What one statement of a migration locks, scans, rewrites or takes away (postgast's protobuf of PostgreSQL's grammar)."""

from __future__ import annotations

from typing import Any

from checks.evidence.expressions import constant_text, operator_name, unwrap
from checks.evidence.repository.facts.migrations import MigrationStep
from checks.evidence.repository.ledger import ConstraintDetail, IndexDetail
from checks.evidence.repository.table_steps import EXCLUSIVE, MAXIMUM_STEPS, ROW_EXCLUSIVE, UPDATE_EXCLUSIVE, TableSteps
from checks.evidence.sql import walk
from checks.model import Location

WRITES = "ROW EXCLUSIVE"

_CHECK = 6
_COLUMN, _INDEX, _TABLE, _VIEW, _MATERIALIZED_VIEW, _SCHEMA, _DATABASE = 7, 21, 42, 52, 24, 37, 9
_BEGINS, _ENDS = frozenset([1, 2]), frozenset([3, 4])
_TIMEOUTS = frozenset(["lock_timeout", "statement_timeout"])
# ADD CONSTRAINT and SET NOT NULL.
_CHECKING_DOMAIN = frozenset("CO")


class StepReader(TableSteps):
    """Reads the statements of one migration after the other. `ledger` is as the migrations before left it: a step is read before
    its statement is applied."""

    def read(self, node: Any, place: Location, schema: str) -> None:
        """`schema` is where unqualified names go."""
        self.statements += 1
        self.schema, self.place = schema, place
        kind, statement = unwrap(node)
        method = getattr(self, f"_{kind}", None)
        if method is not None and len(self.steps) < MAXIMUM_STEPS:
            method(statement)
        if self._new_values and self._outer is not False and kind != "alter_enum_stmt":
            self._uses(node)

    def finished(self) -> tuple[MigrationStep, ...]:
        return tuple(self.steps)

    # Settings and transactions

    def _transaction_stmt(self, statement: Any) -> None:
        if statement.kind in _BEGINS:
            self.transaction = True
        elif statement.kind in _ENDS:
            if self._outer and self.transaction:
                self._add("end_transaction")
            self.transaction = False

    def _variable_set_stmt(self, statement: Any) -> None:
        if statement.name in _TIMEOUTS:
            values = [constant_text(entry) for entry in statement.args]
            self._bounded = bool(values) and values[0] not in ("0", "DEFAULT", None)

    def _select_stmt(self, statement: Any) -> None:
        for target in statement.target_list:
            kind, call = unwrap(target.res_target.val)
            if kind == "func_call" and call.funcname[-1].string.sval == "set_config" and call.args:
                self._bounded |= constant_text(call.args[0]) in _TIMEOUTS

    # Objects

    def _rename_stmt(self, statement: Any) -> None:
        if statement.rename_type == _COLUMN and statement.relation_type == _TABLE:
            table = self._path(statement.relation)
            columns = (statement.subname,)
            self._add("rename_column", table, name=statement.newname, columns=columns, lock=EXCLUSIVE)
        elif statement.rename_type == _TABLE:
            self._add("rename_table", self._path(statement.relation), name=statement.newname, lock=EXCLUSIVE)
        elif statement.rename_type == _SCHEMA:
            self._add("rename_schema", name=statement.subname, detail=statement.newname)

    def _drop_stmt(self, statement: Any) -> None:
        for node in statement.objects:
            kind, value = unwrap(node)
            if statement.remove_type == _SCHEMA and kind == "string":
                self._add("drop_schema", name=value.sval)
            elif kind != "list":
                continue
            elif statement.remove_type == _INDEX:
                self._drop_index(self._listed(value.items), statement.concurrent)
            elif statement.remove_type == _TABLE:
                self._add("drop_table", self._listed(value.items), lock=EXCLUSIVE)
            elif statement.remove_type in (_VIEW, _MATERIALIZED_VIEW):
                self._add("drop_view", self._listed(value.items))

    def _drop_index(self, index: tuple[str, ...], concurrently: bool) -> None:
        table = self.ledger.table_of("index", index) or ()
        made = self.ledger.created("index", index)
        if made is not None and made.path == self.path:
            return
        concurrently |= self.operation == "RemoveIndexConcurrently"
        lock = UPDATE_EXCLUSIVE if concurrently else EXCLUSIVE
        self._add("drop_index", table, name=index[-1], lock=lock, concurrently=concurrently)

    def _truncate_stmt(self, statement: Any) -> None:
        for relation in statement.relations:
            self._add("truncate", self._path(relation.range_var), lock=EXCLUSIVE)

    # Indexes

    def _index_stmt(self, statement: Any) -> None:
        table = self._path(statement.relation)
        if statement.idxname and self.ledger.knows("index", (table[0], statement.idxname)):
            return
        concurrently = bool(statement.concurrent) or self.operation == "AddIndexConcurrently"
        lock = UPDATE_EXCLUSIVE if concurrently else "SHARE"
        columns = tuple(entry.index_elem.name for entry in statement.index_params)
        detail = "unique" if statement.unique else ""
        self._add(
            "create_index", table, name=statement.idxname, columns=columns, lock=lock, concurrently=concurrently,
            detail=detail, plain=_is_plain(statement),
        )  # fmt: skip

    def _reindex_stmt(self, statement: Any) -> None:
        concurrently = any(entry.def_elem.defname == "concurrently" for entry in statement.params)
        table: tuple[str, ...] = ()
        if statement.HasField("relation"):
            table = self._path(statement.relation)
            table = self.ledger.table_of("index", table) or table
        lock = UPDATE_EXCLUSIVE if concurrently else EXCLUSIVE
        self._add("reindex", table, name=statement.name, lock=lock, concurrently=concurrently)

    # Rows

    def _update_stmt(self, statement: Any) -> None:
        self._changes_rows("update", statement)

    def _delete_stmt(self, statement: Any) -> None:
        self._changes_rows("delete", statement)

    def _changes_rows(self, kind: str, statement: Any) -> None:
        table = self._path(statement.relation)
        where = statement.where_clause if statement.HasField("where_clause") else None
        if where is not None and self._one_row(table, where):
            return
        self._add(kind, table, lock=WRITES, detail="all rows" if where is None else "some rows")

    def _one_row(self, table: tuple[str, str], where: Any) -> bool:
        """Whether a key is compared with constants there."""
        keys = self._keys_of(table)
        pending = [where]
        while pending:
            kind, value = unwrap(pending.pop())
            if kind == "bool_expr" and value.boolop == 1:
                pending += value.args
            elif kind == "a_expr" and operator_name(value) == "=":
                left, column = unwrap(value.lexpr)
                constant = constant_text(value.rexpr) is not None or unwrap(value.rexpr)[0] == "list"
                if left == "column_ref" and constant and column.fields[-1].string.sval in keys:
                    return True
        return False

    def _keys_of(self, table: tuple[str, str]) -> set[str]:
        """Columns of its keys, looked up once for each migration."""
        if (known := self._keys.get(table)) is not None:
            return known
        keys = {"id", "key", "slug"}
        for subject in self.ledger.subjects():
            if subject.kind not in ("constraint", "index") or self.ledger.table_of(subject.kind, subject.path) != table:
                continue
            detail = self.ledger.detail(subject.kind, subject.path)
            if isinstance(detail, ConstraintDetail) or (isinstance(detail, IndexDetail) and detail.unique):
                keys.update(self.ledger.columns_of(subject.kind, subject.path))
        self._keys[table] = keys
        return keys

    def _insert_stmt(self, statement: Any) -> None:
        kind, select = unwrap(statement.select_stmt)
        if kind == "select_stmt" and select.from_clause:
            sources = [self._path(each) for each in walk(select) if each.DESCRIPTOR.name == "RangeVar" and each.relname]
            made = {path for path in sources if self.ledger.knows("table", path)}
            if made:
                self._add("insert_select", sorted(made)[0], name=statement.relation.relname)

    # Everything else

    def _refresh_mat_view_stmt(self, statement: Any) -> None:
        concurrently = bool(statement.concurrent)
        lock = "EXCLUSIVE" if concurrently else EXCLUSIVE
        self._add("refresh_view", self._path(statement.relation), lock=lock, concurrently=concurrently)

    def _vacuum_stmt(self, statement: Any) -> None:
        if any(entry.def_elem.defname == "full" for entry in statement.options):
            for entry in statement.rels:
                self._add("vacuum_full", self._path(entry.vacuum_relation.relation), lock=EXCLUSIVE)

    def _cluster_stmt(self, statement: Any) -> None:
        if statement.HasField("relation"):
            self._add("cluster", self._path(statement.relation), lock=EXCLUSIVE)

    def _lock_stmt(self, statement: Any) -> None:
        for relation in statement.relations:
            strong = statement.mode >= 5
            self._add("lock_table", self._path(relation.range_var), lock=EXCLUSIVE if strong else "")

    def _create_trig_stmt(self, statement: Any) -> None:
        self._add("other", self._path(statement.relation), name=statement.trigname, lock=ROW_EXCLUSIVE)

    def _create_policy_stmt(self, statement: Any) -> None:
        self._add("other", self._path(statement.table), name=statement.policy_name, lock=EXCLUSIVE)

    def _create_enum_stmt(self, statement: Any) -> None:
        self._made_types.add(statement.type_name[-1].string.sval)

    def _alter_enum_stmt(self, statement: Any) -> None:
        name = statement.type_name[-1].string.sval
        if statement.old_val:
            self._add("rename_value", name=name, detail=f"{statement.old_val} to {statement.new_val}")
        elif name not in self._made_types and self.transaction is not False:
            self._new_values.add(statement.new_val)

    def _create_domain_stmt(self, statement: Any) -> None:
        name = self._listed(statement.domainname)[-1]
        self._made_domains.add(name)
        if any(entry.constraint.contype == _CHECK for entry in statement.constraints):
            self._add("create_domain", name=name)

    def _alter_domain_stmt(self, statement: Any) -> None:
        name = self._listed(statement.type_name)[-1]
        if statement.subtype not in _CHECKING_DOMAIN or name in self._made_domains:
            return
        _, rule = unwrap(getattr(statement, "def")) if statement.HasField("def") else ("", None)
        if rule is None or not rule.skip_validation:
            self._add("add_domain_check", name=name, lock="SHARE")

    def _uses(self, node: Any) -> None:
        """A new value of an enumeration may not be used by the transaction that made it."""
        for message in walk(node):
            if message.DESCRIPTOR.name == "A_Const" and message.HasField("sval"):
                value = message.sval.sval
                if value in self._new_values and self.transaction is not False:
                    self._new_values.discard(value)
                    self._add("use_of_new_value", name=value)


def _is_plain(statement: Any) -> bool:
    """Whether it is a B-tree over columns and nothing else."""
    elements = [entry.index_elem for entry in statement.index_params]
    return (
        statement.access_method in ("", "btree")
        and not (statement.HasField("where_clause") or statement.index_including_params or statement.options)
        and not statement.nulls_not_distinct
        and all(
            element.name and not (element.collation or element.opclass or element.opclassopts)
            and element.ordering in (0, 1, 2) and element.nulls_ordering in (0, 1)
            for element in elements
        )
    )  # fmt: skip
