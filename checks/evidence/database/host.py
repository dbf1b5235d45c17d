"""What the server tells of itself: pg_hba.conf, the sizes of pg_wal and of the log, input and output."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import psycopg

from checks.evidence.database.facts import Files, Host, HostRule, IoUsage, SlruUsage
from checks.evidence.database.query import query
from checks.evidence.database.session import Session

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NOTHING = "NULL::jsonb"
_RULES = "(SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(r)) FROM pg_catalog.pg_hba_file_rules() AS r)"
_FILES = (
    "(SELECT pg_catalog.jsonb_build_object('files', pg_catalog.count(*), 'bytes', coalesce(pg_catalog.sum(f.size), 0), "
    "'oldest', pg_catalog.min(f.modification), 'newest', pg_catalog.max(f.modification)) FROM pg_catalog.{function}() AS f)"
)

# What each kind of line takes of the others: all connections over TCP/IP, or those with or without TLS or GSSAPI.
_TAKES = {"host": frozenset({"host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"})}

# Names of pg_stat_slru before 17.
_SLRU = {
    "CommitTs": "commit_timestamp", "MultiXactMember": "multixact_member", "MultiXactOffset": "multixact_offset",
    "Notify": "notify", "Serial": "serializable", "Subtrans": "subtransaction", "Xact": "transaction",
}  # fmt: skip


class Permitted(NamedTuple):
    """What this role may call, of functions that not every role may."""

    rules: bool = False
    wal: bool = False
    log: bool = False


def observe_host(session: Session, permitted: Permitted) -> Host:
    """In a transaction of its own, one statement; where a folder cannot be read after all, again without it. Raises
    psycopg.Error."""
    fewer = permitted._replace(log=False)
    for attempt in dict.fromkeys((permitted, fewer, fewer._replace(wal=False))):
        with contextlib.suppress(psycopg.Error):
            return _observe(session, attempt)
    return _observe(session, Permitted())


def _observe(session: Session, permitted: Permitted) -> Host:
    parts = {
        "rules": _RULES if permitted.rules else _NOTHING,
        "wal": _FILES.format(function="pg_ls_waldir") if permitted.wal else _NOTHING,
        "log": _FILES.format(function="pg_ls_logdir") if permitted.log else _NOTHING,
    }
    with session.transaction():
        row = session.rows(query("host", session.major, **parts))[0]
    return Host(
        rules=rules_of(row.rules or []) if permitted.rules else None,
        wal=_files(row.wal),
        log=_files(row.log),
        io=None if session.major < 16 else tuple(map(_io, row.io or ())),
        slru=tuple(sorted(map(_slru, row.slru or ()), key=lambda entry: entry.name)),
    )


def rules_of(rows: Iterable[Mapping[str, Any]]) -> tuple[HostRule, ...]:
    """Rows of pg_hba_file_rules, in the order in which the server tries them, without their addresses."""
    rows = sorted(rows, key=lambda row: row.get("rule_number") or row["line_number"])
    main = next((row.get("file_name") for row in rows), None)
    found: list[tuple[HostRule, Network | str | None]] = []
    for row in rows:
        network = _network(row)
        rule = HostRule(
            line=row["line_number"],
            kind=row.get("type") or "",
            databases=tuple(row.get("database") or ()),
            users=tuple(row.get("user_name") or ()),
            reach=_reach(row, network),
            method=row.get("auth_method") or "",
            certificate=any(str(option).startswith("clientcert=") for option in row.get("options") or ()),
            # With a type the line was understood: its error is that it will never match.
            error=row.get("type") is None,
            idle=row.get("type") is not None and row.get("error") is not None,
            file="" if row.get("file_name") == main else str(row["file_name"]).rpartition("/")[2],
        )
        taken = next((earlier.line for earlier, other in found if _takes(earlier, other, rule, network)), None)
        if taken is not None:
            rule = msgspec.structs.replace(rule, shadowed_by=taken)
        found.append((rule, network))
    return tuple(rule for rule, _ in found)


def _network(row: Mapping[str, Any]) -> Network | str | None:
    """The addresses of a line: a network, a word or a host's name, or nothing for a socket."""
    address, netmask = row.get("address"), row.get("netmask")
    if address is None:
        return None
    try:
        if ":" not in address:
            return ipaddress.IPv4Network(f"{address}/{netmask or 32}", strict=False)
        bits = bin(int(ipaddress.IPv6Address(netmask))).count("1") if netmask else 128
        return ipaddress.IPv6Network(f"{address}/{bits}", strict=False)
    except ValueError:
        return str(address)


def _reach(row: Mapping[str, Any], network: Network | str | None) -> str:
    if row.get("type") is None:
        return ""
    if row.get("type") == "local":
        return "socket"
    if isinstance(network, str) or network is None:
        return {"all": "any address", "samenet": "own network", "samehost": "this machine"}.get(network or "", "name")
    if network.prefixlen == 0:
        return "any address"
    if network.is_loopback:
        return "this machine"
    return "private network" if network.is_private else "public network"


def _takes(earlier: HostRule, wide: Network | str | None, later: HostRule, narrow: Network | str | None) -> bool:
    """Whether no connection gets as far as the later line."""
    if earlier.error or earlier.idle or later.error or later.kind not in _TAKES.get(earlier.kind, {earlier.kind}):
        return False
    return (
        _names(earlier.databases, later.databases, "replication")
        and _names(earlier.users, later.users, "")
        and _contains(wide, narrow)
    )


def _names(earlier: tuple[str, ...], later: tuple[str, ...], apart: str) -> bool:
    """`all` takes every name but the one that stands apart; patterns, groups and sameuser are compared as they are written."""
    if "all" in earlier:
        return apart not in later or apart in earlier
    return bool(later) and set(later) <= set(earlier)


def _contains(wide: Network | str | None, narrow: Network | str | None) -> bool:
    if wide == narrow or wide == "all":
        return True
    if isinstance(wide, ipaddress.IPv4Network) and isinstance(narrow, ipaddress.IPv4Network):
        return narrow.subnet_of(wide)
    if isinstance(wide, ipaddress.IPv6Network) and isinstance(narrow, ipaddress.IPv6Network):
        return narrow.subnet_of(wide)
    return False


def _files(told: Mapping[str, Any] | None) -> Files | None:
    if told is None:
        return None
    return Files(told["files"], int(told["bytes"]), _instant(told["oldest"]), _instant(told["newest"]))


def _io(row: Mapping[str, Any]) -> IoUsage:
    counts = {name: int(row.get(name) or 0) for name in ("reads", "writes", "extends", "hits", "evictions", "fsyncs")}
    return IoUsage(row["backend_type"], row["object"], row["context"], **counts, since=_instant(row.get("stats_reset")))


def _slru(row: Mapping[str, Any]) -> SlruUsage:
    name = _SLRU.get(row["name"], row["name"])
    return SlruUsage(name, row["blks_hit"], row["blks_read"], row["blks_written"], _instant(row.get("stats_reset")))


def _instant(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC) if text else None
