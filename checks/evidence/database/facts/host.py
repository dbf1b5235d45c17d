"""What the server tells of itself beyond its databases: who may connect from where, its files, and its input and output."""

from __future__ import annotations

import datetime as dt

import msgspec


class HostRule(msgspec.Struct, frozen=True):
    """One line of pg_hba.conf as it stands in the file now. No address is kept, only how far it `reach`es: socket, this
    machine, private network, own network (samenet, samehost), name, public network, any address; nothing where the line is
    an error.

    `kind`: local, host, hostssl, hostnossl, hostgssenc, hostnogssenc. `file` is empty for the main file, else the name of the one
    that it includes, without its folder. `certificate`: a client's certificate is asked for too. `idle`: it takes no
    connection at all, because the server has no TLS (or GSSAPI). `shadowed_by` is the line, of whatever file, that takes every
    connection which this one would.
    """

    line: int
    kind: str = ""
    databases: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    reach: str = ""
    method: str = ""
    certificate: bool = False
    error: bool = False
    idle: bool = False
    file: str = ""
    shadowed_by: int | None = None


class Files(msgspec.Struct, frozen=True):
    """Files of one folder: how many, their size in bytes together, and the times of the oldest and the newest."""

    files: int
    bytes: int
    oldest: dt.datetime | None = None
    newest: dt.datetime | None = None


class IoUsage(msgspec.Struct, frozen=True):
    """One row of pg_stat_io that counted anything. Reads, writes and extensions are counts of operations, `fsyncs` too."""

    backend: str
    object: str
    context: str
    reads: int = 0
    writes: int = 0
    extends: int = 0
    hits: int = 0
    evictions: int = 0
    fsyncs: int = 0
    since: dt.datetime | None = None


class SlruUsage(msgspec.Struct, frozen=True):
    """One row of pg_stat_slru, by its name of 17 and later: blocks found in the cache, read and written."""

    name: str
    hits: int = 0
    reads: int = 0
    writes: int = 0
    since: dt.datetime | None = None


class Host(msgspec.Struct, frozen=True, tag=True):
    """`rules`, `wal` (pg_wal), `log` (log_directory) are None where this role may not see them, or the server has none; `io` is
    None before 16."""

    rules: tuple[HostRule, ...] | None = None
    wal: Files | None = None
    log: Files | None = None
    io: tuple[IoUsage, ...] | None = None
    slru: tuple[SlruUsage, ...] = ()
