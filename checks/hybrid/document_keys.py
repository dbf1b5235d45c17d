"""Keys of documents that are used as columns are: often compared, ids of other tables, without contract or statistics."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Column, Statements, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern, Comparison
from checks.families import once_per_family
from checks.hybrid.documents import compares, document_columns
from checks.json_paths import SORT, Way, comparisons_with_keys, is_served, sorts_with_keys, way_of
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Severity,
    qualified_name,
    quote_identifier,
)
from checks.registry import check
from checks.relations import estimated_rows, quote_literal, reviewed_tables
from checks.workload import (
    observed_workload,
    place_in_words,
    statement_figures,
    statement_places,
    statement_subject,
    unread_statements,
)

SHOWN = 5
_RELIED_ON = 2
_DIGEST = re.compile(r"hash|checksum|digest|md5|sha(?:1|256)|fingerprint", re.IGNORECASE)
_ID = re.compile(r"(?:^|[_.])(?P<name>[a-z][a-z0-9_]*?)_(?:u?u?id)s?$|(?P<camel>[a-z][A-Za-z0-9]*?)(?:Id|ID|Uuid)s?$")
_MESSAGES = re.compile(
    r"(?:^|_)(?:outbox|inbox|events?|jobs?|queues?|tasks?|logs?|audits?|audit_log|deliver(?:y|ies)|idempotency|webhook_events?"
    r"|messages?_queue|traces?|spans?)(?:_|$)",
    re.IGNORECASE,
)
_TYPES = {
    "int4": "integer", "int8": "bigint", "int": "integer", "integer": "integer", "bigint": "bigint", "uuid": "uuid",
    "numeric": "numeric", "float8": "double precision", "bool": "boolean", "boolean": "boolean", "text": "text",
}  # fmt: skip


class Reference(msgspec.Struct, frozen=True):
    """A key that stands for a row of another table, `target` where it is known which; `joined` to a column of it."""

    key: str
    uses: tuple[Use, ...]
    target: Table | None
    joined: bool


class Use(msgspec.Struct, frozen=True):
    """One comparison of a key by one statement, or one sort by it (operator `sort`)."""

    pattern: AccessPattern
    comparison: Comparison
    way: Way


def key_uses(evidence: Evidence, column: Column) -> dict[str, list[Use]]:
    """Comparisons of the column's keys and sorts by them, by key; those whose key was normalised away, and those of an expression
    over several, for which no column can stand, are left out."""
    catalog = evidence.get(Catalog)
    found: dict[str, list[Use]] = {}
    for pattern in observed_workload(evidence):
        sorts = [entry.key for entry in sorts_with_keys(evidence, pattern)]
        for comparison in (*comparisons_with_keys(evidence, pattern), *sorts):
            key = comparison.json_key
            if not key or "$" in key or comparison.several or not compares(catalog, comparison, column):
                continue
            if comparison.json_operator in {"->>", "->", "#>>", "#>", "[]"} and (way := way_of(comparison)):
                found.setdefault(key, []).append(Use(pattern, comparison, way))
    return found


def is_message(table: Table) -> bool:
    """Whether the table, by its name, is a queue or a log, whose documents are messages and not state."""
    return bool(_MESSAGES.search(table.name))


def _patterns(uses: list[Use]) -> list[AccessPattern]:
    return list(dict.fromkeys(use.pattern for use in uses))


@check("hybrid.hot-jsonb-key", catalogue="H05", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def hot_jsonb_key(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Many statements compare or sort by one key of a document: it is a column in all but name.

    A key has no type, no NOT NULL, no foreign key and no statistics: the planner takes half a percent of the rows for any value,
    and whoever misspells it gets no error. A generated column gives it all of these, and the code need not change its writes.

    Fix: A generated column with an index; or at least an index or statistics on the expression.

    Example: five statements with metadata ->> 'status' = $1: ALTER TABLE runs ADD COLUMN status text GENERATED ALWAYS AS
    (metadata ->> 'status') STORED, and an index on it, for all five.

    Source: PostgreSQL manual, "Generated Columns"; "Indexes on Expressions"

    Observed: key, statements, rows, served, calls_of_all, statement, calls, mean_ms
    """
    catalog = evidence.get(Catalog)
    columns = document_columns(catalog, "jsonb")
    if not columns:
        raise NotApplicable("no table has a jsonb column")
    for table, column in columns:
        rows = estimated_rows(evidence, table) or 0
        hot: dict[frozenset[AccessPattern], dict[str, list[Use]]] = {}
        for key, uses in key_uses(evidence, column).items():
            patterns = _patterns(uses)
            # An id is another finding, with another remedy.
            if len(patterns) >= evidence.limit("key_statements") and not referenced_table(catalog, table, key):
                hot.setdefault(frozenset(patterns), {})[key] = uses
        for keys in hot.values():
            yield _hot(evidence, table, column, keys, rows)
    yield Examined(len(columns), len(columns), "jsonb columns", gap=unread_statements(evidence))


