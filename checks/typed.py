"""JSON and parsed TOML as types of this program.

msgspec learns a type when it is first asked for it, and two threads that are the first to ask for the same one end the process
(seen, rarely, on CPython 3.11): one at a time learns.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

Read = TypeVar("Read")

_LEARNING = threading.Lock()
_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}


def decode_json(data: bytes, kind: type[Read]) -> Read:
    """Raises msgspec.DecodeError where `data` is no JSON or not of that type."""
    with _LEARNING:
        if kind not in _DECODERS:
            _DECODERS[kind] = msgspec.json.Decoder(kind)
    read: Read = _DECODERS[kind].decode(data)
    return read


def convert(value: object, kind: type[Read]) -> Read:
    """Raises msgspec.ValidationError where `value`, made of dicts and lists, is not of that type."""
    with _LEARNING:
        return msgspec.convert(value, kind)
