"""What one parsed statement of a migration creates, changes and drops (postgast's protobuf of PostgreSQL's grammar)."""

from __future__ import annotations

from typing import Any

from checks.evidence.expressions import unwrap
from checks.evidence.repository.ddl_tables import At, Tables, columns_in, index_column
from checks.evidence.repository.ledger import ColumnDetail, EnumDetail, IndexDetail, TableDetail, TriggerDetail
from checks.evidence.repository.type_names import TYPE_NAMES
from checks.model import quote_identifier

# DropBehavior as the protobuf numbers it.
_CASCADE = 2
_KINDS = {
    42: "table", 19: "table", 52: "view", 24: "view", 21: "index", 38: "sequence", 50: "type", 13: "type", 37: "schema",
    20: "function", 30: "function", 36: "rule", 45: "trigger", 29: "policy", 16: "extension", 7: "column", 41: "constraint",
}  # fmt: skip
_PARTS_OF_TABLES = frozenset(["trigger", "policy", "rule"])


class Changes(Tables):
    """Applies statements to a ledger. `schema` is where unqualified names go."""

    def apply(self, node: Any, at: At) -> None:
        """`at` gives the place of an offset in the statement, -1 for its first line."""
        kind, statement = unwrap(node)
        method = getattr(self, f"_{kind}", None)
        if method is not None:
            method(statement, at)

    def _rename_stmt(self, statement: Any, at: At) -> None:
        kind = _KINDS.get(statement.rename_type)
        if kind in ("column", "constraint", "trigger", "policy"):
            table = self._path(statement.relation)
            self.ledger.rename(kind, (*table, statement.subname), (*table, statement.newname), at(-1))
        elif kind in ("table", "view", "index", "sequence"):
            old = self._path(statement.relation)
            self.ledger.rename(kind, old, (old[0], statement.newname), at(-1))
        elif kind == "function":
            self._rename_function(statement, at)
        elif kind == "type":
            old_type = self._named(statement.object.list.items)
            self.ledger.rename(kind, old_type, (old_type[0], statement.newname), at(-1))
            self._retype(old_type[-1], statement.newname)

    def _rename_function(self, statement: Any, at: At) -> None:
        old = self._named(statement.object.object_with_args.objname)
        for subject in self.ledger.subjects():
            detail = self.ledger.detail("trigger", subject.path) if subject.kind == "trigger" else None
            if isinstance(detail, TriggerDetail) and detail.function == old[-1]:
                detail.function = statement.newname
            elif subject.kind == "function" and subject.path[:2] == old:
                self.ledger.rename("function", subject.path, (old[0], statement.newname, *subject.path[2:]), at(-1))

    def _retype(self, old: str, new: str) -> None:
        """Columns of a type that has another name now."""
        spelled = (old, quote_identifier(old))
        for subject in self.ledger.subjects():
            detail = self.ledger.detail("column", subject.path) if subject.kind == "column" else None
            if isinstance(detail, ColumnDetail) and detail.type and detail.type.removesuffix("[]") in spelled:
                detail.type = quote_identifier(new) + "[]" * detail.type.endswith("[]")

    def _alter_object_schema_stmt(self, statement: Any, at: At) -> None:
        kind = _KINDS.get(statement.object_type)
        if kind in ("table", "view", "sequence"):
            old = self._path(statement.relation)
            self.ledger.rename(kind, old, (statement.newschema, old[1]), at(-1))

    def _drop_stmt(self, statement: Any, _at: At) -> None:
        kind = _KINDS.get(statement.remove_type)
        for node in statement.objects if kind else ():
            shape, value = unwrap(node)
            if kind in ("schema", "extension"):
                self.ledger.drop(kind, (value.sval,))
            elif kind in _PARTS_OF_TABLES:
                parts = [entry.string.sval for entry in value.items]
                table = parts[-3:-1] if len(parts) > 2 else [self.schema, *parts[:-1]]
                self.ledger.drop(kind, (*table, parts[-1]))
            elif shape == "list" and kind is not None:
                self.ledger.drop(kind, self._named(value.items))
            elif shape == "type_name" and kind is not None:
                self.ledger.drop(kind, self._named(value.names))
            elif shape == "object_with_args" and kind is not None:
                name = self._named(value.objname)
                if statement.behavior == _CASCADE:
                    self._drop_triggers(name[-1])
                if value.args_unspecified:
                    for subject in [each for each in self.ledger.subjects() if each.kind == kind]:
                        if subject.path[:2] == name:
                            self.ledger.drop(kind, subject.path)
                    continue
                self.ledger.drop(
                    kind, (*self._named(value.objname), _type_list(entry.type_name for entry in value.objargs))
                )

    def _drop_triggers(self, function: str) -> None:
        for subject in self.ledger.subjects():
            detail = self.ledger.detail("trigger", subject.path) if subject.kind == "trigger" else None
            if isinstance(detail, TriggerDetail) and detail.function == function:
                self.ledger.drop("trigger", subject.path)

    # Everything else

    def _index_stmt(self, statement: Any, at: At) -> None:
        table = self._path(statement.relation)
        name = statement.idxname
        if not name:
            columns = "_".join(index_column(entry.index_elem) for entry in statement.index_params)
            name = self.ledger.free_name("index", (table[0],), table[1], columns, "idx")
        over = tuple(entry.index_elem.name for entry in statement.index_params)
        needed = [entry.index_elem.name for entry in statement.index_including_params]
        for node in [statement.where_clause, *(entry.index_elem.expr for entry in statement.index_params)]:
            needed += columns_in(node)
        partial = statement.HasField("where_clause")
        detail = IndexDetail(statement.unique, partial, statement.access_method or "btree", tuple(needed))
        self.ledger.create("index", (table[0], name), at(-1), of=table, over=over, detail=detail)

    def _view_stmt(self, statement: Any, at: At) -> None:
        self.ledger.create("view", self._path(statement.view), at(-1))
        if statement.replace:
            self.ledger.alter("view", self._path(statement.view), at(-1))

    def _create_table_as_stmt(self, statement: Any, at: At) -> None:
        if statement.into.rel.relpersistence != "t":
            kind = "view" if _KINDS.get(statement.objtype) == "view" else "table"
            detail = TableDetail(complete=False) if kind == "table" else None
            self.ledger.create(kind, self._path(statement.into.rel), at(-1), detail=detail)

    def _create_seq_stmt(self, statement: Any, at: At) -> None:
        self.ledger.create("sequence", self._path(statement.sequence), at(-1))

    def _create_enum_stmt(self, statement: Any, at: At) -> None:
        detail = EnumDetail(tuple(entry.string.sval for entry in statement.vals))
        self.ledger.create("type", self._named(statement.type_name), at(-1), detail=detail)

    def _alter_enum_stmt(self, statement: Any, at: At) -> None:
        path = self._named(statement.type_name)
        self.ledger.alter("type", path, at(-1))
        detail = self.ledger.detail("type", path)
        if not isinstance(detail, EnumDetail) or not detail.labels:
            return
        if statement.old_val:
            detail.labels = tuple(statement.new_val if label == statement.old_val else label for label in detail.labels)
        elif statement.new_val not in detail.labels:
            detail.labels = (*detail.labels, statement.new_val)

    def _composite_type_stmt(self, statement: Any, at: At) -> None:
        self.ledger.create("type", self._path(statement.typevar), at(-1))

    def _create_domain_stmt(self, statement: Any, at: At) -> None:
        self.ledger.create("type", self._named(statement.domainname), at(-1))

    def _create_function_stmt(self, statement: Any, at: At) -> None:
        inputs = (
            entry.function_parameter.arg_type
            for entry in statement.parameters
            if entry.function_parameter.mode not in _OUTPUT_MODES
        )
        path = (*self._named(statement.funcname), _type_list(inputs))
        if self.ledger.knows("function", path):
            self.ledger.alter("function", path, at(-1))
        self.ledger.create("function", path, at(-1))

    def _create_policy_stmt(self, statement: Any, at: At) -> None:
        self.ledger.create("policy", (*self._path(statement.table), statement.policy_name), at(-1))

    def _create_trig_stmt(self, statement: Any, at: At) -> None:
        detail = TriggerDetail(statement.funcname[-1].string.sval if statement.funcname else "")
        path = (*self._path(statement.relation), statement.trigname)
        self.ledger.create("trigger", path, at(-1), detail=detail)

    def _create_schema_stmt(self, statement: Any, at: At) -> None:
        self.ledger.create("schema", (statement.schemaname,), at(-1))

    def _create_extension_stmt(self, statement: Any, at: At) -> None:
        self.ledger.create("extension", (statement.extname,), at(-1))

    def _create_stats_stmt(self, statement: Any, at: At) -> None:
        if statement.defnames and statement.relations:
            table = self._path(statement.relations[0].range_var)
            self.ledger.create("statistics", (*table, self._named(statement.defnames)[-1]), at(-1))

    def _variable_set_stmt(self, statement: Any, _at: At) -> None:
        if statement.name == "search_path":
            values = [entry.a_const.sval.sval for entry in statement.args if entry.HasField("a_const")]
            self.schema = next((value for value in values if value not in ("", "$user")), "public")


# FUNC_PARAM_OUT and FUNC_PARAM_TABLE as the protobuf numbers them.
_OUTPUT_MODES = frozenset([2, 5])


def _type_list(types: Any) -> str:
    return ",".join(_type_name(entry) for entry in types)


def _type_name(entry: Any) -> str:
    name = entry.names[-1].string.sval if entry.names else ""
    return TYPE_NAMES.get(name, name) + "[]" * len(entry.array_bounds)
