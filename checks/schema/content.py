"""Do columns hold what their types say? By a sample of their values (--read-rows)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from checks.evidence.database.facts import Catalog, Column, ColumnSample, RowSamples, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.hybrid.other_documents import json_in_text
from checks.model import (
    Examined,
    Finding,
    Fix,
    NotApplicable,
    Reason,
    Severity,
    Subject,
    Unknown,
    Unobserved,
    qualified_name,
    quote_identifier,
)
from checks.registry import CheckFunction, check
from checks.relations import new_name
from checks.schema.column_types import uuid_as_text
from checks.schema.columns import TEXTS, change_type, reviewed_columns, told, words
from checks.schema.inconsistencies import inconsistent_column_type, is_flag
from checks.schema.shape import multi_valued_column

_MOST = 0.98
_PADDED_SHARE, _PADDED_VALUES = 0.01, 10
_FEW_VALUES, _REPEATED = 50, 4
# What is written in digits and is no number: nobody adds it up.
_IDENTIFIES = frozenset(
    "id ids uuid guid code codes number no nr phone mobile fax tel zip postal postcode plz sku ean isbn ref reference key token "
    "version hash account iban external serial value val content body text raw slug name username login etag revision "
    "cursor".split()
)
_PROSE = frozenset("body content text message description note notes comment prompt completion answer chunk".split())
_WHO = frozenset("email mail username login handle".split())
_GRANT = "GRANT SELECT on the tables to this role; with row security, BYPASSRLS too"


class _Seen(NamedTuple):
    """A column with its sample."""

    catalog: Catalog
    table: Table
    column: Column
    sample: ColumnSample


class _Form(NamedTuple):
    """What a column holds: in words, how it is recognised, the severity, and the fix. `told_by` tells of it by name already."""

    words: str
    holds: Callable[[_Seen], bool]
    severity: Severity
    fix: Callable[[_Seen], Fix]
    told_by: CheckFunction | None = None


@check("schema.type-does-not-match-content", catalogue="S50", severity=Severity.LOW, needs=[Catalog, RowSamples])
@once_per_family
def type_does_not_match_content(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A column holds something else than its type says.

    Text that is always a number, a date, a uuid, yes or no, or JSON sorts and compares as text, takes more room, and takes
    anything: the first value of another form breaks whoever casts it. Blanks at the ends and spellings that differ in capitals
    make one value two. Seen in a sample of at most 1,000 rows of each table, of which only counts are kept.

    Fix: Give the column the type of what it holds; normalise spellings, then forbid others with a CHECK.

    Example: orders.amount is text and holds '9.99' and '10.50': ORDER BY amount puts 10.50 first, and
    sum(amount::numeric) fails on the first 'n/a'.

    Source: PostgreSQL manual, "Data Types"; "ALTER TABLE"

    Observed: holds, sampled, share, type, rows, columns, tables, largest.
    """
    catalog, samples = evidence.get(Catalog), evidence.get(RowSamples)
    columns = {(column.table, column.number): (table, column) for table, column in reviewed_columns(catalog)}
    looked_at = [entry for entry in columns.values() if entry[1].base_type in TEXTS or is_flag(entry[1])]
    if not looked_at:
        raise NotApplicable("no column is text")
    judged = [
        sample
        for sample in samples.columns
        if sample.values - sample.empty >= evidence.limit("sampled_values") and (sample.table, sample.column) in columns
    ]
    forbidden = sum(reason == "not_permitted" for reason in samples.skipped.values())
    if not judged:
        if forbidden:
            raise Unknown(Reason.NOT_PERMITTED, _GRANT)
        raise NotApplicable(f"no table has {evidence.limit('sampled_values'):,.0f} values to look at")
    already: dict[str, set[Subject]] = {}
    by_form: dict[str, list[_Seen]] = {}
    for sample in judged:
        table, column = columns[sample.table, sample.column]
        seen = _Seen(catalog, table, column, sample)
        form = next((form for form in _FORMS if form.holds(seen)), None)
        if form is None:
            continue
        if form.words not in already:
            already[form.words] = _subjects(form.told_by, evidence)
        told_of = {catalog.column_subject(column), table.subject, Subject("schema", (table.schema,))}
        if not told_of & already[form.words]:
            by_form.setdefault(form.words, []).append(seen)
    for form in _FORMS:
        yield from _told(evidence, form, by_form.get(form.words, []))
    gap = Unobserved(Reason.NOT_PERMITTED, _GRANT) if forbidden else None
    counted = [sample for sample in judged if columns[sample.table, sample.column] in looked_at]
    yield Examined(len(counted), len(looked_at), "columns of text", gap, unmet=sum(map(len, by_form.values())))


