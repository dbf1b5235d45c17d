"""What code expects of its session or transaction, and the pooler or the outside world does not keep."""

from __future__ import annotations

from collections.abc import Iterator

from checks.behaviours import by_file, code_followed, file_subject, locations_of, places_of
from checks.evidence.database.facts import Activity, Server
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import DeploymentFact, Repository
from checks.model import Confidence, Examined, Finding, Fix, Location, NotApplicable, Severity, Subject
from checks.registry import check

# What a client says to keep its driver from preparing, or a pooler that follows prepared statements.
_SWITCHED_OFF = ("= 0", "= None", "= false", "pgbouncer=true", "prepared_statement_name_func")
_FOLLOWS = ("max_prepared_statements", "pgcat", "supavisor")
# The session keeps these beyond the transaction in which they were asked for, and the next client of it finds them.
_HARMLESS = frozenset({"SET application_name", "SET client_encoding", "SET datestyle"})


def _transaction_pooler(evidence: Evidence) -> tuple[str, tuple[Location, ...]]:
    """What says that connections are pooled by transaction, and where. Raises NotApplicable if nothing does."""
    repository, server = evidence.get(Repository), evidence.find(Server)
    facts = [
        fact
        for fact in repository.deployment
        if fact.kind == "pooler" and fact.detail.replace(" ", "") == "pool_mode=transaction"
    ]
    if facts:
        return f"{facts[0].detail} in {facts[0].location.path}", tuple(fact.location for fact in facts)
    urls = [entry for entry in repository.behaviours if entry.detail == "pgbouncer=true"]
    if urls:
        return f"pgbouncer=true in {urls[0].location.path}", tuple(entry.location for entry in urls)
    if server is not None and server.through_pooler:
        return "a pooler between us and the server", ()
    raise NotApplicable("nothing says that connections are pooled by transaction")


