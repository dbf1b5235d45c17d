"""The JSON Schema of the scorecard, as `pgsurveyor schema` prints it: words and required keys are closed, additions are free."""

from __future__ import annotations

from typing import Any

from checks.model import Area, Confidence, Outcome, Reason, Severity
from checks.proofs import Verdict
from scorecards.exports.json import dumps
from scorecards.model import SCHEMA
from scorecards.review import DECISION_KINDS

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
STATUSES = ("met", "unmet", "unknown", "not_applicable")
USER_SEES = ("superuser", "full", "monitor", "plain")
MATCHES = ("query_id", "text", "pattern")
EFFORTS = ("S", "M", "L")

STRING: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
RATIO: Schema = {"type": "number", "minimum": 0, "maximum": 1}
LEVEL: Schema = {"type": "integer", "minimum": 0, "maximum": 5}
DATE: Schema = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
INSTANT: Schema = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"}
CRITERION: Schema = {"type": "string", "pattern": r"^(SCH|IDX|PLN|REP|OBS|HYB)-(R\d|[1-5]\.\d+)$"}
CHECK: Schema = {"type": "string", "pattern": rf"^({'|'.join(Area)})\.[a-z0-9]+(-[a-z0-9]+)*$"}
FINDING: Schema = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
INDEX: Schema = {"type": "integer", "minimum": 0, "maximum": 100}
# Relative, with forward slashes: never an absolute path of somebody's machine.
PATH: Schema = {"type": "string", "pattern": r"^(?!/)(?![A-Za-z]:[\\/])", "minLength": 1}
LINE: Schema = {"type": "integer", "minimum": 1}


