from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.servers import Database


@pytest.fixture
def role(database: Database) -> Iterator[Callable[..., str]]:
    """Makes roles for one test; a name is the given word and the database's, since roles are the whole server's."""
    made: list[str] = []

    def make(word: str, options: str = "LOGIN") -> str:
        name = f"{word}_{database.name}"
        database.execute(f"CREATE ROLE {name} {options}")
        made.append(name)
        return name

    yield make
    for name in reversed(made):
        database.execute(f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")


@pytest.fixture
def api(database: Database, role: Callable[..., str]) -> tuple[str, str]:
    """The roles of an API over schema public, as PostgREST has them: callers who did not sign in, and those who did."""
    anonymous, signed_in = role("nobody", "NOLOGIN"), role("somebody", "NOLOGIN")
    authenticator = role("door", "LOGIN NOINHERIT")
    database.execute(
        f"GRANT {anonymous}, {signed_in} TO {authenticator}",
        f"ALTER ROLE {authenticator} IN DATABASE {database.name} SET pgrst.db_schemas = 'public, shown'",
        f"ALTER ROLE {authenticator} IN DATABASE {database.name} SET pgrst.db_anon_role = '{anonymous}'",
        f"GRANT USAGE ON SCHEMA public TO {anonymous}, {signed_in}",
    )
    return anonymous, signed_in
