"""Vector searches of the workload: what each asks for, which index serves it, and how widely that index is searched."""

from __future__ import annotations

import re
from typing import cast

import msgspec

from checks.evidence.database.facts import (
    Catalog,
    Column,
    Embeddings,
    Function,
    Index,
    IndexKey,
    PlannerStatistics,
    Plans,
    Server,
    Settings,
    Statements,
    Table,
)
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern, Comparison, NearestSearch, read_pattern
from checks.evidence.repository.facts import Repository
from checks.model import Confidence, Location, Subject
from checks.relations import estimated_rows, index_parts
from checks.selectivity import rows_left_by_equalities
from checks.workload import statement_figures, statement_places, statement_subject, workload_seen

# pgvector's operators by what its operator classes end in.
OPERATOR_OF_CLASS = {
    "l2_ops": "<->", "ip_ops": "<#>", "cosine_ops": "<=>", "l1_ops": "<+>", "hamming_ops": "<~>", "jaccard_ops": "<%>",
}  # fmt: skip
ANN_METHODS = frozenset({"hnsw", "ivfflat", "diskann", "vchordrq", "vchordg", "scann"})
# pgvector's own defaults (source: its README), for where the server's cannot be seen.
DEFAULTS = {
    "hnsw.ef_search": "40", "hnsw.iterative_scan": "off", "hnsw.max_scan_tuples": "20000", "ivfflat.probes": "1",
    "ivfflat.iterative_scan": "off", "ivfflat.max_probes": "32768",
}  # fmt: skip
EQUAL_VECTORS = 1.3
_MOST = 0.5
BREADTH = {"hnsw": "hnsw.ef_search", "ivfflat": "ivfflat.probes"}


class Search(msgspec.Struct, frozen=True):
    """One SELECT that looks for the nearest vectors, of a statement or of the body of a function. `rows_left` are the rows of
    the table that its equality conditions leave, None if it has none or nothing is known of their values. `limit` is the
    number of its LIMIT, 0 if that is not known, None if it has none. `policies` are those of row security whose conditions
    stand among its filters."""

    pattern: AccessPattern
    nearest: NearestSearch
    rows_left: float | None
    limit: int | None = None
    function: Function | None = None
    policies: tuple[str, ...] = ()

    @property
    def operator(self) -> str:
        return self.nearest.operator

    @property
    def subject(self) -> Subject:
        return self.function.subject if self.function else statement_subject(self.pattern)

    @property
    def ran(self) -> bool:
        return self.pattern.query_id is not None


def searches_of(evidence: Evidence, column: Column) -> list[Search]:
    """Statements and functions that sort rows of the column's table by a distance to it, or limit what a distance gives."""
    return [entry for entry in uses_of(evidence, column) if entry.nearest.place == "order" or entry.limit is not None]


def uses_of(evidence: Evidence, column: Column) -> list[Search]:
    """Everything that computes a distance to the column, a search or not."""
    catalog = evidence.get(Catalog)
    rows = estimated_rows(evidence, catalog.table_by_oid[column.table]) or 0
    found = []
    for pattern, function in _patterns(evidence):
        for nearest in pattern.searches:
            table = catalog.table_by_oid.get(nearest.column.table or 0)
            if table is None or nearest.column.column != column.name or column.table not in {table.oid, table.root}:
                continue
            telling = tuple(entry for entry in nearest.filters if not _keeps_most(evidence, entry))
            own = msgspec.structs.replace(pattern, comparisons=telling)
            left = rows_left_by_equalities(evidence, own, column.table, rows)
            limit = nearest.limit
            if limit == 0:
                limit = pattern.limit or _limit_in_code(evidence, pattern)
            found.append(Search(pattern, nearest, left, limit, function))
    return found


def _keeps_most(evidence: Evidence, entry: Comparison) -> bool:
    """Whether the column has a value that half of the rows have (live, not deleted): a condition on it confines little."""
    catalog, statistics = evidence.get(Catalog), evidence.find(PlannerStatistics)
    column = catalog.column_named(entry.column.table or 0, entry.column.column)
    known = statistics.by_column.get((column.table, column.number)) if statistics and column else None
    return known is not None and (known.common_share or 0) >= _MOST


