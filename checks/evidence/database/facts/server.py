"""The node that was asked."""

from __future__ import annotations

import datetime as dt

import msgspec


class Extension(msgspec.Struct, frozen=True):
    """`version` is what the catalog says, `default_version` what the server would install, `loaded_version` what runs."""

    name: str
    schema: str
    version: str
    default_version: str | None = None
    loaded_version: str | None = None

    @property
    def version_tuple(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split(".") if part.isdigit())


class Server(msgspec.Struct, frozen=True, tag=True):
    """The node that was asked, as this role sees it. `user_sees`: superuser, full, monitor or plain."""

    database: str
    version: str
    version_num: int
    role: str
    flavour: str
    user: str
    user_sees: str
    observed_at: dt.datetime
    started_at: dt.datetime | None
    statistics_since: dt.datetime | None
    size_bytes: int | None
    system_identifier: str | None = None
    through_pooler: bool = False
    encoding: str = "UTF8"
    extensions: tuple[Extension, ...] = ()

    @property
    def major(self) -> int:
        return self.version_num // 10000

    @property
    def is_standby(self) -> bool:
        return self.role == "standby"

    @property
    def statistics_window_days(self) -> float | None:
        """Days the cumulative statistics cover: since the later of their reset and the server's start."""
        begun = [moment for moment in (self.statistics_since, self.started_at) if moment]
        if not begun:
            return None
        return max(0.0, (self.observed_at - max(begun)).total_seconds() / 86400)

    def extension(self, name: str) -> Extension | None:
        return next((extension for extension in self.extensions if extension.name == name), None)
