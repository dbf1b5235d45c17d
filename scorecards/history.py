"""Earlier reviews of a target: as the other side of a comparison, and as a trend of levels. All under the present rubric."""

from __future__ import annotations

from pathlib import Path

import msgspec

from checks.checklist import run_checks
from checks.errors import EvidenceError, StoreError, UsageError
from checks.evidence.database.facts import Server
from checks.evidence.evidence import Evidence
from checks.typed import decode_json
from scorecards.compare import compare
from scorecards.model import SCHEMA, Comparison, Scorecard, TrendPoint
from scorecards.rubric import CURRENT, Rubric, load_rubric
from scorecards.session import Review
from scorecards.store import HEAD, ReviewFolder, default_root, find, recent

MAXIMUM_BYTES = 256 * 1024**2
POINTS = 12


class Side(msgspec.Struct, frozen=True):
    """One review to compare: scored with the present rubric, and as it was reported under the rubric of its time, if that is
    another one. `folder` is None for a scorecard that was written as JSON."""

    scorecard: Scorecard
    as_reported: Scorecard | None = None
    folder: ReviewFolder | None = None
    notices: tuple[str, ...] = ()


class _Head(msgspec.Struct):
    schema: str
    tool: dict[str, str] = {}


def read_side(argument: str, root: Path | None = None) -> Side:
    """Of a review folder, its id, a milestone, or a scorecard written as JSON. Raises UsageError, StoreError, EvidenceError."""
    path = Path(argument)
    if path.is_file():
        return side_of_json(path)
    if not (path / HEAD).is_file() and (path / "scorecard.json").is_file():
        return side_of_json(path / "scorecard.json")
    return side_of_folder(find(argument, root or default_root()))


def side_of_folder(folder: ReviewFolder, rubric: Rubric | None = None) -> Side:
    """The checks of this version run over the evidence again; then it is scored, with `rubric` as the one of its time."""
    review = Review(folder, run_checks(folder.evidence()))
    scorecard = review.scorecard()
    if rubric is None and folder.rubric == CURRENT:
        return Side(scorecard, None, folder)
    try:
        own = rubric or load_rubric(folder.rubric)
    except (OSError, ValueError):
        lost = f"rubric {folder.rubric} is not part of this version: its effect cannot be told apart"
        return Side(scorecard, None, folder, (lost,))
    return Side(scorecard, review.scorecard(rubric=own), folder)


def side_of_json(path: Path) -> Side:
    """A scorecard has no evidence in it: it counts as it was written. Raises UsageError."""
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise UsageError(f"{path} is larger than a scorecard can be", "give a scorecard written with --format json")
        data = path.read_bytes()
        head = decode_json(data, _Head)
        if head.schema != SCHEMA and head.schema.startswith(SCHEMA.rpartition("/")[0]):
            raise UsageError(
                f"{path} was written by another pgsurveyor ({head.tool.get('version', 'unknown')}): {head.schema}",
                "update pgsurveyor, or give the review itself",
            )
        scorecard = decode_json(data, Scorecard)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"{path} is no scorecard", "give a review, or a scorecard written with --format json"
        ) from error
    if scorecard.schema != SCHEMA:
        raise UsageError(f"{path} has schema {scorecard.schema!r}", "give a scorecard of this version")
    notices: tuple[str, ...] = ()
    if scorecard.rubric != CURRENT:
        notices = (f"{path.name} was scored with rubric {scorecard.rubric}: without its evidence the effect of the rubric "
                   f"cannot be told apart",)  # fmt: skip
    return Side(scorecard, None, None, notices)


def compare_sides(old: Side, new: Side) -> Comparison:
    """What changed between two reviews; that they are of different targets is said."""
    notices = [*old.notices, *new.notices]
    if _target(old.scorecard) != _target(new.scorecard):
        notices.append("these are reviews of different targets")
    if old.scorecard.tool.version != new.scorecard.tool.version:
        notices.append(
            f"checks of version {old.scorecard.tool.version} are compared with those of {new.scorecard.tool.version}"
        )
    return compare(old.scorecard, new.scorecard, old.as_reported, *notices)


def _target(scorecard: Scorecard) -> tuple[str | None, str | None]:
    database, repository = scorecard.target.database, scorecard.target.repository
    return (database.name if database else None, repository.name if repository else None)


def trend(scorecard: Scorecard, evidence: Evidence, root: Path) -> tuple[TrendPoint, ...]:
    """The levels of the saved reviews of the same target and of their milestones, the oldest first and this one last; at most
    twelve. What can't be read is passed over."""
    points = {}
    for folder in _same_target(scorecard, root):
        for entry in (*folder.milestones(), folder):
            if entry.id == scorecard.review.id and not entry.milestone:
                continue
            try:
                if _differs(entry.evidence(), evidence):
                    break
                point = trend_point(side_of_folder(entry).scorecard, entry.milestone)
            except (StoreError, EvidenceError):
                continue
            points[entry.id, entry.milestone] = (entry.evidence().observed_at, point)
    ordered = [point for _, point in sorted(points.values(), key=lambda pair: (pair[0], pair[1].id, pair[1].name))]
    return (*ordered[-(POINTS - 1) :], trend_point(scorecard))


def previous(scorecard: Scorecard, evidence: Evidence, root: Path) -> ReviewFolder | None:
    """The newest other review of the same target that is older than this one."""
    for folder in _same_target(scorecard, root):
        try:
            other = folder.evidence()
        except EvidenceError:
            continue
        if (
            folder.id != scorecard.review.id
            and other.observed_at < evidence.observed_at
            and not _differs(other, evidence)
        ):
            return folder
    return None


def last_seen(evidence: Evidence, root: Path) -> Evidence | None:
    """What the newest saved review of the same database saw before this one; what can't be read is passed over."""
    server = evidence.find(Server)
    if server is None:
        return None
    for summary in recent(root):
        try:
            folder = ReviewFolder.open(summary.path)
            if folder.target.get("database") != server.database:
                continue
            other = folder.evidence()
        except (StoreError, EvidenceError):
            continue
        if other.observed_at < evidence.observed_at and not _differs(other, evidence):
            return other
    return None


def trend_point(scorecard: Scorecard, name: str = "") -> TrendPoint:
    levels = {area.area: area.demonstrated for area in scorecard.areas}
    overall = scorecard.overall
    return TrendPoint(
        scorecard.review.id, name, scorecard.as_of.isoformat(), overall.demonstrated, overall.index, levels
    )


def _same_target(scorecard: Scorecard, root: Path) -> list[ReviewFolder]:
    """By the names in their heads, which needs no evidence: the newest ones."""
    database, repository = _target(scorecard)
    found = []
    for summary in recent(root):
        try:
            folder = ReviewFolder.open(summary.path)
        except StoreError:
            continue
        if (folder.target.get("database"), folder.target.get("repository")) == (database, repository):
            found.append(folder)
    return found[:POINTS]


def _differs(one: Evidence, other: Evidence) -> bool:
    """Whether two databases of one name are not on the same cluster."""
    ids = [server.system_identifier if (server := evidence.find(Server)) else None for evidence in (one, other)]
    return None not in ids and ids[0] != ids[1]
