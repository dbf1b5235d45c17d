"""Do row-security policies say what they are meant to, and at what cost?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from checks.evidence.database.facts import Access, Catalog, Policy, Table
from checks.evidence.evidence import Evidence
from checks.evidence.sql import parse, walk
from checks.families import once_per_family
from checks.model import (
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Severity,
    Subject,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import estimated_rows
from checks.schema.exposure import PLATFORM_SCHEMAS, Rights, api_of, rights_of
from checks.schema.habits import CROWD, once_per_habit

_COMMANDS = ("select", "insert", "update", "delete")
_WRITES = frozenset({"insert", "update", "delete"})
# Functions whose result is one for the whole statement, so that a sub-select asks them once.
_PER_STATEMENT = frozenset(
    {"uid", "jwt", "role", "email", "current_setting", "user_id", "session", "tenant_id", "org_id"}
)


def reviewed_policies(catalog: Catalog) -> list[tuple[Table, Policy]]:
    """Policies of tables that the application answers for. Raises NotApplicable if there is none."""
    found = [
        (table, policy)
        for table in catalog.tables
        # Policies on a platform's own tables for files and channels are the application's.
        if table.extension is None and table.schema not in PLATFORM_SCHEMAS - {"storage", "realtime"}
        for policy in catalog.policies_of(table.oid)
    ]
    if not found:
        raise NotApplicable("no table has a row-security policy")
    return found


def policy_subject(table: Table, policy: Policy) -> Subject:
    return Subject("policy", (table.schema, table.name, policy.name))


@check("schema.policy-always-true", catalogue="S93", severity=Severity.HIGH, needs=[Catalog, Access])
@once_per_family
@once_per_habit(
    lambda schema, number: f"Policies let roles write every row of {number} tables of schema {schema}", CROWD
)
def policy_always_true(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A policy lets a role write every row.

    USING (true) or WITH CHECK (true) for INSERT, UPDATE or DELETE is row security that is switched on and says yes to
    everything. For reading that may be meant; for writing it rarely is. Rights, restrictive policies and roles that no policy
    binds are taken into account.

    Fix: Say which rows, or take the right away.

    Example: CREATE POLICY writable ON notes FOR UPDATE TO authenticated USING (true): every signed-in user changes the
    notes of every other.

    Source: PostgreSQL manual, "CREATE POLICY"

    Observed: policies, roles, writes.
    """
    catalog, rights, api = evidence.get(Catalog), rights_of(evidence), api_of(evidence)
    policies = reviewed_policies(catalog)
    grouped: dict[int, list[tuple[Policy, list[str], list[str]]]] = {}
    for table, policy in policies:
        if not table.row_security or not policy.permissive:
            continue
        open_for = {command for command in _WRITES if _says_yes(policy, command)}
        closed = {
            command
            for other in catalog.policies_of(table.oid)
            if not other.permissive and _covers(other, policy)
            for command in _commands(other)
        }
        writes = sorted(open_for - closed)
        roles = [role for role in _bound(evidence, policy, rights) if role != table.owner]
        reached = [role for role in roles if {command.upper() for command in writes} & rights.on_table(role, table)]
        if writes and reached:
            grouped.setdefault(table.oid, []).append((policy, writes, reached))
    for oid, found in grouped.items():
        table = catalog.table_by_oid[oid]
        served = api is not None and api.serves(table.schema)
        anonymous = set(api.anonymous) if api and served else set()
        reached = sorted({role for _, _, some in found for role in some})
        writes = sorted({command for _, some, _ in found for command in some})
        named = sorted({role for policy, _, _ in found for role in policy.roles})
        listed = ", ".join("PUBLIC" if not role else quote_identifier(role) for role in named)
        first = policy_subject(table, found[0][0])
        one = len(found) == 1
        yield Finding(
            first if one else table.subject,
            f"{f'Policy {first.name} lets' if one else f'{len(found)} policies of {table.subject.name} let'} {listed} "
            f"{', '.join(writes)} every row",
            Fix(
                "Say in USING and WITH CHECK which rows these roles may write; or REVOKE the right and drop the policy. Inserts "
                "by a form that anybody may fill in want at least a limit outside of the database."
            ),
            severity=Severity.HIGH if anonymous & set(reached) or writes != ["insert"] else Severity.MEDIUM,
            observed={"policies": [policy.name for policy, _, _ in found], "roles": named, "writes": writes},
            related=(table.subject,) if one else tuple(policy_subject(table, policy) for policy, _, _ in found[:5]),
        )
    yield Examined(len(policies), len(policies), "policies", unmet=sum(map(len, grouped.values())))


def _commands(policy: Policy) -> tuple[str, ...]:
    return _COMMANDS if policy.command == "all" else (policy.command,)


def _covers(restrictive: Policy, permissive: Policy) -> bool:
    """Whether the restrictive policy holds for all roles of the other, and says something."""
    reaches = "" in restrictive.roles or set(permissive.roles) <= set(restrictive.roles)
    return reaches and not (is_true(restrictive.using) and restrictive.check in (None, "true"))


