"""Row-security policies that vector searches meet: conditions on the table, applied after the index as any filter is."""

from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Access, Catalog, Policy, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import read_pattern
from checks.hybrid.searches import Search, roles_of
from checks.model import qualified_name
from checks.relations import estimated_rows
from checks.selectivity import rows_left_by_equalities


def under_policies(evidence: Evidence, table: Table, search: Search) -> Search:
    """The search with the conditions of the policies that hold for who sends it among its own; as it is where none holds, or
    where several are joined by OR."""
    policies = _binding(evidence, table, search)
    permissive = [policy for policy in policies if policy.permissive]
    if len(permissive) != 1:
        return search
    catalog, relation = evidence.get(Catalog), qualified_name(table.schema, table.name)
    filters = list(search.nearest.filters)
    for policy in policies:
        condition = read_pattern(f"SELECT FROM {relation} WHERE {policy.using}", catalog) if policy.using else None
        filters += condition.comparisons if condition else ()
    nearest = msgspec.structs.replace(search.nearest, filters=tuple(dict.fromkeys(filters)))
    if nearest == search.nearest:
        return search
    own = msgspec.structs.replace(search.pattern, comparisons=nearest.filters)
    left = rows_left_by_equalities(evidence, own, table.oid, estimated_rows(evidence, table) or 0)
    names = tuple(policy.name for policy in policies)
    return msgspec.structs.replace(search, nearest=nearest, rows_left=left, policies=names)


def _binding(evidence: Evidence, table: Table, search: Search) -> list[Policy]:
    """Policies for reading the table that hold for every role that is known to send the search, unless its function runs as
    somebody whom they do not bind."""
    catalog, access = evidence.get(Catalog), evidence.find(Access)
    if not table.row_security or access is None:
        return []
    names = (
        [search.function.owner] if search.function and search.function.security_definer else roles_of(evidence, search)
    )
    roles = {role.name: role for role in access.roles}
    bound = [
        roles[name]
        for name in names
        if name in roles
        and not (roles[name].superuser or roles[name].bypasses_row_security)
        and (name != table.owner or table.row_security_forced)
    ]
    if not bound or len(bound) < len(names):
        return []
    return [
        policy
        for policy in catalog.policies_of(table.oid)
        if policy.command in {"all", "select"}
        and all("" in policy.roles or {role.name, *role.member_of} & set(policy.roles) for role in bound)
    ]
