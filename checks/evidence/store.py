"""Save and load evidence: gzip over canonical JSON. Its hash is over the uncompressed bytes."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import TypeVar

import msgspec

from checks.errors import EvidenceError, StoreError
from checks.evidence.evidence import FORMAT, Evidence
from checks.files import write_atomically
from checks.shadow.blueprint import Blueprint
from checks.typed import decode_json

Read = TypeVar("Read")

MAXIMUM_BYTES = 2 * 1024**3


def encode(evidence: Evidence) -> bytes:
    """Canonical JSON: keys sorted, no spaces, so that the same facts are the same bytes."""
    return msgspec.json.encode(evidence, order="sorted")


def decode(data: bytes) -> Evidence:
    """Raises msgspec.DecodeError if it is not evidence of this format."""
    return decode_json(data, Evidence)


def sha256(evidence: Evidence) -> str:
    return hashlib.sha256(encode(evidence)).hexdigest()


def save(evidence: Evidence, path: Path, blueprint: Blueprint | None = None) -> None:
    """Replaces `path` in one step, readable by its owner only. Raises StoreError.

    A `blueprint` of the target's shadow, whose statistics hold values of columns, stands beside the evidence, not in it: a review
    that is made of the file does not take it along. The least and greatest values of columns are left out.
    """
    data = encode(evidence)
    if blueprint is not None:
        kept = msgspec.json.encode(msgspec.structs.replace(blueprint, ends=()))
        data = data[:-1] + b',"blueprint":' + kept + b"}"
    try:
        write_atomically(path, gzip.compress(data, mtime=0), mode=0o600)
    except OSError as error:
        raise StoreError(f"cannot write evidence to {path}: {error.strerror}", "choose another path with -o") from error


def load(path: Path) -> Evidence:
    """Raises EvidenceError if the file is not there, not evidence, or of a newer format."""
    return _read(path, Evidence)


def load_blueprint(path: Path) -> Blueprint | None:
    """What `collect --with-statistics` kept of the target beside the evidence; None if it was not asked to. Raises
    EvidenceError."""
    return _read(path, _Beside).blueprint


def _read(path: Path, kind: type[Read]) -> Read:
    try:
        with gzip.open(path) as stream:
            data = stream.read(MAXIMUM_BYTES + 1)
        if len(data) > MAXIMUM_BYTES:
            raise EvidenceError(f"{path} unpacks to more than 2 GiB", "collect again")
        head = decode_json(data, _Head)
        if head.format > FORMAT:
            raise EvidenceError(f"{path} was written by a newer pgsurveyor ({head.tool_version})", "update pgsurveyor")
        return decode_json(data, kind)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "it is not an evidence file, or damaged"
        raise EvidenceError(f"cannot read evidence from {path}: {reason}", "collect again with -o") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise EvidenceError(f"{path} does not hold evidence: {error}", "collect again with -o") from error


class _Beside(msgspec.Struct):
    blueprint: Blueprint | None = None


class _Head(msgspec.Struct):
    format: int
    tool_version: str = "unknown"