def _says_yes(policy: Policy, command: str) -> bool:
    """Whether a policy puts no condition on a command. Without WITH CHECK, USING holds for what is written too."""
    if command not in _commands(policy):
        return False
    if command == "insert":
        return is_true(policy.check) or (policy.check is None and policy.command == "all" and is_true(policy.using))
    if command == "delete":
        return is_true(policy.using)
    return is_true(policy.using) and (policy.check is None or is_true(policy.check))


def is_true(expression: str | None) -> bool:
    """Whether an expression is the constant true, or compares two constants."""
    if expression is None:
        return False
    node = _expression(expression)
    if node is None:
        return False
    kind = node.WhichOneof("node")
    if kind == "a_const":
        return bool(node.a_const.boolval.boolval)
    if kind == "a_expr":
        sides = [side.WhichOneof("node") for side in (node.a_expr.lexpr, node.a_expr.rexpr)]
        return all(side in {"a_const", "param_ref"} for side in sides)
    return False


def _expression(text: str) -> Any | None:
    tree = parse(f"SELECT {text}")
    if tree is None or len(tree.stmts) != 1 or not tree.stmts[0].stmt.select_stmt.target_list:
        return None
    return tree.stmts[0].stmt.select_stmt.target_list[0].res_target.val


def _bound(evidence: Evidence, policy: Policy, rights: Rights) -> list[str]:
    """Roles that a policy is for and that policies hold for, login roles and those of an API."""
    access = evidence.get(Access)
    return [
        role.name
        for role in access.roles
        if ("" in policy.roles or rights.acts_as(role.name) & set(policy.roles))
        and not rights.bypasses_row_security(role.name)
    ]


