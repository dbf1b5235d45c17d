"""Facts about embeddings that decide criteria."""

from __future__ import annotations

import re

from checks.evidence.database.facts import Catalog, Column, Embeddings, Recall, Server, Settings, Table, Usage
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.figures import days_in_words
from checks.model import Reason, Subject, qualified_name
from scorecards.facts.verdict import Verdict, absent, listed, met, undecided, unknown, unmet
from scorecards.rubric import Strength

VECTOR_TYPES = frozenset({"vector", "halfvec", "sparsevec"})
INDEXABLE = {"vector": 2_000, "halfvec": 4_000}
VULNERABLE_FROM, FIXED_IN = (0, 6, 0), (0, 8, 2)
REPEATED_UPDATES = 0.1
_FLOAT_ARRAYS = frozenset({"_float4", "_float8"})
_EMBEDDING = re.compile(r"embed|vector", re.IGNORECASE)
_ID = re.compile(r"(^|[_.\W])(u?u?id|ids|key)$|[a-z]I[dD]$")
_MODEL = re.compile(r"model", re.IGNORECASE)
_TEXTS = frozenset({"text", "varchar"})
_TRACKS = re.compile(
    r"hash|checksum|digest|md5|sha(?:1|256)|revision|version|(?:updated|modified|embedded|indexed|synced)_?(?:at|on)?$",
    re.IGNORECASE,
)


def vectors(evidence: Evidence) -> str:
    """The precondition of all vector criteria. A vector store may also be outside the database, so that both the catalog and
    the repository must have been seen to say that there is none."""
    catalog = evidence.get(Catalog)
    if _vector_columns(catalog) or any(
        column.base_type in _FLOAT_ARRAYS and _EMBEDDING.search(column.name) for column in catalog.columns
    ):
        return ""
    repository = evidence.get(Repository)
    if repository.vector_calls or any(fact.kind == "vector_client" for fact in repository.deployment):
        return ""
    return "no vector column, no array of embeddings and no vector-store client"


def pgvector_safe(evidence: Evidence) -> Verdict:
    """Version of the catalog and, where the server shows it, of the loaded library, which is what runs."""
    extension = evidence.get(Server).extension("vector")
    if extension is None:
        return absent("pgvector is not installed")
    built = [index for index in evidence.get(Catalog).indexes if index.method == "hnsw"]
    running = extension.loaded_version or extension.version
    if not built:
        return met(f"pgvector {running}, no HNSW index")
    if VULNERABLE_FROM <= _version(running) < FIXED_IN:
        return unmet(f"pgvector {running} with {len(built)} HNSW indexes", objects=[Subject("extension", ("vector",))])
    return met(f"pgvector {running}")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def ids_in_columns(evidence: Evidence) -> Verdict:
    """Of the statements that ran: ids inside documents that are filtered on, and documents that are joined by a key."""
    from checks.evidence.patterns import workload

    ran = [pattern for pattern in workload(evidence) if pattern.query_id is not None]
    if not ran:
        return undecided("no statement of the application was seen")
    inside = [
        (pattern, entry) for pattern in ran for entry in pattern.comparisons if entry.json_operator or entry.json_key
    ]
    wrong = {
        pattern.query_id
        for pattern, entry in inside
        if entry.in_join or entry.other is not None or _ID.search(entry.json_key or "")
    }
    if wrong:
        return unmet(
            f"{len(wrong)} of {len(ran)} statements filter or join on an id inside a document", Strength.INFERRED
        )
    if any((entry.json_key or "$").startswith("$") for _, entry in inside):
        return undecided("statements filter on keys of documents whose names the server has masked")
    return met(f"{len(ran)} of {len(ran)} statements")


def vectors_have_dimensions(evidence: Evidence) -> Verdict:
    columns = _vector_columns(evidence.get(Catalog))
    if not columns:
        return absent("no vector column")
    loose = [_name(table, column) for table, column in columns if column.type_modifier == -1]
    if loose:
        return unmet(f"{len(columns) - len(loose)} of {len(columns)} vector columns; without: {listed(loose)}")
    return met(f"{len(columns)} of {len(columns)} vector columns")


