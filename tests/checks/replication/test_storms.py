from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from checks.model import Outcome, Severity
from tests.checks.survey import examine, names

Repository = Callable[[Mapping[str, str | bytes]], Path]

CACHES = """\
import redis
import psycopg

cache = redis.Redis()

def profile(connection, key):
    held = cache.get(key)
    if held:
        return held
    row = connection.execute("SELECT name FROM profiles WHERE id = %s", (key,)).fetchone()
    cache.set(key, row[0], ex=60)
    return row

def plain(connection, key):
    return connection.execute("SELECT name FROM profiles WHERE id = %s", (key,)).fetchone()
"""
LEASED = CACHES.replace("    row =", "    if not cache.set('lock' + key, 1, nx=True):\n        return None\n    row =")
RETRIES = """\
import psycopg

def save(connection, name):
    for attempt in range(5):
        try:
            connection.execute("UPDATE profiles SET name = %s", (name,))
            return
        except psycopg.OperationalError:
            continue
"""
PATIENT = RETRIES.replace("            continue", "            time.sleep(2 ** attempt + random.random())")


def test_a_cache_that_every_reader_fills(repository: Repository) -> None:
    check = "replication.cache-fill-without-lease"

    result = examine(None, check, repository({"a.py": CACHES, "b.py": LEASED}))

    assert names(result) == {"a.py"}
    assert result.findings[0].title == "Every reader that misses redis queries profiles (a.py:10)"
    assert examine(None, check, repository({"b.py": LEASED})).outcome is Outcome.PASSED


def test_attempts_that_follow_one_another_at_once(repository: Repository) -> None:
    (found,) = examine(
        None, "replication.retry-without-backoff", repository({"a.py": RETRIES, "b.py": PATIENT})
    ).findings

    assert (found.subject.path, found.severity) == (("a.py",), Severity.MEDIUM)
    assert found.title == "A statement that fails is sent again at once (a.py:4)"


def test_one_repetition_is_no_storm(repository: Repository) -> None:
    twice = """\
const MAX_ATTEMPTS = 2;
async function save(id: string) {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS && !done; attempt++) {
    try {
      await prisma.profile.update({ where: { id }, data: { name: "x" } });
    } catch (error) {
      logger.error(error);
    }
  }
}
"""
    schema = "model profile {\n  id String @id\n  name String\n}\n"
    files = {
        "twice.ts": twice,
        "often.ts": twice.replace("= 2", "= 20"),
        "unknown.ts": twice.replace("= 2", "= Number(process.env.MAX)"),
        "from_zero.ts": twice.replace("attempt = 1", "attempt = 0"),
        "once_more.py": RETRIES.replace("range(5)", "range(2)"),
        "range.py": RETRIES.replace("range(5)", "range(1, 4)"),
        "prisma/schema.prisma": schema,
    }

    result = examine(None, "replication.retry-without-backoff", repository(files))

    assert names(result) == {"often.ts", "unknown.ts", "from_zero.ts", "range.py"}
