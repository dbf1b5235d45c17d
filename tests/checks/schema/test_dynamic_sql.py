from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from checks.model import Location, Outcome, Severity
from tests.checks.survey import examine, finding, names
from tests.servers import Database

CODE = {
    "app/search.py": """
def search(cursor, word, table, column):
    cursor.execute(f"SELECT id FROM notes WHERE body = '{word}'")
    cursor.execute("SELECT id FROM notes WHERE body = %s", [word])
    cursor.execute(f"SELECT id FROM {table} WHERE {column} = %s", [word])
    cursor.execute(f"SELECT id, body FROM notes ORDER BY id LIMIT {word} OFFSET {column}")
""",
    "app/tree.py": """
def tree(cursor, node, ids):
    cursor.execute(f"SELECT id FROM notes WHERE id = {node}::bigint OR id = ANY (ARRAY[{ids}]::bigint[])")
    cursor.execute(f"SELECT id FROM notes WHERE id::text::uuid = '{node}'::uuid")
""",
    "app/models/note.rb": """
class Notes
  def active(organization)
    find_by_sql("SELECT id FROM notes WHERE id = '#{organization.id}' AND body = #{Note.statuses[:active]} AND id > #{FIRST}")
  end
  def until_now
    find_by_sql("SELECT id FROM notes WHERE body < '#{Time.current.utc}' AND id = #{Billing::Plan.intervals[interval]}")
  end
end
""",
    "app/models/asked.rb": """
class Asked
  def found
    find_by_sql("SELECT id FROM notes WHERE id = '#{params.id}'")
  end
end
""",
    "src/lib.rs": """
fn f(c: &mut C) { c.batch_execute(&format!("DELETE FROM notes WHERE id = {}", N)); }
#[cfg(test)]
#[expect(clippy::indexing_slicing)]
mod tests {
  fn g(c: &mut C) { c.batch_execute(&format!("DELETE FROM notes WHERE body = '{}'", N)); }
}
""",
    "app/crm.py": """
def accounts(client, limit):
    return client.query(f"SELECT Id, Name FROM Account WHERE Size = {limit}")
""",
    "tests/test_search.py": """
def test_search(cursor, word):
    cursor.execute(f"SELECT id FROM notes WHERE id = {word}")
""",
    "migrations/1.sql": "CREATE TABLE notes (id int, body text);",
}


def test_values_in_the_text_of_statements(
    database: Database, repository: Callable[..., Path], role: Callable[..., str]
) -> None:
    reader = role("reader")
    database.execute(
        f"CREATE TABLE notes (id int, body text); CREATE TABLE account (id int); GRANT SELECT ON notes TO {reader}"
    )
    root = repository(CODE)

    result = examine(database, "schema.dynamic-sql", root)

    assert {entry.subject.name: entry.severity for entry in result.findings} == {
        "app/search.py": Severity.MEDIUM, "app/tree.py": Severity.LOW, "src/lib.rs": Severity.MEDIUM,
        "app/models/asked.rb": Severity.MEDIUM,
    }  # fmt: skip
    assert finding(result, "src/lib.rs").locations == (Location("src/lib.rs", 2),)
    found = finding(result, "app/search.py")
    assert found.locations == (Location("app/search.py", 3),)
    assert (found.severity, found.observed["role"], found.observed["role_may"]) == (Severity.MEDIUM, reader, ["read"])
    database.execute(f"ALTER TABLE notes OWNER TO {reader}")
    worse = finding(examine(database, "schema.dynamic-sql", root), "app/search.py")
    assert (worse.severity, worse.observed["role_may"]) == (Severity.HIGH, ["owner", "write"])


def test_without_a_database_the_migrations_tell_its_tables(repository: Callable[..., Path]) -> None:
    result = examine(None, "schema.dynamic-sql", repository(CODE))

    assert names(result) == {"app/search.py", "app/tree.py", "src/lib.rs", "app/models/asked.rb"}


def test_code_without_sql(repository: Callable[..., Path]) -> None:
    result = examine(None, "schema.dynamic-sql", repository({"app.py": "print('hello')\n"}))

    assert result.outcome is Outcome.NOT_APPLICABLE
