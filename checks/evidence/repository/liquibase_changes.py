"""What the changes in Liquibase's changelogs do to the schema."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from checks.evidence.repository.changelogs import Element
from checks.evidence.repository.orm.query import quoted
from checks.evidence.repository.scripts import ScriptReader
from checks.evidence.repository.type_names import UNKNOWN
from checks.model import Location

_TYPES = {
    "int": "integer", "integer": "integer", "int4": "integer", "mediumint": "integer", "bigint": "bigint", "int8": "bigint",
    "smallint": "smallint", "tinyint": "smallint", "varchar": "varchar", "nvarchar": "varchar", "varchar2": "varchar",
    "string": "varchar", "char": "char", "nchar": "char", "clob": "text", "nclob": "text", "text": "text",
    "longtext": "text", "mediumtext": "text", "longvarchar": "text", "boolean": "boolean", "bool": "boolean",
    "bit": "boolean", "blob": "bytea", "longblob": "bytea", "bytea": "bytea", "binary": "bytea", "varbinary": "bytea",
    "datetime": "timestamp", "timestamp": "timestamp", "timestamptz": "timestamptz", "date": "date", "time": "time",
    "timestamp with time zone": "timestamptz", "timestamp without time zone": "timestamp", "double": "double precision",
    "double precision": "double precision", "float8": "double precision", "real": "real", "float": "double precision",
    "decimal": "numeric", "numeric": "numeric", "number": "numeric", "currency": "numeric", "uuid": "uuid", "json": "json",
    "jsonb": "jsonb", "xml": "xml", "inet": "inet", "serial": "serial", "bigserial": "bigserial", "hstore": "hstore",
    "citext": "citext", "vector": "vector", "tsvector": "tsvector", "interval": "interval",
}  # fmt: skip
_WITH_SIZE = frozenset(["varchar", "char", "numeric", "vector"])
_TYPE = re.compile(
    r"(?:java\.sql\.types\.)?([a-z][\w ]*?)\s*(?:\(\s*(\d+)(?:\s+\w+)?\s*(?:,\s*(\d+)\s*)?\))?((?:\s*\[\])?)"
)
_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
_REFERENCE = re.compile(r"([\w.\"]+)\s*\(([^)]*)\)")
_WORD = re.compile(r"[A-Za-z_]\w*")


class _Unclear(Exception):
    """A name is missing, or has a placeholder that nothing fills."""


def is_ours(dbms: str) -> bool:
    """Whether changes for those database systems are for PostgreSQL: `postgresql,h2`, `!mysql`."""
    names = [name.strip().lower() for name in dbms.split(",") if name.strip()]
    chosen = [name for name in names if not name.startswith("!")]
    return "!postgresql" not in names and (not chosen or bool({"postgresql", "postgres", "all"} & set(chosen)))


class Changes:
    """Applies the changes of changelogs to a ledger. `path` is the changelog's, `properties` what fills its placeholders."""

    def __init__(self, script: ScriptReader) -> None:
        self.script = script
        self.properties: dict[str, str] = {}
        self.path = ""

    def _doubt(self, element: Element) -> None:
        """Of whatever stands there, nothing follows."""
        self.script.unread.add(set(_WORD.findall(element.everything())), self._at(element))

    def _at(self, element: Element) -> Location:
        return Location(self.path, element.line)

    # Words

    def _filled(self, text: str) -> str:
        return _PLACEHOLDER.sub(lambda match: self.properties.get(match.group(1), match.group()), text)

    def _name(self, text: str) -> str:
        """As Liquibase spells it for PostgreSQL: what has capitals and small letters is quoted, all else folded."""
        text = self._filled(text.strip()).strip('"')
        if "${" in text:
            raise _Unclear
        mixed = text != text.lower() and text != text.upper()
        return quoted(text if mixed else text.lower())

    def _table(self, element: Element, key: str = "tableName", schema: str = "schemaName") -> str:
        if not element.get(key):
            raise _Unclear
        name = self._name(element.get(key))
        return f"{self._name(element.get(schema))}.{name}" if element.get(schema) else name

    def _names(self, text: str) -> str:
        names = [self._name(part) for part in text.split(",") if part.strip()]
        if not names:
            raise _Unclear
        return ", ".join(names)

    def _type(self, text: str) -> str:
        match = _TYPE.fullmatch(self._filled(text).strip().lower())
        kind = _TYPES.get(match.group(1)) if match is not None else None
        if match is None or kind is None:
            return quoted(UNKNOWN)
        size = ", ".join(part for part in match.group(2, 3) if part) if kind in _WITH_SIZE else ""
        if kind in ("timestamp", "timestamptz", "time") and match.group(2):
            size = match.group(2)
        return kind + (f"({size})" if size else "") + match.group(4).strip()

    def _column(self, column: Element) -> tuple[str, list[str]]:
        """The column, and rules of the table that its constraints make."""
        name = self._name(column.get("name"))
        sql = f"{name} {self._type(column.get('type'))}"
        if column.get("autoIncrement") == "true":
            sql += " GENERATED BY DEFAULT AS IDENTITY" if "serial" not in sql else ""
        elif any(key.startswith("defaultValue") for key in column.attributes):
            sql += " DEFAULT 'x'"
        rules: list[str] = []
        for constraint in column.all("constraints"):
            sql += (
                " NOT NULL" if constraint.get("nullable") == "false" or constraint.get("primaryKey") == "true" else ""
            )
            label = constraint.get("uniqueConstraintName")
            if constraint.get("unique") == "true":
                rules.append((f"CONSTRAINT {self._name(label)} " if label else "") + f"UNIQUE ({name})")
            if (target := self._referred(constraint)) is not None:
                label = constraint.get("foreignKeyName")
                action = " ON DELETE CASCADE" if constraint.get("deleteCascade") == "true" else ""
                head = f"CONSTRAINT {self._name(label)} " if label else ""
                rules.append(f"{head}FOREIGN KEY ({name}) REFERENCES {target}{action}")
        return sql, rules

    def _referred(self, constraint: Element) -> str | None:
        match = _REFERENCE.fullmatch(self._filled(constraint.get("references")).strip())
        if match is not None:
            path = ".".join(self._name(part) for part in match.group(1).split("."))
            return f"{path} ({self._names(match.group(2))})"
        if constraint.get("referencedTableName"):
            columns = constraint.get("referencedColumnNames")
            return self._table(constraint, "referencedTableName", "") + (
                f" ({self._names(columns)})" if columns else ""
            )
        return None

    def _sent(self, element: Element, make: Callable[[], str]) -> None:
        try:
            self.script.written([(make(), self._at(element))])
        except _Unclear:
            self._doubt(element)

    # Changes

    def _createTable(self, element: Element) -> None:
        columns = element.all("column")
        try:
            table = self._table(element)
            parts: list[tuple[str, Location]] = []
            rules: list[tuple[str, Location]] = []
            keys: list[str] = []
            label = ""
            for column in columns:
                sql, more = self._column(column)
                parts.append((sql, self._at(column)))
                rules += [(rule, self._at(column)) for rule in more]
                for constraint in column.all("constraints"):
                    if constraint.get("primaryKey") == "true":
                        keys.append(self._name(column.get("name")))
                        label = label or constraint.get("primaryKeyName")
            head = f"CONSTRAINT {self._name(label)} " if label else ""
        except _Unclear:
            self._doubt(element)
            return
        if keys:
            parts.append((f"{head}PRIMARY KEY ({', '.join(keys)})", self._at(element)))
        pieces = [(f"CREATE TABLE {table} (", self._at(element))]
        pieces += [(", " * (number > 0) + sql, place) for number, (sql, place) in enumerate([*parts, *rules])]
        self.script.written([*pieces, (")", self._at(element))])

    def _addColumn(self, element: Element) -> None:
        for column in element.all("column"):
            try:
                sql, rules = self._column(column)
                table = self._table(element)
            except _Unclear:
                self._doubt(element)
                continue
            keys = any(constraint.get("primaryKey") == "true" for constraint in column.all("constraints"))
            self.script.written([(f"ALTER TABLE {table} ADD COLUMN {sql}{' PRIMARY KEY' * keys}", self._at(column))])
            for rule in rules:
                self.script.written([(f"ALTER TABLE {table} ADD {rule}", self._at(column))])

    def _alter(self, element: Element, make: Callable[[], str]) -> None:
        self._sent(element, lambda: f"ALTER TABLE {self._table(element)} {make()}")

    def _dropColumn(self, element: Element) -> None:
        for name in [element.get("columnName"), *(column.get("name") for column in element.all("column"))]:
            if name:
                self._alter(element, functools.partial(self._dropped_column, name))

    def _dropped_column(self, name: str) -> str:
        return f"DROP COLUMN {self._name(name)}"

    def _renameColumn(self, element: Element) -> None:
        self._alter(
            element,
            lambda: (
                f"RENAME COLUMN {self._name(element.get('oldColumnName'))} TO {self._name(element.get('newColumnName'))}"
            ),
        )

    def _renameTable(self, element: Element) -> None:
        self._sent(
            element,
            lambda: (
                f"ALTER TABLE {self._table(element, 'oldTableName')} RENAME TO {self._name(element.get('newTableName'))}"
            ),
        )

    def _dropTable(self, element: Element) -> None:
        cascade = " CASCADE" * (element.get("cascadeConstraints") == "true")
        self._sent(element, lambda: f"DROP TABLE IF EXISTS {self._table(element)}{cascade}")

    def _of_column(self, element: Element, change: str) -> None:
        self._alter(element, lambda: f"ALTER COLUMN {self._name(element.get('columnName'))} {change}")

    def _modifyDataType(self, element: Element) -> None:
        self._of_column(element, f"TYPE {self._type(element.get('newDataType'))}")

    def _addNotNullConstraint(self, element: Element) -> None:
        self._of_column(element, "SET NOT NULL")

    def _dropNotNullConstraint(self, element: Element) -> None:
        self._of_column(element, "DROP NOT NULL")

    def _addDefaultValue(self, element: Element) -> None:
        self._of_column(element, "SET DEFAULT 'x'")

    def _dropDefaultValue(self, element: Element) -> None:
        self._of_column(element, "DROP DEFAULT")

    def _addAutoIncrement(self, element: Element) -> None:
        self._of_column(element, "ADD GENERATED BY DEFAULT AS IDENTITY")

    def _constraint(self, element: Element, kind: str, columns: str) -> None:
        label = element.get("constraintName")
        self._alter(
            element,
            lambda: "ADD " + (f"CONSTRAINT {self._name(label)} " if label else "") + f"{kind} ({self._names(columns)})",
        )

    def _addPrimaryKey(self, element: Element) -> None:
        self._constraint(element, "PRIMARY KEY", element.get("columnNames"))

    def _addUniqueConstraint(self, element: Element) -> None:
        self._constraint(element, "UNIQUE", element.get("columnNames"))

    def _dropConstraint(self, element: Element) -> None:
        key = "baseTableName" if element.name == "dropForeignKeyConstraint" else "tableName"
        label = element.get("constraintName")
        if not label and element.name == "dropPrimaryKey":
            label = f"{element.get(key)}_pkey"
        self._sent(
            element, lambda: f"ALTER TABLE {self._table(element, key)} DROP CONSTRAINT IF EXISTS {self._name(label)}"
        )

    _dropPrimaryKey = _dropUniqueConstraint = _dropForeignKeyConstraint = _dropConstraint

    def _addForeignKeyConstraint(self, element: Element) -> None:
        action = element.get("onDelete").upper()
        action = action if action in ("CASCADE", "SET NULL", "RESTRICT", "NO ACTION", "SET DEFAULT") else ""
        action = "CASCADE" if element.get("deleteCascade") == "true" else action

        def make() -> str:
            table = self._table(element, "baseTableName", "baseTableSchemaName")
            target = self._table(element, "referencedTableName", "referencedTableSchemaName")
            sql = f"ALTER TABLE {table} ADD CONSTRAINT {self._name(element.get('constraintName'))} FOREIGN KEY "
            sql += f"({self._names(element.get('baseColumnNames'))}) REFERENCES {target} "
            sql += f"({self._names(element.get('referencedColumnNames'))})"
            return sql + (f" ON DELETE {action}" if action else "")

        self._sent(element, make)

    def _createIndex(self, element: Element) -> None:
        unique = "UNIQUE " * (element.get("unique") == "true")

        def make() -> str:
            columns = [column.get("name") for column in element.all("column")]
            plain = [re.sub(r"\s+(?:asc|desc)$", "", name.strip(), flags=re.IGNORECASE) for name in columns]
            keys = [self._name(name) if re.fullmatch(r"[\w\"$]+", name) else "(lower('x'))" for name in plain]
            if not keys:
                raise _Unclear
            return f"CREATE {unique}INDEX {self._name(element.get('indexName'))} ON {self._table(element)} ({', '.join(keys)})"

        self._sent(element, make)

    def _dropIndex(self, element: Element) -> None:
        self._sent(element, lambda: f"DROP INDEX IF EXISTS {self._name(element.get('indexName'))}")

    def _createSequence(self, element: Element) -> None:
        self._sent(element, lambda: f"CREATE SEQUENCE {self._table(element, 'sequenceName')}")

    def _dropSequence(self, element: Element) -> None:
        self._sent(element, lambda: f"DROP SEQUENCE IF EXISTS {self._table(element, 'sequenceName')}")

    def _createView(self, element: Element) -> None:
        select = self._filled(element.text or element.get("selectQuery")).strip().rstrip(";")
        self._sent(element, lambda: f"CREATE OR REPLACE VIEW {self._table(element, 'viewName')} AS {select}")

    def _dropView(self, element: Element) -> None:
        self._sent(element, lambda: f"DROP VIEW IF EXISTS {self._table(element, 'viewName')}")

    def _sql(self, element: Element) -> None:
        if is_ours(element.get("dbms")):
            self.script.script(self._filled(element.text or element.get("sql")), self.path, element.line)

    def _createProcedure(self, element: Element) -> None:
        if is_ours(element.get("dbms")):
            self.script.script(self._filled(element.text or element.get("procedureText")), self.path, element.line)
