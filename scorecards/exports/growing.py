"""What breaks first when the tables grow, in Markdown; the words are those of HTML too."""

from __future__ import annotations

from checks.figures import bytes_in_words
from scorecards.exports.escape import code, inline
from scorecards.model import GrownTableEntry, GrowthBasis, GrowthEntry, Scorecard

FIRST = 5
LISTED = 40
LONGEST_STATEMENT = 110
_TIMES = "\N{MULTIPLICATION SIGN}"


def breaks_first(scorecard: Scorecard, shown: int = FIRST) -> str:
    """The statements whose mean passes the budget at the smallest factor, and the tables that pass 32 TB."""
    basis = scorecard.growth_basis
    if basis is None:
        return ""
    breaking = breaking_entries(scorecard)
    parts = []
    if breaking:
        lines = ["| | Statement | Mean now | Breaks at | Grows as | Plan changes |", "|---|---|---|---|---|---|"]
        for number, entry in enumerate(breaking[:shown], 1):
            lines.append(
                f"| {number} | {code(statement_words(entry), cell=True)}{_place(entry)} | {mean_words(entry)} "
                f"| {breaks_words(entry)} | {exponent_words(entry)} | {changes_words(entry)} |"
            )
        parts.append("\n".join(lines))
        if len(breaking) > shown:
            parts.append(f"and {len(breaking) - shown} more in the JSON.")
    elif not scorecard.growth:
        parts.append("No statement that ran is known, so none could be planned: pg_stat_statements has them.")
    else:
        parts.append(f"No statement's mean passes {basis.budget_ms:g} ms within {times(basis.factors[-1])} the size.")
    full = [entry for entry in basis.tables if entry.full_at is not None]
    parts += [f"- {inline(full_words(entry))}" for entry in full]
    parts.append(basis_words(basis, len(scorecard.growth)))
    return "\n\n".join(parts)


def growth_page(scorecard: Scorecard) -> str:
    """All of it, as `pgsurveyor grow` prints it."""
    basis = scorecard.growth_basis
    if basis is None:
        return ""
    blocks = [f"## Breaks first\n\n{breaks_first(scorecard, LISTED)}"]
    if scorecard.growth:
        heads = " | ".join(times(factor) for factor in basis.factors[1:])
        lines = [
            f"| Statement | Query id | Mean now | {heads} | Grows as | Plan changes |",
            f"|---|---|---|{'---|' * (len(basis.factors) - 1)}---|---|",
        ]
        for entry in scorecard.growth[:LISTED]:
            costs = " | ".join("?" if cost is None else f"{cost:,.4g}" for cost in entry.costs[1:])
            lines.append(
                f"| {code(statement_words(entry), cell=True)} | {inline(entry.statement)} | {mean_words(entry)} | {costs} "
                f"| {exponent_words(entry)} | {changes_words(entry)} |"
            )
        rest = len(scorecard.growth) - LISTED
        if rest > 0:
            lines.append(f"\nand {rest} more in the JSON.")
        blocks.append("## Costs\n\nAs multiples of what each costs now.\n\n" + "\n".join(lines))
    lines = ["| Table | Rows | Size | Grows | Why |", "|---|---|---|---|---|"]
    filled = [table for table in basis.tables if table.rows or table.bytes]
    for table in filled[:LISTED]:
        lines.append(
            f"| {code(table.name, cell=True)} | {rows_words(table)} | {bytes_in_words(table.bytes)} | {grows_words(table)} "
            f"| {inline(table.why)} |"
        )
    rest = len(filled) - LISTED
    if rest > 0:
        lines.append(f"\nand {rest} more in the JSON.")
    blocks.append("## How tables were taken to grow\n\n" + "\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def breaking_entries(scorecard: Scorecard) -> list[GrowthEntry]:
    return [entry for entry in scorecard.growth if entry.breaks_at is not None]


def statement_words(entry: GrowthEntry) -> str:
    words = " ".join(entry.text.split()) or entry.statement
    return words if len(words) <= LONGEST_STATEMENT else f"{words[: LONGEST_STATEMENT - 1]}…"


def mean_words(entry: GrowthEntry) -> str:
    return "" if entry.mean_ms is None else f"{entry.mean_ms:,.3g} ms"


def breaks_words(entry: GrowthEntry) -> str:
    """`now`, or the factor and about which day that will be."""
    breaks = entry.breaks_at
    if breaks is None:
        return "not within the factors"
    if breaks.factor <= 1:
        return "now"
    return times(breaks.factor) + (f", about {breaks.on}" if breaks.on else "")


def exponent_words(entry: GrowthEntry) -> str:
    return "" if entry.exponent is None else f"size^{entry.exponent:.2f}"


def changes_words(entry: GrowthEntry) -> str:
    return ", ".join(times(factor) for factor in entry.changes_at)


def grows_words(table: GrownTableEntry) -> str:
    rate = f", {table.rows_per_day:,.0f} rows a day" if table.rows_per_day else ""
    if table.exponent == 0:
        return "held still"
    return ("with the factor" if table.exponent == 1 else f"factor^{table.exponent:g}") + rate


def rows_words(table: GrownTableEntry) -> str:
    return f"{table.rows:,.0f}" if table.rows or not table.bytes else "?"


def full_words(table: GrownTableEntry) -> str:
    when = f", about {table.full_on}" if table.full_on else ""
    return f"{table.name} exceeds the 32 TB of a relation at {times(table.full_at or 1)}{when}; it was cut there."


def basis_words(basis: GrowthBasis, planned: int) -> str:
    """What this was planned with, and what it takes for granted."""
    held = sum(entry.exponent == 0 for entry in basis.tables)
    words = (
        f"{planned} statements planned at {', '.join(times(factor) for factor in basis.factors)} in a shadow, "
        f"{len(basis.tables) - held} tables growing and {held} held still"
    )
    if basis.unplanned:
        words += f"; {basis.unplanned} could not be planned"
    if basis.skipped:
        words += f"; {', '.join(times(factor) for factor in basis.skipped)} was too large to try"
    if basis.server_major != basis.target_major:
        words += f"; planned by {basis.server_major}, the target is {basis.target_major}"
    return f"{words}. Means grow as costs do; conditions are taken to leave the same shares of rows."


def times(factor: float) -> str:
    return f"{_TIMES} {factor:,.0f}" if factor == int(factor) else f"{_TIMES} {factor:g}"


def _place(entry: GrowthEntry) -> str:
    return f" {code(f'{entry.locations[0].path}:{entry.locations[0].line}', cell=True)}" if entry.locations else ""
