"""What functions let their callers do."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Access, Catalog, Function
from checks.evidence.evidence import Evidence
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
from checks.schema.exposure import PLATFORM_SCHEMAS, Api, Rights, api_of, rights_of
from checks.schema.habits import once_per_habit

_MANY = 8
_SHOWN = 5


@check("schema.function-search-path-mutable", catalogue="S98", severity=Severity.HIGH, needs=[Catalog, Access])
@once_per_family
@once_per_habit(
    lambda schema, number: (
        f"{number} SECURITY DEFINER functions of schema {schema} run under their caller's search_path"
    )
)
def function_search_path_mutable(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A SECURITY DEFINER function runs under its caller's search_path.

    Whoever may create objects in any schema that they put into their path, temporary tables included, has the function use
    those, with the rights of its owner. Functions with the rights of the caller matter less: they are one note, where an API
    calls them. A function whose path is set to anything constant is as it should be.

    Fix: ALTER FUNCTION ... SET search_path = '' and qualify names in the body, or name the schemas, pg_temp last.

    Example: CREATE FUNCTION is_admin() ... SECURITY DEFINER AS 'SELECT EXISTS (SELECT FROM admins WHERE name =
    session_user)': a caller makes a temporary table admins with their own name, and the function reads that.

    Source: PostgreSQL manual, "CREATE FUNCTION", section "Writing SECURITY DEFINER Functions Safely"

    Observed: language, owner, callers, functions.
    """
    catalog, access, rights, api = evidence.get(Catalog), evidence.get(Access), rights_of(evidence), api_of(evidence)
    functions = _reviewed_functions(catalog)
    mutable: dict[str, list[Function]] = {}
    for function in functions:
        if function.search_path is not None or function.kind == "aggregate":
            continue
        if not function.security_definer:
            mutable.setdefault(function.schema, []).append(function)
            continue
        callers = _callers(access, rights, function)
        owner = access.role_by_name.get(function.owner)
        strong = owner is not None and (owner.superuser or owner.bypasses_row_security or owner.creates_roles)
        yield Finding(
            function.subject,
            f"SECURITY DEFINER function {function.subject.name} runs under its caller's search_path",
            _search_path_fix(function),
            severity=Severity.HIGH if callers and strong else Severity.MEDIUM if callers else Severity.LOW,
            observed={"language": function.language, "owner": function.owner, "callers": callers[:20]},
        )
    for schema, found in sorted(mutable.items()):
        if api is None or not api.serves(schema):
            continue
        yield Finding(
            Subject("schema", (schema,)),
            f"{len(found)} function{'s' if len(found) > 1 else ''} of schema {quote_identifier(schema)} "
            f"run{'' if len(found) > 1 else 's'} under {'their' if len(found) > 1 else 'its'} caller's search_path",
            _search_path_fix(found[0]),
            severity=Severity.NOTE,
            observed={"functions": [function.subject.name for function in found[:20]]},
            related=tuple(function.subject for function in found[:_SHOWN]),
            discriminator="caller",
        )
    yield Examined(len(functions), len(functions), "functions")


def _search_path_fix(function: Function) -> Fix:
    alter = f"ALTER {'PROCEDURE' if function.kind == 'procedure' else 'FUNCTION'} {_signature(function)}"
    return Fix(
        "Fix the path. With '' every name in the body has to be qualified, which is safest; else name the schemas it needs, "
        "pg_temp last. A function in SQL is not inlined any more then.",
        f"{alter} SET search_path = {quote_identifier(function.schema)}, pg_temp;",
        lock="none on tables",
        undo=f"{alter} RESET search_path;",
    )


def _signature(function: Function) -> str:
    return f"{qualified_name(function.schema, function.name)}({function.arguments})"


def _callers(access: Access, rights: Rights, function: Function) -> list[str]:
    """Roles without special rights, not its owner, that may call a function."""
    if function.of_trigger:
        return []
    return [
        role.name
        for role in access.roles
        if not (role.superuser or role.bypasses_row_security)
        and function.owner not in rights.acts_as(role.name)
        and rights.executes(role.name, function)
    ]


def _reviewed_functions(catalog: Catalog) -> list[Function]:
    found = [
        function
        for function in catalog.functions
        if function.extension is None and function.schema not in PLATFORM_SCHEMAS
    ]
    if not found:
        raise NotApplicable("the database has no functions of its own")
    return found


