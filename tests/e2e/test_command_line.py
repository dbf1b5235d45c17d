from __future__ import annotations

import datetime as dt
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import jsonschema
import psycopg
import pytest

from checks.evidence import store
from scorecards.exports import FORMATS
from tests.e2e.conftest import Run
from tests.scorecards.reviewed import evidence
from tests.servers import Database

Repository = Callable[[dict[str, str]], Path]

# Run by Python before the program: its clock is so many DAYS off.
LATER = """
import datetime, os, time
import checks.evidence.observe as observe

ahead, present, moment = int(os.environ["DAYS"]), observe.now, time.time
observe.now = lambda: present() + datetime.timedelta(days=ahead)
time.time = lambda: moment() + 86_400 * ahead
with open(os.environ["HOME"] + "/clock.toml", "w") as file:
    file.write(f"day = {observe.now():%Y-%m-%d}")
"""

APPLICATION = {
    "migrations/0001_init.sql": "CREATE TABLE account (id bigint PRIMARY KEY, email text);\nCREATE TABLE event (kind text);\n",
    "app/db.py": 'def events(connection):\n    return connection.execute("SELECT kind FROM event WHERE kind = %s", ("a",))\n',
}


def the_application(database: Database, repository: Repository) -> Path:
    root = repository(APPLICATION)
    with database.connect() as connection:
        connection.execute((root / "migrations/0001_init.sql").read_text())
    return root


def test_a_run_writes_markdown_to_standard_output(pgsurveyor: Run, database: Database, repository: Repository) -> None:
    root = the_application(database, repository)
    done = pgsurveyor("run", database.dsn, str(root))
    assert done.returncode == 0, done.stderr
    assert "public.event" in done.stdout
    assert "migrations/0001_init.sql:2" in done.stdout


def test_json_is_the_published_schema(pgsurveyor: Run, database: Database, repository: Repository) -> None:
    root = the_application(database, repository)
    done = pgsurveyor("run", database.dsn, str(root), "--format", "json")
    assert done.returncode == 0, done.stderr
    scorecard = json.loads(done.stdout)
    jsonschema.validate(scorecard, json.loads(pgsurveyor("schema").stdout))
    found = {(finding["check"], finding["subject"]["name"]) for finding in scorecard["findings"]}
    assert ("schema.no-primary-key", "public.event") in found
    assert [area["area"] for area in scorecard["areas"]] == [
        "schema", "indexing", "plans", "replication", "observability", "hybrid",
    ]  # fmt: skip
    assert scorecard["target"]["repository"]["commit"]


def test_saved_evidence_gives_the_same_bytes(
    pgsurveyor: Run, database: Database, repository: Repository, tmp_path: Path
) -> None:
    root = the_application(database, repository)
    saved = tmp_path / "evidence.json.gz"
    assert pgsurveyor("collect", database.dsn, str(root), "-o", str(saved)).returncode == 0
    assert saved.stat().st_mode & 0o077 == 0
    first = pgsurveyor("run", "--evidence", str(saved), "--format", "json")
    second = pgsurveyor("run", "--evidence", str(saved), "--format", "json", cwd=tmp_path)
    assert first.stdout == second.stdout
    assert json.loads(first.stdout)["evidence_sha256"] == store.sha256(store.load(saved))


def test_several_formats_go_into_a_folder(pgsurveyor: Run, repository: Repository, tmp_path: Path) -> None:
    root = repository(APPLICATION)
    folder = tmp_path / "out"
    done = pgsurveyor("run", str(root), "--format", "markdown", "--format", "json", "--output", str(folder))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} == {"scorecard.md", "scorecard.json"}
    assert done.stdout == ""


def test_a_saved_review_is_decided_on_and_exported(pgsurveyor: Run, database: Database, repository: Repository) -> None:
    root = the_application(database, repository)
    finding = next(
        entry
        for entry in json.loads(pgsurveyor("run", database.dsn, str(root), "--format", "json").stdout)["findings"]
        if entry["check"] == "schema.no-primary-key"
    )
    listed = pgsurveyor("reviews").stdout
    review = listed.split()[0]
    assert (
        pgsurveyor("decide", review, finding["id"], "accept", "--owner", "ana", "--due", "2027-01-31").returncode == 0
    )
    assert pgsurveyor("note", review, finding["id"], "with the next migration").returncode == 0
    assert pgsurveyor("answer", review, "REP-2.2", "yes").returncode == 0
    scorecard = json.loads(pgsurveyor("export", review, "--format", "json").stdout)
    decision = next(entry["decision"] for entry in scorecard["findings"] if entry["id"] == finding["id"])
    assert (decision["kind"], decision["owner"], decision["due"]) == ("accept", "ana", "2027-01-31")
    assert next(entry["answer"] for entry in scorecard["questions"] if entry["id"] == "REP-2.2") == "yes"
    for _ in range(3):
        assert pgsurveyor("undo", review).returncode == 0
    scorecard = json.loads(pgsurveyor("export", review, "--format", "json").stdout)
    assert all(entry["decision"] is None for entry in scorecard["findings"])


