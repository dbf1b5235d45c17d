"""Does the database keep unique what the code takes to be unique?"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from checks.evidence import patterns
from checks.evidence.database.facts import Catalog, Column, Index, Table
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.families import once_per_family
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    Location,
    NotApplicable,
    Severity,
    Subject,
    Unknown,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import column_list, estimated_rows, is_reviewed, is_usable, new_name
from checks.schema.code_models import Migrated, modelled_tables

_TEXT = frozenset({"text", "varchar", "bpchar"})
_WHO = re.compile(r"(^|_)(e_?mail|email_?address|user_?name|login|handle|nick_?name|screen_?name)(_|$)")
# What a row is in for a while: the values beside it are unique as long as it is in that.
_CONDITION = re.compile(r"(^|_)(status|state|deleted|active|archived|enabled|current|is)(_|$)")
_KIND = re.compile(r"(^|_)(type|kind|status|state|category|role|provider|source|action|event)$")
_PROSE = re.compile(
    r"(^|_)(answer|body|comment|content|description|html|markdown|message|note|prompt|query|summary|text)$"
)
_ANY_CASE = frozenset(["lower", "upper"])


class Promise(msgspec.Struct, frozen=True):
    """Columns of a table that code takes to be unique together. `by` says how it is promised."""

    table: Table
    columns: frozenset[str]
    by: str
    location: Location
    any_case: bool = False


@check("schema.uniqueness-only-in-code", catalogue="S18", severity=Severity.HIGH, needs=[Catalog, Repository])
@once_per_family
def uniqueness_only_in_code(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The code takes a value to be unique, and no unique index keeps it so.

    A validation, or a look before an insert, sees only what others have committed: two requests at once both find nothing and
    both insert. From then on there are two accounts with one e-mail address, and whatever looks for one finds either. Only a
    unique index can promise it. A promise that holds under a condition is kept by any partial unique index over its columns.

    Fix: Find the duplicates that are there, then CREATE UNIQUE INDEX CONCURRENTLY, and handle its error instead of looking first.

    Example: validates :email, uniqueness: true, without a unique index on users (email): two requests to sign up at
    once both run SELECT, find nothing, and both INSERT ann@example.org.

    Source: PostgreSQL manual, "Index Uniqueness Checks"; Rails guides, Active Record Validations, uniqueness

    Observed: columns, promised_by, rows
    """
    catalog = evidence.get(Catalog)
    promises = _promises(evidence)
    if not promises:
        raise NotApplicable("the code promises no uniqueness")
    migrated = Migrated(evidence)
    broken: _Broken = {}
    for promise in promises:
        declared = migrated.declares_unique(promise.table, promise.columns)
        if not declared and not _kept(catalog, promise):
            broken.setdefault((promise.table.oid, promise.columns), []).append(promise)
    for (oid, names), entries in _with_null_cases(catalog, broken).items():
        table = catalog.table_by_oid[oid]
        columns = [column.name for column in catalog.columns_of(oid).values() if column.name in names]
        rows = estimated_rows(evidence, table)
        yield Finding(
            Subject("column", (table.schema, table.name, columns[0])) if len(columns) == 1 else table.subject,
            _title(table, columns, entries[0].by),
            _fix(catalog, table, columns, entries),
            severity=Severity.HIGH if any(entry.by != _LOOK for entry in entries) else Severity.MEDIUM,
            confidence=Confidence.INFERRED,
            observed={
                "columns": columns,
                "promised_by": sorted({entry.by for entry in entries}),
                "rows": None if rows is None else round(rows),
            },
            locations=tuple(dict.fromkeys(entry.location for entry in entries))[:10],
            discriminator=",".join(columns) if len(columns) > 1 else "",
        )
    total = len({(entry.table.oid, entry.columns) for entry in promises})
    yield Examined(total, total, "promises of the code")


def _title(table: Table, columns: list[str], by: str) -> str:
    keys, conditions = _apart(columns)
    under = f" for one value of {', '.join(conditions)}," if conditions else ""
    return (
        f"{', '.join(keys)} of {table.subject.name} {'is' if len(keys) == 1 else 'are'} unique{under} only as long as nobody "
        f"writes at once: {by}, and there is no unique index"
    )


def _apart(columns: list[str]) -> tuple[list[str], list[str]]:
    """What is unique, and what says when it is; of conditions alone the first are what is unique."""
    conditions = [name for name in columns if _CONDITION.search(_snake(name))]
    keys = [name for name in columns if name not in conditions]
    return (keys, conditions) if keys else (columns, [])


_Broken = dict[tuple[int, frozenset[str]], list[Promise]]


def _with_null_cases(catalog: Catalog, broken: _Broken) -> _Broken:
    """Looks that leave a nullable column out of a wider promise are its case where that is null: one promise."""
    merged: _Broken = {}
    for (oid, names), entries in sorted(broken.items(), key=lambda item: -len(item[0][1])):
        known = catalog.column_names.get(oid, {})
        wider = [
            key
            for key in merged
            if key[0] == oid and names < key[1] and not any(known[name].not_null for name in key[1] - names)
        ]
        if wider and all(entry.by == _LOOK for entry in entries):
            merged[wider[0]].extend(entries)
        else:
            merged[oid, names] = list(entries)
    return merged


