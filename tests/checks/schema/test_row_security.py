from __future__ import annotations

from collections.abc import Callable

from checks.model import Confidence, Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database


def test_tables_that_an_api_serves(database: Database, api: tuple[str, str]) -> None:
    anonymous, signed_in = api
    database.execute(
        f"""CREATE TABLE written (id int PRIMARY KEY, note text); GRANT ALL ON written TO {anonymous};
        CREATE TABLE countries (code text PRIMARY KEY); GRANT SELECT ON countries TO {signed_in};
        CREATE TABLE tokens (id int, api_key text); GRANT SELECT ON tokens TO {anonymous};
        CREATE TABLE not_granted (id int PRIMARY KEY);
        CREATE TABLE guarded (id int PRIMARY KEY); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
        GRANT ALL ON guarded TO {anonymous};
        CREATE TABLE forgotten (id int PRIMARY KEY); CREATE POLICY p ON forgotten USING (id = 1);
        GRANT ALL ON forgotten TO {anonymous};
        CREATE TABLE alembic_version (version_num text); GRANT SELECT ON alembic_version TO {anonymous};
        CREATE TABLE parted (id int) PARTITION BY RANGE (id); ALTER TABLE parted ENABLE ROW LEVEL SECURITY;
        CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (10); GRANT SELECT ON parted, parted_1 TO {signed_in};
        CREATE SCHEMA internal; CREATE TABLE internal.t (id int); GRANT ALL ON internal.t TO {anonymous};
        GRANT USAGE ON SCHEMA internal TO {anonymous};"""
    )
    evidence = survey(database)

    result = conclude(evidence, "schema.row-security-disabled")

    assert {found.subject.name: found.severity for found in result.findings} == {
        "public.written": Severity.CRITICAL,
        "public.tokens": Severity.CRITICAL,
        "public.countries": Severity.MEDIUM,
        "public.alembic_version": Severity.MEDIUM,
        "public.parted_1": Severity.MEDIUM,
    }
    assert {found.confidence for found in result.findings} == {Confidence.MEASURED}
    assert names(conclude(evidence, "schema.policy-without-row-security")) == {"public.forgotten"}
    closed = conclude(evidence, "schema.row-security-without-policy")
    assert {found.subject.name: found.severity for found in closed.findings} == {"public": Severity.NOTE}
    assert closed.findings[0].observed["tables"] == ["public.guarded", "public.parted"]
    for found in (*result.findings, *conclude(evidence, "schema.policy-without-row-security").findings):
        assert found.fix.sql is not None
        database.execute(found.fix.sql)
    assert examine(database, "schema.row-security-disabled").outcome is Outcome.PASSED


def test_many_open_tables_are_one_finding(database: Database, api: tuple[str, str]) -> None:
    for number in range(9):
        database.execute(f"CREATE TABLE t{number} (id int); GRANT SELECT, INSERT ON t{number} TO {api[0]}")

    result = examine(database, "schema.row-security-disabled")

    assert names(result) == {"public"}
    assert result.unmet == 9


def test_an_application_behind_its_server_needs_no_row_security(database: Database, role: Callable[..., str]) -> None:
    server = role("server")
    database.execute(f"CREATE TABLE t (id int, password text); GRANT ALL ON t TO {server}")

    assert examine(database, "schema.row-security-disabled").outcome is Outcome.NOT_APPLICABLE


def test_the_table_that_forgets_the_tenant(database: Database, role: Callable[..., str]) -> None:
    server, owner = role("server"), role("owner", "NOLOGIN")
    database.execute(
        "".join(
            f"CREATE TABLE {name} (id int PRIMARY KEY, tenant_id int); ALTER TABLE {name} OWNER TO {owner};"
            f"GRANT SELECT ON {name} TO {server};"
            for name in ("documents", "chats", "chunks", "not_granted")
        )
        + f"CREATE TABLE plans (id int PRIMARY KEY, name text); GRANT SELECT ON plans TO {server};"
        f"REVOKE SELECT ON not_granted FROM {server};"
        "ALTER TABLE documents ENABLE ROW LEVEL SECURITY; ALTER TABLE chats ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON documents USING (tenant_id = (SELECT current_setting('app.tenant')::int));"
        "CREATE POLICY p ON chats USING (tenant_id = (SELECT current_setting('app.tenant')::int));"
    )
    evidence = survey(database)

    result = conclude(evidence, "schema.row-security-disabled")

    assert names(result) == {"public.chunks"}
    assert finding(result, "public.chunks").observed == {"roles": [server], "tenant_column": "tenant_id", "rows": 0}
    assert conclude(evidence, "schema.row-security-bypassed").outcome is Outcome.PASSED


def test_the_application_evades_its_policies(database: Database, role: Callable[..., str]) -> None:
    owner = role("owner")
    database.execute(
        f"""CREATE TABLE documents (id int PRIMARY KEY, tenant_id int); ALTER TABLE documents OWNER TO {owner};
        ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
        CREATE POLICY p ON documents USING (tenant_id = (SELECT current_setting('app.tenant')::int));"""
    )

    result = examine(database, "schema.row-security-bypassed")

    assert names(result) == {owner}
    fix = finding(result, owner).fix.sql
    assert fix is not None
    database.execute(fix)
    assert examine(database, "schema.row-security-bypassed").outcome is Outcome.PASSED

    tenant = role("tenant", "NOLOGIN")
    database.execute("ALTER TABLE documents NO FORCE ROW LEVEL SECURITY", f"ALTER POLICY p ON documents TO {tenant}",
                     f"GRANT {tenant} TO {owner}")  # fmt: skip
    assert examine(database, "schema.row-security-bypassed").outcome is Outcome.PASSED
