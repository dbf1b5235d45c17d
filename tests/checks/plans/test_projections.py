from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Severity
from tests.checks.survey import examine, finding, names
from tests.checks.workload import prepare, send
from tests.servers import Database


def test_every_column_of_wide_and_narrow_tables(
    database: Database, repository: Callable[[Mapping[str, str | bytes]], Path]
) -> None:
    prepare(
        database,
        """
        CREATE TABLE documents (id int PRIMARY KEY, title text, metadata jsonb);
        CREATE TABLE articles (id int PRIMARY KEY, body text);
        CREATE TABLE tags (id int PRIMARY KEY, name text);
        CREATE TABLE typed_by_hand (id int PRIMARY KEY, metadata jsonb);
        CREATE TABLE sessions (id int PRIMARY KEY, metadata jsonb);
        CREATE TABLE written (id int PRIMARY KEY, metadata jsonb);
        CREATE TABLE hashed (id int PRIMARY KEY, digest bytea, options jsonb);
        CREATE TABLE files (id int PRIMARY KEY, content bytea);
        INSERT INTO documents SELECT i, 't', jsonb_build_object('k', repeat('long ', 100)) FROM generate_series(1, 100) i;
        INSERT INTO hashed SELECT i, sha256(i::text::bytea), '{"a": 1}' FROM generate_series(1, 100) i;
        ALTER TABLE files ALTER content SET STORAGE EXTERNAL;
        INSERT INTO files SELECT i, convert_to(repeat(i::text, 9000), 'UTF8') FROM generate_series(1, 100) i;
        INSERT INTO articles SELECT i, repeat('long ', 100) FROM generate_series(1, 100) i;
        """,
    )
    connection = database.connect()
    send(connection, "SELECT * FROM documents WHERE id = %s", [(1,)] * 20)
    send(connection, "SELECT d.* FROM documents d JOIN tags t ON t.id = d.id", [()] * 20)
    send(connection, "SELECT * FROM articles WHERE id = %s", [(1,)] * 20)
    send(connection, "SELECT * FROM tags", [()] * 20)
    send(connection, "SELECT * FROM hashed", [()] * 20)
    send(connection, "SELECT * FROM files WHERE id = %s", [(1,)] * 20)
    send(connection, "SELECT * FROM typed_by_hand LIMIT 5", [()])
    send(connection, "SELECT count(*) FROM sessions", [()] * 20)
    send(connection, "SELECT id FROM sessions", [()] * 20)
    code = repository({"store.py": 'db.execute("SELECT * FROM written WHERE id = %s", (1,))\n'})

    result = examine(database, "plans.select-star", code)

    assert names(result) == {"public.documents", "public.articles", "public.files", "public.written"}
    documents = finding(result, "public.documents")
    assert documents.severity is Severity.MEDIUM
    assert documents.title == "2 statements ask for every column of documents, metadata (jsonb) among them"
    assert documents.observed["calls"] == 40
    assert finding(result, "public.articles").severity is Severity.MEDIUM
    assert finding(result, "public.files").severity is Severity.MEDIUM
    assert finding(result, "public.written").severity is Severity.LOW
    assert [(place.path, place.line) for place in finding(result, "public.written").locations] == [("store.py", 1)]
