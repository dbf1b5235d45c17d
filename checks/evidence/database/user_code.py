"""Which statements may be planned without running code of the target's own.

Planning evaluates IMMUTABLE and STABLE functions, wherever they hide: in the statement, in views and rules, row-security
policies, indexes, constraints, domains, statistics objects, casts and operators. The rule goes by names, so that no search_path
matters: a statement passes only if nothing in it has the name of anything that leads to a function which is neither PostgreSQL's
own nor a function of an extension known to be harmless. Of those C functions alone, and SQL functions whose body only calls
PostgreSQL's own IMMUTABLE ones: anyone may add others to an extension that they own.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from checks.evidence.database.query import query
from checks.evidence.database.session import Session
from checks.evidence.tokens import Kind, Token, significant
from checks.model import Reason

HARMLESS_EXTENSIONS = (
    "bloom btree_gin btree_gist citext cube fuzzystrmatch h3 hll hstore intarray ip4r isn ltree pg_bigm pg_stat_statements "
    "pg_trgm pg_uuidv7 pgcrypto postgis prefix rum seg semver tdigest topn unaccent uuid-ossp vector vectorscale"
).split()

# PostgreSQL's own functions that run SQL of their arguments, or input functions of types named in a string, or that assign a
# transaction id.
DETOURS = (
    "table_to_xml table_to_xmlschema table_to_xml_and_xmlschema query_to_xml query_to_xmlschema query_to_xml_and_xmlschema "
    "schema_to_xml schema_to_xmlschema schema_to_xml_and_xmlschema database_to_xml database_to_xmlschema "
    "database_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema ts_rewrite ts_stat pg_input_is_valid pg_input_error_info "
    "txid_current pg_current_xact_id"
).split()

# Operators that syntax alone brings in: IN, BETWEEN, LIKE, CASE, NULLIF, DISTINCT FROM, JOIN ... USING.
_SYNTAX_OPERATORS = frozenset({"=", "<>", "!=", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~"})
_VERBS = frozenset({"select", "insert", "update", "delete", "with"})
_WRITES = frozenset({"insert", "update", "delete"})
_OPERATOR_RUN = re.compile(r"[-+*/<>=~!@#%^&|`?]+")
_NAME_BYTES = 63
_LONGEST = 60_000


class Refusal(NamedTuple):
    reason: Reason
    unlock: str
    sqlstate: str | None = None


NOT_PLANNABLE = Refusal(Reason.NOT_PARSED, "only single SELECT, INSERT, UPDATE and DELETE statements are planned")


class UserCode(NamedTuple):
    """Names, case folded, that lead to code of the target's own. `everywhere` says why no statement at all may be planned."""

    functions: frozenset[str]
    row_functions: frozenset[str]
    operators: frozenset[str]
    types: frozenset[str]
    relations: frozenset[str]
    relations_by_default: frozenset[str]
    everywhere: str = ""

    def refusal(self, statement: str) -> Refusal | None:
        """Why this statement must not be planned; None if it may."""
        if "\\" in statement or "\x00" in statement or "u&" in statement.lower() or len(statement) > _LONGEST:
            return NOT_PLANNABLE
        tokens = significant(statement)
        while tokens and tokens[-1].text == ";":
            tokens.pop()
        words = [_name(token) for token in tokens]
        if not _is_plannable(tokens, words):
            return NOT_PLANNABLE
        if self.everywhere:
            return _calls(self.everywhere)
        writes = not _WRITES.isdisjoint(words)
        for run in _OPERATOR_RUN.findall(statement):
            if found := next((operator for operator in sorted(self.operators) if operator in run), None):
                return _calls(f"operator {found}")
        for position, word in enumerate(words):
            if word is None:
                continue
            called = position + 1 < len(tokens) and tokens[position + 1].text == "("
            if (called and (word in self.functions or word in DETOURS)) or word in self.row_functions:
                return _calls(f"function {word}")
            if word in self.types:
                return _calls(f"type {word}")
            if word in self.relations or (writes and word in self.relations_by_default):
                return _calls(f"what {word} is defined with")
        return None


def observe_user_code(session: Session) -> UserCode:
    """In the transaction at hand."""
    rows = session.rows(query("user_code", session.major), {"extensions": HARMLESS_EXTENSIONS, "detours": DETOURS})
    everywhere = next((f"cast {row.name}" for row in rows if row.kind == "cast"), "")
    everywhere = everywhere or next(
        (f"operator {row.name}" for row in rows if _is_common_operator(row) and row.everywhere), ""
    )
    return UserCode(
        functions=_names(rows, "function"),
        row_functions=_names([row for row in rows if row.everywhere], "function"),
        operators=frozenset(row.name for row in rows if row.kind == "operator" and not _is_common_operator(row)),
        types=_names(rows, "type"),
        relations=_names([row for row in rows if not row.defaults_only], "relation"),
        relations_by_default=_names([row for row in rows if row.defaults_only], "relation"),
        everywhere=everywhere,
    )


def _names(rows: list[Any], kind: str) -> frozenset[str]:
    return frozenset(row.name.casefold() for row in rows if row.kind == kind)


def _is_common_operator(row: Any) -> bool:
    return row.kind == "operator" and row.name in _SYNTAX_OPERATORS


def _calls(what: str) -> Refusal:
    return Refusal(
        Reason.CALLS_USER_CODE,
        f"planning would run code of the database's own ({what}): run EXPLAIN yourself where that does no harm",
    )


def _name(token: Token) -> str | None:
    """The name that a token may be, case folded; None if it is none."""
    if token.kind is Kind.WORD:
        return token.text.casefold()
    if token.kind is Kind.QUOTED:
        return token.text[1:-1].replace('""', '"').casefold()
    return None


def _is_plannable(tokens: list[Token], words: list[str | None]) -> bool:
    """One statement that reads or writes rows, and no more: no SELECT INTO, no MERGE, no name that would be cut off."""
    verb = next((word for word, token in zip(words, tokens, strict=True) if token.text != "("), None)
    if verb not in _VERBS:
        return False
    for position, token in enumerate(tokens):
        word = words[position]
        before = words[position - 1] if position else None
        if (
            token.text == ";"
            or (word == "merge" and token.kind is Kind.WORD)
            or (word == "into" and token.kind is Kind.WORD and before != "insert")
            or (word is not None and len(word.encode("utf-8", "replace")) > _NAME_BYTES)
        ):
            return False
    return True
