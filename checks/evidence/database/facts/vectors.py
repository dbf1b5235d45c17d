"""How the database itself searches vectors and documents: bodies of functions, pgvector's settings, and measured recall."""

from __future__ import annotations

from functools import cached_property

import msgspec

from checks.model import Subject


class BodyStatement(msgspec.Struct, frozen=True):
    """A statement in the body of a function in SQL or PL/pgSQL, with its literals masked and the function's arguments as the
    names that they are. `limit` is the outermost LIMIT where it is a number or an argument with a default. `dynamic`: it is a
    string that EXECUTE runs, of which parts may be put in."""

    function: Subject
    text: str
    limit: int | None = None
    dynamic: bool = False


class SentSetting(msgspec.Struct, frozen=True):
    """A SET of one of pgvector's settings that pg_stat_statements counted: how often, and whether LOCAL to its transaction."""

    name: str
    local: bool
    calls: int


class Embeddings(msgspec.Struct, frozen=True, tag=True, dict=True):
    """`bodies` are statements that use vector distances or look into documents. `settings` are pgvector's own (`hnsw.ef_search`,
    ...) as the server has them for every session, known only once its library is loaded; one that this login has a value of
    its own for is left out. `sent` are those that clients set themselves. `unread` counts functions whose bodies were too
    large to be read."""

    bodies: tuple[BodyStatement, ...] = ()
    settings: dict[str, str] = {}
    unread: int = 0
    sent: tuple[SentSetting, ...] = ()

    @cached_property
    def by_function(self) -> dict[Subject, tuple[BodyStatement, ...]]:
        found: dict[Subject, tuple[BodyStatement, ...]] = {}
        for body in self.bodies:
            found[body.function] = (*found.get(body.function, ()), body)
        return found


class RecallAt(msgspec.Struct, frozen=True):
    """Approximate against exact search at one search breadth (hnsw.ef_search or ivfflat.probes).

    `recall` is the share (0 to 1) of the exact `k` nearest that the index returned, over all `searches`; `low` and `high`
    bound it with 95 % confidence (the searches' own recalls, resampled). `returned` is the mean number of rows that came back,
    `median_ms` and `p95_ms` the time of the approximate search as seen from here.
    """

    breadth: int
    recall: float
    low: float
    high: float
    searches: int
    returned: float
    median_ms: float
    p95_ms: float


class RecallMeasurement(msgspec.Struct, frozen=True):
    """One index, at one `k`, under one filter. `filtered_by` are the columns whose value (that of the sampled row) the search is
    confined to, empty for all rows. `at` begins with the breadth in force. `exact_ms` is the median of the exact search.
    `used` is false where the planner does not take the index by itself: it was made to. `unit_length` is the share of sampled
    vectors of length 1, `zero_length` of length 0.
    """

    index: int
    table: int
    column: int
    operator: str
    k: int
    at: tuple[RecallAt, ...] = ()
    filtered_by: tuple[str, ...] = ()
    exact_ms: float = 0.0
    used: bool = True
    unit_length: float | None = None
    zero_length: float | None = None


class Recall(msgspec.Struct, frozen=True, tag=True):
    """What --measure-recall measured. `skipped` tells by an index's oid why it was not measured, or not to the end:
    no_time, not_permitted, no_rows, unsupported."""

    measurements: tuple[RecallMeasurement, ...] = ()
    skipped: dict[str, str] = {}
    seconds: float = 0.0
