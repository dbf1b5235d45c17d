from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest

from checks.evidence.database.facts import Activity, Rates, Standby, StatementRate, WaitCount
from checks.evidence.database.facts import Session as ClientSession
from checks.evidence.observe import Target
from tests.servers import Database
from tests.tui.conftest import MakeApp, MakeReview
from tests.tui.findings import HOSTILE
from tests.tui.screen import screen_text, until
from tui.live import Sample, watch
from tui.screens.live import Live, live_paragraphs
from tui.widgets.sparkline import blocks


def client(**more: Any) -> ClientSession:
    return ClientSession("api", "app", "support", "active", 3.0, 1.0, **more)


def sample(calls: float = 0.0, *sessions: ClientSession) -> Sample:
    found = Rates(2.0, 10.0, 1.0, 2_048.0, calls, (StatementRate("7", calls, calls * 4),) if calls else ())
    found = msgspec.structs.replace(found, mean_ms=4.0 if calls else None, mean_ms_ever=3.0)
    standbys = (Standby("near", "streaming", "sync", 0, 0.0), Standby("far", "streaming", "async", 1024**3, 12.5))
    return Sample(found, Activity(sessions, 100, waits=(WaitCount("Lock", "transactionid", 2),)), 9, 12.0, standbys)


@pytest.fixture
def busy(database: Database) -> Iterator[Database]:
    """A database in which somebody works, and somebody waits for a lock."""
    database.execute("CREATE EXTENSION pg_stat_statements")
    database.execute("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0), (2, 0)")
    stop = threading.Event()
    holder = psycopg.connect(database.dsn)
    holder.execute("UPDATE t SET n = n + 1 WHERE id = 1")
    waiter = psycopg.connect(database.dsn, autocommit=True)

    def wait() -> None:
        waiter.execute("UPDATE t SET n = n + 1 WHERE id = 1")

    def work() -> None:
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            while not stop.wait(0.01):
                connection.execute("UPDATE t SET n = n + 1 WHERE id = 2")

    threads = [threading.Thread(target=wait), threading.Thread(target=work)]
    for thread in threads:
        thread.start()
    yield database
    stop.set()
    holder.rollback()
    holder.close()
    for thread in threads:
        thread.join()
    waiter.close()


def test_a_server_at_work(busy: Database) -> None:
    seen: list[Sample] = []
    stop = threading.Event()

    def report(one: Sample) -> None:
        seen.append(one)
        if len(seen) >= 4:
            stop.set()

    begun = time.monotonic()
    watch(busy.dsn, report, stop, every_s=0.6)
    assert time.monotonic() - begun < 10
    assert max(one.blocked for one in seen) == 1
    assert max(one.idle_in_transaction for one in seen) == 1
    assert max(one.rates.transactions_per_s or 0 for one in seen) > 5
    assert max(one.rates.wal_bytes_per_s or 0 for one in seen) > 0
    texts = [text for one in seen for text in one.texts.values()]
    assert "UPDATE t SET n = n + $1 WHERE id = $2" in texts
    assert not [text for text in texts if text.startswith(("BEGIN", "COMMIT"))]


async def test_the_page_fills_while_one_looks_and_lets_go_afterwards(
    make_app: MakeApp, make_review: MakeReview, busy: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.live.watch.__defaults__", (0.3, None))
    app = make_app(review=make_review())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        app.target = Target(busy.dsn, None)
        await pilot.press("L")
        await until(pilot, lambda: "waiting for a lock" in screen_text(pilot), 15)
        await until(pilot, lambda: "holds up 1 session" in screen_text(pilot))
        live = app.screen
        assert isinstance(live, Live)
        await pilot.press("space")
        assert "Paused" in screen_text(pilot)
        await pilot.press("escape")
        assert app.current_mode == "walk"
        await until(pilot, lambda: live._stop.is_set())
        with psycopg.connect(busy.dsn) as connection:
            until_s = time.monotonic() + 10
            ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgsurveyor' AND datname = current_database()"
            while connection.execute(ours).fetchone() != (0,):
                assert time.monotonic() < until_s
                connection.rollback()
                time.sleep(0.1)


async def test_one_may_watch_while_the_review_runs(
    make_app: MakeApp, busy: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.live.watch.__defaults__", (0.3, None))
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.target = Target(busy.dsn, None, watch_s=30.0)
        app.action_go("run")
        await until(pilot, lambda: app.is_running, 15)
        await pilot.press("l")
        await until(pilot, lambda: "holds up 1 session" in screen_text(pilot), 20)
        assert app.is_running
        await pilot.press("escape")
        await until(pilot, lambda: "looking at the counters" in screen_text(pilot) or "elapsed" in screen_text(pilot))
        await pilot.press("c")
        await until(pilot, lambda: not app.is_running, 20)


async def test_without_a_server_the_page_says_so(make_app: MakeApp, make_review: MakeReview) -> None:
    async with make_app(review=make_review()).run_test(size=(80, 24)) as pilot:
        await pilot.press("L")
        await until(pilot, lambda: "without its server" in screen_text(pilot))


def text(samples: list[Sample], width: int, **more: str) -> str:
    samples = [msgspec.structs.replace(one, texts=more) for one in samples]
    return "\n".join(one.first.plain + one.text.plain for one in live_paragraphs(samples, width))


@pytest.mark.parametrize("width", [50, 78, 140])
def test_the_page_in_words(width: int) -> None:
    samples = [sample(), sample(5.0, client(blocks=1), client(blocked=True)), sample(2.5)]
    shown = text(samples[:2], width)
    assert "holds up 1 session" in shown
    assert "Lock: transactionid" in shown
    assert "4.0 ms" in shown
    assert "100.0%" in shown
    assert "ever 3.0 ms" in shown
    assert "of 100" in shown
    assert "far 1.0 GB behind, 12.5 s   streaming, async" in " ".join(shown.split("\n"))
    assert "nobody waits for a lock" in text(samples, width)


def test_hostile_sessions_and_statements() -> None:
    for name in HOSTILE:
        one = sample(1.0, ClientSession(name, name, name, name, 1.0, 1.0, blocked=True))
        shown = text([one], 100, **{"7": name})
        assert not [
            c for c in shown if c != "\n" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or "\u202a" <= c <= "\u202e")
        ]


def test_blocks() -> None:
    assert blocks([0.0, 1.0, 4.0, 8.0, None], 5) == " ▁▄█·"
    assert blocks([], 3) == "   "
    assert blocks([0.0, 0.0], 2) == "  "
    assert blocks([1.0] * 10, 4) == "████"