def _told(evidence: Evidence, form: _Form, found: list[_Seen]) -> Iterator[Finding]:
    catalog = evidence.get(Catalog)
    by_column = {(seen.column.table, seen.column.number): seen for seen in found}
    by_subject = {catalog.column_subject(seen.column): seen for seen in found}
    for finding in told(
        evidence,
        [(seen.table, seen.column) for seen in found],
        lambda name, column: f"Column {name} is {column.type} and holds {form.words}",
        lambda schema, number: f"{number} columns of schema {schema} hold {form.words} as text",
        lambda table, column: form.fix(by_column[table.oid, column.number]),
        form.severity,
    ):
        observed: dict[str, object] = {"holds": form.words}
        if (seen := by_subject.get(finding.subject)) is not None:
            observed |= {"sampled": seen.sample.values, "share": round(_share(form, seen.sample), 4)}
        yield msgspec.structs.replace(finding, observed={**observed, **finding.observed})


def _share(form: _Form, sample: ColumnSample) -> float:
    counts = {
        _SPELLINGS: sample.distinct - sample.folded,
        _BLANKS: sample.padded,
        _UUIDS: sample.uuids,
        _TIMES: sample.times,
        _DOCUMENTS: sample.documents,
        _LISTS: sample.lists,
        _MARKUP: sample.markup,
        _YES: sample.booleans,
        _NUMBERS: sample.integers + sample.numbers,
    }
    return counts[form.words] / (sample.distinct if form.words == _SPELLINGS else sample.values)


def _subjects(function: CheckFunction | None, evidence: Evidence) -> set[Subject]:
    """What another check tells of."""
    try:
        items = list(function(evidence)) if function is not None else []
    except (NotApplicable, Unknown):
        return set()
    return {item.subject for item in items if isinstance(item, Finding)}


def _mostly(count: Callable[[ColumnSample], int]) -> Callable[[_Seen], bool]:
    def holds(seen: _Seen) -> bool:
        filled = seen.sample.values - seen.sample.empty
        return count(seen.sample) >= _MOST * filled and not _refers(seen) and not _is_for_anything(seen.column)

    return holds


def _is_for_anything(column: Column) -> bool:
    """Whether by its name it is there for whatever comes."""
    return words(column.name)[-1:] in {("value",), ("val",), ("values",)}


def _refers(seen: _Seen) -> bool:
    """A column that refers to another is as that one is."""
    rules = seen.catalog.constraints_of(seen.table.oid)
    return any(rule.kind == "foreign_key" and seen.column.number in rule.columns for rule in rules)


def _is_yes_or_no(seen: _Seen) -> bool:
    sample, column = seen.sample, seen.column
    if sample.booleans < sample.values - sample.empty or _is_for_anything(column):
        return False
    if column.base_type not in TEXTS:
        return is_flag(column)
    # 0 and 1 alone may be the beginning of a count.
    return 2 <= sample.folded <= 4 and (sample.integers == 0 or is_flag(column))


def _is_number(seen: _Seen) -> bool:
    sample, column = seen.sample, seen.column
    filled = sample.values - sample.empty
    if sample.integers + sample.numbers < filled or sample.folded < 3 or _IDENTIFIES & set(words(column.name)):
        return False
    rules = [rule for rule in seen.catalog.constraints_of(column.table) if column.number in rule.columns]
    return not any(rule.kind in ("primary_key", "unique", "foreign_key") for rule in rules)


def _is_padded(seen: _Seen) -> bool:
    enough = seen.sample.padded >= max(_PADDED_VALUES, _PADDED_SHARE * seen.sample.values)
    return enough and not _PROSE & set(words(seen.column.name))


