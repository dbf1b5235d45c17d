"""Generic plans, and the identifiers that the server gives to statements. Nothing is executed: EXPLAIN without ANALYZE."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import errors

from checks.evidence.database import gaps
from checks.evidence.database.facts import Plan, Plans, Server, Settings, Statement, Statements, Unplanned
from checks.evidence.database.named_relations import (
    UNDEFINED_TABLE,
    Relations,
    named_relations,
    observe_named_relations,
)
from checks.evidence.database.plan_tree import read_plan
from checks.evidence.database.session import MANNERS, MARKER, Session
from checks.evidence.database.user_code import NOT_PLANNABLE, Refusal, UserCode
from checks.evidence.masked import as_sql
from checks.evidence.sql import highest_parameter
from checks.evidence.tokens import Kind, tokens
from checks.model import Reason, qualified_name, quote_identifier

PLANNED_AT_MOST = 40
IDENTIFIED_AT_MOST = 200
WALL_S = 10.0
_GENERIC_PLAN_SINCE = 16

# What of a role's settings decides a plan. Of these only values of pg_db_role_setting are taken, never ours.
PLANNER_SETTINGS = frozenset(
    """
    constraint_exclusion cpu_index_tuple_cost cpu_operator_cost cpu_tuple_cost cursor_tuple_fraction effective_cache_size
    effective_io_concurrency enable_async_append enable_bitmapscan enable_distinct_reordering enable_gathermerge
    enable_group_by_reordering enable_hashagg enable_hashjoin enable_incremental_sort enable_indexonlyscan enable_indexscan
    enable_material enable_memoize enable_mergejoin enable_nestloop enable_parallel_append enable_parallel_hash
    enable_partition_pruning enable_partitionwise_aggregate enable_partitionwise_join enable_presorted_aggregate
    enable_self_join_elimination enable_seqscan enable_sort enable_tidscan from_collapse_limit geqo geqo_threshold
    hash_mem_multiplier jit jit_above_cost join_collapse_limit max_parallel_workers_per_gather min_parallel_index_scan_size
    min_parallel_table_scan_size parallel_setup_cost parallel_tuple_cost random_page_cost recursive_worktable_factor
    search_path seq_page_cost work_mem
    """.split()
)
_NEEDS_DIRECT_CONNECTION = Refusal(
    Reason.NEEDS_DIRECT_CONNECTION, "give a DSN that goes to the server and not through a transaction pooler"
)
# By the oid of a type (catalog/pg_type.dat), how drivers write its values without quotes.
_CONSTANTS = {16: "true", 20: "1", 21: "1", 23: "1", 26: "1", 700: "1.5", 701: "1.5", 1700: "1.5"}

_BUSY = Refusal(gaps.BUSY.reason, gaps.BUSY.unlock)
# Syntax errors and names that mean nothing: of a statement with constants in place of its parameters the server thinks the same.
_DOES_NOT_FIT = "42"
_OUT_OF_TIME = Refusal(Reason.TIMED_OUT, f"planning stopped after {WALL_S:.0f} s")


class _Explained(NamedTuple):
    plan: Mapping[str, Any]
    query_id: str | None


class Planner(NamedTuple):
    """What planning takes: the session, the facts that decide under which settings, and the rule of what must not be planned."""

    session: Session
    server: Server
    settings: Settings
    user_code: UserCode
    is_too_busy: Callable[[], bool] = lambda: False


def observe_plans(planner: Planner, statements: Statements, progress: Callable[[str], None]) -> Plans:
    """Generic plans of the statements that took most time, each made under the settings of a role that ran it."""
    plans: list[Plan] = []
    unplanned: list[Unplanned] = []
    chosen = sorted(statements.entries, key=lambda entry: -entry.total_ms)[:PLANNED_AT_MOST]
    begun = time.monotonic()
    relations = observe_named_relations(planner.session, [entry.text for entry in chosen])
    for number, entry in enumerate(chosen, 1):
        progress(f"planning statement {number} of {len(chosen)}")
        role = entry.users[0] if entry.users else ""
        refusal = planner.user_code.refusal(as_sql(entry.text)) or _certain_refusal(
            planner, relations, role, entry.text
        )
        if refusal is None and time.monotonic() - begun > WALL_S:
            refusal = _OUT_OF_TIME
        if refusal is None and planner.is_too_busy():
            refusal = _BUSY
        if refusal is None:
            outcome = _try(planner, role, entry.text)
            if isinstance(outcome, _Explained):
                plans.append(Plan(entry.query_id, read_plan(outcome.plan), role))
                continue
            refusal = outcome
        unplanned.append(Unplanned(entry.query_id, refusal.reason.value, refusal.unlock, refusal.sqlstate))
    return Plans(plans=tuple(plans), unplanned=tuple(unplanned))


def explain_generic(planner: Planner, role: str, text: str) -> Mapping[str, Any] | None:
    """The generic plan of a statement as the server tells it (VERBOSE), constants and all, under the settings of `role`; None if
    it does not plan it."""
    outcome = _try(planner, role, text)
    return outcome.plan if isinstance(outcome, _Explained) else None


def identify(planner: Planner, statements: Statements, code: Sequence[str]) -> dict[str, str]:
    """The query identifiers that the server gives to SQL texts of code, planned as the role that runs most statements would be:
    with parameters as they stand, or, if only that was run, with constants in their place.

    Texts that may not or cannot be planned are left out; empty where the server computes no identifiers.
    """
    role = _busiest_role(statements.entries)
    found: dict[str, str] = {}
    begun = time.monotonic()
    chosen = list(dict.fromkeys(code))[:IDENTIFIED_AT_MOST]
    relations = observe_named_relations(planner.session, chosen)
    for text in chosen:
        if time.monotonic() - begun > WALL_S or planner.is_too_busy():
            break
        if planner.user_code.refusal(text) or _certain_refusal(planner, relations, role, text):
            continue
        outcome = _try(planner, role, text)
        if isinstance(outcome, _Explained) and outcome.query_id is None:
            break
        if isinstance(outcome, Refusal) and (outcome.sqlstate or "").startswith(_DOES_NOT_FIT):
            continue
        query_id = outcome.query_id if isinstance(outcome, _Explained) else None
        if query_id not in statements.by_id and (constant := _with_constants(planner, role, text)):
            again = _try(planner, role, constant)
            if isinstance(again, _Explained) and again.query_id in statements.by_id:
                query_id = again.query_id
        if query_id is not None:
            found[text] = query_id
    return found


def _with_constants(planner: Planner, role: str, text: str) -> str | None:
    """`text` as a driver sends it that writes values into it: the server tells constants and parameters apart, and constants by
    their type alone. A quoted one has the type of what it is compared with, as NULL has. None if it has no parameters."""
    if highest_parameter(text) == 0:
        return None
    try:
        chosen = {**MANNERS, **role_settings(planner.settings, role, planner.server)}
        with planner.session.transaction(chosen, ends=True, may_fail=True):
            types = planner.session.parameter_types(text)
    except psycopg.Error:
        return None
    spelled = {f"${number}": _CONSTANTS.get(oid, "NULL") for number, oid in enumerate(types, 1)}
    return "".join(
        spelled.get(token.text, token.text) if token.kind is Kind.PARAMETER else token.text for token in tokens(text)
    )


def role_settings(settings: Settings, role: str, server: Server) -> dict[str, str]:
    """The search_path and planner settings that a session of `role` starts with, where pg_db_role_setting has one for that
    role, or for the login that observes."""
    involved = {
        entry.name
        for entry in settings.role_settings
        if entry.name in PLANNER_SETTINGS
        and entry.role in {role, server.user}
        and entry.database in {"", server.database}
    } | {"search_path"}
    values = {name: settings.value(name, role, server.database) for name in involved}
    chosen = {name: value for name, value in values.items() if value is not None}
    if "search_path" in chosen and role:
        for spelling in ('"$user"', "$user"):
            chosen["search_path"] = chosen["search_path"].replace(spelling, quote_identifier(role))
    return chosen


def _busiest_role(entries: Sequence[Statement]) -> str:
    calls: dict[str, int] = {}
    for entry in entries:
        for user in entry.users:
            calls[user] = calls.get(user, 0) + entry.calls
    return max(sorted(calls), key=lambda user: calls[user], default="")


def _try(planner: Planner, role: str, text: str) -> _Explained | Refusal:
    session, server = planner.session, planner.server
    text = as_sql(text.strip().rstrip(";").rstrip())
    through_prepare = session.major < _GENERIC_PLAN_SINCE and highest_parameter(text) > 0
    if through_prepare and server.through_pooler:
        return _NEEDS_DIRECT_CONNECTION
    chosen = {**MANNERS, **role_settings(planner.settings, role, server)}
    try:
        if through_prepare:
            return _explain_prepared(session, chosen, text)
        option = "GENERIC_PLAN, " if session.major >= _GENERIC_PLAN_SINCE else ""
        with session.transaction(chosen, ends=True, may_fail=True):
            session.check_single(text)
            return _explained(session.rows(f"EXPLAIN {MARKER} ({option}VERBOSE, FORMAT JSON) {text}"))
    except errors.InsufficientPrivilege:
        return Refusal(Reason.NOT_PERMITTED, _grant(server, text))
    except (errors.QueryCanceled, errors.LockNotAvailable) as error:
        return Refusal(*_of(error))
    except psycopg.Error as error:
        if gaps.passing(error):
            return Refusal(*_of(error))
        return _refused(role, error.sqlstate)


def _certain_refusal(planner: Planner, relations: Relations, role: str, text: str) -> Refusal | None:
    """What the server would answer, where that is certain before it is asked."""
    if relations.missing(text):
        return _refused(role, UNDEFINED_TABLE)
    return Refusal(Reason.NOT_PERMITTED, _grant(planner.server, text)) if relations.forbidden(text) else None


def _refused(role: str, sqlstate: str | None) -> Refusal:
    refused = f"as recorded, the server does not plan it (SQLSTATE {sqlstate})"
    return NOT_PLANNABLE._replace(
        unlock=f"EXPLAIN it by hand as {role or 'the application'}: {refused}", sqlstate=sqlstate
    )


def _of(error: psycopg.Error) -> tuple[Reason, str]:
    gap = gaps.gap(error)
    return gap.reason, gap.unlock


def _grant(server: Server, text: str) -> str:
    reads = text.lstrip(" (").lower().startswith(("select", "with"))
    if reads and server.user_sees != "full" and {"SELECT"} >= {entry.privilege for entry in named_relations(text)}:
        return f"GRANT pg_read_all_data TO {qualified_name(server.user)}; it can then read every row"
    return "planning a statement takes the privileges that running it takes, which this login had better not have"


def _explain_prepared(session: Session, settings: Mapping[str, str], text: str) -> _Explained:
    """Before 16 only a prepared statement has a generic plan. It outlives its transaction, and is removed on every path."""
    name = f"pgsurveyor_{secrets.token_hex(8)}"
    nulls = ", ".join(["NULL"] * highest_parameter(text))
    prepared = False
    try:
        with session.transaction({**settings, "plan_cache_mode": "force_generic_plan"}, ends=True, may_fail=True):
            session.check_single(text)
            session.rows(f"PREPARE {MARKER} {name} AS {text}")
            prepared = True
            return _explained(session.rows(f"EXPLAIN {MARKER} (VERBOSE, FORMAT JSON) EXECUTE {name}({nulls})"))
    finally:
        if prepared and not session.is_lost:
            with session.transaction({}, ends=True, even_if_cancelled=True):
                session.rows(f"DEALLOCATE {MARKER} {name}")


def _explained(rows: Sequence[Any]) -> _Explained:
    plan = rows[0][0][0]
    query_id = plan.get("Query Identifier")
    return _Explained(plan["Plan"], None if query_id is None else str(query_id))
