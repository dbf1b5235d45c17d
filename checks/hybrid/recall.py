"""Recall: what --measure-recall found, and what follows from the vectors that it saw."""

from __future__ import annotations

from collections.abc import Iterator

from checks.evidence.database.facts import Catalog, Index, Recall, RecallAt, RecallMeasurement
from checks.evidence.evidence import Evidence
from checks.hybrid.searches import BREADTH, ann_indexes, index_operators, searches_of
from checks.hybrid.vectors import vector_columns
from checks.model import Confidence, Examined, Finding, Fix, NotApplicable, Reason, Severity, Unobserved
from checks.registry import check

BAD = 0.8
UNIT_LENGTH = 0.99


@check("hybrid.recall", catalogue="H40", severity=Severity.HIGH, needs=[Catalog])
def recall(evidence: Evidence) -> Iterator[Finding | Examined]:
    """An index misses too many of the nearest rows.

    An approximate index gives wrong neighbours without any error; how many, only a comparison with exact search tells. Measured
    is what the application asks for: its k, its filters, the search breadth in force, and two larger ones with what they cost.

    Fix: The smallest breadth that reaches the target, by SET LOCAL, in the function or for the role; if none does, a rebuild
    with a larger m and ef_construction, or on the loaded table.

    Example: chunks_embedding_idx finds 61 % of the 10 nearest rows at ivfflat.probes = 1, and 99 % at 10, in three times the
    time.

    Source: pgvector README, "Monitoring" (recall against exact search)

    Observed: recall, low, high, k, breadth, filters, returned_rows, median_ms, exact_ms, larger
    """
    catalog = evidence.get(Catalog)
    indexes = {index.oid: index for _, column in vector_columns(catalog) for index in ann_indexes(catalog, column)}
    if not indexes:
        raise NotApplicable("no vector column has an index for approximate search")
    measured = evidence.get(Recall)
    done = {entry.index for entry in measured.measurements}
    target = evidence.limit("recall_target")
    for entry in measured.measurements:
        index = catalog.index_by_oid.get(entry.index)
        # Where the planner sorts all rows by itself, nothing is missed today.
        if index is not None and entry.at and entry.used and entry.at[0].high < target:
            yield _missing(catalog, index, entry, target)
    gap = None
    if left := [catalog.index_by_oid[int(oid)] for oid in measured.skipped if int(oid) in catalog.index_by_oid]:
        reasons = ", ".join(f"{index.name}: {measured.skipped[str(index.oid)]}" for index in left[:3])
        gap = Unobserved(Reason.NOT_RUN, f"not measured ({reasons}); GRANT SELECT on the table, or more time, may help")
    yield Examined(len(done & indexes.keys()), len(indexes), "vector indexes", gap=gap)


def _missing(catalog: Catalog, index: Index, entry: RecallMeasurement, target: float) -> Finding:
    now, *larger = entry.at
    enough = next((at for at in larger if at.recall >= target), None)
    setting = BREADTH[index.method]
    filters = f" filtered by {', '.join(entry.filtered_by)}" if entry.filtered_by else ""
    return Finding(
        index.subject,
        f"{index.subject.name}{filters} finds {now.recall:.0%} of the {entry.k} nearest rows "
        f"({now.low:.0%} to {now.high:.0%}) at {setting} = {now.breadth}",
        _fix(entry, index, setting, enough, now),
        severity=Severity.HIGH if now.recall < BAD else Severity.MEDIUM,
        confidence=Confidence.MEASURED,
        observed={
            "recall": now.recall,
            "low": now.low,
            "high": now.high,
            "k": entry.k,
            "breadth": now.breadth,
            "filters": list(entry.filtered_by),
            "returned_rows": now.returned,
            "median_ms": now.median_ms,
            "exact_ms": entry.exact_ms,
            "larger": [
                {"breadth": at.breadth, "recall": at.recall, "median_ms": at.median_ms, "p95_ms": at.p95_ms}
                for at in larger
            ],
        },
        related=(catalog.table_by_oid[entry.table].subject,),
        discriminator=f"{entry.k} {' '.join(entry.filtered_by)}".strip(),
    )


def _fix(entry: RecallMeasurement, index: Index, setting: str, enough: RecallAt | None, now: RecallAt) -> Fix:
    if enough is not None:
        cost = f"{now.median_ms:.1f} ms become {enough.median_ms:.1f} ms a search (median, from here)"
        return Fix(
            f"{setting} = {enough.breadth} finds {enough.recall:.0%}; {cost}.",
            sql=f"SET LOCAL {setting} = {enough.breadth};",
            undo=f"SET LOCAL {setting} = {now.breadth};",
        )
    if entry.filtered_by and now.returned < entry.k:
        return Fix(
            "The filter throws away what the index gives: let the scan go on, or give the filter an index or partitions.",
            sql=f"SET LOCAL {index.method}.iterative_scan = '{'strict' if index.method == 'hnsw' else 'relaxed'}_order';",
            undo=f"SET LOCAL {index.method}.iterative_scan = 'off';",
        )
    return Fix(
        "None of the measured breadths is enough: rebuild it on the loaded table, HNSW with a larger m and ef_construction, "
        "or search exactly where a filter leaves few rows."
    )


@check("hybrid.inner-product-candidate", catalogue="H35", severity=Severity.NOTE, needs=[Catalog])
def inner_product_candidate(evidence: Evidence) -> Iterator[Finding | Examined]:
    """Vectors of length 1 are compared by cosine distance.

    Their inner product gives the same order and spares two lengths for each comparison.

    Fix: An index with the inner product's operator class, and <#> in the searches, if searching is what the server is busy with.

    Example: vectors of text-embedding-3-small have length 1: ORDER BY embedding <#> $1 with an index of vector_ip_ops gives the
    rows of <=> in the same order.

    Source: pgvector README, "Performance" (normalized vectors: inner product)

    Observed: unit_length, operator
    """
    catalog = evidence.get(Catalog)
    columns = vector_columns(catalog)
    measured = evidence.get(Recall)
    known = {(entry.table, entry.column): entry.unit_length for entry in measured.measurements}
    examined = 0
    for table, column in columns:
        share = known.get((table.oid, column.number))
        if share is None:
            continue
        examined += 1
        indexes = [index for index in ann_indexes(catalog, column) if index_operators(index) == {"<=>"}]
        if (
            share < UNIT_LENGTH
            or not indexes
            or any(entry.operator != "<=>" for entry in searches_of(evidence, column))
        ):
            continue
        yield Finding(
            catalog.column_subject(column),
            f"{catalog.column_subject(column).name} holds vectors of length 1: the inner product would do",
            Fix("Only where searches dominate the load; all searches must change with the index."),
            observed={"unit_length": share, "operator": "<=>"},
            related=tuple(index.subject for index in indexes),
        )
    yield Examined(examined, len(columns), "vector columns", unmet=0)
