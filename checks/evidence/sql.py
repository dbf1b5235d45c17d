"""SQL text: masking, normalising, splitting and parsing it. The only module that knows the two parsers.

postgast is PostgreSQL's own grammar; sqlglot reads what that refuses. Both are imported when first needed.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from checks.evidence.masked import as_sql
from checks.evidence.places import ordinals
from checks.evidence.tokens import Kind, Token, significant, tokens
from checks.keywords import RESERVED
from checks.model import quote_identifier

STRICT_CHARACTERS = 200_000
STRICT_STRETCH = 4_000
TOLERANT_CHARACTERS = 20_000
TOLERANT_DEPTH = 14
TOLERANT_JOINS = 30

_JSON_OPERATORS = frozenset(["->", "->>", "#>", "#>>", "?", "?|", "?&"])
_JSON_KEY = re.compile(r"'[A-Za-z0-9_.-]{1,63}'")
_JSON_PATH = re.compile(r"'\{[A-Za-z0-9_-]{1,63}(?:,[A-Za-z0-9_-]{1,63}){0,9}\}'")
_BY_NUMBER = re.compile(r"\bby\b.*?\b[0-9]", re.IGNORECASE | re.DOTALL)
_CONSTANT_WORDS = frozenset(["true", "false", "null"])
_GRAMMAR_BEFORE_CONSTANT = frozenset(["is", "not", "default", "set"])
_NAME_FOLLOWS = frozenset(["from", "join", "into", "update", "table", "only", ".", "as"])
_CLAUSES = frozenset(["by", "set", "is", "escape", "values", "over", "filter", "recursive", "key", "nothing", "nulls"])
_OPERAND_ENDS = frozenset([")", "]"])
_SIGN_AFTER_WORD = frozenset(
    "select where and or not when then else limit offset between in like by on having returning values case".split()
)


def mask_literals(sql: str, *, keep_json_keys: bool = True) -> str:
    """`sql` with every constant (string, number, bit string) replaced by `$n`, counting on from the parameters it has, and
    without its comments. Any text is taken; masking twice changes nothing.

    A string directly right of a JSON operator is the name of a key and stays, if it looks like a name, unless
    `keep_json_keys` is false. So do numbers that name a place in the select list, as in `GROUP BY 2`.
    """
    number = highest_parameter(sql)
    parts: list[str] = []
    before: Token | None = None
    kept = ordinals(significant(sql)) if _BY_NUMBER.search(sql) else frozenset()
    for token in tokens(sql):
        if token.kind is Kind.SPACE:
            parts.append(token.text)
            continue
        if token.kind is Kind.COMMENT:
            parts.append(" ")
            continue
        if (
            token.kind not in (Kind.STRING, Kind.NUMBER)
            or token.start in kept
            or (keep_json_keys and _is_json_key(token, before))
        ):
            parts.append(token.text)
        elif not (token.kind is Kind.STRING and before and before.kind is Kind.STRING):
            number += 1
            if before and before.kind is not Kind.OPERATOR and before.start + len(before.text) == token.start:
                parts.append(" ")
            parts.append(f"${number}")
        before = token
    return "".join(parts).strip()


def _is_json_key(token: Token, before: Token | None) -> bool:
    if before is None or before.kind is not Kind.OPERATOR or before.text not in _JSON_OPERATORS:
        return False
    return bool(_JSON_KEY.fullmatch(token.text) or (before.text[0] == "#" and _JSON_PATH.fullmatch(token.text)))


def highest_parameter(sql: str) -> int:
    """The highest n of the `$n` in `sql`, 0 if there is none."""
    numbers = (token.text[1:] for token in tokens(sql) if token.kind is Kind.PARAMETER)
    return max((int(digits) for digits in numbers if len(digits) <= 9), default=0)


def normalize(sql: str) -> str:
    """`sql` in the one spelling in which a statement in code equals the same statement in pg_stat_statements.

    Names and keywords folded as the server folds them, constants and parameters `?`, a list of those one `?` (as
    PostgreSQL 18 prints it), one space between tokens, no comments, no closing semicolon.
    """
    spelled: list[str] = []
    for token in significant(sql):
        last = spelled[-1] if spelled else ""
        if token.kind in (Kind.STRING, Kind.NUMBER, Kind.PARAMETER):
            if last in "+-" and _is_sign(spelled):
                spelled.pop()
            spelled.append("?")
        elif token.kind is Kind.WORD:
            word = _fold(token.text)
            spelled.append("?" if word in _CONSTANT_WORDS and last not in _GRAMMAR_BEFORE_CONSTANT else word)
        elif token.kind is Kind.QUOTED:
            spelled.append(_requote(token.text))
        else:
            spelled.append(token.text)
    while spelled and spelled[-1] == ";":
        spelled.pop()
    return " ".join(_squash_lists(spelled))


def _is_sign(spelled: list[str]) -> bool:
    """Whether the `+` or `-` that ends `spelled` is a sign and no operator between two operands."""
    if len(spelled) < 2:
        return bool(spelled)
    operand = spelled[-2]
    if operand in _OPERAND_ENDS or operand == "?" or operand[0] == '"':
        return False
    return not (operand[0].isalnum() or operand[0] == "_") or operand in _SIGN_AFTER_WORD


def _squash_lists(spelled: list[str]) -> list[str]:
    """`in ( ? , ? , ? )` and `array [ ? , ? ]` with one `?`."""
    found: list[str] = []
    position = 0
    while position < len(spelled):
        found.append(spelled[position])
        position += 1
        if spelled[position - 1] in ("in", "array") and spelled[position : position + 2] in (["(", "?"], ["[", "?"]):
            stop = position + 2
            while spelled[stop : stop + 2] == [",", "?"]:
                stop += 2
            if spelled[stop : stop + 1] in (([")"]), (["]"])):
                found += spelled[position : position + 2]
                position = stop
    return found


def _fold(word: str) -> str:
    """A name or keyword without quotes, as the server folds it: ASCII letters only."""
    return word.lower() if word.isascii() else re.sub("[A-Z]+", lambda match: match.group().lower(), word)


def _requote(quoted: str) -> str:
    if quoted[0] != '"' or len(quoted) < 2 or quoted[-1] != '"':
        return quoted
    return quote_identifier(quoted[1:-1].replace('""', '"'))


def split_statements(sql: str) -> list[tuple[str, int]]:
    """The statements of a script, each with the line (from 1) of its first token and without the semicolon that ends it.

    psql's own commands and the rows below `COPY ... FROM STDIN` are left out.
    """
    found: list[tuple[str, int]] = []
    position, line, counted_to, balanced = 0, 1, 0, True
    while True:
        statement = _read_statement(sql, position, balanced)
        if statement is None and balanced:
            # Parentheses that never close would swallow the rest of the script.
            balanced = False
            continue
        if statement is None or not statement:
            return found
        start, last = statement[0].start, statement[-1]
        position = last.start + len(last.text)
        if statement[0].text == "\\":
            position = _after(_LINE_END, sql, start)
            continue
        if last.text == ";":
            statement.pop()
            if _copies_from_stdin(statement):
                position = _after(_END_OF_ROWS, sql, position)
        if statement:
            line += sql.count("\n", counted_to, start)
            counted_to = start
            found.append((sql[start : statement[-1].start + len(statement[-1].text)], line))


_LINE_END = re.compile(r"\n")
_END_OF_ROWS = re.compile(r"^\\\.[ \t\r]*$", re.MULTILINE)


def _after(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.search(text, position)
    return match.end() if match else len(text)


def _read_statement(sql: str, position: int, balanced: bool) -> list[Token] | None:
    """The tokens up to the semicolon that ends the statement, with it; empty at the end of the script. None if
    `balanced` and a parenthesis or a BEGIN ATOMIC never closes."""
    read: list[Token] = []
    parentheses = bodies = 0
    for token in tokens(sql, position):
        if token.kind in (Kind.SPACE, Kind.COMMENT):
            continue
        read.append(token)
        if token.kind is Kind.WORD:
            word = token.text.lower()
            if word == "atomic" and len(read) > 1 and read[-2].text.lower() == "begin":
                bodies = 1
            elif bodies and word in ("case", "end"):
                bodies += 1 if word == "case" else -1
        elif token.text == "(":
            parentheses += 1
        elif token.text == ")":
            parentheses = max(0, parentheses - 1)
        elif token.text == ";":
            if not (balanced and (parentheses or bodies)):
                return read
        elif token.text == "\\" and len(read) == 1:
            return read
    return None if balanced and (parentheses or bodies) else read


def _copies_from_stdin(statement: list[Token]) -> bool:
    words = [token.text.lower() for token in statement if token.kind is Kind.WORD]
    return words[:1] == ["copy"] and "stdin" in words


class Depth(NamedTuple):
    """How deep a statement can nest at most, by its tokens alone. `stretch` bounds the depth of any tree of it, because
    operators chain without parentheses too."""

    parentheses: int
    joins: int
    stretch: int


def measure(sql: str) -> Depth:
    parentheses = joins = stretch = total = 0
    stretches = [0]
    for token in tokens(sql):
        if token.kind in (Kind.SPACE, Kind.COMMENT):
            continue
        if token.text in (",", ";"):
            total -= stretches[-1]
            stretches[-1] = 0
            continue
        if token.text in ("(", "["):
            stretches.append(0)
            parentheses = max(parentheses, len(stretches) - 1)
        elif token.text in (")", "]") and len(stretches) > 1:
            total -= stretches.pop()
        elif token.kind is Kind.WORD and token.text.lower() == "join":
            joins += 1
        stretches[-1] += 1
        total += 1
        stretch = max(stretch, total)
    return Depth(parentheses, joins, stretch)


def parse(sql: str) -> Any | None:
    """The tree (postgast's ParseResult) of one or more statements by PostgreSQL's grammar; None where that refuses them, or
    they are too long or too deep for a parser that has no limits of its own."""
    if len(sql) > STRICT_CHARACTERS or "\0" in sql:
        return None
    if len(sql) > STRICT_STRETCH and measure(sql).stretch > STRICT_STRETCH:
        return None
    if sql.count("/*") > 1:
        sql = _without_nested_comments(sql)
    # By name, because its stub files are no valid Python for mypy.
    postgast = importlib.import_module("postgast")
    decode_error = importlib.import_module("google.protobuf.message").DecodeError
    try:
        return postgast.parse(sql)
    except (postgast.PgQueryError, decode_error, UnicodeEncodeError):
        return None


def walk(tree: Any, into: Callable[[Any], bool] = lambda _: True) -> Iterator[Any]:
    """Every message of a parsed statement (postgast's protobuf), parents before children; the children of one that `into`
    refuses are left out."""
    waiting = [tree]
    while waiting:
        message = waiting.pop()
        yield message
        if not into(message):
            continue
        for field, value in reversed(message.ListFields()):
            if field.message_type is not None:
                waiting.extend(reversed(value) if field.is_repeated else [value])


def _without_nested_comments(sql: str) -> str:
    """The same length in bytes with blanks for comments within comments, over which PostgreSQL's lexer takes quadratic time."""
    return "".join(
        re.sub("[^\n]", lambda match: " " * len(match.group().encode()), token.text)
        if token.kind is Kind.COMMENT and "/*" in token.text[2:]
        else token.text
        for token in tokens(sql)
    )


def parse_tolerantly(sql: str) -> Any | None:
    """As parse(), and for code with parts missing, and for what sqlglot can translate. None where none of that helps."""
    if (tree := parse(sql)) is not None:
        return tree
    unmasked = as_sql(sql)
    if unmasked != sql and (tree := parse(unmasked)) is not None:
        return tree
    repaired = _repair(sql)
    if repaired != sql and (tree := parse(repaired)) is not None:
        return tree
    translated = _translate(repaired)
    return parse(translated) if translated else None


def has_open_clause(sql: str) -> bool:
    """Whether code puts a whole clause in at run time, such as a condition: a parameter stands where none can."""
    if parse(sql) is not None:
        return False
    return sum(token.kind is Kind.PARAMETER for token in tokens(sql)) > sum(
        token.kind is Kind.PARAMETER or (token.kind is Kind.QUOTED and token.text.startswith('"$'))
        for token in tokens(_repair(sql))
    )


def _repair(sql: str) -> str:
    """The statement with parameters where the grammar takes them: code has them for parts that it puts in at run time, such as
    names, lists of columns and whole clauses."""
    parts: list[str] = []
    before: list[Token] = []
    for token in tokens(sql):
        if token.kind in (Kind.SPACE, Kind.COMMENT):
            parts.append(token.text)
            continue
        words = [entry.text.lower() for entry in before[-3:]]
        last = words[-1] if words else ""
        if token.kind is not Kind.PARAMETER:
            parts.append(token.text)
        elif last in _NAME_FOLLOWS or (last == "(" and words[:1] == ["into"]):
            parts.append(f'"{token.text}"')
        elif last == "set":
            parts.append(f'"{token.text}" = {token.text}')
        elif before and _ends_operand(before[-1]):
            continue
        else:
            parts.append(token.text)
        before = [*before[-2:], token]
    return "".join(parts)


def _ends_operand(token: Token) -> bool:
    if token.kind is Kind.WORD:
        word = token.text.lower()
        return word not in RESERVED and word not in _CLAUSES
    return token.kind in (Kind.QUOTED, Kind.STRING, Kind.NUMBER, Kind.PARAMETER) or token.text in (")", "]")


def _translate(sql: str) -> str | None:
    if len(sql) > TOLERANT_CHARACTERS:
        return None
    depth = measure(sql)
    # sqlglot's time doubles with each level of array brackets and with runs of joins that it cannot read.
    if depth.parentheses > TOLERANT_DEPTH or depth.joins > TOLERANT_JOINS:
        return None
    import sqlglot
    from sqlglot.errors import SqlglotError

    logger = logging.getLogger("sqlglot")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        return sqlglot.transpile(sql, read="postgres", write="postgres")[0]
    except (SqlglotError, RecursionError, ValueError, IndexError, TypeError):
        # Compiled, it raises TypeError where an operator lacks an operand.
        return None
    finally:
        logger.setLevel(level)