@check("plans.prepared-with-transaction-pooling", catalogue="P62", severity=Severity.MEDIUM, needs=[Repository])
def prepared_with_transaction_pooling(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Statements are prepared on sessions that belong to somebody else a moment later.

    A pooler in transaction mode gives each transaction another server session. What was prepared on one is missing on the next
    ("prepared statement does not exist"), or is there already under the same name, now and then and only under load.

    Fix: No PREPARE in SQL; for what the driver prepares, PgBouncer 1.21 or later with max_prepared_statements above zero, or the
    driver's switch (statement_cache_size=0, prepare_threshold=None, prepare: false).

    Example: asyncpg.connect() through PgBouncer in transaction mode without max_prepared_statements: "prepared statement
    "__asyncpg_stmt_1__" does not exist". With statement_cache_size=0, or PgBouncer 1.21 and max_prepared_statements = 200, it
    works.

    Source: PgBouncer documentation, "max_prepared_statements"; asyncpg FAQ

    Observed: pooler, prepares
    """
    pooler, where = _transaction_pooler(evidence)
    repository = evidence.get(Repository)
    by_hand = [place for place in places_of(evidence, "session_state") if place.behaviour.detail == "PREPARE"]
    kept = [
        place
        for place in places_of(evidence, "prepared_statement")
        if not place.behaviour.detail.endswith(_SWITCHED_OFF) and not _is_off(place.behaviour.detail)
    ]
    yield code_followed(evidence, unmet=len(by_hand) + len(kept))
    follows = any(_says_it_follows(fact) for fact in repository.deployment)
    for found in by_file([*by_hand, *([] if follows else kept)]).values():
        first = found[0]
        yield Finding(
            file_subject(first),
            f"Statements are prepared ({first.behaviour.detail}) while connections are pooled by transaction "
            f"({first.location.path}:{first.location.line})",
            Fix("Leave preparing to the driver, and have the pooler follow it: max_prepared_statements = 200 in PgBouncer 1.21 "
                "and later; or switch it off in the driver."),
            confidence=Confidence.INFERRED,
            observed={"pooler": pooler, "prepares": sorted({place.behaviour.detail for place in found})},
            locations=(*locations_of(found), *where),
        )  # fmt: skip


def _is_off(detail: str) -> bool:
    return detail in _SWITCHED_OFF or detail.startswith("max_cached_statement_lifetime")


def _says_it_follows(fact: DeploymentFact) -> bool:
    return fact.kind in {"pooler", "setting"} and any(word in fact.detail for word in _FOLLOWS)


@check("plans.session-state-with-transaction-pooling", catalogue="N26", severity=Severity.MEDIUM, needs=[Repository])
def session_state_with_transaction_pooling(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Code sets or holds something on a session that belongs to somebody else a moment later.

    A pooler in transaction mode gives each transaction another server session: SET without LOCAL stays behind for a stranger
    (another tenant's search_path or role among them), LISTEN hears nothing, an advisory lock is never released by who took it, a
    temporary table is gone.

    Fix: SET LOCAL or set_config(..., true) within the transaction, ALTER ROLE for what always holds, pg_advisory_xact_lock(); a
    direct connection for LISTEN.

    Example: SET search_path = tenant_7 through PgBouncer in transaction mode: the next client of that server session reads the
    tables of tenant 7. SET LOCAL in the transaction ends with it.

    Source: PgBouncer documentation, "Features", "SQL feature map for pooling modes"

    Observed: pooler, states
    """
    pooler, where = _transaction_pooler(evidence)
    places = [
        place
        for place in places_of(evidence, "session_state")
        if place.behaviour.detail != "PREPARE" and place.behaviour.detail not in _HARMLESS
    ]
    yield code_followed(evidence, unmet=len(places))
    for found in by_file(places).values():
        first = found[0]
        states = sorted({place.behaviour.detail for place in found})
        dangerous = any(state.startswith(("SET search_path", "SET role", "SET row_security")) or "." in state
                        for state in states)  # fmt: skip
        yield Finding(
            file_subject(first),
            f"{', '.join(states[:3])}{' and more' if len(states) > 3 else ''} on a session, while connections are pooled by "
            f"transaction ({first.location.path}:{first.location.line})",
            Fix(
                "SET LOCAL in the same transaction, pg_advisory_xact_lock(), a direct connection for LISTEN and session locks."
            ),
            severity=Severity.HIGH if dangerous else Severity.MEDIUM,
            confidence=Confidence.INFERRED,
            observed={"pooler": pooler, "states": states},
            locations=(*locations_of(found), *where),
        )


@check("plans.external-call-in-transaction", catalogue="N31", severity=Severity.MEDIUM, needs=[Repository])
def external_call_in_transaction(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Code waits for a model or another service while its transaction is open.

    The connection, the locks and the horizon of vacuum are held for as long as the other side takes: seconds for a model, a
    minute for a time-out. When it is slow, the pool is empty and everybody else waits, for nothing that the database does.

    Fix: Read, commit, call, then write what came back in a second transaction; an outbox where both must happen.

    Example: with session.begin(): chat = session.get(Chat, id, with_for_update=True); reply =
    client.chat.completions.create(...); chat.reply = reply: the row is locked while the model writes.

    Source: PostgreSQL manual, "idle_in_transaction_session_timeout"; microservices.io, "Transactional outbox"

    Observed: calls, tables, function
    """
    places = places_of(evidence, "external_call_in_transaction")
    yield code_followed(evidence, unmet=len(places))
    for found in by_file(places).values():
        first = found[0]
        libraries = sorted({place.behaviour.detail for place in found if place.behaviour.detail})
        other = first.behaviour.other
        # The call may be in a helper of another file, which is not to blame.
        spot = other if other is not None and other.path == first.location.path else first.location
        yield Finding(
            file_subject(first),
            f"{' and '.join(libraries[:2]) or 'Another service'} {'are' if len(libraries) > 1 else 'is'} called while a "
            f"transaction is open ({spot.path}:{spot.line})",
            Fix("End the transaction before the call and begin another for what came back; bound it by "
                "idle_in_transaction_session_timeout meanwhile."),
            severity=Severity.MEDIUM if any(place.behaviour.certain for place in found) else Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={"calls": libraries, "tables": sorted({place.behaviour.table or "" for place in found} - {""}),
                      "function": first.behaviour.function},
            related=_idle(evidence),
            locations=locations_of(found),
        )  # fmt: skip


def _idle(evidence: Evidence) -> tuple[Subject, ...]:
    """Sessions that were seen idle in a transaction."""
    activity = evidence.find(Activity)
    names = {
        session.application_name
        for session in (activity.sessions if activity else ())
        if (session.state or "").startswith("idle in transaction") and session.application_name
    }
    return tuple(Subject("session", (name,)) for name in sorted(names)[:3])
