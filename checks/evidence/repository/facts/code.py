"""SQL as it stands in code, and which of it ran."""

from __future__ import annotations

import msgspec

from checks.model import Location


class CodeStatement(msgspec.Struct, frozen=True):
    """An SQL statement in application code, as it stands there: placeholders and holes written `$1`, `$2`, ...

    `source`: python, typescript, go, ruby, java, kotlin, rust, php, csharp, sql. `holes` counts parts put in at run
    time that are not placeholders; a hole makes the statement dynamic. `parsed` tells whether its access pattern can be
    read. `limit` is the outermost LIMIT where it is written as a number, which `text` masks. `hole_kinds` says of each
    hole what its place makes it: identifier, value, count (of a LIMIT or OFFSET), or fragment, which may be any piece of
    SQL; empty where nobody looked. `name` is what a comment in a file of queries calls the statement (sqlc, aiosql, yesql,
    pugsql).
    """

    location: Location
    source: str
    text: str
    holes: int = 0
    parsed: bool = True
    limit: int | None = None
    hole_kinds: tuple[str, ...] = ()
    name: str | None = None


class Match(msgspec.Struct, frozen=True):
    """`how`: query_id (the server computed the same identifier), text (normalised texts are equal), pattern (same access)."""

    query_id: str
    location: Location
    how: str
