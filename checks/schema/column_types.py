"""Do columns have a type that says what they hold?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Confidence, Examined, Finding, Fix, Severity, qualified_name, quote_identifier
from checks.registry import check
from checks.relations import estimated_rows
from checks.schema.columns import TEXTS, change_type, reviewed_columns, told, words
from checks.schema.habits import CROWD, once_per_habit

MONEY = frozenset(
    "price prices amount amounts cost costs balance fee fees subtotal revenue salary tax taxes discount budget payment "
    "payout refund wage wages vat credit debit".split()
)
# Amounts of something else, and money for which rounding is meant.
_NO_MONEY = frozenset(
    "per rate ratio percent percentage pct factor share weight score multiplier estimate estimated predicted count tokens token "
    "elasticity sensitivity ms seconds size confidence index".split()
)
_UUID_FUNCTIONS = frozenset(
    "gen_random_uuid uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 uuidv4 uuidv7 uuid_generate_v7".split()
)
_REG_TYPES = frozenset(
    "regproc regprocedure regoper regoperator regconfig regdictionary regcollation regnamespace".split()
)
_FIXED = frozenset(
    "country currency iso lang language locale hash sha md5 sha1 sha256 checksum digest crc hex fingerprint".split()
)
_UUID_LENGTHS = frozenset({36, 38})


@check("schema.char-type", catalogue="S37", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def char_type(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A column is char(n), which pads what it holds with blanks.

    Values come back longer than they were stored, blanks at the end count in some comparisons and not in others, LIKE and
    regular expressions see them, and nothing is saved: char(n) is stored like text, only longer.

    Fix: Use text, with a CHECK where the length matters.

    Example: name char(20): 'Johnson' comes back with 13 blanks behind it, and WHERE name LIKE '%son' does not find it.

    Source: PostgreSQL manual, "Character Types"

    Observed: type, rows, columns, tables, largest.
    """
    columns = reviewed_columns(evidence.get(Catalog))
    found = [
        (table, column)
        for table, column in columns
        # Codes and digests that always fill their length are not padded.
        if column.base_type == "bpchar" and column.type_modifier > 5 and not _FIXED & set(words(column.name))
    ]
    yield from told(
        evidence,
        found,
        lambda name, column: f"Column {name} is {column.type}: its values are padded with blanks",
        lambda schema, number: f"Schema {schema} pads text with blanks in {number} columns of type char(n)",
        lambda table, column: change_type(
            table, column, "text", "Use text; trailing blanks go away with the cast. The table is rewritten."
        ),
        Severity.LOW,
    )
    yield Examined(len(columns), len(columns), "columns", unmet=len(found))


