"""Chains of a PostgREST client's calls as statements, in whatever language they are written."""

from __future__ import annotations

from typing import NamedTuple

from checks.evidence.repository.facts import Model
from checks.evidence.repository.orm import postgrest
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.named_tables import Argument, NamedQuery
from checks.evidence.repository.orm.query import (
    COLUMNS,
    EVERYTHING,
    EXPRESSIONS,
    JOINS,
    LIMIT,
    ORDER,
    VALUE,
    WHERE,
    quoted,
)

VERBS = {"select": "select", "insert": "insert", "upsert": "insert", "update": "update", "delete": "delete"}
_FILTERS = frozenset(
    "eq neq gt gte lt lte like ilike contains containedBy contained_by cs cd overlaps ov in in_ notIn not_in is_ is "
    "isDistinct rangeGt rangeGte rangeLt rangeLte rangeAdjacent range_gt range_gte range_lt range_lte range_adjacent "
    "likeAllOf likeAnyOf ilikeAllOf ilikeAnyOf like_all_of like_any_of ilike_all_of ilike_any_of textSearch text_search "
    "fts plfts phfts wfts sl sr nxl nxr adj".split()
)
_HARMLESS = frozenset(
    "select single maybeSingle maybe_single csv returns overrideTypes throwOnError abortSignal execute then catch finally "
    "setHeader rollback geojson explain retry".split()
)
_PARTS = {"order": {ORDER}, "limit": {LIMIT}, "range": {LIMIT}, "select": {COLUMNS, JOINS, EXPRESSIONS}}


class Step(NamedTuple):
    name: str
    positional: list[Argument]
    options: dict[str, Argument]


def read_chain(schema: str | None, table: str, steps: list[Step], models: Models, model: Model | None) -> NamedQuery:
    """The statement of `from(table)` with the steps that follow, of which the first is its verb."""
    first, *rest = steps
    verb = VERBS[first.name]
    query = NamedQuery(verb, schema, table)
    if verb == "select":
        _select(query, first, models, model)
    elif verb != "delete":
        _write(query, first)
        if first.name == "upsert":
            query.partial.add(COLUMNS)
    for step in rest:
        _apply(query, step)
    return query


def add_possible(query: NamedQuery, names: set[str]) -> None:
    """Steps that code takes or does not."""
    for name in names - _HARMLESS:
        query.partial |= _PARTS.get(name, {WHERE})


def _select(query: NamedQuery, step: Step, models: Models, model: Model | None) -> None:
    items = step.positional[0] if step.positional else None
    strings = [argument.string for argument in step.positional if not argument.entries]
    options = step.positional[1].entries if len(step.positional) > 1 and step.positional[1].entries else step.options
    if items is None:
        postgrest.select_columns(query, "*", models, model)
    elif strings and all(entry is not None for entry in strings):
        written = ",".join(entry for entry in strings if entry is not None)
        postgrest.select_columns(query, written.strip() or "*", models, model)
    else:
        query.columns = []
        query.partial |= {COLUMNS, JOINS, EXPRESSIONS}
    head = options.get("head")
    if head is not None and head.text.lower() == "true":
        query.columns = ["count(*)"]


def _write(query: NamedQuery, step: Step) -> None:
    value = step.positional[0] if step.positional else step.options.get("json")
    if value is not None and value.elements is not None:
        query.partial |= set() if len(value.elements) == 1 else {COLUMNS}
        value = value.elements[0] if value.elements else None
    if value is None or value.entries is None:
        query.partial.add(COLUMNS)
        return
    for name in value.entries:
        query.write(name)
    query.partial |= set() if value.whole else {COLUMNS}


def _apply(query: NamedQuery, step: Step) -> None:
    name, positional = step.name, step.positional
    path = positional[0].string if positional else None
    if name == "order":
        _order(query, step)
    elif name == "limit":
        if _of_embedded(positional, step.options):
            return
        query.take(positional[0].text if positional else "")
    elif name == "range":
        if not _of_embedded(positional, step.options):
            query.limit = VALUE
            query.offset = bool(positional) and positional[0].text != "0"
    elif name == "match" and positional and positional[0].entries is not None:
        for key in positional[0].entries:
            postgrest.add(query, postgrest.condition(query, key, "eq"))
        query.partial |= set() if positional[0].whole else {WHERE}
    elif name in ("match", "filter", "not") and len(positional) < 2:
        query.partial.add(WHERE)
    elif name in ("not", "not_", "filter") and len(positional) >= 2:
        operator = positional[1].string
        value = positional[2].text.strip("'\"`").lower() if len(positional) > 2 else None
        value = "null" if value == "none" else value
        negation = "" if name == "filter" else "not."
        constant = value if operator in ("is", "not.is") else None
        postgrest.add(
            query, postgrest.condition(query, path, negation + operator, constant) if path and operator else None
        )
    elif name in ("or", "or_"):
        elsewhere = _of_embedded(positional, step.options)
        shape = positional[0].shape if positional and not elsewhere else None
        postgrest.add(query, postgrest.logic(query, shape) if shape else None)
    elif name.removeprefix("not.") in _FILTERS and path is not None:
        operator = name.removesuffix("_")
        value = positional[1].text.strip("'\"`").lower() if len(positional) > 1 else ""
        constant = {"none": "null"}.get(value, value) if operator in ("is", "not.is") else None
        postgrest.add(query, postgrest.condition(query, path, operator, constant))
    elif name not in _HARMLESS:
        query.partial |= {WHERE} if name.removeprefix("not.") in _FILTERS else EVERYTHING


def _of_embedded(positional: list[Argument], options: dict[str, Argument]) -> bool:
    """Whether the step says that it is meant for an embedded table."""
    given = dict(options)
    for argument in positional:
        given |= argument.entries or {}
    return any(name in given for name in ("foreignTable", "referencedTable", "foreign_table", "reference_table"))


def _order(query: NamedQuery, step: Step) -> None:
    options = dict(step.options)
    whole = True
    for argument in step.positional[1:]:
        options |= argument.entries or {}
        whole &= argument.entries is not None and argument.whole
    if _of_embedded(step.positional, step.options):
        return
    direction = options["desc"].text.lower() if "desc" in options else None
    ascending = options["ascending"].text if "ascending" in options else "true"
    nulls = next(
        (options[key].text.lower() for key in ("nullsFirst", "nullsfirst", "nulls_first") if key in options), None
    )
    known = (
        whole
        and ascending in ("true", "false")
        and direction in (None, "true", "false")
        and nulls in (None, "true", "false")
    )
    path = step.positional[0].string if step.positional and known else None
    postgrest.order(
        query,
        path,
        descending=direction == "true" or ascending == "false",
        nulls_first=None if nulls is None else nulls == "true",
    )


def function_text(schema: str | None, name: str, arguments: list[Argument]) -> tuple[str, tuple[str, ...]]:
    """A call by rpc(), and what of it could not be read."""
    known = arguments[0] if arguments else None
    names = list(known.entries or {}) if known is not None else []
    full = f"{schema}.{name}" if schema else name
    partial = (COLUMNS,) if known is not None and not known.whole else ()
    return postgrest.function_call(full, [entry for entry in names if quoted(entry)]), partial
