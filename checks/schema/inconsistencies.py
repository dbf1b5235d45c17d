"""Do columns that hold the same thing have one type?"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from checks.evidence.database.facts import Catalog, Column, Table
from checks.evidence.evidence import Evidence
from checks.families import once_per_family
from checks.model import Confidence, Examined, Finding, Fix, Severity
from checks.registry import check
from checks.schema.code_relations import relations_of
from checks.schema.columns import TEXTS, reviewed_columns, words
from checks.schema.remarks import without_key_on_purpose

_SHOWN = 5
_OTHERS = frozenset(
    "external ext request trace span session correlation stripe google github slack provider client message run job entity "
    "object resource target subject source owner item record parent reference ref actor".split()
)
_FLAGS = frozenset("active enabled disabled deleted archived visible hidden verified approved published".split())
_KEY_ADVICE = (
    "Give it the type of the key it refers to ({}); if it holds another system's identifiers, a name of its own."
)
_FLAG_ADVICE = "Make it {} too, with USING column <> 0; if it has more than two values, give it a name that says so."


@check("schema.inconsistent-column-type", catalogue="S46", severity=Severity.LOW, needs=[Catalog])
@once_per_family
def inconsistent_column_type(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Columns that hold the same thing have different types.

    user_id is a uuid in one table and text in another: joins need casts that keep indexes from being used, and one of them
    takes values that the other cannot hold. Told of columns named after a key, of those that a model of the code relates to a
    key, and of flags that are boolean here and a number there. Columns with a foreign key are left to the check of foreign keys.

    Fix: Give them the type of the key they refer to.

    Example: orders.user_id uuid REFERENCES users, and events.user_id text: JOIN ... ON events.user_id = orders.user_id
    fails with "operator does not exist: text = uuid" until one side is cast.

    Source: PostgreSQL manual, "Type Conversion"

    Observed: types, columns.
    """
    catalog = evidence.get(Catalog)
    reviewed = list(reviewed_columns(catalog))
    referring = {
        (key.table, number) for key in catalog.constraints if key.kind == "foreign_key" for number in key.columns
    }
    named = [
        (table, column)
        for table, column in reviewed
        if len(parts := words(column.name)) > 1 and parts[-1] in {"id", "uuid"} and not _OTHERS & set(parts)
    ]
    flags = [(table, column) for table, column in reviewed if is_flag(column)]
    odd = _related(evidence, referring) + _named_alike(catalog, named, referring) + _not_boolean(flags)
    told: set[tuple[int, int]] = set()
    on_purpose = without_key_on_purpose(evidence)
    for entry in odd:
        left = [column for column in entry.columns if (column.table, column.number) not in told | on_purpose]
        told |= {(column.table, column.number) for column in left}
        if left:
            yield _inconsistent(catalog, msgspec.structs.replace(entry, columns=tuple(left)))
    examined = len({(column.table, column.number) for _, column in (*named, *flags)} | told)
    yield Examined(examined, examined, "columns named after a key or a flag")


class _Odd(msgspec.Struct, frozen=True):
    """`columns` have other types than `right`, which is `what`. `kinds` counts columns by type."""

    columns: tuple[Column, ...]
    right: Column
    what: str
    kinds: dict[str, int]
    advice: str


def _related(evidence: Evidence, referring: set[tuple[int, int]]) -> list[_Odd]:
    """Columns that a model of the code relates to a key of another type, and no foreign key does."""
    catalog = evidence.get(Catalog)
    found: dict[tuple[int, int], _Odd] = {}
    for relation in relations_of(evidence):
        column, key = relation.column, relation.key
        if _kind(column) == _kind(key) or (column.table, column.number) in referring:
            continue
        name = catalog.column_subject(key).name
        kinds = {_kind(column): 1, _kind(key): 1}
        what = f"{name}, which the code relates it to, is {key.type}"
        found[column.table, column.number] = _Odd((column,), key, what, kinds, _KEY_ADVICE)
    return list(found.values())


def _named_alike(catalog: Catalog, columns: list[tuple[Table, Column]], referring: set[tuple[int, int]]) -> list[_Odd]:
    """Columns with the name of one that refers to a key, and another type."""
    by_name: dict[tuple[str, ...], list[tuple[Table, Column]]] = {}
    for table, column in columns:
        by_name.setdefault((table.schema, *words(column.name)), []).append((table, column))
    result = []
    for (_schema, *name), found in sorted(by_name.items()):
        declared = [column for _, column in found if (column.table, column.number) in referring]
        kinds: dict[str, list[Column]] = {}
        for table, column in found:
            # models.model_id beside other tables' model_id is a name that a model has elsewhere.
            own = table.name.lower() in {"_".join(name[:-1]), "_".join(name[:-1]) + "s"}
            if not own and not _discriminated(catalog, table, column):
                kinds.setdefault(_kind(column), []).append(column)
        # Without a declared reference among them nobody knows that they identify the same thing.
        if len(kinds) < 2 or not declared:
            continue
        odd = [column for kind, same in kinds.items() if kind != _kind(declared[0]) for column in same
               if (column.table, column.number) not in referring]  # fmt: skip
        if odd:
            counts = {kind: len(same) for kind, same in sorted(kinds.items())}
            what = f"{'_'.join(name)} is {declared[0].type} elsewhere"
            result.append(_Odd(tuple(odd), declared[0], what, counts, _KEY_ADVICE))
    return result


def _not_boolean(columns: list[tuple[Table, Column]]) -> list[_Odd]:
    """Flags that are numbers, while a flag of the same name in the schema is boolean."""
    by_name: dict[tuple[str, str], list[Column]] = {}
    for table, column in columns:
        by_name.setdefault((table.schema, column.name), []).append(column)
    result = []
    for (_, name), found in sorted(by_name.items()):
        right = [column for column in found if column.base_type == "bool"]
        odd = [column for column in found if column.base_type != "bool"]
        if right and odd:
            counts = {"bool": len(right), "number": len(odd)}
            result.append(_Odd(tuple(odd), right[0], f"{name} is boolean elsewhere", counts, _FLAG_ADVICE))
    return result


def _inconsistent(catalog: Catalog, entry: _Odd) -> Finding:
    subject = catalog.column_subject(entry.columns[0])
    return Finding(
        subject,
        f"Column {subject.name} is {entry.columns[0].type}, while {entry.what}",
        Fix(entry.advice.format(entry.right.type)),
        confidence=Confidence.INFERRED,
        observed={
            "types": entry.kinds,
            "columns": [catalog.column_subject(column).name for column in entry.columns[:_SHOWN]],
        },
        related=(
            *(catalog.column_subject(column) for column in entry.columns[1:_SHOWN]),
            catalog.column_subject(entry.right),
        ),
    )


def _kind(column: Column) -> str:
    return "text" if column.base_type in TEXTS else column.base_type


def is_flag(column: Column) -> bool:
    """Whether the name of a boolean or small integer says that it is a flag."""
    parts = words(column.name)
    named = (len(parts) > 1 and parts[0] in {"is", "has"}) or (len(parts) == 1 and parts[0] in _FLAGS)
    return named and column.base_type in {"bool", "int2", "int4"}


def _discriminated(catalog: Catalog, table: Table, column: Column) -> bool:
    stem = words(column.name)[:-1]
    names = {words(other.name) for other in catalog.columns_of(table.oid).values()}
    return any((*stem, word) in names for word in ("type", "kind", "class", "model", "table", "source"))
