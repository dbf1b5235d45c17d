from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from checks.evidence.evidence import Evidence
from checks.model import Confidence, Finding, Location, Outcome, Reason, Severity
from checks.registry import all_checks
from tests.checks.committed import commit, git
from tests.checks.survey import conclude, examine, survey
from tests.servers import Database

Repositories = Callable[[Mapping[str, str | bytes]], Path]
CHECKS = [id for id in all_checks() if id.startswith("schema.migration-")]

FIRST = """
CREATE TABLE users (id bigint PRIMARY KEY, email varchar(100), age int, note text, spare int, kind text NOT NULL, at timestamptz);
CREATE TABLE posts (id bigint PRIMARY KEY, user_id bigint, title text, amount numeric(8,2));
CREATE TABLE old (id bigint PRIMARY KEY);
CREATE TABLE small (id bigint PRIMARY KEY, x int);
CREATE INDEX users_age ON users (age);
CREATE TYPE mood AS ENUM ('good');
"""
ROWS = """
INSERT INTO users SELECT n, n::text, n, 'x', 1, 'x', now() FROM generate_series(1, 300) AS n;
INSERT INTO posts SELECT n, n, 'x', 1 FROM generate_series(1, 40) AS n;
INSERT INTO small VALUES (1, 1);
ANALYZE;
"""
LIMITS = {"migration_rows": 100, "migration_rows_high": 250}


def found(evidence: Evidence, prefix: str = "schema.migration-") -> dict[str, list[Finding]]:
    """What each check finds, those without findings left out."""
    results = {id: conclude(evidence, id) for id in CHECKS if id.startswith(prefix)}
    return {id.removeprefix("schema.migration-"): list(each.findings) for id, each in results.items() if each.findings}


def of_one(
    database: Database | None, repository: Repositories, migration: str, folder: str = "migrations", **more: str
) -> dict[str, list[Finding]]:
    """What is found in one migration that comes after the first and that this database does not have yet."""
    root = repository({f"{folder}/0001_first.sql": FIRST})
    commit(root, {f"{folder}/0002_second.sql": migration, **more})
    return found(survey(database, root, limits=LIMITS))


@pytest.fixture
def filled(database: Database) -> Database:
    database.execute(FIRST, ROWS)
    return database


def test_indexes(filled: Database, repository: Repositories) -> None:
    result = of_one(
        filled,
        repository,
        """SET lock_timeout = '5s';
CREATE TABLE made (id int, x int);
CREATE INDEX ON made (x);
CREATE INDEX users_email ON users (email);
CREATE UNIQUE INDEX users_lower ON users (lower(email));
CREATE INDEX CONCURRENTLY posts_title ON posts (title);
CREATE INDEX IF NOT EXISTS users_age ON users (age);
""",
    )
    assert set(result) == {"blocking-index"}
    (only,) = result["blocking-index"]
    assert only.subject.name == "migrations/0002_second.sql"
    assert only.locations == (Location("migrations/0002_second.sql", 4), Location("migrations/0002_second.sql", 5))
    assert (only.severity, only.confidence) == (Severity.HIGH, Confidence.INFERRED)
    assert only.observed["rows"] == {"public.users": 300}
    assert only.observed["applied"] is False
    assert only.fix.sql == "CREATE INDEX CONCURRENTLY users_email ON public.users (email);"


def test_an_index_is_written_out_where_nothing_of_it_would_be_lost(filled: Database, repository: Repositories) -> None:
    result = of_one(
        filled,
        repository,
        """CREATE INDEX users_plain ON users USING btree (email, id);
CREATE INDEX users_hash ON users USING hash (email);
CREATE INDEX users_first ON users (email DESC);
CREATE INDEX users_pattern ON users (email text_pattern_ops);
CREATE INDEX users_some ON users (email) WHERE age > 17;
CREATE INDEX users_more ON users (email) INCLUDE (age);
CREATE INDEX users_full ON users (email) WITH (fillfactor = 70);
""",
    )
    (found,) = result["blocking-index"]
    assert found.title == "Migration builds 7 indexes on public.users under a lock that stops writes"
    assert found.fix.sql == "CREATE INDEX CONCURRENTLY users_plain ON public.users (email, id);"


