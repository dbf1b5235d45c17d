from __future__ import annotations

from collections.abc import Callable

from checks.evidence.observe import Target, observe
from checks.model import CheckResult, Confidence, Outcome, Reason, Severity
from tests.checks.survey import conclude, examine, finding
from tests.servers import Database

CHECK = "schema.type-does-not-match-content"
SCHEMA = """
    CREATE TABLE people (id uuid PRIMARY KEY);
    CREATE TABLE things (
        id text PRIMARY KEY, flag text, amount text, born text, answer text, payload_json text, refs text, label_ids text,
        city text, title text, email text, is_on int, has_sub smallint, open boolean,
        -- traps
        phone text, zip text, number text, some_yes text, value text, note text, level int, mixed text, few text,
        person text, empty_often text, name text, counted text, of_people text REFERENCES refd
    );
"""
ROWS = """
    INSERT INTO things SELECT gen_random_uuid()::text, CASE WHEN i % 2 = 0 THEN 'yes' ELSE 'No' END, i || '.5',
        '2026-01-02T03:04:05Z', '{"a": ' || i || '}', '[1, 2]', i || ',' || i + 1, i || ',' || i + 1,
        (ARRAY['Berlin', 'berlin ', 'Rome'])[1 + i % 3], CASE WHEN i % 10 = 0 THEN 'Title ' ELSE 'Title' || i END,
        CASE WHEN i % 2 = 0 THEN 'a' || i || '@x.org' ELSE 'A' || i - 1 || '@x.org' END, i % 2, i % 2, true,
        i::text, lpad(i::text, 5, '0'), i::text, (ARRAY['yes', 'no', 'perhaps'])[1 + i % 3], i::text,
        CASE WHEN i % 10 = 0 THEN 'note ' ELSE 'note' END, i % 2, CASE WHEN i % 10 = 0 THEN 'x' ELSE i::text END, NULL,
        'p' || i, CASE WHEN i % 20 = 0 THEN '17' ELSE '' END, 'Name ' || i, (i % 2)::text, NULL
    FROM generate_series(1, 400) i;
"""


def looked_at(database: Database) -> CheckResult:
    return conclude(observe(Target(database.dsn, read_rows=True)).evidence, CHECK)


def test_what_columns_hold(database: Database) -> None:
    database.execute("CREATE TABLE refd (id text PRIMARY KEY)", SCHEMA, ROWS)

    result = looked_at(database)

    assert {found.subject.name.rpartition(".")[2]: found.observed["holds"] for found in result.findings} == {
        "id": "uuids",
        "flag": "yes or no",
        "amount": "numbers",
        "born": "dates or instants",
        "answer": "JSON",
        "refs": "lists of identifiers",
        "city": "one value in several spellings",
        "title": "values with blanks at their ends",
        "email": "one value in several spellings",
        "is_on": "yes or no",
        "has_sub": "yes or no",
    }
    born = finding(result, "public.things.born")
    assert (born.severity, born.confidence) == (Severity.MEDIUM, Confidence.MEASURED)
    assert (born.observed["sampled"], born.observed["share"]) == (400, 1.0)
    for found in result.findings:
        for statement in (found.fix.sql or "").splitlines():
            database.execute(statement)
    assert {found.subject.name.rpartition(".")[2] for found in looked_at(database).findings} == {
        "refs", "city", "email",
    }  # fmt: skip


def test_nobody_may_look_or_there_is_nothing_to_see(database: Database, role: Callable[..., str]) -> None:
    unasked = examine(database, CHECK)
    assert (unasked.outcome, unasked.reason) == (Outcome.UNKNOWN, Reason.NOT_OPTED_IN)
    database.execute("CREATE TABLE few (word text)", "INSERT INTO few VALUES ('1')")
    assert looked_at(database).outcome is Outcome.NOT_APPLICABLE

    reader = role("reader")
    hidden = conclude(observe(Target(f"{database.dsn} user={reader}", read_rows=True)).evidence, CHECK)
    assert (hidden.outcome, hidden.reason) == (Outcome.UNKNOWN, Reason.NOT_PERMITTED)


def test_many_alike_are_a_habit(database: Database) -> None:
    columns = ", ".join(f"at_{chr(97 + n)} text" for n in range(9))
    values = ", ".join(["'2026-01-02'"] * 9)
    database.execute(f"CREATE TABLE times ({columns}); INSERT INTO times SELECT {values} FROM generate_series(1, 100)")

    (found,) = looked_at(database).findings

    assert found.title == "9 columns of schema public hold dates or instants as text"
