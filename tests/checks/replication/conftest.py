from __future__ import annotations

from collections.abc import Iterator

import pytest

from checks.shadow.server import EmbeddedServer
from tests.servers import start_chosen


@pytest.fixture(scope="package")
def publishing_server(pytestconfig: pytest.Config) -> Iterator[EmbeddedServer]:
    """A server of its own that publishes, keeps little WAL for slots, and takes prepared transactions."""
    settings = {
        "wal_level": "logical",
        "max_prepared_transactions": "5",
        "max_slot_wal_keep_size": "4MB",
        "min_wal_size": "8MB",
        "max_wal_size": "8MB",
    }
    with start_chosen(pytestconfig, settings) as running:
        yield running
