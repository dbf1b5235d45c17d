"""Are names safe to write, and to tell apart?"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from checks.evidence.database.facts import Catalog
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.keywords import COLUMN_NAMES, RESERVED
from checks.model import Confidence, Examined, Finding, Fix, Severity, Subject, quote_identifier
from checks.registry import check
from checks.relations import IDENTIFIER_BYTES, is_reviewed, reviewed_tables
from checks.schema.columns import words
from checks.text import visible

_WORDS = RESERVED - COLUMN_NAMES
# Those that FROM takes without quotes, as functions.
_READ_AS_FUNCTIONS = frozenset(
    """
    current_catalog current_date current_role current_time current_timestamp current_user localtime localtimestamp
    session_user system_user user
    """.split()
)
_SNAKE = re.compile(r"[a-z_][a-z0-9_$]*")
_SHOWN = 5
_GENERIC = frozenset("data data1 data2 info misc stuff temp tmp foo bar test field value1 value2 column1 col1".split())
# Letters of Cyrillic and Greek, and the Latin ones that they look like.
_LOOK_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u04cf"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425"
    "\u03bf\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7",
    "aeopcyxijsdhlABEKMHOPCTXoABEZHIKMNOPTYX",
)

Named = tuple[str, Subject, str]


def _names(catalog: Catalog) -> list[Named]:
    """Schema, subject and bare name of reviewed tables, views and columns."""
    found: list[Named] = []
    for table in catalog.tables:
        if not (is_reviewed(table) or (table.kind in {"view", "materialized_view"} and table.extension is None)):
            continue
        found.append((table.schema, table.subject, table.name))
        found += [
            (table.schema, catalog.column_subject(column), column.name)
            for column in catalog.columns_of(table.oid).values()
        ]
    return found


def _per_schema(
    found: Iterable[Named], single: str, title: str, fix: Fix, confidence: Confidence = Confidence.MEASURED
) -> Iterator[Finding]:
    """One finding per schema; `title` has {schema}, {number} and {listed}, `single` is it for one name."""
    grouped: dict[str, list[Subject]] = {}
    for schema, subject, _ in found:
        grouped.setdefault(schema, []).append(subject)
    for schema, subjects in sorted(grouped.items()):
        listed = ", ".join(subject.name for subject in subjects[:_SHOWN])
        yield Finding(
            Subject("schema", (schema,)),
            title.format(schema=quote_identifier(schema), number=len(subjects), listed=visible(listed))
            if len(subjects) > 1
            else single.format(schema=quote_identifier(schema), listed=visible(listed)),
            fix,
            confidence=confidence,
            observed={"number": len(subjects), "names": [subject.name for subject in subjects[:_SHOWN]]},
            related=tuple(subjects[:_SHOWN]),
        )


@check("schema.reserved-name", catalogue="S65", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def reserved_name(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Tables are called by a reserved word of SQL.

    FROM user doesn't fail: it reads the current role's name. Others fail wherever somebody forgets the quotes, in a psql session
    during an incident more often than in tested code; those with capitals, which need quotes anyway, are left out. A column so
    called is no finding: it always fails at once.

    Fix: Name new ones otherwise (users, orders); rename old ones when they are touched anyway.

    Example: CREATE TABLE "user" (id bigint, name text): SELECT * FROM user, without the quotes, returns one row with
    the name of the current role, and no error.

    Source: PostgreSQL manual, "SQL Key Words"

    Observed: number, names.
    """
    catalog = evidence.get(Catalog)
    names = _names(catalog)
    tables = [
        entry
        for entry in names
        if entry[1].kind != "column" and (entry[2] in _WORDS or entry[2].lower() in _READ_AS_FUNCTIONS)
    ]
    misread = {subject.path[0] for _, subject, name in tables if name in _READ_AS_FUNCTIONS}
    for finding in _per_schema(
        tables,
        "The name {listed} is a reserved word",
        "{number} tables of schema {schema} are called by a reserved word: {listed}",
        Fix("Rename them in two steps: a view of the old name over the new table, until nobody uses it."),
    ):
        worse = finding.subject.path[0] in misread
        yield msgspec.structs.replace(finding, severity=Severity.LOW if worse else Severity.NOTE)
    yield Examined(len(names), len(names), "names of tables and columns", unmet=len(tables))