def test_severity_follows_the_rows_and_what_ran_already_weighs_less(filled: Database, repository: Repositories) -> None:
    root = repository({"migrations/0001_first.sql": FIRST})
    commit(root, {"migrations/0002_a.sql": "CREATE INDEX posts_title ON posts (title);"})
    commit(root, {"migrations/0003_b.sql": "CREATE INDEX users_email ON users (email);"})
    hidden = {"migration_rows": 30, "migration_rows_high": 250}

    def severities() -> dict[str, Severity | None]:
        result = examine(filled, "schema.migration-blocking-index", root, limits=hidden)
        return {entry.subject.name[-8:-4]: entry.severity for entry in result.findings}

    assert severities() == {"02_a": Severity.MEDIUM, "03_b": Severity.HIGH}
    filled.execute("CREATE INDEX posts_title ON posts (title)")
    assert severities() == {"02_a": Severity.LOW, "03_b": Severity.HIGH}
    filled.execute("CREATE INDEX users_email ON users (email)")
    assert severities() == {"02_a": Severity.LOW, "03_b": Severity.MEDIUM}
    for done in examine(filled, "schema.migration-blocking-index", root, limits=hidden).findings:
        assert done.fix.sql is None
        assert done.fix.summary.startswith("This one has run; do it in the next: ")
    for number in range(25):
        commit(root, {"readme": str(number)})
    result = examine(filled, "schema.migration-blocking-index", root, limits=hidden)
    assert (result.outcome, result.findings, result.examined) == (Outcome.PASSED, (), 3)


def test_dropped_and_rebuilt_indexes(filled: Database, repository: Repositories) -> None:
    result = of_one(filled, repository, "SET lock_timeout = '1s';\nDROP INDEX users_age;\nREINDEX TABLE posts;\n")
    (only,) = result.pop("blocking-drop-index")
    assert (len(only.locations), only.severity) == (2, Severity.HIGH)
    assert result == {}
    fine = "DROP INDEX CONCURRENTLY users_age;\nREINDEX TABLE CONCURRENTLY posts;\n"
    assert of_one(filled, repository, fine) == {}


@pytest.mark.parametrize(
    ("files", "fails"),
    [
        ({"prisma/migrations/2/migration.sql": "CREATE INDEX CONCURRENTLY a ON users (email);"}, False),
        ({"prisma/migrations/2/migration.sql": "CREATE INDEX CONCURRENTLY a ON users (email);\nSELECT 1;"}, True),
        ({"prisma/migrations/2/migration.sql": "COMMIT;CREATE INDEX CONCURRENTLY a ON users (email);"}, False),
        ({"db/migrations/0002.sql": "BEGIN;\nCREATE INDEX CONCURRENTLY a ON users (email);COMMIT;"}, True),
        ({"db/migrations/0002.sql": "CREATE INDEX CONCURRENTLY a ON users (email);"}, False),
        ({"db/migrations/0002.sql": "-- +goose Up\nDROP INDEX CONCURRENTLY users_age;"}, True),
        (
            {"db/migrations/0002.sql": "-- +goose NO TRANSACTION\n-- +goose Up\nDROP INDEX CONCURRENTLY users_age;"},
            False,
        ),
        ({"supabase/migrations/2.sql": "DROP INDEX CONCURRENTLY users_age;"}, True),
    ],
)
def test_concurrently_in_a_transaction(repository: Repositories, files: Mapping[str, str], fails: bool) -> None:
    (path,) = files
    name = {
        "prisma": "prisma/migrations/1/migration.sql",
        "db": "db/migrations/0001.sql",
        "supabase": "supabase/migrations/1.sql",
    }
    goose = "-- +goose Up\n" * ("goose" in files[path])
    root = repository({name[path.partition("/")[0]]: goose + FIRST})
    commit(root, files)
    result = examine(None, "schema.migration-concurrent-in-transaction", root)
    assert {entry.subject.name for entry in result.findings} == ({path} if fails else set())