def _limit_in_code(evidence: Evidence, pattern: AccessPattern) -> int:
    """The largest LIMIT that the code writes where it sends the statement, 0 if it writes none as a number."""
    repository, places = evidence.find(Repository), set(pattern.locations)
    if repository is None or not places:
        return 0
    limits = [entry.limit or 0 for entry in repository.statements if entry.location in places]
    limits += [entry.limit or 0 for entry in repository.calls if entry.location in places]
    return max(limits, default=0)


def _patterns(evidence: Evidence) -> tuple[tuple[AccessPattern, Function | None], ...]:
    """Statements with distances in them, then such bodies of functions. Computed once per evidence."""
    known = vars(evidence)
    if "_searches" not in known:
        found: list[tuple[AccessPattern, Function | None]] = [
            (pattern, None) for pattern in workload_seen(evidence) if pattern.searches
        ]
        found += _bodies(evidence)
        known["_searches"] = tuple(found)
    return cast("tuple[tuple[AccessPattern, Function | None], ...]", known["_searches"])


def _bodies(evidence: Evidence) -> list[tuple[AccessPattern, Function | None]]:
    catalog, embeddings = evidence.find(Catalog), evidence.find(Embeddings)
    if catalog is None or embeddings is None:
        return []
    functions = {function.subject: function for function in catalog.functions}
    found: list[tuple[AccessPattern, Function | None]] = []
    for body in embeddings.bodies:
        function = functions.get(body.function)
        pattern = read_pattern(body.text, catalog, locations=function_places(evidence, body.function))
        if function is None or pattern is None or not pattern.searches:
            continue
        if pattern.limit == 0 and body.limit:
            pattern = msgspec.structs.replace(pattern, limit=body.limit)
        found.append((pattern, function))
    return found


def function_places(evidence: Evidence, function: Subject) -> tuple[Location, ...]:
    """Where the repository makes a function of that name; types of arguments have many spellings."""
    repository = evidence.find(Repository)
    return tuple(
        entry.location
        for entry in (repository.declared if repository else ())
        if entry.subject.kind == "function" and entry.subject.path[:2] == function.path[:2]
    )


def search_places(evidence: Evidence, searches: list[Search]) -> tuple[Location, ...]:
    """Where in the code the searches are sent from, or their functions made."""
    places = (place for entry in searches for place in statement_places(evidence, entry.pattern))
    return tuple(dict.fromkeys(places))


def search_subjects(searches: list[Search], shown: int = 5) -> tuple[Subject, ...]:
    return tuple(dict.fromkeys(entry.subject for entry in searches))[:shown]


def search_confidence(searches: list[Search]) -> Confidence:
    """Measured if one of them ran."""
    return Confidence.MEASURED if any(entry.ran for entry in searches) else Confidence.INFERRED


def search_figures(evidence: Evidence, search: Search) -> dict[str, object]:
    """The statement with its counters; of a function, its name too and the counters of the statement that calls it."""
    figures = statement_figures(evidence, search.pattern)
    return {"function": search.function.subject.name, **figures} if search.function else figures


def calls_of(evidence: Evidence, function: Function) -> list[str]:
    """Query ids of statements that call the function."""
    statements = evidence.find(Statements)
    named = re.compile(rf'(?<![\w."])(?:"?{re.escape(function.schema)}"?\.)?"?{re.escape(function.name)}"?\s*\(')
    return [entry.query_id for entry in statements.entries if named.search(entry.text)] if statements else []


def rows_returned(evidence: Evidence, search: Search) -> float | None:
    """Rows that one call returned on average; None if it never ran, or is only a part of its statement."""
    statements = evidence.find(Statements)
    calls = calls_seen(evidence, search)
    if statements is None or not calls or (not search.function and len(search.pattern.searches) > 1):
        return None
    ids = calls_of(evidence, search.function) if search.function else [search.pattern.query_id or ""]
    return sum(statements.by_id[each].rows for each in ids if each in statements.by_id) / calls


