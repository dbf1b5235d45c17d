"""What a shadow of a large schema costs, against the figures that issue 10 asks for. Used by bench.py."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

from checks.evidence.observe import Target, observe
from checks.shadow.clone import Shadow
from checks.shadow.growth import FACTORS, grow
from checks.shadow.server import start

TABLES = 1_000
ROWS = 50
STATEMENTS = 200
GOALS = {"clone": 20.0, "growth": 15.0, "disk": 250}
AT_ONCE = 100


def measure_shadow(say: Callable[..., None]) -> None:
    """Clones 1,000 tables with 5,000 indexes, and plans 200 statements at four sizes."""
    with start({"fsync": "off", "autovacuum": "off", "max_locks_per_transaction": "1024"}) as server:
        dsn = server.dsn()
        _make(dsn)
        evidence = observe(Target(dsn)).evidence
        began = time.perf_counter()
        with Shadow.of_target(dsn, evidence) as shadow:
            cloned = time.perf_counter() - began
            began = time.perf_counter()
            growth = grow(shadow, evidence)
            grown = time.perf_counter() - began
            disk = shadow.disk_bytes
    say(f"clone of {TABLES:,} tables, {5 * TABLES:,} indexes", f"{cloned:.1f} s", f"goal {GOALS['clone']:.0f} s")
    planned = f"growth of {len(growth.statements)} statements x {len(FACTORS)} factors"
    say(planned, f"{grown:.1f} s", f"goal {GOALS['growth']:.0f} s", f"unplanned {growth.unplanned}")
    say("disk taken by the shadow", f"{disk / 2**20:.0f} MiB", f"goal {GOALS['disk']} MB")


def _make(dsn: str) -> None:
    columns = ", ".join(f"c{number} int" for number in range(4))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
        for begin in range(0, TABLES, AT_ONCE):
            script = []
            for table in range(begin, begin + AT_ONCE):
                parent = f" REFERENCES t{table - 1}" if table else ""
                script.append(f"CREATE TABLE t{table} (id int PRIMARY KEY, parent int{parent}, {columns}, note text)")
                script += [f"CREATE INDEX ON t{table} (c{number})" for number in range(4)]
                script.append(f"INSERT INTO t{table} SELECT i, i, i, i, i, i, 'n' FROM generate_series(1, {ROWS}) AS i")
            connection.execute("; ".join(script).encode())
        connection.execute(b"ANALYZE; SELECT pg_stat_statements_reset()")
        for number in range(STATEMENTS):
            connection.execute(
                f"SELECT t{number}.note FROM t{number} JOIN t{number + 1} ON t{number + 1}.parent = t{number}.id "
                f"WHERE t{number + 1}.c1 = {number} ORDER BY t{number}.c2 LIMIT 10".encode()
            )