def embeddings_have_provenance(evidence: Evidence) -> Verdict:
    """A column named after the model, and a foreign key to the source or the source's own text in the row. Names may differ,
    so that their absence decides nothing."""
    catalog = evidence.get(Catalog)
    columns = _vector_columns(catalog)
    if not columns:
        return absent("no vector column")
    without = []
    for table, column in columns:
        siblings = catalog.columns_of(table.oid).values()
        named = any(_MODEL.search(sibling.name) for sibling in siblings)
        referenced = any(constraint.kind == "foreign_key" for constraint in catalog.constraints_of(table.oid))
        if not (named and referenced):
            without.append(_name(table, column))
    if without:
        return undecided(f"no column for the model, or no foreign key, beside {listed(without)}")
    return met(f"{len(columns)} of {len(columns)} vector columns")


def embeddings_follow_source(evidence: Evidence) -> Verdict:
    """Orphans by the foreign keys: a chunk goes with its source, or the source stays as long as the chunk; or the text stands in
    the row itself. Stale rows only where statements look for them: they compare two columns that say what was embedded, or
    when, and what there is now. Other ways there are many, which names alone do not prove."""
    from checks.evidence.patterns import workload

    catalog = evidence.get(Catalog)
    columns = _vector_columns(catalog)
    if not columns:
        return undecided("the vectors stand in another store")
    compared: dict[int, None] = {}
    for pattern in workload(evidence):
        for entry in pattern.comparisons:
            other = entry.other
            if other is None or not (_TRACKS.search(entry.column.column) and _TRACKS.search(other.column)):
                continue
            compared |= dict.fromkeys(ref.table for ref in (entry.column, other) if ref.table is not None)
    loose, unwatched = [], []
    for table, column in columns:
        siblings = [other for other in catalog.columns_of(table.oid).values() if other.number != column.number]
        keys = [entry for entry in catalog.constraints_of(table.oid) if entry.kind == "foreign_key"]
        kept = any(entry.on_delete not in {"set null", "set default"} for entry in keys)
        if not kept and not any(other.base_type in _TEXTS for other in siblings):
            loose.append(_name(table, column))
        if table.oid not in compared:
            unwatched.append(_name(table, column))
    if loose:
        return undecided(f"no foreign key to its source, nor its text, stands beside {listed(loose)}")
    if unwatched:
        return undecided(f"no statement was seen that looks for stale rows of {listed(unwatched)}")
    return met(f"statements look for stale rows of {len(columns)} of {len(columns)} vector columns", Strength.INFERRED)


def dimensions_indexable(evidence: Evidence) -> Verdict:
    """A wider column is fine where an index is built on an expression of it (a cast to halfvec, binary quantisation)."""
    catalog = evidence.get(Catalog)
    columns = [entry for entry in _vector_columns(catalog) if entry[1].base_type in INDEXABLE]
    if not columns:
        return absent("no vector column")
    wide = [
        f"{_name(table, column)} ({column.type_modifier})"
        for table, column in columns
        if column.type_modifier > INDEXABLE[column.base_type]
        and not any(
            column.number in key.expression_columns for index in catalog.indexes_of(table.oid) for key in index.keys
        )
    ]
    if wide:
        return unmet(f"{len(columns) - len(wide)} of {len(columns)} vector columns; too wide: {listed(wide)}")
    return met(f"{len(columns)} of {len(columns)} vector columns")