def _hot(
    evidence: Evidence,
    table: Table,
    column: Column,
    keys: dict[str, list[Use]],
    rows: float,
) -> Finding:
    """Of the keys that the same statements compare."""
    catalog, statements = evidence.get(Catalog), evidence.find(Statements)
    subject = catalog.column_subject(column)
    key, uses = next(iter(keys.items()))
    patterns, others = _patterns(uses), [quote_literal(other) for other in keys if other != key]
    fix = promotion(catalog, table, column, key, uses)
    if others:
        fix = msgspec.structs.replace(fix, summary=f"{fix.summary} Likewise for {', '.join(others)}.")
    served = all(is_served(catalog, column, use.way) for use in uses)
    calls = sum(
        statements.by_id[entry.query_id].calls for entry in patterns if entry.query_id in statements.by_id
    ) if statements else 0  # fmt: skip
    places = tuple(dict.fromkeys(place for entry in patterns for place in statement_places(evidence, entry)))
    severity = Severity.MEDIUM if rows > evidence.limit("seq_scan_rows") and not served else Severity.LOW
    return Finding(
        subject,
        f"{len(patterns)} statements {_verb(uses)} {subject.name} {uses[0].way.json_operator} {quote_literal(key)}"
        f"{f' and {len(others)} more' if others else ''}{place_in_words(places)}",
        fix,
        severity=severity,
        confidence=Confidence.MEASURED if any(entry.query_id for entry in patterns) else Confidence.INFERRED,
        observed={
            "key": key,
            "statements": len(patterns),
            "rows": round(rows),
            "served": served,
            "calls_of_all": calls or None,
            **statement_figures(evidence, patterns[0]),
        },
        related=(table.subject, *(statement_subject(entry) for entry in patterns[:SHOWN])),
        locations=places,
        discriminator=key,
    )


def _verb(uses: list[Use]) -> str:
    sorts = [use.way.operators == SORT for use in uses]
    return "sort by" if all(sorts) else "compare or sort by" if any(sorts) else "compare"


def promotion(catalog: Catalog, table: Table, column: Column, key: str, uses: list[Use]) -> Fix:
    """The key as a generated column, of the type that the statements cast it to, with an index."""
    casts = {_TYPES.get((use.way.cast or "::text").removeprefix("::"), "text") for use in uses}
    kind = casts.pop() if len(casts) == 1 else "text"
    document, relation = quote_identifier(column.name), qualified_name(table.schema, table.name)
    taken = catalog.column_names.get(table.oid, {})
    name = re.sub(r"\W+", "_", re.sub(r"(?<=[a-z])([A-Z])", r"_\1", key)).lower().strip("_")[:50] or "key"
    while name in taken:
        name += "_"
    path = key.split(".")
    value = f"{document} ->> {quote_literal(path[0])}"
    if len(path) > 1:
        value = f"{document} #>> ARRAY[{', '.join(map(quote_literal, path))}]"
    cast = "" if kind == "text" else f"::{kind}"
    quoted = quote_identifier(name)
    return Fix(
        "A generated column, and an index on it; then let the statements compare the column. Adding it rewrites the table: on a "
        "large one add a plain column, fill it in batches and keep it by a trigger, or begin with CREATE STATISTICS on the "
        "expression.",
        sql=f"ALTER TABLE {relation} ADD COLUMN {quoted} {kind} GENERATED ALWAYS AS (({value}){cast}) STORED;",
        lock="ACCESS EXCLUSIVE",
        rewrites=True,
        undo=f"ALTER TABLE {relation} DROP COLUMN {quoted};",
    )