@check("schema.definer-function-public", catalogue="S99", severity=Severity.MEDIUM, needs=[Catalog, Access])
@once_per_family
def definer_function_public(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A SECURITY DEFINER function can be called by everybody.

    EXECUTE is granted to PUBLIC when a function is made, so that each login, and each caller of an API, may have it do what its
    owner may do. That may be meant, where the function looks who calls; nothing in the catalog says that it does.

    Fix: REVOKE EXECUTE FROM PUBLIC, and grant it to who needs it.

    Example: CREATE FUNCTION reset_password(user_id bigint, new text) ... SECURITY DEFINER without REVOKE EXECUTE ON
    FUNCTION ... FROM PUBLIC: every login sets the password of every user.

    Source: PostgreSQL manual, "CREATE FUNCTION", section "Writing SECURITY DEFINER Functions Safely"; "Privileges"

    Observed: callers, anonymous, owner, functions.
    """
    catalog, access, rights, api = evidence.get(Catalog), evidence.get(Access), rights_of(evidence), api_of(evidence)
    functions = [
        function for function in _reviewed_functions(catalog)
        if function.security_definer and not function.of_trigger and function.kind != "aggregate"
    ]  # fmt: skip
    if not functions:
        raise NotApplicable("no function is SECURITY DEFINER")
    found: dict[tuple[str, Severity], list[tuple[Function, list[str]]]] = {}
    for function in functions:
        served = api is not None and api.serves(function.schema)
        callers = _callers(access, rights, function)
        if served and api is not None:
            callers = [role for role in callers if role in api.roles]
            severity = Severity.MEDIUM if set(callers) & set(api.anonymous) else Severity.LOW
        else:
            callers = [role for role in callers if access.role_by_name[role].can_login]
            owner = access.role_by_name.get(function.owner)
            strong = owner is not None and (owner.superuser or owner.bypasses_row_security or owner.creates_roles)
            severity = Severity.MEDIUM if strong else Severity.LOW
        if callers and (served or function.executable_by_public):
            found.setdefault((function.schema, severity), []).append((function, callers))
    for (schema, severity), entries in sorted(found.items(), key=lambda entry: (entry[0][0], entry[0][1].rank)):
        if len(entries) < _MANY:
            for function, callers in entries:
                yield _definer_finding(api, [function], callers, function.subject, severity)
        else:
            callers = sorted({role for _, some in entries for role in some})
            every = [function for function, _ in entries]
            yield _definer_finding(api, every, callers, Subject("schema", (schema,)), severity)
    yield Examined(len(functions), len(functions), "SECURITY DEFINER functions", unmet=sum(map(len, found.values())))


def _definer_finding(
    api: Api | None, functions: list[Function], callers: list[str], subject: Subject, severity: Severity
) -> Finding:
    anonymous = sorted(set(callers) & set(api.anonymous)) if api else []
    listed = ", ".join(map(quote_identifier, (anonymous or callers)[:_SHOWN]))
    what = (
        f"SECURITY DEFINER function {subject.name}"
        if subject.kind == "function"
        else f"{len(functions)} SECURITY DEFINER functions of schema {subject.name}"
    )
    revoked = ", ".join(map(quote_identifier, anonymous or callers)) if api else ""
    whom = f"PUBLIC{f', {revoked}' if revoked else ''}"
    routines = ["PROCEDURE" if function.kind == "procedure" else "FUNCTION" for function in functions]
    return Finding(
        subject,
        f"{what} can be called by {listed}",
        Fix(
            "Take the right away and give it to the roles that are to call it. Where callers are meant to, let the body check "
            "who they are.",
            "\n".join(
                f"REVOKE EXECUTE ON {kind} {_signature(function)} FROM {whom};"
                for kind, function in zip(routines[:100], functions[:100], strict=True)
            ),
            lock="none on tables",
            undo=" ".join(
                f"GRANT EXECUTE ON {kind} {_signature(function)} TO {whom};"
                for kind, function in zip(routines[:100], functions[:100], strict=True)
            ),
        ),
        severity=severity,
        observed={
            "callers": callers[:20],
            "anonymous": anonymous,
            "owner": functions[0].owner,
            "functions": [function.subject.name for function in functions[:20]],
        },
        related=tuple(function.subject for function in functions[:_SHOWN] if function.subject != subject),
    )
