"""What the clients of PostgREST (supabase-js, supabase-py, postgrest-js) ask it for, as the SQL that it makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from checks.evidence.repository.facts import Model, ModelRelation
from checks.evidence.repository.orm.models import Models
from checks.evidence.repository.orm.named_tables import NamedQuery
from checks.evidence.repository.orm.query import COLUMNS, EXPRESSIONS, JOINS, ORDER, VALUE, WHERE, quoted

_COMPARISONS = {
    "eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "LIKE", "ilike": "ILIKE",
    "contains": "@>", "cs": "@>", "containedBy": "<@", "contained_by": "<@", "cd": "<@", "overlaps": "&&", "ov": "&&",
    "match": "~", "imatch": "~*", "isdistinct": "IS DISTINCT FROM", "rangeGt": ">>", "range_gt": ">>", "sr": ">>",
    "rangeLt": "<<", "range_lt": "<<", "sl": "<<", "rangeGte": "&>", "range_gte": "&>", "nxl": "&>", "rangeLte": "&<",
    "range_lte": "&<", "nxr": "&<", "rangeAdjacent": "-|-", "range_adjacent": "-|-", "adj": "-|-",
}  # fmt: skip
_QUANTIFIED = {"likeAllOf": "LIKE ALL", "likeAnyOf": "LIKE ANY", "ilikeAllOf": "ILIKE ALL", "ilikeAnyOf": "ILIKE ANY",
               "like_all_of": "LIKE ALL", "like_any_of": "LIKE ANY", "ilike_all_of": "ILIKE ALL",
               "ilike_any_of": "ILIKE ANY"}  # fmt: skip
_SEARCHES = {"textSearch": "to_tsquery", "text_search": "to_tsquery", "fts": "to_tsquery", "plfts": "plainto_tsquery",
             "phfts": "phraseto_tsquery", "wfts": "websearch_to_tsquery"}  # fmt: skip
_CONSTANTS = frozenset(["null", "true", "false", "unknown"])
_FIELD = re.compile(
    r"(?:(?P<alias>[\w$]+|\"[^\"]+\"):(?!:))?(?P<path>[\w$]+(?:->>?[\w$\-]+)*)"
    r"(?:\.(?P<call>count|sum|avg|min|max)\(\))?(?:::[\w ]+)?"
    r"(?:\.(?P<late>count|sum|avg|min|max)\(\))?(?:::\w+)?"
)
_EMBEDDED = re.compile(r"(?P<spread>\.\.\.)?(?:(?P<alias>[\w$]+|\"[^\"]+\"):)?(?P<name>[\w$]+)(?P<hints>(?:![\w$]+)*)")
_AGGREGATE = re.compile(r"(?:count|sum|avg|min|max)\(")
_MAXIMUM_DEPTH = 12


class Embedded(NamedTuple):
    """`hints` name the foreign key or column meant, or say `inner`."""

    name: str
    alias: str
    hints: tuple[str, ...]
    items: str


def pieces(text: str) -> Iterator[str]:
    """The parts of a list between its outermost commas."""
    depth, start, in_quotes = 0, 0, False
    for position, character in enumerate(text):
        if character == '"':
            in_quotes = not in_quotes
        elif in_quotes:
            continue
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "," and depth == 0:
            yield text[start:position].strip()
            start = position + 1
    if last := text[start:].strip():
        yield last


def column_path(query: NamedQuery, path: str, alias: str | None = None) -> str | None:
    """`name` or `document->>key` as SQL; None if it is neither."""
    name, *keys = re.split(r"(->>?)", path.strip())
    *embedded, name = name.split(".")
    if not re.fullmatch(r"[A-Za-z_][\w$]*", name) or len(embedded) > 1 or not query.aliases.issuperset(embedded):
        return None
    column = f"{quoted(embedded[0] if embedded else alias or query.alias)}.{quoted(name)}"
    for arrow, key in zip(keys[::2], keys[1::2], strict=False):
        if not re.fullmatch(r"[\w-]{1,63}", key):
            return None
        column = f"{column} {arrow} '{key}'"
    return f"({column})" if keys else column


def select_columns(query: NamedQuery, items: str, models: Models, model: Model | None) -> None:
    """The select list, and the tables that it embeds."""
    query.columns = []
    _select(query, "".join(items.split()), query.alias, models, model, 0)
    if query.joins or JOINS in query.partial:
        query.partial.add(COLUMNS)


def _select(query: NamedQuery, items: str, alias: str, models: Models, model: Model | None, depth: int) -> None:
    columns = query.columns = query.columns if query.columns is not None else []
    for item in pieces(items):
        if item == "*":
            columns.append(f"{quoted(alias)}.*")
        elif re.fullmatch(r"(?:\w+:)?count\(\)", item):
            columns.append("count(*)")
        elif depth and item == "count":
            query.partial.add(COLUMNS)
        elif (match := _FIELD.fullmatch(item)) and (column := column_path(query, match["path"], alias)):
            function = match["call"] or match["late"]
            columns.append(f"{function}({column})" if function else column)
        elif "(" in item:
            _embed(query, item, alias, models, model, depth)
        else:
            query.partial |= {COLUMNS, EXPRESSIONS}
    if not depth and any(_AGGREGATE.match(column) for column in columns):
        query.group = [column for column in columns if not _AGGREGATE.match(column)]


def _embed(query: NamedQuery, item: str, alias: str, models: Models, model: Model | None, depth: int) -> None:
    """An embedded resource: PostgREST joins its table by the foreign key between the two."""
    head, _, inside = item.partition("(")
    match = _EMBEDDED.fullmatch(head)
    query.partial.add(COLUMNS)
    if match is None or not item.endswith(")") or depth > _MAXIMUM_DEPTH:
        query.partial.add(JOINS)
        return
    hints = tuple(hint for hint in match["hints"].split("!") if hint)
    label = (match["alias"] or match["name"]).strip('"')
    found = _related(models, model, match["name"], hints)
    if found is None:
        query.partial.add(JOINS)
        return
    target, pairs = found
    if label in query.aliases:
        label = f"{label}_{len(query.aliases)}"
    kind = "JOIN" if "inner" in hints else "LEFT JOIN"
    junction = _junction(models, model, target) if model is not None and not pairs and not hints else None
    if junction is not None and model is not None:
        between, own = junction
        via = f"{between.table}_{len(query.aliases)}"
        query.join(kind, between.schema, between.table, via, _on(alias, via, own[model.name]))
        query.join(kind, target.schema, target.table, label, _on(label, via, own[target.name]))
    else:
        condition = " AND ".join(
            f"{quoted(alias)}.{quoted(own)} = {quoted(label)}.{quoted(other)}" for own, other in pairs
        )
        query.join(kind, target.schema, target.table, label, condition)
        query.partial |= set() if pairs else {JOINS}
    _select(query, inside[:-1], label, models, target, depth + 1)


def _related(
    models: Models, model: Model | None, name: str, hints: tuple[str, ...]
) -> tuple[Model, tuple[tuple[str, str], ...]] | None:
    """The table meant, and the pairs of columns that join it where just one foreign key does."""
    if model is None:
        target = models.find(name, "")
        return (target, ()) if target else None
    named = [relation for relation in model.relations if _is_meant(relation, name, hints)]
    if len(named) == 1:
        target = models.find(named[0].target, model.location.path)
        return (target, tuple(zip(named[0].columns, named[0].references, strict=False))) if target else None
    target = models.find(name, model.location.path)
    if target is None:
        return None
    back = [relation for relation in target.relations if _is_meant(relation, model.name, hints)]
    if named or len(back) != 1:
        return target, ()
    return target, tuple(zip(back[0].references, back[0].columns, strict=False))


def _junction(models: Models, model: Model, target: Model) -> tuple[Model, dict[str, ModelRelation]] | None:
    """The one table that refers to both, and its foreign keys to each."""
    found = []
    for between in models.all():
        keys = {relation.target: relation for relation in between.relations}
        count = sum(relation.target in (model.name, target.name) for relation in between.relations)
        if model.name in keys and target.name in keys and count == 2 and model.name != target.name:
            found.append((between, keys))
    return found[0] if len(found) == 1 else None


def _on(alias: str, via: str, key: ModelRelation) -> str:
    pairs = zip(key.references, key.columns, strict=False)
    return " AND ".join(f"{quoted(alias)}.{quoted(own)} = {quoted(via)}.{quoted(other)}" for own, other in pairs)


def _is_meant(relation: ModelRelation, name: str, hints: tuple[str, ...]) -> bool:
    keys = [hint for hint in hints if hint not in ("inner", "left")]
    spelled = {relation.attribute, *relation.columns, relation.target}
    return name in (relation.target, relation.attribute, *relation.columns) and all(key in spelled for key in keys)


def condition(query: NamedQuery, path: str, operator: str, value: str | None = None) -> str | None:
    """One filter; None if it cannot be read. `value` is its text where it is one of SQL's constants."""
    if operator == "not.is" and value in _CONSTANTS:
        column = column_path(query, path)
        return f"{column} IS NOT {value.upper()}" if column and value else None
    if operator.startswith("not."):
        inner = condition(query, path, operator[4:], value)
        return f"NOT ({inner})" if inner else None
    base = operator.partition("(")[0]
    column = column_path(query, path)
    if column is None:
        return None
    if base in _COMPARISONS:
        return f"{column} {_COMPARISONS[base]} {VALUE}"
    if base == "is":
        return f"{column} IS {value.upper()}" if value and value in _CONSTANTS else None
    if base in ("in", "in_"):
        return f"{column} IN ({VALUE})"
    if base in ("notIn", "not_in"):
        return f"{column} NOT IN ({VALUE})"
    if base in _QUANTIFIED:
        return f"{column} {_QUANTIFIED[base]} ({VALUE})"
    if base in _SEARCHES:
        return f"{column} @@ {_SEARCHES[base]}({VALUE})"
    return None


