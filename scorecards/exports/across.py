"""What lies across the areas, in Markdown: the weakest chain, and what findings cost."""

from __future__ import annotations

from checks.figures import bytes_in_words
from scorecards.costs import OVERALL
from scorecards.exports.escape import code, inline
from scorecards.model import Chain, Cost, Link, Scorecard

LEAST_BYTES = 1024 * 1024
LEAST_SHARE = 0.01
_STATES = {"ok": "✓", "unknown": "?", "not_applicable": "n/a"}


def chains(scorecard: Scorecard) -> str:
    """One line for each costly statement or large table, its weakest areas in bold."""
    if not scorecard.chains:
        return ""
    areas = [link.area for link in scorecard.chains[0].links]
    lines = [
        f"| Statement or table | Takes | {' | '.join(area.capitalize() for area in areas)} |",
        f"|---|---|{'---|' * len(areas)}",
    ]
    wide = of_server(scorecard)
    if any(wide):
        lines.append(f"| the server as a whole |  | {' | '.join(inline(words) for words in wide)} |")
    for chain in scorecard.chains:
        cells = " | ".join(_cell(link, chain) for link in chain.links)
        lines.append(f"| {inline(chain.words, 140)}{_place(chain)} | {takes(chain)} | {cells} |")
    lines.append("\nIn bold what is weakest there; ↑ nothing worse than the server's own; ✓ nothing found, ? not seen.")
    return "\n".join(lines)


def of_server(scorecard: Scorecard) -> list[str]:
    """By area, the worst of what is about the whole server and so concerns every statement; empty where nothing is."""
    words = []
    for links in zip(*(chain.links for chain in scorecard.chains), strict=True):
        wide = [link for link in links if link.server_wide]
        words.append(_found(max(wide, key=lambda link: link.more)) if wide else "")
    return words


def takes(chain: Chain) -> str:
    """Share of the server's statement time, or size."""
    if chain.server_share is not None:
        return f"{chain.server_share:.0%} of server time"
    return bytes_in_words(chain.size_bytes) if chain.size_bytes is not None else ""


def link_words(link: Link) -> str:
    """`high: missing index +2`, or a sign."""
    if link.check is None:
        return _STATES.get(link.state, link.state)
    return "↑" if link.server_wide else _found(link)


def _found(link: Link) -> str:
    name = (link.check or "").partition(".")[2].replace("-", " ")
    return f"{link.severity}: {name}{f' +{link.more}' if link.more else ''}"


def _cell(link: Link, chain: Chain) -> str:
    words = inline(link_words(link))
    return f"**{words}**" if link.area in chain.weakest else words


def _place(chain: Chain) -> str:
    return f" {code(f'{chain.locations[0].path}:{chain.locations[0].line}', cell=True)}" if chain.locations else ""


def costs(scorecard: Scorecard) -> str:
    """By area and together."""
    if not worth_telling(scorecard.costs[-1].cost if scorecard.costs else None):
        return ""
    priced = any(entry.cost.money_per_month is not None for entry in scorecard.costs)
    lines = [
        f"| Area | Storage | Server time | WAL |{' Per month |' if priced else ''} Findings |",
        f"|---|---|---|---|{'---|' if priced else ''}---|",
    ]
    for entry in scorecard.costs:
        cost = entry.cost
        storage = bytes_in_words(cost.storage_bytes) if cost.storage_bytes else ""
        name = "Together" if entry.area == OVERALL else entry.area.capitalize()
        row = f"| {name} | {storage} | {_share(cost.server_share)} | {_share(cost.wal_share)} |"
        if priced:
            row += f" {money(cost, scorecard.currency)} |"
        lines.append(f"{row} {entry.findings} |")
    lines.append(
        "\nStorage is what would be given back. Server time is all that the statements take that findings are about, the most "
        "that their fixes can save. WAL is an estimate: that of a table's writers, in equal parts to the table and its indexes."
    )
    return "\n".join(lines)


def worth_telling(cost: Cost | None) -> bool:
    """Whether anybody would do something for it: a MiB, a hundredth of server time or WAL."""
    if cost is None:
        return False
    return (cost.storage_bytes or 0) >= LEAST_BYTES or max(cost.server_share or 0, cost.wal_share or 0) >= LEAST_SHARE


def cost_words(cost: Cost | None, currency: str | None) -> str:
    """`frees 8.1 MB, at most 17% of server time, about 7% of WAL, 12.00 EUR per month`."""
    if cost is None:
        return ""
    parts = []
    if cost.storage_bytes:
        parts.append(f"frees {bytes_in_words(cost.storage_bytes)}")
    if cost.server_share:
        parts.append(f"at most {_share(cost.server_share)} of server time")
    if cost.wal_share:
        parts.append(f"about {_share(cost.wal_share)} of WAL")
    if cost.money_per_month is not None:
        parts.append(f"{money(cost, currency)} per month")
    return ", ".join(parts)


def money(cost: Cost, currency: str | None) -> str:
    if cost.money_per_month is None:
        return ""
    return inline(f"{cost.money_per_month:,.2f} {currency or ''}".strip())


def _share(share: float | None) -> str:
    if not share:
        return ""
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"
