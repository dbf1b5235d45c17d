import hashlib
import json
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel
from sqlalchemy import text

from deskhand.auth import CurrentCaller
from deskhand.db import Session
from deskhand.models import Document

router = APIRouter(prefix="/documents", tags=["documents"])

PAGE = 50


class NewDocument(BaseModel):
    title: str
    content: str
    source_path: str | None = None
    source_type_id: int = 1
    uploaded_by: int | None = None
    metadata: dict[str, Any] = {}


@router.post("", status_code=201)
async def upload(body: NewDocument, session: Session, caller: CurrentCaller) -> dict[str, int]:
    checksum = hashlib.sha256(body.content.encode()).hexdigest()
    known = await session.scalar(
        text("""
            SELECT EXISTS (
                SELECT 1 FROM documents WHERE checksum = :checksum AND organization_id = :organization_id
            )
        """),
        {"checksum": checksum, "organization_id": caller.organization_id},
    )
    if known:
        raise HTTPException(409, "this document is there already")
    document = Document(
        organization_id=caller.organization_id,
        source_type_id=body.source_type_id,
        uploaded_by=body.uploaded_by,
        title=body.title,
        source_path=body.source_path,
        checksum=checksum,
        content=body.content,
        extra=body.metadata,
    )
    session.add(document)
    await session.flush()
    await session.execute(
        text("INSERT INTO jobs (kind, payload) VALUES ('ingest', CAST(:payload AS jsonb))"),
        {"payload": json.dumps({"document_id": document.id})},
    )
    return {"id": document.id}


@router.get("")
async def list_documents(session: Session, caller: CurrentCaller, page: int = 0) -> list[dict[str, Any]]:
    rows = await session.execute(
        text("""
            SELECT id, title, status, created_at
            FROM documents
            ORDER BY created_at DESC
            LIMIT :limit OFFSET :offset
        """),
        {"limit": PAGE, "offset": page * PAGE},
    )
    return [dict(row) for row in rows.mappings()]


@router.get("/titles")
async def titles(session: Session, caller: CurrentCaller, after: str = "") -> list[dict[str, Any]]:
    rows = await session.execute(
        text("SELECT id, title FROM documents WHERE title > :after ORDER BY title LIMIT 50"),
        {"after": after},
    )
    return [dict(row) for row in rows.mappings()]


@router.get("/suggest")
async def suggest(prefix: str, session: Session, caller: CurrentCaller) -> list[str]:
    """Titles that begin with what was typed so far."""
    rows = await session.execute(
        text("SELECT title FROM documents WHERE title LIKE :pattern LIMIT 10"),
        {"pattern": prefix.replace("%", "").replace("_", "") + "%"},
    )
    return [row.title for row in rows]


@router.get("/filter")
async def filter_documents(facts: str, session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    """Documents with all the given facts, such as {"language": "de", "product": "router"}."""
    rows = await session.execute(
        text("""
            SELECT id, title, metadata
            FROM documents
            WHERE metadata @> CAST(:facts AS jsonb)
            LIMIT 50
        """),
        {"facts": facts},
    )
    return [dict(row) for row in rows.mappings()]


@router.get("/by-path")
async def by_path(source_path: str, session: Session, caller: CurrentCaller) -> dict[str, Any] | None:
    row = (
        await session.execute(
            text("SELECT id, title, checksum FROM documents WHERE source_path = :source_path"),
            {"source_path": source_path},
        )
    ).first()
    return dict(row._mapping) if row else None


@router.get("/by-checksum/{checksum}")
async def by_checksum(checksum: str, session: Session, caller: CurrentCaller) -> list[dict[str, Any]]:
    rows = await session.execute(
        text("SELECT id, title, status FROM documents WHERE checksum = :checksum"),
        {"checksum": checksum},
    )
    return [dict(row) for row in rows.mappings()]


@router.get("/checksums")
async def checksums(session: Session, caller: CurrentCaller, after: str = "") -> list[dict[str, Any]]:
    """All checksums in order, for agents that compare a whole folder."""
    rows = await session.execute(
        text("""
            SELECT checksum, organization_id
            FROM documents
            WHERE checksum > :after
            ORDER BY checksum
            LIMIT 200
        """),
        {"after": after},
    )
    return [dict(row) for row in rows.mappings()]
