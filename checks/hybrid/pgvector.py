"""pgvector's version against the faults that are known of it."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Index, Server
from checks.evidence.evidence import Evidence
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Severity, Subject, qualified_name
from checks.registry import check
from checks.settings import is_managed

PARALLEL_BUILDS = (0, 6, 0)
ITERATIVE_SCANS = (0, 8, 0)
OVERFLOW_FIXED = (0, 8, 2)
VACUUM_FIXED = (0, 8, 3)
RECOMMENDED = (0, 8, 4)


@check("hybrid.pgvector-version", catalogue="H32", severity=Severity.HIGH, needs=[Server, Catalog])
def pgvector_version(evidence: Evidence) -> Iterator[Finding | Examined]:
    """pgvector is of a version with a known fault.

    0.6.0 to 0.8.1 can leak other tables' data or crash when an HNSW index is built in parallel (CVE-2026-3172); before 0.8.3
    vacuum can damage an HNSW index while rows are inserted; before 0.8.0 a filtered search returns too few rows and nothing
    can be set against it.

    Fix: 0.8.4 or later, then ALTER EXTENSION vector UPDATE, and rebuild HNSW indexes that lived through many changes.

    Example: pgvector 0.8.0 with an HNSW index: a user who may REINDEX can read parts of other tables or crash the server
    (CVE-2026-3172).

    Source: pgvector CHANGELOG; CVE-2026-3172; pgvector issue 959, pull request 988

    Observed: version, loaded_version, hnsw_indexes, faults
    """
    server, catalog = evidence.get(Server), evidence.get(Catalog)
    extension = server.extension("vector")
    if extension is None:
        raise NotApplicable("the extension vector is not installed")
    yield Examined(1, 1, "extension")
    hnsw = [index for index in catalog.indexes if index.method == "hnsw"]
    library = extension.loaded_version or extension.version
    faults = _faults(_parts(library), _parts(extension.version), hnsw)
    if not faults:
        return
    severity, _ = faults[0]
    assumed = extension.loaded_version is None and extension.default_version not in {None, extension.version}
    yield Finding(
        Subject("extension", ("vector",)),
        f"pgvector {library} {faults[0][1]}",
        _fix(server, hnsw),
        severity=severity,
        confidence=Confidence.INFERRED if assumed else Confidence.MEASURED,
        observed={
            "version": extension.version,
            "loaded_version": extension.loaded_version,
            "available_version": extension.default_version,
            "hnsw_indexes": [index.subject.name for index in hnsw],
            "faults": [words for _, words in faults],
        },
        related=tuple(index.subject for index in hnsw),
    )


def _faults(library: tuple[int, ...], objects: tuple[int, ...], hnsw: list[Index]) -> list[tuple[Severity, str]]:
    """What is known of that library and of the SQL objects of the extension, worst first."""
    found = []
    if PARALLEL_BUILDS <= library < OVERFLOW_FIXED:
        words = "can leak data or crash when HNSW is built in parallel (CVE-2026-3172)"
        found.append((Severity.CRITICAL if hnsw else Severity.MEDIUM, words))
    if library < VACUUM_FIXED and hnsw:
        found.append((Severity.HIGH, "can damage an HNSW index when vacuum meets inserts (fixed in 0.8.3)"))
    if library < ITERATIVE_SCANS:
        found.append((Severity.LOW, "has no iterative scans: a filtered search may return too few rows"))
    if not found and objects < ITERATIVE_SCANS:
        found.append(
            (Severity.NOTE, "is loaded, but the extension's own objects are older: run ALTER EXTENSION vector UPDATE")
        )
    return found


def _parts(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.split(".") if part.isdigit()]
    return tuple([*numbers, 0, 0, 0][:3])


def _fix(server: Server, hnsw: list[Index]) -> Fix:
    source = "Ask the provider for" if is_managed(server) else "Install"
    wanted = ".".join(map(str, RECOMMENDED))
    rebuild = " ".join(f"REINDEX INDEX CONCURRENTLY {qualified_name(index.schema, index.name)};" for index in hnsw[:20])
    return Fix(
        f"{source} pgvector {wanted} or later, reconnect, update the extension, and rebuild its HNSW indexes.",
        sql=f"ALTER EXTENSION vector UPDATE; {rebuild}".strip(),
        lock="SHARE UPDATE EXCLUSIVE" if hnsw else None,
        undo="An extension is not downgraded in place: restore, or leave the newer version.",
    )
