from datetime import datetime
from typing import Any

from fastapi import APIRouter
from sqlalchemy import select, text

from deskhand.auth import CurrentCaller
from deskhand.db import Session
from deskhand.models import Conversation, User

router = APIRouter(prefix="/admin", tags=["admin"])


@router.get("/team")
async def team(session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    rows = await session.execute(
        text("""
            SELECT id, email, display_name, role, last_seen_at
            FROM users
            WHERE organization_id = :organization_id
            ORDER BY email
        """),
        {"organization_id": caller.organization_id},
    )
    return [dict(row) for row in rows.mappings()]


@router.get("/users/{user_id}")
async def user_page(user_id: int, session: Session, caller: CurrentCaller) -> dict[str, Any]:
    user = await session.get(User, user_id)
    conversations = await session.scalars(
        select(Conversation).where(Conversation.user_id == user_id).order_by(Conversation.created_at.desc()).limit(20)
    )
    return {
        "user": {"id": user.id, "email": user.email} if user else None,
        "conversations": [{"id": found.id, "subject": found.subject} for found in conversations],
    }


@router.get("/flagged")
async def flagged_messages(session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    """Answers that the moderation model was not sure about."""
    rows = await session.execute(
        text("""
            SELECT id, conversation_id, content, created_at
            FROM messages
            WHERE metadata @> '{"flagged": true}'
            LIMIT 100
        """)
    )
    return [dict(row) for row in rows.mappings()]


@router.get("/events")
async def event_counts(since: datetime, until: datetime, session: Session, caller: CurrentCaller) -> dict[str, int]:
    rows = await session.execute(
        text("""
            SELECT name, count(*) AS times
            FROM events
            WHERE organization_id = :organization_id AND created_at >= :since AND created_at < :until
            GROUP BY name
        """),
        {"organization_id": caller.organization_id, "since": since, "until": until},
    )
    return {row.name: row.times for row in rows}


@router.get("/audit")
async def audit(since: datetime, session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    rows = await session.execute(
        text("""
            SELECT occurred_at, actor_type, actor_id, action, target_type, target_id
            FROM audit_log
            WHERE occurred_at >= :since
            ORDER BY occurred_at
            LIMIT 200
        """),
        {"since": since},
    )
    return [dict(row) for row in rows.mappings()]


@router.post("/audit", status_code=204)
async def add_audit_entry(entry: dict[str, Any], session: Session, caller: CurrentCaller) -> None:
    await session.execute(
        text("""
            INSERT INTO audit_log (actor_type, actor_id, action, target_type, target_id)
            VALUES (:actor_type, :actor_id, :action, :target_type, :target_id)
        """),
        entry,
    )