def calls_seen(evidence: Evidence, search: Search) -> int:
    """How often it ran, or the statements that call its function."""
    statements = evidence.find(Statements)
    ids = calls_of(evidence, search.function) if search.function else [search.pattern.query_id or ""]
    return sum(statements.by_id[each].calls for each in ids if each in statements.by_id) if statements else 0


def returns_more_than(evidence: Evidence, search: Search, given: float) -> bool:
    """Whether more rows come back than an index scan of `given` rows can give, so that no such scan answers. Rows with equal
    vectors stand in one element of a graph and come together: a scan gives some more than it was asked for."""
    returned = rows_returned(evidence, search)
    return returned is not None and returned > EQUAL_VECTORS * given


# Which index serves a search


def ann_indexes(catalog: Catalog, column: Column) -> list[Index]:
    """Valid indexes for approximate search over the column or an expression of it."""
    return [
        index
        for index in catalog.indexes_of(column.table)
        if index.method in ANN_METHODS and index.valid and any(_over(key, column) for key in index.keys)
    ]


def _over(key: IndexKey, column: Column) -> bool:
    return key.column == column.number or column.number in key.expression_columns


def index_operators(index: Index) -> set[str]:
    """Distance operators that the index serves, by its operator classes."""
    return {
        operator
        for key in index.keys
        for suffix, operator in OPERATOR_OF_CLASS.items()
        if key.operator_class.rpartition(".")[2].endswith(suffix)
    }


def compared_as(search: Search, column: Column) -> str:
    """The type as which the stored vector is compared: `binary_quantize` for bits, its own unless a cast changes it. The server
    casts a vector to halfvec by itself where the other side is one (pg_cast: implicit)."""
    wrapped = search.nearest.wrapped
    if wrapped is not None:
        return wrapped.removeprefix("::")
    other = search.nearest.cast
    return "halfvec" if column.base_type == "vector" and other == "halfvec" else column.base_type


def serving_indexes(catalog: Catalog, column: Column, search: Search) -> list[Index]:
    """Indexes with the search's operator, over the column as the search compares it."""
    wanted = compared_as(search, column)
    return [
        index
        for index in ann_indexes(catalog, column)
        if search.operator in index_operators(index) and any(_compares(key, column, wanted) for key in index.keys)
    ]


def _compares(key: IndexKey, column: Column, wanted: str) -> bool:
    if key.column == column.number:
        return wanted == column.base_type
    return column.number in key.expression_columns and wanted in (key.expression or "")


def plan_uses(evidence: Evidence, search: Search, indexes: list[Index]) -> bool | None:
    """Whether the plan of the statement scans one of these indexes; None if there is no plan of it."""
    plans = evidence.find(Plans)
    plan = plans.by_id.get(search.pattern.query_id or "") if plans else None
    if plan is None:
        return None
    names = {part.name for index in indexes for part in index_parts(evidence.get(Catalog), index)}
    return any(node.index in names for node in plan.root.walk())


def goes_by_distance(evidence: Evidence, table: Table, pattern: AccessPattern) -> bool:
    """Whether the plan of the statement scans a vector index of the table: its filters then see the few rows that gives."""
    catalog, plans = evidence.get(Catalog), evidence.find(Plans)
    plan = plans.by_id.get(pattern.query_id or "") if plans else None
    names = {
        part.name for index in catalog.indexes_of(table.oid) if index.method in ANN_METHODS
        for part in index_parts(catalog, index)
    }  # fmt: skip
    return plan is not None and any(node.index in names for node in plan.root.walk())


# How widely it searches


class InForce(msgspec.Struct, frozen=True):
    """A setting as the search meets it. `origin` in words: its function, a role, the database, the server, the default, code.
    `known` is false where code sets it to what cannot be seen."""

    value: str
    origin: str
    known: bool = True


