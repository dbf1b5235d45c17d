"""Transactions that wait for each other, because they lock the same tables in different orders."""

from __future__ import annotations

from collections.abc import Iterator

from checks.behaviours import Place, code_followed, counted_long, file_subject, locations_of, places_of
from checks.evidence.database.facts import Catalog, Usage
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.model import Confidence, Examined, Finding, Fix, Severity
from checks.registry import check


@check("plans.inconsistent-lock-order", catalogue="P64", severity=Severity.LOW, needs=[Repository])
def inconsistent_lock_order(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Transactions lock rows of the same tables in different orders.

    One has updated an order and waits for its customer, the other has updated the customer and waits for the order: neither can
    go on, and after deadlock_timeout PostgreSQL ends one of them with an error. It happens under load only. Tables count that a
    foreign key ties together, for their rows are locked in pairs.

    Fix: One order everywhere, say the parent before its children; or lock what is needed at the beginning, by key, with one
    SELECT ... FOR UPDATE of the parent.

    Example: pay() updates orders and then accounts, refund() updates accounts and then orders: "deadlock detected", when both
    are about one customer.

    Source: PostgreSQL manual, "Deadlocks"

    Observed: tables, deadlocks
    """
    places = places_of(evidence, "lock_order")
    yield code_followed(evidence, unmet=0)
    by_order: dict[tuple[str, str], list[Place]] = {}
    for place in places:
        by_order.setdefault((place.behaviour.table or "", place.behaviour.detail), []).append(place)
    tied = _tied(evidence)
    by_functions: dict[frozenset[tuple[str, str | None]], list[tuple[Place, Place]]] = {}
    for (first, second), found in sorted(by_order.items()):
        reverse = by_order.get((second, first), [])
        if first >= second or (tied is not None and frozenset((first, second)) not in tied):
            continue
        pairs = [(one, other) for one in found for other in reverse if _function(one) != _function(other)]
        if pairs:
            # Of several, the two functions that were named for other tables already.
            chosen = next((pair for pair in pairs if frozenset(map(_function, pair)) in by_functions), pairs[0])
            by_functions.setdefault(frozenset(map(_function, chosen)), []).append(chosen)
    deadlocks = _deadlocks(evidence)
    for couples in by_functions.values():
        yield _finding(evidence, couples, deadlocks)


def _finding(evidence: Evidence, couples: list[tuple[Place, Place]], deadlocks: int | None) -> Finding:
    one, other = couples[0]
    first, second = one.behaviour.table or "", one.behaviour.detail
    tables = sorted({name for couple, _ in couples for name in (couple.behaviour.table or "", couple.behaviour.detail)})
    more = f", as {len(tables) - 2} more of their tables are" if len(tables) > 2 else ""
    return Finding(
        file_subject(one),
        f"{first} is locked before {second} ({_where(one)}), and after it elsewhere ({_where(other)}){more}",
        Fix("Lock both in one order everywhere: the parent before its children."),
        severity=_severity(evidence, deadlocks),
        confidence=Confidence.INFERRED,
        observed={"tables": tables, "deadlocks": deadlocks},
        locations=tuple(dict.fromkeys(place for couple in couples for place in locations_of(list(couple)))),
        discriminator=f"{first}:{second}",
    )


def _function(place: Place) -> tuple[str, str | None]:
    return place.location.path, place.behaviour.function


def _where(place: Place) -> str:
    return f"{place.location.path}:{place.location.line}"


def _tied(evidence: Evidence) -> set[frozenset[str]] | None:
    """Pairs of tables of which one refers to the other, by their bare names; None without a catalog."""
    catalog = evidence.find(Catalog)
    if catalog is None:
        return None
    names = {table.oid: table.name.casefold() for table in catalog.tables}
    return {
        frozenset((names[constraint.table], names[constraint.referenced_table]))
        for constraint in catalog.constraints
        if constraint.kind == "foreign_key" and constraint.referenced_table in names and constraint.table in names
    }


def _deadlocks(evidence: Evidence) -> int | None:
    usage = evidence.find(Usage)
    counted = usage.database.get("deadlocks") if usage else None
    return int(counted) if counted is not None else None


def _severity(evidence: Evidence, deadlocks: int | None) -> Severity:
    """By whether deadlocks happen; none in a long time says that load has not brought them together."""
    if deadlocks:
        return Severity.MEDIUM
    return Severity.NOTE if deadlocks == 0 and counted_long(evidence) else Severity.LOW
