"""What pg_stat_statements makes of constants is not always SQL: the grammar takes a parameter wherever an expression may stand,
but not behind the name of a type (`date $1`, `interval $2 day`), and not as the field of extract($1 FROM ...); and what GROUP BY
repeats is another expression once its constants are other parameters."""

from __future__ import annotations

from checks.evidence.places import repeated
from checks.evidence.tokens import Kind, Token, significant, tokens

_TYPES = frozenset(
    """
    bool boolean bytea cidr circle date decimal float4 float8 halfvec inet int int2 int4 int8 bigint smallint integer interval
    json jsonb line lseg macaddr money numeric path point polygon real sparsevec text time timestamp timestamptz timetz tsquery
    tsvector uuid vector xml
    """.split()
)
_FIELDS = frozenset({"year", "month", "day", "hour", "minute", "second", "to"})


def as_sql(text: str) -> str:
    """A statement as pg_stat_statements keeps it, with casts where types were, a field for that of extract(), and the place in
    the select list for what GROUP BY and ORDER BY repeat of it, so that the server takes it; parameters are numbered anew if one
    is left out by that. Any other text is returned as it is."""
    if "$" not in text:
        return text
    words = significant(text)
    replaced: dict[int, str] = {}
    for index in range(1, len(words)):
        if words[index].kind is not Kind.PARAMETER:
            continue
        before = words[index - 1]
        if before.kind is Kind.WORD and before.text.lower() in _TYPES and not _is_named(words, index - 1):
            fields = _fields(words, index) if before.text.lower() == "interval" else []
            replaced[before.start] = ""
            replaced.update((field.start, "") for field in fields)
            type_ = " ".join([before.text, *(field.text for field in fields)])
            replaced[words[index].start] = f"CAST({words[index].text} AS {type_})"
        elif before.text == "(" and index > 1 and words[index - 2].text.lower() == "extract":
            replaced[words[index].start] = _field_elsewhere(words)
    if "by" in text.lower():
        replaced |= repeated(words)
    if not replaced:
        return text
    return _numbered("".join(replaced.get(token.start, token.text) for token in tokens(text)))


def _is_named(words: list[Token], index: int) -> bool:
    """Whether the word is the name of something: behind a dot, or a column before a parameter that is an operand by itself."""
    return index > 0 and words[index - 1].text in {".", "AS", "as"}


def _fields(words: list[Token], index: int) -> list[Token]:
    """`day`, or `hour to second`, behind the parameter of an interval."""
    found: list[Token] = []
    for word in words[index + 1 : index + 4]:
        if word.kind is not Kind.WORD or word.text.lower() not in _FIELDS:
            break
        found.append(word)
    return found


def _field_elsewhere(words: list[Token]) -> str:
    """The field of another extract() of the statement: one that GROUP BY repeats keeps its own. Else any: no plan knows it."""
    for index in range(2, len(words)):
        if (
            words[index].kind is Kind.WORD
            and words[index - 1].text == "("
            and words[index - 2].text.lower() == "extract"
        ):
            return words[index].text
    return "year"


def _numbered(text: str) -> str:
    """With parameters from $1 on without a gap, which PREPARE would refuse."""
    used = sorted({int(token.text[1:]) for token in tokens(text) if token.kind is Kind.PARAMETER})
    if used == list(range(1, len(used) + 1)):
        return text
    number = {f"${old}": f"${new}" for new, old in enumerate(used, 1)}
    return "".join(
        number.get(token.text, token.text) if token.kind is Kind.PARAMETER else token.text for token in tokens(text)
    )