def test_an_empty_database_and_an_empty_repository(pgsurveyor: Run, database: Database, repository: Repository) -> None:
    done = pgsurveyor("run", database.dsn, str(repository({})), "--format", "json")
    assert done.returncode == 0, done.stderr
    outcomes = {entry["id"]: entry["outcome"] for entry in json.loads(done.stdout)["checks"]}
    assert outcomes["schema.no-primary-key"] == "not_applicable"
    assert "error" not in outcomes.values()


def test_a_role_that_may_see_nothing_still_gets_a_review(pgsurveyor: Run, database: Database) -> None:
    with database.connect() as connection:
        connection.execute("CREATE TABLE hidden (id int)")
        connection.execute("CREATE SCHEMA other; CREATE TABLE other.t (id int); REVOKE ALL ON SCHEMA other FROM PUBLIC")
        connection.execute("DROP ROLE IF EXISTS nobody_at_all; CREATE ROLE nobody_at_all LOGIN")
    dsn = psycopg.conninfo.make_conninfo(database.dsn, user="nobody_at_all")
    done = pgsurveyor("run", dsn, "--no-repo", "--format", "json")
    assert done.returncode == 0, done.stderr
    scorecard = json.loads(done.stdout)
    assert scorecard["target"]["database"]["user_sees"] == "plain"
    hidden = [entry for entry in scorecard["checks"] if entry["reason"] == "not_permitted"]
    assert hidden
    assert all(entry["unlock"] for entry in hidden)
    doctor = pgsurveyor("doctor", dsn)
    assert "GRANT pg_monitor TO nobody_at_all" in doctor.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "/no/such/folder"), "does not exist"),
        (("run", "postgresql://a/b", "postgresql://c/d"), "two DSNs"),
        (("run", ".", "."), "two repositories"),
        (("run", ".", "--format", "pdf"), "pdf"),
        (("run", ".", "--format", "json", "--format", "markdown"), "folder"),
        (("run", ".", "--only", "schema.no-such-check"), "no-such-check"),
        (("run", ".", "--fail-on", "new"), "baseline"),
        (("run", ".", "--min", "schema=nine"), "schema=nine"),
        (("run", ".", "--no-repo"), "contradicts"),
        (("run", "--no-such-option"), "--no-such-option"),
        (("checks", "schema.no-such-check"), "no-such-check"),
        ((), "terminal"),
    ],
)
def test_wrong_usage_is_status_2_in_two_lines(pgsurveyor: Run, words: tuple[str, ...], says: str) -> None:
    done = pgsurveyor(*words)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert done.stdout == ""


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://nobody:swordfish@127.0.0.1:1/app",
        "host=/no/such/folder dbname=app password=swordfish",
        "postgresql://nobody:swordfish@no-such-host.invalid/app",
    ],
)
def test_an_unreachable_database_is_status_3_and_the_repository_is_still_reviewed(
    pgsurveyor: Run, repository: Repository, dsn: str
) -> None:
    root = repository(APPLICATION)
    done = pgsurveyor("run", dsn, str(root), "--format", "json")
    assert done.returncode == 3
    assert "swordfish" not in done.stderr + done.stdout
    scorecard = json.loads(done.stdout)
    assert scorecard["target"]["database"] is None
    assert scorecard["target"]["repository"]["files"] == 2
    alone = pgsurveyor("run", dsn, "--no-repo")
    assert alone.returncode == 3
    assert alone.stdout == ""
    assert 1 <= len(alone.stderr.strip().splitlines()) <= 2


def test_an_unknown_database_is_status_3(pgsurveyor: Run, database: Database) -> None:
    dsn = psycopg.conninfo.make_conninfo(database.dsn, dbname="no_such_database")
    done = pgsurveyor("run", dsn, "--no-repo")
    assert done.returncode == 3
    assert "no_such_database" in done.stderr


def test_damaged_evidence_is_status_3(pgsurveyor: Run, tmp_path: Path) -> None:
    damaged = tmp_path / "evidence.json.gz"
    damaged.write_bytes(b"\x1f\x8bnot really")
    done = pgsurveyor("run", "--evidence", str(damaged))
    assert done.returncode == 3
    assert done.stdout == ""


def test_the_gate(pgsurveyor: Run, database: Database, repository: Repository, tmp_path: Path) -> None:
    root = the_application(database, repository)
    before = tmp_path / "before.json"
    assert pgsurveyor("run", database.dsn, str(root), "--format", "json", "--output", str(before)).returncode == 0
    same = pgsurveyor("run", database.dsn, str(root), "--fail-on", "new", "--baseline", str(before))
    assert same.returncode == 0, same.stderr
    with database.connect() as connection:
        connection.execute("CREATE TABLE another (kind text)")
        connection.execute("INSERT INTO another SELECT 'x' FROM generate_series(1, 2000); ANALYZE another")
    worse = pgsurveyor("run", database.dsn, str(root), "--fail-on", "new", "--baseline", str(before))
    assert worse.returncode == 1, worse.stderr
    assert "another" in worse.stderr
    assert pgsurveyor("run", str(root), "--no-database", "--min", "overall=5").returncode == 1