def _is_spelled_in_several_ways(seen: _Seen) -> bool:
    sample = seen.sample
    if sample.folded >= sample.distinct or _PROSE & set(words(seen.column.name)):
        return False
    few = sample.distinct <= _FEW_VALUES and sample.values >= _REPEATED * sample.distinct
    return few or bool(_WHO & set(words(seen.column.name)))


def _to(type_name: str, summary: str) -> Callable[[_Seen], Fix]:
    def fix(seen: _Seen) -> Fix:
        using = f"NULLIF({quote_identifier(seen.column.name)}::text, '')::{type_name}"
        return change_type(seen.table, seen.column, type_name, summary, using=using)

    return fix


def _advice(summary: str) -> Callable[[_Seen], Fix]:
    return lambda _: Fix(summary)


def _without_blanks(seen: _Seen) -> Fix:
    table, column = seen.table, seen.column
    path, name = qualified_name(table.schema, table.name), quote_identifier(column.name)
    rule = quote_identifier(new_name(seen.catalog, table.schema, table.name, column.name, "trimmed"))
    return Fix(
        "Take the blanks away, in batches on a large table, then forbid them; let the code trim what it takes.",
        f"UPDATE {path} SET {name} = btrim({name}) WHERE {name} <> btrim({name});\n"
        f"ALTER TABLE {path} ADD CONSTRAINT {rule} CHECK ({name} = btrim({name})) NOT VALID;\n"
        f"ALTER TABLE {path} VALIDATE CONSTRAINT {rule};",
        lock="ACCESS EXCLUSIVE, briefly; validating takes SHARE UPDATE EXCLUSIVE",
        undo=f"ALTER TABLE {path} DROP CONSTRAINT {rule};",
    )


def _in_one_spelling(seen: _Seen) -> Fix:
    path, name = qualified_name(seen.table.schema, seen.table.name), quote_identifier(seen.column.name)
    return Fix(
        f"Find them with SELECT lower(btrim({name})), count(DISTINCT {name}) FROM {path} GROUP BY 1 "
        f"HAVING count(DISTINCT {name}) > 1, choose one spelling, and let the code, a CHECK or a table of the allowed values "
        "keep it."
    )


_UUIDS, _TIMES, _DOCUMENTS = "uuids", "dates or instants", "JSON"
_LISTS, _MARKUP, _YES, _NUMBERS = "lists of identifiers", "XML", "yes or no", "numbers"
_BLANKS, _SPELLINGS = "values with blanks at their ends", "one value in several spellings"
_APART = "Move them to a table with one row per identifier, or to an array if they are another system's."
_FORMS = (
    _Form(
        _DOCUMENTS,
        _mostly(lambda sample: sample.documents),
        Severity.MEDIUM,
        _to("jsonb", "Use jsonb; on a large table by a new column that is filled in batches."),
        json_in_text,
    ),
    _Form(
        _UUIDS,
        _mostly(lambda sample: sample.uuids),
        Severity.LOW,
        _to("uuid", "Use uuid, here and in the columns that refer to it, in one transaction."),
        uuid_as_text,
    ),
    _Form(
        _TIMES,
        _mostly(lambda sample: sample.times),
        Severity.MEDIUM,
        _to("timestamptz", "Use timestamptz, or date if it has no time of day."),
    ),
    _Form(_LISTS, _mostly(lambda sample: sample.lists), Severity.MEDIUM, _advice(_APART), multi_valued_column),
    _Form(_MARKUP, _mostly(lambda sample: sample.markup), Severity.NOTE, _to("xml", "Use xml, if SQL looks into it.")),
    _Form(
        _YES,
        _is_yes_or_no,
        Severity.LOW,
        _to("boolean", "Use boolean; the default changes too."),
        inconsistent_column_type,
    ),
    _Form(
        _NUMBERS,
        _is_number,
        Severity.LOW,
        _to("numeric", "Use numeric, or bigint if there are whole numbers only; keep text if it is a name in digits."),
    ),
    _Form(_SPELLINGS, _is_spelled_in_several_ways, Severity.LOW, _in_one_spelling),
    _Form(_BLANKS, _is_padded, Severity.LOW, _without_blanks),
)