def promised_by_looks(evidence: Evidence) -> set[tuple[int, frozenset[str]]]:
    """Tables and columns that uniqueness-only-in-code tells of because code looks before it inserts."""
    catalog = evidence.get(Catalog)
    migrated = Migrated(evidence)
    return {
        (promise.table.oid, promise.columns)
        for promise in _promises(evidence)
        if promise.by == _LOOK
        and not migrated.declares_unique(promise.table, promise.columns)
        and not _kept(catalog, promise)
    }


_LOOK = "the code looks for a row before it inserts one"


def promises_of_uniqueness(evidence: Evidence) -> list[Promise]:
    """Every rule of uniqueness that was read in the code, of models and of looks before an insert. Raises Unknown without a
    catalog or repository, NotApplicable without tables."""
    return _promises(evidence)


def _promises(evidence: Evidence) -> list[Promise]:
    catalog, repository = evidence.get(Catalog), evidence.get(Repository)
    found: list[Promise] = []
    try:
        modelled = modelled_tables(evidence)
    except (NotApplicable, Unknown):
        modelled = []
    for entry in modelled:
        known = catalog.column_names.get(entry.table.oid, {})
        for model in entry.models:
            for column in model.columns:
                if column.unique and column.name in known and not _makes_its_values(known[column.name]):
                    by = f"model {model.name} says so"
                    found.append(Promise(entry.table, frozenset([column.name]), by, column.location))
            for index in model.indexes:
                names = frozenset(index.columns)
                if len(names) == 1 and _makes_its_values(known.get(index.columns[0])):
                    continue
                if index.unique and names and names <= known.keys() and (index.validated or not index.partial):
                    by = f"model {model.name} {'validates' if index.validated else 'says'} so"
                    found.append(Promise(entry.table, names, by, model.location, index.any_case))
    for behaviour in repository.behaviours:
        if behaviour.kind != "check_then_insert" or not behaviour.certain or behaviour.many or not behaviour.table:
            continue
        tables = [
            table
            for table in catalog.tables_named.get(behaviour.table.rpartition(".")[2].strip('"'), [])
            if is_reviewed(table)
        ]
        names = frozenset(name.strip().strip('"') for name in behaviour.detail.split(",") if name.strip())
        for table in tables if len(tables) == 1 else ():
            if (
                names
                and names <= catalog.column_names.get(table.oid, {}).keys()
                and not _of_parent(catalog, table, names)
            ):
                found.append(Promise(table, names, _LOOK, behaviour.location))
    return found


def _makes_its_values(column: Column | None) -> bool:
    """Whether values come from a sequence: no two rows get the same, even where a partitioned table can't have the index."""
    return column is not None and (bool(column.identity) or column.default == "sequence")


def _of_parent(catalog: Catalog, table: Table, names: frozenset[str]) -> bool:
    """Whether one reference or kind alone is compared: code that gives a parent its first children asks so, and there may be
    many; of a kind there are, and what else was asked stands in an expression."""
    numbers = [catalog.column_names[table.oid][name].number for name in names]
    if all(_KIND.search(_snake(name)) for name in names):
        return True
    return len(numbers) == 1 and any(
        rule.kind == "foreign_key" and rule.columns == (numbers[0],) for rule in catalog.constraints_of(table.oid)
    )


def _kept(catalog: Catalog, promise: Promise) -> bool:
    """Whether two rows with the same values in these columns can't be; a predicate, or lower(), counts as the promise's own.
    Code that looks before it inserts need not compare all of a key, where it knows the rest."""
    for index in catalog.indexes_of(promise.table.oid):
        if not index.unique or not is_usable(index):
            continue
        names = _names(catalog, index)
        if names <= promise.columns or (promise.by == _LOOK and promise.columns <= names):
            return True
    return False


def _names(catalog: Catalog, index: Index) -> set[str]:
    found = {catalog.column(index.table, number).name for number in index.columns if number}
    for key in index.keys:
        found |= {catalog.column(index.table, number).name for number in key.expression_columns if number}
    return found


def _fix(catalog: Catalog, table: Table, columns: list[str], entries: list[Promise]) -> Fix:
    name = new_name(catalog, table.schema, table.name, *columns, "key")
    path, listed = qualified_name(table.schema, table.name), column_list(columns)
    keys, conditions = _apart(columns)
    lower = columns[-1] if any(entry.any_case for entry in entries) else None
    long = [column for column in keys if _is_prose(catalog, table, column)]
    ordered = [*(column for column in keys if column not in long), *long]
    key = ", ".join(
        f"md5({quote_identifier(column)})" if column in long
        else f"lower({quote_identifier(column)})" if column == lower
        else quote_identifier(column)
        for column in ordered
    )  # fmt: skip
    if conditions:
        condition = (
            f"As the value of {column_list(conditions)} is the condition, the index is one on ({key}) WHERE "
            f"{column_list(conditions)} is the value that the code looks for. "
        )
    else:
        condition = "If it is unique only under a condition, such as not deleted, give the index that condition. "
    if long:
        condition += f"An index entry holds 2,704 bytes, so it is over the hash of {column_list(long)}. "
    return Fix(
        f"Find the duplicates first: SELECT {listed}, count(*) FROM {path} GROUP BY {listed} HAVING count(*) > 1. "
        f"{condition}Then insert with ON CONFLICT, or take the error of the index for the answer.",
        None if conditions else f"CREATE UNIQUE INDEX CONCURRENTLY {quote_identifier(name)} ON {path} ({key});",
        lock="SHARE UPDATE EXCLUSIVE",
        undo=None if conditions else f"DROP INDEX CONCURRENTLY {qualified_name(table.schema, name)};",
    )