def test_the_answers_file_is_checked(pgsurveyor: Run, repository: Repository, tmp_path: Path) -> None:
    answers = tmp_path / "answers.toml"
    answers.write_text('[NO-9.9]\nanswer = "yes"\n')
    done = pgsurveyor("run", str(repository({})), "--answers", str(answers))
    assert done.returncode == 2
    assert "NO-9.9" in done.stderr


def test_every_check_explains_itself(pgsurveyor: Run) -> None:
    listed = [line.split()[0] for line in pgsurveyor("checks").stdout.splitlines()]
    assert "schema.no-primary-key" in listed
    page = pgsurveyor("checks", listed[0]).stdout
    assert listed[0] in page
    assert "Why:" in page
    assert "Fix:" in page


def test_the_version_is_the_project_s(pgsurveyor: Run) -> None:
    root = Path(__file__).parents[2]
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    assert version in pgsurveyor("--version").stdout


def test_reviews_are_compared_and_frozen(pgsurveyor: Run, database: Database, repository: Repository) -> None:
    root = the_application(database, repository)
    first = pgsurveyor("run", database.dsn, str(root), "--format", "json")
    old = pgsurveyor("reviews").stdout.split()[0]
    assert pgsurveyor("milestone", old, "launch").stdout.strip() == f"{old}@launch"
    assert pgsurveyor("milestone", old, "launch").returncode == 2
    with database.connect() as connection:
        connection.execute("ALTER TABLE event ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
        connection.execute("CREATE TABLE late (a int)")
    second = pgsurveyor("run", database.dsn, str(root), "--format", "json", "--baseline", "launch", "--trend")
    assert second.returncode == 0, second.stderr
    since = json.loads(second.stdout)["since"]
    assert [entry["words"] for entry in since["gone"] if "primary key" in entry["words"]]
    assert len(json.loads(second.stdout)["trend"]) == 3
    new = next(line.split()[0] for line in pgsurveyor("reviews").stdout.splitlines() if not line.startswith(old))
    told = pgsurveyor("compare", old, new)
    assert told.returncode == 0, told.stderr
    assert "## Gone" in told.stdout
    assert "## Trend" in told.stdout
    assert json.loads(first.stdout)["since"] is None
    assert pgsurveyor("compare", "nothing", new).returncode == 2


def test_fixes_and_records_are_files(pgsurveyor: Run, repository: Repository, tmp_path: Path) -> None:
    root = repository(APPLICATION)
    assert pgsurveyor("run", str(root), "--format", "adr").returncode == 2
    folder = tmp_path / "out"
    formats = ("--format", "adr", "--format", "sql", "--format", "html")
    done = pgsurveyor("run", str(root), *formats, "--output", str(folder))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} == {"adr", "fixes.sql", "scorecard.html"}
    assert [path.name for path in (folder / "adr").iterdir()] == ["0001-write-the-admission-rule-for-new-tables-and.md"]


def test_exports_are_the_same_bytes_on_another_machine_and_day(pgsurveyor: Run, tmp_path: Path) -> None:
    """Another home, time zone, language, order of hashes, user, folder, width and clock; every format, also compared with a
    baseline."""
    saved, old = tmp_path / "evidence.json.gz", tmp_path / "old.json"
    store.save(evidence(), saved)
    assert pgsurveyor("run", "--evidence", str(saved), "--format", "json", "--output", str(old)).returncode == 0
    words = [word for name in FORMATS for word in ("--format", name)]
    (tmp_path / "sitecustomize.py").write_text(LATER)
    texts = []
    for number, (zone, language) in enumerate((("Pacific/Kiritimati", "C"), ("America/Adak", "tr_TR.UTF-8"))):
        folder = tmp_path / f"machine{number}"
        folder.mkdir()
        done = pgsurveyor(
            "run", "--evidence", str(saved), *words, "--output", str(folder / "out"), "--baseline", str(old), cwd=folder,
            HOME=str(folder), TZ=zone, LANG=language, LC_ALL=language, PYTHONHASHSEED=str(number + 1), USER=f"user{number}",
            LOGNAME=f"user{number}", COLUMNS=str(40 + 400 * number), DAYS=str(400 * number), PYTHONPATH=str(tmp_path),
            PYTHONUTF8=str(number), TMPDIR=str(folder), XDG_DATA_HOME=str(folder / "data"),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        files = [path for path in sorted((folder / "out").rglob("*")) if path.is_file()]
        texts.append({str(path.relative_to(folder)): path.read_bytes() for path in files})
        clock = tomllib.loads(next(folder.rglob("clock.toml")).read_text())
        assert (dt.date.today() - clock["day"]).days in (-400 * number, -400 * number + 1)
    assert len(texts[0]) == len(FORMATS)
    assert texts[0] == texts[1]
