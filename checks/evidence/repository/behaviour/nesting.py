"""Which of many spans that lie within one another hold a place, without looking at them all."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class Nesting:
    """Spans by their start, of two that begin together the longer one first. They lie within one another or apart."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._outer: list[int] = []
        open_spans: list[int] = []
        for number, (start, end) in enumerate(spans):
            while open_spans and self._ends[open_spans[-1]] <= start:
                open_spans.pop()
            self._starts.append(start)
            self._ends.append(end)
            self._outer.append(open_spans[-1] if open_spans else -1)
            open_spans.append(number)

    def around(self, offset: int) -> Iterator[int]:
        """The numbers of the spans that hold the place, from the innermost outwards."""
        number = bisect_right(self._starts, offset) - 1
        while number >= 0:
            if self._ends[number] > offset:
                yield number
            number = self._outer[number]
