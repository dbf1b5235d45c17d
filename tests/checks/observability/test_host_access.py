from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from checks.evidence.database.facts import Host, HostRule
from checks.evidence.evidence import Evidence
from checks.model import CheckResult, Outcome, Reason, Severity
from tests.checks.altered import of_flavour, with_setting
from tests.checks.survey import conclude, survey
from tests.servers import Database

CHECK = "observability.host-based-access"
Repository = Callable[[Mapping[str, str | bytes]], Path]
Rules = Callable[[str], Evidence]


@pytest.fixture
def rules(database: Database) -> Iterator[Rules]:
    """What is observed with these lines in pg_hba.conf, which the server is not told to load."""
    row = database.connect().execute("SHOW hba_file").fetchone()
    assert row is not None
    path = Path(row[0])
    before = path.read_text("utf-8")

    def observed(lines: str) -> Evidence:
        path.write_text(lines, "utf-8")
        return with_setting(survey(database), "listen_addresses", "(set)")

    try:
        yield observed
    finally:
        path.write_text(before, "utf-8")


def _found(result: CheckResult) -> dict[str, tuple[Severity | None, list[int]]]:
    return {entry.discriminator: (entry.severity, entry.observed["lines"]) for entry in result.findings}


def test_lines_that_ask_for_too_little(rules: Rules) -> None:
    evidence = rules(
        "local all all peer\n"
        "host all admin 10.1.0.0/16 trust\n"
        "hostssl all app 0.0.0.0/0 scram-sha-256\n"
        "host all old 192.168.0.0/16 md5\n"
        "host all script 10.0.0.0 255.0.0.0 password\n"
        "hostssl all script samenet password\n"
        "hostssl all certified all trust clientcert=verify-full\n"
        "host all all all scram-sha-256\n"
    )
    result = conclude(evidence, CHECK)

    assert _found(result) == {
        "trust": (Severity.HIGH, [2]),
        "password": (Severity.HIGH, [5]),
        "md5": (Severity.LOW, [4]),
        "open": (Severity.LOW, [8]),
    }
    titles = [entry.title for entry in result.findings]
    assert "admin may connect from other machines without a password" in titles
    assert "Every role may connect from any address, and there is no TLS" in titles
    assert (result.examined, result.of) == (8, 8)
    assert conclude(with_setting(evidence, "listen_addresses", "(default)"), CHECK).findings == ()
    encoded = msgspec.json.encode(evidence.host)
    assert b"10.1" not in encoded
    assert b"192.168" not in encoded


def test_trust_from_anywhere(rules: Rules) -> None:
    result = conclude(rules("local all all peer\nhost app app ::/0 trust\n"), CHECK)

    assert _found(result) == {"trust": (Severity.CRITICAL, [2])}
    assert result.findings[0].title == "app may connect from any address without a password"


def test_trust_on_the_machine_itself(rules: Rules) -> None:
    result = conclude(
        rules("local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all ::1/128 trust\n"), CHECK
    )

    assert _found(result) == {"trust": (Severity.NOTE, [1, 2, 3])}


def test_good_lines(rules: Rules) -> None:
    result = conclude(
        rules("local all all peer\nhostssl all all 10.0.0.0/8 scram-sha-256\nhost all all all reject\n"), CHECK
    )

    assert result.outcome is Outcome.PASSED


def test_lines_that_never_take_effect(rules: Rules) -> None:
    evidence = rules(
        "host all all 10.0.0.0/8 scram-sha-256\n"
        "host all left 10.2.0.0/16 reject\n"
        "host replication left 10.2.0.0/16 reject\n"
        "host app app 10.3.0.0/16 scram-sha-256\n"
        "host app app fd00::/8 reject\n"
        "hostssl all all 11.0.0.0/8 scram-sha-256\n"
        "host all all 11.0.0.0/8 reject\n"
        "host all all no such method\n"
    )
    result = conclude(evidence, CHECK)

    shadows = {rule.line: rule.shadowed_by for rule in evidence.get(Host).rules or () if rule.shadowed_by}
    assert shadows == {2: 1, 4: 1}
    assert _found(result) == {"shadowed": (Severity.MEDIUM, [2]), "an error": (Severity.HIGH, [8])}


def test_a_role_that_may_not_read_them(database: Database) -> None:
    evidence = survey(database)
    host = msgspec.structs.replace(evidence.get(Host), rules=None)
    hidden = msgspec.structs.replace(evidence, host=host)

    plain = conclude(hidden, CHECK)
    managed = conclude(of_flavour(hidden, "rds"), CHECK)

    assert (plain.outcome, plain.reason) == (Outcome.UNKNOWN, Reason.NOT_PERMITTED)
    assert plain.unlock == "GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO postgres;"
    assert managed.reason is Reason.MANAGED_SERVICE_HIDES


def test_the_grant_is_enough(database: Database) -> None:
    role = f"r_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN")
    try:
        before = survey(f"{database.dsn} user={role}").get(Host)
        database.execute(f"GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO {role}")
        after = survey(f"{database.dsn} user={role}").get(Host)
        assert before.rules is None
        assert after.rules
        assert isinstance(after.rules[0], HostRule)
    finally:
        database.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_what_a_deployment_opens(repository: Repository) -> None:
    root = repository(
        {
            "docker-compose.yml": "services:\n  db:\n    image: postgres:16\n    environment:\n"
            "      POSTGRES_HOST_AUTH_METHOD: trust\n      # POSTGRES_HOST_AUTH_METHOD: trust\n",
            "terraform/db.tf": 'resource "aws_db_instance" "main" {\n  publicly_accessible = true\n}\n'
            'resource "aws_db_instance" "other" {\n  publicly_accessible = false\n}\n',
            "tests/docker-compose.yml": "services:\n  db:\n    image: postgres:16\n    environment:\n"
            "      POSTGRES_HOST_AUTH_METHOD: trust\n",
        }
    )
    result = conclude(survey(None, root), CHECK)

    assert {entry.subject.name: entry.title for entry in result.findings} == {
        "docker-compose.yml": "The deployment lets everybody in: trust from every address (POSTGRES_HOST_AUTH_METHOD)",
        "terraform/db.tf": "The deployment gives the server a public address (publicly_accessible)",
    }
