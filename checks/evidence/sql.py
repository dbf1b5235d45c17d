"""SQL text: masking, normalising, splitting and parsing it. The only module that knows the two parsers.

postgast is PostgreSQL's own grammar; sqlglot reads what no strict grammar takes. Both are imported when first needed.
"""

from __future__ import annotations

import re

from checks.evidence.tokens import Kind, Token, tokens

_JSON_OPERATORS = frozenset(["->", "->>", "#>", "#>>", "?", "?|", "?&"])
_JSON_KEY = re.compile(r"'[A-Za-z0-9_.-]{1,63}'")
_JSON_PATH = re.compile(r"'\{[A-Za-z0-9_-]{1,63}(?:,[A-Za-z0-9_-]{1,63}){0,9}\}'")


def mask_literals(sql: str, *, keep_json_keys: bool = True) -> str:
    """`sql` with every constant (string, number, bit string) replaced by `$n`, counting on from the parameters it has, and
    without its comments. Any text is taken.

    A string directly right of a JSON operator is the name of a key and stays, if it looks like a name, unless
    `keep_json_keys` is false.
    """
    number = highest_parameter(sql)
    parts: list[str] = []
    previous = ""
    pending: Token | None = None
    for token in tokens(sql):
        if token.kind is Kind.SPACE:
            parts.append(token.text)
            continue
        if token.kind is Kind.COMMENT:
            parts.append(" ")
            continue
        if token.kind in (Kind.STRING, Kind.NUMBER):
            is_key = (
                keep_json_keys
                and previous in _JSON_OPERATORS
                and (_JSON_KEY.fullmatch(token.text) or (previous[0] == "#" and _JSON_PATH.fullmatch(token.text)))
            )
            if is_key:
                parts.append(token.text)
            elif pending is not None and pending.kind is Kind.STRING and token.kind is Kind.STRING:
                continue
            else:
                number += 1
                parts.append(f"${number}")
        else:
            parts.append(token.text)
        pending = token
        previous = token.text
    return "".join(parts).strip()


def highest_parameter(sql: str) -> int:
    """The highest n of the `$n` in `sql`, 0 if there is none."""
    numbers = (token.text[1:] for token in tokens(sql) if token.kind is Kind.PARAMETER)
    return max((int(digits) for digits in numbers if len(digits) <= 9), default=0)
