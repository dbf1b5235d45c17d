"""The schema that migrations and schema files declare."""

from __future__ import annotations

import msgspec

from checks.model import Location, Subject


class Declared(msgspec.Struct, frozen=True):
    """The statement in a migration or schema file that created, or last changed, an object."""

    subject: Subject
    location: Location
    action: str = "create"
