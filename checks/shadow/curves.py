"""Costs over factors: how they grow, and where a mean that grows alike passes its budget."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence


def exponent_of(factors: Sequence[float], costs: Sequence[float | None]) -> float | None:
    """The slope of the least-squares line through log cost over log factor; None for fewer than two points."""
    points = [(math.log(factor), math.log(cost)) for factor, cost in zip(factors, costs, strict=True) if cost]
    if len(points) < 2:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return round(sum((x - mean_x) * (y - mean_y) for x, y in points) / spread, 2) if spread else None


def breaking_factor(
    factors: Sequence[float], costs: Sequence[float | None], mean_ms: float, budget_ms: float
) -> float | None:
    """Where the mean passes the budget if it grows as the cost does, between two factors along a power law; None if nowhere."""
    points = [(factor, cost) for factor, cost in zip(factors, costs, strict=True) if cost]
    if not points or mean_ms <= 0:
        return None
    means = [(factor, mean_ms * cost / points[0][1]) for factor, cost in points]
    if means[0][1] > budget_ms:
        return means[0][0]
    for (low, low_ms), (high, high_ms) in itertools.pairwise(means):
        if high_ms > budget_ms:
            part = math.log(budget_ms / low_ms) / math.log(high_ms / low_ms)
            return rounded(math.exp(math.log(low) + part * math.log(high / low)))
    return None


def rounded(value: float) -> float:
    """To two digits: what is behind them is not known."""
    digits = 1 - math.floor(math.log10(value))
    return round(value, digits) if digits > 0 else float(round(value, digits))
