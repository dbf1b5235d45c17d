from __future__ import annotations

from checks.model import Outcome, Severity
from tests.checks.altered import with_setting
from tests.checks.survey import conclude, survey
from tests.servers import Database

CHECK = "observability.no-audit-log"


def test_who_read_what(database: Database) -> None:
    database.execute("CREATE TABLE items (id int PRIMARY KEY, name text, token_count int, password text, api_key text)")
    assert conclude(survey(database), CHECK).outcome is Outcome.NOT_APPLICABLE

    database.execute("CREATE TABLE accounts (id int PRIMARY KEY, passport text, date_of_birth date, api_key text)")
    evidence = survey(database)

    (found,) = conclude(evidence, CHECK).findings
    assert found.severity is Severity.NOTE
    assert found.observed["columns"] == ["public.accounts.passport", "public.accounts.date_of_birth"]
    assert found.title == "Who reads public.accounts.passport and 1 more of the kind is not recorded"
    libraries = "pg_stat_statements, pgaudit"
    assert conclude(with_setting(evidence, "shared_preload_libraries", libraries), CHECK).outcome is Outcome.PASSED
