"""Review folders: `review.toml`, `evidence.json.gz` and `events.jsonl`, which only ever grows.

An event is one write under a lock, synced before it counts as said. A process killed while writing leaves at most a torn last
line; readers pass over it, and the next event begins on a line of its own.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import os
import re
import tempfile
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import tomli_w
from platformdirs import user_data_path

from checks import __version__
from checks.errors import StoreError, UsageError
from checks.evidence import store
from checks.evidence.evidence import Evidence
from checks.files import write_atomically
from checks.typed import decode_json
from scorecards.model import ReviewIdentity
from scorecards.review import Event
from scorecards.rubric import CURRENT
from scorecards.targets import describe_target
from scorecards.words import instant

HEAD, EVIDENCE, EVENTS, MILESTONES = "review.toml", "evidence.json.gz", "events.jsonl", "milestones"
# Of review.toml and events.jsonl. Folders without one are of the first. A version that reads a folder of another in another way
# than it was meant must count on; one that only adds what older versions may pass over need not.
FORMAT = 1
ID_LENGTH = 12
_ID = re.compile(r"[0-9a-f]{4,12}")
_MILESTONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Summary(msgspec.Struct, frozen=True):
    """A saved review, as a list shows it."""

    path: Path
    id: str
    title: str
    started: dt.datetime
    reviewers: tuple[str, ...] = ()


def default_root() -> Path:
    """Where reviews are kept unless somebody says otherwise."""
    return user_data_path("pgsurveyor") / "reviews"


def derived_identity(evidence: Evidence, title: str, reviewers: tuple[str, ...] = ()) -> ReviewIdentity:
    """Of a review that nobody started by hand: the same for the same evidence."""
    return ReviewIdentity(_id(evidence, ""), title, instant(evidence.observed_at), reviewers)


def _id(evidence: Evidence, started: str) -> str:
    return hashlib.sha256(f"{store.sha256(evidence)}\n{started}".encode()).hexdigest()[:ID_LENGTH]


class ReviewFolder:
    """One review on disk. Several processes may read and append at a time."""

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self.path = path
        self.id: str = head["id"]
        self.title: str = head["title"]
        self.started: dt.datetime = head["started"]
        self.reviewers: tuple[str, ...] = tuple(head.get("reviewers", ()))
        self.rubric: str = str(head.get("rubric", CURRENT))
        self.target: dict[str, Any] = head.get("target") or {}
        self.milestone: str = str(head.get("milestone", {}).get("name", ""))
        self._seen: tuple[int, tuple[Event, ...]] = (-1, ())

    @classmethod
    def create(
        cls, root: Path, evidence: Evidence, *, title: str, reviewers: tuple[str, ...] = (), now: dt.datetime
    ) -> ReviewFolder:
        """A new review of that evidence, beside those of the same target. Raises StoreError."""
        started = instant(now)
        return cls._create(root, evidence, ReviewIdentity(_id(evidence, started), title, started, tuple(reviewers)))

    @classmethod
    def keep(cls, root: Path, evidence: Evidence, identity: ReviewIdentity) -> ReviewFolder:
        """The folder of a derived review: the one that is there, else a new one. Raises StoreError."""
        try:
            return cls.open(_path(root, identity))
        except StoreError:
            return cls._create(root, evidence, identity)

    @classmethod
    def _create(cls, root: Path, evidence: Evidence, identity: ReviewIdentity) -> ReviewFolder:
        path = _path(root, identity)
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            store.save(evidence, path / EVIDENCE)
            (path / EVENTS).touch(mode=0o600)
            # The head comes last: a folder without one is no review, so that a kill before leaves none that is half there.
            write_atomically(path / HEAD, tomli_w.dumps(_head(evidence, identity)).encode(), mode=0o600)
            _sync(path)
        except OSError as error:
            raise StoreError(
                f"cannot write a review to {path}: {error.strerror}", "check the folder's permissions"
            ) from error
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> ReviewFolder:
        """Raises StoreError if there is no review, not one that can be read, or one of a newer format."""
        try:
            head = tomllib.loads((path / HEAD).read_text("utf-8"))
        except FileNotFoundError as error:
            raise StoreError(
                f"{path} is not a review: it has no {HEAD}", "`pgsurveyor reviews` lists those there are"
            ) from error
        except (OSError, ValueError) as error:
            raise StoreError(
                f"cannot read {path / HEAD}: {error}", "restore the file, or start a new review"
            ) from error
        written = head.get("format", FORMAT)
        if not isinstance(written, int) or written > FORMAT:
            raise StoreError(
                f"{path} was written by a newer pgsurveyor ({head.get('tool_version', 'unknown')})", "update pgsurveyor"
            )
        started = head.get("started")
        if not (
            isinstance(head.get("id"), str) and isinstance(head.get("title"), str) and isinstance(started, dt.datetime)
        ):
            raise StoreError(
                f"{path / HEAD} lacks an id, a title or a start", "restore the file, or start a new review"
            )
        _check_frozen(path, head)
        return cls(path, head)

    @property
    def identity(self) -> ReviewIdentity:
        title = f"{self.title} ({self.milestone})" if self.milestone else self.title
        return ReviewIdentity(self.id, title, instant(self.started), self.reviewers)

    def freeze(self, name: str, *, by: str, now: dt.datetime) -> ReviewFolder:
        """A copy of the review as it is now, in a folder of its own inside this one; nothing can be said in it any more.

        Raises UsageError if the name is taken or no name, StoreError if it cannot be written.
        """
        if not _MILESTONE.fullmatch(name):
            raise UsageError(f"{name!r} is not a name for a milestone", "letters, digits, dots, dashes; at most 64")
        if self.milestone:
            raise UsageError(f"{self.path.name} is a milestone itself", "make one of the review")
        target = self.path / MILESTONES / name
        taken = UsageError(f"there is a milestone {name} already", "a milestone cannot change: choose another name")
        if target.exists():
            raise taken
        try:
            target.parent.mkdir(mode=0o700, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as scratch:
                copy = Path(scratch) / name
                copy.mkdir(mode=0o700)
                digests = {}
                for file in (EVIDENCE, EVENTS):
                    data = (self.path / file).read_bytes()
                    write_atomically(copy / file, data, mode=0o400)
                    digests[file] = hashlib.sha256(data).hexdigest()
                head = tomllib.loads((self.path / HEAD).read_text("utf-8"))
                head["milestone"] = {"name": name, "by": by, "at": now, "sha256": digests}
                write_atomically(copy / HEAD, tomli_w.dumps(head).encode(), mode=0o400)
                _sync(copy)
                copy.rename(target)
            _sync(target.parent)
        except OSError as error:
            if target.exists():
                raise taken from error
            raise StoreError(f"cannot write {target}: {error.strerror}", "check the folder's permissions") from error
        return ReviewFolder.open(target)

    def milestones(self) -> list[ReviewFolder]:
        """Those of this review, the oldest first. What can't be read is passed over."""
        folder, found = self.path / MILESTONES, []
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            try:
                found.append(
                    (tomllib.loads((path / HEAD).read_text("utf-8"))["milestone"]["at"], ReviewFolder.open(path))
                )
            except (OSError, ValueError, KeyError, StoreError):
                continue
        return [entry for _, entry in sorted(found, key=lambda pair: (pair[0], pair[1].milestone))]

    @cached_property
    def _evidence(self) -> Evidence:
        return store.load(self.path / EVIDENCE)

    def evidence(self) -> Evidence:
        """Raises EvidenceError if it cannot be read."""
        return self._evidence

    def events(self) -> tuple[Event, ...]:
        """Every event that was said, in order; read again only when the file has grown. Raises StoreError."""
        try:
            data = (self.path / EVENTS).read_bytes() if self._size() != self._seen[0] else None
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StoreError(f"cannot read {self.path / EVENTS}: {error.strerror}", "check its permissions") from error
        if data is not None:
            self._seen = (len(data), _read(data))
        return self._seen[1]

    def _size(self) -> int:
        return (self.path / EVENTS).stat().st_size

    def append(self, event: Event) -> Event:
        """Says one event for good; returns it with its id. Raises StoreError."""
        if self.milestone:
            raise StoreError(f"{self.milestone} is a milestone, which cannot change", "go on with the review it is of")
        path = self.path / EVENTS
        try:
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                end = os.lseek(handle, 0, os.SEEK_END)
                torn = end > 0 and os.pread(handle, 1, end - 1) != b"\n"
                said = msgspec.structs.replace(event, id=_event_id(event, end))
                _write(handle, (b"\n" if torn else b"") + msgspec.json.encode(said) + b"\n")
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise StoreError(f"cannot write to {path}: {error.strerror}", "what was said last is not saved") from error
        return said


