"""Behaviour of code around its statements, which no single statement shows."""

from __future__ import annotations

import msgspec

from checks.model import Location


class Behaviour(msgspec.Struct, frozen=True):
    """What code does around a statement, at the call that sends it.

    `kind`: query_in_loop, insert_in_loop, check_then_insert, read_modify_write, queue_poll, external_call_in_transaction,
    retry_without_backoff, isolation_level, session_state, reader_split, cache_fill, connection_per_request, prepared_statement,
    count_for_existence, lock_order (a transaction that locks rows of `table` before those of the table `detail`), dual_write
    (the same function writes to another vector store, named by `detail`), lazy_load (of a relation, in a loop). `function` is
    the function or method around it. `table` is the table concerned as the code names it, where it is known. `text` is the SQL
    of that call as `CodeStatement.text` has it. `other` is the second place where there is one: of check_then_insert the
    insert, of read_modify_write and queue_poll the write, of external_call_in_transaction the call, of cache_fill the look into
    the cache, of lock_order the later statement, of dual_write the other store's call, of connection_per_request the call of
    the helper, of a loop its head. `detail` is a word or two: of a statement in a loop its verb; of check_then_insert the
    columns compared; of read_modify_write the attribute; of external_call_in_transaction the library; of retry_without_backoff
    "no wait", "fixed wait" or "tenacity without wait"; of isolation_level the level in lower case; of session_state what is set
    or held; of reader_split what names the reader; of cache_fill the cache; of dual_write the store; of lazy_load the relation.
    `certain` is False where a helper function in between was not followed; `many` of check_then_insert: the look brings every
    row, as findMany() does, and not whether there is one.
    """

    kind: str
    location: Location
    function: str | None = None
    table: str | None = None
    text: str | None = None
    other: Location | None = None
    detail: str = ""
    certain: bool = True
    many: bool = False
