"""Where a file sends statements: the calls at which the SQL literals and ORM calls found by others are run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tree_sitter import Node

from checks.evidence.repository.behaviour.outline import Call, Function, Outline
from checks.evidence.repository.facts import CodeStatement, OrmCall
from checks.evidence.repository.orm.syntax import field, text

_RUNS = frozenset(
    "execute executemany execute_batch execute_values query queryRaw executeRaw fetch fetchrow fetchval fetchone fetchall "
    "fetch_one fetch_all fetch_val exec run all get one none oneOrNone many manyOrNone any scalar scalars stream "
    "stream_scalars unsafe raw $queryRaw $executeRaw $queryRawUnsafe $executeRawUnsafe query_raw execute_raw query_first "
    "read_sql read_sql_query first values fetch_df".split()
)
# What only wraps a statement's text.
_WRAPS = re.compile(
    r"(?:^|\.)(?:text|sql|SQL|dedent|format|literal_column|strip|raw|Composed|join|literal|trim|mogrify)$"
)
_TABLE = {
    "select": re.compile(r"\bFROM\s+(?:ONLY\s+)?([\w\".$]+)", re.IGNORECASE),
    "insert": re.compile(r"\bINTO\s+([\w\".$]+)", re.IGNORECASE),
    "update": re.compile(r"\bUPDATE\s+(?:ONLY\s+)?([\w\".$]+)", re.IGNORECASE),
    "delete": re.compile(r"\bFROM\s+(?:ONLY\s+)?([\w\".$]+)", re.IGNORECASE),
}
_INNER = re.compile(r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM)\b", re.IGNORECASE)
_UPSERTS = re.compile(r"ON\s+CONFLICT|MERGE\s+INTO", re.IGNORECASE)
_UNITS_OF_WORK = frozenset(["add", "add_all"])
_NAMES_OF = {
    "insert": re.compile(
        r"^(?:create|insert|save|upsert|add|bulk|get_or_create|update_or_create|[A-Z])", re.IGNORECASE
    ),
    "update": re.compile(r"^(?:update|save|set|increment|decrement|patch|upsert|execute)"),
    "delete": re.compile(r"^(?:delete|remove|destroy|execute)"),
    "select": re.compile(
        r"^(?:select|find|query|get|count|exists|all|first|one|last|filter|values|aggregate|group|from|paginate|scalar|"
        r"take|single|maybe|where|rpc)"
    ),
}


class Site(NamedTuple):
    """A statement at the call that sends it. `text` is the statement as it was found; `orm` is empty for SQL in the code.
    `deferred`: an ORM's session keeps it until it is flushed."""

    verb: str
    table: str | None
    text: str
    orm: str
    start: int
    end: int
    line: int
    function: Function | None
    partial: tuple[str, ...] = ()
    deferred: bool = False

    @property
    def upserts(self) -> bool:
        return bool(_UPSERTS.search(self.text))


def sites_of(outline: Outline, statements: Iterable[CodeStatement], calls: Iterable[OrmCall]) -> list[Site]:
    """The sites of one file in the order of its code, each once."""
    found: dict[tuple[int, str], Site] = {}
    for statement in statements:
        for call in _sent_literal(outline, statement):
            found.setdefault((call.start, statement.text), _site(outline, call, statement.text, ""))
    for orm_call in calls:
        for call, deferred in _sent_call(outline, orm_call):
            site = _site(outline, call, orm_call.text, orm_call.orm, orm_call.partial, deferred=deferred)
            found.setdefault((call.start, orm_call.text), site)
    return sorted(found.values(), key=lambda site: (site.start, -site.end))


def _site(
    outline: Outline, call: Call, sql: str, orm: str, partial: tuple[str, ...] = (), *, deferred: bool = False
) -> Site:
    verb, table = verb_and_table(sql)
    function = outline.function_at(call.start)
    return Site(verb, table, sql, orm, call.start, call.end, call.line, function, partial, deferred)


def verb_and_table(sql: str) -> tuple[str, str | None]:
    """What a statement does and to which table, as written there without quotes."""
    words = sql.split(None, 1)
    verb = words[0].lower() if words else ""
    if verb in ("with", "merge"):
        inner = _INNER.search(sql)
        verb = inner.group(1).split()[0].lower() if inner else "insert" if verb == "merge" else "select"
    match = _TABLE[verb].search(sql) if verb in _TABLE else None
    name = match.group(1).replace('"', "") if match else None
    return verb, name if name and not name.startswith("$") else None


# Literals


