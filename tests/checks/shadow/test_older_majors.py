from __future__ import annotations

import psycopg
import pytest

from tests.servers import OLDER_MAJORS, start_major

pytestmark = pytest.mark.all


@pytest.mark.parametrize("major", OLDER_MAJORS)
def test_a_server_of_an_older_major_runs_with_a_standby(major: int) -> None:
    with start_major(major) as primary:
        standby = primary.standby()
        with (
            psycopg.connect(primary.dsn(), autocommit=True) as connection,
            psycopg.connect(standby.dsn(), autocommit=True) as reader,
        ):
            assert connection.info.server_version // 10_000 == major
            connection.execute("CREATE EXTENSION pg_stat_statements")
            row = connection.execute("SELECT state FROM pg_catalog.pg_stat_replication").fetchone()
            assert row == ("streaming",)
            assert reader.execute("SELECT pg_catalog.pg_is_in_recovery()").fetchone() == (True,)
