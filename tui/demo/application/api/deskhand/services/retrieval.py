from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deskhand.config import get_settings
from deskhand.services.llm import as_vector, embed

settings = get_settings()

NEAREST_CHUNKS = text("""
    SELECT ch.id, ch.content, d.title, ch.embedding <=> CAST(:question AS vector) AS distance
    FROM chunks ch
    JOIN documents d ON d.id = ch.document_id
    WHERE d.organization_id = :organization_id AND d.status = 'ready'
    ORDER BY ch.embedding <=> CAST(:question AS vector)
    LIMIT :limit
""")

# A few hundred replies that the support leads wrote: reading all of them is quicker than any index.
NEAREST_REPLIES = text("""
    SELECT id, title, body
    FROM canned_replies
    ORDER BY embedding <=> CAST(:question AS vector)
    LIMIT 3
""")


@dataclass
class Source:
    id: int
    content: str
    title: str
    distance: float


async def search(session: AsyncSession, organization_id: int, question: str) -> list[Source]:
    rows = await session.execute(
        NEAREST_CHUNKS,
        {
            "question": as_vector(embed(question)),
            "organization_id": organization_id,
            "limit": settings.retrieval_limit,
        },
    )
    return [Source(**row) for row in rows.mappings()]


async def suggest_replies(session: AsyncSession, question: str) -> list[dict]:
    rows = await session.execute(NEAREST_REPLIES, {"question": as_vector(embed(question))})
    return [dict(row) for row in rows.mappings()]
