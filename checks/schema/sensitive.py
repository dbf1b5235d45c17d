"""Columns that hold secrets or personal data, by their names."""

from __future__ import annotations

from checks.evidence.database.facts import Catalog, Column, Table
from checks.schema.columns import words

_SECRETS = frozenset(
    "password passwd pwd passphrase secret token jwt apikey otp cvv cvc ssn iban passport biometric".split()
)
_PHRASES = (
    ("api", "key"), ("private", "key"), ("secret", "key"), ("access", "key"), ("auth", "key"), ("ssh", "key"), ("pgp", "key"),
    ("recovery", "code"), ("backup", "code"), ("verification", "code"), ("auth", "code"), ("two", "factor"), ("2fa",),
    ("social", "security"), ("tax", "id"), ("national", "id"), ("drivers", "license"), ("driver", "license"),
    ("credit", "card"), ("card", "number"), ("bank", "account"), ("account", "number"), ("routing", "number"),
    ("fingerprint", "template"), ("fingerprint", "scan"), ("fingerprint", "image"), ("fingerprint", "data"),
    ("health", "record"), ("medical", "record"), ("session", "key"), ("date", "of", "birth"), ("birth", "date"), ("birthdate",),
)  # fmt: skip
# Counts, kinds and times of such things are no secrets themselves.
_HARMLESS = frozenset(
    "count counts counter limit limits usage used type kind status expires expiry expiration at id ids length size policy name "
    "enabled required last hint prefix label input output prompt completion total max min budget price cost rate".split()
)


def sensitive_columns(catalog: Catalog, table: Table) -> list[Column]:
    """The columns of a table whose names say that they hold credentials or personal data worth a law."""
    return [column for column in catalog.columns_of(table.oid).values() if is_sensitive(column)]


def is_sensitive(column: Column) -> bool:
    if column.type_category in {"B", "D", "N"} and column.base_type not in {"int8", "numeric"}:
        return "birth" in column.name.lower()
    parts = words(column.name)
    for phrase in _PHRASES:
        if any(parts[start : start + len(phrase)] == phrase for start in range(len(parts))):
            return not _HARMLESS & (set(parts) - set(phrase))
    return bool(_SECRETS & set(parts)) and not _HARMLESS & set(parts)