def recent(root: Path) -> list[Summary]:
    """The reviews under that folder, newest first. What can't be read is passed over."""
    found = []
    for path in root.iterdir() if root.is_dir() else ():
        try:
            folder = ReviewFolder.open(path)
        except StoreError:
            continue
        found.append(Summary(path, folder.id, folder.title, folder.started, folder.reviewers))
    return sorted(found, key=lambda summary: (summary.started, summary.id), reverse=True)


def find(review: str, root: Path | None = None) -> ReviewFolder:
    """A review by its folder, its id, or a beginning of its id that no other has; a milestone by its folder, REVIEW@NAME, or its
    name if only one review has it. Raises UsageError, StoreError."""
    path = Path(review)
    if (path / HEAD).is_file():
        return ReviewFolder.open(path)
    base, at, name = review.rpartition("@")
    if at and base:
        return _milestone(find(base, root), name)
    saved = recent(root or default_root())
    exact = [summary for summary in saved if summary.id == review]
    matching = exact or [summary for summary in saved if review and summary.id.startswith(review)]
    if len({summary.id for summary in matching}) > 1:
        ids = ", ".join(sorted(summary.id for summary in matching))
        raise UsageError(f"{review!r} begins the id of several reviews: {ids}", "give more of it")
    if not matching and _MILESTONE.fullmatch(review):
        having = [summary.path for summary in saved if (summary.path / MILESTONES / review / HEAD).is_file()]
        if len(having) > 1:
            raise UsageError(f"several reviews have a milestone {review}", f"say which: REVIEW@{review}")
        if having:
            return _milestone(ReviewFolder.open(having[0]), review)
    # What stands there and was passed over says itself why it cannot be read.
    for path in sorted((root or default_root()).glob(f"*-{review}*")) if not matching and _ID.fullmatch(review) else ():
        return ReviewFolder.open(path)
    if not matching:
        raise UsageError(f"there is no review {review!r}", "`pgsurveyor reviews` lists those there are")
    return ReviewFolder.open(matching[0].path)


