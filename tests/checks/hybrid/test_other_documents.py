from __future__ import annotations

from checks.evidence.observe import Target, observe
from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.checks.workload import prepare, send
from tests.servers import Database

TEXT, HSTORE, ARRAY = "hybrid.json-in-text", "hybrid.hstore", "hybrid.array-as-relation"
LIMITS = {"seq_scan_rows": 1000}


def test_json_in_text(database: Database) -> None:
    prepare(
        database,
        """CREATE TABLE jobs (id int PRIMARY KEY, payload text, result_json text, title text, note varchar(20),
               json_path text DEFAULT '$.a', json_data text DEFAULT 'none');
           INSERT INTO jobs SELECT i, '{"n": 1}', '{}', 'a', 'b' FROM generate_series(1, 40) i""",
    )
    send(database.connect(), "SELECT id FROM jobs WHERE payload::jsonb ->> 'n' = %s", [("1",)] * 3)
    send(database.connect(), "SELECT id FROM jobs WHERE title = %s AND note = 'b'", [("a",)] * 3)

    result = examine(database, TEXT)

    assert names(result) == {"public.jobs.payload", "public.jobs.result_json", "public.jobs.json_data"}
    payload = finding(result, "public.jobs.payload")
    assert (payload.severity, payload.confidence) == (Severity.MEDIUM, Confidence.MEASURED)
    assert finding(result, "public.jobs.result_json").severity is Severity.LOW
    # A sample of the rows tells which of the two holds what it is called after.
    looked = conclude(observe(Target(database.dsn, read_rows=True)).evidence, TEXT)
    assert names(looked) == {"public.jobs.payload", "public.jobs.result_json"}
    result_json = finding(looked, "public.jobs.result_json")
    assert (result_json.severity, result_json.confidence) == (Severity.MEDIUM, Confidence.MEASURED)
    assert result_json.observed["documents_share"] == 1
    database.execute(payload.fix.sql or "")


def test_hstore(database: Database) -> None:
    prepare(database, "CREATE EXTENSION hstore; CREATE TABLE old (id int PRIMARY KEY, tags hstore, body jsonb)",
            "INSERT INTO old VALUES (1, 'a=>1', '{}')")  # fmt: skip

    result = examine(database, HSTORE)

    assert names(result) == {"public.old.tags"}
    database.execute(result.findings[0].fix.sql or "")
    assert examine(database, HSTORE).outcome is Outcome.PASSED


def test_arrays(database: Database) -> None:
    prepare(
        database,
        """CREATE TABLE users (id int PRIMARY KEY);
           CREATE TABLE groups (id int PRIMARY KEY, user_ids int[], labels text[], scores int[], flags text[]);
           INSERT INTO groups SELECT i, ARRAY[i], ARRAY['a' || i], ARRAY[i], ARRAY['x'] FROM generate_series(1, 3000) i;
           CREATE TABLE digest_deliveries (id int PRIMARY KEY, user_ids int[]);
           CREATE INDEX ON groups USING gin (labels);
           CREATE INDEX ON groups USING gin (flags)""",
    )
    connection = database.connect()
    send(connection, "SELECT id FROM groups WHERE labels @> ARRAY[%s]", [("a1",)] * 3)
    send(connection, "SELECT id FROM groups WHERE scores && ARRAY[%s::int]", [(1,)] * 3)
    # The index is there, and this operator never uses it.
    send(connection, "SELECT id FROM groups WHERE %s = ANY (flags)", [("x",)] * 3)

    result = examine(database, ARRAY, limits=LIMITS)

    assert names(result) == {"public.groups.user_ids", "public.groups.scores", "public.groups.flags"}
    ids = finding(result, "public.groups.user_ids")
    assert (ids.severity, ids.observed["references"]) == (Severity.LOW, "public.users")
    scores = finding(result, "public.groups.scores")
    assert (scores.severity, scores.confidence) == (Severity.MEDIUM, Confidence.MEASURED)
    database.execute(scores.fix.sql or "")
    assert finding(result, "public.groups.flags").fix.sql is None


def test_without_any(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    evidence = survey(database)

    for check in (TEXT, HSTORE, ARRAY):
        assert conclude(evidence, check).outcome is Outcome.NOT_APPLICABLE, check