def _sent_literal(outline: Outline, statement: CodeStatement) -> list[Call]:
    if statement.location.line > len(outline.line_starts):
        return []
    begin = outline.line_starts[statement.location.line - 1]
    word = statement.text.split(None, 1)[0]
    offset = outline.source.bytes.find(word.encode("utf-8", "replace"), begin)
    if offset < 0 or outline.line_of(offset) != statement.location.line:
        return []
    node = outline.source.root.descendant_for_byte_range(offset, offset + len(word))
    return _runs_of(outline, node, offset) if node is not None else []


def _runs_of(outline: Outline, node: Node, offset: int) -> list[Call]:
    """The calls that run what the node is a part of."""
    for call, arguments in _given_to(outline, offset):
        if call.name in _RUNS or arguments.type == "template_string":
            return [call]
        if not _WRAPS.search(call.callee):
            return []
        node = call.node
    return _runs_of_variable(outline, node)


def _given_to(outline: Outline, offset: int) -> Iterator[tuple[Call, Node]]:
    """The calls of the same function that have what stands at `offset` among their arguments, from the innermost outwards."""
    around = outline.functions_around(offset)
    for call in outline.calls_around(offset):
        if around and call.start < around[0].start:
            return
        arguments = field(call.node, "arguments")
        if arguments is not None and arguments.start_byte <= offset < arguments.end_byte:
            yield call, arguments


def _runs_of_variable(outline: Outline, node: Node) -> list[Call]:
    """The same for a statement kept in a variable: what the function runs after it, or the file if it is a constant of it."""
    assigned = _assigned_to(node)
    if assigned is None:
        return []
    name, begun = assigned
    function = outline.function_at(begun)
    start, end = (begun, function.end) if function else (0, len(outline.source.bytes))
    pattern = re.compile(rf"(?<![\w.$]){re.escape(name)}(?![\w$])")
    found = []
    for call in outline.calls_within(start, end):
        if call.name in _RUNS and (arguments := field(call.node, "arguments")) is not None:
            head = outline.slice(arguments.start_byte, min(arguments.end_byte, arguments.start_byte + 300))
            if pattern.search(head.split(",")[0]):
                found.append(call)
    return found


def _assigned_to(node: Node) -> tuple[str, int] | None:
    """The variable that the expression around the node is assigned to, and where."""
    current: Node | None = node
    for _ in range(40):
        if current is None:
            return None
        if current.type in ("assignment", "assignment_expression"):
            left = field(current, "left")
        elif current.type == "variable_declarator":
            left = field(current, "name")
        else:
            if current.type.endswith(("statement", "definition", "declaration", "block")):
                return None
            current = current.parent
            continue
        return (text(left), current.start_byte) if left is not None and left.type == "identifier" else None
    return None


# Calls of ORMs


def _sent_call(outline: Outline, orm_call: OrmCall) -> list[tuple[Call, bool]]:
    verb, _ = verb_and_table(orm_call.text)
    here = outline.calls_at(orm_call.location.line)
    if not here:
        row = orm_call.location.line - 1
        here = [call for call in outline.calls if call.node.start_point.row == row][:1]
    if not here:
        return []
    if orm_call.orm == "sqlalchemy":
        starts = [call for call in here if call.name in (verb, "query", "get", "get_or_404")]
        made = [call for call in here if call.name[:1].isupper()] if verb == "insert" else []
        return _sent_by_sqlalchemy(outline, (starts or made or here)[0], verb)
    fitting = [call for call in here if _NAMES_OF[verb].search(call.name)] if verb in _NAMES_OF else []
    return [((fitting or here)[0], False)]


def _sent_by_sqlalchemy(outline: Outline, call: Call, verb: str) -> list[tuple[Call, bool]]:
    if call.name in ("query", "get", "get_or_404"):
        return [(call, False)]
    for outer, _ in _given_to(outline, call.start):
        if outer.name in _RUNS:
            return [(outer, False)]
        return [(outer, True)] if outer.name in _UNITS_OF_WORK else []
    if verb == "insert" and call.name[:1].isupper():
        assigned = _assigned_to(call.node)
        if assigned is None:
            return []
        pattern = re.compile(rf"(?<![\w.]){re.escape(assigned[0])}(?!\w)")
        function = outline.function_at(call.start)
        return [
            (later, True)
            for later in outline.calls_within(call.start, function.end if function else len(outline.source.bytes))
            if later.name in _UNITS_OF_WORK and pattern.search(outline.text(field(later.node, "arguments")))
        ][:1]
    return [(later, False) for later in _runs_of_variable(outline, call.node)]


def flushes_within(outline: Outline, start: int, end: int) -> bool:
    """Whether a unit of work is written there."""
    return any(call.name in ("flush", "commit", "refresh") for call in outline.calls_within(start, end))
