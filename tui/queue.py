"""The queue of findings: what is shown, in which order, and where to go next. Pure; it knows no widget."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property

import msgspec

from checks.evidence.database.facts import Catalog, Server
from checks.evidence.evidence import Evidence
from checks.model import Area, Confidence, Finding, Severity

OPEN = "open"
STATUSES = {"accept": "accepted", "waive": "waived", "follow-up": "follow-up", "dispute": "disputed"}

_STATUS_WORDS = (OPEN, *STATUSES.values(), "decided", "noted", "marked", "conflict")
_SEVERITY_WEIGHT = {
    Severity.CRITICAL: 100.0,
    Severity.HIGH: 30.0,
    Severity.MEDIUM: 10.0,
    Severity.LOW: 3.0,
    Severity.NOTE: 1.0,
}
_CONFIDENCE_WEIGHT = {Confidence.MEASURED: 1.0, Confidence.INFERRED: 0.7, Confidence.STATED: 0.4}
ORDERS = ("worst first", "by area", "by check")
_AREA_WORDS = {**{area.value: area for area in Area}, **{
    "sch": Area.SCHEMA, "idx": Area.INDEXING, "pln": Area.PLANS, "rep": Area.REPLICATION, "obs": Area.OBSERVABILITY,
    "hyb": Area.HYBRID,
}}  # fmt: skip


class Weights:
    """Severity times confidence times reach, over one body of evidence. A lower severity comes first only where the higher one
    rests on somebody's word."""

    def __init__(self, evidence: Evidence) -> None:
        server, catalog = evidence.find(Server), evidence.find(Catalog)
        self._tables = catalog.table_by_name if catalog is not None else {}
        self._size = server.size_bytes if server is not None else None

    def reach(self, finding: Finding) -> float:
        """How much of the installation it concerns, 1 to 2: one more the share of the server's time that its statements take,
        or of the database's size that its table has, whichever is larger."""
        share = finding.observed.get("share")
        most = float(share) if isinstance(share, int | float) else 0.0
        if self._size:
            for subject in (finding.subject, *finding.related):
                path = subject.path
                table = self._tables.get((path[0], path[1])) if len(path) > 1 else None
                if table is not None:
                    most = max(most, (table.total_bytes or 0) / self._size)
        return 1.0 + min(1.0, most)

    def __call__(self, finding: Finding) -> float:
        assert finding.severity is not None
        return _SEVERITY_WEIGHT[finding.severity] * _CONFIDENCE_WEIGHT[finding.confidence] * self.reach(finding)


def ordered(entries: Mapping[str, Finding], evidence: Evidence, order: str = ORDERS[0]) -> dict[str, Finding]:
    """By weight; by area and then weight; or by check, as reports have them. `entries` are findings by id, in the order of
    reports, which also decides between equals."""
    areas = {area.value: number for number, area in enumerate(Area)}
    weigh = Weights(evidence)
    keys: dict[str, Callable[[Finding], tuple[float | str, ...]]] = {
        ORDERS[0]: lambda finding: (-weigh(finding),),
        ORDERS[1]: lambda finding: (areas[finding.check.partition(".")[0]], -weigh(finding)),
        ORDERS[2]: lambda finding: (areas[finding.check.partition(".")[0]], finding.check),
    }
    key = keys[order]
    return dict(sorted(entries.items(), key=lambda pair: key(pair[1])))


class Standing(msgspec.Struct, frozen=True):
    """Where one finding stands: its status word, its owner, whether it has notes, is marked, or was decided twice at once."""

    status: str = OPEN
    owner: str = ""
    noted: bool = False
    marked: bool = False
    conflict: bool = False

    @property
    def decided(self) -> bool:
        return self.status != OPEN


class Filter(msgspec.Struct, frozen=True):
    """What to show. Within one kind any value will do; all kinds and all words must hold."""

    severities: frozenset[Severity] = frozenset()
    areas: frozenset[Area] = frozenset()
    statuses: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    checks: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()
    complaint: str = ""

    @property
    def is_empty(self) -> bool:
        return self == Filter()


