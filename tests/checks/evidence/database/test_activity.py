"""Who waits for whom, what holds back VACUUM, and maintenance at work."""

from __future__ import annotations

import threading

from checks.evidence.database.facts import Activity, CheckpointUsage, Usage, WalUsage
from checks.evidence.database.observe import observe_database
from tests.servers import Database


def activity_of(database: Database) -> Activity:
    activity = observe_database(database.dsn).activity
    assert isinstance(activity, Activity)
    return activity


def test_blockers_and_waits(database: Database) -> None:
    database.execute("CREATE TABLE a (id int)")
    holder = database.connect(autocommit=False, application_name="holder")
    holder.execute("LOCK TABLE a")
    waiting = [database.connect(application_name="waiting") for _ in range(2)]
    threads = [threading.Thread(target=lambda c=one: c.execute("SELECT * FROM a")) for one in waiting]
    for thread in threads:
        thread.start()
    database.wait_until("SELECT count(*) = 2 FROM pg_locks WHERE NOT granted")
    activity = activity_of(database)
    holder.rollback()
    for thread in threads:
        thread.join()
    ours = [session for session in activity.sessions if session.database == database.name]
    assert [session.application_name for session in ours if session.blocked] == ["waiting", "waiting"]
    [blocker] = [session for session in ours if session.application_name == "holder"]
    assert blocker.blocks == 2
    assert sum(wait.sessions for wait in activity.waits if wait.type == "Lock") == 2


def test_what_holds_the_horizon_is_named(database: Database) -> None:
    database.execute("CREATE TABLE a (id int)")
    old = database.connect(autocommit=False, application_name="forgotten")
    old.execute("INSERT INTO a VALUES (1)")
    for _ in range(3):
        database.execute("INSERT INTO a VALUES (2)")
    activity = activity_of(database)
    [holder] = [entry for entry in activity.horizon if entry.name == "forgotten"]
    assert holder.kind == "session"
    assert holder.xmin_age >= 3
    assert holder.age_s is not None
    old.rollback()


def test_a_copy_at_work_is_seen(database: Database) -> None:
    database.execute("CREATE TABLE a (t text)")
    connection = database.connect()
    with connection.cursor() as cursor, cursor.copy("COPY a FROM STDIN") as copy:
        for _ in range(20_000):
            copy.write("some text\n")
        database.wait_until("SELECT count(*) = 1 FROM pg_stat_progress_copy WHERE bytes_processed > 0")
        evidence = observe_database(database.dsn)
    assert isinstance(evidence.activity, Activity)
    [progress] = [entry for entry in evidence.activity.progress if entry.database == database.name]
    assert progress.command == "COPY"
    assert progress.done
    assert progress.total is None


def test_counters_of_the_whole_server(database: Database) -> None:
    database.execute("CREATE TABLE a (id int); INSERT INTO a SELECT generate_series(1, 1000); CHECKPOINT")
    usage = observe_database(database.dsn).usage
    assert isinstance(usage, Usage)
    assert isinstance(usage.wal, WalUsage)
    assert isinstance(usage.checkpoints, CheckpointUsage)
    assert usage.wal.bytes > 1000
    assert usage.wal.records > 100
    assert usage.checkpoints.requested >= 1
    assert (usage.checkpoints.done is not None) == (database.major >= 18)
    assert (usage.checkpoints.written_by_backends is None) == (database.major >= 17)
    assert usage.conflicts is not None
    assert set(usage.conflicts) >= {"confl_lock", "confl_snapshot"}
    assert usage.database["xact_commit"] > 0
