"""Is SQL made of parts that come from outside, and what may the role do that runs it?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.database.facts import Access, Catalog
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import read_pattern
from checks.evidence.repository.facts import CodeStatement, Repository
from checks.evidence.sql import parse_tolerantly, walk
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity, Subject
from checks.observability.application_roles import application_roles, possible_roles
from checks.registry import check
from checks.schema.exposure import rights_of

_SHOWN = 10
_PUT_IN = re.compile(r"\$[0-9]+")
_NUMBERS = re.compile(
    r"\$[0-9]+::(?:(?:big|small)?int(?:eger)?|uuid)\b|ARRAY\[\$[0-9]+\]::(?:(?:big|small)?int(?:eger)?|uuid)\[\]",
    re.IGNORECASE,
)


@check("schema.dynamic-sql", catalogue="N32", severity=Severity.HIGH, needs=[Repository])
def dynamic_sql(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Code puts values into the text of an SQL statement.

    A value that stands in the text instead of a parameter is SQL to the server: whoever writes it, a user or a model, writes the
    statement. How bad that is depends on the role that runs it, so what that role may do stands beside it. Names of tables
    and columns, which no parameter can stand for, are left out, and so are whole clauses that code puts together.

    Fix: Pass values as parameters; for SQL from a model, a role of its own that may only read, with a statement_timeout.

    Example: cursor.execute(f"SELECT * FROM users WHERE email = '{email}'"): an email of ' OR true -- returns every
    user.

    Source: OWASP, "SQL Injection Prevention Cheat Sheet"; PostgreSQL manual, "PREPARE"

    Observed: statements, holes, role, role_may.
    """
    repository = evidence.get(Repository)
    statements = [entry for entry in repository.statements if entry.source != "sql"]
    if not statements:
        raise NotApplicable("the repository has no SQL in its code")
    dynamic: dict[str, list[CodeStatement]] = {}
    for entry in statements:
        if "value" in entry.hole_kinds and not _is_test(entry.location.path) and _is_ours(evidence, entry):
            dynamic.setdefault(entry.location.path, []).append(entry)
    role, may = _what_the_role_may(evidence)
    writes = any(word in may for word in ("superuser", "owner", "write"))
    for path, found in sorted(dynamic.items()):
        number = sum(entry.hole_kinds.count("value") for entry in found)
        where = f"{len(found)} statements" if len(found) > 1 else f"a statement at line {found[0].location.line}"
        which = f" (run as {role}, which {_phrase(may)})" if role else ""
        yield Finding(
            Subject("file", (path,)),
            f"{path} puts values into the text of {where}{which}",
            Fix(
                "Write a placeholder where the value stands and pass it beside the statement. Where the text is a model's, run "
                "it as a role that may only read what it needs, in a READ ONLY transaction with a statement_timeout."
            ),
            severity=(
                Severity.LOW
                if all(_puts_in_numbers(entry.text) for entry in found)
                else Severity.HIGH
                if writes or not role
                else Severity.MEDIUM
            ),
            confidence=Confidence.INFERRED,
            observed={
                "statements": [entry.text[:300] for entry in found[:_SHOWN]],
                "holes": number,
                "role": role,
                "role_may": list(may),
            },
            locations=tuple(entry.location for entry in found[:_SHOWN]),
        )
    unmet = sum(map(len, dynamic.values()))
    yield Examined(len(statements), len(statements), "SQL statements in code", unmet=unmet)


def _puts_in_numbers(text: str) -> bool:
    """Whether each value is cast to a number or uuid where it stands: it was meant for one, and mostly is one."""
    return len(_PUT_IN.findall(text)) == len(_NUMBERS.findall(text))


def _is_ours(evidence: Evidence, statement: CodeStatement) -> bool:
    """Whether a statement names a table of this database, or, without one, a table that the repository's migrations make: code
    speaks to other systems in SQL too."""
    catalog = evidence.find(Catalog)
    pattern = read_pattern(statement.text, catalog)
    if pattern is None:
        return False
    if catalog is not None:
        known = {name for oid in pattern.tables for name in catalog.column_names.get(oid, {})}
        named = _columns_named(statement.text)
        return bool(pattern.tables) and 2 * len(named & known) >= len(named)
    declared = {entry.subject.path[-1] for entry in evidence.get(Repository).declared if entry.subject.kind == "table"}
    return any(name.rpartition(".")[2] in declared for name in pattern.unresolved)


def _columns_named(text: str) -> set[str]:
    tree = parse_tolerantly(text)
    references = (node for node in walk(tree) if node.DESCRIPTOR.name == "ColumnRef") if tree is not None else ()
    names = (node.fields[-1] for node in references if node.fields)
    return {name.string.sval for name in names if name.WhichOneof("node") == "string"}


def _is_test(path: str) -> bool:
    parts = path.lower().replace("-", "_").split("/")
    return any(
        part in {"test", "tests", "__tests__", "spec", "e2e", "fixtures", "benchmarks"} for part in parts[:-1]
    ) or any(mark in parts[-1] for mark in ("test_", "_test.", ".test.", ".spec.", "conftest"))


def _what_the_role_may(evidence: Evidence) -> tuple[str | None, tuple[str, ...]]:
    """The application's role with the most rights, and these: superuser, owner, write, read."""
    access, catalog = evidence.find(Access), evidence.find(Catalog)
    if access is None or catalog is None:
        return None, ()
    rights = rights_of(evidence)
    best: tuple[int, str, tuple[str, ...]] | None = None
    for name in application_roles(evidence) or possible_roles(evidence):
        role = access.role_by_name.get(name)
        if role is None:
            continue
        tables = [
            table for table in catalog.tables if table.kind in {"table", "partitioned"} and table.extension is None
        ]
        may = []
        if role.superuser:
            may.append("superuser")
        if any(table.owner in rights.acts_as(name) for table in tables):
            may.append("owner")
        granted = set[str]().union(*(rights.on_table(name, table) for table in tables))
        may += (
            ["write"]
            if granted & {"INSERT", "UPDATE", "DELETE", "TRUNCATE"}
            else ["read"]
            if "SELECT" in granted
            else []
        )
        rank = 3 if "superuser" in may else 2 if "owner" in may else 1 if "write" in may else 0
        if best is None or rank > best[0]:
            best = (rank, name, tuple(may))
    return (best[1], best[2]) if best else (None, ())


def _phrase(may: tuple[str, ...]) -> str:
    if "superuser" in may:
        return "is a superuser"
    if "owner" in may:
        return "owns the tables"
    return "may write" if "write" in may else "may only read" if "read" in may else "may read nothing"