@check("schema.several-permissive-policies", catalogue="S94", severity=Severity.LOW, needs=[Catalog, Access])
@once_per_family
@once_per_habit(
    lambda schema, number: f"Several permissive policies hold together on {number} tables of schema {schema}"
)
def several_permissive_policies(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Several permissive policies of a table hold for the same role and command.

    They are joined by OR: each is evaluated for each row until one says yes, and an OR keeps the planner from using an index
    that either would have used. Reading what is allowed takes reading all of them.

    Fix: One policy per command and role, with the conditions in it.

    Example: Two policies FOR SELECT TO authenticated, USING (owner_id = 7) and USING (is_public): each row is filtered
    by (owner_id = 7 OR is_public), and the index on owner_id alone cannot answer that.

    Source: PostgreSQL manual, "Row Security Policies"; Supabase documentation, "RLS Performance and Best Practices"

    Observed: commands, policies, roles, rows.
    """
    catalog = evidence.get(Catalog)
    rights = rights_of(evidence)
    # A platform's own tables (storage.objects) have a policy for each bucket, and no other way.
    tables = {
        table.oid: table
        for table, _ in reviewed_policies(catalog)
        if table.row_security and table.schema not in PLATFORM_SCHEMAS
    }
    if not tables:
        raise NotApplicable("no table with policies has row security")
    for table in tables.values():
        found: dict[str, set[str]] = {}
        names: dict[str, None] = {}
        for command in _COMMANDS:
            for role, policies in _by_role(rights, catalog.policies_of(table.oid), command).items():
                if len(policies) > 1:
                    found.setdefault(command, set()).add(role)
                    names |= dict.fromkeys(policies)
        if not found:
            continue
        rows = estimated_rows(evidence, table)
        roles = sorted(set().union(*found.values()))
        commands = ", ".join(command.upper() for command in found)
        yield Finding(
            table.subject,
            f"{len(names)} permissive policies of {table.subject.name} hold together for {commands}",
            Fix("Join them in one policy per command, with OR between their conditions where that is meant; a policy for ALL "
                "beside one for SELECT is the usual case."),
            severity=Severity.LOW if (rows or 0) >= evidence.limit("seq_scan_rows") else Severity.NOTE,
            observed={
                "commands": list(found),
                "policies": list(names),
                "roles": roles,
                "rows": None if rows is None else round(rows),
            },
            related=tuple(Subject("policy", (table.schema, table.name, name)) for name in list(names)[:5]),
        )  # fmt: skip
    yield Examined(len(tables), len(tables), "tables with row security and policies")


def _by_role(rights: Rights, policies: list[Policy], command: str) -> dict[str, list[str]]:
    """The permissive policies that hold for each role on a command: those named in any of them, and PUBLIC ('')."""
    relevant = [policy for policy in policies if policy.permissive and command in _commands(policy)]
    roles = {role for policy in relevant for role in policy.roles}
    return {
        role: [policy.name for policy in relevant if set(policy.roles) & (rights.acts_as(role) if role else {""})]
        for role in roles
        if not (role and rights.bypasses_row_security(role))
    }


@check("schema.policy-evaluated-per-row", catalogue="S95", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
@once_per_habit(
    lambda schema, number: f"Policies of {number} tables of schema {schema} ask for each row who the caller is"
)
def policy_evaluated_per_row(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A policy asks for each row what is the same for the whole statement.

    auth.uid() or current_setting() in a policy is called for every row that is looked at; within a sub-select, (select
    auth.uid()), it is called once. On a table of a million rows that is the difference between milliseconds and seconds.

    Fix: Wrap the call in a sub-select.

    Example: CREATE POLICY own ON documents USING (user_id = auth.uid()): SELECT count(*) FROM documents calls
    auth.uid() a million times; with (SELECT auth.uid()) it calls it once.

    Source: Supabase documentation, "RLS Performance and Best Practices"; PostgreSQL manual, "Row Security Policies"

    Observed: functions, rows.
    """
    catalog = evidence.get(Catalog)
    policies = [entry for entry in reviewed_policies(catalog) if entry[0].row_security]
    if not policies:
        raise NotApplicable("no table with policies has row security")
    grouped: dict[int, list[tuple[Policy, tuple[str, ...]]]] = {}
    for table, policy in policies:
        called = {call for text in (policy.using, policy.check) if text for call in _calls_per_row(text, policy)}
        if called:
            grouped.setdefault(table.oid, []).append((policy, tuple(sorted(called))))
    for oid, found in grouped.items():
        table = catalog.table_by_oid[oid]
        rows = estimated_rows(evidence, table)
        functions = sorted({call for _, calls in found for call in calls})
        first = policy_subject(table, found[0][0])
        what = (
            f"Policy {first.name} calls" if len(found) == 1 else f"{len(found)} policies of {table.subject.name} call"
        )
        many = rows is None or rows >= evidence.limit("seq_scan_rows")
        yield Finding(
            first if len(found) == 1 else table.subject,
            f"{what} {', '.join(f'{name}()' for name in functions)} for each row",
            _wrapped(table, [policy for policy, _ in found], functions),
            severity=Severity.MEDIUM if many else Severity.LOW,
            observed={
                "functions": functions,
                "policies": [policy.name for policy, _ in found],
                "rows": None if rows is None else round(rows),
            },
            related=tuple(policy_subject(table, policy) for policy, _ in found[:5]),
        )
    yield Examined(len(policies), len(policies), "policies", unmet=sum(map(len, grouped.values())))


def _calls_per_row(text: str, policy: Policy) -> list[str]:
    """Functions called outside of any sub-select, without a column among their arguments, that are not IMMUTABLE."""
    tree = _expression(text)
    if tree is None:
        return []
    found = []
    volatile = {name.rpartition(".")[2] for name in policy.calls_per_row}
    for node in walk(tree, into=lambda message: message.DESCRIPTOR.name != "SubLink"):
        if node.DESCRIPTOR.name != "FuncCall":
            continue
        path = [part.string.sval for part in node.funcname]
        takes_column = any(part.DESCRIPTOR.name == "ColumnRef" for part in walk(node))
        if not takes_column and path[-1] in volatile and (path[-1] in _PER_STATEMENT or path[0] not in ("pg_catalog",)):
            found.append(".".join(path))
    return found


def _wrapped(table: Table, policies: list[Policy], functions: list[str]) -> Fix:
    example = functions[0]
    names = ", ".join(quote_identifier(policy.name) for policy in policies[:5])
    alter = f"ALTER POLICY {quote_identifier(policies[0].name)} ON {qualified_name(table.schema, table.name)}"
    return Fix(
        f"In {names}, write (select {example}(...)) for {example}(...), in USING and in WITH CHECK: {alter} USING (...). It says "
        "the same, once per statement.",
        lock="ACCESS EXCLUSIVE, briefly",
        undo="ALTER POLICY with the former expression.",
    )


@check("schema.policy-trusts-user-metadata", catalogue="S96", severity=Severity.HIGH, needs=[Catalog])
@once_per_family
@once_per_habit(
    lambda schema, number: f"{number} policies of schema {schema} trust metadata that users edit themselves", CROWD
)
def policy_trusts_user_metadata(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A policy trusts what users write about themselves.

    user_metadata of the token, and raw_user_meta_data behind it, can be changed by the signed-in user through the API: a role
    or a tenant read from there is whatever the user wants it to be.

    Fix: Read app_metadata, which only the server side writes, or a table.

    Example: USING (auth.jwt() -> 'user_metadata' ->> 'role' = 'admin'): any user sets role to admin in a call of
    supabase.auth.updateUser and reads all rows.

    Source: Supabase documentation, "Row Level Security", auth.jwt()

    Observed: command, roles.
    """
    catalog = evidence.get(Catalog)
    policies = reviewed_policies(catalog)
    for table, policy in policies:
        if not policy.reads_user_metadata:
            continue
        subject = policy_subject(table, policy)
        yield Finding(
            subject,
            f"Policy {subject.name} trusts metadata that users edit themselves",
            Fix("Move the value to app_metadata or to a table that only the server side writes, then read it from there in the "
                "policy: (select auth.jwt()) -> 'app_metadata'."),
            observed={"command": policy.command, "roles": list(policy.roles)},
            related=(table.subject,),
        )  # fmt: skip
    yield Examined(len(policies), len(policies), "policies")