@check("schema.confusable-name", catalogue="S66", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def confusable_name(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Names look alike, or hold characters that cannot be seen.

    "Users" beside users, a Cyrillic letter among Latin ones, a blank at the end: the statement that somebody wrote reads the
    other table, and no reviewer sees it.

    Fix: Rename one of them.

    Example: CREATE TABLE users beside CREATE TABLE "Users": SELECT * FROM Users reads the first, an ORM that quotes
    names the second, and each lacks rows of the other.

    Source: Unicode Technical Standard 39, "Unicode Security Mechanisms"

    Observed: looks_like, escaped.
    """
    catalog = evidence.get(Catalog)
    names = _names(catalog)
    seen: dict[tuple[object, ...], tuple[Subject, str]] = {}
    for _, subject, name in names:
        if visible(name) != name or name != name.strip() or _mixed_scripts(name):
            yield Finding(
                subject,
                f"The name {visible(subject.name)} holds characters that mislead the eye",
                Fix("Rename it with letters that can be seen and typed."),
                observed={"looks_like": None, "escaped": ascii(name)},
            )
        key = (subject.kind == "column", *subject.path[:-1], _skeleton(name))
        other = seen.setdefault(key, (subject, name))
        if other[1] != name:
            yield Finding(
                subject,
                f"The names {visible(other[0].name)} and {visible(subject.name)} look alike",
                Fix("Rename one of them."),
                severity=Severity.MEDIUM if other[1].lower() != name.lower() else Severity.LOW,
                observed={"looks_like": other[0].name, "escaped": ascii(name)},
                related=(other[0],),
                discriminator="alike",
            )
    yield Examined(len(names), len(names), "names of tables and columns")


def _skeleton(name: str) -> str:
    plain = unicodedata.normalize("NFKC", name).translate(_LOOK_ALIKE)
    return plain.lower()


def _mixed_scripts(name: str) -> bool:
    """Whether letters of another script stand among Latin ones and look like them."""
    latin = any("a" <= letter <= "z" for letter in name.lower())
    return latin and any(ord(letter) in _LOOK_ALIKE for letter in name)


@check("schema.name-at-length-limit", catalogue="S67", severity=Severity.NOTE, needs=[Catalog])
@once_per_family
def name_at_length_limit(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Names were cut at 63 bytes.

    PostgreSQL cuts a longer name with no more than a notice: two generated names that differ after the 63rd byte collide, and
    a tool that compares the full name with the catalog finds neither.

    Fix: Shorter names, given by hand where a generator makes long ones.

    Example: Two generated index names of 70 characters that differ in the last one: both are cut to the same 63, and
    the second CREATE INDEX fails with "already exists", or is skipped with IF NOT EXISTS.

    Source: PostgreSQL manual, "Identifiers and Key Words"

    Observed: number, names.
    """
    catalog = evidence.get(Catalog)
    names = _names(catalog)
    own = {entry.oid for entry in catalog.tables if is_reviewed(entry)}
    names += [
        (index.schema, index.subject, index.name)
        for index in catalog.indexes
        if index.table in own and index.parent is None and index.constraint is None
    ]
    names += [
        (catalog.table_by_oid[entry.table].schema, catalog.constraint_subject(entry), entry.name)
        for entry in catalog.constraints
        if entry.table in own and entry.parent is None
    ]
    found = [entry for entry in names if len(entry[2].encode("utf-8", "surrogateescape")) >= IDENTIFIER_BYTES]
    yield from _per_schema(
        found,
        "The name {listed} ends at the limit of 63 bytes",
        "{number} names of schema {schema} end at the limit of 63 bytes, such as {listed}",
        Fix("Give shorter names in the migrations, before two of them collide."),
    )
    yield Examined(len(names), len(names), "names", unmet=len(found))


@check("schema.name-needs-quoting", catalogue="S64", severity=Severity.NOTE, needs=[Catalog], style=True)
@once_per_family
def name_needs_quoting(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Names have upper-case letters or other characters that need quotes.

    Whoever writes SQL by hand has to quote each of them; unquoted, "userId" becomes userid, which does not exist.

    Fix: Lower-case names; ORMs map them to whatever the code calls them.

    Example: CREATE TABLE orders ("userId" bigint): SELECT userId FROM orders fails with "column "userid" does not
    exist".

    Source: PostgreSQL manual, "Identifiers and Key Words"

    Observed: number, names.
    """
    names = _names(evidence.get(Catalog))
    found = [entry for entry in names if not _SNAKE.fullmatch(entry[2])]
    yield from _per_schema(
        found,
        "The name {listed} needs quotes",
        "{number} names of schema {schema} need quotes, such as {listed}",
        Fix("Map names in the ORM; use lower case."),
    )
    yield Examined(len(names), len(names), "names of tables and columns", unmet=len(found))


@check("schema.inconsistent-naming", catalogue="S45 S68", severity=Severity.NOTE, needs=[Catalog], style=True)
@once_per_family
def inconsistent_naming(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Names follow no one habit, or say nothing.

    snake_case beside camelCase, singular beside plural, columns called data1: everybody looks names up before they write them.

    Fix: Write the habit down, and keep new names to it.

    Example: order_items and user_roles beside "paymentMethods", and a column data1: SELECT * FROM payment_methods
    fails, and nobody knows what data1 holds without reading the code.

    Source: PostgreSQL wiki, "Don't Do This"

    Observed: number, names.
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    names = _names(catalog)
    habits: dict[str, Counter[str]] = {}
    for table in tables:
        if len(words(table.name)) > 1:
            habits.setdefault(table.schema, Counter())["camel" if re.search("[A-Z]", table.name) else "snake"] += 1
    odd = [
        (table.schema, table.subject, table.name)
        for table in tables
        if len(words(table.name)) > 1 and len(habits[table.schema]) > 1
        and ("camel" if re.search("[A-Z]", table.name) else "snake") != habits[table.schema].most_common(1)[0][0]
    ]  # fmt: skip
    generic = [
        entry for entry in names if entry[1].kind == "column" and entry[2].lower() in _GENERIC - {"data", "info"}
    ]
    yield from _per_schema(
        [*odd, *generic],
        "The name {listed} follows another habit, or says nothing",
        "{number} names of schema {schema} follow another habit, or say nothing, such as {listed}",
        Fix("Write the habit down, and keep new names to it."),
        Confidence.INFERRED,
    )
    yield Examined(len(names), len(names), "names of tables and columns", unmet=len(odd) + len(generic))


@check("schema.no-comment", catalogue="S69", severity=Severity.NOTE, needs=[Catalog], style=True)
@once_per_family
def no_comment(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Tables have no comment.

    A sentence in the catalog is there for whoever reads the schema: a colleague, a generated document, and more and more a
    model that writes SQL from it.

    Fix: COMMENT ON TABLE, in the migration that makes it.

    Example: CREATE TABLE ent_map (a bigint, b bigint) without COMMENT ON TABLE: a colleague, or a model that writes
    SQL, can only guess what is mapped to what.

    Source: PostgreSQL manual, "COMMENT"

    Observed: number, names.
    """
    tables = reviewed_tables(evidence.get(Catalog))
    found = [(table.schema, table.subject, table.name) for table in tables if not table.has_comment]
    yield from _per_schema(
        found,
        "Table {listed} has no comment",
        "{number} tables of schema {schema} have no comment",
        Fix("Say in one sentence what a row stands for."),
    )
    yield Examined(len(tables), len(tables), "tables", unmet=len(found))


@check("schema.key-not-first", catalogue="S57", severity=Severity.NOTE, needs=[Catalog], style=True)
@once_per_family
def key_not_first(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The primary key is not the first column.

    Readers of \\d and of SELECT * look for it at the beginning.

    Fix: Put it first when the table is made.

    Example: CREATE TABLE orders (status text, total numeric, id bigint PRIMARY KEY): SELECT * FROM orders shows what
    identifies a row behind everything else.

    Source: PostgreSQL manual, "CREATE TABLE"

    Observed: number, names.
    """
    catalog = evidence.get(Catalog)
    tables = reviewed_tables(catalog)
    found = [
        (table.schema, table.subject, table.name)
        for table in tables
        for entry in catalog.constraints_of(table.oid)
        if entry.kind == "primary_key" and min(catalog.columns_of(table.oid)) not in entry.columns
    ]
    yield from _per_schema(
        found, "Table {listed} doesn't begin with its key",
        "{number} tables of schema {schema} don't begin with their key, such as {listed}",
        Fix("Nothing, for tables that exist: columns cannot be moved."),
    )  # fmt: skip
    yield Examined(len(tables), len(tables), "tables", unmet=len(found))
