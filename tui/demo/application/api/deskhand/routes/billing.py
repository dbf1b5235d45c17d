from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, HTTPException
from sqlalchemy import text

from deskhand.auth import CurrentCaller
from deskhand.db import Session
from deskhand.models import Organization
from deskhand.services import usage

router = APIRouter(prefix="/billing", tags=["billing"])


@router.get("/usage")
async def current_usage(session: Session, caller: CurrentCaller) -> dict[str, Any]:
    organization = await session.get(Organization, caller.organization_id)
    if organization is None:
        raise HTTPException(404)
    month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    used = await usage.tokens_since(session, caller.organization_id, month)
    return {"organization": organization.name, "since": month, "tokens": used}


@router.get("/invoices")
async def invoices(session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    rows = await session.execute(
        text("""
            SELECT id, period, amount_cents, currency, status
            FROM billing.invoices
            WHERE organization_id = :organization_id
            ORDER BY period DESC
        """),
        {"organization_id": caller.organization_id},
    )
    return [dict(row) for row in rows.mappings()]


@router.get("/api-keys")
async def api_keys(session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    rows = await session.execute(
        text("SELECT id, label, created_at, revoked_at FROM api_keys WHERE organization_id = :organization_id"),
        {"organization_id": caller.organization_id},
    )
    return [dict(row) for row in rows.mappings()]
