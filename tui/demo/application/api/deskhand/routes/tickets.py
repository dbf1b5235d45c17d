from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import text

from deskhand.auth import CurrentCaller
from deskhand.db import Session
from deskhand.models import Ticket

router = APIRouter(prefix="/tickets", tags=["tickets"])


class NewTicket(BaseModel):
    conversation_id: int | None = None
    title: str
    body: str
    priority: int = 3


@router.post("", status_code=201)
async def open_ticket(body: NewTicket, session: Session, caller: CurrentCaller) -> dict[str, int]:
    reference = await session.scalar(text("SELECT nextval('ticket_reference_seq')"))
    ticket = Ticket(organization_id=caller.organization_id, reference=reference, **body.model_dump())
    session.add(ticket)
    await session.flush()
    return {"id": ticket.id, "reference": ticket.reference}


@router.get("/of-conversation/{conversation_id}")
async def of_conversation(conversation_id: int, session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    rows = await session.execute(
        text("SELECT id, reference, title, state FROM tickets WHERE conversation_id = :conversation_id"),
        {"conversation_id": conversation_id},
    )
    return [dict(row) for row in rows.mappings()]


@router.get("/{ticket_id}/comments")
async def comments(ticket_id: int, session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    rows = await session.execute(
        text("""
            SELECT c.id, c.body, c.created_at, u.display_name AS author
            FROM ticket_comments c
            LEFT JOIN users u ON u.id = c.author_id
            WHERE c.ticket_id = :ticket_id AND c.organization_id = :organization_id
            ORDER BY c.created_at
        """),
        {"ticket_id": ticket_id, "organization_id": caller.organization_id},
    )
    return [dict(row) for row in rows.mappings()]


@router.get("/with-label/{label_id}")
async def with_label(label_id: int, session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    rows = await session.execute(
        text("""
            SELECT t.id, t.reference, t.title, t.state
            FROM ticket_labels tl
            JOIN tickets t ON t.id = tl.ticket_id
            WHERE tl.label_id = :label_id
            ORDER BY t.id DESC
            LIMIT 50
        """),
        {"label_id": label_id},
    )
    return [dict(row) for row in rows.mappings()]


@router.get("/{ticket_id}/attachments")
async def attachments(ticket_id: int, session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    rows = await session.execute(
        text("""
            SELECT id, file_name, storage_key, size_bytes
            FROM attachments
            WHERE owner_type = 'ticket' AND owner_id = :ticket_id
        """),
        {"ticket_id": ticket_id},
    )
    return [dict(row) for row in rows.mappings()]
