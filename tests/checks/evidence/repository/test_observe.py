from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from checks.evidence.repository.facts import Repository
from checks.evidence.repository.observe import observe_repository
from checks.model import Location, Subject

Make = Callable[[Mapping[str, str | bytes]], Path]

FILES = {
    "app/db.py": 'q = "SELECT id FROM users WHERE email = %s"\n',
    "worker/src/jobs.ts": "const q = `DELETE FROM jobs WHERE id = $1`;\n",
    "queries/report.sql": "SELECT count(*) FROM users;\n",
    "migrations/0001_init.sql": "CREATE TABLE users (\n  id int PRIMARY KEY,\n  email text\n);\n"
    "INSERT INTO users VALUES (1, 'a');\n",
    "migrations/0002_broken.sql": "CREATE TABLE {{ name }} (id int);\n",
    "clickhouse/migrations/1.sql": "CREATE TABLE events (id UInt64) ENGINE = MergeTree;\n",
    "docker-compose.yml": "services:\n  db:\n    image: postgres:18\n",
    "bad.py": b"q = 'SELECT \xff\xfe FROM users'\n",
    "null.sql": b"SELECT 1 FROM a;\0",
}


def test_a_repository(repository: Make) -> None:
    seen = observe_repository(repository(FILES))
    assert [(s.location.path, s.location.line, s.source) for s in seen.statements if s.location.path != "bad.py"] == [
        ("app/db.py", 1, "python"),
        ("queries/report.sql", 1, "sql"),
        ("worker/src/jobs.ts", 1, "typescript"),
    ]
    places = {entry.subject: entry.location for entry in seen.declared}
    assert places[Subject("column", ("public", "users", "email"))] == Location("migrations/0001_init.sql", 3)
    assert Subject("table", ("public", "events")) not in places
    assert seen.unparsed_migrations == (Location("migrations/0002_broken.sql", 1),)
    assert [(fact.kind, fact.detail) for fact in seen.deployment] == [("server_image", "postgres:18")]
    assert seen.skipped == {"binary": 1}
    assert seen.files == 8


def test_the_same_repository_gives_the_same_facts(repository: Make) -> None:
    root = repository(FILES)
    assert msgspec.json.encode(observe_repository(root)) == msgspec.json.encode(observe_repository(root))
    assert msgspec.json.decode(msgspec.json.encode(observe_repository(root)), type=Repository) == observe_repository(
        root
    )


def test_progress_is_told_and_cancelling_ends_it(repository: Make) -> None:
    root = repository(FILES)
    told: list[str] = []
    observe_repository(root, progress=told.append)
    assert told
    cancelled = threading.Event()
    cancelled.set()
    assert observe_repository(root, cancelled=cancelled).files == 0


def test_no_literal_of_the_code_is_kept(repository: Make) -> None:
    root = repository({
        "a.py": "q = \"SELECT id FROM users WHERE token = 'hunter2' AND n = 424242 -- hunter2\"\n",
        "migrations/1.sql": "CREATE TABLE t (a text DEFAULT 'hunter2' CHECK (a <> 'hunter2')); -- hunter2\n",
        "docker-compose.yml": "services:\n  db:\n    image: postgres:18\n    environment:\n      POSTGRES_PASSWORD: hunter2\n",
    })  # fmt: skip
    kept = msgspec.json.encode(observe_repository(root))
    assert b"hunter2" not in kept
    assert b"424242" not in kept