def test_columns(filled: Database, repository: Repositories) -> None:
    result = of_one(
        filled,
        repository,
        """SET lock_timeout = '5s';
ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid();
ALTER TABLE users ADD COLUMN made timestamptz NOT NULL DEFAULT now(), ADD COLUMN word text NOT NULL DEFAULT 'x';
ALTER TABLE users ADD COLUMN needed int NOT NULL;
ALTER TABLE users ADD COLUMN no bigserial, ADD COLUMN twice int GENERATED ALWAYS AS (age * 2) STORED;
ALTER TABLE users ALTER COLUMN age SET NOT NULL, ALTER COLUMN kind SET NOT NULL;
ALTER TABLE users ADD CONSTRAINT note_there CHECK (note IS NOT NULL) NOT VALID;
ALTER TABLE users VALIDATE CONSTRAINT note_there;
ALTER TABLE users ALTER COLUMN note SET NOT NULL;
ALTER TABLE users ALTER COLUMN email TYPE varchar(200);
ALTER TABLE users ALTER COLUMN email TYPE text;
ALTER TABLE users ALTER COLUMN spare TYPE bigint;
ALTER TABLE posts ALTER COLUMN amount TYPE numeric(10,2), ALTER COLUMN title TYPE text;
CREATE TABLE made (id int); ALTER TABLE made ADD COLUMN u uuid DEFAULT gen_random_uuid(), ALTER id TYPE bigint;
""",
    )
    assert {name: [finding.locations[0].line for finding in each] for name, each in result.items()} == {
        "volatile-default": [2], "required-column": [4], "generated-column": [5], "set-not-null": [6], "type-rewrite": [12],
    }  # fmt: skip
    assert result["required-column"][0].observed["columns"] == ["needed"]
    assert result["set-not-null"][0].observed["columns"] == ["age"]
    assert result["type-rewrite"][0].observed["changes"] == ["spare: integer to bigint"]
    assert result["volatile-default"][0].observed["functions"] == ["gen_random_uuid"]
    assert {each[0].severity for each in result.values()} == {Severity.HIGH}
    filled.execute("CREATE TABLE none (id int)")
    assert "required-column" not in of_one(filled, repository, "ALTER TABLE old ADD COLUMN needed int NOT NULL;")


def test_constraints(filled: Database, repository: Repositories) -> None:
    result = of_one(
        filled,
        repository,
        """SET lock_timeout = '5s';
ALTER TABLE users ADD CONSTRAINT positive CHECK (age > 0);
ALTER TABLE posts ADD CONSTRAINT of_user FOREIGN KEY (user_id) REFERENCES users NOT VALID;
ALTER TABLE posts VALIDATE CONSTRAINT of_user;
ALTER TABLE users ADD COLUMN friend bigint REFERENCES users;
CREATE TABLE made (id int, user_id bigint);
ALTER TABLE made ADD FOREIGN KEY (user_id) REFERENCES users;
ALTER TABLE users ADD CONSTRAINT one_email UNIQUE (email);
ALTER TABLE users ADD CONSTRAINT no_two EXCLUDE (age WITH =);
""",
    )
    assert {name: [finding.locations[0].line for finding in each] for name, each in result.items()} == {
        "validating-constraint": [2], "unique-without-index": [8], "exclusion-constraint": [9],
    }  # fmt: skip
    together = of_one(
        filled,
        repository,
        "BEGIN;SET lock_timeout = 1000;\nALTER TABLE posts ADD CONSTRAINT of_user FOREIGN KEY (user_id) REFERENCES users "
        "NOT VALID;\nALTER TABLE posts VALIDATE CONSTRAINT of_user;COMMIT;",
    )
    assert [entry.locations[0].line for entry in together["validating-constraint"]] == [3]


