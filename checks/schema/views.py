"""What views show past the rights of their readers."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Access, Catalog, Server, Table, View
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import (
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Severity,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.schema.exposure import PLATFORM_SCHEMAS, Api, Rights, api_of, rights_of
from checks.schema.habits import CROWD, once_per_habit

_MANY = 8
_SHOWN = 5


@check("schema.view-with-owner-rights", catalogue="S97", severity=Severity.HIGH, needs=[Catalog, Access])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} views of schema {schema} show what their readers may not see", CROWD)
def view_with_owner_rights(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A view shows what its reader may not see.

    A view reads with the rights of its owner, unless it is made with security_invoker: policies of the tables below do not
    hold for its readers, and neither do missing rights. Reported are views through which a role reads past row security, or
    reads a table of the platform's own (auth.users) that it has no right to.

    Fix: security_invoker (PostgreSQL 15); before that take the view out of the API's schema, or put the conditions in it.

    Example: CREATE VIEW all_invoices AS SELECT * FROM invoices, owned by postgres and granted to app: the policies of
    invoices hold for app on the table, and not through the view.

    Source: PostgreSQL manual, "CREATE VIEW", security_invoker; "Rules and Privileges"

    Observed: roles, past_row_security, without_rights, owner.
    """
    catalog, rights, api, server = evidence.get(Catalog), rights_of(evidence), api_of(evidence), evidence.find(Server)
    views = [
        (table, view)
        for view in catalog.views
        if (table := catalog.table_by_oid[view.table]).kind == "view"
        and table.extension is None
        and table.schema not in PLATFORM_SCHEMAS
    ]
    if not views:
        raise NotApplicable("the database has no views")
    for table, view in views:
        if view.security_invoker:
            continue
        readers = _readers(evidence, rights, api, table)
        past, without = _reads_past(catalog, rights, table, view, readers)
        if not past and not without:
            continue
        anonymous = api is not None and bool(set(readers) & set(api.anonymous))
        name = qualified_name(table.schema, table.name)
        below = [entry.subject.name for entry in (past or without)[:_SHOWN]]
        listed = ", ".join(map(quote_identifier, readers[:_SHOWN]))
        users = any((entry.schema, entry.name) == ("auth", "users") for entry in (*past, *without))
        modern = server is None or server.major >= 15
        yield Finding(
            table.subject,
            f"Through view {table.subject.name} {listed} reads {', '.join(below)} "
            + ("past its row security" if past else "without a right to"),
            Fix(
                "Let the view read with the rights of its reader; give readers the rights and policies that they need on the "
                "tables below. If the view is meant to show just this, say so in a comment on it."
                if modern
                else "Move the view out of the API's schema, or put the condition of the policies into it.",
                f"ALTER VIEW {name} SET (security_invoker = true);" if modern else None,
                lock="ACCESS EXCLUSIVE, briefly" if modern else None,
                undo=f"ALTER VIEW {name} RESET (security_invoker);" if modern else None,
            ),
            severity=Severity.CRITICAL if users and anonymous
            else Severity.HIGH if past or anonymous else Severity.LOW,
            observed={
                "roles": readers,
                "past_row_security": [entry.subject.name for entry in past],
                "without_rights": [entry.subject.name for entry in without],
                "owner": table.owner,
            },
            related=tuple(entry.subject for entry in (*past, *without)[:_SHOWN]),
        )  # fmt: skip
    yield Examined(len(views), len(views), "views")


def _readers(evidence: Evidence, rights: Rights, api: Api | None, table: Table) -> list[str]:
    """Who may select from a view without owning it: an API's roles where it is served, else login roles bound by policies."""
    if api is not None:
        candidates = list(api.roles) if api.serves(table.schema) else []
    else:
        candidates = [
            role.name
            for role in evidence.get(Access).roles
            if role.can_login and not (role.superuser or role.bypasses_row_security)
        ]
    return [role for role in candidates if role != table.owner and "SELECT" in rights.on_table(role, table)]


def _reads_past(
    catalog: Catalog, rights: Rights, table: Table, view: View, readers: list[str]
) -> tuple[list[Table], list[Table]]:
    """Tables below a view whose row security its readers evade, and tables that they may not read themselves.

    For a role that is not behind an API, a view over tables without row security is how rights are given on purpose.
    """
    past: list[Table] = []
    without: list[Table] = []
    for owner, below in _tables_below(catalog, table, view):
        bound = [role for role in readers if not rights.bypasses_row_security(role)]
        evades = below.row_security and (
            rights.bypasses_row_security(owner)
            or (below.owner in rights.acts_as(owner) and not below.row_security_forced)
        )
        if bound and evades:
            past.append(below)
        elif below.schema in PLATFORM_SCHEMAS and any("SELECT" not in rights.on_table(role, below) for role in readers):
            without.append(below)
    return past, without


def _tables_below(catalog: Catalog, table: Table, view: View) -> list[tuple[str, Table]]:
    """Tables that a view reads, also through others, each with the role whose rights count there."""
    found: dict[int, tuple[str, Table]] = {}
    waiting: list[tuple[str, View]] = [(table.owner, view)]
    seen: set[int] = set()
    while waiting:
        owner, current = waiting.pop()
        if current.table in seen:
            continue
        seen.add(current.table)
        for oid in current.depends_on:
            below = catalog.table_by_oid.get(oid)
            inner = catalog.view_by_oid.get(oid)
            if below is None:
                continue
            if inner is None or below.kind == "materialized_view":
                found.setdefault(oid, (owner, below))
            else:
                waiting.append((owner if inner.security_invoker else below.owner, inner))
    return list(found.values())