def recall_measured(evidence: Evidence) -> Verdict:
    """By --measure-recall in this run, against the limit `recall_target`; a measurement of somebody else's is stated."""
    from checks.hybrid.searches import ANN_METHODS

    catalog, recall = evidence.get(Catalog), evidence.find(Recall)
    indexes = [index for index in catalog.indexes if index.method in ANN_METHODS and index.parent is None]
    if not indexes:
        return absent("no index for approximate search")
    if recall is None:
        return undecided("--measure-recall would measure it")
    done = {entry.index: entry for entry in recall.measurements if not entry.filtered_by and entry.at}
    target = evidence.limit("recall_target")
    missing = [f"{catalog.index_by_oid[oid].name} {entry.at[0].recall:.2f} at k {entry.k}" for oid, entry in done.items()
               if entry.used and entry.at[0].high < target]  # fmt: skip
    if missing:
        return unmet(f"below the target of {target:g}: {listed(missing)}")
    if len(done) < len(indexes):
        return undecided(f"{len(done)} of {len(indexes)} vector indexes could be measured")
    return met(f"{len(done)} of {len(indexes)} vector indexes reach {target:g}")


def search_breadth_set_safely(evidence: Evidence) -> Verdict:
    """Where pgvector's settings are given: a plain SET stays with the server's session, which a pooler hands on."""
    from checks.hybrid.searches import ANN_METHODS

    catalog = evidence.get(Catalog)
    if not any(index.method in ANN_METHODS for index in catalog.indexes):
        return absent("no index for approximate search")
    embeddings, settings, repository = evidence.find(Embeddings), evidence.find(Settings), evidence.find(Repository)
    names = ("hnsw.", "ivfflat.")
    safe = [f"{entry.name} of {entry.role or entry.database or 'all'}" for entry in
            (settings.role_settings if settings else ()) if entry.name.startswith(names)]  # fmt: skip
    safe += [f"{entry.split('=')[0]} in {function.name}()" for function in catalog.functions
             for entry in function.settings if entry.startswith(names)]  # fmt: skip
    sent = embeddings.sent if embeddings else ()
    safe += [f"SET LOCAL {entry.name}" for entry in sent if entry.local]
    loose = [f"SET {entry.name}" for entry in sent if not entry.local]
    if loose:
        return unmet(f"{listed(loose)}, for the rest of the session")
    if safe:
        return met(listed(safe), Strength.INFERRED)
    in_code = [fact.detail for fact in (repository.deployment if repository else ())
               if fact.kind == "setting" and fact.detail.startswith(names)]  # fmt: skip
    if in_code:
        return undecided(f"code sets {listed(in_code)}; whether LOCAL is not seen")
    return undecided("nothing sets them: the server's values hold for every search")


def embeddings_rarely_updated(evidence: Evidence) -> Verdict:
    """Rare: no more updates than inserts (each row embedded once), and a tenth of the rows besides, in the window."""
    catalog, usage = evidence.get(Catalog), evidence.get(Usage)
    tables = {table.oid: table for table, _ in _vector_columns(catalog)}
    if not tables:
        return absent("no vector column")
    if evidence.get(Server).is_standby:
        return unknown(Reason.DATABASE_NOT_GIVEN, "give the DSN of the primary: only it counts updates")
    days = evidence.require_window("window_days")
    used = [usage.table_by_oid[oid] for oid in tables if oid in usage.table_by_oid]
    often = sorted(
        tables[entry.table].subject.name
        for entry in used
        if entry.updated > entry.inserted + REPEATED_UPDATES * entry.live_tuples
    )
    if often:
        return unmet(f"updated often: {listed(often)}")
    return met(f"{len(used)} of {len(used)} tables with vectors, over {days_in_words(days)}")


def _vector_columns(catalog: Catalog) -> list[tuple[Table, Column]]:
    """Of tables; a partition shows its parent's columns again."""
    return [
        (table, column)
        for column in catalog.columns
        if column.base_type in VECTOR_TYPES
        and (table := catalog.table_by_oid.get(column.table)) is not None
        and table.kind in ("table", "partitioned")
        and not table.is_partition
        and table.extension is None
    ]


def _name(table: Table, column: Column) -> str:
    return qualified_name(table.schema, table.name, column.name)