def test_what_is_taken_away(filled: Database, repository: Repositories) -> None:
    model = (
        "from sqlalchemy.orm import Mapped\nclass U(Base):\n    __tablename__ = 'users'\n"
        "    id: Mapped[int]\n    note: Mapped[str]\n"
    )
    result = of_one(
        filled,
        repository,
        "SET lock_timeout = '5s';\nALTER TABLE users DROP COLUMN note;\nDROP TABLE old;\n"
        "ALTER TABLE posts RENAME title TO name;\n"
        "ALTER INDEX users_age RENAME TO by_age;\nALTER TYPE mood RENAME TO moods;\n",
        **{"app/models.py": model},
    )
    assert set(result) == {"destructive", "rename"}
    (gone,) = result["destructive"]
    assert (gone.severity, gone.observed["dropped"]) == (Severity.HIGH, ["drops column public.users.note"])
    assert gone.observed["still_named_by"] == ["app/models.py:5"]
    assert result["rename"][0].observed["renamed"] == ["column public.posts.title to name"]
    assert result["rename"][0].severity is Severity.MEDIUM
    required = model + "    kind: Mapped[str] = mapped_column(nullable=False)\n"
    nulls = "SET lock_timeout = '5s';\nALTER TABLE users ALTER COLUMN kind DROP NOT NULL;\nALTER TABLE users ADD COLUMN z int;\n"
    (let,) = of_one(filled, repository, nulls, **{"app/models.py": required})["destructive"]
    assert (let.severity, let.observed["dropped"]) == (Severity.LOW, ["lets null into column public.users.kind"])
    assert "destructive" not in of_one(filled, repository, nulls, **{"app/models.py": model})
    filled.execute("ALTER TABLE users DROP COLUMN note", "DROP TABLE old", "ALTER TABLE posts RENAME title TO name")
    root = repository({"migrations/0001_first.sql": FIRST})
    commit(
        root,
        {"migrations/0002_second.sql": "ALTER TABLE users DROP COLUMN note;\nALTER TABLE posts RENAME title TO name;"},
    )
    assert set(found(survey(filled, root, limits=LIMITS))) == {"without-lock-timeout"}


def test_lock_timeout(filled: Database, repository: Repositories) -> None:
    change = "ALTER TABLE users ADD COLUMN x int;"
    (only,) = of_one(filled, repository, change).pop("without-lock-timeout")
    assert (only.subject.name, only.observed["migrations"]) == ("migrations", ["migrations/0002_second.sql"])
    assert only.observed["tables"] == ["public.users"]
    assert of_one(filled, repository, "SET LOCAL lock_timeout = '2s';" + change) == {}
    assert of_one(filled, repository, "SET lock_timeout = 0;" + change) != {}
    assert of_one(filled, repository, "SELECT set_config('lock_timeout', '2s', true);" + change) == {}
    assert of_one(filled, repository, change, **{"migrate.py": "options='-c lock_timeout=5000'"}) == {}
    assert of_one(filled, repository, "CREATE TABLE lone (id int); ALTER TABLE lone ADD x int;") == {}
    filled.execute(f"ALTER DATABASE {filled.name} SET lock_timeout = '5s'")
    assert of_one(filled, repository, change) == {}


def test_long_work_and_whole_tables(filled: Database, repository: Repositories) -> None:
    result = of_one(
        filled,
        repository,
        "BEGIN;\nSET lock_timeout = '5s';\nALTER TABLE posts ADD COLUMN x int;\nUPDATE users SET spare = 2;\nCOMMIT;\n",
    )
    assert {name: [entry.locations[-1].line for entry in each] for name, each in result.items()} == {
        "wide-lock": [4], "bulk-data-change": [4],
    }  # fmt: skip
    fine = (
        "UPDATE users SET spare = 2 WHERE id = 7;\nUPDATE small SET x = 2;\nDELETE FROM users WHERE id IN (1, 2);\n"
        "INSERT INTO small VALUES (2, 2);\nSET lock_timeout = '5s';\nALTER TABLE posts ADD COLUMN x int;\n"
    )
    assert of_one(filled, repository, fine) == {}


