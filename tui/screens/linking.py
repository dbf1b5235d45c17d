"""What belongs to a thing, as a list to choose from."""

from __future__ import annotations

from collections.abc import Sequence

from checks.model import Finding, Location, qualified_name
from tui.links import Links, Thing, things_of
from tui.screens.pick import Entry
from tui.text import AREA_SHORT, IN_PUBLIC, SEVERITY_SYMBOLS, line, severity_style

MOST = 60


def linked(links: Links, thing: Thing) -> list[Entry]:
    """Related findings, tables, indexes, statements and places in code; what is nearest first."""
    if thing.kind == "finding":
        return _of_finding(links, thing)
    findings = [_finding(finding) for finding in links.findings_of(thing)[:MOST]]
    if thing.kind == "table" and (table := links.table(thing)) is not None:
        indexes = [_named("index", (index.schema, index.name)) for index in links.catalog.indexes_of(table.oid)[:MOST]]
        statements = [_statement(links, entry.query_id) for entry in links.statements_of(table)[:MOST]]
        code = _code(links.code_of_table(table))
        return [*findings, *statements, *code, *indexes, *_neighbours(links, table.oid)]
    if thing.kind == "index" and (index := links.index(thing)) is not None:
        owner = links.catalog.table_by_oid.get(index.table)
        return [*([_named("table", (owner.schema, owner.name))] if owner else []), *findings]
    if thing.kind == "statement":
        tables = [_named("table", (table.schema, table.name)) for table in links.tables_of(thing.key[0])]
        return [*findings, *tables, *_code(links.code_of_statement(thing.key[0]))]
    seen = dict.fromkeys(touch.thing for touch in links.files.get(thing.key[0], ()))
    others = [_statement(links, one.key[0]) if one.kind == "statement" else _named(one.kind, one.key) for one in seen]
    return [*findings, *others[:MOST]]


def _of_finding(links: Links, thing: Thing) -> list[Entry]:
    finding = links.finding(thing.key[0])
    if finding is None:
        return []
    options: list[Entry] = []
    tables: dict[Thing, None] = {}
    for one in things_of(finding):
        if one.kind == "statement" and links.statement(one):
            options.append(_statement(links, one.key[0]))
            tables |= dict.fromkeys(Thing("table", (table.schema, table.name)) for table in links.tables_of(one.key[0]))
        elif (one.kind == "table" and links.table(one)) or (one.kind == "index" and links.index(one)):
            tables[one] = None
    things = [_named(one.kind, one.key) for one in tables]
    first = {place.path: place.line for place in reversed(finding.locations)}
    files = [_file(path, first[path], "") for path in dict.fromkeys(place.path for place in finding.locations)]
    return [*things, *options, *files[:MOST], *(_finding(other) for other in links.related(finding)[:MOST])]


def _neighbours(links: Links, table: int) -> list[Entry]:
    """Tables that it refers to, and those that refer to it."""
    catalog = links.catalog
    oids = [one.referenced_table for one in catalog.constraints_of(table) if one.kind == "foreign_key"]
    oids += [one.table for one in catalog.references_to(table)]
    known = [catalog.table_by_oid[oid] for oid in dict.fromkeys(oids) if oid in catalog.table_by_oid and oid != table]
    return [_named("table", (one.schema, one.name), "by foreign key") for one in known[:MOST]]


def _named(kind: str, key: tuple[str, ...], about: str = "") -> Entry:
    return Entry(kind, (qualified_name(*key), "$code"), about, Thing(kind, key))


def _statement(links: Links, query_id: str) -> Entry:
    entry = links.statement(Thing("statement", (query_id,)))
    words = links.words_of(entry) if entry else query_id
    share = f"{links.statements.share(entry):.0%}" if entry and links.statements else ""
    return Entry("statement", (words, "$code"), share, Thing("statement", (query_id,)))


def _finding(finding: Finding) -> Entry:
    assert finding.severity is not None
    title = IN_PUBLIC.sub("", finding.title)
    words = line((f"{SEVERITY_SYMBOLS[finding.severity]} ", severity_style(finding.severity)), title)
    return Entry("finding", words, AREA_SHORT[finding.area], Thing("finding", (finding.id,)), finding.check)


def _file(path: str, number: int, how: str) -> Entry:
    place = f"{path}:{number}" if number else path
    return Entry("code", (place, "$code"), how, Thing("file", (path,), number))


def _code(places: Sequence[tuple[Location, str]]) -> list[Entry]:
    return [_file(location.path, location.line, how) for location, how in places[:MOST]]
