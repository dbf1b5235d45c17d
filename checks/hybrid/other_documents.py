"""Documents in other dress: JSON in text columns, hstore, and arrays that are relations."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, RowSamples, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.families import once_per_family
from checks.hybrid.document_keys import is_message, referenced_table
from checks.hybrid.documents import document_columns
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
from checks.relations import estimated_rows, is_reviewed, new_name
from checks.workload import (
    place_in_words,
    statement_figures,
    statement_places,
    statement_subject,
    unread_statements,
    workload_seen,
)

SHOWN = 5
ELEMENTS = {"_int2", "_int4", "_int8", "_uuid", "_text", "_varchar"}
_JSON_NAME = re.compile(r"(?:^|_)json(?:_|$)|json_?(?:data|blob|payload|str|string)$", re.IGNORECASE)
# What says where in a document something stands, or where it is kept, is none itself.
_NO_DOCUMENT = re.compile(r"_(?:path|pointer|key|url|uri|file(?:name)?|name|type|version|hash|format)$", re.IGNORECASE)
_MOSTLY = 0.98
_FEW_VALUES = 20
_IDS = re.compile(r"(?:_ids|Ids|_uuids)$")
_ARRAY_OPERATORS = frozenset({"any", "@>", "&&", "<@"})


def _columns(catalog: Catalog, types: frozenset[str] | set[str]) -> list[tuple[Table, Column]]:
    return [
        (table, column)
        for column in catalog.columns
        if column.base_type in types
        and (table := catalog.table_by_oid.get(column.table)) is not None
        and is_reviewed(table)
    ]


@check("hybrid.json-in-text", catalogue="H08", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def json_in_text(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A text column holds JSON.

    Nothing checks that it is JSON: the first malformed row makes every statement fail that casts it. It is parsed anew each time,
    and no key of it can be indexed but by such a cast.

    Fix: ALTER the column to jsonb; rows that are no JSON show themselves then.

    Example: requests.body text, and code that reads body::jsonb ->> 'model': the first body that was cut off makes the
    statement fail for all rows.

    Source: PostgreSQL manual, "JSON Types"

    Observed: documents_share, rows, statements, statement, calls, mean_ms
    """
    catalog = evidence.get(Catalog)
    columns = _columns(catalog, {"text", "varchar"})
    if not columns:
        raise NotApplicable("no table has a text column")
    for table, column in columns:
        casting = _casting(evidence, table, column)
        named = bool(_JSON_NAME.search(column.name)) and not _NO_DOCUMENT.search(column.name)
        held = _share_of_documents(evidence, column)
        if not casting and (not named or (held is not None and held < _MOSTLY)):
            continue
        subject = catalog.column_subject(column)
        name, relation = quote_identifier(column.name), qualified_name(table.schema, table.name)
        places = tuple(dict.fromkeys(place for entry in casting for place in statement_places(evidence, entry)))
        why = "is cast to json by statements" if casting else "is text by type and JSON by name"
        yield Finding(
            subject,
            f"{subject.name} {why}{place_in_words(places)}",
            Fix(
                "Change it to jsonb; on a large table by a new column that is filled in batches.",
                sql=f"ALTER TABLE {relation} ALTER COLUMN {name} TYPE jsonb USING {name}::jsonb;",
                lock="ACCESS EXCLUSIVE",
                rewrites=True,
                undo=f"ALTER TABLE {relation} ALTER COLUMN {name} TYPE {column.type};",
            ),
            severity=Severity.MEDIUM if casting or held else Severity.LOW,
            confidence=Confidence.MEASURED if held or any(entry.query_id for entry in casting) else Confidence.INFERRED,
            observed={
                "documents_share": held,
                "rows": round(estimated_rows(evidence, table) or 0),
                "statements": len(casting),
                **(statement_figures(evidence, casting[0]) if casting else {}),
            },
            related=(table.subject, *(statement_subject(entry) for entry in casting[:SHOWN])),
            locations=places or evidence.locations(subject),
        )
    yield Examined(len(columns), len(columns), "text columns", gap=unread_statements(evidence))


def _share_of_documents(evidence: Evidence, column: Column) -> float | None:
    """The share of the sampled values that are JSON (--read-rows); None if too few were looked at."""
    samples = evidence.find(RowSamples)
    for sample in samples.columns if samples else ():
        if (sample.table, sample.column) == (column.table, column.number) and sample.values >= _FEW_VALUES:
            return round(sample.documents / sample.values, 4)
    return None


def _casting(evidence: Evidence, table: Table, column: Column) -> list[AccessPattern]:
    """Statements over the table alone that cast the column to json or jsonb."""
    written = re.compile(
        rf'(?<![\w"])"?{re.escape(column.name)}"?\s*::\s*jsonb?\b'
        rf'|\bcast\s*\(\s*(?:\w+\.)?"?{re.escape(column.name)}"?\s+as\s+jsonb?\b',
        re.IGNORECASE,
    )
    return [
        pattern
        for pattern in workload_seen(evidence)
        if pattern.tables == (table.oid,) and written.search(pattern.text)
    ]


