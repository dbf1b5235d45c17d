from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deskhand.services.llm import Reply

MICROS_PER_TOKEN = {"gpt-4o-mini": 0.6, "gpt-4o": 10.0, "all-MiniLM-L6-v2": 0.0}


async def record(
    session: AsyncSession, organization_id: int, api_key_id: int | None, kind: str, model: str, reply: Reply
) -> None:
    tokens = reply.tokens_in + reply.tokens_out
    await session.execute(
        text("""
            INSERT INTO billing.usage_records (organization_id, api_key_id, kind, model, tokens, cost_micros)
            VALUES (:organization_id, :api_key_id, :kind, :model, :tokens, :cost_micros)
        """),
        {
            "organization_id": organization_id,
            "api_key_id": api_key_id,
            "kind": kind,
            "model": model,
            "tokens": tokens,
            "cost_micros": round(tokens * MICROS_PER_TOKEN.get(model, 1.0)),
        },
    )


async def tokens_since(session: AsyncSession, organization_id: int, since: datetime) -> int:
    return await session.scalar(
        text("""
            SELECT coalesce(sum(tokens), 0)
            FROM billing.usage_records
            WHERE organization_id = :organization_id AND created_at >= :since
        """),
        {"organization_id": organization_id, "since": since},
    )


async def plan_of(session: AsyncSession, code: str) -> dict:
    row = (
        await session.execute(
            text("SELECT id, name, included_tokens FROM plans WHERE code = :code"), {"code": code}
        )
    ).one()
    return dict(row._mapping)


async def enabled_features(session: AsyncSession) -> dict[str, int]:
    rows = await session.execute(text("SELECT name, rollout_percent FROM feature_flags WHERE enabled"))
    return {row.name: row.rollout_percent for row in rows}
