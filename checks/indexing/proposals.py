"""A proposed index: what it is, what it would serve, and the statement that makes it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from checks.evidence.database.facts import Catalog
from checks.index_creation import build
from checks.indexing.needs import Need
from checks.model import Fix, quote_identifier


class Purpose(StrEnum):
    """What an index would be for: rows by columns compared; by a join; a page in order; by an expression; by what stands in a
    document; by a part of a text; by words; by elements of an array; by a range of an append-only column."""

    FILTER = "filter"
    JOIN = "join"
    ORDER = "order"
    EXPRESSION = "expression"
    DOCUMENT = "document"
    PATTERN = "pattern"
    TEXT_SEARCH = "text search"
    ARRAY = "array"
    RANGE = "range"


class Key(msgspec.Struct, frozen=True):
    """One key of a proposed index. `sql` is what stands between the parentheses, quoted, without the operator class;
    `column` its name if it is a plain column, else the column that the expression is about."""

    sql: str
    column: str
    operator_class: str = ""

    @property
    def is_column(self) -> bool:
        return self.sql == quote_identifier(self.column)


class Candidate(msgspec.Struct, frozen=True):
    """A proposed index and what it serves. `table` is the catalog's oid, `method` of pg_am, `included` and `predicate` as in
    CREATE INDEX. `extension` must be installed first (pg_trgm). `needs` are the statements, costliest first."""

    purpose: Purpose
    table: int
    method: str
    keys: tuple[Key, ...]
    needs: tuple[Need, ...]
    included: tuple[str, ...] = ()
    predicate: str | None = None
    extension: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns its keys are about, in order."""
        return tuple(key.column for key in self.keys)

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements it serves: query ids, and `file:line` of what stands in code and never ran."""
        return tuple(dict.fromkeys(need.name for need in self.needs))

    @property
    def ran(self) -> bool:
        """Whether any of them ran."""
        return any(need.statement is not None for need in self.needs)

    @property
    def rows_left(self) -> float | None:
        """The fewest rows that one of the statements leaves on average."""
        return min((need.rows_left for need in self.needs if need.rows_left is not None), default=None)

    @property
    def discriminator(self) -> str:
        """What tells it from other proposals for the table, in a finding's fingerprint."""
        parts = [",".join(key.column if key.is_column else key.sql for key in self.keys)]
        parts += [self.method] if self.method != "btree" else []
        parts += [f"where {self.predicate}"] if self.predicate else []
        return " ".join(parts)


def creation(catalog: Catalog, candidate: Candidate, summary: str) -> Fix:
    """The statement that makes the index, its lock and how to undo it."""
    table = catalog.table_by_oid[candidate.table]
    built = build(catalog, table, candidate.columns, definition(candidate))
    extension = (
        f"CREATE EXTENSION IF NOT EXISTS {quote_identifier(candidate.extension)}; " if candidate.extension else ""
    )
    return Fix(summary, f"{extension}{built.sql}", lock=built.lock, undo=built.undo)


def definition(candidate: Candidate) -> str:
    """What follows the table's name in CREATE INDEX: `USING gin (body gin_trgm_ops) WHERE ...`."""
    keys = ", ".join(f"{key.sql} {key.operator_class}".rstrip() for key in candidate.keys)
    using = "" if candidate.method == "btree" else f"USING {candidate.method} "
    included = ", ".join(quote_identifier(name) for name in candidate.included)
    return (
        f"{using}({keys})"
        + (f" INCLUDE ({included})" if included else "")
        + (f" WHERE {candidate.predicate}" if candidate.predicate else "")
    )
