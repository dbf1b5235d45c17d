"""The statements that build a new index while the application goes on: one, or, on a partitioned table, one for each part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from checks.evidence.database.facts import Catalog, Column, Index, Table
from checks.evidence.tokens import Kind, Token, significant
from checks.indexing.coverage import collation
from checks.model import qualified_name, quote_identifier
from checks.relations import is_usable, new_name

# Of a tree with more, one statement builds all at once and keeps writers out meanwhile.
PARTS_AT_MOST = 60


class Built(NamedTuple):
    """`sql` makes the index and `undo` removes it; `lock` is the strongest that `sql` takes."""

    sql: str
    undo: str
    lock: str


def build(
    catalog: Catalog, table: Table, columns: Sequence[str], definition: str, suffix: str = "idx", taken: set[str] | None = None
) -> Built:  # fmt: skip
    """How to make the index that `definition` tells: what follows the table's name in CREATE INDEX. Its name is of the table,
    `columns` and `suffix`. `taken` are names given before, as qualified_name has them; those given here are added.

    CONCURRENTLY is not for a partitioned table. Its index is made ON ONLY it, which reads no row, then CONCURRENTLY on each
    partition, and attached; with the last it becomes valid ("Partitioning" in PostgreSQL's manual).
    """
    given = taken if taken is not None else set()
    name = _name(catalog, table, columns, suffix, given)
    path = qualified_name(table.schema, name)
    on = f"{qualified_name(table.schema, table.name)} {definition};"
    if table.kind != "partitioned":
        return Built(
            f"CREATE INDEX CONCURRENTLY {quote_identifier(name)} ON {on}",
            f"DROP INDEX CONCURRENTLY {path};",
            "SHARE UPDATE EXCLUSIVE",
        )
    parts = _parts(catalog, table)
    undo = "\n".join(
        [f"DROP INDEX {path};"]
        + [
            f"CREATE INDEX CONCURRENTLY {quote_identifier(index.name)} ON {qualified_name(part.schema, part.name)} {definition};"
            for part in parts
            if (index := _own(catalog, part, definition)) is not None
        ]
    )
    if len(parts) > PARTS_AT_MOST or any(part.kind not in ("table", "partitioned") for part in parts):
        # Nor does an index become valid by attaching where a partition is on another server.
        return Built(f"CREATE INDEX {quote_identifier(name)} ON {on}", undo, "SHARE")
    lines = [
        f"CREATE INDEX {quote_identifier(name)} ON ONLY {on}",
        *_attached(catalog, table, path, columns, definition, suffix, given),
    ]
    return Built("\n".join(lines), undo, "SHARE")


def _attached(
    catalog: Catalog, table: Table, root: str, columns: Sequence[str], definition: str, suffix: str, given: set[str]
) -> Iterator[str]:
    for part in catalog.partitions_of(table.oid):
        own = _own(catalog, part, definition)
        if own is not None:
            yield f"ALTER INDEX {root} ATTACH PARTITION {qualified_name(own.schema, own.name)};"
            continue
        name = _name(catalog, part, columns, suffix, given)
        path = qualified_name(part.schema, name)
        branch = part.kind == "partitioned"
        how, only = ("", "ONLY ") if branch else (" CONCURRENTLY", "")
        yield (
            f"CREATE INDEX{how} {quote_identifier(name)} ON {only}{qualified_name(part.schema, part.name)} {definition};"
        )
        if branch:
            yield from _attached(catalog, part, path, columns, definition, suffix, given)
        yield f"ALTER INDEX {root} ATTACH PARTITION {path};"


def _parts(catalog: Catalog, table: Table) -> list[Table]:
    """All partitions below."""
    found = [table]
    for part in found:
        found += catalog.partitions_of(part.oid)
    return found[1:]


def _own(catalog: Catalog, part: Table, definition: str) -> Index | None:
    """An index that a partition has of its own and that is the one wanted: a B-tree over the same columns, and nothing else."""
    tokens = significant(definition)
    names = [token for token in tokens[1:-1] if token.text != ","]
    if not all(token.kind in (Kind.WORD, Kind.QUOTED) for token in names) or len(tokens) != 2 * len(names) + 1:
        return None
    columns = [catalog.column_named(part.oid, _identifier(token)) for token in names]
    return next((index for index in catalog.indexes_of(part.oid) if _is_over(index, columns)), None)


def _is_over(index: Index, columns: Sequence[Column | None]) -> bool:
    return (
        index.method == "btree"
        and index.parent is None
        and index.extension is None
        and is_usable(index)
        and not (index.unique or index.predicate is not None or index.included)
        and len(index.keys) == len(columns)
        and all(
            column is not None
            and key.column == column.number
            and collation(key.collation) == collation(column.collation)
            and not (key.descending or key.nulls_first or key.operator_class.endswith("pattern_ops"))
            for key, column in zip(index.keys, columns, strict=True)
        )
    )


def _identifier(token: Token) -> str:
    return token.text[1:-1].replace('""', '"') if token.kind is Kind.QUOTED else token.text.lower()


def _name(catalog: Catalog, table: Table, columns: Sequence[str], suffix: str, given: set[str]) -> str:
    name, number = new_name(catalog, table.schema, table.name, *columns, suffix), 1
    while qualified_name(table.schema, name) in given:
        number += 1
        name = new_name(catalog, table.schema, table.name, *columns, f"{suffix}{number}")
    given.add(qualified_name(table.schema, name))
    return name
