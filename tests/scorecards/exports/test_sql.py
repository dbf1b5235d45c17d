"""The script of fixes: what runs by itself runs, and nothing of what destroys does."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.evidence.sql import parse, split_statements
from checks.model import Fix, Severity, quote_identifier
from scorecards.exports import render
from scorecards.exports.sql import Phase, steps_of
from scorecards.model import FindingEntry, Scorecard
from scorecards.review import Decision, ReviewState
from tests.scorecards.exports.test_reports import HOSTILE, hostile
from tests.scorecards.reviewed import AS_OF, finding, found, scorecard
from tests.servers import Database

QUIET = [
    ("ALTER SYSTEM SET track_io_timing = 'on'; SELECT pg_reload_conf();", Phase.SETTINGS),
    ("ALTER ROLE app SET lock_timeout = '5s';", Phase.SETTINGS),
    ("CREATE EXTENSION pg_stat_statements;", Phase.SETTINGS),
    ("ANALYZE public.t;", Phase.STATISTICS),
    ("VACUUM (FREEZE, VERBOSE) public.t;", Phase.STATISTICS),
    ("ALTER TABLE t SET (autovacuum_analyze_scale_factor = 0.02);", Phase.STATISTICS),
    ("CREATE INDEX CONCURRENTLY i ON t (a); ANALYZE t;", Phase.INDEXES),
    ("CREATE INDEX i ON ONLY t (a);", Phase.INDEXES),
    ("REINDEX INDEX CONCURRENTLY i;", Phase.INDEXES),
    ("ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES p (id) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT c;",
     Phase.CONSTRAINTS),
    ("ALTER TABLE t ADD CONSTRAINT t_pkey PRIMARY KEY USING INDEX t_id_key;", Phase.CONSTRAINTS),
    ("ALTER TABLE t VALIDATE CONSTRAINT c;", Phase.VALIDATION),
]  # fmt: skip
LOUD = [
    "DROP INDEX CONCURRENTLY i;",
    "DROP TABLE t;",
    "TRUNCATE t;",
    "DELETE FROM t;",
    "UPDATE t SET a = 1;",
    "SELECT pg_drop_replication_slot('s');",
    "SELECT pg_reload_conf(), pg_terminate_backend(1);",
    "ALTER TABLE t DROP COLUMN a;",
    "ALTER TABLE t ALTER COLUMN a TYPE bigint;",
    "ALTER TABLE t ALTER COLUMN a SET NOT NULL;",
    "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0);",
    "CREATE INDEX i ON t (a);",
    "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);",
    "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a); ALTER TABLE t ADD CONSTRAINT c PRIMARY KEY USING INDEX i;",
    "REINDEX INDEX i;",
    "VACUUM FULL t;",
    "GRANT ALL ON t TO PUBLIC;",
    "DO $$ BEGIN DROP TABLE t; END $$;",
    "CREATE INDEX CONCURRENTLY i ON t (a); DROP TABLE t;",
    "ANALYZE t; \\! rm -rf x",
    "BEGIN; ALTER TABLE t ALTER COLUMN a TYPE timestamptz; COMMIT;",
    "this is no SQL",
    ";",
]


def entry(sql: str, name: str = "t", severity: Severity = Severity.HIGH, **more: Any) -> FindingEntry:
    made = finding("schema.no-primary-key", "table", "public", name, severity=severity, fix=Fix("Do it.", sql, **more))
    return scorecard(results=(found("schema.no-primary-key", [made]),), state=ReviewState()).findings[0]


def live(script: str) -> list[str]:
    """The statements that a server would run."""
    return [text for text, _ in split_statements(script) if not text.startswith("SET ")]


@pytest.mark.parametrize(("sql", "phase"), QUIET)
def test_what_harms_nobody_runs(sql: str, phase: Phase) -> None:
    (step,) = steps_of([entry(sql)])
    assert (step.phase, step.refused) == (phase, "")


@pytest.mark.parametrize("sql", LOUD)
def test_everything_else_is_a_comment(sql: str) -> None:
    (step,) = steps_of([entry(sql)])
    assert step.phase is Phase.BY_HAND
    assert step.refused
    made = finding("schema.no-primary-key", "table", "public", "t", fix=Fix("Do it.", sql))
    script = render(scorecard(results=(found("schema.no-primary-key", [made]),), state=ReviewState()), "sql")
    assert live(script) == []
    assert all(line.startswith(("--", "SET ")) or not line for line in script.splitlines())


def test_what_rewrites_is_a_comment_whatever_it_is() -> None:
    assert steps_of([entry("ANALYZE t;", rewrites=True)])[0].refused


def test_what_a_person_must_do_before_is_a_comment() -> None:
    rebuild = Fix("Rebuild it.", "REINDEX INDEX CONCURRENTLY i;")
    index = finding("indexing.invalid-index", "index", "public", "i", fix=rebuild, observed={"unique": True})
    plain = finding(
        "indexing.invalid-index", "index", "public", "j", fix=Fix("Rebuild it.", "REINDEX INDEX CONCURRENTLY j;")
    )
    file = finding(
        "schema.migration-blocking-index", "file", "db/2.sql", fix=Fix("So.", "CREATE INDEX CONCURRENTLY k ON t (a);")
    )
    results = (
        found("indexing.invalid-index", [index, plain]),
        found("schema.migration-blocking-index", [file]),
    )
    script = render(scorecard(results=results, state=ReviewState()), "sql")
    assert live(script) == ["REINDEX INDEX CONCURRENTLY j"]
    assert "Not run: rows that are twice made the build fail, and would again: correct them first" in script
    assert "Not run: it belongs into db/2.sql" in script


def test_steps_come_in_order_and_the_same_script_once() -> None:
    entries = [entry(sql, f"t{number}") for number, (sql, _) in enumerate(reversed(QUIET))]
    entries += [entry("ANALYZE public.t;", "other"), entry("CREATE INDEX CONCURRENTLY i ON u (b);", "again")]
    steps = steps_of(entries)
    assert [step.phase for step in steps] == sorted(step.phase for step in steps)
    analyze = next(step for step in steps if step.sql == "ANALYZE public.t;")
    assert [finding.subject.name for finding in analyze.findings] == ["public.t8", "public.other"]
    assert next(step for step in steps if "ON u" in step.sql).refused == "a step above makes an index of that name"


def test_indexes_wait_for_as_long_as_it_takes(reviewed: Scorecard) -> None:
    """A lock timeout cancels CONCURRENTLY while it waits for an older transaction, and leaves an invalid index."""
    script = render(reviewed, "sql")
    timeouts = [text for text, _ in split_statements(script[: script.index("CREATE INDEX")]) if "lock_timeout" in text]
    assert timeouts == ["SET lock_timeout = '5s'", "SET lock_timeout = 0"]


def test_what_was_waived_is_left_out_and_counted() -> None:
    made = finding("schema.no-primary-key", "table", "public", "t", fix=Fix("Do it.", "ANALYZE t;"))
    state = ReviewState(decisions={made.id: Decision("dispute", "ada", AS_OF, note="it is a view")})
    script = render(scorecard(results=(found("schema.no-primary-key", [made]),), state=state), "sql")
    assert "1 finding that was waived or disputed is left out." in script
    assert "ANALYZE" not in script


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_gets_out_of_a_comment(text: str) -> None:
    script = render(hostile(text), "sql")
    statements = live(script)
    assert statements == live(render(hostile("name"), "sql"))
    assert not [text for text in statements if parse(text) is None]


@given(st.text(alphabet=st.sampled_from("a\"';-*/\\$\n\r\t :é\u202e\x85\u2028"), min_size=1, max_size=20))
def test_a_hostile_name_is_quoted_or_a_comment(name: str) -> None:
    sql = f"CREATE INDEX CONCURRENTLY i ON {quote_identifier(name)} (a);"
    odd = finding("schema.no-primary-key", "table", "public", name, title=name, fix=Fix(name, sql, name, False, name))
    script = render(scorecard(results=(found("schema.no-primary-key", [odd]),), state=ReviewState()), "sql")
    statements = live(script)
    assert statements in ([], [sql.rstrip(";")])
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e\u2028]", script)


def test_the_script_runs_on_a_server(database: Database, reviewed: Scorecard) -> None:
    """Statement by statement outside of a transaction, as psql sends it."""
    script = render(reviewed, "sql")
    with database.connect() as connection:
        connection.execute("CREATE TABLE public.messages (id bigint PRIMARY KEY, account_id bigint)")
        for text, _ in split_statements(script):
            connection.execute(text.encode())
        made = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'messages_account_id_idx'"
        ).fetchone()
    assert made == ("CREATE INDEX messages_account_id_idx ON public.messages USING btree (account_id)",)
    with pytest.raises(psycopg.Error), database.connect() as connection:
        connection.execute("BEGIN; CREATE INDEX CONCURRENTLY x ON public.messages (id)")


def test_a_note_is_a_comment() -> None:
    (step,) = steps_of([entry("ANALYZE t;", severity=Severity.NOTE)])
    assert step.refused == "it is only a note: run it if you want it"