def logic(query: NamedQuery, text: str, joined: str = "OR", depth: int = 0) -> str | None:
    """`a.eq.1,and(b.gt.2,c.is.null)` as a condition; None if some of it cannot be read."""
    parts: list[str] = []
    for piece in pieces(text):
        match = re.fullmatch(r"(not\.)?(and|or)\((.*)\)", piece, re.DOTALL)
        if match and depth < _MAXIMUM_DEPTH:
            inner = logic(query, match[3], match[2].upper(), depth + 1)
            part = f"NOT {inner}" if inner and match[1] else inner
        else:
            part = _compared(query, piece)
        if part is None:
            return None
        parts.append(part)
    return f"({f' {joined} '.join(parts)})" if parts else None


def _compared(query: NamedQuery, piece: str) -> str | None:
    match = re.fullmatch(r"([\w$>\-]+)\.(not\.)?(\w+)(?:\(\w+\))?\.(.*)", piece, re.DOTALL)
    if match is None:
        return None
    return condition(query, match[1], (match[2] or "") + match[3], match[4] if match[3] == "is" else None)


def add(query: NamedQuery, read: str | None) -> None:
    if read is None:
        query.partial.add(WHERE)
    else:
        query.where.append(read)


def order(query: NamedQuery, path: str | None, *, descending: bool, nulls_first: bool | None) -> None:
    column = column_path(query, path) if path else None
    if column is None:
        query.partial.add(ORDER)
    elif ORDER not in query.partial:
        nulls = "" if nulls_first is None else f" NULLS {'FIRST' if nulls_first else 'LAST'}"
        query.order.append(column + (" DESC" if descending else "") + nulls)


def function_call(name: str, arguments: list[str] | None) -> str:
    """A call of a function by rpc(); None for arguments that are not known."""
    parts = name.split(".")
    given = ", ".join(f"{quoted(argument)} => {VALUE}" for argument in arguments or ())
    return f"SELECT * FROM {'.'.join(quoted(part) for part in parts)}({given})"