def in_force(evidence: Evidence, name: str, search: Search | None = None) -> InForce:
    """pgvector's setting `name` for that search: of its function, else as code sets it, else of the role that ran it, the
    database or the server. Of several roles, the value that searches least."""
    function = search.function if search else None
    for entry in function.settings if function else ():
        key, _, value = entry.partition("=")
        if key == name:
            return InForce(value, "its function")
    if written := set_in_code(evidence, name):
        values = [value for _, value in written if value]
        return InForce(values[0] if values else "", "code", known=len(set(values)) == 1)
    settings, server = evidence.find(Settings), evidence.find(Server)
    database = server.database if server else ""
    found = [_of_role(settings, name, role, database) for role in roles_of(evidence, search)] if settings else []
    least = min(found, key=_number) if found and all(found) else None
    if least:
        return InForce(least, "its role or database")
    embeddings = evidence.find(Embeddings)
    if embeddings and name in embeddings.settings:
        value = embeddings.settings[name]
        return InForce(value, "the default" if value == DEFAULTS.get(name) else "the server")
    return InForce(DEFAULTS[name], "the default")


def _of_role(settings: Settings, name: str, role: str, database: str) -> str:
    """What ALTER ROLE or ALTER DATABASE says for that role; empty if neither says anything."""
    own = {(entry.role, entry.database) for entry in settings.role_settings if entry.name == name}
    says = own & {(role, database), (role, ""), ("", database), ("", "")}
    return settings.value(name, role, database) or "" if says else ""


def roles_of(evidence: Evidence, search: Search | None) -> list[str]:
    """The roles that ran the search; where that is not known, all that may log in but those that administer."""
    statements, settings = evidence.find(Statements), evidence.find(Settings)
    ids = []
    if search is not None:
        ids = calls_of(evidence, search.function) if search.function else [search.pattern.query_id or ""]
    ran = {user for each in ids if statements and each in statements.by_id for user in statements.by_id[each].users}
    if ran:
        return sorted(ran)
    logins = [role for role in settings.login_roles if role not in settings.privileged_roles] if settings else []
    return logins or [""]


def _number(value: str) -> float:
    return float(value) if re.fullmatch(r"\d+(\.\d+)?", value) else 0.0


def set_in_code(evidence: Evidence, name: str) -> list[tuple[Location | None, str]]:
    """Where code sets `name`, with the value where it is written there; a statement that ran has no place."""
    repository, statements = evidence.find(Repository), evidence.find(Statements)
    named = re.compile(rf"(?<![\w.]){re.escape(name)}(?![\w.])", re.IGNORECASE)
    found: dict[tuple[Location | None, str], None] = {}
    if repository:
        for fact in repository.deployment:
            if fact.kind == "setting" and named.search(fact.detail):
                value = fact.detail.partition("=")[2].strip()
                found[fact.location, value if re.fullmatch(r"\d+|off|strict_order|relaxed_order", value) else ""] = None
        known = {place for place, _ in found}
        for behaviour in repository.behaviours:
            if named.search(f"{behaviour.detail} {behaviour.text or ''}") and behaviour.location not in known:
                found[behaviour.location, ""] = None
    embeddings = evidence.find(Embeddings)
    ran = statements is not None and any(named.search(entry.text) for entry in statements.entries)
    if not found and (ran or (embeddings and any(entry.name == name for entry in embeddings.sent))):
        found[None, ""] = None
    return list(found)


def breadth_setting(index: Index) -> str | None:
    """pgvector's setting for how widely that index is searched; None for other methods."""
    return BREADTH.get(index.method)


def is_iterative(evidence: Evidence, index: Index, search: Search | None = None) -> bool | None:
    """Whether the search goes on until it has its rows; None if code sets it to what cannot be seen."""
    if index.method not in BREADTH:
        return None
    setting = in_force(evidence, f"{index.method}.iterative_scan", search)
    return None if not setting.known else setting.value not in {"off", ""}
