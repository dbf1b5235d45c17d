"""Do the columns hold what the models of the code say of them?"""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Column
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import ModelColumn, Repository
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
from checks.schema.code_models import Migrated, Modelled, all_modelled_columns, modelled_tables

SHOWN = 10
# Above this many tables the habit is told once.
MAXIMUM_SINGLE = 5
_PLAIN = frozenset({"text", "varchar", "bpchar", "int2", "int4", "int8"})
_HEADER = 4


@check("schema.nullability-differs-from-code", catalogue="S17", severity=Severity.MEDIUM, needs=[Catalog, Repository])
@once_per_family
def nullability_differs_from_code(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A column may be null where the code takes it never to be, or the reverse.

    Code that takes a value for granted fails on the first row that another path, a script or an older release wrote without
    it. The reverse fails at once: the code leaves out what the database demands. What is the migrations' doing, and not the
    code's, is drift and told there.

    Fix: Make the column NOT NULL after a validated CHECK, or let the code allow for null.

    Example: users.name is nullable and the model says name: Mapped[str]: user.name.upper() raises AttributeError for
    the first row that an import wrote without a name.

    Source: PostgreSQL manual, "Constraints", section "Not-Null Constraints"

    Observed: nullable_in_database, required_by_database
    """
    catalog = evidence.get(Catalog)
    migrated = Migrated(evidence)
    examined = 0
    for entry in modelled_tables(evidence):
        optional: list[Column] = []
        demanded: list[Column] = []
        places: list[Location] = []
        keys = {
            number
            for rule in catalog.constraints_of(entry.table.oid)
            if rule.kind == "primary_key"
            for number in rule.columns
        }
        for column, models in all_modelled_columns(catalog, entry):
            # Prisma reads a list that is null as an empty one.
            if column.type.endswith("[]"):
                continue
            said = {model.nullable for model in models if not model.primary_key}
            if column.number in keys or len(said) != 1 or None in said or column.generated:
                continue
            examined += 1
            (nullable,) = said
            made = column.default != "none" or column.identity
            if nullable is not column.not_null or (nullable and made) or migrated.column_drifted(entry.table, column):
                continue
            if nullable and _is_checked(catalog, column):
                continue
            (demanded if nullable else optional).append(column)
            places += [model.location for model in models]
        if optional or demanded:
            yield _of_nulls(entry, optional, demanded, places)
    yield Examined(examined, examined, "columns")


def _is_checked(catalog: Catalog, column: Column) -> bool:
    """Whether a constraint of its own says that it is never null: then the code knows, whatever its model says."""
    return any(
        rule.kind == "check" and rule.columns == (column.number,) and "not_null" in rule.name.lower()
        for rule in catalog.constraints_of(column.table)
    )


def required_by_code(evidence: Evidence) -> set[tuple[int, int]]:
    """Columns by table and number that may be null, and that all models of the code take never to be."""
    catalog = evidence.get(Catalog)
    try:
        modelled = modelled_tables(evidence)
    except (NotApplicable, Unknown):
        return set()
    return {
        (column.table, column.number)
        for entry in modelled
        for column, models in all_modelled_columns(catalog, entry)
        if not column.not_null and {model.nullable for model in models} == {False}
    }


def _of_nulls(entry: Modelled, optional: list[Column], demanded: list[Column], places: list[Location]) -> Finding:
    table = entry.table
    words = []
    if optional:
        words.append(f"{_some(optional)} may be null, which the code does not expect")
    if demanded:
        words.append(f"{_some(demanded)} must not be null, which the code allows")
    path = qualified_name(table.schema, table.name)
    written = []
    for column in optional[:SHOWN]:
        name, rule = quote_identifier(column.name), quote_identifier(f"{column.name}_not_null"[:63])
        written += [
            f"ALTER TABLE {path} ADD CONSTRAINT {rule} CHECK ({name} IS NOT NULL) NOT VALID;",
            f"ALTER TABLE {path} VALIDATE CONSTRAINT {rule};",
            f"ALTER TABLE {path} ALTER COLUMN {name} SET NOT NULL;",
            f"ALTER TABLE {path} DROP CONSTRAINT {rule};",
        ]
    return Finding(
        table.subject,
        f"In {table.subject.name} {'; '.join(words)}",
        Fix(
            "Decide which is right. If the code is: fill what is null, then make the column NOT NULL, each statement in a "
            "transaction of its own. If the database is: let the model say so." ,
            "\n".join(written) or None,
            lock="ACCESS EXCLUSIVE, for moments; SHARE UPDATE EXCLUSIVE while it validates" if written else None,
            undo="ALTER TABLE ... ALTER COLUMN ... DROP NOT NULL;" if written else None,
        ),
        severity=Severity.MEDIUM if demanded else Severity.LOW,
        confidence=Confidence.INFERRED,
        observed={
            "nullable_in_database": [column.name for column in optional],
            "required_by_database": [column.name for column in demanded],
        },
        locations=tuple(dict.fromkeys(places))[:SHOWN],
    )  # fmt: skip


def _some(columns: list[Column]) -> str:
    names = [column.name for column in columns]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@check("schema.allowed-values-only-in-code", catalogue="S21", severity=Severity.LOW, needs=[Catalog, Repository])
@once_per_family
def allowed_values_only_in_code(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The code allows certain values in a column, and the database any.

    An enum of the ORM, or choices of a model, hold for what goes through them. A script, another service, an older release or a
    correction by hand writes a misspelt status that no branch of the code handles. A CHECK, an enumerated type or a table to
    refer to keeps them out.

    Fix: CHECK (column IN (...)) NOT VALID, then VALIDATE.

    Example: The model has an enum OrderStatus of open, paid and sent, and orders.status is plain text: UPDATE orders
    SET status = 'payed' succeeds, and no branch of the code handles the order.

    Source: PostgreSQL manual, "Constraints", section "Check Constraints"; "Enumerated Types"

    An enumerated type whose labels are not the code's fails as soon as one side meets what only the other knows.

    Observed: columns, values, only_in_code, only_in_database
    """
    catalog = evidence.get(Catalog)
    examined = 0
    found: list[tuple[Modelled, list[tuple[Column, ModelColumn]]]] = []
    labelled: dict[tuple[str, tuple[str, ...]], list[tuple[Column, ModelColumn]]] = {}
    for entry in modelled_tables(evidence):
        ruled = {
            number
            for rule in catalog.constraints_of(entry.table.oid)
            if rule.kind in ("check", "foreign_key")
            for number in rule.columns
        }
        free = []
        for column, models in all_modelled_columns(catalog, entry):
            model = next((each for each in models if each.values), None)
            if model is None:
                continue
            examined += 1
            if column.labels:
                known = dict.fromkeys(value for each in models for value in each.values)
                labelled.setdefault((column.type, tuple(sorted(known))), []).extend(
                    (column, each) for each in models if each.values
                )
            # Of a domain, the type tells nothing of its checks.
            plain = column.base_type in _PLAIN and column.type.split("(")[0] in _SPELT
            if plain and column.number not in ruled:
                free.append((column, model))
        if free:
            found.append((entry, free))
    for same in labelled.values():
        yield from _of_labels(catalog, same)
    if len(found) <= MAXIMUM_SINGLE:
        for entry, free in found:
            yield _of_values(entry, free)
    else:
        yield _habit(found)
    yield Examined(examined, examined, "columns", unmet=sum(len(free) for _, free in found))


def _of_labels(catalog: Catalog, same: list[tuple[Column, ModelColumn]]) -> Iterator[Finding]:
    """An enumerated type and the values that models have for its columns, where they are the same list but for some. The type
    is told once, at the first of the columns for which the code has those values."""
    columns, models = list(dict.fromkeys(column for column, _ in same)), [model for _, model in same]
    column = columns[0]
    labels = {label.lower(): label for label in column.labels}
    known = {value.lower(): value for model in models for value in model.values}
    missing = [value for key, value in known.items() if key not in labels]
    unknown = [label for key, label in labels.items() if key not in known]
    # A list that has little in common with the labels is of names that the ORM translates.
    if not (missing or unknown) or 2 * len(labels.keys() & known.keys()) < len(labels):
        return
    subject = catalog.column_subject(column)
    words = [f"the code knows {_listed(missing)}, which the type refuses"] if missing else []
    words += [f"the type allows {_listed(unknown)}, which the code does not know"] if unknown else []
    yield Finding(
        subject,
        f"{subject.name} is of the enumerated type {column.type}{_further(len(columns) - 1)}: {'; '.join(words)}",
        Fix(
            "Add what is missing to the type, in a migration that runs before the code does; let the code know the rest, or give "
            "those rows another value.",
            "\n".join(
                f"ALTER TYPE {column.type} ADD VALUE '{value.replace(chr(39), chr(39) * 2)}';"
                for value in missing[:SHOWN]
            )
            or None,
            undo="A value cannot be taken away; it does no harm unused." if missing else None,
        ),
        severity=Severity.MEDIUM if missing else Severity.LOW,
        confidence=Confidence.INFERRED,
        observed={
            "columns": [catalog.column_subject(each).name for each in columns][:SHOWN],
            "only_in_code": missing[:SHOWN],
            "only_in_database": unknown[:SHOWN],
        },
        locations=tuple(dict.fromkeys(model.location for model in models)),
    )


def _further(number: int) -> str:
    return f", as {number} more {'columns are' if number > 1 else 'column is'}" if number else ""


def _listed(values: list[str]) -> str:
    more = f" and {len(values) - 3} more" if len(values) > 3 else ""
    return ", ".join(repr(value) for value in values[:3]) + more


_SPELT = frozenset(["text", "character varying", "character", "smallint", "integer", "bigint"])


def _of_values(entry: Modelled, free: list[tuple[Column, ModelColumn]]) -> Finding:
    table = entry.table
    path = qualified_name(table.schema, table.name)
    written, undo = [], []
    for column, model in free[:SHOWN]:
        rule = quote_identifier(f"{table.name}_{column.name}_check"[:63])
        text = column.base_type not in ("int2", "int4", "int8")
        values = ", ".join("'" + value.replace("'", "''") + "'" if text else value for value in model.values[:50])
        if text or all(value.lstrip("-").isdigit() for value in model.values):
            written += [
                f"ALTER TABLE {path} ADD CONSTRAINT {rule} CHECK ({quote_identifier(column.name)} IN ({values})) NOT VALID;",
                f"ALTER TABLE {path} VALIDATE CONSTRAINT {rule};",
            ]
            undo.append(f"ALTER TABLE {path} DROP CONSTRAINT {rule};")
    columns = [column for column, _ in free]
    return Finding(
        table.subject,
        f"{_some(columns)} of {table.subject.name} may hold anything, where the code knows a few values only",
        Fix(
            "Let the database know the values; when a new one comes, its migration comes before the code.",
            "\n".join(written) or None,
            lock="ACCESS EXCLUSIVE, for a moment; SHARE UPDATE EXCLUSIVE while it validates",
            undo="\n".join(undo) or None,
        ),
        confidence=Confidence.INFERRED,
        observed={
            "columns": [column.name for column in columns],
            "values": {c.name: list(m.values[:20]) for c, m in free},
        },
        locations=tuple(model.location for _, model in free)[:SHOWN],
    )


def _habit(found: list[tuple[Modelled, list[tuple[Column, ModelColumn]]]]) -> Finding:
    named = [
        f"{entry.table.subject.name}.{quote_identifier(column.name)}" for entry, free in found for column, _ in free
    ]
    schema = found[0][0].table.schema
    return Finding(
        Subject("schema", (schema,)),
        f"{len(named)} columns of {len(found)} tables may hold anything, where the code knows a few values only: "
        f"{', '.join(named[:3])}",
        Fix(
            "Begin with the columns by which the code branches, such as a status: CHECK (column IN (...)) NOT VALID, then "
            "VALIDATE CONSTRAINT; and have the generator of migrations write it for new ones.",
            lock="ACCESS EXCLUSIVE, for a moment; SHARE UPDATE EXCLUSIVE while it validates",
            undo="ALTER TABLE ... DROP CONSTRAINT ...;",
        ),
        confidence=Confidence.INFERRED,
        observed={"columns": named[:50]},
        locations=tuple(model.location for _, free in found for _, model in free)[:SHOWN],
    )


@check("schema.length-differs-from-code", catalogue="S22", severity=Severity.LOW, needs=[Catalog, Repository])
@once_per_family
def length_differs_from_code(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The code allows longer values than the column takes.

    What the model lets through, the insert refuses: value too long for type character varying. It comes up with the first long
    name, in production. A column that takes more than the code is no harm and left out.

    Fix: Widen the column, which is no rewrite, or let the model say its length.

    Example: The model says CharField(max_length=200) and the column is varchar(100): a title of 150 characters passes
    validation, and INSERT fails with "value too long for type character varying(100)".

    Source: PostgreSQL manual, "Character Types"; "ALTER TABLE", Notes

    Observed: columns
    """
    catalog = evidence.get(Catalog)
    migrated = Migrated(evidence)
    examined = 0
    for entry in modelled_tables(evidence):
        short = []
        for column, models in all_modelled_columns(catalog, entry):
            lengths = [model.length for model in models if model.length]
            if not lengths or column.base_type not in ("varchar", "bpchar") or column.type.endswith("[]"):
                continue
            examined += 1
            limit = column.type_modifier - _HEADER
            if 0 < limit < min(lengths) and not migrated.column_drifted(entry.table, column):
                short.append((column, limit, min(lengths), models[0].location))
        if short:
            path = qualified_name(entry.table.schema, entry.table.name)
            yield Finding(
                entry.table.subject,
                f"{_some([each[0] for each in short])} of {entry.table.subject.name}: the code allows {short[0][2]} "
                f"characters, the column takes {short[0][1]}",
                Fix(
                    "Widen the column: the server only changes the catalog.",
                    "\n".join(
                        f"ALTER TABLE {path} ALTER COLUMN {quote_identifier(column.name)} TYPE varchar({length});"
                        for column, _, length, _ in short[:SHOWN]
                    ),
                    lock="ACCESS EXCLUSIVE, for a moment",
                    undo="\n".join(
                        f"ALTER TABLE {path} ALTER COLUMN {quote_identifier(column.name)} TYPE varchar({limit});"
                        for column, limit, _, _ in short[:SHOWN]
                    ),
                ),
                confidence=Confidence.INFERRED,
                observed={"columns": {column.name: [limit, length] for column, limit, length, _ in short}},
                locations=tuple(place for *_, place in short)[:SHOWN],
            )
    yield Examined(examined, examined, "columns")
