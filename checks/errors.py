"""What can go wrong in a review, as one tree; the command line turns each branch into an exit status.

ReviewError
├── UsageError      the request itself is wrong (exit status 2)
├── TargetError     something asked for could not be reached or read (3)
├── EvidenceError   an evidence file is damaged, or of a newer version (3)
├── StoreError      a review folder cannot be read or written (3)
└── ExportError     a result cannot be written where it was asked for (3)
"""

from __future__ import annotations


class ReviewError(Exception):
    """`str(error)` says what and where in one line; `hint` says what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(ReviewError):
    pass


class TargetError(ReviewError):
    pass


class EvidenceError(ReviewError):
    pass


class StoreError(ReviewError):
    pass


class ExportError(ReviewError):
    pass
