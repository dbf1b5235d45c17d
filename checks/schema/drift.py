"""Is the database what the migrations build?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from checks.evidence.database.facts import Catalog, Table
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import DeclaredTable, Repository
from checks.families import once_per_family
from checks.model import (
    Confidence,
    Examined,
    Finding,
    Fix,
    Location,
    Reason,
    Severity,
    Subject,
    Unknown,
    Unobserved,
    qualified_name,
)
from checks.registry import check
from checks.relations import is_of_the_application, is_reviewed
from checks.schema.differences import (
    DIFFERS,
    ONLY_DECLARED,
    ONLY_LIVE,
    Difference,
    label_differences,
    table_differences,
)
from checks.schema.lineages import Fit, Path, declared_names, fitting_lineages
from checks.schema.other_objects import object_differences

MAXIMUM_SINGLE = 5
SHOWN = 20

# Tables that libraries make when they start: LangGraph, LangChain, LlamaIndex, mem0, job queues, session stores, schedulers.
_MADE_AT_RUN_TIME = re.compile(
    r"checkpoints|checkpoint_(?:blobs|writes|migrations)|store|store_migrations|store_vectors|vector_migrations"
    r"|langchain_pg_\w+|langchain_\w+|data_\w+|mem0\w*|memories|vecs_\w+|upsertion_records?|chat_?message_history|message_store"
    r"|celery_\w+|kombu_\w+|apscheduler_jobs|procrastinate_\w+|pgqueuer\w*|rq_\w+|que_\w+|good_jobs?\w*|solid_\w+|oban_\w+"
    r"|graphile_\w+|pgmq_\w+|qrtz_\w+|batch_(?:job|step)_\w+|shedlock|session|sessions|spatial_ref_sys|geometry_columns"
    r"|pg_stat_\w+|awsdms_\w+|_?heartbeat|debezium_\w+|\w*migrations?|\w*schema_versions?",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"\d")


@check("schema.drift", catalogue="S131", severity=Severity.HIGH, needs=[Catalog, Repository])
@once_per_family
def drift(evidence: Evidence) -> Iterator[Finding | Examined]:
    """The database is not what its migrations build.

    What only the database has is lost at the next rebuild and missing in every test; what only the migrations have makes
    statements fail that passed in every test; the next migration meets a table that is not the one it was written for. The
    migrations are read in order, nothing of them is run; indexes and constraints that say the same under another name count
    as equal. Where several folders declare a table, a difference is one from all of them.

    Fix: Decide which of the two is right, and write a migration that leads there from either state.

    Example: Somebody ran CREATE INDEX ON orders (user_id) by hand in production: a server built from the migrations
    lacks it, and a later migration that makes it by the same name stops with "already exists".

    Source: PostgreSQL manual, "ALTER TABLE"; rubric SCH-3.1

    Observed: only_in_database, only_in_migrations, differs, migrations, tables
    """
    catalog, repository = evidence.get(Catalog), evidence.get(Repository)
    fits = fitting_lineages(repository, catalog, evidence.limit("lineage_share"))
    read = [fit for fit in fits if fit.lineage.complete]
    if not read:
        unread = next((place for fit in fits for place in fit.lineage.unread), None)
        where = f" at {unread.path}:{unread.line}" if unread else f" in {fits[0].lineage.folder}"
        raise Unknown(Reason.NOT_PARSED, f"a migration{where} could not be read: compare with pg_dump --schema-only")
    comparison = _Comparison(catalog, repository, read)
    findings = [*comparison.missing(), *comparison.tables(), *comparison.unknown_tables(), *comparison.objects()]
    yield from findings
    total = len(comparison.by_path) + len(comparison.only_live)
    unread = next((place for fit in fits for place in fit.lineage.unread), None)
    gap = Unobserved(Reason.NOT_PARSED, f"{unread.path}:{unread.line} could not be read") if unread else None
    left = sum(not fit.is_certain(table.name) for fit in read[:1] for table in fit.declared.values())
    yield Examined(max(total - left, 0), total, "tables", gap if left else None, unmet=comparison.unmet(findings))


class _Comparison:
    def __init__(self, catalog: Catalog, repository: Repository, fits: list[Fit]) -> None:
        self.catalog, self.repository, self.fits = catalog, repository, fits
        self.live = {
            (table.schema, table.name): table for table in catalog.tables if is_of_the_application(table)
        }  # views too: a name that exists is not missing
        self.by_path: dict[Path, list[tuple[Fit, DeclaredTable]]] = {}
        for fit in fits:
            for path, table in fit.declared.items():
                self.by_path.setdefault(path, []).append((fit, table))
        self.differences = {path: self._of_table(self.live[path], path) for path in self.by_path if path in self.live}
        self.only_live = self._only_live()

    def _of_table(self, table: Table, path: Path) -> list[Difference]:
        """What holds against every lineage that declares the table, as the first of them has it."""
        if table.kind not in ("table", "partitioned"):
            return []
        first, *others = [list(table_differences(self.catalog, table, entry, fit)) for fit, entry in self.by_path[path]]
        for other in others:
            shared = {entry.what for entry in other}
            first = [entry for entry in first if entry.what in shared]
        return first

    # Only in the migrations

    def _lacking(self) -> dict[Path, tuple[Fit, DeclaredTable]]:
        """Declared tables that do not exist, in no schema, and that every lineage like it declares."""
        found = {}
        for path, known in self.by_path.items():
            fit, table = known[0]
            alike = [other for other in self.fits if other is not fit and _overlap(fit, other)]
            if path in self.live or path[1] in self.catalog.tables_named or not fit.is_certain(table.name):
                continue
            if all(path in other.declared for other in alike):
                found[path] = (fit, table)
        return found

    def missing(self) -> Iterator[Finding]:
        """Migrations of which nothing is there, then single tables."""
        lacking = self._lacking()
        for fit in self.fits:
            for file, parts in self._not_run(fit, lacking).items():
                yield _not_run(fit, file, parts)
        for path, (fit, table) in lacking.items():
            yield Finding(
                Subject("table", path),
                f"Table {qualified_name(*path)} is in the migrations and not in the database",
                _fix(),
                confidence=Confidence.INFERRED,
                observed={"only_in_migrations": [f"table {qualified_name(*path)}"], "migrations": _folder(fit)},
                locations=(table.location,),
            )

    def _not_run(self, fit: Fit, lacking: dict[Path, tuple[Fit, DeclaredTable]]) -> dict[str, list[str]]:
        """Files of which all that they made and that should be there is lacking; it is taken out of what is told one by one."""
        made: dict[str, list[bool]] = {}
        gone: dict[str, list[str]] = {}
        for path, table in fit.declared.items():
            lost = {entry.what for entry in self.differences.get(path, ()) if entry.side == ONLY_DECLARED}
            made.setdefault(table.location.path, []).append(path in lacking)
            if path in lacking:
                gone.setdefault(table.location.path, []).append(f"table {qualified_name(*path)}")
                continue
            for file, what, label in _made_later(table):
                made.setdefault(file, []).append(what in lost)
                if what in lost:
                    gone.setdefault(file, []).append(f"{label} of {qualified_name(*path)}")
        if fit.lineage.files < 2:
            return {}
        whole = {
            file: sorted(parts, key=lambda part: not part.startswith("table "))
            for file, parts in gone.items()
            if all(made[file]) and (len(parts) > 1 or parts[0].startswith("table "))
        }
        numbered = _NUMBERED.search(fit.lineage.last) is not None
        for path, (other, table) in list(lacking.items()):
            if other is fit and table.location.path in whole:
                del lacking[path]
        for path, entries in self.differences.items():
            if path in fit.declared:
                self.differences[path] = [
                    entry
                    for entry in entries
                    if entry.side != ONLY_DECLARED or entry.location is None or entry.location.path not in whole
                ]
        # Scripts without a number beside each other are a choice, not a series.
        return whole if numbered else {}

    # Both

    def tables(self) -> Iterator[Finding]:
        for path, entries in self.differences.items():
            if entries:
                fit, _ = self.by_path[path][0]
                yield _differing(self.live[path].subject, entries, fit)

    # Only in the database

    def _only_live(self) -> list[Table]:
        known = declared_names(self.repository.lineages)
        schemas = {path[0] for path in self.by_path}
        prefixes = {f"{label}_" for fit in self.fits for label in fit.lineage.applications}
        modelled = {
            model.table for model in self.repository.models if model.orm in ("sqlalchemy", "django") or not model.table
        }
        found: list[Table] = []
        if any("table" in lineage.uncertain_kinds for lineage in self.repository.lineages):
            return found
        for table in self.catalog.tables:
            if not is_reviewed(table) or table.schema not in schemas or table.inherits:
                continue
            if table.name in known or table.name.lower() in known or table.name in modelled:
                continue
            if _MADE_AT_RUN_TIME.fullmatch(table.name):
                continue
            if prefixes and not table.name.startswith(tuple(prefixes)):
                continue
            found.append(table)
        return found

    def unknown_tables(self) -> Iterator[Finding]:
        by_schema: dict[str, list[Table]] = {}
        for table in self.only_live:
            by_schema.setdefault(table.schema, []).append(table)
        for schema, tables in by_schema.items():
            folder = _folder(self.fits[0])
            if len(tables) <= MAXIMUM_SINGLE:
                for table in tables:
                    yield Finding(
                        table.subject,
                        f"Table {table.subject.name} is in the database and in no migration",
                        _fix(),
                        severity=Severity.MEDIUM,
                        confidence=Confidence.INFERRED,
                        observed={"only_in_database": [f"table {table.subject.name}"], "migrations": folder},
                    )
                continue
            names = sorted(table.subject.name for table in tables)
            yield Finding(
                Subject("schema", (schema,)),
                f"{len(names)} tables of schema {qualified_name(schema)} are in the database and in no migration",
                _fix(),
                severity=Severity.MEDIUM,
                confidence=Confidence.INFERRED,
                observed={
                    "only_in_database": [f"table {name}" for name in names[:SHOWN]],
                    "tables": len(names),
                    "migrations": folder,
                },
            )

    def objects(self) -> Iterator[Finding]:
        """Views, functions, triggers and policies, and values of enumerated types."""
        for subject, entries, fit in label_differences(self.catalog, self.fits):
            yield _differing(subject, entries, fit)
        for subject, entries, fit in object_differences(self.catalog, self.repository.lineages, self.fits):
            yield _differing(subject, entries, fit, discriminator=entries[0].kind)

    def unmet(self, findings: Iterable[Finding]) -> int:
        """Tables that differ, and one for each other object."""
        return sum(int(finding.observed.get("tables", 1)) for finding in findings)


def _made_later(table: DeclaredTable) -> Iterator[tuple[str, str, str]]:
    """What other files did to a table than the one that created it: file, the difference that it would be, and its name. A
    column that one only changed is there in any case."""
    for column in table.columns:
        what = f"column {column.name}"
        if column.location.path != table.location.path:
            yield column.location.path, what, what
        if column.changed is not None and column.changed.path != column.location.path:
            yield column.changed.path, "", what
    for index in table.indexes:
        if index.location.path != table.location.path:
            word = "unique" if index.unique else "index"
            columns = ", ".join(column or "expression" for column in index.columns)
            yield index.location.path, f"{word} {index.name} ({columns})", f"index {index.name}"


def _overlap(one: Fit, other: Fit) -> bool:
    """Whether two lineages are two tellings of one schema."""
    shared = len(one.declared.keys() & other.declared.keys())
    return 2 * shared >= min(len(one.declared), len(other.declared))


def _folder(fit: Fit) -> str:
    return fit.lineage.folder or "."


def _not_run(fit: Fit, file: str, parts: list[str]) -> Finding:
    made = [table.location for table in fit.declared.values()]
    made += [column.location for table in fit.declared.values() for column in table.columns]
    place = min((location for location in made if location.path == file), default=Location(file, 1))
    return Finding(
        Subject("file", (file,)),
        f"Nothing that migration {file} makes is in the database: {_some(parts)}",
        Fix("Run the migrations on this database, or find out why it counts this one as run."),
        confidence=Confidence.INFERRED,
        observed={"only_in_migrations": parts[:SHOWN], "migrations": _folder(fit)},
        locations=(place,),
    )


def _differing(subject: Subject, entries: list[Difference], fit: Fit, discriminator: str = "") -> Finding:
    entries = sorted(entries, key=lambda entry: (_RANKS[_severity(entry)], entry.what))
    sides = {
        side: [entry.what for entry in entries if entry.side == side] for side in (ONLY_LIVE, ONLY_DECLARED, DIFFERS)
    }
    words = []
    if sides[ONLY_LIVE]:
        words.append(f"only the database has {_some(sides[ONLY_LIVE])}")
    if sides[ONLY_DECLARED]:
        words.append(f"only the migrations have {_some(sides[ONLY_DECLARED])}")
    if sides[DIFFERS]:
        words.append(_some(sides[DIFFERS]))
    places = tuple(dict.fromkeys(entry.location for entry in entries if entry.location))
    return Finding(
        subject,
        f"{subject.kind.capitalize()} {subject.name} differs from its migrations: {'; '.join(words)}",
        _fix(),
        severity=min((_severity(entry) for entry in entries), key=lambda severity: severity.rank),
        confidence=Confidence.INFERRED,
        observed={**{side: found[:SHOWN] for side, found in sides.items() if found}, "migrations": _folder(fit)},
        locations=places[:SHOWN],
        discriminator=discriminator,
    )


def _severity(entry: Difference) -> Severity:
    if entry.kind in ("index", "view", "function"):
        return Severity.MEDIUM if entry.side == ONLY_DECLARED else Severity.LOW
    return Severity.HIGH if entry.side == ONLY_DECLARED else Severity.MEDIUM


_RANKS = {severity: severity.rank for severity in Severity}


def _some(parts: list[str], shown: int = 3) -> str:
    more = f" and {len(parts) - shown} more" if len(parts) > shown else ""
    return ", ".join(parts[:shown]) + more


def _fix() -> Fix:
    return Fix(
        "Find out which of the two is right. Write what only the database has into a migration that tolerates that it exists "
        "(IF NOT EXISTS), and run or correct what only the migrations have."
    )
