from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from checks.errors import UsageError
from checks.evidence.database.dsn import is_dsn, understand


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGSERVICE", "PGHOSTADDR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("postgresql://u@h/db", True),
        ("mysql://h", True),
        ("host=/tmp dbname=app", True),
        ("dbname = app", True),
        ("schema=public host=h", True),
        ("service=prod", True),
        ("./repository", False),
        ("/srv/key=value", False),
        ("colour=red", False),
        ("", False),
    ],
)
def test_what_is_a_dsn(argument: str, expected: bool) -> None:
    assert is_dsn(argument) is expected


@pytest.mark.parametrize(
    ("argument", "parameters"),
    [
        ("postgres://u:p@h:5433/db", {"user": "u", "password": "p", "host": "h", "port": "5433", "dbname": "db"}),
        ("postgresql+asyncpg://u@h/db", {"user": "u", "host": "h", "dbname": "db"}),
        ("postgres+psycopg2://u@h/db", {"user": "u", "host": "h", "dbname": "db"}),
        ("jdbc:postgresql://h/db?user=u&password=p", {"host": "h", "dbname": "db", "user": "u", "password": "p"}),
        ("postgresql://u:p%40s%2Fs@h/db", {"user": "u", "password": "p@s/s", "host": "h", "dbname": "db"}),
        ("postgresql://u:p@s@h/db", {"user": "u", "password": "p@s", "host": "h", "dbname": "db"}),
        ("postgresql://u:p/s@h/db", {"user": "u", "password": "p/s", "host": "h", "dbname": "db"}),
        ("postgresql://a:1,b:2/db", {"host": "a,b", "port": "1,2", "dbname": "db"}),
        ("postgresql+psycopg://u@/db?host=a:1&host=b:2", {"user": "u", "host": "a,b", "port": "1,2", "dbname": "db"}),
        ("postgresql://[2001:db8::1]:5433/db", {"host": "2001:db8::1", "port": "5433", "dbname": "db"}),
        ("postgresql:///db?host=/run/sockets", {"host": "/run/sockets", "dbname": "db"}),
        ("postgresql://%2Frun%2Fsockets/db", {"host": "/run/sockets", "dbname": "db"}),
        ("postgresql://h/my@db", {"host": "h", "dbname": "my@db"}),
        ("postgresql://h/db?ssl=true", {"host": "h", "dbname": "db", "sslmode": "require"}),
        ("postgresql://h/db?ssl=verify-full", {"host": "h", "dbname": "db", "sslmode": "verify-full"}),
        ("host=h dbname='my db' password='it\\'s'", {"host": "h", "dbname": "my db", "password": "it's"}),
        ("postgresql://h/db?options=endpoint%3Dx", {"host": "h", "dbname": "db", "options": "endpoint=x"}),
        ("service=prod", {"service": "prod"}),
    ],
)
def test_what_applications_write_is_understood(argument: str, parameters: dict[str, str]) -> None:
    assert conninfo_to_dict(understand(argument).conninfo) == parameters


def test_what_libpq_does_not_know_is_dropped_with_a_notice() -> None:
    dsn = understand(
        "postgresql://u:p@h/db?schema=s3cret&connection_limit=5&pool_timeout=1&sslaccept=strict&sslmode=require"
    )
    assert conninfo_to_dict(dsn.conninfo)["sslmode"] == "require"
    assert dsn.notices == (
        "left out of the DSN, because libpq does not know it: connection_limit, pool_timeout, schema, sslaccept",
    )
    assert not dsn.transaction_pooling


@pytest.mark.parametrize(
    "argument",
    [
        "postgresql://h/db?pgbouncer=true",
        "postgresql://h:6543/db",
        "host=h port=6543",
        "postgresql://ep-cool-name-123-pooler.eu.example.org/db",
    ],
)
def test_a_transaction_pooler_is_given_away(argument: str) -> None:
    assert understand(argument).transaction_pooling


@pytest.mark.parametrize(
    ("argument", "display"),
    [
        ("postgresql://u:s3cret@h:5433/db", "u@h:5433/db"),
        ("postgresql://u:s3cret@h/db", "u@h/db"),
        ("host=a,b port=1,2 user=u dbname=db password=s3cret", "u@a:1,b:2/db"),
        ("postgresql://u:s3cret@[::1]:5433/db", "u@[::1]:5433/db"),
        ("user=u dbname=db password=s3cret", "u@[local]/db"),
        ("service=prod password=s3cret", "service prod"),
    ],
)
def test_no_password_is_displayed(argument: str, display: str) -> None:
    dsn = understand(argument)
    assert dsn.display == display
    assert "s3cret" not in repr(dsn)
    assert dsn.redact("password s3cret\nof u") == "password *** of u" or "password" not in dsn.parameters


@pytest.mark.parametrize(
    "argument",
    [
        "mysql://u:s3cret@h/db",
        "://u:s3cret@h/db",
        "postgresql://u:s3cret@h:port/db",
        "postgresql://u:s3cret%zz@h/db",
        "postgresql://u:s3cret@h/db%00",
        "host=h password='s3cret",
        "host=h s3cret",
        "host=h\x00password=s3cret",
    ],
)
def test_a_dsn_that_cannot_be_read_is_a_usage_error_without_its_values(argument: str) -> None:
    with pytest.raises(UsageError) as raised:
        understand(argument)
    assert "s3cret" not in str(raised.value) + raised.value.hint
    assert raised.value.hint
    assert "\n" not in str(raised.value)


def test_libpq_environment_decides_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("PGPORT", "6543")
    dsn = understand("user=u dbname=db")
    assert dsn.display == "u@elsewhere:6543/db"
    assert dsn.transaction_pooling