@check("hybrid.hstore", catalogue="H12", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def hstore(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Columns are of type hstore.

    hstore knows texts alone, without nesting, numbers or lists; drivers and frameworks have left it behind. jsonb does what it
    does, and more.

    Fix: ALTER the column to jsonb with hstore_to_jsonb_loose(), and its operators in the statements.

    Example: settings hstore: settings -> 'retries' gives the text '3', which sorts after '20'; jsonb keeps it as a number.

    Source: PostgreSQL manual, "hstore" (casts to jsonb)

    Observed: rows
    """
    catalog = evidence.get(Catalog)
    columns = _columns(catalog, {"hstore"})
    others = document_columns(catalog, "jsonb")
    if not columns and not others:
        raise NotApplicable("no table has an hstore or jsonb column")
    for table, column in columns:
        subject = catalog.column_subject(column)
        name, relation = quote_identifier(column.name), qualified_name(table.schema, table.name)
        yield Finding(
            subject,
            f"Column {subject.name} is hstore",
            Fix(
                "Change it to jsonb and the statements with it: -> becomes ->>.",
                sql=f"ALTER TABLE {relation} ALTER COLUMN {name} TYPE jsonb USING hstore_to_jsonb({name});",
                lock="ACCESS EXCLUSIVE",
                rewrites=True,
                undo="Keep the old column under another name until all statements are changed.",
            ),
            observed={"rows": round(estimated_rows(evidence, table) or 0)},
            related=(table.subject,),
            locations=evidence.locations(subject),
        )
    yield Examined(len(columns) + len(others), len(columns) + len(others), "document columns")


@check("hybrid.array-as-relation", catalogue="H13", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def array_as_relation(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An array of ids stands for a relation, or an array is searched without an index.

    Elements of an array can have no foreign key: ids of rows that are gone stay in it. And value = ANY (column) is served by
    no index at all; column @> ARRAY[value] is, by GIN.

    Fix: A table between the two, with foreign keys; or GIN on the array and @> instead of = ANY.

    Example: posts.tag_ids bigint[] beside a table tags, with WHERE $1 = ANY (tag_ids): ids of deleted tags stay, and each
    search reads all posts; tag_ids @> ARRAY[$1::bigint] with CREATE INDEX ON posts USING gin (tag_ids) finds them.

    Source: PostgreSQL manual, "Arrays" (tip: arrays are not sets); "GIN Indexes"

    Observed: references, operators, served, rows, statement, calls, mean_ms
    """
    catalog = evidence.get(Catalog)
    columns = _columns(catalog, ELEMENTS)
    if not columns:
        raise NotApplicable("no table has an array column")
    for table, column in columns:
        # What a message or a ledger says of ids is what was, also when their rows are gone.
        related = _IDS.search(column.name) and not is_message(table)
        target = referenced_table(catalog, table, column.name) if related else None
        searching = _searching(evidence, table, column)
        rows = estimated_rows(evidence, table) or 0
        served = any(
            index.method in {"gin", "gist"} and index.valid and column.number in index.columns
            for index in catalog.indexes_of(table.oid)
        )
        unserved = [
            (pattern, operator) for pattern, operator in searching if operator == "any" or not served
        ] if rows > evidence.limit("seq_scan_rows") else []  # fmt: skip
        if target is None and not unserved:
            continue
        yield _array(evidence, table, column, target, [pattern for pattern, _ in unserved], served, rows,
                     sorted({operator for _, operator in searching}))  # fmt: skip
    yield Examined(len(columns), len(columns), "array columns", gap=unread_statements(evidence))


def _searching(evidence: Evidence, table: Table, column: Column) -> list[tuple[AccessPattern, str]]:
    return [
        (pattern, entry.operator)
        for pattern in workload_seen(evidence)
        for entry in pattern.comparisons
        if entry.column.table == table.oid and entry.column.column == column.name and entry.operator in _ARRAY_OPERATORS
    ]


def _array(
    evidence: Evidence,
    table: Table,
    column: Column,
    target: Table | None,
    unserved: list[AccessPattern],
    served: bool,
    rows: float,
    operators: list[str],
) -> Finding:
    catalog = evidence.get(Catalog)
    subject = catalog.column_subject(column)
    name, relation = quote_identifier(column.name), qualified_name(table.schema, table.name)
    places = tuple(dict.fromkeys(place for entry in unserved for place in statement_places(evidence, entry)))
    sql = lock = undo = None
    if unserved and not served:
        index = new_name(catalog, table.schema, table.name, column.name, "gin", "idx")
        concurrently = "" if table.kind == "partitioned" else "CONCURRENTLY "
        sql = f"CREATE INDEX {concurrently}{quote_identifier(index)} ON {relation} USING gin ({name});"
        lock = "SHARE UPDATE EXCLUSIVE" if concurrently else "SHARE"
        undo = f"DROP INDEX {concurrently}{qualified_name(table.schema, index)};"
    if unserved:
        title = f"{subject.name} is searched by its elements, and no index serves it{place_in_words(places)}"
        summary = "Write column @> ARRAY[value], which GIN serves; = ANY (column) it never does."
    else:
        title = f"Array {subject.name} holds ids of {target.subject.name if target else 'another table'}, unchecked"
        summary = "A table of pairs with two foreign keys, filled from the array, then the array away."
    return Finding(
        subject,
        title,
        Fix(summary, sql=sql, lock=lock, undo=undo),
        severity=Severity.MEDIUM if unserved else Severity.LOW,
        confidence=Confidence.MEASURED if any(entry.query_id for entry in unserved) else Confidence.INFERRED,
        observed={
            "references": target.subject.name if target else None,
            "operators": operators,
            "served": served,
            "rows": round(rows),
            **(statement_figures(evidence, unserved[0]) if unserved else {}),
        },
        related=(
            *((target.subject,) if target else ()),
            *(statement_subject(entry) for entry in dict.fromkeys(unserved)),
        ),
        locations=places or evidence.locations(subject),
    )
