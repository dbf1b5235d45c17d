"""Statements that code sends one by one, where one statement would do for all."""

from __future__ import annotations

from collections.abc import Iterator

from checks.behaviours import (
    Place,
    by_file,
    code_followed,
    counted_long,
    file_subject,
    locations_of,
    places_of,
    ran_seldom,
    table_of,
)
from checks.evidence.database.facts import Catalog, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern
from checks.evidence.repository.facts import Repository
from checks.model import Confidence, Examined, Finding, Fix, Location, Severity, Subject
from checks.plans.lookups import listing_of, looks_up
from checks.registry import check
from checks.workload import TEXT_LIMIT, pattern_by_query_id, short_text, statement_in_words, workload_seen

SHOWN = 5
# A loop whose INSERT begins further below does something before it.
BESIDE_LINES = 12


@check("plans.n-plus-one", catalogue="P57", severity=Severity.MEDIUM, needs=[Repository])
def n_plus_one(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Code sends a query for each element of a list.

    One query lists, and then one more runs for each of its rows: with ten rows nobody notices, with a thousand a page waits for a
    thousand round trips, and no index helps. Where the statements ran, the ratio of their calls says whether it happens.

    Fix: Fetch what the loop needs before it: a join, `WHERE id = ANY($1)` over all keys, or the ORM's eager loading
    (selectinload, prefetch_related, include).

    Example: for post in Post.objects.all(): print(post.author.name): one query for the posts and one for each author;
    Post.objects.select_related('author') is one.

    Source: SQLAlchemy documentation, "Relationship Loading Techniques"; Prisma documentation, "Query optimization"

    Observed: loops, statement, calls, listed_by, calls_per_list
    """
    places = [place for place in places_of(evidence, "query_in_loop", "lazy_load") if _is_lookup(evidence, place)]
    listed = {id(place): listing for place in places if (listing := _listing(evidence, place)) is not None}
    yield code_followed(evidence, unmet=len(places))
    for place in places:
        if id(place) in listed:
            yield _measured(evidence, place, listed[id(place)])
    inserted = _inserted(evidence)
    unlisted = [place for place in places if id(place) not in listed and not _is_look_before_insert(inserted, place)]
    for found in by_file(unlisted).values():
        yield _read_in_code(evidence, found)


def _inserted(evidence: Evidence) -> frozenset[tuple[Location | None, str | None]]:
    """The loops that insert row by row, and into which tables."""
    places = (place.behaviour for place in places_of(evidence, "insert_in_loop") if place.behaviour.certain)
    return frozenset((behaviour.other, behaviour.table) for behaviour in places)


def _is_look_before_insert(inserted: frozenset[tuple[Location | None, str | None]], place: Place) -> bool:
    """Whether the loop looks for a row that it inserts if it is not there: what is said of its INSERT mends both."""
    return place.behaviour.kind != "lazy_load" and (place.behaviour.other, place.behaviour.table) in inserted


def _is_lookup(evidence: Evidence, place: Place) -> bool:
    """Whether it finds rows by a value of the loop's element, and nothing that only one at a time can be asked for: a search by
    distance, a page, a lock."""
    if place.behaviour.kind == "lazy_load":
        return True
    pattern = place.pattern
    if pattern is None or pattern.verb != "select" or place.behaviour.table is None:
        return False
    if evidence.find(Catalog) and not pattern.tables:
        # Not of this database.
        return False
    if pattern.distances or (pattern.limit or 0) > 1 or "FOR UPDATE" in pattern.text.upper():
        return False
    if any(entry.under_or for entry in pattern.comparisons):
        # It asks for many at once already.
        return False
    return any(entry.operator == "=" and entry.other is None for entry in pattern.comparisons)


def _listing(evidence: Evidence, place: Place) -> AccessPattern | None:
    """The statement whose rows it is sent for, if the calls of both say so."""
    catalog, ran = evidence.find(Catalog), place.ran
    if catalog is None or ran is None or ran.calls < evidence.limit("chatty_calls_min"):
        return None
    pattern = pattern_by_query_id(evidence).get(ran.query_id)
    if pattern is None or not looks_up(catalog, pattern):
        return None
    selects = [entry for entry in workload_seen(evidence) if entry.verb == "select" and entry.query_id]
    return listing_of(evidence, catalog, pattern, ran, selects)


def _measured(evidence: Evidence, place: Place, listing: AccessPattern) -> Finding:
    catalog, statements, ran = evidence.get(Catalog), evidence.get(Statements), place.ran
    assert ran is not None
    assert place.pattern is not None
    each = ran.calls / max(statements.by_id[listing.query_id or ""].calls, 1)
    share = ran.calls / max(sum(entry.calls for entry in statements.entries), 1)
    return Finding(
        file_subject(place),
        f"A loop sends {statement_in_words(place.pattern, catalog)} {each:.0f} times for each "
        f"{statement_in_words(listing, catalog)} ({place.location.path}:{place.location.line})",
        _fix(place),
        severity=Severity.HIGH if share >= evidence.limit("chatty_calls_share") else Severity.MEDIUM,
        confidence=Confidence.MEASURED,
        observed={"loops": 1, "statement": short_text(ran.text, TEXT_LIMIT), "calls": ran.calls,
                  "calls_share": round(share, 4), "listed_by": short_text(listing.text, TEXT_LIMIT),
                  "calls_per_list": round(each, 1)},
        related=(Subject("statement", (ran.query_id,)), Subject("statement", (listing.query_id or "",))),
        locations=tuple(dict.fromkeys((*locations_of([place]), *listing.locations))),
        discriminator=f"{place.behaviour.function or ''}:{ran.query_id}",
    )  # fmt: skip


def _read_in_code(evidence: Evidence, places: list[Place]) -> Finding:
    first = min(places, key=lambda place: (ran_seldom(evidence, place), not place.behaviour.certain, place.location))
    loops = len({place.behaviour.other or place.location for place in places})
    where = f"{first.location.path}:{first.location.line}"
    title = f"A loop sends {_words(evidence, first)} for each element ({where})"
    if loops > 1:
        title = f"{loops} loops send a query for each element, such as {_words(evidence, first)} ({where})"
    return Finding(
        file_subject(first),
        title,
        _fix(first),
        severity=_severity(evidence, places),
        confidence=Confidence.INFERRED,
        observed={"loops": loops, "statement": short_text(first.behaviour.text or "", TEXT_LIMIT),
                  "calls": first.ran.calls if first.ran else None},
        related=_tables(evidence, places),
        locations=locations_of(places),
    )  # fmt: skip


def _severity(evidence: Evidence, places: list[Place]) -> Severity:
    """A loop that also writes does one piece of work after the other: reading ahead saves it less."""
    if all(ran_seldom(evidence, place) for place in places):
        return Severity.NOTE
    writing = {
        place.behaviour.other
        for place in places_of(evidence, "query_in_loop", "insert_in_loop")
        if place.behaviour.detail != "select"
    }
    only_reads = any(place.behaviour.certain and place.behaviour.other not in writing for place in places)
    ran = [place for place in places if place.ran and place.ran.calls >= evidence.limit("chatty_calls_min")]
    if counted_long(evidence) and not ran:
        # The server counts statements, and this one is not among those that are sent often.
        return Severity.LOW if only_reads else Severity.NOTE
    return Severity.MEDIUM if only_reads else Severity.LOW


def _only_inserts(evidence: Evidence, place: Place) -> bool:
    """Whether the loop stands beside the INSERT and sends nothing else: one that does a piece of work for each row, a file or
    a call to a service, is not held up by it."""
    loop = place.behaviour.other
    if loop is None or loop.path != place.location.path or abs(loop.line - place.location.line) > BESIDE_LINES:
        return False
    return not any(
        other.behaviour.other == loop and other.behaviour.detail != "insert"
        for other in places_of(evidence, "query_in_loop", "insert_in_loop")
    )


def _words(evidence: Evidence, place: Place) -> str:
    if place.pattern is None:
        return f"a query for {place.behaviour.detail or 'a relation'}"
    return statement_in_words(place.pattern, evidence.find(Catalog))


def _fix(place: Place) -> Fix:
    if place.behaviour.kind == "lazy_load":
        return Fix(
            f"Load {place.behaviour.detail} with the list: selectinload() or joinedload(), prefetch_related(), include."
        )
    return Fix("Collect the keys first and fetch all rows with one statement (a join, or `= ANY($1)`); in an ORM by eager "
               "loading of that relation. A walk up or down a tree is one statement too (WITH RECURSIVE).")  # fmt: skip


def _tables(evidence: Evidence, places: list[Place]) -> tuple[Subject, ...]:
    tables = (table_of(evidence, place) for place in places)
    return tuple(dict.fromkeys(table.subject for table in tables if table is not None))[:SHOWN]


@check("plans.row-by-row-insert", catalogue="P58", severity=Severity.LOW, needs=[Repository])
def row_by_row_insert(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Rows are inserted one by one in a loop.

    Each INSERT is a round trip, and without a transaction around the loop a commit that waits for the disk. A thousand rows in
    one statement take about as long as ten alone. Where the loop does more for each row than to insert it, it is a note.

    Fix: INSERT with many VALUES or unnest($1, $2), the ORM's bulk insert (insert().values([...]), bulk_create, createMany), or
    COPY for thousands.

    Example: for row in rows: cur.execute("INSERT INTO events VALUES (%s, %s)", row) for 10,000 rows takes 10,000 round trips;
    cur.executemany() of psycopg 3, or COPY, sends them together.

    Source: PostgreSQL manual, "Populating a Database"

    Observed: loops, tables, statement, calls, rows_per_call
    """
    places = [place for place in places_of(evidence, "insert_in_loop") if place.behaviour.certain]
    yield code_followed(evidence, unmet=len(places))
    for found in by_file(places).values():
        first = max(found, key=lambda place: place.ran.calls if place.ran else 0)
        often = first.ran is not None and first.ran.calls >= 10 * evidence.limit("chatty_calls_min")
        seldom = all(ran_seldom(evidence, place) or not _only_inserts(evidence, place) for place in found)
        tables = sorted({place.behaviour.table or "a table" for place in found})
        yield Finding(
            file_subject(first),
            f"Rows of {', '.join(tables[:2])}{f' and {len(tables) - 2} more tables' if len(tables) > 2 else ''} are inserted one "
            f"by one in a loop ({first.location.path}:{first.location.line})",
            Fix("Collect the rows and insert them with one statement, or COPY; ON CONFLICT spares a look before each. At least "
                "put one transaction around the loop."),
            severity=Severity.MEDIUM if often else Severity.NOTE if seldom else Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={"loops": len({place.behaviour.other for place in found}), "tables": tables,
                      "statement": short_text(first.behaviour.text or "", TEXT_LIMIT),
                      "calls": first.ran.calls if first.ran else None},
            related=_tables(evidence, found),
            locations=locations_of(found),
        )  # fmt: skip