def _is_prose(catalog: Catalog, table: Table, name: str) -> bool:
    """Whether values may be longer than an index entry can be."""
    column = catalog.column_names[table.oid][name]
    return column.base_type in _TEXT and column.type_modifier < 0 and bool(_PROSE.search(_snake(name)))


@check(
    "schema.case-sensitivity-differs-from-code", catalogue="S19", severity=Severity.MEDIUM, needs=[Catalog, Repository]
)
@once_per_family
def case_sensitivity_differs_from_code(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The code takes values for equal that differ in capitals, and the unique index does not.

    Where code validates without regard to case, or looks people up by lower(email), Ann@x.org and ann@x.org are one to it. The
    index on email lets both in, and the lookup finds either.

    Fix: A unique index on lower(column), or citext, or a nondeterministic collation.

    Example: UNIQUE (email), and code that looks up WHERE lower(email) = lower($1): Ann@example.org and ann@example.org
    are two rows to the index, and the lookup returns both.

    Source: PostgreSQL manual, "Indexes on Expressions"; "citext"

    Observed: columns, index
    """
    catalog = evidence.get(Catalog)
    asked: dict[tuple[int, int], list[Location]] = {}
    for promise in _promises(evidence):
        if promise.any_case:
            for name in promise.columns:
                column = catalog.column_named(promise.table.oid, name)
                if column is not None and column.base_type in _TEXT and _WHO.search(_snake(name)):
                    asked.setdefault((promise.table.oid, column.number), []).append(promise.location)
    for pattern in patterns.workload(evidence):
        for each in pattern.comparisons:
            folded = each.function in _ANY_CASE and each.operator in ("=", "in")
            if each.under_or or each.column.table is None or not folded:
                continue
            column = catalog.column_named(each.column.table, each.column.column)
            if column is not None and column.base_type in _TEXT and _WHO.search(_snake(column.name)):
                asked.setdefault((column.table, column.number), []).extend(pattern.locations)
    unique = _unique_texts(catalog)
    for (oid, number), index in unique.items():
        table = catalog.table_by_oid[oid]
        if (oid, number) not in asked or not is_reviewed(table) or _folds(catalog, table, number):
            continue
        column = catalog.column(oid, number)
        name = new_name(catalog, table.schema, table.name, column.name, "lower_key")
        path = qualified_name(table.schema, table.name)
        yield Finding(
            catalog.column_subject(column),
            f"The code takes {column.name} of {table.subject.name} for unique in any case, its unique index does not",
            Fix(
                "Find values that differ in capitals only, put them right, then build the index; the old one can go.",
                f"CREATE UNIQUE INDEX CONCURRENTLY {quote_identifier(name)} ON {path} (lower({quote_identifier(column.name)}));",
                lock="SHARE UPDATE EXCLUSIVE",
                undo=f"DROP INDEX CONCURRENTLY {qualified_name(table.schema, name)};",
            ),
            confidence=Confidence.INFERRED,
            observed={"columns": [column.name], "index": index.name},
            related=(index.subject,),
            locations=tuple(dict.fromkeys(asked[oid, number]))[:10],
        )
    if not unique:
        raise NotApplicable("no unique index is over text that names people")
    yield Examined(len(unique), len(unique), "unique texts")


def _unique_texts(catalog: Catalog) -> dict[tuple[int, int], Index]:
    """Single columns of text, by name of people, that a plain unique index is over."""
    found: dict[tuple[int, int], Index] = {}
    for index in catalog.indexes:
        if not index.unique or not is_usable(index) or len(index.keys) != 1 or not index.keys[0].column:
            continue
        column = catalog.columns_of(index.table).get(index.keys[0].column)
        if column is not None and column.base_type in _TEXT and _WHO.search(_snake(column.name)):
            found.setdefault((index.table, column.number), index)
    return found


def _folds(catalog: Catalog, table: Table, number: int) -> bool:
    """Whether a unique index is over an expression of the column, or its collation may fold."""
    column: Column = catalog.column(table.oid, number)
    if column.collation not in (None, "default", "C", "POSIX", "en_US", "en_US.utf8", "C.utf8"):
        return True
    return any(
        index.unique and any(number in key.expression_columns for key in index.keys)
        for index in catalog.indexes_of(table.oid)
    )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
