"""EXPLAIN (ANALYZE, BUFFERS) of statements, each only after a person's yes (--analyze). It runs them.

Only a SELECT is asked for, of which both the text and the server's plan show that it reads and does nothing else, and only in
the READ ONLY transaction of the session. Values that it is run with are the person's to see; evidence keeps none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
import psycopg

from checks.evidence.consent import Answer, Ask, Parameter, Proposal
from checks.evidence.database.explain import Planner, explain_generic, role_settings
from checks.evidence.database.facts import GivenPlan, GivenPlans, PlanNode, Plans, Statement, Statements
from checks.evidence.database.likely_values import likely_parameters
from checks.evidence.database.read_only import volatile_functions, why_not_read_only
from checks.evidence.database.session import MANNERS, MARKER
from checks.evidence.given.reader import read_document
from checks.evidence.sql import highest_parameter, mask_literals
from checks.evidence.tokens import significant

# In evidence it stands where the name of a file stands for plans that were given.
SOURCE = "--analyze"
ASKED_AT_MOST = 20
RUN_TIMEOUT_S = 30.0
# A person is not asked about what is quick and little.
LEAST_MEAN_MS, LEAST_SHARE = 1.0, 0.01
_SYSTEM = frozenset({"pg_catalog", "information_schema", None})


class _Candidate(NamedTuple):
    entry: Statement
    role: str
    plan: Mapping[str, Any]


class _NotReadOnly(Exception):
    """With the values in place, the plan is none that only reads."""


def run_statements(
    planner: Planner, statements: Statements, plans: Plans, ask: Ask, progress: Callable[[str], None]
) -> GivenPlans:
    """The costliest statements, those that may be run and that the person lets be run. Raises Cancelled, ConnectionLost."""
    with planner.session.transaction():
        volatile = volatile_functions(planner.session)
    found: list[GivenPlan] = []
    candidates, unproven = _candidates(planner, statements, plans, volatile)
    declined = failed = 0
    for number, candidate in enumerate(candidates, 1):
        proposal = _proposal(planner, candidate, number, len(candidates))
        if proposal is None:
            failed += 1
            continue
        planner.session.rest()
        progress(f"asking whether statement {number} of {len(candidates)} may be run")
        answer = ask(proposal)
        if answer.no_more:
            declined += len(candidates) - number + 1
            break
        if not answer.runs:
            declined += 1
            continue
        progress(f"running statement {number} of {len(candidates)}, for {RUN_TIMEOUT_S:.0f} s at most")
        try:
            found.append(_run(planner, proposal, answer, volatile, len(found) + 1))
        except (psycopg.Error, _NotReadOnly) as error:
            planner.session.rest()
            progress(f"statement {number} was not measured: {_in_words(error)}")
            failed += 1
    return GivenPlans(tuple(found), asked=len(candidates), declined=declined, failed=failed, unproven=unproven)


def _candidates(
    planner: Planner, statements: Statements, plans: Plans, volatile: frozenset[str]
) -> tuple[list[_Candidate], int]:
    """The costliest that are known to read only, and how many more SELECTs are not known to."""
    found: list[_Candidate] = []
    unproven = 0
    for entry in sorted(statements.entries, key=lambda entry: -entry.total_ms):
        planned = plans.by_id.get(entry.query_id)
        if planned is None or not entry.calls or not _is_select(entry.text) or not _reads_tables(planned.root):
            continue
        if entry.mean_ms < LEAST_MEAN_MS and statements.share(entry) < LEAST_SHARE:
            continue
        plan = explain_generic(planner, planned.planned_as, entry.text)
        if plan is None or why_not_read_only(plan, volatile) or planner.user_code.refusal(entry.text) is not None:
            unproven += 1
            continue
        found.append(_Candidate(entry, planned.planned_as, plan))
        if len(found) == ASKED_AT_MOST:
            break
    return found, unproven


def _reads_tables(root: PlanNode) -> bool:
    """Whether it reads a table of the application's, and not the system's catalogs alone."""
    return any(node.relation and node.schema not in _SYSTEM for node in root.walk())


def _is_select(text: str) -> bool:
    first = next((token.text.lower() for token in significant(text) if token.text != "("), "")
    return first in {"select", "with"}


def _settings(planner: Planner, role: str) -> dict[str, str]:
    """As the role plans, with more time, and an error rather than the rows that policies leave to this login."""
    return {
        **MANNERS,
        **role_settings(planner.settings, role, planner.server),
        "statement_timeout": f"{RUN_TIMEOUT_S * 1000:.0f}ms",
        "row_security": "off",
    }


def _proposal(planner: Planner, candidate: _Candidate, number: int, of: int) -> Proposal | None:
    session, entry = planner.session, candidate.entry
    parameters: tuple[Parameter, ...] = ()
    try:
        with session.transaction(_settings(planner, candidate.role), ends=True, may_fail=True):
            if highest_parameter(entry.text):
                types = session.parameter_types(entry.text)
                each = entry.rows / entry.calls
                parameters = likely_parameters(session, entry.text, types, candidate.plan, each)
    except psycopg.Error:
        return None
    return Proposal(
        number, of, entry.query_id, entry.text, parameters, candidate.role, entry.calls, entry.mean_ms, RUN_TIMEOUT_S
    )


def _run(planner: Planner, proposal: Proposal, answer: Answer, volatile: frozenset[str], number: int) -> GivenPlan:
    """Raises psycopg.Error, _NotReadOnly, Cancelled, ConnectionLost."""
    session = planner.session
    text = proposal.sql(answer.values).strip().rstrip(";").rstrip()
    with session.transaction(_settings(planner, proposal.role), ends=True, patience_s=RUN_TIMEOUT_S, may_fail=True):
        session.check_single(text)
        (planned,) = session.rows(f"EXPLAIN {MARKER} (VERBOSE, FORMAT JSON) {text}")
        if why := why_not_read_only(planned[0][0]["Plan"], volatile):
            raise _NotReadOnly(why)
        (ran,) = session.rows(f"EXPLAIN {MARKER} (ANALYZE, VERBOSE, BUFFERS, FORMAT JSON) {text}")
    plan = read_document(ran[0][0], SOURCE, number)
    origins = tuple(
        f"${entry.number}: {entry.origin if answer.values.get(entry.number) == entry.value else 'entered'}"
        for entry in proposal.parameters
    )
    return msgspec.structs.replace(plan, text=mask_literals(proposal.text), query_id=proposal.query_id, values=origins)


def _in_words(error: Exception) -> str:
    """The server's own words stay out: they may quote a value."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return f"it took longer than {RUN_TIMEOUT_S:.0f} s"
    if isinstance(error, psycopg.Error):
        return f"the server answered with SQLSTATE {error.sqlstate or 'unknown'}"
    return str(error)
