"""Columns of Django's fields as DDL."""

from __future__ import annotations

from tree_sitter import Node

from checks.evidence.repository.orm.django_fields import Field, is_field, read_field
from checks.evidence.repository.orm.python_syntax import arguments_of, call_name, string_of
from checks.evidence.repository.orm.query import quoted
from checks.evidence.repository.orm.syntax import text
from checks.evidence.repository.type_names import UNKNOWN
from checks.model import Location

_TYPES = {
    "AutoField": "integer", "BigAutoField": "bigint", "SmallAutoField": "smallint", "BooleanField": "boolean",
    "NullBooleanField": "boolean", "TextField": "text", "IntegerField": "integer", "PositiveIntegerField": "integer",
    "BigIntegerField": "bigint", "PositiveBigIntegerField": "bigint", "SmallIntegerField": "smallint",
    "PositiveSmallIntegerField": "smallint", "DateTimeField": "timestamptz", "DateField": "date", "TimeField": "time",
    "DurationField": "interval", "FloatField": "double precision", "UUIDField": "uuid", "JSONField": "jsonb",
    "BinaryField": "bytea", "GenericIPAddressField": "inet", "CITextField": "citext", "CICharField": "citext",
    "CIEmailField": "citext", "SearchVectorField": "tsvector", "HStoreField": "hstore", "DateTimeRangeField": "tstzrange",
    "DateRangeField": "daterange", "IntegerRangeField": "int4range", "BigIntegerRangeField": "int8range",
    "DecimalRangeField": "numrange", "IPAddressField": "inet",
}  # fmt: skip
_TEXTS = frozenset("CharField EmailField SlugField URLField FileField ImageField FilePathField".split())
_VECTORS = {"VectorField": "vector", "HalfVectorField": "halfvec", "SparseVectorField": "sparsevec", "BitField": "bit"}
KEYS = frozenset(["AutoField", "BigAutoField", "SmallAutoField"])
_UNKNOWN = quoted(UNKNOWN)


class StateField:
    """A field as the migrations have it so far, with the call that declares it."""

    def __init__(self, name: str, call: Node, location: Location) -> None:
        self.call = call
        self.location = location
        self.called = call_name(call)
        self.field: Field = read_field(name, self.called, call, location)
        _, self.keywords = arguments_of(call)
        plain = is_field(self.called) or self.called in ("ForeignKey", "OneToOneField", "ManyToManyField")
        # A call that does not end like a field's is one of a library: a column, of whatever type.
        self.known = plain

    def renamed(self, name: str) -> StateField:
        return StateField(name, self.call, self.location)

    @property
    def is_relation(self) -> bool:
        return self.called in ("ForeignKey", "OneToOneField")

    @property
    def has_column(self) -> bool:
        return self.called not in ("ManyToManyField", "GenericForeignKey", "GenericRelation")

    @property
    def constrained(self) -> bool:
        """Whether the database has its foreign key."""
        return self.is_relation and text(self.keywords.get("db_constraint")) != "False"

    @property
    def positive(self) -> bool:
        return self.called.startswith("Positive")

    @property
    def has_default(self) -> bool:
        return "db_default" in self.keywords or self.called in KEYS or self.called == "GeneratedField"

    def type(self) -> str:
        """Of anything but a relation."""
        return type_of(self.called, self.call)


def type_of(called: str, call: Node, depth: int = 0) -> str:
    """The type of a field in DDL; a mark for one that is not known."""
    if depth > 5:
        return _UNKNOWN
    positional, keywords = arguments_of(call)
    if called in _TEXTS:
        field = read_field("", called, call, Location("", 1))
        length = keywords.get("max_length")
        if length is not None and field.length is None and text(length) != "None":
            return _UNKNOWN
        return f"varchar({field.length})" if field.length else "varchar"
    if called == "DecimalField":
        digits, places = text(keywords.get("max_digits")), text(keywords.get("decimal_places"))
        return f"numeric({digits}, {places})" if digits.isdigit() and places.isdigit() else _UNKNOWN
    if called in _VECTORS:
        size = text(keywords.get("dimensions") or keywords.get("length"))
        return f"{_VECTORS[called]}({size})" if size.isdigit() else _VECTORS[called]
    if called == "ArrayField":
        base = positional[0] if positional else keywords.get("base_field")
        inner = type_of(call_name(base), base, depth + 1) if base is not None and base.type == "call" else _UNKNOWN
        return inner if inner == _UNKNOWN else inner.removesuffix("[]") + "[]"
    return _TYPES.get(called, _UNKNOWN)


def has_pattern_index(kind: str) -> bool:
    """Whether Django adds an index for LIKE beside a plain one on a column of that type."""
    return kind.startswith("varchar") or kind == "text"


def target_of(field: Field, label: str, user: tuple[str, str] | None) -> tuple[str, str] | None:
    """Application and model, in lower case, that a relation leads to; `user` for the swappable one."""
    to = field.to
    if "AUTH_USER_MODEL" in to:
        return user
    application, _, name = to.rpartition(".")
    return (application or label).lower(), name.lower()


def names_in(node: Node | None) -> list[str]:
    """The strings of a list, tuple or set."""
    return [name for child in (node.named_children if node is not None else []) if (name := string_of(child))]
