"""The advised indexes as statements to run: each with a name of its own, its lock and how to undo it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

from checks.advice import Advice, AdvisedIndex
from checks.evidence.database.facts import Catalog, Table
from checks.evidence.evidence import Evidence
from checks.evidence.tokens import Kind, significant
from checks.figures import bytes_in_words
from checks.index_creation import build
from checks.model import Fix, quote_identifier


class Making(NamedTuple):
    """`sql` creates the index, `undo` drops it, `lock` is the strongest that `sql` takes."""

    advised: AdvisedIndex
    sql: str
    undo: str
    lock: str


def makings(evidence: Evidence) -> tuple[Making, ...]:
    """Of each advised index, in the advice's order; nothing where there is no advice. Computed once per evidence."""
    known = vars(evidence)
    if "_makings" not in known:
        known["_makings"] = tuple(_make(evidence))
    return cast("tuple[Making, ...]", known["_makings"])


def _make(evidence: Evidence) -> Iterable[Making]:
    advice, catalog = evidence.find(Advice), evidence.find(Catalog)
    if advice is None or catalog is None:
        return
    given: set[str] = set()
    for index in advice.indexes:
        # One that the catalog does not have is no tree of partitions.
        table = catalog.table_by_name.get(index.table) or Table(0, *index.table, kind="table", owner="")
        built = build(catalog, table, _columns(index), index.definition, taken=given)
        needed = f"CREATE EXTENSION IF NOT EXISTS {quote_identifier(index.extension)}; " if index.extension else ""
        yield Making(index, f"{needed}{built.sql}", built.undo, built.lock)


def _columns(index: AdvisedIndex) -> list[str]:
    """The words between the first parentheses."""
    found: list[str] = []
    depth = 0
    for token in significant(index.definition):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth and token.kind is Kind.WORD:
            found.append(token.text.lower())
        elif depth and token.kind is Kind.QUOTED:
            found.append(token.text[1:-1].replace('""', '"'))
        elif not depth and found:
            break
    return list(dict.fromkeys(found))[:3]


def advised_fix(evidence: Evidence, table: tuple[str, str], statements: Iterable[str], own: Fix) -> Fix:
    """The fix of a missing index: those of the advised set that serve its statements on that table instead of `own`; `own` with a
    word where the set does without."""
    advice = evidence.find(Advice)
    if advice is None:
        return own
    wanted = set(statements)
    budget = bytes_in_words(advice.budget_bytes)
    mine = [
        entry for entry in makings(evidence) if entry.advised.table == table and wanted & set(entry.advised.statements)
    ]
    if not mine:
        return Fix(
            f"{own.summary} The indexes chosen for the whole workload within {budget} do without it.",
            own.sql,
            lock=own.lock,
            rewrites=own.rewrites,
            undo=own.undo,
        )
    served = {id for entry in mine for id in entry.advised.statements}
    count = len(served)
    doubt = "" if served & advice.proven else " None of them is proven to be faster."
    size = bytes_in_words(sum(entry.advised.bytes for entry in mine))
    return Fix(
        f"Chosen for the whole workload within {budget}: {'it serves' if len(mine) == 1 else f'{len(mine)} indexes that serve'} "
        f"{count} statement{'' if count == 1 else 's'}, predicted size {size}.{doubt}",
        "\n".join(entry.sql for entry in mine),
        lock="SHARE" if any(entry.lock == "SHARE" for entry in mine) else mine[0].lock,
        undo="\n".join(entry.undo for entry in mine),
    )
