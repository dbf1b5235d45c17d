"""`pgsurveyor.toml`: thresholds and waivers, from the repository under review and from the reviewer's own folder.

What the repository lowers is kept apart, so that every report can print it first: the reviewed must not grade themselves.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from checks.errors import UsageError
from checks.limits import LIMITS
from checks.typed import convert

FILE_NAME = "pgsurveyor.toml"
MAXIMUM_BYTES = 1024 * 1024
MAXIMUM_PRICE = 1e9
WAIVER_REASONS = ("false-positive", "accepted-risk", "planned", "not-worth-it", "compensated")


class Override(msgspec.Struct, frozen=True):
    """A threshold that is not the default. `source`: user or repository. `lowered` if it is more lenient than the default."""

    name: str
    value: float
    default: float
    source: str
    lowered: bool


class Waiver(msgspec.Struct, frozen=True):
    """Silences the gate for some findings, never moves a level. `finding` is a fingerprint, or `check` an id or glob with
    `objects` globs over subject names; `expires` is inclusive."""

    reason: str
    owner: str
    expires: dt.date
    finding: str = ""
    check: str = ""
    objects: tuple[str, ...] = ()
    note: str = ""


class Prices(msgspec.Struct, frozen=True):
    """What things cost, in `currency`: a GB (10^9 bytes) of storage for a month and the server for a month, all nodes together,
    and a GB of WAL (archived, sent to standbys)."""

    currency: str = ""
    storage_gb_month: float = 0.0
    server_month: float = 0.0
    wal_gb: float = 0.0


class Configuration(msgspec.Struct, frozen=True):
    overrides: tuple[Override, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    notices: tuple[str, ...] = ()
    prices: Prices | None = None

    def limit(self, name: str) -> float:
        """The threshold in force; the repository's word counts over the user's. Raises KeyError for an unknown name."""
        for source in ("repository", "user"):
            for override in self.overrides:
                if override.name == name and override.source == source:
                    return override.value
        return LIMITS[name].default


def read_configuration(repository: Path | None, user_folder: Path | None) -> Configuration:
    """Both files, if they are there. A mistake in the user's own file is a UsageError; one in the repository's, which a
    stranger wrote, becomes a notice and the rest of that file counts."""
    merged = Configuration()
    for source, folder in (("user", user_folder), ("repository", repository)):
        path = folder / FILE_NAME if folder else None
        if path is None or path.is_symlink() or not path.is_file():
            continue
        part = _read(path, source)
        merged = Configuration(
            merged.overrides + part.overrides,
            merged.waivers + part.waivers,
            merged.notices + part.notices,
            part.prices or merged.prices,
        )
    return merged


def _read(path: Path, source: str) -> Configuration:
    problems: list[str] = []
    overrides: list[Override] = []
    waivers: list[Waiver] = []
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise ValueError("larger than 1 MiB")
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        document, problems = {}, [f"cannot be read: {error}"]
    limits = document.get("limits", {})
    for name, value in limits.items() if isinstance(limits, dict) else ():
        override = _override(name, value, source)
        if isinstance(override, str):
            problems.append(override)
        elif override is not None:
            overrides.append(override)
    entries = document.get("waivers", [])
    for number, entry in enumerate(entries if isinstance(entries, list) else (), 1):
        try:
            waivers.append(_waiver(entry))
        except (msgspec.ValidationError, ValueError) as error:
            problems.append(f"waiver {number}: {error}")
    prices = None
    if "prices" in document:
        try:
            prices = _prices(document["prices"])
        except (msgspec.ValidationError, ValueError) as error:
            problems.append(f"prices: {error}")
    if problems and source == "user":
        raise UsageError(f"{path}: {problems[0]}", "correct the file, or move it away")
    notices = tuple(f"{FILE_NAME}: {problem}" for problem in problems)
    return Configuration(tuple(overrides), tuple(waivers), notices, prices)


def _override(name: str, value: Any, source: str) -> Override | str | None:
    limit = LIMITS.get(name)
    if limit is None:
        return f"limits.{name} is not a known threshold"
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return f"limits.{name} must be a number of {limit.unit}, 0 or more"
    if value == limit.default:
        return None
    lenient = value < limit.default if limit.stricter == "higher" else value > limit.default
    return Override(name, float(value), limit.default, source, lenient)


def _waiver(entry: Any) -> Waiver:
    waiver = convert(entry, Waiver)
    if waiver.reason not in WAIVER_REASONS:
        raise ValueError(f"reason must be one of {', '.join(WAIVER_REASONS)}")
    if not (waiver.finding or waiver.check):
        raise ValueError("names neither a finding nor a check")
    return waiver


def _prices(entry: Any) -> Prices:
    if not isinstance(entry, dict):
        raise ValueError("must be a table")
    unknown = [key for key in entry if key not in Prices.__struct_fields__]
    if unknown:
        raise ValueError(f"{unknown[0]} is not a known price; there are {', '.join(Prices.__struct_fields__)}")
    prices = convert(entry, Prices)
    if any(not 0 <= price <= MAXIMUM_PRICE for price in (prices.storage_gb_month, prices.server_month, prices.wal_gb)):
        raise ValueError(f"a price is a number from 0 to {MAXIMUM_PRICE:,.0f}")
    if len(prices.currency) > 8 or not prices.currency.isprintable():
        raise ValueError("currency is a short word, like EUR")
    return prices
