from __future__ import annotations

from collections.abc import Callable

from checks.model import Outcome, Severity
from tests.checks.survey import conclude, examine, finding, names, survey
from tests.servers import Database

FUNCTIONS = """
    CREATE SCHEMA auth;
    CREATE FUNCTION auth.uid() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
    CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$SELECT '{}'::jsonb$$;
    CREATE FUNCTION owns(id int) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true';
"""


def _tables(*names: str, secured: bool = True) -> str:
    return "".join(
        f"CREATE TABLE {name} (id int PRIMARY KEY, user_id int, note text);"
        + (f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;" if secured else "")
        for name in names
    )


def test_policies_that_are_always_true(database: Database, api: tuple[str, str], role: Callable[..., str]) -> None:
    anonymous, signed_in = api
    trusted = role("trusted", "NOLOGIN BYPASSRLS")
    database.execute(
        FUNCTIONS,
        _tables("open", "readable", "guarded", "unreachable", "inserted", "served", "constant"),
        f"""CREATE POLICY anything ON open FOR ALL TO {anonymous} USING (true);
        CREATE POLICY reading ON readable FOR SELECT USING (true);
        CREATE POLICY anything ON guarded USING (true);
        CREATE POLICY unless ON guarded AS RESTRICTIVE USING (user_id = (SELECT auth.uid()));
        CREATE POLICY anything ON unreachable USING (true);
        CREATE POLICY form ON inserted FOR INSERT TO {signed_in} WITH CHECK (true);
        CREATE POLICY backend ON served TO {trusted} USING (true);
        CREATE POLICY one ON constant FOR DELETE USING (1 = 1);
        GRANT ALL ON ALL TABLES IN SCHEMA public TO {anonymous}, {signed_in}, {trusted};
        REVOKE INSERT, UPDATE, DELETE ON unreachable FROM {anonymous}, {signed_in}, {trusted};""",
    )

    result = examine(database, "schema.policy-always-true")

    assert {found.subject.name: found.severity for found in result.findings} == {
        "public.open.anything": Severity.HIGH,
        "public.inserted.form": Severity.MEDIUM,
        "public.constant.one": Severity.HIGH,
    }
    assert finding(result, "public.open.anything").observed["writes"] == ["delete", "insert", "update"]


def test_policies_that_ask_for_each_row(database: Database) -> None:
    database.execute(
        FUNCTIONS,
        _tables("per_row", "once", "by_column", "several", "settings"),
        """CREATE POLICY mine ON per_row USING (user_id = auth.uid());
        CREATE POLICY mine ON once USING (user_id = (SELECT auth.uid()) AND lower(note) <> 'x');
        CREATE POLICY mine ON by_column USING (owns(id));
        CREATE POLICY reads ON several FOR SELECT USING (auth.uid() = user_id);
        CREATE POLICY writes ON several FOR INSERT WITH CHECK ((auth.jwt() ->> 'role') = 'x' AND auth.uid() = user_id);
        CREATE POLICY mine ON settings USING (note = current_setting('app.tenant', true));
        CREATE TABLE off (user_id int); CREATE POLICY mine ON off USING (user_id = auth.uid());""",
    )

    result = examine(database, "schema.policy-evaluated-per-row")

    assert names(result) == {"public.per_row.mine", "public.several", "public.settings.mine"}
    assert finding(result, "public.several").observed["functions"] == ["auth.jwt", "auth.uid"]
    assert finding(result, "public.settings.mine").observed["functions"] == ["current_setting"]
    assert (result.examined, result.unmet) == (6, 4)


def test_policies_that_trust_what_users_write(database: Database) -> None:
    database.execute(
        FUNCTIONS,
        "CREATE TABLE auth.users (id int PRIMARY KEY, raw_user_meta_data jsonb)",
        _tables("a", "b", "c", "d", "e"),
        """CREATE POLICY p ON a USING ((auth.jwt() -> 'user_metadata' ->> 'role') = 'admin');
        CREATE POLICY p ON b USING ((auth.jwt() -> 'app_metadata' ->> 'role') = 'admin');
        CREATE POLICY p ON c USING ((auth.jwt() #>> '{user_metadata,role}') = 'admin');
        CREATE POLICY p ON d USING (EXISTS (SELECT FROM auth.users u WHERE u.raw_user_meta_data ->> 'role' = 'admin'));
        CREATE POLICY p ON e USING (note <> 'no user_metadata here');""",
    )

    assert names(examine(database, "schema.policy-trusts-user-metadata")) == {"public.a.p", "public.c.p", "public.d.p"}


def test_several_permissive_policies(database: Database, api: tuple[str, str], role: Callable[..., str]) -> None:
    anonymous, signed_in = api
    trusted = role("trusted", "NOLOGIN BYPASSRLS")
    database.execute(
        FUNCTIONS,
        _tables("several", "apart", "restricted", "backend"),
        f"""CREATE POLICY all_of ON several USING (user_id = 1); CREATE POLICY reading ON several FOR SELECT USING (true);
        CREATE POLICY one ON apart FOR SELECT TO {anonymous} USING (true);
        CREATE POLICY two ON apart FOR SELECT TO {signed_in} USING (true);
        CREATE POLICY three ON apart FOR INSERT TO {signed_in} WITH CHECK (user_id = 1);
        CREATE POLICY one ON restricted USING (true); CREATE POLICY two ON restricted AS RESTRICTIVE USING (user_id = 1);
        CREATE POLICY one ON backend TO {trusted} USING (true); CREATE POLICY two ON backend TO {trusted} USING (true);""",
    )

    result = examine(database, "schema.several-permissive-policies")

    assert names(result) == {"public.several"}
    assert finding(result, "public.several").observed["commands"] == ["select"]


def test_no_policy(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    evidence = survey(database)

    for name in (
        "policy-always-true",
        "policy-evaluated-per-row",
        "policy-without-row-security",
        "row-security-bypassed",
    ):
        assert conclude(evidence, f"schema.{name}").outcome is Outcome.NOT_APPLICABLE
