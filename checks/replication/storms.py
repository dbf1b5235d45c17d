"""Code that turns a slow minute into an outage: everybody fills the same cache entry, everybody tries again at once."""

from __future__ import annotations

from collections.abc import Iterator

from checks.behaviours import by_file, code_followed, file_subject, locations_of, places_of
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.model import Confidence, Examined, Finding, Fix, Severity
from checks.registry import check


@check("replication.cache-fill-without-lease", catalogue="R33", severity=Severity.LOW, needs=[Repository])
def cache_fill_without_lease(evidence: Evidence) -> Iterator[Finding | Examined]:
    """When a cache entry is gone, every reader goes to the database for it.

    An entry that a thousand requests a second read is missed by all of them at once when it expires, and when the cache restarts
    this is so for every entry: the database meets the whole load that the cache kept away.

    Fix: One reader fills the entry and the others wait for it or take the old value: SET key NX with a short life as a lease, or
    single flight within the process; expiry times that are spread.

    Example: value = cache.get(key); if value is None: value = db.query(...); cache.set(key, value): when the key expires, a
    thousand requests send the same query at once.

    Source: OpenAI, "Scaling PostgreSQL" (2026-01-22), cache locking and leasing

    Observed: cache, tables, function
    """
    places = places_of(evidence, "cache_fill")
    examined = code_followed(evidence, unmet=len(places))
    yield examined
    for found in by_file(places).values():
        first = found[0]
        tables = sorted({place.behaviour.table or "" for place in found} - {""})
        yield Finding(
            file_subject(first),
            f"Every reader that misses {first.behaviour.detail or 'the cache'} queries {tables[0] if tables else 'the database'} "
            f"({first.location.path}:{first.location.line})",
            Fix("Let one reader fill it: a lease (SET ... NX PX), single flight in the process, or the old value "
                "while it is renewed."),
            confidence=Confidence.INFERRED,
            observed={"cache": first.behaviour.detail, "tables": tables, "function": first.behaviour.function},
            locations=locations_of(found),
        )  # fmt: skip


@check("replication.retry-without-backoff", catalogue="R33", severity=Severity.MEDIUM, needs=[Repository])
def retry_without_backoff(evidence: Evidence) -> Iterator[Finding | Examined]:
    """What failed is tried again at once, or always after the same time.

    When the database is slow, each client's retries add to what makes it slow, and all that failed together come back together.
    A few seconds' trouble keeps itself alive this way until somebody shuts the traffic out.

    Fix: Waits that double and are spread at random, few attempts, and a budget of retries for the whole process.

    Example: while True: try: return query() except OperationalError: pass: five hundred clients connect again as fast as they
    can while the server starts.

    Source: OpenAI, "Scaling PostgreSQL" (2026-01-22); AWS Builders' Library, "Timeouts, retries, and backoff with jitter"

    Observed: wait, function, statement
    """
    places = places_of(evidence, "retry_without_backoff")
    yield code_followed(evidence, unmet=len(places))
    for found in by_file(places).values():
        first = found[0]
        at_once = any(place.behaviour.detail != "fixed wait" for place in found)
        spot = first.behaviour.other or first.location
        yield Finding(
            file_subject(first),
            f"A statement that fails is sent again {'at once' if at_once else 'after a fixed time'} ({spot.path}:{spot.line})",
            Fix("Wait before each further attempt, twice as long each time and with jitter, and stop after a few."),
            severity=Severity.MEDIUM if at_once else Severity.LOW,
            confidence=Confidence.INFERRED,
            observed={"wait": first.behaviour.detail, "function": first.behaviour.function,
                      "statement": first.behaviour.text},
            locations=locations_of(found),
        )  # fmt: skip
