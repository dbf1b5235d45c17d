"""Compares the documents of the knowledge base with a folder of Google Drive."""

import os
from collections.abc import Iterator

import psycopg

# Drive lists paths in byte order; both sides are read side by side.
PATHS_FROM = """
    SELECT id, source_path, checksum
    FROM documents
    WHERE source_path COLLATE "C" > %(after)s
    ORDER BY source_path COLLATE "C"
    LIMIT 200
"""


def known_documents(connection: psycopg.Connection) -> Iterator[tuple[int, str, str]]:
    after = ""
    while True:
        rows = connection.execute(PATHS_FROM, {"after": after}).fetchall()
        if not rows:
            return
        yield from rows
        after = rows[-1][1]


def differences(listing: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """What to do with each path: add, change or remove."""
    with psycopg.connect(os.environ["MIGRATION_DATABASE_URL"], application_name="deskhand-sync") as connection:
        known = known_documents(connection)
        mine = next(known, None)
        for path, checksum in listing:
            while mine is not None and mine[1] < path:
                yield "remove", mine[1]
                mine = next(known, None)
            if mine is None or mine[1] > path:
                yield "add", path
                continue
            if mine[2] != checksum:
                yield "change", path
            mine = next(known, None)
        while mine is not None:
            yield "remove", mine[1]
            mine = next(known, None)
