"""Tables, indexes, statements and files in full, each with what belongs to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.content import Content

from checks.evidence.database.facts import Catalog, Index, IndexUsage, Statement, Table, Usage
from checks.figures import bytes_in_words
from checks.model import Finding, Location, qualified_name
from checks.text import visible
from tui.links import Links, Thing, Touch
from tui.text import SEVERITY_SYMBOLS, Part, line, prose, severity_style
from tui.widgets.detail import dedented, sql_paragraphs
from tui.widgets.document import Paragraph
from tui.widgets.growth import growth_paragraphs
from tui.widgets.plan import plan_paragraphs
from tui.words import milliseconds_in_words, plural, shortened

SPACE = Content(" ")
COLUMNS_SHOWN = 60
LISTED = 12
LABEL = 12


def thing_paragraphs(links: Links, thing: Thing, width: int, *, workload_read: bool = True) -> list[Paragraph]:
    """Whatever `thing` is, in full. Before the workload was read, what follows from it is left out and that is said."""
    found: list[Paragraph] | None = None
    if thing.kind == "table" and (table := links.table(thing)) is not None:
        found = _table(links, table, width, workload_read)
    elif thing.kind == "index" and (index := links.index(thing)) is not None:
        found = _index(links, index, width, workload_read)
    elif thing.kind == "statement" and (statement := links.statement(thing)) is not None:
        found = _statement(links, statement, width, workload_read)
    elif thing.kind == "file":
        found = _file(links, thing, workload_read)
    if found is None:
        name = ".".join(thing.key)
        return [Paragraph(line((f"{thing.kind} {name} is not in this evidence", "$muted")), SPACE)]
    return found


def findings_words(found: Sequence[Finding]) -> Content:
    """How many findings, after the symbol of the worst; blank for none."""
    ranked = [finding.severity for finding in found if finding.severity]
    if not ranked:
        return Content("")
    worst = min(ranked, key=lambda severity: severity.rank)
    return line((f"{SEVERITY_SYMBOLS[worst]}{len(found)}", severity_style(worst)))


def _head(kind: str, name: str, about: str = "") -> list[Paragraph]:
    shown = [
        Paragraph(line((kind, "$muted")), SPACE),
        Paragraph(line((name, "bold $strong"), limit=2_000), SPACE),
    ]
    if about:
        shown.append(Paragraph(line((about, "$foreground")), SPACE))
    return shown


def _section(title: str, about: str = "") -> list[Paragraph]:
    return [Paragraph(), Paragraph(line((title, "bold $accent"), (f"   {about}" if about else "", "$muted")), SPACE)]


def _more(count: int, listed: int = LISTED) -> list[Paragraph]:
    return [Paragraph(line((f"and {count - listed} more", "$muted")), line("   "))] if count > listed else []


def _findings(found: Sequence[Finding]) -> list[Paragraph]:
    shown = _section("Findings", "" if found else "none")
    for finding in found[:LISTED]:
        assert finding.severity is not None
        mark = line(" ", (SEVERITY_SYMBOLS[finding.severity], severity_style(finding.severity)), " ")
        shown.append(Paragraph(prose(finding.title, limit=300), mark))
    return shown + _more(len(found))


def _statements(
    entries: Sequence[Statement], links: Links, width: int, workload_read: bool, title: str = "Statements"
) -> list[Paragraph]:
    shown = _section(title, "" if entries else "none that ran")
    total = links.statements.total_ms if links.statements else 0.0
    for entry in entries[:LISTED]:
        share = entry.total_ms / total if total else 0.0
        figures = line(
            (f" {share:>4.0%}", "bold"),
            (f" {shortened(entry.calls):>7} x {milliseconds_in_words(entry.mean_ms):<9}", "$muted"),
        )
        text = links.words_of(entry) if workload_read else " ".join(entry.text[:300].split())
        room = max(10, width - figures.cell_length)
        shown.append(Paragraph(line(figures, line((text, "$code")).truncate(room, ellipsis=True)), wrapped=False))
    return shown + _more(len(entries))


def _places(places: Sequence[tuple[Location, str]], title: str = "Code") -> list[Paragraph]:
    shown = _section(title, "" if places else "no place known")
    for location, how in places[:LISTED]:
        shown.append(Paragraph(line((f"{location.path}:{location.line}", "$code")), line((f" {how:<10}", "$muted"))))
    return shown + _more(len(places))


def _not_read() -> list[Paragraph]:
    return [Paragraph(), Paragraph(line(("reading the statements ...", "$muted")), SPACE)]


def _labelled(pairs: Iterable[tuple[str, Part | None]]) -> list[Paragraph]:
    return [Paragraph(line(part), line((f" {name:<{LABEL}}", "$muted"))) for name, part in pairs if part]


def _table(links: Links, table: Table, width: int, workload_read: bool) -> list[Paragraph]:
    catalog = links.catalog
    rows = "never analysed" if table.rows is None else f"about {plural(int(table.rows), 'row')}"
    shown = _head(table.kind.replace("_", " "), table.subject.name, f"{rows}, {_bytes(table.total_bytes)}")
    usage = links.evidence.find(Usage)
    used = usage.table_by_oid.get(table.oid) if usage else None
    shown += [
        Paragraph(),
        *_labelled(
            [
                ("heap", _bytes(table.heap_bytes)),
                ("indexes", _bytes(table.index_bytes)),
                ("TOAST", _bytes(table.toast_bytes) if table.toast_bytes else None),
                ("owner", table.owner),
                (
                    "written",
                    f"{used.inserted:,} inserted, {used.updated:,} updated, {used.deleted:,} deleted" if used else None,
                ),
                (
                    "read",
                    f"{used.sequential_scans:,} sequential scans, {used.index_scans:,} index scans" if used else None,
                ),
                ("dead rows", f"{used.dead_tuples:,}" if used and used.dead_tuples else None),
            ]
        ),
        *_findings(links.findings_of(Thing("table", (table.schema, table.name)))),
    ]
    if workload_read:
        shown += _statements(links.statements_of(table), links, width, workload_read)
        shown += _places(links.code_of_table(table))
    else:
        shown += _not_read()
    return [*shown, *_columns(catalog, table), *_indexes(links, table), *_keys(catalog, table)]


def _columns(catalog: Catalog, table: Table) -> list[Paragraph]:
    columns = [column for _, column in sorted(catalog.columns_of(table.oid).items())]
    shown = _section("Columns", str(len(columns)))
    wide = min(30, max((len(column.name) for column in columns), default=0)) + 2
    for column in columns[:COLUMNS_SHOWN]:
        name = visible(column.name, 30)
        more = " ".join(
            filter(
                None,
                (
                    "not null" if column.not_null else "",
                    f"identity {column.identity}" if column.identity else "",
                    f"generated {column.generated}" if column.generated else "",
                    f"default {column.default_function or column.default}"
                    if column.default not in ("none", "")
                    else "",
                ),
            )
        )
        shown.append(
            Paragraph(line((visible(column.type, 60), "$code"), (f"  {more}", "$muted")), line(f" {name:<{wide}}"))
        )
    return shown + _more(len(columns), COLUMNS_SHOWN)


def _indexes(links: Links, table: Table) -> list[Paragraph]:
    indexes = links.catalog.indexes_of(table.oid)
    shown = _section("Indexes", "" if indexes else "none")
    for index in indexes[:COLUMNS_SHOWN]:
        shown.append(
            Paragraph(
                line(
                    (index.name, "$code"),
                    f"  {_keys_of(links.catalog, index)}",
                    (f"  {_about(links, index)}", "$muted"),
                ),
                SPACE,
                line("   "),
            )
        )
    return shown + _more(len(indexes), COLUMNS_SHOWN)


def _keys(catalog: Catalog, table: Table) -> list[Paragraph]:
    shown: list[Paragraph] = []
    for constraint in catalog.constraints_of(table.oid):
        if constraint.kind == "foreign_key" and constraint.referenced_table in catalog.table_by_oid:
            other = catalog.table_by_oid[constraint.referenced_table]
            columns = _names(catalog, table.oid, constraint.columns)
            shown.append(Paragraph(line(f"{columns} → ", (other.subject.name, "$code")), SPACE))
    for constraint in catalog.references_to(table.oid):
        referring = catalog.table_by_oid.get(constraint.table)
        if referring is not None:
            columns = _names(catalog, referring.oid, constraint.columns)
            shown.append(Paragraph(line("← ", (referring.subject.name, "$code"), f" {columns}"), SPACE))
    return [*_section("Foreign keys"), *shown[:COLUMNS_SHOWN], *_more(len(shown), COLUMNS_SHOWN)] if shown else []


def _names(catalog: Catalog, table: int, numbers: Iterable[int]) -> str:
    columns = catalog.columns_of(table)
    return f"({', '.join(qualified_name(columns[number].name) for number in numbers if number in columns)})"


def _keys_of(catalog: Catalog, index: Index) -> str:
    """`(organization_id, created_at DESC) WHERE ...`"""
    columns = catalog.columns_of(index.table)
    parts = []
    for key in index.keys:
        name = qualified_name(columns[key.column].name) if key.column in columns else key.expression or "expression"
        parts.append(f"{name}{' DESC' if key.descending else ''}")
    included = f" INCLUDE {_names(catalog, index.table, index.included)}" if index.included else ""
    where = f" WHERE {index.predicate}" if index.predicate else ""
    return f"({', '.join(parts)}){included}{where}"


def _cached(used: IndexUsage | None) -> str:
    """`99 % from memory`: of the blocks that scans and writes of an index asked for."""
    if used is None or used.blocks_hit is None or used.blocks_read is None or not used.blocks_hit + used.blocks_read:
        return ""
    return f"{used.blocks_hit / (used.blocks_hit + used.blocks_read):.0%} from memory"


def _about(links: Links, index: Index) -> str:
    usage = links.evidence.find(Usage)
    used = usage.index_by_oid.get(index.oid) if usage else None
    kind = "primary key" if index.primary else "unique" if index.unique else ""
    words = [index.method, kind, _bytes(index.size_bytes), f"{used.scans:,} scans" if used else "", _cached(used)]
    return ", ".join(filter(None, (*words, "" if index.valid else "INVALID")))


def _index(links: Links, index: Index, width: int, workload_read: bool) -> list[Paragraph]:
    table = links.catalog.table_by_oid.get(index.table)
    shown = _head("index", index.subject.name, _about(links, index))
    options = ", ".join(f"{name}={value}" for name, value in index.options.items())
    classes = ", ".join(dict.fromkeys(key.operator_class for key in index.keys))
    shown += [
        Paragraph(),
        *_labelled(
            [
                ("table", table.subject.name if table else None),
                ("keys", (_keys_of(links.catalog, index), "$code")),
                ("classes", classes or None),
                ("options", options or None),
            ]
        ),
        *_findings(links.findings_of(Thing("index", (index.schema, index.name)))),
    ]
    planned = [
        entry for entry in links.entries if (plan := links.plan(entry.query_id)) and _uses(plan.root.walk(), index)
    ]
    return [*shown, *_statements(planned, links, width, workload_read, "Statements whose plan uses it")]


def _uses(nodes: Iterable[object], index: Index) -> bool:
    return any(getattr(node, "index", None) == index.name for node in nodes)


def _statement(links: Links, entry: Statement, width: int, workload_read: bool) -> list[Paragraph]:
    share = links.statements.share(entry) if links.statements else 0.0
    name = links.words_of(entry) if workload_read else entry.query_id
    shown = [
        *_head("statement", name, f"{share:.1%} of the time of all statements"),
        Paragraph(),
        *_labelled(
            [
                ("calls", f"{entry.calls:,}"),
                (
                    "time",
                    f"{milliseconds_in_words(entry.total_ms)} in all, {milliseconds_in_words(entry.mean_ms)} on average",
                ),
                ("slowest", milliseconds_in_words(entry.max_ms) if entry.max_ms else None),
                ("rows", f"{entry.rows:,}, {entry.rows / entry.calls:,.1f} a call" if entry.calls else None),
                ("blocks", f"{entry.shared_blocks_hit:,} from cache, {entry.shared_blocks_read:,} read"),
                ("temporary", f"{entry.temp_blocks_written:,} blocks written" if entry.temp_blocks_written else None),
                ("WAL", _bytes(entry.wal_bytes) if entry.wal_bytes else None),
                ("roles", ", ".join(entry.users) or None),
                ("query id", entry.query_id if workload_read else None),
            ]
        ),
        *_section("Text"),
        *sql_paragraphs(visible(dedented(entry.text), 6_000)),
    ]
    if (plan := links.plan(entry.query_id)) is not None:
        shown += plan_paragraphs(plan, width)
    if (grown := links.growth(entry.query_id)) is not None:
        shown += growth_paragraphs(*grown, width)
    shown += _findings(links.findings_of(Thing("statement", (entry.query_id,))))
    if workload_read:
        tables = links.tables_of(entry.query_id)
        shown += _section("Tables", "" if tables else "none that is known")
        for table in tables:
            shown.append(
                Paragraph(line((table.subject.name, "$code"), (f"  {_bytes(table.total_bytes)}", "$muted")), SPACE)
            )
    else:
        shown += _not_read()
    hows = {"query_id": "same id", "text": "same text", "pattern": "same access"}
    return [*shown, *_places([(place, hows.get(how, how)) for place, how in links.code_of_statement(entry.query_id)])]


def _file(links: Links, thing: Thing, workload_read: bool) -> list[Paragraph]:
    path = thing.key[0]
    shown = [*_head("file", path), *_findings(links.findings_of(thing))]
    if not workload_read:
        return [*shown, *_not_read()]
    touches = links.files.get(path, ())
    shown += _section("What it does", "" if touches else "nothing that is known")
    for touch in touches[:COLUMNS_SHOWN]:
        shown.append(Paragraph(_touch(links, touch), line((f" {touch.location.line:>5}  ", "$muted"))))
    return shown + _more(len(touches), COLUMNS_SHOWN)


def _touch(links: Links, touch: Touch) -> Content:
    if touch.thing.kind == "statement" and (entry := links.statement(touch.thing)) is not None:
        text = " ".join(visible(entry.text, 160).split())
        return line((f"{touch.how} ", "$muted"), (text, "$code"))
    return line((f"{touch.how} ", "$muted"), (qualified_name(*touch.thing.key), "$code"))


def _bytes(size: int | None) -> str:
    return "size not visible" if size is None else bytes_in_words(size)
