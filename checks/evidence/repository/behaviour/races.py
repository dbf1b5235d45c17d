"""Statements of one function that together are right only while nobody else runs them: a look before an insert, a value that is
read, changed and written back, a queue that is polled."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from tree_sitter import Node

from checks.evidence.repository.behaviour.helpers import Helper, Helpers, sent_through
from checks.evidence.repository.behaviour.outline import Outline, leaves
from checks.evidence.repository.behaviour.sites import Site
from checks.evidence.repository.facts import Behaviour
from checks.evidence.repository.orm.syntax import field
from checks.model import Location

# A function that sends more is a script, and not what many run at once.
MAXIMUM_PER_FUNCTION = 100

# What tells that the code knows of others: it waits for them, or takes the error that the database raises.
CAREFUL = re.compile(
    r"on_conflict|onConflict|ON\s+CONFLICT|IntegrityError|UniqueViolation|UniqueConstraint|unique_violation|P2002|23505|advisory"
    r"|with_for_update|select_for_update|FOR\s+(?:NO\s+KEY\s+)?UPDATE|serializable|\.lock\(|acquire_?lock|with_?lock|[Mm]utex|setnx"
    r"|\.for\(\s*['\"](?:no key )?update"
    r"|skipDuplicates|ignore_conflicts|isUniqueError|isUniqueConstraint|DuplicateKey|orderedLock|pessimistic",
    re.IGNORECASE,
)
_LOCK = re.compile(r"\b(?:acquire|take|obtain|hold|with)\w*lock\w*\(([^()]*)\)", re.IGNORECASE)
_UPSERTS = re.compile(r"\.upsert\(|get_or_create|update_or_create|onConflict|ignoreDuplicates|orIgnore|findOrCreate")
_EQUAL = re.compile(r'(?:"?\w+"?\.)?"?(\w+)"?\s*(?:=\s*\$|ILIKE\s*\$|=\s*ANY|IN\s*\(\$)', re.IGNORECASE)
_ALL = re.compile(r"\.(?:findMany|findAll)\(|\.all\(\s*\)\s*$")
_INSERTED = re.compile(r"\bINTO\s+[\w\".]+\s*\(([^)]*)\)", re.IGNORECASE)
_SET = re.compile(r"\bSET\s+(.*?)(?:\bWHERE\b|$)", re.IGNORECASE | re.DOTALL)
_NAMES = re.compile(r"[A-Za-z_$][\w$]*")
_WAITING = r"pending|queued|waiting|ready|scheduled|new|todo|enqueued|unprocessed|available|idle|open|retry"
_STATUS = re.compile(
    rf"\b\w*(?:status|state)\b[\"']?\]?\s*(?:[=:,]|==|\.eq\()+\s*\(?(?:\w+\.)*[\"']?(?:{_WAITING})\b", re.IGNORECASE
)
_TAKEN = re.compile(
    r"\b\w*(?:status|state)\b[\"']?\]?\s*[=:]\s*(?:\w+\.)*[\"']?(?:running|processing|in_?progress|claimed|locked|started|active|working"
    r"|leased|reserved|executing)\b|\b(?:locked_?(?:at|by)|claimed_?(?:at|by)|started_?at|picked_?at)\b",
    re.IGNORECASE,
)
_QUEUE = re.compile(
    r"job|task|queue|outbox|run|work|event|message|item|import|delivery|webhook|schedule", re.IGNORECASE
)


def races_of(outline: Outline, sites: list[Site], helpers: Helpers) -> Iterator[Behaviour]:
    """A look and an insert may be sent by functions of other files: each is told where it is called."""
    by_function: dict[int, list[Site]] = {}
    for site in sites:
        if site.function is not None:
            by_function.setdefault(site.function.start, []).append(site)
    elsewhere: dict[int, list[tuple[Site, Helper]]] = {}
    for site, helper in sent_through(outline, helpers):
        if site.function is not None and not helper.careful:
            elsewhere.setdefault(site.function.start, []).append((site, helper))
    for start in dict.fromkeys([*by_function, *elsewhere]):
        inside, through = by_function.get(start, []), elsewhere.get(start, [])
        function = (inside or [site for site, _ in through])[0].function
        if function is None or len(inside) + len(through) > MAXIMUM_PER_FUNCTION:
            continue
        code = outline.slice(function.start, function.end)
        reads = [site for site in inside if site.verb == "select" and site.table]
        polled = list(_polled(outline, inside, code)) if reads else []
        yield from polled
        if CAREFUL.search(code):
            continue
        guessed = frozenset(site.start for site, helper in through if not helper.certain)
        yield from _checked(
            outline, sorted([*inside, *(site for site, _ in through)], key=lambda site: site.start), guessed
        )
        if not polled:
            yield from _written_back(outline, reads, inside)


def _behaviour(outline: Outline, kind: str, site: Site, other: int, detail: str, *, certain: bool = True) -> Behaviour:
    return Behaviour(
        kind,
        Location(outline.path, site.line),
        site.function.name if site.function else None,
        site.table,
        site.text,
        Location(outline.path, other),
        detail[:80],
        certain,
    )


# A look, then an insert


def _checked(outline: Outline, inside: list[Site], guessed: frozenset[int]) -> Iterator[Behaviour]:
    for insert in inside:
        if insert.verb != "insert" or insert.upserts or insert.table is None:
            continue
        if _UPSERTS.search(outline.slice(insert.start, insert.end)):
            continue
        written = _columns(_INSERTED.search(insert.text))
        unknown = "columns" in insert.partial or not written
        before = [
            site for site in inside if site.verb == "select" and site.table == insert.table and site.end <= insert.start
        ]
        for read in reversed(before):
            compared = {_plain(name) for name in _EQUAL.findall(read.text)}
            if not compared or "count(" in read.text.lower() or " join " in read.text.lower():
                continue
            if not (compared <= written or (unknown and compared != {"id"})) or _is_locked(outline, read):
                continue
            if _decides(outline, read, insert):
                detail = ", ".join(dict.fromkeys(_EQUAL.findall(read.text)))
                certain = guessed.isdisjoint([read.start, insert.start])
                told = _behaviour(outline, "check_then_insert", read, insert.line, detail, certain=certain)
                many = bool(_ALL.search(outline.slice(read.start, read.end)))
                yield msgspec.structs.replace(told, many=many)
                break


def _is_locked(outline: Outline, read: Site) -> bool:
    """Whether a lock is taken before, by a function that is called so, for something that the look compares."""
    if read.function is None:
        return False
    looked = outline.slice(read.start, read.end)
    before = outline.slice(read.function.start, read.start)
    return any(
        re.search(rf"(?<![\w.]){re.escape(argument.strip())}(?![\w.])", looked)
        for match in _LOCK.finditer(before)
        for argument in match.group(1).split(",")
        if argument.strip()
    )


def _columns(match: re.Match[str] | None) -> set[str]:
    return {_plain(name) for name in _NAMES.findall(match.group(1))} if match else set()


def _plain(name: str) -> str:
    return name.replace("_", "").replace('"', "").lower()


def _decides(outline: Outline, read: Site, insert: Site) -> bool:
    """Whether the insert depends on nothing but on what was found being there or not."""
    names = variables_of(outline, read)
    for node in outline.ifs:
        condition = field(node, "condition")
        if condition is None or node.start_byte > insert.start:
            continue
        direct = condition.start_byte <= read.start < condition.end_byte
        if not direct and (node.start_byte < read.end or not _is_about(outline.text(condition), names)):
            continue
        if _is_absence(outline.text(condition)):
            chosen = field(node, "consequence")
            if chosen is not None and chosen.start_byte <= insert.start < chosen.end_byte:
                return True
        elif _is_otherwise(node, insert) or (_is_followed_by(node, insert) and leaves(field(node, "consequence"))):
            return True
    return False


def _is_absence(condition: str) -> bool:
    inner = condition.strip().lstrip("(").strip()
    return inner.startswith(("not ", "!")) or bool(
        re.search(r"(?:\bis\s+None|===?\s*(?:null|undefined|0|None))\s*\)*$", inner)
    )


def _is_otherwise(node: Node, insert: Site) -> bool:
    chosen = field(node, "consequence")
    return chosen is not None and chosen.end_byte <= insert.start < node.end_byte


def _is_about(condition: str, names: set[str]) -> bool:
    inner = condition.strip()
    while inner.startswith("(") and inner.endswith(")"):
        inner = inner[1:-1].strip()
    match = re.fullmatch(
        r"(?:not\s+|!)?\s*(?:len\(\s*)?([A-Za-z_$][\w$]*)\)?(?:\.length|\[0\]|\.rows\.length|\.rowCount|\.rows\[0\]|\.data)?"
        r"(?:\s*(?:is|===?|!==?|>)\s*(?:not\s+)?(?:None|null|undefined|0))?",
        inner,
    )
    return match is not None and match.group(1) in names


def _is_followed_by(node: Node, insert: Site) -> bool:
    """Whether the insert stands after the `if`, in what follows it."""
    block = node.parent
    return block is not None and node.end_byte <= insert.start < block.end_byte


def variables_of(outline: Outline, site: Site) -> set[str]:
    """The variables of the function that hold what the statement brought, or are made from that."""
    if site.function is None:
        return set()
    names = _assigned(outline, site)
    rest = outline.slice(site.end, site.function.end)
    cursor = re.match(r"([\w.]+)\.execute$", outline.slice(site.start, site.end).split("(")[0])
    if not names and cursor is not None:
        fetched = rf"^\s*([A-Za-z_]\w*)\s*=\s*(?:await\s+)?{re.escape(cursor.group(1))}\.fetch\w*\("
        names = set(re.findall(fetched, rest, re.MULTILINE)[:1])
    if not names:
        return set()
    for _ in range(2):
        alternatives = "|".join(map(re.escape, sorted(names)))
        derived = re.compile(
            rf"^\s*(?:const\s+|let\s+)?[\[{{(]?\s*([A-Za-z_$][\w$]*)\s*[\]}})]?\s*(?::[^=\n]+)?=\s*(?:\(?await\s+)?(?:{alternatives})"
            r"(?:\.(?:scalar\w*|first|one\w*|fetchone|fetchall|mappings|all|rows|data|unique|at)\b(?:\(\w*\))?|\[0\]|\?\.\[0\]|\?)*\s*;?\s*$",
            re.MULTILINE,
        )
        names |= set(derived.findall(rest))
    return names


def _assigned(outline: Outline, site: Site) -> set[str]:
    node: Node | None = outline.source.root.descendant_for_byte_range(site.start, max(site.start, site.end - 1))
    for _ in range(30):
        if node is None or node.type.endswith(("block", "definition", "declaration")) or node.type == "if_statement":
            return set()
        if node.type in ("assignment", "assignment_expression", "variable_declarator", "named_expression"):
            left = field(node, "left") or field(node, "name")
            return set(_NAMES.findall(re.sub(r"\w+\s*:", "", outline.text(left)))) if left is not None else set()
        node = node.parent
    return set()


# Read, changed, written back


def _written_back(outline: Outline, reads: list[Site], inside: list[Site]) -> Iterator[Behaviour]:
    reported: set[int] = set()
    for read in reads:
        if read.function is None:
            continue
        names = variables_of(outline, read)
        if not names:
            continue
        variables = "|".join(map(re.escape, sorted(names)))
        column = rf"(?:{variables})(?:\[0\])?(?:!|\?)?\s*[.\[][\"']?([A-Za-z_]\w*)[\"']?\]?"
        if read.orm in ("sqlalchemy", "django"):
            changed = re.compile(
                rf"(?<![\w.]){column}\s*(?:[-+*]=|=\s*\(?\s*(?:{variables})\.\1\b(?:\s+or\s+0)?\)?\s*[-+*])"
            )
            match = changed.search(outline.slice(read.end, read.function.end))
            if match is not None and read.end not in reported:
                reported.add(read.end)
                at = read.end + len(outline.slice(read.end, read.function.end)[: match.start()].encode())
                yield _behaviour(outline, "read_modify_write", read, outline.line_of(at), match.group(1))
                continue
        for update in inside:
            if update.verb != "update" or update.table != read.table or update.start < read.end:
                continue
            written = _SET.search(update.text)
            columns = {_plain(name) for name in _NAMES.findall(written.group(1))} if written else set()
            code = outline.slice(update.start, update.end)
            between = outline.slice(read.end, update.start)
            found = _changed_column(code, between, column, columns)
            if found and update.start not in reported:
                reported.add(update.start)
                yield _behaviour(outline, "read_modify_write", read, update.line, found)


def _changed_column(code: str, between: str, column: str, written: set[str]) -> str | None:
    """The column that the update sets to what it was, plus or minus something."""
    computed = rf"{column}\s*\)?(?:\s*(?:\?\?|\|\||or)\s*0\s*\)?)?\s*[-+*](?![-+]\s*\))\s*[\w(]"
    for match in re.finditer(computed, code):
        if _plain(match.group(1)) in written and re.search(
            rf"\b{re.escape(match.group(1))}[\"']?\s*[:=][^,\n]*$", code[: match.start()]
        ):
            return match.group(1)
    for match in re.finditer(rf"\b([A-Za-z_]\w*)\s*(?::[^=\n]+)?=[^\n=;]*?{computed}", between):
        name, source = match.group(1), match.group(2)
        if _plain(source) in written and re.search(
            rf"\b{re.escape(source)}[\"']?\s*[:=]\s*{re.escape(name)}\b|[\[,]\s*{re.escape(name)}\s*[,\]]", code
        ):
            return source
    return None


# A queue that is polled


def _polled(outline: Outline, inside: list[Site], code: str) -> Iterator[Behaviour]:
    if re.search(r"skip_?locked|advisory", code, re.IGNORECASE):
        return
    for read in inside:
        if read.verb != "select" or not read.table or not _QUEUE.search(read.table):
            continue
        sql = read.text.upper()
        if "SKIP LOCKED" in sql or (" LIMIT " not in f" {sql} " and "ORDER BY" not in sql):
            continue
        if not _STATUS.search(_code_of(outline, read)):
            continue
        for update in inside:
            if update.verb == "update" and update.table == read.table and update.start > read.start:
                written = _code_of(outline, update)
                if _TAKEN.search(written) and not _STATUS.search(written):
                    yield _behaviour(outline, "queue_poll", read, update.line, "")
                    return


def _code_of(outline: Outline, site: Site) -> str:
    """The code of the call, with what the statement was put together from before it."""
    around = outline.functions_around(site.start)
    start = max(site.start - 400, around[0].start if around else 0)
    return outline.slice(start, site.end) if site.orm == "sqlalchemy" else outline.slice(site.start, site.end)