def test_other_locks(filled: Database, repository: Repositories) -> None:
    filled.execute("CREATE MATERIALIZED VIEW sums AS SELECT count(*) FROM users")
    first = "CREATE MATERIALIZED VIEW sums AS SELECT count(*) FROM users;"
    root = repository({"migrations/0001_first.sql": FIRST + first})
    commit(
        root,
        {
            "migrations/0002_a.sql": "ALTER TABLE users ADD COLUMN x int;\nREFRESH MATERIALIZED VIEW sums;\n"
            "REFRESH MATERIALIZED VIEW CONCURRENTLY sums;\nVACUUM FULL users;\nALTER TABLE small SET UNLOGGED;\n",
            "migrations/0003_b.sql": "BEGIN;\nALTER TYPE mood ADD VALUE 'bad';\n"
            "ALTER TABLE users ADD COLUMN m mood DEFAULT 'bad';\nEND;",
            "migrations/0004_c.sql": "BEGIN;\nALTER TYPE mood ADD VALUE 'odd';\nCOMMIT;\n"
            "UPDATE small SET x = 1 WHERE 'odd' = '';",
        },
    )
    result = examine(filled, "schema.migration-other-locking", root, limits=LIMITS)
    places = {entry.subject.name: [place.line for place in entry.locations] for entry in result.findings}
    assert places == {"migrations/0002_a.sql": [2, 4], "migrations/0003_b.sql": [3]}


def test_alembic_and_django_in_their_own_words(repository: Repositories) -> None:
    revision = """
from alembic import op
import sqlalchemy as sa
revision = "{name}"
down_revision = {before}

def upgrade():
    {body}
"""
    root = repository({
        "alembic/versions/1.py": revision.format(
            name="1", before="None", body='op.create_table("a", sa.Column("id", sa.Integer), sa.Column("x", sa.Integer))'),
        "shop/migrations/0001_initial.py": "from django.db import migrations, models\nclass Migration(migrations.Migration):\n"
        "    operations = [migrations.CreateModel('B', ["
        "('id', models.BigAutoField(primary_key=True)), ('x', models.IntegerField())])]",
        "manage.py": "",
    })  # fmt: skip
    body = """op.create_index("ix", "a", ["x"])
    with op.get_context().autocommit_block():
        op.create_index("iy", "a", ["x"], postgresql_concurrently=True)
    op.create_index("iz", "a", ["id"], postgresql_concurrently=True)
    op.add_column("a", sa.Column("u", sa.UUID(), server_default=sa.text("gen_random_uuid()")))"""
    django = """from django.db import migrations, models
from django.contrib.postgres.operations import AddIndexConcurrently
class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.AddIndex("B", models.Index(fields=["x"], name="bx")),
        AddIndexConcurrently("B", models.Index(fields=["id"], name="by")),
    ]
"""
    commit(
        root,
        {
            "alembic/versions/2.py": revision.format(name="2", before='"1"', body=body),
            "shop/migrations/0002_b.py": django,
        },
    )
    result = found(survey(None, root))
    places = {
        name: sorted((entry.subject.name[-7:], entry.locations[0].line) for entry in each)
        for name, each in result.items()
    }
    assert places["blocking-index"] == [("0002_b.py"[-7:], 6), ("ns/2.py", 8)]
    assert places["concurrent-in-transaction"] == [("0002_b.py"[-7:], 7), ("ns/2.py", 11)]
    assert places["volatile-default"] == [("ns/2.py", 12)]
    assert {entry.severity for each in result.values() for entry in each} <= {Severity.LOW, Severity.MEDIUM}


def test_what_is_new_is_told_by_git(repository: Repositories, tmp_path: Path) -> None:
    check = "schema.migration-blocking-index"
    root = repository({"migrations/0001_first.sql": FIRST, "migrations/0002_b.sql": "CREATE INDEX ix ON users (note);"})
    assert examine(None, check, root).findings == ()
    assert (
        examine(None, "schema.migration-blocking-index", repository({"a.py": "x = 1"})).outcome
        is Outcome.NOT_APPLICABLE
    )
    brought = commit(root, {"migrations/0003_c.sql": "CREATE INDEX iy ON users (kind);"})
    commit(root, {"other": "1"})
    (only,) = examine(None, check, root).findings
    assert (only.subject.name, only.observed["commit"], only.severity) == (
        "migrations/0003_c.sql",
        brought,
        Severity.LOW,
    )
    (root / "migrations/0004_d.sql").write_text("CREATE INDEX iz ON users (spare);")
    assert {entry.subject.name for entry in examine(None, check, root).findings} == {
        "migrations/0003_c.sql", "migrations/0004_d.sql",
    }  # fmt: skip
    (root / "migrations/0004_d.sql").unlink()
    git(root, "clone", "-q", "--depth", "1", f"file://{root}", str(tmp_path / "shallow"))
    result = examine(None, check, tmp_path / "shallow")
    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, Reason.REPO_NOT_GIVEN)
    assert "unshallow" in (result.unlock or "")
    # A table of the same commit is as new as one of the same file.
    commit(
        root, {"migrations/0005_e.sql": "CREATE TABLE e (x int);", "migrations/0006_f.sql": "CREATE INDEX ON e (x);"}
    )
    assert {entry.subject.name for entry in examine(None, check, root).findings} == {"migrations/0003_c.sql"}