def read_filter(text: str, user: str = "") -> Filter:
    """`sev:high,critical area:idx status:open owner:me check:duplicate words ...`. A token it doesn't know becomes the
    `complaint`, and the rest counts. `sev:high+` means high and worse."""
    severities: set[Severity] = set()
    areas: set[Area] = set()
    statuses: set[str] = set()
    owners: set[str] = set()
    checks: set[str] = set()
    words: list[str] = []
    complaint = ""
    for token in text.split():
        key, colon, value = token.partition(":")
        key = key.lower()
        if not colon or key not in {"sev", "severity", "area", "status", "is", "owner", "check"}:
            words.append(token.lower())
            continue
        for part in filter(None, value.lower().split(",")):
            if key in {"sev", "severity"}:
                found = _severities(part)
                severities |= found
                complaint = complaint or ("" if found else f"no severity begins with {part!r}")
            elif key == "area":
                area = next((area for word, area in _AREA_WORDS.items() if word.startswith(part)), None)
                areas |= {area} if area else set()
                complaint = complaint or ("" if area else f"no area begins with {part!r}")
            elif key in {"status", "is"}:
                status = next((word for word in _STATUS_WORDS if word.startswith(part)), None)
                statuses |= {status} if status else set()
                complaint = complaint or ("" if status else f"status is one of {', '.join(_STATUS_WORDS)}")
            elif key == "owner":
                owners.add(user.lower() if part == "me" else part.removeprefix("@"))
            else:
                checks.add(part)
    return Filter(
        frozenset(severities), frozenset(areas), frozenset(statuses), frozenset(owners), frozenset(checks), tuple(words),
        complaint,
    )  # fmt: skip


def _severities(word: str) -> set[Severity]:
    stem = word.removesuffix("+")
    found = {severity for severity in Severity if stem and severity.value.startswith(stem)}
    if word.endswith("+") and found:
        worst = max(severity.rank for severity in found)
        return {severity for severity in Severity if severity.rank <= worst}
    return found


class Queue:
    """Findings by their ids, in the order given, with what a filter looks at kept ready."""

    def __init__(self, entries: Mapping[str, Finding]) -> None:
        self.findings = tuple(entries.values())
        self.ids = tuple(entries)
        self.index_of = {id: index for index, id in enumerate(self.ids)}
        by_name = {area.value: area for area in Area}
        self._areas = tuple(by_name[finding.check.partition(".")[0]] for finding in self.findings)

    @cached_property
    def _words(self) -> tuple[str, ...]:
        return tuple(_haystack(id, finding) for id, finding in zip(self.ids, self.findings, strict=True))

    def __len__(self) -> int:
        return len(self.findings)

    def select(self, wanted: Filter, area: Area | None, standing: Callable[[str], Standing]) -> list[int]:
        """The indexes of the findings to show, in order."""
        chosen: Iterable[int] = range(len(self.findings))
        areas = wanted.areas | {area} if area and not wanted.areas else wanted.areas
        if area and wanted.areas:
            areas = wanted.areas & {area}
            if not areas:
                return []
        if areas:
            chosen = (index for index in chosen if self._areas[index] in areas)
        if wanted.severities:
            chosen = (index for index in chosen if self.findings[index].severity in wanted.severities)
        if wanted.checks:
            chosen = (i for i in chosen if any(part in self.findings[i].check for part in wanted.checks))
        for word in wanted.words:
            chosen = [index for index in chosen if word in self._words[index]]
        if wanted.statuses or wanted.owners:
            chosen = (i for i in chosen if _stands(standing(self.ids[i]), wanted.statuses, wanted.owners))
        return list(chosen)

    def counts(self) -> dict[Area, int]:
        counted = dict.fromkeys(Area, 0)
        for area in self._areas:
            counted[area] += 1
        return counted


def _stands(standing: Standing, statuses: Collection[str], owners: Collection[str]) -> bool:
    if owners and not any(owner in standing.owner.lower() for owner in owners):
        return False
    return not statuses or any(
        standing.status == status
        or (status == "decided" and standing.decided)
        or (status == "noted" and standing.noted)
        or (status == "marked" and standing.marked)
        or (status == "conflict" and standing.conflict)
        for status in statuses
    )


def _haystack(id: str, finding: Finding) -> str:
    places = " ".join(location.path for location in finding.locations[:5])
    return f"{id} {finding.check} {finding.title} {finding.subject.name} {places}".lower()


def step(shown: Sequence[int], current: int, forward: bool, wanted: Callable[[int], bool]) -> int | None:
    """The position after (or before) `current` in `shown` whose finding is wanted, going round the end; None if none is."""
    count = len(shown)
    for distance in range(1, count + 1):
        position = (current + (distance if forward else -distance)) % count
        if wanted(shown[position]):
            return position
    return None


def worst_first(counts: Mapping[Severity, int]) -> list[tuple[Severity, int]]:
    return [(severity, counts[severity]) for severity in Severity if counts.get(severity)]