def _milestone(folder: ReviewFolder, name: str) -> ReviewFolder:
    path = folder.path / MILESTONES / name
    if not _MILESTONE.fullmatch(name) or not (path / HEAD).is_file():
        there = ", ".join(entry.milestone for entry in folder.milestones()) or "none"
        raise UsageError(f"review {folder.id} has no milestone {name!r}", f"it has: {there}")
    return ReviewFolder.open(path)


def _check_frozen(path: Path, head: dict[str, Any]) -> None:
    """A milestone whose files are not those that were frozen is none."""
    milestone = head.get("milestone")
    if milestone is None:
        return
    try:
        for file, digest in milestone["sha256"].items():
            if file not in (EVIDENCE, EVENTS) or hashlib.sha256((path / file).read_bytes()).hexdigest() != digest:
                raise StoreError(f"the milestone {path.name} was changed after it was made", "restore it from a backup")
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path / HEAD} is not the head of a milestone", "restore it from a backup") from error


def _path(root: Path, identity: ReviewIdentity) -> Path:
    slug = re.sub(r"[^a-z0-9]+", "-", identity.title.lower()).strip("-")[:40] or "review"
    return root / f"{slug}-{identity.started.replace('-', '').replace(':', '')}-{identity.id}"


def _head(evidence: Evidence, identity: ReviewIdentity) -> dict[str, Any]:
    target = describe_target(evidence)
    described: dict[str, Any] = {}
    if target.database:
        described["database"] = target.database.name
        described["server_version"] = target.database.server_version
    if target.repository:
        described["repository"] = target.repository.name
        if target.repository.commit:
            described["commit"] = target.repository.commit
    return {
        "format": FORMAT,
        "id": identity.id,
        "title": identity.title,
        "started": dt.datetime.fromisoformat(identity.started),
        "reviewers": list(identity.reviewers),
        "rubric": CURRENT,
        "tool_version": __version__,
        "evidence_sha256": store.sha256(evidence),
        "target": described,
    }


def _read(data: bytes) -> tuple[Event, ...]:
    """A line that is no event is what a killed process left of one, which nobody was told of as said."""
    complete = data.splitlines() if data.endswith(b"\n") else data.splitlines()[:-1]
    events = []
    for line in complete:
        try:
            events.append(decode_json(line, Event))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return tuple(events)


def _event_id(event: Event, offset: int) -> str:
    """Unique in the file by its offset, and across copies of a review that went on apart by its content."""
    content = msgspec.json.encode(msgspec.structs.replace(event, id=""))
    return hashlib.sha256(f"{offset}\n".encode() + content).hexdigest()[:ID_LENGTH]


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