@check("hybrid.relation-inside-jsonb", catalogue="H06", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def relation_inside_jsonb(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An id of another table stands inside a document, and statements compare or join it.

    There can be no foreign key on it: rows whose parent is gone stay, and nobody is told. A join by it compares text with text,
    without statistics on either side.

    Fix: The id as a column with a foreign key: a generated one while the code still writes the document.

    Example: JOIN users ON users.id = (events.payload ->> 'user_id')::bigint: the user may be gone, and a foreign key can only
    be on events.user_id bigint GENERATED ALWAYS AS ((payload ->> 'user_id')::bigint) STORED.

    Source: PostgreSQL manual, "JSON Types" (8.14.2); "Foreign Keys"

    Observed: keys, references, joined, rows, statements, statement, calls, mean_ms
    """
    catalog = evidence.get(Catalog)
    columns = [*document_columns(catalog, "jsonb"), *document_columns(catalog, "json")]
    if not columns:
        raise NotApplicable("no table has a json or jsonb column")
    for table, column in columns:
        # What a message says of ids is no relation of the queue or log that carries it.
        if is_message(table):
            continue
        references = []
        for key, found in key_uses(evidence, column).items():
            uses = [use for use in found if use.way.operators != SORT]
            target = referenced_table(catalog, table, key)
            joined = [use for use in uses if _joins(use)]
            if target is None and joined:
                other = joined[0].comparison.other
                target = catalog.table_by_oid.get(other.table or 0) if other else None
            if uses and (target is not None or joined):
                references.append(Reference(key, tuple(uses), target, bool(joined)))
        if references:
            yield _inside(evidence, table, column, sorted(references, key=lambda entry: (not entry.joined, entry.key)))
    yield Examined(len(columns), len(columns), "document columns", gap=unread_statements(evidence))


def _joins(use: Use) -> bool:
    """Whether it compares the key with a column of a table, and both are rather ids than sums of contents."""
    other = use.comparison.other
    if other is None or use.comparison.operator != "=":
        return False
    return not any(_DIGEST.search(name) for name in (other.column, use.way.key or ""))


def referenced_table(catalog: Catalog, table: Table, key: str) -> Table | None:
    """The table that a key named like a reference means: `user_id` or `userId` a table user or users."""
    match = _ID.search(key.rpartition(".")[2])
    if match is None:
        return None
    stem = match["name"] or re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", match["camel"])
    wanted = {stem.lower(), f"{stem.lower()}s", f"{stem.lower()}es", re.sub("y$", "ies", stem.lower())}
    flat = {name.replace("_", "") for name in wanted}
    found = [
        other
        for other in reviewed_tables(catalog)
        if other.name.lower() in wanted or other.name.lower().replace("_", "") in flat
    ]
    own = [other for other in found if other.schema == table.schema]
    return next(iter(own or found), None)


def _inside(evidence: Evidence, table: Table, column: Column, references: list[Reference]) -> Finding:
    catalog = evidence.get(Catalog)
    first = references[0]
    subject = catalog.column_subject(column)
    patterns = list(dict.fromkeys(use.pattern for entry in references for use in entry.uses))
    places = tuple(dict.fromkeys(place for entry in patterns for place in statement_places(evidence, entry)))
    joined = any(entry.joined for entry in references)
    of = f", a reference to {first.target.subject.name}," if first.target else ""
    more = f" and {len(references) - 1} more" if len(references) > 1 else ""
    verb = "joined by" if joined else "compared by"
    count = "a statement" if len(patterns) == 1 else f"{len(patterns)} statements"
    rows = estimated_rows(evidence, table) or 0
    keys = "Key" if not more else "Keys"
    be = "is" if not more else "are"
    return Finding(
        subject,
        f"{keys} {quote_literal(first.key).strip()}{more} of {subject.name}{of if not more else ''} {be} {verb} "
        f"{count}{place_in_words(places)}",
        promotion(catalog, table, column, first.key, list(first.uses)),
        severity=Severity.MEDIUM if joined or rows > evidence.limit("seq_scan_rows") else Severity.LOW,
        confidence=Confidence.MEASURED if joined and any(entry.query_id for entry in patterns) else Confidence.INFERRED,
        observed={
            "keys": [entry.key for entry in references],
            "references": [entry.target.subject.name for entry in references if entry.target],
            "joined": joined,
            "rows": round(rows),
            "statements": len(patterns),
            **statement_figures(evidence, patterns[0]),
        },
        related=(
            *dict.fromkeys(entry.target.subject for entry in references if entry.target),
            *(statement_subject(entry) for entry in patterns[:SHOWN]),
        ),
        locations=places,
    )


@check("hybrid.jsonb-without-contract", catalogue="H07", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def jsonb_without_contract(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Statements rely on the shape of a document, and nothing in the database holds it.

    A document of another version, an array where an object was, a number written as text: each is stored without an error, and
    the statements that compare keys pass it over silently.

    Fix: CHECK (jsonb_typeof(column) = 'object') and of the keys that statements rely on; added NOT VALID, then validated.

    Example: WHERE payload ->> 'user_id' = $1 over events.payload jsonb: INSERT INTO events (payload) VALUES ('[]') succeeds;
    with CHECK (jsonb_typeof(payload) = 'object') it fails.

    Source: PostgreSQL manual, "JSON Types"; "Check Constraints"

    Observed: keys, statements, rows
    """
    catalog = evidence.get(Catalog)
    columns = document_columns(catalog, "jsonb")
    if not columns:
        raise NotApplicable("no table has a jsonb column")
    for table, column in columns:
        if column.generated or is_message(table) or _has_contract(catalog, column):
            continue
        uses = key_uses(evidence, column)
        patterns = list(dict.fromkeys(use.pattern for found in uses.values() for use in found))
        # One statement that never ran may well ask for the shape itself.
        if len(patterns) < _RELIED_ON and not any(entry.query_id for entry in patterns):
            continue
        keys = sorted({key.split(".")[0] for key in uses})
        subject = catalog.column_subject(column)
        document, relation = quote_identifier(column.name), qualified_name(table.schema, table.name)
        name = quote_identifier(f"{column.name}_shape"[:60])
        places = tuple(dict.fromkeys(place for entry in patterns for place in statement_places(evidence, entry)))
        shown = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
        yield Finding(
            subject,
            f"Statements rely on {shown} in {subject.name}, and no CHECK holds its shape{place_in_words(places)}",
            Fix(
                "Begin with the type of the whole, then the keys relied on.",
                sql=f"ALTER TABLE {relation} ADD CONSTRAINT {name} CHECK (jsonb_typeof({document}) = 'object') NOT VALID; "
                f"ALTER TABLE {relation} VALIDATE CONSTRAINT {name};",
                lock="ACCESS EXCLUSIVE",
                undo=f"ALTER TABLE {relation} DROP CONSTRAINT {name};",
            ),
            severity=Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={
                "keys": keys,
                "statements": len(patterns),
                "rows": round(estimated_rows(evidence, table) or 0),
            },
            related=(table.subject, *(statement_subject(entry) for entry in patterns[:SHOWN])),
            locations=places,
        )
    yield Examined(len(columns), len(columns), "jsonb columns", gap=unread_statements(evidence))


def _has_contract(catalog: Catalog, column: Column) -> bool:
    """A CHECK over the column, or a domain as its type."""
    return column.type != "jsonb" or any(
        entry.kind == "check" and column.number in entry.columns for entry in catalog.constraints_of(column.table)
    )