def test_the_commit_that_brought_an_object(repository: Repositories) -> None:
    root = repository({"migrations/0001_first.sql": FIRST})
    brought = commit(root, {"migrations/0002_b.sql": "CREATE INDEX ix ON users (note);"})
    changed = commit(root, {"migrations/0003_c.sql": "CREATE INDEX iy ON users (kind);"})
    commit(root, {"migrations/0003_c.sql": "-- why\nCREATE INDEX iy ON users (kind);"})
    repository_facts = survey(None, root).repository
    commits = {entry.subject.path[-1]: entry.commit for entry in getattr(repository_facts, "declared", ())}
    assert (commits["ix"], commits["iy"], commits["posts"]) == (brought, None, None)
    by_path = {file.path: file.commit for file in getattr(repository_facts, "migrations", ())}
    assert by_path["migrations/0003_c.sql"] == changed


def test_domains_and_transactions_that_end_half_way(filled: Database, repository: Repositories) -> None:
    filled.execute("CREATE DOMAIN year AS int", "CREATE DOMAIN month AS int")
    second = """ALTER DOMAIN year ADD CONSTRAINT positive CHECK (VALUE > 0);
ALTER DOMAIN month ADD CONSTRAINT positive CHECK (VALUE > 0) NOT VALID;
ALTER DOMAIN month VALIDATE CONSTRAINT positive;
CREATE DOMAIN day AS int;
ALTER DOMAIN day ADD CONSTRAINT positive CHECK (VALUE > 0);
ALTER TABLE users ADD COLUMN born year;
"""
    (only,) = of_one(filled, repository, second)["domain-constraint"]
    assert (only.severity, only.observed["domains"]) == (Severity.LOW, ["year"])
    assert only.locations == (Location("migrations/0002_second.sql", 1),)
    (only,) = of_one(filled, repository, "CREATE DOMAIN week AS int CHECK (VALUE < 54);")["domain-constraint"]
    assert (only.severity, only.observed["domains"]) == (Severity.NOTE, ["week"])

    goose = "-- +goose Up\nSET lock_timeout = '5s';\nALTER TABLE users ADD COLUMN x int;\nCOMMIT;\n"
    half = of_one(filled, repository, f"{goose}ALTER TABLE posts ADD COLUMN y int;\n")
    (only,) = half["ends-transaction"]
    assert only.title == "Migration commits at line 4 and changes public.posts behind that"
    for behind in (
        "CREATE INDEX CONCURRENTLY a ON posts (title);",
        "BEGIN;\nALTER TABLE posts ADD COLUMN y int;\nCOMMIT;",
        "",
    ):
        assert "ends-transaction" not in of_one(filled, repository, f"{goose}{behind}\n")
    plain = "BEGIN;\nALTER TABLE users ADD COLUMN x int;\nCOMMIT;\nALTER TABLE posts ADD COLUMN y int;\n"
    assert "ends-transaction" not in of_one(filled, repository, plain)


def test_tables_of_no_schema(filled: Database, repository: Repositories) -> None:
    root = repository({"migrations/0001_first.sql": FIRST})
    commit(root, {"migrations/0002_second.sql": "CREATE TABLE loose (id int);\nCREATE TABLE public.placed (id int);\n"})
    check = "schema.migration-unqualified-name"
    assert conclude(survey(filled, root), check).findings == ()
    filled.execute("CREATE SCHEMA other", "CREATE TABLE other.things (id int)")
    (only,) = conclude(survey(filled, root), check).findings
    assert (only.subject.name, "loose" in only.observed["tables"], "placed" in only.observed["tables"]) == (
        "migrations", True, False,
    )  # fmt: skip