@check("schema.money-type", catalogue="S38", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def money_type(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A column is of type money.

    It has no currency: what a stored value means, and how many decimals it has, depends on lc_monetary of the session that
    reads it. A dump restored under another locale changes amounts, and division rounds to whole cents.

    Fix: Use numeric with the scale that is meant, and a column for the currency.

    Example: price money, written as $12.34 under lc_monetary en_US and read under ja_JP: the column holds 1234 of the
    smallest unit, and reads as 1,234 yen.

    Source: PostgreSQL manual, "Monetary Types"

    Observed: type, rows, columns, tables, largest.
    """
    columns = reviewed_columns(evidence.get(Catalog))
    found = [(table, column) for table, column in columns if column.base_type == "money"]
    yield from told(
        evidence,
        found,
        lambda name, _: f"Column {name} is of type money: its meaning depends on the session's locale",
        lambda schema, number: f"Schema {schema} keeps amounts in {number} columns of type money",
        lambda table, column: change_type(
            table, column, "numeric(19, 4)", "Use numeric. The cast reads values in the session's lc_monetary.",
            using=f"{quote_identifier(column.name)}::numeric(19, 4)",
        ),
        Severity.MEDIUM,
    )  # fmt: skip
    yield Examined(len(columns), len(columns), "columns", unmet=len(found))


@check("schema.float-for-money", catalogue="S39", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def float_for_money(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A column that its name says holds money is a floating-point number.

    0.1 + 0.2 is not 0.3 there: sums drift by fractions of a cent that no two reports agree on, and a comparison with = is a
    matter of luck. The column is recognised by its name.

    Fix: Use numeric, or whole cents in a bigint.

    Example: amount double precision, with one row of 0.1 and one of 0.2: SELECT sum(amount) = 0.3 FROM payments is
    false.

    Source: PostgreSQL manual, "Numeric Types", section "Floating-Point Types"

    Observed: type, rows, columns, tables, largest.
    """
    columns = reviewed_columns(evidence.get(Catalog))
    floats = [(table, column) for table, column in columns if column.base_type in {"float4", "float8"}]
    found = [(table, column) for table, column in floats if names_money(column)]
    yield from told(
        evidence,
        found,
        lambda name, column: f"Column {name} holds money in {column.type}",
        lambda schema, number: f"Schema {schema} holds money in {number} floating-point columns",
        lambda table, column: change_type(table, column, "numeric", "Use numeric. The table is rewritten."),
        Severity.MEDIUM,
        confidence=Confidence.INFERRED,
    )
    yield Examined(len(columns), len(columns), "columns", unmet=len(found))


def names_money(column: Column) -> bool:
    parts = set(words(column.name))
    return bool(parts & MONEY) and not parts & _NO_MONEY


@check("schema.uuid-as-text", catalogue="S41", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def uuid_as_text(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A column holds uuids as text.

    A uuid takes 16 bytes, its text 37, in the table and again in every index and every referencing column; comparing texts
    asks the collation; `A0EE...` and `a0ee...` are two keys; and joins with a column of type uuid need a cast. The column is
    recognised by its default or by a length of 36.

    Fix: Use uuid. Where an ORM made it so, its column type says it (Prisma: @db.Uuid).

    Example: id varchar(36) DEFAULT gen_random_uuid()::text: each key takes 37 bytes instead of 16 in every index, and a
    lookup with the same uuid in capitals finds nothing.

    Source: PostgreSQL manual, "UUID Type"

    Observed: type, rows, columns, tables, largest.
    """
    catalog = evidence.get(Catalog)
    columns = reviewed_columns(catalog)
    # A column that refers to another is as that one is.
    referring = {
        (key.table, number) for key in catalog.constraints if key.kind == "foreign_key" for number in key.columns
    }
    found = [
        (table, column)
        for table, column in columns
        if column.base_type in TEXTS
        and (table.oid, column.number) not in referring
        and (
            (column.default_function in _UUID_FUNCTIONS and _identifies(catalog, column))
            or (length_of(column) in _UUID_LENGTHS and {"id", "uuid", "guid"} & set(words(column.name)))
        )
    ]
    yield from told(
        evidence,
        found,
        lambda name, column: f"Column {name} holds uuids as {column.type}",
        lambda schema, number: f"Schema {schema} holds uuids as text in {number} columns, and in all that refer to them",
        lambda table, column: change_type(
            table, column, "uuid", "Use uuid, here and in the columns that refer to it, in one transaction with the foreign keys "
            "taken off and put back.", using=f"{quote_identifier(column.name)}::uuid",
        ),
        Severity.LOW,
        confidence=Confidence.INFERRED,
    )  # fmt: skip
    yield Examined(len(columns), len(columns), "columns", unmet=len(found))


def _identifies(catalog: Catalog, column: Column) -> bool:
    """Whether a column is an identifier, by its name or as the primary key."""
    named = bool({"id", "uuid", "guid", "key"} & set(words(column.name)))
    keys = (entry.columns for entry in catalog.constraints_of(column.table) if entry.kind == "primary_key")
    return named or (column.number,) in keys


def length_of(column: Column) -> int | None:
    """The n of varchar(n) and char(n)."""
    return column.type_modifier - 4 if column.base_type in {"varchar", "bpchar"} and column.type_modifier > 4 else None


@check("schema.random-uuid-key", catalogue="S42", severity=Severity.LOW, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"The keys of {number} large tables of schema {schema} are random uuids", CROWD)
def random_uuid_key(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A large table's key is a random uuid.

    Each insert goes to another page of the index: nearly every page is dirtied again after each checkpoint and written to the
    WAL as a whole, and once the index outgrows memory each insert is a read. A uuid that begins with the time (version 7), or
    an identity column, goes to the end. Small tables don't mind, and are left out.

    Fix: Let new rows have uuidv7() (built in from PostgreSQL 18, else of an extension or made by the application); old keys
    stay as they are.

    Example: id uuid PRIMARY KEY DEFAULT gen_random_uuid() on a table of 200 million rows: one INSERT of 1,000 rows
    changes about 1,000 pages of the index, each of which goes to the WAL as a whole after a checkpoint.

    Source: RFC 9562, section 5.7; PostgreSQL manual, "UUID Functions"

    Observed: type, default_function, rows, index_bytes.
    """
    catalog = evidence.get(Catalog)
    keys = [
        (table, column)
        for table, column in reviewed_columns(catalog)
        if column.default_function in {"gen_random_uuid", "uuid_generate_v4", "uuidv4"}
        and any(index.unique and index.columns[:1] == (column.number,) for index in catalog.indexes_of(table.oid))
    ]
    for table, column in keys:
        rows = estimated_rows(evidence, table)
        if rows is None or rows < evidence.limit("random_key_rows"):
            continue
        subject = catalog.column_subject(column)
        name = f"ALTER TABLE {qualified_name(table.schema, table.name)} ALTER COLUMN {quote_identifier(column.name)}"
        yield Finding(
            subject,
            f"Key {subject.name} is a random uuid in a table of about {rows:,.0f} rows",
            Fix(
                "Give new rows uuids that begin with the time: uuidv7() from PostgreSQL 18, before that from an extension or the "
                "application. They tell when a row was made, to whoever sees them.",
                f"{name} SET DEFAULT uuidv7();",
                lock="ACCESS EXCLUSIVE, briefly",
                undo=f"{name} SET DEFAULT {column.default_function}();",
            ),
            observed={
                "type": column.type,
                "default_function": column.default_function,
                "rows": round(rows),
                "index_bytes": table.index_bytes,
            },
            related=(table.subject,),
        )
    yield Examined(len(keys), len(keys), "keys with a random default")


@check("schema.large-objects-in-tables", catalogue="S47", severity=Severity.LOW, needs=[Catalog])
@once_per_family
@once_per_habit(lambda schema, number: f"{number} columns of schema {schema} keep files in the database", CROWD)
def large_objects_in_tables(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Files are kept in the database.

    A document or an image in a bytea column is written twice (table and WAL), copied to every standby and into every backup,
    takes buffers from the data that is searched, and is read through the same few connections. References to large objects
    (oid, lo) leave the object behind when their row is deleted.

    Fix: Keep files in an object store and their key, size and checksum here. Small, bounded blobs (thumbnails, signatures) may
    stay.

    Example: CREATE TABLE attachments (id bigint, content bytea) with 400 GB of PDF files: pg_dump, each base backup and
    each new standby copy all of them, for rows that never change.

    Source: PostgreSQL manual, "Binary Data Types"; "Large Objects"; "TOAST"

    Observed: type, rows, toast_bytes, average_width.
    """
    catalog = evidence.get(Catalog)
    columns = reviewed_columns(catalog)
    limit = evidence.limit("file_column_bytes")
    unmet = 0
    for table, column in columns:
        is_file = column.base_type == "bytea" and bool(set(words(column.name)) & _FILES) and not _is_digest(column)
        heavy = column.base_type == "bytea" and (table.toast_bytes or 0) >= limit
        if not (is_file or heavy or column.base_type == "lo" or (column.base_type == "oid" and _names_file(column))):
            continue
        unmet += 1
        rows, subject = estimated_rows(evidence, table), catalog.column_subject(column)
        yield Finding(
            subject,
            f"Column {subject.name} ({column.type}) keeps files in the database",
            Fix("Keep the files in an object store, and their key, size and checksum here."),
            severity=Severity.MEDIUM if heavy else Severity.LOW,
            confidence=Confidence.MEASURED if heavy else Confidence.INFERRED,
            observed={
                "type": column.type,
                "rows": None if rows is None else round(rows),
                "toast_bytes": table.toast_bytes,
            },
            related=(table.subject,),
        )
    yield Examined(len(columns), len(columns), "columns", unmet=unmet)


_DIGESTS = (
    "sha",
    "md5",
    "hash",
    "digest",
    "checksum",
    "signature",
    "key",
    "nonce",
    "salt",
    "iv",
    "fingerprint",
    "etag",
    "token",
)
_FILES = frozenset(
    "file files content contents document attachment attachments image images photo picture pdf audio video media body "
    "upload blob".split()
)


def _is_digest(column: Column) -> bool:
    return any(word.startswith(_DIGESTS) for word in words(column.name))


def _names_file(column: Column) -> bool:
    return bool(set(words(column.name)) & (_FILES | {"lob", "data"}))


@check("schema.reg-type-column", catalogue="S48", severity=Severity.MEDIUM, needs=[Catalog])
@once_per_family
def reg_type_column(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A column refers to system objects by a reg type that pg_upgrade refuses.

    The oids behind regproc, regoper, regconfig, regdictionary, regnamespace and regcollation are not kept by pg_upgrade: it
    stops when a table holds one, in the middle of a major upgrade. regclass, regrole and regtype are kept.

    Fix: Store the name as text, and cast where it is used.

    Example: CREATE TABLE jobs (id bigint, handler regproc): pg_upgrade --check stops with "Your installation contains
    one of the reg* data types in user tables".

    Source: PostgreSQL manual, "pg_upgrade", Notes

    Observed: type, rows, columns, tables, largest.
    """
    columns = reviewed_columns(evidence.get(Catalog))
    found = [(table, column) for table, column in columns if column.base_type in _REG_TYPES]
    yield from told(
        evidence,
        found,
        lambda name, column: f"Column {name} is {column.type}: pg_upgrade refuses this database",
        lambda schema, number: f"Schema {schema} has {number} columns of types that pg_upgrade refuses",
        lambda table, column: change_type(
            table, column, "text", "Store the name as text.", using=f"{quote_identifier(column.name)}::text"
        ),
        Severity.MEDIUM,
    )
    yield Examined(len(columns), len(columns), "columns", unmet=len(found))
