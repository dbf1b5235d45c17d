import hashlib
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, HTTPException
from sqlalchemy import text

from deskhand.db import Session


@dataclass(frozen=True)
class Caller:
    organization_id: int
    api_key_id: int


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


async def caller(session: Session, authorization: Annotated[str, Header()] = "") -> Caller:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise HTTPException(401, "an API key is required")
    row = (
        await session.execute(
            text("SELECT id, organization_id FROM api_keys WHERE key_hash = :key_hash AND revoked_at IS NULL"),
            {"key_hash": hash_key(key)},
        )
    ).one_or_none()
    if row is None:
        raise HTTPException(401, "unknown or revoked API key")
    return Caller(organization_id=row.organization_id, api_key_id=row.id)


CurrentCaller = Annotated[Caller, Depends(caller)]
