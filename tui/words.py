"""Facts in words and figures for people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from checks.evidence.database.facts import Server
from checks.evidence.evidence import Evidence
from checks.evidence.repository.facts import Repository
from checks.figures import bytes_in_words
from checks.text import visible_line

LONGEST_LIST = 6


def target_words(evidence: Evidence) -> str:
    """`app, PostgreSQL 18.6 primary + support-assistant`: what was looked at, in a few words."""
    server, repository = evidence.find(Server), evidence.find(Repository)
    parts = []
    if server is not None:
        parts.append(
            f"{visible_line(server.database, 40)} · PostgreSQL {visible_line(server.version, 20)} {server.role}"
        )
    if repository is not None:
        parts.append(visible_line(repository.name, 40))
    return " + ".join(parts)


def label(key: str) -> str:
    """The key of an observed figure as words; its unit goes with the value."""
    for unit, word in (("_bytes", " size"), ("timeout_ms", "timeout"), ("_ms", " time"), ("_s", ""), ("_days", "")):
        if key.endswith(unit):
            key = key.removesuffix(unit) + word
            break
    return "size" if key in {"bytes", "size size"} else key.replace("_", " ")


def figure(key: str, value: Any) -> str:
    """A figure with its unit: bytes in powers of 1024, ratios in percent, thousands set apart."""
    if value is None:
        return "not visible"
    if value in ("", (), [], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(key, value)
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, Mapping):
        return ", ".join(f"{label(str(name))} {figure(str(name), inner)}" for name, inner in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        shown = ", ".join(figure(key, inner) for inner in value[:LONGEST_LIST])
        more = len(value) - LONGEST_LIST
        return f"{shown}, and {more} more" if more > 0 else shown
    return str(value)


def _number(key: str, value: float) -> str:
    if key == "bytes" or key.endswith("_bytes"):
        return bytes_in_words(value)
    if (value == -1 and key.endswith(("_ms", "_s"))) or (value == 0 and key.endswith(("timeout_ms", "timeout_s"))):
        return f"off ({value:.0f})"
    if key.endswith(("_ms",)):
        return f"{value:,.1f} ms" if abs(value) < 100 else f"{value:,.0f} ms"
    if key.endswith(("_s", "_seconds")):
        return f"{value:,.0f} s"
    if key.endswith("_days"):
        return f"{value:,.1f} days"
    if key.endswith(("_ratio", "_share", "used", "selectivity", "share")) and isinstance(value, float):
        return f"{value:.1%}" if abs(value) <= 1 else f"{value:,.2f}"
    if isinstance(value, int) or value.is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}"


def milliseconds_in_words(milliseconds: float) -> str:
    """`3.4 ms`, `12.0 s`, `5.2 min`."""
    if milliseconds >= 60_000:
        return f"{milliseconds / 60_000:,.1f} min"
    return f"{milliseconds / 1000:,.1f} s" if milliseconds >= 1000 else figure("mean_ms", milliseconds)


def shortened(count: int) -> str:
    """`3,400`, `12k`, `5M`: of a count for which there is little room."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if count >= size:
            return f"{count / (1000 if unit == 'k' else size):,.0f}{unit}"
    return f"{count:,}"


def plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