def words(*values: str) -> Schema:
    return {"enum": list(values)}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def array(schema: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": schema, **more}


def record(**properties: Schema) -> Schema:
    """All keys are required; more may come."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": True}


SECOND_COUNT: dict[str, Schema] = {
    "memory_before": nullable({"type": "number"}),
    "memory_after": nullable({"type": "number"}),
    "proven": {"type": "boolean"},
}

COST: Schema = record(
    storage_bytes=nullable(COUNT),
    server_share=nullable(RATIO),
    wal_share=nullable(RATIO),
    money_per_month=nullable({"type": "number", "minimum": 0}),
)


def schema_text() -> str:
    """The schema as JSON text."""
    return dumps(scorecard_schema())


def scorecard_schema() -> Schema:
    document = record(
        schema={"const": SCHEMA},
        tool=record(name={"const": "pgsurveyor"}, version=STRING),
        rubric={"type": "string", "pattern": r"^\d{4}\.\d+$"},
        as_of=DATE,
        review=record(id=STRING, title=STRING, started=INSTANT, reviewers=array(STRING)),
        target=_target(),
        evidence_sha256={"type": "string", "pattern": "^[0-9a-f]{64}$"},
        overall=record(
            demonstrated=nullable(LEVEL),
            claimed=nullable(LEVEL),
            possible=nullable(LEVEL),
            index=nullable(INDEX),
            coverage=nullable(RATIO),
            red_flags=array(CRITERION),
            red_flags_unknown=array(CRITERION),
        ),
        gate=record(asked=array(STRING), failed=array(STRING)),
        areas={
            "type": "array",
            "prefixItems": [_area(area) for area in Area],
            "items": False,
            "minItems": len(Area),
        },
        checks=array(_check()),
        findings=array(_finding()),
        questions=array(_question()),
        statements=array(_statement()),
        growth=array(_growth()),
        moves=array(
            record(
                criterion=CRITERION,
                action=STRING,
                effect=STRING,
                effort=words(*EFFORTS),
                criteria=array(CRITERION),
                saves=nullable(COST),
            ),
            maxItems=10,
        ),
        overrides=array(STRING),
        notices=array(STRING),
        contradictions=array(record(criterion=CRITERION, words=STRING)),
        profile=nullable(record(scale=nullable(words("S", "M", "L")), basis=STRING)),
        provenance=nullable(
            record(observed_at=INSTANT, statements_sent=COUNT, server_ms={"type": "number", "minimum": 0})
        ),
        reopened=array(STRING),
        chains=array(_chain()),
        costs=array(record(area=words(*Area, "overall"), findings=COUNT, cost=COST)),
        currency=nullable(STRING),
        since=nullable(_comparison()),
        trend=array(
            record(
                id=STRING,
                name=STRING,
                as_of=DATE,
                overall=nullable(LEVEL),
                index=nullable(INDEX),
                areas=record(**{area.value: nullable(LEVEL) for area in Area}),
            )
        ),
        growth_basis=nullable(_growth_basis()),
        advice=nullable(_advice()),
    )
    return {"$schema": DRAFT, "title": "pgsurveyor scorecard", **document}


def _target() -> Schema:
    node = {
        "name": STRING,
        "server_version": STRING,
        "role": words("primary", "standby"),
        "flavour": STRING,
        "size_bytes": nullable(COUNT),
        "tables": nullable(COUNT),
        "statistics_window_days": nullable({"type": "number", "minimum": 0}),
        "user_sees": words(*USER_SEES),
    }
    lag = {
        "lag_bytes": nullable({"type": "integer"}),
        "lag_seconds": nullable({"type": "number"}),
        "state": nullable(STRING),
    }
    repository = record(
        name=STRING,
        commit=nullable(STRING),
        files=COUNT,
        lines=COUNT,
        languages={"type": "object", "additionalProperties": COUNT},
    )
    return record(
        database=nullable(record(**node)), replicas=array(record(**node, **lag)), repository=nullable(repository)
    )


def _area(area: Area) -> Schema:
    return record(
        area={"const": area.value},
        not_applicable=nullable(STRING),
        demonstrated=nullable(LEVEL),
        claimed=nullable(LEVEL),
        possible=nullable(LEVEL),
        target=nullable(LEVEL),
        coverage=nullable(RATIO),
        held_back_by=array(CRITERION),
        criteria=array(
            record(
                id=CRITERION,
                level=LEVEL,
                statement=STRING,
                status=words(*STATUSES),
                evidence=nullable(words(*Confidence)),
                observed=nullable(STRING),
                reason=nullable(words(*Reason)),
                unlock=nullable(STRING),
                accepted=nullable(record(by=STRING, until=DATE)),
                provisional={"type": "boolean"},
                findings=array(FINDING),
            )
        ),
    )


def _check() -> Schema:
    return record(
        id=CHECK,
        area=words(*Area),
        outcome=words(*Outcome),
        examined=nullable(COUNT),
        of=nullable(COUNT),
        findings=COUNT,
        reason=nullable(words(*Reason)),
        unlock=nullable(STRING),
    )


def _finding() -> Schema:
    subject = record(kind=STRING, name=STRING, path=array(STRING, minItems=1))
    statements = record(
        query_id=STRING,
        cost_before={"type": "number"},
        cost_after={"type": "number"},
        plan_changed={"type": "boolean"},
        plan_before=array(STRING),
        plan_after=array(STRING),
        does=STRING,
        **SECOND_COUNT,
    )
    return record(
        id=FINDING,
        check=CHECK,
        area=words(*Area),
        severity=words(*Severity),
        confidence=words(*Confidence),
        title={"type": "string", "minLength": 1},
        subject=subject,
        related=array(subject),
        locations=array(record(path=PATH, line=LINE)),
        observed={"type": "object"},
        why=STRING,
        fix=record(
            summary=STRING,
            sql=nullable(STRING),
            lock=nullable(STRING),
            rewrites={"type": "boolean"},
            undo=nullable(STRING),
        ),
        proof=nullable(
            record(
                server_major=COUNT,
                statements=array(statements),
                index_bytes=nullable(COUNT),
                verdict=words(*Verdict),
                planned=COUNT,
                unplanned=COUNT,
                note=STRING,
            )
        ),
        decision=nullable(
            record(
                kind=words(*(kind for kind in DECISION_KINDS if kind != "reopen")),
                reason=nullable(STRING),
                owner=nullable(STRING),
                expires=nullable(DATE),
                due=nullable(DATE),
                by=nullable(STRING),
                on=nullable(DATE),
                expired={"type": "boolean"},
            )
        ),
        cost=nullable(COST),
    )


def _chain() -> Schema:
    link = record(
        area=words(*Area),
        state=words("found", "ok", "unknown", "not_applicable"),
        severity=nullable(words(*Severity)),
        check=nullable(CHECK),
        finding=nullable(FINDING),
        more=COUNT,
        server_wide={"type": "boolean"},
    )
    return record(
        subject=record(kind=words("statement", "table"), name=STRING, path=array(STRING, minItems=1)),
        words=STRING,
        server_share=nullable(RATIO),
        size_bytes=nullable(COUNT),
        locations=array(record(path=PATH, line=LINE)),
        links=array(link, minItems=len(Area), maxItems=len(Area)),
        weakest=array(words(*Area)),
    )


def _comparison() -> Schema:
    side = record(
        id=STRING, title=STRING, as_of=DATE, rubric=STRING, tool_version=STRING, index=nullable(INDEX),
        as_reported=nullable(INDEX),
    )  # fmt: skip
    level = record(area=words(*Area, "overall"), was=nullable(LEVEL), now=nullable(LEVEL), as_reported=nullable(LEVEL))
    changes = array(record(id=STRING, area=words(*Area), words=STRING, was=STRING, now=STRING))
    return record(
        old=side, new=side, levels=array(level), better=changes, worse=changes, new_findings=changes, gone=changes,
        unseen=changes, rubric=changes, notices=array(STRING),
    )  # fmt: skip


def _question() -> Schema:
    return record(
        id=CRITERION,
        area=words(*Area),
        question=STRING,
        answer=nullable(STRING),
        by=nullable(STRING),
        on=nullable(DATE),
        artefact=nullable(STRING),
        artefact_date=nullable(DATE),
        type=words("yes/no", "text"),
        why=STRING,
        good=STRING,
        seen=nullable(STRING),
    )


def _statement() -> Schema:
    return record(
        query_id={"type": "string", "pattern": r"^-?\d+$"},
        text=STRING,
        calls=COUNT,
        mean_ms={"type": "number", "minimum": 0},
        total_share=RATIO,
        locations=array(record(path=PATH, line=LINE, match=words(*MATCHES))),
    )


def _growth() -> Schema:
    return record(
        statement=STRING,
        factors=array({"type": "number"}),
        costs=array(nullable({"type": "number"})),
        exponent=nullable({"type": "number"}),
        breaks_at=nullable(record(factor={"type": "number"}, reason=STRING, on=nullable(DATE))),
        text=STRING,
        calls=COUNT,
        mean_ms=nullable({"type": "number", "minimum": 0}),
        changes_at=array({"type": "number"}),
        tables=array(STRING),
        locations=array(record(path=PATH, line=LINE, match=words(*MATCHES))),
        plan_now=array(STRING),
        plan_then=array(STRING),
    )


def _advice() -> Schema:
    number: Schema = {"type": "number"}
    return record(
        budget_bytes=COUNT,
        bytes=COUNT,
        bytes_at_most=COUNT,
        cost_before=number,
        cost_after=number,
        write_cost=number,
        saved=number,
        candidates=COUNT,
        unplanned=COUNT,
        server_major=COUNT,
        target_major=COUNT,
        cut_short={"type": "boolean"},
        indexes=array(
            record(
                table=STRING,
                sql=STRING,
                undo=STRING,
                bytes=COUNT,
                statements=array(STRING),
                loss=number,
                proven=array(STRING),
            )
        ),
        statements=array(
            record(query_id=STRING, calls=COUNT, cost_before=number, cost_after=number, does=STRING, **SECOND_COUNT)
        ),
    )


def _growth_basis() -> Schema:
    return record(
        factors=array({"type": "number"}),
        budget_ms={"type": "number"},
        server_major=COUNT,
        target_major=COUNT,
        unplanned=COUNT,
        skipped=array({"type": "number"}),
        tables=array(
            record(
                name=STRING,
                rows={"type": "number"},
                bytes=COUNT,
                exponent={"type": "number"},
                why=STRING,
                rows_per_day=nullable({"type": "number"}),
                full_at=nullable({"type": "number"}),
                full_on=nullable(DATE),
            )
        ),
    )
