"""Settings of sessions and transactions, prepared statements, and readers apart from the writer, by the code that makes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tree_sitter import Node

from checks.evidence.repository.behaviour.outline import Outline
from checks.evidence.repository.facts import Behaviour
from checks.model import Location

MAXIMUM_PER_FILE = 100

_SETTING = (
    rb"(?:search_path|statement_timeout|lock_timeout|work_mem|maintenance_work_mem|role|time\s*zone|timezone|session_replication_role"
    rb"|enable_\w+|application_name|jit|plan_cache_mode|idle_\w+|synchronous_commit|row_security|default_transaction_\w+"
    rb"|client_encoding|datestyle|random_page_cost|(?:hnsw|ivfflat|app|my|jwt|request|rls|pg_trgm|auto_explain|tenant|audit|context)\.\w+)"
)
_STRING = frozenset(
    ["string_content", "string_fragment", "template_string", "string", "escape_sequence", "interpolation"]
)
_IN_STRINGS = (
    ("session_state", rb"[\"'`]\s*SET\s+(?:SESSION\s+)?(?P<d>" + _SETTING + rb")\s*(?:=|\bTO\b|\s[\"'$%{:])", "SET {0}"),
    ("session_state", rb"\bset_config\(\s*'(?P<d>[\w.]{1,60})'\s*,[^,()]{1,80},\s*false\s*\)", "SET {0}"),
    ("session_state", rb"\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(", "advisory lock"),
    ("session_state", rb"[\"'`]\s*LISTEN\s+[\w\\\"{}$.%-]{1,80};?\s*[\"'`]", "LISTEN"),
    ("session_state", rb"\bCREATE\s+(?:LOCAL\s+|GLOBAL\s+)?TEMP(?:ORARY)?\s+TABLE\b(?![^\"'`]{0,400}?ON\s+COMMIT\s+DROP)",
     "temporary table"),
    ("session_state", rb"[\"'`]\s*PREPARE\s+[\w{$]+\s*(?:\(|AS\b)", "PREPARE"),
    ("session_state", rb"\bCURSOR\s+WITH\s+HOLD\b", "cursor WITH HOLD"),
    ("isolation_level", rb"\bISOLATION\s+LEVEL\s+(?P<d>SERIALIZABLE|REPEATABLE\s+READ|READ\s+(?:UN)?COMMITTED)", "{0}"),
)  # fmt: skip
_IN_CODE = (
    ("session_state", rb"\.(?P<p>add_listener)\s*\(", "LISTEN"),
    ("session_state", rb"from\s+[\"'](?P<p>pg-listen)[\"']", "LISTEN"),
    ("isolation_level", rb"\bisolation_level[\"']?\s*[=:]\s*[\"'](?P<d>[A-Za-z_ ]{4,20})[\"']", "{0}"),
    ("isolation_level", rb"\bisolationLevel\s*:\s*(?:Prisma\.TransactionIsolationLevel\.|[\"'`])(?P<d>[A-Za-z][A-Za-z ]{3,20})",
     "{0}"),
    ("isolation_level", rb"\bIsolationLevel\.(?P<d>SERIALIZABLE|REPEATABLE_READ|READ_COMMITTED)\b", "{0}"),
    ("prepared_statement", rb"\b(?P<d>(?:prepared_)?statement_cache_size[\"']?\s*[=:]\s*\d+)", "{0}"),
    ("prepared_statement", rb"\b(?P<d>prepared_statement_name_func)\b[\"']?\s*[=:]", "{0}"),
    ("prepared_statement", rb"\b(?P<d>prepare_threshold[\"']?\s*[=:]\s*(?:None|\d+))", "{0}"),
    ("prepared_statement", rb"\b(?P<d>max_cached_statement_lifetime[\"']?\s*[=:]\s*\d+)", "{0}"),
    ("prepared_statement", rb"(?<![\w.$])(?P<d>prepare\s*:\s*(?:false|true))\b", "{0}"),
    ("prepared_statement", rb"[?&](?P<d>pgbouncer=true)\b", "{0}"),
    ("reader_split", rb"(?<![\w.])(?P<d>withReplicas)\s*\(", "{0}"),
    ("reader_split", rb"(?<![\w.])(?P<d>readReplicas)\s*\(", "{0}"),
    ("reader_split", rb"\.(?P<d>\$replica)\s*\(\s*\)", "{0}"),
    ("reader_split", rb"\b(?P<d>DATABASE_ROUTERS)\s*=\s*\[\s*[\"']", "{0}"),
    ("reader_split", rb"\.(?P<p>using)\(\s*[\"'](?:replica|read\w*|slave)[\"']\s*\)", "using"),
    ("reader_split", rb"\b(?P<d>(?:[A-Z0-9]+_)*(?:DATABASE|DB|POSTGRES|POSTGRESQL|PG)_(?:[A-Z0-9]+_)*?"
     rb"(?:REPLICA|READ_?ONLY|READER|READ)(?:_[A-Z0-9]+)*)\b", "{0}"),
    ("reader_split", rb"\b(?P<d>(?:REPLICA|READ_?ONLY|READER|READ)_(?:[A-Z0-9]+_)*(?:DATABASE|DB|POSTGRES)_"
     rb"(?:URL|URI|DSN|HOST))\b", "{0}"),
)  # fmt: skip
# A rule is tried where one of its words stands in the file (in lower case, but for readers): a tenth of the cost of trying it.
_NEEDLES = {
    "SET {0}": (b'"set ', b"'set ", b"`set ", b"set_config("), "advisory lock": (b"advisory_lock",),
    "LISTEN": (b'"listen ', b"'listen ", b"`listen ", b"add_listener", b"pg-listen"),
    "temporary table": (b"temp table", b"temporary table"), "PREPARE": (b'"prepare ', b"'prepare ", b"`prepare "),
    "cursor WITH HOLD": (b"with hold",),
}  # fmt: skip
_NEEDLES_OF_KIND = {
    "isolation_level": (b"isolation level", b"isolation_level", b"isolationlevel"),
    "prepared_statement": (
        b"statement_cache", b"prepared_statement_name", b"prepare_threshold", b"max_cached_statement", b"prepare:", b"pgbouncer=",
    ),
    "reader_split": (
        b"REPLICA", b"READ_", b"READONLY", b"READER", b"_READ", b"withReplicas", b"readReplicas", b"$replica",
        b"DATABASE_ROUTERS", b".using(",
    ),
}  # fmt: skip


class _Rule(NamedTuple):
    kind: str
    pattern: re.Pattern[bytes]
    shown: str
    in_strings: bool
    needles: tuple[bytes, ...]


_COMPILED = [
    _Rule(
        kind,
        re.compile(pattern, re.IGNORECASE if kind in ("session_state", "isolation_level") else 0),
        shown,
        in_strings,
        _NEEDLES.get(shown) or _NEEDLES_OF_KIND[kind],
    )
    for in_strings, rules in ((True, _IN_STRINGS), (False, _IN_CODE))
    for kind, pattern, shown in rules
]
_POSTGRES_JS = re.compile(rb"from\s+[\"']postgres[\"']|require\([\"']postgres[\"']\)")
_ONCE = frozenset(["reader_split"])


def is_candidate(text: str) -> bool:
    """Whether the file may hold anything of this, before it is parsed."""
    data = text.encode("utf-8", "replace")
    lowered = data.lower()
    return any(_is_named(rule, data, lowered) and rule.pattern.search(data) for rule in _COMPILED)


def _is_named(rule: _Rule, data: bytes, lowered: bytes) -> bool:
    where = data if rule.kind == "reader_split" else lowered
    return any(needle in where for needle in rule.needles)


def sessions_of(outline: Outline) -> Iterator[Behaviour]:
    """What the code sets for a session or a transaction, and by which names it knows readers."""
    data = outline.source.bytes
    seen: set[tuple[str, object]] = set()
    lowered = data.lower()
    for rule in _COMPILED:
        if not _is_named(rule, data, lowered):
            continue
        kind, pattern, shown, in_strings, _ = rule
        for number, match in enumerate(pattern.finditer(data)):
            if number >= MAXIMUM_PER_FILE:
                break
            named = match.groupdict()
            at = match.start("d") if "d" in named else match.start("p") if "p" in named else match.start() + 1
            node = outline.source.root.descendant_for_byte_range(at, at + 1)
            if (
                node is None
                or node.type == "comment"
                or (in_strings and node.type not in _STRING)
                or _is_docstring(node)
            ):
                continue
            if (
                shown == "{0}"
                and named["d"].startswith(b"prepare")
                and b":" in named["d"]
                and not _POSTGRES_JS.search(data)
            ):
                continue
            if kind == "reader_split" and (node.text or b"").count(b" ") > 3:
                continue
            detail = shown.format(_written(named["d"], kind)) if "d" in named else shown
            line = node.start_point.row + 1 if node.start_byte == at else outline.line_of(at)
            if detail.startswith("ENV_"):
                continue
            key = (kind, detail if kind in _ONCE else (detail, line))
            if key in seen:
                continue
            seen.add(key)
            function = outline.function_at(at)
            yield Behaviour(kind, Location(outline.path, line), function.name if function else None, detail=detail)


def _written(found: bytes, kind: str) -> str:
    text = " ".join(found.decode("ascii", "replace").replace('"', "").replace("'", "").split())
    if kind == "isolation_level":
        text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).replace("_", " ").lower()
    if kind == "prepared_statement":
        text = re.sub(r"\s*[=:]\s*", " = ", text)
    return text[:80]


def _is_docstring(node: Node) -> bool:
    current: Node | None = node
    while current is not None and current.type in _STRING:
        current = current.parent
    return current is not None and current.type == "expression_statement"
