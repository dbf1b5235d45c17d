"""What reviewing a database of many tables costs, against the figures that issue 3 asks for. Used by bench.py."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from checks.evidence.database.catalog import observe_catalog
from checks.evidence.database.dsn import understand
from checks.evidence.database.query import query
from checks.evidence.database.session import CATALOG_MANNERS, Session
from checks.evidence.observe import Target, observe
from checks.shadow.server import find_binaries, start

CATALOG_QUERIES = (
    "tables columns constraints operator_classes indexes sequences functions views triggers policies extended_statistics"
).split()
AT_ONCE = 500


class Size(NamedTuple):
    """A database to make: so many tables, with a foreign key to the one before each, and what reviewing it may cost."""

    tables: int
    references: bool
    seconds: float
    mebibytes: int


SIZES = {
    "1000": Size(1_000, True, 3.0, 400),
    "10001": Size(10_001, True, 12.0, 400),
    "100001": Size(100_001, False, 120.0, 1_536),
}


def measure(names: Sequence[str], cost: Callable[[Sequence[str]], Any], say: Callable[..., None], program: str) -> None:
    """Makes each database on a server of its own and prints what `pgsurveyor run --no-repo` takes on it."""
    for name in names:
        size = SIZES[name]
        with start({"fsync": "off", "autovacuum": "off", "max_locks_per_transaction": "1024"}) as server:
            dsn = server.dsn()
            began = time.perf_counter()
            _make(dsn, size)
            say(f"a database of {size.tables:,} tables is ready", f"{time.perf_counter() - began:.0f} s")
            with tempfile.TemporaryDirectory() as folder:
                command = [
                    *(
                        "env",
                        f"XDG_DATA_HOME={folder}",
                        program,
                        "run",
                        dsn,
                        "--no-repo",
                        "--output",
                        f"{folder}/card.md",
                    )
                ]
                spent = cost(command)
            assert spent.status == 0, f"exit status {spent.status}"
            say(
                "  pgsurveyor run --no-repo",
                f"{spent.seconds:.1f} of {size.seconds:g} s",
                f"{spent.peak_bytes / 2**20:.0f} of {size.mebibytes} MiB",
            )
            evidence = observe(Target(dsn)).evidence
            say(
                "  statements but EXPLAIN; time on the server",
                f"{evidence.effort.statements}",
                f"{evidence.effort.server_ms:.0f} ms",
            )
            ours, theirs = min(_ours(dsn) for _ in range(3)), min(_psql(dsn) for _ in range(3))
            say(
                "  catalog facts; the same queries by psql",
                f"{ours:.2f} s",
                f"{theirs:.2f} s",
                f"{ours / theirs:.1f} of 2.5",
            )


def _make(dsn: str, size: Size) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
        for first in range(0, size.tables, AT_ONCE):
            last = min(first + AT_ONCE, size.tables) - 1
            reference = (
                "|| CASE WHEN i > 0 THEN format(', before bigint REFERENCES t%s', i - 1) ELSE '' END"
                if size.references
                else ""
            )
            key = "bigserial" if size.references else "bigint"
            index = (
                "IF i > 0 THEN EXECUTE format('CREATE INDEX ON t%s (before)', i); END IF;" if size.references else ""
            )
            connection.execute(
                f"""DO $$BEGIN FOR i IN {first}..{last} LOOP
                EXECUTE format('CREATE TABLE t%s (id {key} PRIMARY KEY, tenant int NOT NULL, body text, '
                    'made timestamptz DEFAULT now()', i) {reference} || ')';
                {index} END LOOP; END$$""".encode()
            )


def _ours(dsn: str) -> float:
    with Session(understand(dsn)) as session:
        began = time.perf_counter()
        with session.transaction(one_snapshot=True):
            observe_catalog(session)
        return time.perf_counter() - began


def _psql(dsn: str) -> float:
    with Session(understand(dsn)) as session:
        major = session.major
    lines = [f"SET {name} = '{value}';" for name, value in CATALOG_MANNERS.items()]
    lines.append("SET statement_timeout = 0;")
    lines += [f"{query(name, major)};" for name in CATALOG_QUERIES]
    binaries = find_binaries()
    began = time.perf_counter()
    with Path(os.devnull).open("w") as nowhere:
        subprocess.run(
            [str(binaries / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", dsn],
            input="\n".join(lines),
            text=True,
            stdout=nowhere,
            check=True,
        )
    return time.perf_counter() - began
