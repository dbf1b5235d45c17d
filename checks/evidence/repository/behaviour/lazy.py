"""Relations that an ORM fetches with a statement of its own for each row that a loop goes through."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from checks.evidence.repository.behaviour.outline import Loop, Outline
from checks.evidence.repository.behaviour.races import variables_of
from checks.evidence.repository.behaviour.sites import Site
from checks.evidence.repository.facts import Behaviour, Model, ModelRelation
from checks.model import Location

_LAZY = frozenset(["django", "sqlalchemy"])
_EAGER = re.compile(
    r"\b(?:select_related|prefetch_related|selectinload|joinedload|subqueryload|immediateload|contains_eager|fetch_mode|raiseload)\b"
)
_LOADED = re.compile(r"lazy\s*=\s*[\"'](?!select[\"']|true[\"'])\w+[\"']")
# What reads rows no further than their own columns, or hands out something else than objects.
_NO_OBJECTS = re.compile(r"\.(?:values|values_list|count|exists|aggregate|mappings|scalar\w*_one\w*)\(")


def loaded_lazily(models: Iterable[Model], source_of: Callable[[str], str | None]) -> dict[tuple[str, str], Model]:
    """By ORM and table the models with those of their relations that do not come along by themselves. `source_of` gives the text
    of a file of the repository, None if it was not read."""
    found: dict[tuple[str, str], Model] = {}
    for model in models:
        if model.orm in _LAZY:
            relations = tuple(entry for entry in model.relations if not _comes_along(entry, model, source_of))
            found[model.orm, model.table] = msgspec.structs.replace(model, relations=relations)
    return found


def lazy_loads_of(outline: Outline, sites: list[Site], models: Mapping[tuple[str, str], Model]) -> Iterator[Behaviour]:
    """`models` are those of loaded_lazily(). An asynchronous session loads nothing lazily: such functions are left out."""
    for site in sites:
        model = models.get((site.orm, site.table or "")) if site.verb == "select" else None
        if model is None or not model.relations or site.function is None or "async " in site.function.head:
            continue
        code = outline.slice(max(site.function.start, site.start - 600), min(site.function.end, site.end + 300))
        if _EAGER.search(code) or _NO_OBJECTS.search(outline.slice(site.start, site.end + 60)):
            continue
        names = variables_of(outline, site)
        for loop in outline.loops:
            if loop.variable.isidentifier() and _goes_through(loop, site, names):
                yield from _loaded(outline, site, loop, model, models.values())


def _goes_through(loop: Loop, site: Site, names: set[str]) -> bool:
    if site.function is None or not site.function.start <= loop.start < site.function.end:
        return False
    in_head = loop.kind == "for" and loop.line <= site.line and site.start < loop.start and site.end <= loop.start
    return in_head or (loop.start > site.end and re.split(r"[.\[(]", loop.over.strip())[0] in names)


def _loaded(
    outline: Outline,
    site: Site,
    loop: Loop,
    model: Model,
    models: Iterable[Model],
) -> Iterator[Behaviour]:
    body = outline.slice(loop.start, loop.end)
    for relation in model.relations:
        if site.orm == "django" and relation.many:
            use = rf"\b{loop.variable}\.{re.escape(relation.attribute)}\.(?:all|filter|count|exists|first|last|values\w*)\("
        else:
            use = rf"\b{loop.variable}\.{re.escape(relation.attribute)}\b(?!\s*=[^=])(?!_)"
        match = re.search(use, body)
        if match is None:
            continue
        offset = loop.start + len(body[: match.start()].encode("utf-8", "replace"))
        target = next(
            (other.table for other in models if other.name == relation.target and other.orm == model.orm), None
        )
        yield Behaviour(
            "lazy_load",
            Location(outline.path, outline.line_of(offset)),
            site.function.name if site.function else None,
            target,
            site.text,
            Location(outline.path, loop.line),
            relation.attribute,
        )


def _comes_along(relation: ModelRelation, model: Model, source_of: Callable[[str], str | None]) -> bool:
    """Whether the relation itself says so (`lazy="selectin"`)."""
    if model.orm != "sqlalchemy":
        return False
    code = source_of(model.location.path)
    begun = re.search(
        rf"^\s+{re.escape(relation.attribute)}\b[^=\n]*=[^=\n]*[rR]elationship\(", code or "", re.MULTILINE
    )
    if code is None or begun is None:
        return True
    rest = re.split(r"\n\s*(?:\w+\s*[:=]|def |class |@)(?!\w*=)", code[begun.end() : begun.end() + 600])[0]
    return bool(_LOADED.search(rest))
