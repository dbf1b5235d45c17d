"""What the shape of a table gives away."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    Severity,
    quote_identifier,
)
from checks.registry import check
from checks.relations import estimated_rows, reviewed_tables
from checks.schema.columns import TEXTS, reviewed_columns, words
from checks.schema.habits import CROWD, once_per_habit

_NUMBERED = re.compile(r"(.*?[A-Za-z])_?(\d{1,2})")
# Numbers that name something by themselves: digests, encodings, protocols, units, lines of an address.
_NAMED_BY_NUMBER = frozenset(
    "sha md crc utf base iso ipv ip s p q h v x y z l d level address addr line street oauth mp top last next int float http tls "
    "ec k n b week day month quarter percentile pct width height bit factor phase stage tier year vat".split()
)
_LIST_NAMES = frozenset({"ids", "uuids", "guids"})
_SHOWN = 5


@check("schema.very-wide-table", catalogue="S61", severity=Severity.LOW, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} tables of schema {schema} have very many columns", CROWD)
def very_wide_table(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table has very many columns.

    Every update writes the whole row anew, every SELECT * sends it, and what changes often shares a row with what never does.
    PostgreSQL ends at 1,600 columns, dropped ones counted.

    Fix: Split off what belongs together and is read or written apart from the rest.

    Example: customers with 180 columns, among them last_seen_at: UPDATE customers SET last_seen_at = now() at each
    request writes a new row version of all 180.

    Source: PostgreSQL manual, "PostgreSQL Limits"; "Database Page Layout"

    Observed: columns, nullable_columns, rows.
    """
    catalog = evidence.get(Catalog)
    tables, limit = reviewed_tables(catalog), evidence.limit("table_columns")
    for table in tables:
        columns = catalog.columns_of(table.oid)
        if len(columns) <= limit:
            continue
        rows = estimated_rows(evidence, table)
        yield Finding(
            table.subject,
            f"Table {table.subject.name} has {len(columns)} columns",
            Fix("Split off the columns that are read or written apart from the rest, by a key that both tables share."),
            severity=Severity.MEDIUM if len(columns) > 4 * limit else Severity.LOW,
            observed={
                "columns": len(columns),
                "nullable_columns": sum(not column.not_null for column in columns.values()),
                "rows": None if rows is None else round(rows),
            },
        )
    yield Examined(len(tables), len(tables), "tables")


