"""What code does around its statements, as checks speak of it: which of it there is, and whether its statements ran."""

from __future__ import annotations

import msgspec

from checks.evidence.database.facts import Catalog, Statement, Statements, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import AccessPattern, read_pattern
from checks.evidence.repository.facts import Behaviour, Repository
from checks.model import Examined, Location, NotApplicable, Reason, Subject, Unobserved

_FOLLOWED = frozenset(["py", "ts", "tsx", "js", "jsx", "mjs", "cjs", "mts", "cts"])
_NOT_FOLLOWED = Unobserved(Reason.NOT_PARSED, "the code around statements is followed in Python and TypeScript only")


class Place(msgspec.Struct, frozen=True):
    """A behaviour, what its statement does, and the statement that ran from there, if one did."""

    behaviour: Behaviour
    pattern: AccessPattern | None
    ran: Statement | None = None

    @property
    def location(self) -> Location:
        return self.behaviour.location


def places_of(evidence: Evidence, *kinds: str) -> list[Place]:
    """The behaviours of these kinds, in the order of their places. Raises Unknown without a repository."""
    repository, catalog, statements = evidence.get(Repository), evidence.find(Catalog), evidence.find(Statements)
    ids: dict[Location, str] = {}
    for match in repository.matches:
        ids.setdefault(match.location, match.query_id)
    # A statement's place is where its text begins, a behaviour's where it is sent.
    sent: dict[tuple[str, str], str] = {}
    for statement in repository.statements:
        if statement.location in ids:
            sent[statement.location.path, statement.text] = ids[statement.location]
    for call in repository.calls:
        if call.location in ids:
            sent[call.location.path, call.text] = ids[call.location]
    found = []
    for entry in repository.behaviours:
        if entry.kind in kinds:
            pattern = read_pattern(entry.text, catalog, locations=(entry.location,)) if entry.text else None
            query_id = sent.get((entry.location.path, entry.text or "")) or ids.get(entry.location, "")
            ran = statements.by_id.get(query_id) if statements else None
            found.append(Place(entry, pattern, ran))
    return found


def code_followed(evidence: Evidence, unmet: int | None = None) -> Examined:
    """How many of the statements in code stand where their surroundings were read. Raises NotApplicable without any."""
    repository = evidence.get(Repository)
    places = [statement.location.path for statement in repository.statements]
    places += [call.location.path for call in repository.calls]
    if not places:
        raise NotApplicable("no statement was found in the code")
    followed = sum(path.rpartition(".")[2].lower() in _FOLLOWED for path in places)
    # Files of SQL alone have no code around them.
    total = sum(not path.lower().endswith(".sql") for path in places)
    gap = _NOT_FOLLOWED if followed < total / 2 else None
    return Examined(followed, max(total, followed), "statements in code", gap=gap, unmet=unmet)


def by_file(places: list[Place]) -> dict[str, list[Place]]:
    """The places of each file together, which one change puts right."""
    found: dict[str, list[Place]] = {}
    for place in places:
        found.setdefault(place.location.path, []).append(place)
    return found


def file_subject(place: Place) -> Subject:
    return Subject("file", (place.location.path,))


def locations_of(places: list[Place]) -> tuple[Location, ...]:
    """Every place with its second one, without repetition."""
    found = [spot for place in places for spot in (place.location, place.behaviour.other) if spot is not None]
    return tuple(dict.fromkeys(found))


def table_of(evidence: Evidence, place: Place) -> Table | None:
    """The table of the catalog that the behaviour is about: the one its statement names, else one of that name."""
    catalog = evidence.find(Catalog)
    if catalog is None:
        return None
    if place.pattern is not None:
        for oid in place.pattern.tables:
            table = catalog.table_by_oid.get(oid)
            if table is not None and place.behaviour.table in {None, table.name, f"{table.schema}.{table.name}"}:
                return table
    named = [table for table in catalog.tables if table.name == place.behaviour.table]
    return named[0] if len(named) == 1 else next((table for table in named if table.schema == "public"), None)


def ran_seldom(evidence: Evidence, place: Place) -> bool:
    """Whether its statement ran, and so seldom, in a time long enough, that nobody is kept waiting by it."""
    if place.ran is None or place.ran.calls >= evidence.limit("chatty_calls_min"):
        return False
    return counted_long(evidence)


def counted_long(evidence: Evidence) -> bool:
    """Whether statements were counted for a time long enough that what ran often is among them."""
    server, statements = evidence.server, evidence.find(Statements)
    if isinstance(server, Unobserved) or statements is None or statements.since is None:
        return False
    return (server.observed_at - statements.since).total_seconds() >= evidence.limit("window_days") * 86_400
