from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel
from sqlalchemy import text

from deskhand.auth import CurrentCaller
from deskhand.db import Session
from deskhand.models import Conversation
from deskhand.services import chat

router = APIRouter(prefix="/conversations", tags=["conversations"])


class NewConversation(BaseModel):
    user_id: int
    subject: str | None = None
    channel: str = "widget"
    external_id: str | None = None
    source: str | None = None


class NewMessage(BaseModel):
    content: str


class Feedback(BaseModel):
    user_id: int
    rating: int
    comment: str | None = None


@router.post("", status_code=201)
async def create_conversation(body: NewConversation, session: Session, caller: CurrentCaller) -> dict[str, int]:
    conversation = Conversation(
        organization_id=caller.organization_id,
        user_id=body.user_id,
        subject=body.subject,
        channel=body.channel,
        extra={"external_id": body.external_id, "source": body.source},
    )
    session.add(conversation)
    await session.flush()
    return {"id": conversation.id}


@router.get("/inbox")
async def inbox(session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    """The twenty newest conversations of the organization, each with its last message."""
    rows = await session.execute(
        text("""
            SELECT c.id, c.subject, c.status, c.last_message_at, u.display_name
            FROM conversations c
            JOIN users u ON u.id = c.user_id
            WHERE c.organization_id = :organization_id
            ORDER BY c.last_message_at DESC NULLS LAST
            LIMIT 20
        """),
        {"organization_id": caller.organization_id},
    )
    entries = []
    for row in rows.mappings():
        last = await last_message(session, row["id"])
        entries.append({**row, "last_message": last, "messages": await count_messages(session, row["id"])})
    return entries


async def last_message(session: Session, conversation_id: int) -> dict[str, Any] | None:
    row = (
        await session.execute(
            text("""
                SELECT id, role, content, created_at
                FROM messages
                WHERE conversation_id = :conversation_id
                ORDER BY created_at DESC
                LIMIT 1
            """),
            {"conversation_id": conversation_id},
        )
    ).one_or_none()
    return dict(row._mapping) if row else None


async def count_messages(session: Session, conversation_id: int) -> int:
    return await session.scalar(
        text("SELECT count(*) FROM messages WHERE conversation_id = :conversation_id"),
        {"conversation_id": conversation_id},
    )


@router.get("/mine")
async def assigned_to(user_id: int, session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    rows = await session.execute(
        text("""
            SELECT id, subject, channel, last_message_at
            FROM conversations
            WHERE assigned_user_id = :user_id AND status = 'open'
            ORDER BY last_message_at
        """),
        {"user_id": user_id},
    )
    return [dict(row) for row in rows.mappings()]


@router.get("/by-external-id/{external_id}")
async def by_external_id(external_id: str, session: Session, caller: CurrentCaller) -> dict[str, Any]:
    """The conversation that the customer's CRM knows under its own id."""
    row = (
        await session.execute(
            text("""
                SELECT id, organization_id, status, subject
                FROM conversations
                WHERE metadata ->> 'external_id' = :external_id
            """),
            {"external_id": external_id},
        )
    ).first()
    if row is None or row.organization_id != caller.organization_id:
        raise HTTPException(404)
    return dict(row._mapping)


@router.get("/by-source/{source}")
async def by_source(source: str, session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    """Conversations that came in through one campaign or page."""
    rows = await session.execute(
        text("""
            SELECT id, subject, status, created_at
            FROM conversations
            WHERE metadata ->> 'source' = :source
              AND status = 'open'
        """),
        {"source": source},
    )
    return [dict(row) for row in rows.mappings()]


@router.get("/{conversation_id}/messages")
async def history(conversation_id: int, session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    messages = await chat.history(session, conversation_id)
    return [
        {"id": message.id, "role": message.role, "content": message.content, "at": message.created_at}
        for message in messages
    ]


@router.post("/{conversation_id}/messages")
async def post_message(
    conversation_id: int, body: NewMessage, session: Session, caller: CurrentCaller
) -> dict[str, Any]:
    conversation = await session.get(Conversation, conversation_id)
    if conversation is None or conversation.organization_id != caller.organization_id:
        raise HTTPException(404)
    answer = await chat.answer(session, conversation, body.content, api_key_id=caller.api_key_id)
    return {"id": answer.id, "content": answer.content}


@router.post("/messages/{message_id}/feedback", status_code=204)
async def give_feedback(message_id: int, body: Feedback, session: Session, caller: CurrentCaller) -> None:
    await session.execute(
        text("""
            INSERT INTO message_feedback (message_id, user_id, rating, comment)
            VALUES (:message_id, :user_id, :rating, :comment)
            ON CONFLICT (message_id) DO UPDATE SET rating = excluded.rating, comment = excluded.comment
        """),
        {"message_id": message_id, **body.model_dump()},
    )