@check("schema.numbered-columns", catalogue="S53", severity=Severity.LOW, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} tables of schema {schema} have numbered columns", CROWD)
def numbered_columns(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table has numbered columns, such as phone1, phone2, phone3.

    They are a list in disguise: a search asks each of them, a fourth value needs a migration, and nothing keeps the second from
    being filled while the first is empty.

    Fix: A table of their own with one row per value, or an array where they are only read together.

    Example: phone1 text, phone2 text, phone3 text: a search is WHERE phone1 = $1 OR phone2 = $1 OR phone3 = $1, over
    three indexes, and a fourth phone is an ALTER TABLE.

    Source: C. J. Date, "An Introduction to Database Systems", first normal form

    Observed: columns, rows.
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    for table in tables:
        groups = _numbered(catalog, table)
        if not groups:
            continue
        rows = estimated_rows(evidence, table)
        columns = [column for stem in sorted(groups) for column in groups[stem]]
        listed = ", ".join(
            f"{quote_identifier(found[0].name)} to {quote_identifier(found[-1].name)}"
            for _, found in sorted(groups.items())
        )
        yield Finding(
            table.subject,
            f"Table {table.subject.name} has numbered columns: {listed}",
            Fix("Move them to a table with one row per value, or to an array or jsonb if they are only read together."),
            confidence=Confidence.INFERRED,
            observed={
                "columns": [column.name for column in columns],
                "rows": None if rows is None else round(rows),
            },
            related=tuple(catalog.column_subject(column) for column in columns[:_SHOWN]),
        )
    yield Examined(len(tables), len(tables), "tables")


def _numbered(catalog: Catalog, table: Table) -> dict[str, list[Column]]:
    """Columns of one type that differ in their number alone, from three on, by what stands before the number."""
    groups: dict[tuple[str, str], dict[int, Column]] = {}
    for column in catalog.columns_of(table.oid).values():
        match = _NUMBERED.fullmatch(column.name)
        if match and (words(match[1]) or ("",))[-1] not in _NAMED_BY_NUMBER:
            groups.setdefault((match[1], column.base_type), {})[int(match[2])] = column
    return {
        stem: [numbers[number] for number in sorted(numbers)]
        for (stem, _), numbers in groups.items()
        if len(numbers) >= 3 and max(numbers) - min(numbers) == len(numbers) - 1 and min(numbers) in (0, 1, 2)
    }


@check("schema.multi-valued-column", catalogue="S51", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} text columns of schema {schema} hold lists of identifiers", CROWD)
def multi_valued_column(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A text column holds a list of identifiers.

    No foreign key can hold what stands in it, no index finds one of them, and each reader splits the text in its own way. It
    is recognised by its name (a plural of id in a text column).

    Fix: A table that pairs the two keys; an array or jsonb if the identifiers are another system's.

    Example: tag_ids text with '3,17,42': WHERE tag_ids LIKE '%7%' finds 17 as well, reads the whole table, and tag 42
    can be deleted while it stands there.

    Source: PostgreSQL manual, "Constraints", section "Foreign Keys"; "Arrays", tip

    Observed: type, rows.
    """
    catalog = evidence.get(Catalog)
    columns = reviewed_columns(catalog)
    for table, column in columns:
        if column.base_type not in TEXTS or not _LIST_NAMES & set(words(column.name)[-1:]):
            continue
        rows, subject = estimated_rows(evidence, table), catalog.column_subject(column)
        yield Finding(
            subject,
            f"Column {subject.name} is {column.type} and holds a list of identifiers, by its name",
            Fix("Make a table that pairs the two keys, with a foreign key on each; or an array or jsonb column where the "
                "identifiers are another system's."),
            confidence=Confidence.INFERRED,
            observed={"type": column.type, "rows": None if rows is None else round(rows)},
            related=(table.subject,),
        )  # fmt: skip
    yield Examined(len(columns), len(columns), "columns")


_ENTITY = frozenset({"entity", "object", "item", "record", "resource", "owner", "parent", "subject", "target", "row"})
_ATTRIBUTE = frozenset({"attribute", "attr", "property", "field", "key", "name", "meta_key", "metakey"})
_KINDS = "string|text|int|integer|number|numeric|float|bool|boolean|date|datetime|json"
_VALUE = re.compile(rf"(?:meta_?)?(?:value|val)|(?:{_KINDS})_?value|value_?(?:{_KINDS})")
_EAV_COLUMNS = 8


@check("schema.entity-attribute-value", catalogue="S52", severity=Severity.LOW, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} tables of schema {schema} keep attributes as rows", CROWD)
def entity_attribute_value(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A table keeps attributes as rows: one for the thing, one for the name, one for the value.

    Reading one thing back takes a join per attribute, no value has a type, a range or a foreign key, and the planner knows
    nothing of what is in it. It is recognised by its columns; settings and tags, with nothing but name and value, are none.

    Fix: Columns for the attributes that are known, jsonb for those that are not.

    Example: CREATE TABLE attributes (entity_id bigint, attribute text, value text): a product of ten attributes is ten
    rows, and WHERE attribute = 'price' AND value > '9' leaves out '10.50'.

    Source: PostgreSQL manual, "JSON Types", section "Designing JSON Documents"

    Observed: entity, attribute, values, rows.
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    for table in tables:
        columns = list(catalog.columns_of(table.oid).values())
        if len(columns) > _EAV_COLUMNS:
            continue
        values = [column for column in columns if _VALUE.fullmatch(column.name.lower())]
        names = [column for column in columns if _names_attribute(column)]
        entities = [column for column in columns if _names_entity(catalog, table, column)]
        typed = len(values) > 1
        others = {words(column.name)[-1:] for column in columns}
        if others & _CONDITIONS or not _is_about_attributes(table, names):
            continue
        if not (values and names and entities) or (not typed and values[0].base_type not in TEXTS):
            continue
        rows = estimated_rows(evidence, table)
        yield Finding(
            table.subject,
            f"Table {table.subject.name} keeps attributes as rows of {names[0].name} and {values[0].name}",
            Fix("Give the attributes that are known columns of their own, and keep the others in one jsonb column of the thing "
                "they describe."),
            severity=Severity.MEDIUM if (rows or 0) >= evidence.limit("seq_scan_rows") else Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={
                "entity": entities[0].name,
                "attribute": names[0].name,
                "values": [column.name for column in values],
                "rows": None if rows is None else round(rows),
            },
        )  # fmt: skip
    yield Examined(len(tables), len(tables), "tables")


# Filters and rules compare an attribute with a value, they don't keep it.
_CONDITIONS = frozenset({("condition",), ("operator",), ("op",), ("comparator",), ("comparison",), ("kind",)})
_ATTRIBUTE_TABLES = frozenset(
    "attribute attributes property properties meta metadata field fields value values custom eav param params".split()
)


def _is_about_attributes(table: Table, names: list[Column]) -> bool:
    """Whether the table's name says so, where the column of names is only called name or key."""
    plain = all(words(column.name) in {("name",), ("key",)} for column in names)
    return not plain or bool(_ATTRIBUTE_TABLES & set(words(table.name)))


def _names_attribute(column: Column) -> bool:
    parts = words(column.name)
    plain = "_".join(parts)
    return bool(
        plain in _ATTRIBUTE
        or (
            len(parts) > 1
            and parts[0] in {"attribute", "attr", "property", "field"}
            and parts[1] in {"id", "name", "key"}
        )
    )


def _names_entity(catalog: Catalog, table: Table, column: Column) -> bool:
    parts = words(column.name)
    if parts[-1:] != ("id",) or parts[:1] in (("attribute",), ("attr",), ("property",), ("field",)):
        return False
    if len(parts) > 1 and parts[0] in _ENTITY:
        return True
    return any(
        entry.kind == "foreign_key" and column.number in entry.columns for entry in catalog.constraints_of(table.oid)
    )
