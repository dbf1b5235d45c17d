"""Code that is right only while nobody else runs it."""

from __future__ import annotations

from collections.abc import Iterator

from checks.behaviours import Place, by_file, code_followed, file_subject, locations_of, places_of, table_of
from checks.evidence.database.facts import Catalog, Index, Server, Settings, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.evidence.repository.facts import Repository
from checks.evidence.sql import parse_tolerantly, walk
from checks.model import Confidence, Examined, Finding, Fix, Reason, Severity, Unknown
from checks.registry import check
from checks.relations import column_names
from checks.schema.code_keys import promised_by_looks
from checks.workload import (
    TEXT_LIMIT,
    observed_workload,
    place_in_words,
    short_text,
    statement_confidence,
    statement_figures,
    statement_in_words,
    statement_places,
    statement_subject,
    table_in_words,
    unread_statements,
)

_STRICT = frozenset({"serializable"})
_WAITS_FOR_LOCK = 1
_WHICH_QUEUE = frozenset("status state queue queue_name topic kind type event_type channel name".split())
_QUEUE_WORDS = ("job", "task", "queue", "outbox", "delivery", "deliveries", "webhook")


@check("plans.check-then-insert", catalogue="P59", severity=Severity.MEDIUM, needs=[Repository])
def check_then_insert(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Code looks whether a row is there, and inserts it if not.

    Two requests at once both find nothing and both insert. With a unique constraint the second one fails with an error that
    nobody expects; without one there are two rows, and everything that looks for one of them is wrong from then on. The latter
    is told by schema.uniqueness-only-in-code where the table is known.

    Fix: INSERT ... ON CONFLICT DO NOTHING (or DO UPDATE) on a unique constraint, and no look before it.

    Example: if not session.query(Tag).filter_by(name=name).first(): session.add(Tag(name=name)): two requests at once add the
    tag twice, or one fails; INSERT INTO tags (name) VALUES ($1) ON CONFLICT (name) DO NOTHING does neither.

    Source: PostgreSQL manual, "INSERT", "ON CONFLICT Clause"; "Transaction Isolation"

    Observed: table, columns, unique_constraint, statement
    """
    places = _racing(evidence, "check_then_insert")
    # Where nothing keeps two rows apart that is said of the table, once.
    told = promised_by_looks(evidence) if evidence.find(Catalog) else set()
    in_loops = {place.location for place in places_of(evidence, "insert_in_loop")}
    yield code_followed(evidence, unmet=len(places))
    for place in places:
        table = table_of(evidence, place)
        columns = [name.strip().strip('"') for name in place.behaviour.detail.split(",") if name.strip()]
        unique = _unique_over(evidence, table, columns)
        if table is not None and (table.oid, frozenset(columns)) in told:
            continue
        if unique is None and place.behaviour.other in in_loops:
            # Several rows of that value are meant to be: what is looked for is whether there is any.
            continue
        name = _table_in_words(evidence, place)
        outcome = "the second of two requests fails" if unique else "two requests insert it twice"
        yield Finding(
            file_subject(place),
            f"A row of {name} is looked for by {' and '.join(columns[:3]) or 'a value'} and then inserted: {outcome} "
            f"({place.location.path}:{place.location.line})",
            Fix("INSERT ... ON CONFLICT DO NOTHING RETURNING, on that constraint, and no look before it."
                if unique else
                "Give these columns a unique constraint first (duplicates out of the way), then INSERT ... ON CONFLICT."),
            severity=Severity.NOTE if unique else Severity.MEDIUM if table else Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={"table": name, "columns": columns, "unique_constraint": unique.name if unique else None,
                      "statement": short_text(place.behaviour.text or "", TEXT_LIMIT)},
            related=(table.subject,) if table else (),
            locations=locations_of([place]),
            discriminator=f"{place.behaviour.function or ''}:{place.behaviour.table}",
        )  # fmt: skip


def _table_in_words(evidence: Evidence, place: Place) -> str:
    catalog, table = evidence.find(Catalog), table_of(evidence, place)
    return table_in_words(catalog, table.oid) if catalog and table else place.behaviour.table or "a table"


def _racing(evidence: Evidence, kind: str) -> list[Place]:
    """The places of that kind, without those in functions, or under a default, that run serializable."""
    settings, server = evidence.find(Settings), evidence.find(Server)
    database = server.database if server else ""
    if settings is not None and settings.value("default_transaction_isolation", "", database) in _STRICT:
        return []
    strict = {
        (place.location.path, place.behaviour.function)
        for place in places_of(evidence, "isolation_level")
        if place.behaviour.detail in _STRICT
    }
    return [
        place
        for place in places_of(evidence, kind)
        if (place.location.path, place.behaviour.function) not in strict and place.behaviour.certain
    ]


def _unique_over(evidence: Evidence, table: Table | None, columns: list[str]) -> Index | None:
    """A unique index that two such rows would violate."""
    catalog = evidence.find(Catalog)
    if catalog is None or table is None:
        return None
    compared = set(columns)
    for index in catalog.indexes_of(table.oid):
        names = set(column_names(catalog, index.table, [number for number in index.columns if number]))
        if not index.unique or not index.valid or not names:
            continue
        further = [catalog.column_named(index.table, name) for name in names - compared]
        told_apart = index.nulls_not_distinct or all(column and column.not_null for column in further)
        if names <= compared or (compared <= names and told_apart):
            return index
    return None


@check("plans.lost-update", catalogue="P59", severity=Severity.MEDIUM, needs=[Repository])
def lost_update(evidence: Evidence) -> Iterator[Finding | Examined]:
    """A value is read, changed in code and written back, without a lock.

    Two requests read the same balance or counter, both add to what they read, and the second write undoes the first. No error, no
    log: the figures are simply wrong.

    Fix: Let the database compute it (SET n = n + $1), or SELECT ... FOR UPDATE in the same transaction, or compare a version
    column in the UPDATE's WHERE.

    Example: user = session.get(User, id); user.credits = user.credits - cost; session.commit(): of two requests at once, one is
    free; UPDATE users SET credits = credits - $1 WHERE id = $2 takes both.

    Source: PostgreSQL manual, "Transaction Isolation", "Read Committed Isolation Level"; "Explicit Locking"

    Observed: table, attribute, statement
    """
    places = _racing(evidence, "read_modify_write")
    yield code_followed(evidence, unmet=len(places))
    for place in places:
        table = table_of(evidence, place)
        name = _table_in_words(evidence, place)
        yield Finding(
            file_subject(place),
            f"{place.behaviour.detail} of {name} is read, changed and written back without a lock "
            f"({place.location.path}:{place.location.line})",
            Fix(f"UPDATE ... SET {place.behaviour.detail} = {place.behaviour.detail} + $1, or lock the row first (FOR UPDATE)."),
            confidence=Confidence.INFERRED,
            observed={"table": name, "attribute": place.behaviour.detail,
                      "statement": short_text(place.behaviour.text or "", TEXT_LIMIT)},
            related=(table.subject,) if table else (),
            locations=locations_of([place]),
            discriminator=f"{place.behaviour.function or ''}:{place.behaviour.table}:{place.behaviour.detail}",
        )  # fmt: skip


@check("plans.queue-without-skip-locked", catalogue="P60", severity=Severity.MEDIUM, needs=[])
def queue_without_skip_locked(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Workers take jobs from a table without SKIP LOCKED.

    With FOR UPDATE alone every worker waits for the same first row, so that ten of them do the work of one; without any lock two
    of them take the same job, and it is done twice.

    Fix: SELECT ... FOR UPDATE SKIP LOCKED LIMIT n in the transaction that marks them taken, or one UPDATE ... RETURNING over such
    a subquery; and a partial index on the rows that wait.

    Example: SELECT id FROM jobs WHERE state = 'queued' ORDER BY id LIMIT 1 FOR UPDATE: nine of ten workers wait for the first
    row; FOR UPDATE SKIP LOCKED gives each another.

    Source: PostgreSQL manual, "SELECT", "The Locking Clause"

    Observed: table, calls, mean_ms, statement
    """
    if evidence.find(Repository) is None and evidence.find(Catalog) is None:
        raise Unknown(Reason.REPO_NOT_GIVEN, "give the path of the application's repository")
    workload = observed_workload(evidence)
    yield Examined(len(workload), len(workload), "statements", gap=unread_statements(evidence))
    reported = set()
    for pattern in workload:
        if _waits_in_line(pattern):
            places = statement_places(evidence, pattern)
            reported |= {place.path for place in places}
            words = statement_in_words(pattern, evidence.find(Catalog))
            yield Finding(
                statement_subject(pattern),
                f"Workers wait for each other at the head of a queue: {words}{place_in_words(places)}",
                Fix("Add SKIP LOCKED, so that each worker takes the next rows that are free."),
                confidence=statement_confidence(pattern),
                observed=statement_figures(evidence, pattern),
                locations=places,
            )
    if evidence.find(Repository) is None:
        return
    for path, found in by_file(places_of(evidence, "queue_poll")).items():
        if path in reported:
            continue
        place = found[0]
        table = table_of(evidence, place)
        name = _table_in_words(evidence, place)
        locks = "FOR UPDATE" in (place.behaviour.text or "").upper()
        yield Finding(
            file_subject(place),
            f"Rows of {name} that wait are taken {'in line' if locks else 'without a lock'}: two workers "
            f"{'wait for the same one' if locks else 'take the same one'} ({place.location.path}:{place.location.line})",
            Fix("Take and mark them in one statement: UPDATE ... WHERE id IN (SELECT id ... FOR UPDATE SKIP LOCKED LIMIT n) "
                "RETURNING *; or one worker alone, held by an advisory lock."),
            confidence=Confidence.INFERRED,
            observed={"table": name, "statement": short_text(place.behaviour.text or "", TEXT_LIMIT)},
            related=(table.subject,) if table else (),
            locations=locations_of(found),
        )  # fmt: skip


def _waits_in_line(pattern: AccessPattern) -> bool:
    """Locks the first rows of a table of work, sorted, and waits where another has locked them."""
    lowered = pattern.text.lower()
    if pattern.verb not in {"select", "update", "delete"} or pattern.skip_locked or "for" not in lowered:
        return False
    if not any(word in lowered for word in _QUEUE_WORDS) or "limit" not in lowered:
        return False
    if any(entry.operator == "=" and entry.other is None and entry.column.column.lower() not in _WHICH_QUEUE
           for entry in pattern.comparisons) and pattern.verb == "select":  # fmt: skip
        # The rows of one owner, whose requests are to come one after the other.
        return False
    if any(key.descending for key in pattern.order_by):
        return False
    tree = parse_tolerantly(pattern.text)
    if tree is None:
        return False
    for message in walk(tree):
        if message.DESCRIPTOR.name == "SelectStmt" and message.locking_clause and message.sort_clause:
            waits = any(entry.locking_clause.wait_policy == _WAITS_FOR_LOCK for entry in message.locking_clause)
            tables = [part.range_var.relname for part in message.from_clause if part.HasField("range_var")]
            named = any(word in name for name in tables for word in _QUEUE_WORDS)
            if waits and named and message.HasField("limit_count"):
                return True
    return False
