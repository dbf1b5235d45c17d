"""The indexes chosen for the whole workload within a budget, in Markdown; the words are those of HTML too."""

from __future__ import annotations

from checks.figures import bytes_in_words
from scorecards.exports.escape import code, inline
from scorecards.exports.proving import IN_MEMORY, cost_words, is_cheaper
from scorecards.model import AdviceEntry, AdvisedIndexEntry, Scorecard

LISTED = 40
DOUBTFUL_LISTED = 10
_LEAST_CHANGE = 0.01


def advised_indexes(scorecard: Scorecard) -> str:
    """What they are and what they save; empty where no budget was given."""
    advice = scorecard.advice
    if advice is None:
        return ""
    words = summary_words(advice)
    if not advice.indexes:
        return words
    lines = ["| | Index | Size | Serves | Lost without it |", "|---|---|---|---|---|"]
    for number, entry in enumerate(advice.indexes[:LISTED], 1):
        lines.append(
            f"| {number} | {code(short_sql(entry), cell=True)} | {bytes_in_words(entry.bytes)} | {serves_words(entry)} "
            f"| {entry.loss:.1%} |"
        )
    if len(advice.indexes) > LISTED:
        lines.append(f"\nand {len(advice.indexes) - LISTED} more in the JSON.")
    doubts = doubtful(advice)
    told = [words, "\n".join(lines)]
    if doubts:
        told += [
            "Preferred by the planner, and not proven to be faster:",
            "\n".join(f"- {inline(one, 400)}" for one in doubts),
        ]
    return "\n\n".join([*told, basis_words(advice)])


def doubtful(advice: AdviceEntry) -> list[str]:
    """The statements that are cheaper only as the planner counts, the most gained first: at most ten, one line each."""
    found = [entry for entry in advice.statements if is_cheaper(entry) and not entry.proven]
    found.sort(key=lambda entry: (entry.calls * (entry.cost_after - entry.cost_before), entry.query_id))
    lines = [cost_words(entry) for entry in found[:DOUBTFUL_LISTED]]
    return lines + ([f"and {len(found) - DOUBTFUL_LISTED} more"] if len(found) > DOUBTFUL_LISTED else [])


def title(advice: AdviceEntry) -> str:
    return f"New indexes within {bytes_in_words(advice.budget_bytes)}"


def summary_words(advice: AdviceEntry) -> str:
    """What the set saves, and of how many bytes it is."""
    if not advice.indexes:
        return f"None of {advice.candidates} indexes tried saves enough of the workload's planner cost to be worth its size."
    count = len(advice.indexes)
    cheaper = sum(1 for entry in advice.statements if is_cheaper(entry))
    proven = sum(1 for entry in advice.statements if entry.proven)
    dearer = sum(1 for entry in advice.statements if entry.cost_after > entry.cost_before * (1 + _LEAST_CHANGE))
    indexes, save = ("new indexes", "save") if count > 1 else ("new index", "saves")
    return (
        f"{count} {indexes}, {bytes_in_words(advice.bytes)} as predicted (at most {bytes_in_words(advice.bytes_at_most)}), "
        f"{save} {advice.saved:.1%} of the workload's planner cost: of {len(advice.statements)} statements {cheaper} get "
        f"cheaper and {dearer or 'none'} dearer. {proven or 'None'} of those {cheaper} "
        f"{'is' if proven <= 1 else 'are'} proven to be faster."
    )


def short_sql(entry: AdvisedIndexEntry) -> str:
    """The statement that makes it; of a partitioned table's the first, and how many more there are."""
    first, *more = entry.sql.split("\n")
    return f"{first} -- and {len(more)} more for its partitions, in fixes.sql" if more else first


def serves_words(entry: AdvisedIndexEntry) -> str:
    count, proven = len(entry.statements), len(entry.proven)
    faster = "proven faster" if count == proven == 1 else f"{proven or 'none'} proven faster"
    return f"{count} statement{'' if count == 1 else 's'}, {faster}"


def basis_words(advice: AdviceEntry) -> str:
    """How it was found."""
    words = f"Chosen among {advice.candidates} that were tried in a shadow, by calls and planner cost"
    if advice.write_cost:
        words += ", writers' cost counted"
    if advice.unplanned:
        words += f"; {advice.unplanned} statements could not be planned"
    if advice.server_major != advice.target_major:
        words += f"; planned by {advice.server_major}, the target is {advice.target_major}"
    if advice.cut_short:
        words += "; the time for the choice was over before everything was compared"
    return (
        f"{words}. A statement is known without its constants, so that none of these is for a certain value. It is proven to be "
        f"faster where its cost falls as the planner counts and {IN_MEMORY} too: there, a row that an index finds at a random "
        "place counts as much as many that lie side by side (limit visited_rows, measured on one machine: set yours)."
    )
