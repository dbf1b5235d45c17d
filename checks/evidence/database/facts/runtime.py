"""Settings, and who was connected when it was looked at."""

from __future__ import annotations

from functools import cached_property

import msgspec


class RoleSetting(msgspec.Struct, frozen=True):
    """One setting of pg_db_role_setting; an empty role or database stands for all."""

    role: str
    database: str
    name: str
    value: str


class Setting(msgspec.Struct, frozen=True):
    """`value` in `unit` as pg_settings has it (`8kB`, `ms`, ...), not as SHOW prints it."""

    name: str
    value: str
    unit: str | None = None
    source: str = "default"
    boot_value: str | None = None
    pending_restart: bool = False


class Settings(msgspec.Struct, frozen=True, tag=True, dict=True):
    """Settings of the server as a fresh session of any role gets them: this session's own are undone.

    `hidden` says that this role sees not all of them. `roles` may log in; `role_settings` is pg_db_role_setting.
    `privileged_roles` are those of the login roles that are superusers, may replicate, or are members of pg_monitor.
    """

    entries: tuple[Setting, ...] = ()
    role_settings: tuple[RoleSetting, ...] = ()
    login_roles: tuple[str, ...] = ()
    privileged_roles: tuple[str, ...] = ()
    hidden: bool = False

    @cached_property
    def by_name(self) -> dict[str, Setting]:
        return {entry.name: entry for entry in self.entries}

    def value(self, name: str, role: str = "", database: str = "") -> str | None:
        """The value that a session of `role` in `database` starts with: role in database, role, database, server."""
        mine = {(entry.role, entry.database): entry.value for entry in self.role_settings if entry.name == name}
        for key in ((role, database), (role, ""), ("", database), ("", "")):
            if key in mine:
                return mine[key]
        setting = self.by_name.get(name)
        return setting.value if setting else None


class Session(msgspec.Struct, frozen=True):
    """One server process that serves a client; no query text, no address. Ages in seconds. `blocks` counts the sessions that
    wait for a lock which this one holds, `blocked` says that it waits itself. `encrypted` is None for a client of the same
    machine, or one whose connection this role may not see."""

    application_name: str
    user: str
    database: str
    state: str | None
    transaction_age_s: float | None
    state_age_s: float | None
    wait_event_type: str | None = None
    wait_event: str | None = None
    backend_type: str = "client backend"
    xmin_age: int | None = None
    blocked: bool = False
    blocks: int = 0
    encrypted: bool | None = None


class WaitCount(msgspec.Struct, frozen=True):
    """Active client sessions that waited for the same; two empty words are those that did not wait."""

    type: str
    event: str
    sessions: int


class HorizonHolder(msgspec.Struct, frozen=True):
    """What keeps rows from being vacuumed away. `kind`: session, slot, catalog slot, prepared transaction, standby. `xmin_age`
    in transactions; `age_s` where it is known how long already."""

    kind: str
    name: str
    xmin_age: int
    age_s: float | None = None


class Progress(msgspec.Struct, frozen=True):
    """A maintenance command at work (pg_stat_progress_...). `table` is its oid if it is of this database; `done` and `total`
    in blocks or bytes, None where they are not told."""

    command: str
    database: str
    table: int | None = None
    phase: str | None = None
    done: int | None = None
    total: int | None = None


class PreparedTransaction(msgspec.Struct, frozen=True):
    name: str
    database: str
    owner: str
    age_s: float


class Activity(msgspec.Struct, frozen=True, tag=True):
    """Who was connected when it was looked at, our own session left out; the twenty oldest holders of the horizon."""

    sessions: tuple[Session, ...] = ()
    max_connections: int = 0
    reserved_connections: int = 0
    prepared: tuple[PreparedTransaction, ...] = ()
    states_hidden: bool = False
    waits: tuple[WaitCount, ...] = ()
    horizon: tuple[HorizonHolder, ...] = ()
    progress: tuple[Progress, ...] = ()


class FreezeAge(msgspec.Struct, frozen=True):
    """Transaction-id and multixact ages, in transactions. `path` is a database, or a schema and table with TOAST folded in."""

    path: tuple[str, ...]
    xid_age: int
    multixact_age: int


class FreezeAges(msgspec.Struct, frozen=True, tag=True):
    databases: tuple[FreezeAge, ...] = ()
    oldest_tables: tuple[FreezeAge, ...] = ()
