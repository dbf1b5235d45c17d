"""What a shadow is made of: a target's schema, sizes and planner statistics. Statistics hold values of rows; nothing else here
does."""

from __future__ import annotations

import msgspec


class Omission(msgspec.Struct, frozen=True, order=True):
    """Something of the target that its shadow lacks, or has only nearly. `kind` as in Subject, or a word of pg_dump's;
    `relations` are those (schema, name) whose plans it concerns, empty where it concerns none or cannot be told."""

    kind: str
    name: str
    reason: str
    relations: tuple[tuple[str, str], ...] = ()


class RelationSize(msgspec.Struct, frozen=True):
    """A relation with a file, or a partitioned one. `kind` is relkind, `method` the access method of an index. `pages` is the
    size now in blocks; `relpages`, `reltuples`, `all_visible`, `all_frozen` are what the last VACUUM or ANALYZE wrote down.
    `table` is (schema, name) of an index's table. `level` is the height of a B-tree above its leaves, where it could be read."""

    schema: str
    name: str
    kind: str
    pages: int
    relpages: int
    reltuples: float
    all_visible: int = 0
    all_frozen: int = 0
    method: str = ""
    table: tuple[str, str] | None = None
    level: int | None = None

    @property
    def path(self) -> tuple[str, str]:
        return self.schema, self.name


class ColumnValues(msgspec.Struct, frozen=True):
    """One row of pg_stats, its arrays as PostgreSQL prints them."""

    schema: str
    relation: str
    column: str
    inherited: bool
    null_frac: float
    avg_width: int
    n_distinct: float
    most_common_vals: str | None = None
    most_common_freqs: str | None = None
    histogram_bounds: str | None = None
    correlation: float | None = None
    most_common_elems: str | None = None
    most_common_elem_freqs: str | None = None
    elem_count_histogram: str | None = None
    range_length_histogram: str | None = None
    range_empty_frac: float | None = None
    range_bounds_histogram: str | None = None


class ExtendedValues(msgspec.Struct, frozen=True):
    """What ANALYZE found for CREATE STATISTICS, serialised as the server keeps it. `columns` are the names behind the numbers in
    it, which are the table's own; `mcv` is None where this role may not read it or it holds types with numbers of their own."""

    schema: str
    name: str
    inherited: bool
    columns: dict[int, str]
    ndistinct: bytes | None = None
    dependencies: bytes | None = None
    mcv: bytes | None = None


class Ends(msgspec.Struct, frozen=True):
    """The least and the greatest value of a column, as PostgreSQL prints them."""

    schema: str
    table: str
    column: str
    low: str
    high: str


class MetaPage(msgspec.Struct, frozen=True):
    """Block 0 of a GIN index, from which the planner reads its figures."""

    schema: str
    name: str
    block: bytes

    @property
    def path(self) -> tuple[str, str]:
        return self.schema, self.name


class Collation(msgspec.Struct, frozen=True):
    """A collation of pg_catalog that a column or an index names."""

    name: str
    provider: str


class Blueprint(msgspec.Struct, frozen=True, kw_only=True):
    """All that a shadow takes of its target. `ddl` is what pg_dump wrote, `settings` the server's planner settings by name with
    their unit, `snapshot_s` how long pg_dump held its snapshot."""

    version_num: int
    database: str
    encoding: str
    collate: str
    ctype: str
    provider: str
    ddl: str
    relations: tuple[RelationSize, ...] = ()
    columns: tuple[ColumnValues, ...] = ()
    extended: tuple[ExtendedValues, ...] = ()
    ends: tuple[Ends, ...] = ()
    meta_pages: tuple[MetaPage, ...] = ()
    collations: tuple[Collation, ...] = ()
    settings: dict[str, str] = {}
    omissions: tuple[Omission, ...] = ()
    snapshot_s: float = 0.0

    @property
    def major(self) -> int:
        return self.version_num // 10000
